"""Plain shapes of leaderboards: configs, windows, scores and standings.

Scores and points are *scaled*: whole numbers of 10^-decimals, so that 9.5 on a board with two
decimals is 950 and every comparison is exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Literal, NamedTuple

TimeframeType = Literal["hourly", "daily", "weekly", "monthly", "custom", "all_time"]
Match = Literal["all", "first"]
Aggregation = Literal["sum", "max", "min", "last", "count", "avg"]
Method = Literal["score_desc", "score_asc"]
TiePolicy = Literal["first_to_reach", "shared", "dense"]
Reason = Literal[
    "inactive",
    "no_window",
    "scope",
    "late",
    "no_rule",
    "condition",
    "points_missing",
    "points_not_a_number",
    "division_by_zero",
    "out_of_range",
    "limit",
]


@dataclass(frozen=True, slots=True)
class Timeframe:
    """When windows begin. Fields that the type does not use are ``None`` (or their default)."""

    type: TimeframeType
    timezone: str = "UTC"
    # A weekday's English name for weekly windows, 1-28 for monthly ones.
    reset_day: str | int | None = None
    reset_time: time | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    grace_seconds: int = 300


@dataclass(frozen=True, slots=True)
class ScoringRule:
    """What one type of event is worth; ``conditions`` is the document as it was sent."""

    event_type: str
    points_expression: str | None = None
    conditions: Any = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps in log order. Points are in units, not scaled; ``None`` means no cap."""

    max_points_per_event: Decimal | None = None
    max_points_per_window: Decimal | None = None
    max_events_per_window: int | None = None


@dataclass(frozen=True, slots=True)
class Scoring:
    """How events become a score."""

    rules: tuple[ScoringRule, ...]
    match: Match = "all"
    aggregation: Aggregation = "sum"
    decimals: int = 0
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Ranking:
    """How scores become ranks. ``min_score`` and ``max_score`` are inclusive, in units."""

    method: Method = "score_desc"
    tie_policy: TiePolicy = "first_to_reach"
    size: int = 1000
    min_score: Decimal | None = None
    max_score: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Snapshots:
    """How often the top is kept (0: never) and how much of it."""

    every_seconds: int = 3600
    top: int = 100


@dataclass(frozen=True, slots=True)
class BoardConfig:
    """A valid config with every default filled in; ``filters`` is the document as it was sent."""

    timeframe: Timeframe
    scoring: Scoring
    ranking: Ranking = Ranking()
    snapshots: Snapshots = Snapshots()
    filters: Any = None


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """One ``[starts_at, ends_at)`` in UTC and its key; ``ends_at`` is ``None`` for all time."""

    starts_at: datetime
    ends_at: datetime | None
    key: str


class LogPosition(NamedTuple):
    """An event's place in the log: transaction id, then event id. Later is larger."""

    xid: int
    event: int


class EntryState(NamedTuple):
    """A player's score in a window, field by field the columns of an entry.

    A named tuple because scoring makes one per event and board, and a frozen dataclass of this
    size takes three times as long to make.
    """

    score: int
    reached_at: datetime
    # Exact sum of the counted points, scaled; unbounded under ``avg``.
    total: int
    event_count: int
    # False while all points were 0: only then a later zero cannot move ``reached_at`` of a sum.
    has_points: bool
    # The latest counted event by ``occurred_at``, then by its place in the log.
    last_occurred_at: datetime
    last_position: LogPosition


@dataclass(frozen=True, slots=True)
class Standing:
    """An entry with its 1-based rank; ``score`` is scaled."""

    rank: int
    external_id: str
    score: int
    reached_at: datetime


@dataclass(frozen=True, slots=True)
class StandingsHeader:
    """What a closed window's hash covers besides its standings."""

    tenant_id: str
    leaderboard_id: str
    window_key: str
    starts_at: datetime
    ends_at: datetime
    config_version: int
    decimals: int
    revision: int
    previous_hash: str | None = None


class RankedEntry(NamedTuple):
    """The three things that decide an order: scaled score, time reached, external id."""

    external_id: str
    score: int
    reached_at: datetime


Event = Mapping[str, Any]
