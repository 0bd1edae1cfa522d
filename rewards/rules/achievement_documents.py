"""The documents of achievements, read and checked.

``criteria`` is a measure with a threshold, in the full form or in one of two older ones; it is
answered as it was sent, with the full form beside it in ``measure`` (ACH-1).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from phoenix_site.common.documents import Section, plain_json, plain_number
from phoenix_site.common.faults import Fault
from rewards.exceptions import DocumentError
from rewards.rules.measures import (
    EVENT_MEASURES,
    MEASURE_KEYS,
    CompiledMeasure,
    compile_measure,
    measure_document,
    read_measure,
)
from rewards.types.measures import Measure

__all__ = [
    "AchievementDocument",
    "Criteria",
    "find_cycle",
    "measures_differ",
    "parse_achievement",
    "parse_criteria",
    "stored_criteria",
]

MAX_ITEMS: Final = 20
MAX_REQUIRED: Final = 20
MAX_THRESHOLD: Final = Decimal(10) ** 18
_WHOLE: Final = frozenset({"count", "distinct", "streak_milestone", "leaderboard_rank"})

_KEYS: Final = (
    *("name", "description", "badge_url", "criteria", "reward_config_id", "reward_item_ids"),
    *("active", "repeatable", "hidden", "requires", "sort"),
)
_FULL_KEYS: Final = ("type", *MEASURE_KEYS, "threshold")
_EVENT_COUNT_KEYS: Final = ("type", "event_type", "conditions", "threshold")
_OLDER_KEYS: Final = ("event_types", "expression", "condition", "target")
_CONDITION_KEYS: Final = ("type", "field", "min")


@dataclass(frozen=True, slots=True)
class Criteria:
    """A measure and how much of it unlocks; ``document`` is what was sent."""

    measure: Measure
    threshold: Decimal
    document: Mapping[str, Any]

    @property
    def full_form(self) -> dict[str, Any]:
        """Return the one form that says everything."""
        return {**measure_document(self.measure), "threshold": plain_number(self.threshold)}


@dataclass(frozen=True, slots=True)
class AchievementDocument:
    """A checked document, every default filled in."""

    name: str
    description: str
    badge_url: str | None
    criteria: Criteria
    reward_config_id: UUID | None
    reward_item_ids: tuple[UUID, ...]
    is_active: bool
    is_repeatable: bool
    is_hidden: bool
    requires: tuple[UUID, ...]
    sort: int


def parse_achievement(document: Mapping[str, Any]) -> AchievementDocument:
    """Return what ``document`` says (ACH-1). Raises: ``DocumentError`` with every fault."""
    faults: list[Fault] = []
    section = Section(document, "", faults, keys=_KEYS)
    criteria = _read_criteria(section)
    parsed = {
        "name": _read_text(section, "name", most=255, is_required=True) or "",
        "description": _read_text(section, "description", most=2000) or "",
        "badge_url": _read_text(section, "badge_url", most=1000),
        "reward_config_id": _read_id(section, "reward_config_id"),
        "reward_item_ids": _read_ids(section, "reward_item_ids", most=MAX_ITEMS),
        "is_active": _read_flag(section, "active", default=True),
        "is_repeatable": _read_flag(section, "repeatable", default=False),
        "is_hidden": _read_flag(section, "hidden", default=False),
        "requires": _read_ids(section, "requires", most=MAX_REQUIRED),
        "sort": section.integer("sort", 0, low=-1_000_000, high=1_000_000),
    }
    if faults or criteria is None:
        raise DocumentError([_at_top(fault) for fault in faults])
    return AchievementDocument(criteria=criteria, **parsed)  # type: ignore[arg-type]


def parse_criteria(document: Any) -> Criteria:
    """Return the criteria that ``document`` describes. Raises: ``DocumentError``."""
    faults: list[Fault] = []
    criteria = _read_criteria(Section({"criteria": document}, "", faults, keys=("criteria",)))
    if faults or criteria is None:
        raise DocumentError([_at_top(fault) for fault in faults])
    return criteria


def stored_criteria(document: Mapping[str, Any]) -> CompiledMeasure:
    """Return a stored full form ready to count."""
    faults: list[Fault] = []
    section = Section(document, "measure", faults, keys=_FULL_KEYS)
    measure = read_measure(section)
    if faults or measure is None:
        raise DocumentError(faults)
    return compile_measure(measure)


def measures_differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two full forms count something else, whatever their thresholds."""
    return {**one, "threshold": None} != {**other, "threshold": None}


def _at_top(fault: Fault) -> Fault:
    return Fault(fault.path.lstrip("."), fault.message)


def _read_criteria(section: Section) -> Criteria | None:
    if not section.require("criteria"):
        return None
    document = section.raw("criteria")
    before = len(section.faults)
    reader = _form_of(document)
    measure, threshold = reader(document, f"{section.path}.criteria", section.faults)
    if measure is None or threshold is None or len(section.faults) > before:
        return None
    try:
        return Criteria(measure, threshold, plain_json(document))
    except ValueError as exc:
        section.refuse("criteria", str(exc))
        return None


