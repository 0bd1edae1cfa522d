"""Documents of streaks: read and checked, and written in their one full form (STR-9)."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import time
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, cast, get_args
from uuid import UUID

from phoenix_site.common.documents import Section, plain_json, plain_number
from phoenix_site.common.faults import Fault
from phoenix_site.common.json import decode, encode
from phoenix_site.common.periods import WEEKDAYS, PeriodType
from phoenix_site.common.zones import zone_names
from rewards.exceptions import DocumentError
from rewards.rules.items import as_uuid
from rewards.rules.measures import (
    EVENT_MEASURES,
    MEASURE_KEYS,
    CompiledMeasure,
    compile_measure,
    read_measure,
)
from rewards.types.measures import Measure
from rewards.types.streaks import (
    PLAYER_ZONE,
    FreezePolicy,
    Milestone,
    StreakConfig,
    StreakStatus,
    WindowRule,
)

__all__ = ["StreakFields", "StreakLinks", "read_streak", "stored_config"]

MAX_MILESTONES: Final = 200
MAX_THRESHOLD: Final = 1_000_000
MAX_ITEMS: Final = 20
MAX_ROLLING_HOURS: Final = 24 * 62
MAX_LATE_SECONDS: Final = 30 * 86_400
MAX_AT_RISK_SECONDS: Final = 62 * 86_400
MAX_FREEZES: Final = 1000
MAX_MIN: Final = Decimal(10) ** 18
DEFAULT_AT_RISK_SECONDS: Final = 3600
DEFAULT_LATE_SECONDS: Final = 86_400

READ_ONLY: Final = frozenset({"id", "version", "created_at", "updated_at"})
_KEYS: Final = ("name", "description", "status", "config")
_CONFIG_KEYS: Final = (
    *("event_types", "expression", "conditions", "window", "condition", "milestones"),
    *("reward_config_id", "at_risk_seconds", "freeze", "late_seconds"),
)
_WINDOW_KEYS: Final = ("type", "period", "timezone", "reset_day", "reset_time", "hours")
_MILESTONE_KEYS: Final = ("threshold", "reward_item_id", "reward_item_ids", "repeatable")
_is_name = re.compile(r"[A-Za-z0-9 _-]{1,255}").fullmatch
_is_clock_time = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]").fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search


# --- Documents -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreakLinks:
    """What a streak may name: the tenant's reward items, and its configs for streaks."""

    item_ids: Collection[UUID] = ()
    config_ids: Collection[UUID] = ()


@dataclass(frozen=True, slots=True)
class StreakFields:
    """A valid document, every default filled in."""

    name: str
    description: str
    status: StreakStatus
    config: StreakConfig


def read_streak(document: Mapping[str, Any], links: StreakLinks) -> StreakFields:
    """Return what ``document`` says (STR-9). Raises: ``DocumentError`` with every fault."""
    faults: list[Fault] = []
    sent = {key: value for key, value in document.items() if key not in READ_ONLY}
    section = Section(sent, "", faults, keys=_KEYS)
    name = _read_name(section)
    description = _read_description(section)
    statuses = get_args(StreakStatus)
    status = cast(StreakStatus, section.choice("status", statuses, "active"))
    config = None
    if section.require("config"):
        config = _read_config(section.section("config", keys=_CONFIG_KEYS), links)
    if faults or config is None:
        raise DocumentError([Fault(fault.path.lstrip("."), fault.message) for fault in faults])
    return StreakFields(name, description, status, config)


def stored_config(document: Mapping[str, Any]) -> tuple[StreakConfig, CompiledMeasure]:
    """Return a config in its full form, ready to count; equal ones are compiled once."""
    return _stored_config(encode(plain_json(document)))


@lru_cache(maxsize=4096)
def _stored_config(text: bytes) -> tuple[StreakConfig, CompiledMeasure]:
    faults: list[Fault] = []
    section = Section(decode(text), "config", faults, keys=_CONFIG_KEYS)
    config = _read_config(section, None)
    if faults or config is None:
        raise DocumentError(faults)
    return config, compile_measure(config.measure)


def _read_name(section: Section) -> str:
    if not section.require("name"):
        return ""
    name = section.raw("name")
    if not isinstance(name, str) or not _is_name(name):
        section.refuse("name", "must be 1 to 255 letters, digits, spaces, _ or -")
        return ""
    return name


def _read_description(section: Section) -> str:
    text = section.raw("description")
    if text is None:
        return ""
    if not isinstance(text, str) or len(text) > 2000 or _CONTROL(text):
        section.refuse("description", "must be a text of at most 2000 characters")
        return ""
    return text


