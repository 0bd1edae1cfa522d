"""Board configs: from the document that was sent to a ``BoardConfig`` and back.

An unknown key or a value out of bounds is a fault with its path: a misspelled rule must not
quietly run another competition. All faults are found in one pass.
"""

import re
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Final, cast, get_args

from leaderboards.constants import (
    DEFAULT_GRACE_SECONDS,
    DEFAULT_LIST_SIZE,
    DEFAULT_SNAPSHOT_SECONDS,
    DEFAULT_SNAPSHOT_TOP,
    MAX_DECIMALS,
    MAX_GRACE_SECONDS,
    MAX_LIST_SIZE,
    MAX_RULES,
    MAX_SNAPSHOT_SECONDS,
    MAX_SNAPSHOT_TOP,
    MIN_SNAPSHOT_SECONDS,
)
from leaderboards.exceptions import ConfigError
from leaderboards.rules.scores import ScoreRangeError, to_scaled, to_scaled_exactly
from leaderboards.rules.windows import WEEKDAYS
from leaderboards.types import (
    Aggregation,
    BoardConfig,
    Limits,
    Match,
    Method,
    Ranking,
    Scoring,
    ScoringRule,
    Snapshots,
    TiePolicy,
    Timeframe,
    TimeframeType,
)
from phoenix_site.common.conditions import ConditionError, compile_condition
from phoenix_site.common.documents import Section, plain_json, plain_number
from phoenix_site.common.expressions import ExpressionError, compile_expression
from phoenix_site.common.faults import Fault
from phoenix_site.common.times import format_utc
from phoenix_site.common.zones import UnknownZoneError, load_zone

__all__ = ["normalized_document", "parse_config"]

_RESERVED_KEYS: Final = frozenset(
    {"partition_by", "secondary_expression", "cohorts", "leagues", "teams"}
)
_RESERVED_TIMEFRAMES: Final = frozenset({"cron", "rolling"})
_RESERVED_TIMEFRAME_KEYS: Final = _RESERVED_KEYS | {"expression", "seconds"}

_TIMEFRAME_TYPES: Final[tuple[TimeframeType, ...]] = get_args(TimeframeType)
_is_event_type = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_-]+)*").fullmatch
_is_clock_time = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]").fullmatch
_MAX_EVENT_TYPE_LENGTH: Final = 100


def parse_config(document: Any, *, path: str = "config") -> BoardConfig:
    """Return the config that ``document`` describes, with every default filled in.

    ``path`` is where the document stands in the request; paths of faults begin with it.
    Raises: ``ConfigError`` with every fault.
    """
    faults: list[Fault] = []
    keys = ("scope", "timeframe", "scoring", "ranking", "snapshots")
    config = Section(document, path, faults, keys=keys, reserved=_RESERVED_KEYS)
    scoring = _read_scoring(config)
    parsed = BoardConfig(
        timeframe=_read_timeframe(config),
        scoring=scoring,
        ranking=_read_ranking(config, scoring.decimals),
        snapshots=_read_snapshots(config),
        filters=_read_filters(config),
    )
    if faults:
        raise ConfigError(faults)
    return parsed


def normalized_document(config: BoardConfig) -> dict[str, Any]:
    """Return ``config`` as a document of plain JSON values, every default filled in.

    What has no default is left out. ``parse_config`` of the result gives ``config`` again.
    """
    ranking = config.ranking
    return {
        "scope": {} if config.filters is None else {"filters": config.filters},
        "timeframe": _timeframe_document(config.timeframe),
        "scoring": _scoring_document(config.scoring),
        "ranking": _without_none(
            {
                "method": ranking.method,
                "tie_policy": ranking.tie_policy,
                "size": ranking.size,
                "min_score": _plain(ranking.min_score),
                "max_score": _plain(ranking.max_score),
            }
        ),
        "snapshots": {
            "every_seconds": config.snapshots.every_seconds,
            "top": config.snapshots.top,
        },
    }


def _read_filters(config: Section) -> Any:
    scope = config.section("scope", keys=("filters",), reserved=_RESERVED_KEYS)
    return _read_condition(scope, "filters")


def _read_condition(section: Section, key: str) -> Any:
    document = section.raw(key)
    if document is None:
        return None
    try:
        compile_condition(document)
        return plain_json(document)
    except ConditionError as exc:
        section.faults.extend(fault.under(f"{section.path}.{key}") for fault in exc.faults)
    except ValueError as exc:
        section.refuse(key, str(exc))
    return None


