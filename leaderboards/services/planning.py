"""What a batch of events is worth, window by window, before anything is written.

Boards are asked in turn, each for all its events, and every event is taken apart once. Nothing is
written here but the windows that an event is the first to need.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from ingestion.types import Refusal, StoredEvent
from leaderboards.constants import MAX_SCALED_SCORE
from leaderboards.models import Window
from leaderboards.rules.scoring import CompiledBoard, NotScored, Scored, apply, score_event
from leaderboards.selectors import boards as board_selectors
from leaderboards.selectors.boards import ScoringBoard
from leaderboards.services import windows
from leaderboards.types import Aggregation, EntryState, LogPosition
from phoenix_site.common.logging import get_logger

log = get_logger(__name__)

OUT_OF_RANGE: Final = "out_of_range"
FAILED: Final = "failed"
_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)

Root = Mapping[str, Any]
# An event and what conditions and expressions read of it, in the order of the log.
Stream = Sequence[tuple[StoredEvent, Root]]


@dataclass(slots=True)
class WindowPlan:
    """The events that score in one window, with their scaled points, in the order of the log."""

    leaderboard_id: str
    window: Window
    compiled: CompiledBoard
    hits: list[tuple[StoredEvent, int]] = field(default_factory=list)

    def find_merge(self) -> "Merge | None":
        """Return how the new points can be added to entries without reading them first.

        ``None`` under averages and limits, which depend on what was there.
        """
        compiled = self.compiled
        if compiled.aggregation == "avg" or _has_window_limits(compiled):
            return None
        largest = MAX_SCALED_SCORE
        if compiled.aggregation in ("sum", "count"):
            step = max(abs(points) for _, points in self.hits)
            # Up and down again within a batch must stay in range, too.
            largest -= 2 * len(self.hits) * max(step, compiled.unit)
        return Merge(compiled.aggregation, largest) if largest > 0 else None


@dataclass(frozen=True, slots=True)
class Merge:
    """The aggregation by which new states are added to entries.

    As long as the scores are at most ``largest`` afterwards, none left the range on the way: then
    the outcome is that of adding event by event.
    """

    aggregation: Aggregation
    largest: int


def _has_window_limits(compiled: CompiledBoard) -> bool:
    return compiled.max_points_per_window is not None or compiled.max_events_per_window is not None


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that should count in a window and cannot."""

    window: Window
    event: StoredEvent
    code: str
    message: str