def _read_config(section: Section, links: StreakLinks | None) -> StreakConfig | None:
    """Return the config; without ``links`` it is a stored one, whose links were checked."""
    before = len(section.faults)
    measure, target = _read_measure(section)
    config_id = _read_reward_config(section, links)
    config = {
        "window": _read_window(section),
        "milestones": _read_milestones(section, links),
        "freeze": _read_freeze(section),
        "at_risk_seconds": _seconds(
            section, "at_risk_seconds", DEFAULT_AT_RISK_SECONDS, MAX_AT_RISK_SECONDS
        ),
        "late_seconds": _seconds(section, "late_seconds", DEFAULT_LATE_SECONDS, MAX_LATE_SECONDS),
    }
    if measure is None or target is None or len(section.faults) > before:
        return None
    read = StreakConfig(measure=measure, target=target, reward_config_id=config_id, **config)  # type: ignore[arg-type]
    return replace(read, document=_document(read))


def _seconds(section: Section, key: str, default: int, most: int) -> int:
    return section.integer(key, default, low=0, high=most) if section.has(key) else default


# What the measure calls its parts, and where they stand in a streak.
_PLACES: Final = {
    "conditions": "expression",
    "field": "condition.field",
    "type": "condition.type",
}


def _read_measure(section: Section) -> tuple[Measure | None, Decimal | None]:
    condition = section.section("condition", keys=("type", "field", "min"))
    if section.has("expression") and section.has("conditions"):
        section.refuse("conditions", "says the same as expression: send one of them")
    full = {
        "type": condition.raw("type") or "count",
        "event_types": section.raw("event_types"),
        "conditions": section.raw("expression") or section.raw("conditions"),
        "field": condition.raw("field"),
    }
    faults: list[Fault] = []
    inner = Section(full, "", faults, keys=("type", *MEASURE_KEYS))
    measure = read_measure(inner, types=EVENT_MEASURES)
    for fault in faults:
        first, _, rest = fault.path.lstrip(".").partition(".")
        place = _PLACES.get(first, first)
        section.refuse(f"{place}.{rest}" if rest else place, fault.message)
    return measure, _read_min(condition, measure)


def _read_min(condition: Section, measure: Measure | None) -> Decimal | None:
    value = condition.number("min") if condition.has("min") else Decimal(1)
    if value is None:
        return None
    is_whole = measure is not None and measure.type != "sum"
    if not 0 < value <= MAX_MIN or value != value.quantize(Decimal("1e-8")):
        condition.refuse("min", "must be greater than 0, with at most 8 decimals")
    elif is_whole and value != value.to_integral_value():
        condition.refuse("min", "must be a whole number")
    elif Decimal(str(float(value))) != value:
        condition.refuse("min", "has more digits than a JSON number keeps")
    return value


def _read_window(config: Section) -> WindowRule:
    config.require("window")
    section = config.section("window", keys=_WINDOW_KEYS)
    if not config.has("window"):
        return WindowRule(hours=1)
    section.require("type")
    kind = section.choice("type", ("calendar", "rolling"), "calendar")
    return _read_rolling(section) if kind == "rolling" else _read_calendar(section)


def _read_rolling(section: Section) -> WindowRule:
    for key in ("period", "timezone", "reset_day", "reset_time"):
        if section.has(key):
            section.refuse(key, "is not used by rolling windows")
    if not section.require("hours"):
        return WindowRule(hours=1)
    return WindowRule(hours=section.integer("hours", 1, low=1, high=MAX_ROLLING_HOURS))


def _read_calendar(section: Section) -> WindowRule:
    if section.has("hours"):
        section.refuse("hours", "is not used by calendar windows")
    section.require("period")
    period = cast(PeriodType, section.choice("period", get_args(PeriodType), "daily"))
    return WindowRule(
        period=period,
        timezone=_read_zone(section),
        reset_day=_read_reset_day(section, period),
        reset_time=_read_reset_time(section, period),
    )


def _read_zone(section: Section) -> str:
    zone = section.raw("timezone")
    if zone is None:
        return "UTC"
    if zone != PLAYER_ZONE and (not isinstance(zone, str) or zone not in zone_names()):
        section.refuse("timezone", "must be an IANA time zone, or player")
        return "UTC"
    return str(zone)


def _read_reset_day(section: Section, period: PeriodType) -> str | int | None:
    if period == "weekly":
        return section.choice("reset_day", WEEKDAYS, "monday") if section.has("reset_day") else None
    if period == "monthly":
        return section.integer("reset_day", 1, low=1, high=28) if section.has("reset_day") else None
    if section.has("reset_day"):
        section.refuse("reset_day", f"is not used by {period} windows")
    return None


def _read_reset_time(section: Section, period: PeriodType) -> time | None:
    text = section.raw("reset_time")
    if text is None:
        return None
    if not isinstance(text, str) or not _is_clock_time(text):
        section.refuse("reset_time", "must be a time of day, HH:MM")
        return None
    value = time.fromisoformat(text)
    if period == "hourly":
        if value != time():
            section.refuse("reset_time", "is not used by hourly windows")
        return None
    return value if value != time() else None


