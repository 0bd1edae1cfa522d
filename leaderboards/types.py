"""Plain shapes of leaderboards: configs, windows, scores and standings.

Scores and points are *scaled*: whole numbers of 10^-decimals, so that 9.5 on a board with two
decimals is 950 and every comparison is exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar
from uuid import UUID

from leaderboards.constants import MAX_SCALED_SCORE

TimeframeType = Literal["hourly", "daily", "weekly", "monthly", "custom", "all_time"]
Match = Literal["all", "first"]
Aggregation = Literal["sum", "max", "min", "last", "count", "avg"]
Method = Literal["score_desc", "score_asc"]
TiePolicy = Literal["first_to_reach", "shared", "dense"]
BoardStatus = Literal["active", "inactive", "archived"]
WindowState = Literal["open", "closing", "closed", "void"]
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
    """What a closed window's hash covers besides its standings.

    ``ends_at`` is ``None`` for a snapshot of a window that never closes.
    """

    tenant_id: str
    leaderboard_id: str
    window_key: str
    starts_at: datetime
    ends_at: datetime | None
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


class WindowLike(Protocol):
    """What reading standings needs of a window: the model has it, and so may a kept copy."""

    @property
    def id(self) -> UUID: ...
    @property
    def state(self) -> str: ...
    @property
    def revision(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BoardView:
    """How the entries of a window become a list.

    ``method`` and ``tie_policy`` are those of the config version that scores the window, ``size``
    and the bounds those of the newest. Bounds are scaled like the window's scores and included;
    entries outside are kept but not ranked.
    """

    method: Method = "score_desc"
    tie_policy: TiePolicy = "first_to_reach"
    size: int = 1000
    lowest: int = -MAX_SCALED_SCORE
    highest: int = MAX_SCALED_SCORE


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """A window and its board as readers see them, with all that reading its standings needs.

    Satisfies ``WindowLike``. ``state`` is as readers see it: ``closing`` from the very end on.
    """

    id: UUID
    board_id: UUID
    tenant_id: str
    leaderboard_id: str
    name: str
    key: str
    starts_at: datetime
    ends_at: datetime | None
    state: WindowState
    version_number: int
    revision: int
    closed_at: datetime | None
    hash: str
    previous_hash: str
    decimals: int
    view: BoardView

    @property
    def is_history(self) -> bool:
        """Whether the standings are those of a closed window, which nothing changes."""
        return self.state == "closed"


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of the standings that an answer shows.

    In one ``epoch`` equal sequences are equal standings, and ``sequence`` grows with every change;
    nothing can be said about numbers of different epochs.
    """

    epoch: str
    sequence: int


@dataclass(frozen=True, slots=True)
class StandingsPage:
    """Consecutive standings from the 0-based ``offset`` on.

    ``total`` counts the listed entries (at most the board's size), ``total_players`` all ranked.
    """

    moment: Moment
    standings: list[Standing]
    offset: int
    total: int
    total_players: int


@dataclass(frozen=True, slots=True)
class PlayerStanding:
    """One player's entry; ``rank`` is ``None`` when the score is outside the board's bounds.

    ``below_count`` counts the players ranked strictly below; ``better`` is the entry one place
    better (with shared ranks: of the next better rank), ``None`` at the top.
    """

    moment: Moment
    external_id: str
    score: int
    reached_at: datetime
    rank: int | None
    below_count: int
    better: Standing | None
    total: int
    total_players: int


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """A player's standing and the page around it; the page is empty while it is not ranked."""

    player: PlayerStanding
    page: StandingsPage


@dataclass(frozen=True, slots=True)
class ScoreRank:
    """The rank that a score would take now, ``None`` outside the board's bounds."""

    moment: Moment
    rank: int | None
    tied_count: int
    total_players: int


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """One of several players asked for; both ranks are ``None`` when the entry is not ranked."""

    external_id: str
    score: int
    reached_at: datetime
    rank: int | None
    group_rank: int | None


@dataclass(frozen=True, slots=True)
class GroupStandings:
    """Several players in rank order, the unranked last; ``missing`` have no entry."""

    moment: Moment
    standings: list[GroupStanding]
    missing: list[str]
    total: int
    total_players: int


@dataclass(frozen=True, slots=True)
class Totals:
    """How many entries a list has (at most the board's size), and how many players are ranked."""

    moment: Moment
    total: int
    total_players: int


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A page of a list, and how many items the whole list has."""

    items: list[T]
    total: int


@dataclass(frozen=True, slots=True)
class ListedBoard:
    """An active board in the list that players see; ``window`` is the current one, if any."""

    leaderboard_id: str
    name: str
    description: str
    timeframe: Mapping[str, Any]
    window: ShownWindow | None
    total_players: int


@dataclass(frozen=True, slots=True)
class ListedWindow:
    """A window in the list of its board, and how many players are ranked in it."""

    window: ShownWindow
    total_players: int


@dataclass(frozen=True, slots=True)
class ListedSnapshot:
    """A snapshot in the list of its board."""

    taken_at: datetime
    window_key: str
    is_final: bool
    entry_count: int
    hash: str


@dataclass(frozen=True, slots=True)
class ShownSnapshot:
    """A snapshot and its window; a final one has every ranked player, an interim one the first.

    ``entry_count`` is how many standings it holds, ``total_players`` how many were ranked then;
    ``standings`` are those of an interim one.
    """

    window: ShownWindow
    taken_at: datetime
    is_final: bool
    entry_count: int
    total_players: int
    hash: str
    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class IndexedWindow:
    """What the rank index of a window is made for; of another generation or order it is void."""

    id: UUID
    generation: int
    method: Method
    tie_policy: TiePolicy


class IndexEntry(NamedTuple):
    """An entry as the rank index files it; a named tuple because batches make thousands."""

    external_id: str
    reached_at: datetime
    score: int


@dataclass(frozen=True, slots=True)
class ShardChanges:
    """The entries of a window that one batch of ``shard`` wrote, in the order of their versions.

    Versions ``before + 1`` to ``after`` are steps of ``INDEX_STEP`` entries each: so much goes into
    the index at once, and every step is a state with a number of its own.
    """

    window: IndexedWindow
    shard: int
    before: int
    after: int
    entries: list[IndexEntry]