@dataclass(slots=True)
class Plan:
    """What a batch does: points by window, late events and refused ones."""

    windows: dict[UUID, WindowPlan] = field(default_factory=dict)
    late: list[tuple[Window, StoredEvent]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def refusals(self) -> list[Refusal]:
        """Return one entry for quarantine per refused event, however many windows it misses."""
        messages: dict[int, list[Refused]] = {}
        for refused in self.refused:
            messages.setdefault(refused.event.id, []).append(refused)
        return [
            Refusal(each[0].event, each[0].code, " ".join(one.message for one in each))
            for each in messages.values()
        ]


def plan_batch(events: Sequence[StoredEvent], *, now: datetime) -> Plan:
    """Return what ``events`` are worth on the boards of their tenants.

    Locks: a board that needs a new window. Queries: 2, more when a config or window is new.
    """
    plan = Plan()
    streams = _Streams(events)
    boards = board_selectors.boards_for_scoring(streams.tenant_ids)
    for tenant_id in sorted(boards):
        for board in boards[tenant_id]:
            stream = streams.of(tenant_id, _event_types(board))
            if stream:
                _BoardPlanner(board, plan, stream).run(now)
    return plan


def _event_types(board: ScoringBoard) -> frozenset[str]:
    return frozenset().union(*(compiled.event_types for compiled in board.compiled.values()))


class _Streams:
    """The events of a batch by tenant and type, taken apart when the first board asks."""

    def __init__(self, events: Iterable[StoredEvent]) -> None:
        self._events: dict[tuple[str, str], list[StoredEvent]] = {}
        for event in events:
            # Events about no player have nobody to score for.
            if event.user_id is not None:
                self._events.setdefault((event.tenant_id, event.type), []).append(event)
        self._streams: dict[tuple[str, str], Stream] = {}

    @property
    def tenant_ids(self) -> set[str]:
        return {tenant_id for tenant_id, _ in self._events}

    def of(self, tenant_id: str, event_types: frozenset[str]) -> Stream:
        found = [
            self._stream((tenant_id, event_type))
            for event_type in event_types
            if (tenant_id, event_type) in self._events
        ]
        if len(found) <= 1:
            return found[0] if found else ()
        return sorted((pair for stream in found for pair in stream), key=_position)

    def _stream(self, key: tuple[str, str]) -> Stream:
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = [(event, event.root) for event in self._events[key]]
        return stream


def _position(pair: tuple[StoredEvent, Root]) -> tuple[int, int]:
    return pair[0].position


class _BoardPlanner:
    """Runs the events of one stream past one board, window by window."""

    def __init__(self, board: ScoringBoard, plan: Plan, stream: Stream) -> None:
        self._board = board
        self._plan = plan
        self._stream = stream
        self._windows: Sequence[Window] = board.windows
        self._scorers: dict[UUID, _Scorer] = {}

    def run(self, now: datetime) -> None:
        left = self._score(self._stream)
        if left:
            # Events of windows that are closed, or that nobody has needed before.
            instants = {event.occurred_at for event, _ in left}
            self._windows = windows.ensure_windows(self._board, instants, now=now)
            self._score(left)
        for scorer in self._scorers.values():
            if scorer.scored.hits:
                self._plan.windows[scorer.scored.window.pk] = scorer.scored

    def _score(self, stream: Stream) -> Stream:
        """Score what lies in a known window and return the rest."""
        left: list[tuple[StoredEvent, Root]] = []
        scorer: _Scorer | None = None
        for event, root in stream:
            if scorer is None or not scorer.starts_at <= event.occurred_at < scorer.ends_at:
                scorer = self._scorer_at(event.occurred_at)
                if scorer is None:
                    left.append((event, root))
                    continue
            scorer.take(event, root)
        return left

    def _scorer_at(self, instant: datetime) -> "_Scorer | None":
        index = bisect_right(self._windows, instant, key=_start_of) - 1
        if index < 0 or instant >= (self._windows[index].ends_at or _NEVER):
            return None
        window = self._windows[index]
        if window.pk not in self._scorers:
            version = window.version_number
            compiled = self._board.compiled.get(version)
            if compiled is None:
                compiled = board_selectors.compiled_board(self._board.id, version)
            statuses = _Statuses(self._board, window, self._stream)
            scored = WindowPlan(self._board.leaderboard_id, window, compiled)
            self._scorers[window.pk] = _Scorer(scored, statuses, self._plan)
        return self._scorers[window.pk]


def _start_of(window: Window) -> datetime:
    return window.starts_at


class _Statuses:
    """Whether a window's board was active when an event came in."""

    def __init__(self, board: ScoringBoard, window: Window, stream: Stream) -> None:
        self._board = board
        self._backfilled_at = window.backfilled_at
        first = min(event.received_at for event, _ in stream)
        changes = board.statuses
        self.were_always_active = changes.active[-1:] == (True,) and changes.times[-1] <= first

    def was_active(self, received_at: datetime) -> bool:
        is_backfilled = self._backfilled_at is not None and received_at < self._backfilled_at
        return is_backfilled or self._board.was_active(received_at)


class _Scorer:
    """Takes the events of one window; a class because it runs once per event and board."""

    __slots__ = (
        *("scored", "starts_at", "ends_at"),
        *("_compiled", "_due_at", "_hits", "_is_always_active", "_plan", "_statuses"),
    )

    def __init__(self, scored: WindowPlan, statuses: _Statuses, plan: Plan) -> None:
        window = scored.window
        self.scored = scored
        self.starts_at: datetime = window.starts_at
        self.ends_at: datetime = window.ends_at or _NEVER
        self._due_at: datetime = (window.due_at or _NEVER) if window.is_scored else _ALWAYS
        self._compiled = scored.compiled
        self._hits = scored.hits
        self._is_always_active = statuses.were_always_active
        self._statuses = statuses
        self._plan = plan

    def take(self, event: StoredEvent, root: Root) -> None:
        """Note what the event is worth, that it is late, or that it cannot be counted."""
        if not self._is_always_active and not self._statuses.was_active(event.received_at):
            return
        try:
            if event.received_at >= self._due_at:
                self._take_late(event, root)
                return
            outcome = score_event(self._compiled, root)
        # One bad event must not stop its shard, whatever is wrong with it.
        except Exception as exc:  # noqa: BLE001
            self._plan.refused.append(failed(self.scored, event, exc))
            return
        if type(outcome) is Scored:
            self._hits.append((event, outcome.points))
        elif type(outcome) is NotScored and outcome.reason == OUT_OF_RANGE:
            self._plan.refused.append(out_of_range(self.scored, event))

    def _take_late(self, event: StoredEvent, root: Root) -> None:
        passes_scope = self._compiled.passes_scope
        is_void = self.scored.window.state == Window.State.VOID
        if not is_void and (passes_scope is None or passes_scope(root)):
            self._plan.late.append((self.scored.window, event))


# --- Adding up -----------------------------------------------------------------------------------

# By window, then by player.
States = Mapping[UUID, Mapping[str, EntryState]]


def fold_plan(plan: Plan, states: States) -> dict[UUID, dict[str, EntryState]]:
    """Return the states that ``states`` become, of windows without any those of new events alone.

    What cannot be added goes to the plan's refusals.
    """
    changed: dict[UUID, dict[str, EntryState]] = {}
    positions: dict[int, LogPosition] = {}
    for window_id, scored in plan.windows.items():
        changed[window_id] = _fold_window(plan, scored, states.get(window_id, {}), positions)
    return changed


def _fold_window(
    plan: Plan,
    scored: WindowPlan,
    states: Mapping[str, EntryState],
    positions: dict[int, LogPosition],
) -> dict[str, EntryState]:
    changed: dict[str, EntryState] = {}
    compiled = scored.compiled
    for event, points in scored.hits:
        user_id = str(event.user_id)
        state = changed.get(user_id) or states.get(user_id)
        position = positions.get(event.id)
        if position is None:
            position = positions[event.id] = LogPosition(event.xid, event.id)
        try:
            new = apply(compiled, state, points, occurred_at=event.occurred_at, position=position)
        except Exception as exc:  # noqa: BLE001 - as above
            plan.refused.append(failed(scored, event, exc))
            continue
        if type(new) is EntryState:
            changed[user_id] = new
        elif type(new) is NotScored and new.reason == OUT_OF_RANGE:
            plan.refused.append(out_of_range(scored, event))
    return changed


def out_of_range(scored: WindowPlan, event: StoredEvent) -> Refused:
    """Return that the event would take an entry beyond what a score can be."""
    return _refused(scored, event, OUT_OF_RANGE, "the score would have more than 15 digits.")


def failed(scored: WindowPlan, event: StoredEvent, error: Exception) -> Refused:
    """Return that scoring the event failed, by a mistake of ours; what it was goes to the log."""
    window = scored.window
    log.error("event.not_scored", window=window.pk.hex, event_id=event.event_id, exc_info=error)
    return _refused(scored, event, FAILED, f"scoring failed, {type(error).__name__}.")


def _refused(scored: WindowPlan, event: StoredEvent, code: str, why: str) -> Refused:
    message = f"{scored.leaderboard_id} {scored.window.key}: {why}"
    return Refused(scored.window, event, code, message)