def _read_milestones(config: Section, links: StreakLinks | None) -> tuple[Milestone, ...]:
    documents = config.raw("milestones")
    if documents is None:
        return ()
    if not isinstance(documents, list | tuple) or len(documents) > MAX_MILESTONES:
        config.refuse("milestones", f"must be a list of at most {MAX_MILESTONES} milestones")
        return ()
    found: dict[int, Milestone] = {}
    for index, document in enumerate(documents):
        path = f"{config.path}.milestones.{index}"
        section = Section(document, path, config.faults, keys=_MILESTONE_KEYS)
        milestone = _read_milestone(section, links)
        if milestone is not None and milestone.threshold in found:
            section.refuse("threshold", "stands in another milestone already")
        elif milestone is not None:
            found[milestone.threshold] = milestone
    return tuple(found[threshold] for threshold in sorted(found))


def _read_milestone(section: Section, links: StreakLinks | None) -> Milestone | None:
    repeatable = section.raw("repeatable")
    if repeatable is not None and not isinstance(repeatable, bool):
        section.refuse("repeatable", "must be true or false")
    items = _read_items(section, links)
    if not section.require("threshold"):
        return None
    threshold = section.integer("threshold", 0, low=1, high=MAX_THRESHOLD)
    return Milestone(threshold, items, repeatable is True) if threshold else None


def _read_items(section: Section, links: StreakLinks | None) -> tuple[UUID, ...]:
    named = section.raw("reward_item_ids") or []
    if not isinstance(named, list | tuple) or len(named) > MAX_ITEMS:
        section.refuse("reward_item_ids", f"must be a list of at most {MAX_ITEMS} items")
        return ()
    found: dict[UUID, None] = {}
    single = section.raw("reward_item_id")
    places = [] if single is None else [("reward_item_id", single)]
    places += [(f"reward_item_ids.{index}", text) for index, text in enumerate(named)]
    for place, text in places:
        item_id = as_uuid(text)
        if item_id is None or (links is not None and item_id not in links.item_ids):
            section.refuse(place, "is not a reward item of the tenant")
        else:
            found[item_id] = None
    return tuple(found)


def _read_reward_config(config: Section, links: StreakLinks | None) -> UUID | None:
    if not config.has("reward_config_id"):
        return None
    config_id = as_uuid(config.raw("reward_config_id"))
    if config_id is None or (links is not None and config_id not in links.config_ids):
        config.refuse("reward_config_id", "is not a reward config of the tenant for streaks")
    return config_id


def _read_freeze(config: Section) -> FreezePolicy | None:
    if not config.has("freeze"):
        return None
    section = config.section("freeze", keys=("max_held", "per_break"))
    if not section.is_object:
        return None
    most = section.integer("max_held", 1, low=0, high=MAX_FREEZES) if section.has("max_held") else 1
    row = (
        section.integer("per_break", 1, low=1, high=MAX_FREEZES) if section.has("per_break") else 1
    )
    return FreezePolicy(most, row)


# --- The full form -------------------------------------------------------------------------------


def _document(config: StreakConfig) -> dict[str, Any]:
    measure, freeze = config.measure, config.freeze
    condition: dict[str, Any] = {"type": measure.type, "min": plain_number(config.target)}
    if measure.field is not None:
        condition["field"] = measure.field
    config_id = config.reward_config_id
    return {
        "event_types": list(measure.event_types),
        "expression": measure.conditions,
        "window": _window_document(config.window),
        "condition": condition,
        "milestones": [_milestone_document(each) for each in config.milestones],
        "reward_config_id": None if config_id is None else str(config_id),
        "at_risk_seconds": config.at_risk_seconds,
        "freeze": freeze and {"max_held": freeze.max_held, "per_break": freeze.per_break},
        "late_seconds": config.late_seconds,
    }


def _window_document(window: WindowRule) -> dict[str, Any]:
    if window.period is None:
        return {"type": "rolling", "hours": window.hours}
    document: dict[str, Any] = {
        "type": "calendar",
        "period": window.period,
        "timezone": window.timezone,
    }
    if window.reset_day is not None:
        document["reset_day"] = window.reset_day
    if window.period != "hourly":
        document["reset_time"] = f"{window.reset_time or time():%H:%M}"
    return document


def _milestone_document(milestone: Milestone) -> dict[str, Any]:
    items = [str(item_id) for item_id in milestone.item_ids]
    document: dict[str, Any] = {
        "threshold": milestone.threshold,
        "reward_item_id": items[0] if items else None,
        "repeatable": milestone.is_repeatable,
    }
    if len(items) > 1:
        document["reward_item_ids"] = items
    return document