def _read_timeframe(config: Section) -> Timeframe:
    config.require("timeframe")
    keys = ("type", "timezone", "reset_day", "reset_time", "start_at", "end_at", "grace_seconds")
    section = config.section("timeframe", keys=keys, reserved=_RESERVED_TIMEFRAME_KEYS)
    timeframe_type = _read_timeframe_type(section) if config.has("timeframe") else None
    timezone = _read_timezone(section)
    grace = section.integer("grace_seconds", DEFAULT_GRACE_SECONDS, low=0, high=MAX_GRACE_SECONDS)
    if timeframe_type is None:
        return Timeframe("all_time")
    if timeframe_type != "custom":
        _refuse_unused(section, ("start_at", "end_at"), timeframe_type)
    start_at, end_at = _read_dates(section) if timeframe_type == "custom" else (None, None)
    return Timeframe(
        type=timeframe_type,
        timezone=timezone,
        reset_day=_read_reset_day(section, timeframe_type),
        reset_time=_read_reset_time(section, timeframe_type),
        start_at=start_at,
        end_at=end_at,
        grace_seconds=grace,
    )


def _read_timeframe_type(section: Section) -> TimeframeType | None:
    if not section.require("type"):
        return None
    value = section.raw("type")
    if isinstance(value, str) and value in _RESERVED_TIMEFRAMES:
        section.refuse("type", "not supported yet")
        return None
    if value not in _TIMEFRAME_TYPES:
        section.refuse("type", f"must be one of {', '.join(_TIMEFRAME_TYPES)}")
        return None
    return cast(TimeframeType, value)


def _read_timezone(section: Section) -> str:
    name = section.raw("timezone")
    if name is None:
        return "UTC"
    try:
        load_zone(name)
    except (UnknownZoneError, TypeError):
        section.refuse("timezone", "must be an IANA time zone, such as Europe/Berlin")
    return str(name)


def _read_reset_day(section: Section, timeframe_type: TimeframeType) -> str | int | None:
    if timeframe_type == "weekly":
        return (
            section.choice("reset_day", WEEKDAYS, "monday")
            if section.has("reset_day")
            else "monday"
        )
    if timeframe_type == "monthly":
        return section.integer("reset_day", 1, low=1, high=28) if section.has("reset_day") else 1
    _refuse_unused(section, ("reset_day",), timeframe_type)
    return None


def _read_reset_time(section: Section, timeframe_type: TimeframeType) -> time | None:
    if timeframe_type in ("hourly", "custom", "all_time"):
        _refuse_unused(section, ("reset_time",), timeframe_type)
        return None
    text = section.raw("reset_time")
    if text is None:
        return time()
    if not isinstance(text, str) or not _is_clock_time(text):
        section.refuse("reset_time", "must be a time of day, HH:MM")
        return None
    return time.fromisoformat(text)


def _read_dates(section: Section) -> tuple[datetime | None, datetime | None]:
    section.require("start_at")
    section.require("end_at")
    start_at, end_at = section.instant("start_at"), section.instant("end_at")
    if start_at is not None and end_at is not None and end_at <= start_at:
        section.refuse("end_at", "must be later than start_at")
    return start_at, end_at


def _refuse_unused(section: Section, keys: tuple[str, ...], timeframe_type: TimeframeType) -> None:
    for key in keys:
        if section.has(key):
            section.refuse(key, f"is not used by {timeframe_type} windows")


def _read_scoring(config: Section) -> Scoring:
    config.require("scoring")
    keys = ("rules", "match", "aggregation", "decimals", "limits")
    section = config.section("scoring", keys=keys, reserved=_RESERVED_KEYS)
    aggregation = cast(Aggregation, section.choice("aggregation", get_args(Aggregation), "sum"))
    decimals = section.integer("decimals", 0, low=0, high=MAX_DECIMALS)
    return Scoring(
        rules=_read_rules(section, aggregation) if config.has("scoring") else (),
        match=cast(Match, section.choice("match", get_args(Match), "all")),
        aggregation=aggregation,
        decimals=decimals,
        limits=_read_limits(section, aggregation, decimals),
    )


def _read_rules(section: Section, aggregation: Aggregation) -> tuple[ScoringRule, ...]:
    documents = section.raw("rules")
    if documents is None:
        section.require("rules")
        return ()
    if not isinstance(documents, list | tuple) or not 1 <= len(documents) <= MAX_RULES:
        section.refuse("rules", f"must be a list of 1 to {MAX_RULES} rules")
        return ()
    return tuple(
        _read_rule(
            Section(
                document,
                f"{section.path}.rules.{index}",
                section.faults,
                keys=("event_type", "points_expression", "conditions"),
                reserved=_RESERVED_KEYS,
            ),
            aggregation,
        )
        for index, document in enumerate(documents)
    )


def _read_rule(rule: Section, aggregation: Aggregation) -> ScoringRule:
    return ScoringRule(
        event_type=_read_event_type(rule),
        points_expression=_read_points_expression(rule, aggregation),
        conditions=_read_condition(rule, "conditions"),
    )


def _read_event_type(rule: Section) -> str:
    if not rule.require("event_type"):
        return ""
    value = rule.raw("event_type")
    if (
        not isinstance(value, str)
        or len(value) > _MAX_EVENT_TYPE_LENGTH
        or not _is_event_type(value)
    ):
        rule.refuse("event_type", "must be an event type, such as match.completed")
    return str(value)