_Read = tuple[Measure | None, Decimal | None]


def _form_of(document: Any) -> Callable[[Any, str, list[Fault]], _Read]:
    if isinstance(document, Mapping):
        if document.get("type") == "event_count":
            return _read_event_count
        if not {"condition", "target", "expression"}.isdisjoint(document):
            return _read_older_form
    return _read_full_form


def _read_full_form(document: Any, path: str, faults: list[Fault]) -> _Read:
    section = Section(document, path, faults, keys=_FULL_KEYS)
    measure = read_measure(section)
    is_placement = measure is not None and measure.type == "leaderboard_rank"
    if is_placement and not section.has("threshold"):
        return measure, Decimal(1)
    return measure, _read_threshold(section, "threshold", measure)


def _read_event_count(document: Any, path: str, faults: list[Fault]) -> _Read:
    section = Section(document, path, faults, keys=_EVENT_COUNT_KEYS)
    full = {"type": "count", "conditions": section.raw("conditions")}
    if section.has("event_type"):
        full["event_types"] = [section.raw("event_type")]
    words = {"event_types.0": "event_type", "event_types": "event_type"}
    measure = _read_translated(full, section, words)
    return measure, _read_threshold(section, "threshold", measure)


def _read_older_form(document: Any, path: str, faults: list[Fault]) -> _Read:
    section = Section(document, path, faults, keys=_OLDER_KEYS)
    section.require("condition")
    condition = section.section("condition", keys=_CONDITION_KEYS)
    if condition.has("type") and condition.raw("type") not in EVENT_MEASURES:
        condition.refuse("type", f"must be one of {', '.join(EVENT_MEASURES)}")
        return None, None
    full = {
        "type": condition.raw("type") or "count",
        "event_types": section.raw("event_types"),
        "conditions": section.raw("expression"),
        "field": condition.raw("field"),
    }
    words = {"conditions": "expression", "field": "condition.field", "type": "condition.type"}
    measure = _read_translated(full, section, words)
    target = _read_threshold(section, "target", measure)
    if condition.has("min") and condition.number("min") != target:
        condition.refuse("min", "must be the same as target")
    return measure, target


def _read_translated(
    full: Mapping[str, Any], section: Section, words: Mapping[str, str]
) -> Measure | None:
    """Read the full form of an older one; faults name the places of the older one."""
    faults: list[Fault] = []
    measure = read_measure(Section(full, "", faults, keys=_FULL_KEYS))
    for fault in faults:
        place = fault.path.lstrip(".")
        known = next((word for word in words if place.startswith(word)), None)
        named = place if known is None else words[known] + place[len(known) :]
        section.refuse(named, fault.message)
    return None if faults else measure


def _read_threshold(section: Section, key: str, measure: Measure | None) -> Decimal | None:
    if not section.require(key):
        return None
    value = section.number(key)
    if value is None:
        return None
    if not 0 < value <= MAX_THRESHOLD or value != value.quantize(Decimal("1e-8")):
        section.refuse(key, "must be greater than 0, with at most 8 decimals")
    elif Decimal(str(float(value))) != value:
        section.refuse(key, "has more digits than a JSON number keeps")
    elif measure is not None and measure.type in _WHOLE and value != value.to_integral_value():
        section.refuse(key, f"must be a whole number for {measure.type}")
    return value


def _read_text(section: Section, key: str, *, most: int, is_required: bool = False) -> str | None:
    if is_required and not section.require(key):
        return None
    value = section.raw(key)
    if value is None:
        return None
    least = 1 if is_required else 0
    if not isinstance(value, str) or not least <= len(value) <= most:
        section.refuse(key, f"must be a text of at most {most} characters")
        return None
    return value


def _read_flag(section: Section, key: str, *, default: bool) -> bool:
    value = section.raw(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        section.refuse(key, "must be true or false")
        return default
    return value


def _read_id(section: Section, key: str) -> UUID | None:
    if not section.has(key):
        return None
    try:
        return UUID(str(section.raw(key)))
    except ValueError:
        section.refuse(key, "must be a UUID")
        return None


def _read_ids(section: Section, key: str, *, most: int) -> tuple[UUID, ...]:
    value = section.raw(key)
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > most:
        section.refuse(key, f"must be a list of at most {most} ids")
        return ()
    found: dict[UUID, None] = {}
    for index, item in enumerate(value):
        try:
            found[UUID(str(item))] = None
        except ValueError:
            section.refuse(f"{key}.{index}", "must be a UUID")
    return tuple(found)


def find_cycle(requires: Mapping[UUID, Iterable[UUID]], start: UUID) -> bool:
    """Whether ``start`` would in the end require itself."""
    seen: set[UUID] = set()
    open_ = list(requires.get(start, ()))
    while open_:
        pk = open_.pop()
        if pk == start:
            return True
        if pk not in seen:
            seen.add(pk)
            open_ += requires.get(pk, ())
    return False
