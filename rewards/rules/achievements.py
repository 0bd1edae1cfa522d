"""Achievements: their documents, and what unlocks them.

``criteria`` is a measure with a threshold, in the full form or in one of two older ones; it is
answered as it was sent, with the full form beside it in ``measure`` (ACH-1).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
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
    add_amounts,
    compile_measure,
    measure_document,
    read_measure,
)
from rewards.types.achievements import ProgressState, ProgressStatus
from rewards.types.measures import Contribution, Measure

__all__ = [
    "LOOKING",
    "MAX_UNLOCKS_AT_ONCE",
    "AchievementBook",
    "AchievementDocument",
    "AchievementView",
    "Criteria",
    "add_contribution",
    "add_extra",
    "begin_epoch",
    "find_cycle",
    "is_open",
    "is_reached",
    "measures_differ",
    "parse_achievement",
    "parse_criteria",
    "percentage_of",
    "see_number",
    "shown_amount",
    "status_of",
    "stored_criteria",
    "take_back",
    "take_unlock",
    "takes_progress",
]

MAX_ITEMS: Final = 20
MAX_REQUIRED: Final = 20
MAX_THRESHOLD: Final = Decimal(10) ** 18
# What one change may unlock; the rest is kept and goes on with the next one.
MAX_UNLOCKS_AT_ONCE: Final = 100
# These look at a number that is kept elsewhere.
LOOKING: Final = frozenset({"cumulative", "streak_milestone"})
_WHOLE: Final = frozenset({"count", "distinct", "streak_milestone", "leaderboard_rank"})
_ZERO: Final = Decimal(0)
_HUNDRED: Final = Decimal(100)
_MOST_WHILE_LOCKED: Final = Decimal("99.99")
_HUNDREDTH: Final = Decimal("0.01")

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


@dataclass(frozen=True, slots=True)
class AchievementView:
    """An achievement as the consumer has it."""

    pk: UUID
    name: str
    description: str
    badge_url: str | None
    compiled: CompiledMeasure
    threshold: Decimal
    reward_config_id: UUID | None
    reward_item_ids: tuple[UUID, ...]
    is_active: bool
    is_repeatable: bool
    is_hidden: bool
    requires: tuple[UUID, ...]
    epoch: int
    counts_from: datetime | None
    counts_until: datetime | None

    @property
    def measure(self) -> Measure:
        """Return what it counts."""
        return self.compiled.measure

    def counts(self, received_at: datetime) -> bool:
        """Whether what was received then counts, however late it is looked at."""
        if self.counts_from is not None and received_at < self.counts_from:
            return False
        return self.counts_until is None or received_at < self.counts_until


class AchievementBook:
    """The achievements of a tenant, found by what moves them."""

    def __init__(self, views: Iterable[AchievementView]) -> None:
        self.views = tuple(views)
        self.by_id = {view.pk: view for view in self.views}
        self._by_type: dict[str, tuple[AchievementView, ...]] = {}
        self._counting = [view for view in self.views if not _is_empty(view)]
        names = {name for view in self._counting for name in view.compiled.types.names}
        self._has_patterns = any(view.compiled.types.prefixes for view in self._counting)
        for name in names:
            self._by_type[name] = self._moved_by(name)

    def of_type(self, event_type: str) -> tuple[AchievementView, ...]:
        """Return the achievements that events of this type can move."""
        found = self._by_type.get(event_type)
        if found is not None:
            return found
        return self._moved_by(event_type) if self._has_patterns else ()

    def of_currency(self, currency_id: str) -> list[AchievementView]:
        """Return those that look at what was ever earned of a currency."""
        return [view for view in self.views if view.measure.metric == currency_id]

    def of_streak(self, streak_id: str) -> list[AchievementView]:
        """Return those that look at a streak."""
        return [view for view in self.views if view.measure.streak_id == streak_id]

    def waiting_for(self, pk: UUID) -> list[AchievementView]:
        """Return those that cannot unlock without this one."""
        return [view for view in self.views if pk in view.requires]

    def related(self, pks: Iterable[UUID]) -> set[UUID]:
        """Return these, what they require, and what waits for any of those."""
        found: set[UUID] = set()
        open_ = list(pks)
        while open_:
            pk = open_.pop()
            if pk in found:
                continue
            found.add(pk)
            view = self.by_id.get(pk)
            # What is required is only looked at; what waits may move in its turn.
            open_ += [other.pk for other in self.waiting_for(pk)]
            found.update(view.requires if view is not None else ())
        return found

    def _moved_by(self, event_type: str) -> tuple[AchievementView, ...]:
        return tuple(view for view in self._counting if view.compiled.types.hold(event_type))


def _is_empty(view: AchievementView) -> bool:
    return not view.compiled.types.names and not view.compiled.types.prefixes


# --- Documents -----------------------------------------------------------------------------------


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


# --- Counting and unlocking ----------------------------------------------------------------------


def takes_progress(measure: Measure) -> bool:
    """Whether rules may add to it: what only looks at another number cannot be raised."""
    return measure.type not in LOOKING


def is_open(view: AchievementView, state: ProgressState) -> bool:
    """Whether there is anything left to reach."""
    return view.is_repeatable or state.times == 0


def add_contribution(state: ProgressState, contribution: Contribution) -> None:
    """Count what one event is; a fingerprint is one new value."""
    amount = Decimal(1) if isinstance(contribution, bytes) else contribution
    state.current = add_amounts(state.current, amount)


def add_extra(state: ProgressState, amount: Decimal) -> None:
    """Count what a rule added, which no event shows."""
    state.current = add_amounts(state.current, amount)
    state.added = add_amounts(state.added, amount)


def see_number(view: AchievementView, state: ProgressState, number: Decimal) -> None:
    """Take the present value of the number that the achievement looks at.

    A streak that falls below what its unlocks used up has begun anew; when it jumps by more than
    one window, a late event has healed the run before, and what that had used up counts again.
    """
    if view.measure.type == "streak_milestone":
        if number < state.base:
            state.earlier_base, state.base = state.base, _ZERO
        elif number > state.current + 1 and number >= state.earlier_base > state.base:
            state.base, state.earlier_base = state.earlier_base, _ZERO
    state.current = number


def is_reached(view: AchievementView, state: ProgressState) -> bool:
    """Whether the next unlock is due, if nothing that is required is missing."""
    return is_open(view, state) and state.current - state.base >= view.threshold


def take_unlock(
    view: AchievementView, state: ProgressState, now: datetime, *, is_gift: bool = False
) -> int:
    """Unlock once and return the number of the unlock, from 1.

    What was counted is used up, except by a gift. That of one that cannot be repeated too, in
    case it is made repeatable some day.
    """
    state.times += 1
    state.last_number += 1
    state.unlocked_at = now
    if not is_gift:
        _use_up(view, state)
    return state.last_number


def _use_up(view: AchievementView, state: ProgressState) -> None:
    measure_type = view.measure.type
    if measure_type in LOOKING:
        state.base += view.threshold
    elif measure_type == "distinct":
        state.current = _ZERO
        state.run += 1
    else:
        # Windows of a board stay known for ever: a corrected one must not count a second time.
        state.current -= view.threshold


def begin_epoch(view: AchievementView, state: ProgressState) -> None:
    """Forget what was counted under criteria that are no more; what was unlocked stays."""
    state.epoch = view.epoch
    state.current = state.base = state.earlier_base = state.added = _ZERO
    state.run += 1


def take_back(view: AchievementView, state: ProgressState) -> None:
    """Take every unlock back; the way begins again, with nothing counted.

    A number that is only looked at has to grow from where it is by what it takes.
    """
    number = state.current
    begin_epoch(view, state)
    state.times, state.unlocked_at = 0, None
    if not takes_progress(view.measure):
        state.current = state.base = number


def status_of(state: ProgressState) -> ProgressStatus:
    """Return the status that the player sees (ACH-5)."""
    if state.times > 0:
        return "unlocked"
    return "in_progress" if state.amount > 0 else "locked"


def shown_amount(view: AchievementView, state: ProgressState) -> Decimal:
    """Return the progress that the player sees: towards the next unlock, or the whole way."""
    if state.times == 0 or view.is_repeatable:
        return state.amount
    whole = state.amount if takes_progress(view.measure) else state.current
    return max(whole, view.threshold)


def percentage_of(view: AchievementView, state: ProgressState) -> Decimal:
    """Return 0 to 100 with at most two decimals, never 100 while locked."""
    if state.times > 0 and not view.is_repeatable:
        return _HUNDRED
    share = min(state.amount / view.threshold, Decimal(1)) * 100
    if state.times == 0:
        share = min(share, _MOST_WHILE_LOCKED)
    # 2 of 3 is 66.67, but whoever is not there yet is not shown to be.
    return min(share.quantize(_HUNDREDTH), _HUNDRED)