def _read_points_expression(rule: Section, aggregation: Aggregation) -> str | None:
    if not rule.has("points_expression"):
        if aggregation != "count":
            rule.require("points_expression")
        return None
    text = rule.raw("points_expression")
    try:
        return compile_expression(text).text
    except ExpressionError as exc:
        rule.refuse("points_expression", f"{exc.message} (at character {exc.position + 1})")
        return None


def _read_limits(scoring: Section, aggregation: Aggregation, decimals: int) -> Limits:
    if not scoring.has("limits"):
        return Limits()
    keys = ("max_points_per_event", "max_points_per_window", "max_events_per_window")
    section = scoring.section("limits", keys=keys, reserved=_RESERVED_KEYS)
    if section.has("max_points_per_window") and aggregation != "sum":
        section.refuse("max_points_per_window", "is only for the aggregation sum")
    if section.has("max_points_per_event") and aggregation == "count":
        section.refuse("max_points_per_event", "is not used by the aggregation count")
    events = section.integer("max_events_per_window", 1, low=1, high=2_147_483_647)
    return Limits(
        max_points_per_event=_read_point_limit(section, "max_points_per_event", decimals),
        max_points_per_window=_read_point_limit(section, "max_points_per_window", decimals),
        max_events_per_window=events if section.has("max_events_per_window") else None,
    )


def _read_point_limit(section: Section, key: str, decimals: int) -> Decimal | None:
    value = section.number(key)
    if value is None:
        return None
    try:
        if to_scaled_exactly(value, decimals) <= 0:
            section.refuse(key, "must be greater than 0")
    except ScoreRangeError as exc:
        section.refuse(key, str(exc))
    return value


def _read_ranking(config: Section, decimals: int) -> Ranking:
    keys = ("method", "tie_policy", "size", "min_score", "max_score")
    section = config.section("ranking", keys=keys, reserved=_RESERVED_KEYS)
    lowest = _read_score(section, "min_score", decimals)
    highest = _read_score(section, "max_score", decimals)
    if lowest is not None and highest is not None and lowest > highest:
        section.refuse("max_score", "must not be less than min_score")
    return Ranking(
        method=cast(Method, section.choice("method", get_args(Method), "score_desc")),
        tie_policy=cast(
            TiePolicy, section.choice("tie_policy", get_args(TiePolicy), "first_to_reach")
        ),
        size=section.integer("size", DEFAULT_LIST_SIZE, low=1, high=MAX_LIST_SIZE),
        min_score=lowest,
        max_score=highest,
    )


def _read_score(section: Section, key: str, decimals: int) -> Decimal | None:
    value = section.number(key)
    if value is None:
        return None
    try:
        to_scaled(value, decimals)
        plain_number(value)
    except ValueError as exc:
        section.refuse(key, str(exc))
    return value


def _read_snapshots(config: Section) -> Snapshots:
    section = config.section("snapshots", keys=("every_seconds", "top"), reserved=_RESERVED_KEYS)
    seconds = section.integer(
        "every_seconds", DEFAULT_SNAPSHOT_SECONDS, low=0, high=MAX_SNAPSHOT_SECONDS
    )
    if 0 < seconds < MIN_SNAPSHOT_SECONDS:
        allowed = f"{MIN_SNAPSHOT_SECONDS} to {MAX_SNAPSHOT_SECONDS}"
        section.refuse("every_seconds", f"must be 0 (never) or from {allowed}")
    top = section.integer("top", DEFAULT_SNAPSHOT_TOP, low=1, high=MAX_SNAPSHOT_TOP)
    return Snapshots(seconds, top)


def _timeframe_document(timeframe: Timeframe) -> dict[str, Any]:
    reset_time = timeframe.reset_time
    return _without_none(
        {
            "type": timeframe.type,
            "timezone": timeframe.timezone,
            "reset_day": timeframe.reset_day,
            "reset_time": None if reset_time is None else f"{reset_time:%H:%M}",
            "start_at": None if timeframe.start_at is None else format_utc(timeframe.start_at),
            "end_at": None if timeframe.end_at is None else format_utc(timeframe.end_at),
            "grace_seconds": timeframe.grace_seconds,
        }
    )


def _scoring_document(scoring: Scoring) -> dict[str, Any]:
    limits = _without_none(
        {
            "max_points_per_event": _plain(scoring.limits.max_points_per_event),
            "max_points_per_window": _plain(scoring.limits.max_points_per_window),
            "max_events_per_window": scoring.limits.max_events_per_window,
        }
    )
    return _without_none(
        {
            "rules": [_rule_document(rule) for rule in scoring.rules],
            "match": scoring.match,
            "aggregation": scoring.aggregation,
            "decimals": scoring.decimals,
            "limits": limits or None,
        }
    )


def _rule_document(rule: ScoringRule) -> dict[str, Any]:
    return _without_none(
        {
            "event_type": rule.event_type,
            "points_expression": rule.points_expression,
            "conditions": rule.conditions,
        }
    )


def _plain(value: Decimal | None) -> int | float | None:
    return None if value is None else plain_number(value)


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}
