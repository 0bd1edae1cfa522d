"""Score the log again: what a window's entries must be, event by event.

The same rules as in the consumer, in the order of the log, up to where the consumer is. Proofs,
rebuilds and explanations are made of it; nothing is written.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from ingestion import selectors as ingestion
from ingestion.types import StoredEvent
from leaderboards.constants import SCORING
from leaderboards.models import RefusedEvent, StatusChange, Window
from leaderboards.rules.scoring import CompiledBoard, NotScored, Outcome, apply, score_arrival
from leaderboards.selectors import boards
from leaderboards.selectors.boards import StatusHistory
from leaderboards.types import EntryState, LogPosition
from phoenix_site.common.logging import get_logger

__all__ = [
    "Refusal",
    "Replay",
    "Step",
    "chosen_windows_across_tenants",
    "open_replay",
    "refusals_of",
    "status_history",
]

log = get_logger(__name__)

FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event did not count when its turn came; ``counted_at`` if a replay counted it then."""

    code: str
    counted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """What one event did: the state of its player's entry afterwards, or why there was no change.

    ``points`` are scaled and as they came from the rules; ``rules`` are their 0-based numbers.
    """

    event: StoredEvent
    reason: str | None
    points: int
    rules: tuple[int, ...]
    state: EntryState | None


@dataclass(slots=True)
class Replay:
    """The entries of a window as the events seen so far make them."""

    window: Window
    compiled: CompiledBoard
    statuses: StatusHistory
    refusals: Mapping[int, Refusal]
    states: dict[str, EntryState] = field(default_factory=dict)
    shards: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def run(self, user_id: str | None = None) -> Iterator[Step]:
        """Take the window's events, or those of one player, in the order in which they counted.

        Call it in a transaction. Queries: 1.
        """
        counted_later: list[tuple[datetime, StoredEvent]] = []
        for event in self._events(user_id):
            refusal = self.refusals.get(event.id)
            if refusal is None:
                yield self.take(event)
            elif refusal.counted_at is None:
                yield self._note(Step(event, refusal.code, 0, (), None))
            else:
                counted_later.append((refusal.counted_at, event))
        for _, event in sorted(counted_later, key=lambda pair: (pair[0], pair[1].position)):
            yield self.take(event)

    def take(self, event: StoredEvent) -> Step:
        """Add one event to its player's entry."""
        try:
            step = self._step(event)
        # A mistake of ours concerns one event here too, as in the consumer.
        except Exception:
            log.exception("event.not_replayed", event_id=event.event_id)
            step = Step(event, FAILED, 0, (), None)
        if step.state is not None:
            self.states[str(event.user_id)] = step.state
            self.shards[str(event.user_id)] = event.shard
        return self._note(step)

    def _step(self, event: StoredEvent) -> Step:
        outcome = self._outcome(event)
        if isinstance(outcome, NotScored):
            return Step(event, outcome.reason, 0, (), None)
        state = apply(
            self.compiled,
            self.states.get(str(event.user_id)),
            outcome.points,
            occurred_at=event.occurred_at,
            position=LogPosition(event.xid, event.id),
        )
        if isinstance(state, NotScored):
            return Step(event, state.reason, outcome.points, outcome.rules, None)
        return Step(event, None, outcome.points, outcome.rules, state)

    def _outcome(self, event: StoredEvent) -> Outcome:
        backfilled_at = self.window.backfilled_at
        is_backfilled = backfilled_at is not None and event.received_at < backfilled_at
        return score_arrival(
            self.compiled,
            event.root,
            received_at=event.received_at,
            due_at=self.window.due_at,
            is_active=is_backfilled or self.statuses.was_active(event.received_at),
        )

    def _note(self, step: Step) -> Step:
        self.counts[step.reason or "scored"] += 1
        return step

    def _events(self, user_id: str | None) -> Iterator[StoredEvent]:
        window = self.window
        return ingestion.processed_events(
            SCORING,
            window.tenant_id,
            types=self.compiled.event_types,
            occurred_from=window.starts_at,
            occurred_to=window.ends_at,
            user_id=user_id,
        )


def open_replay(window: Window, *, refusals: Mapping[int, Refusal] | None = None) -> Replay:
    """Return a replay of a window under the config version that scores it. Queries: 2 or 3.

    ``refusals`` are by the event's row; by default those that the consumer noted.
    """
    return Replay(
        window=window,
        compiled=boards.compiled_board(window.board_id, window.version_number),
        statuses=status_history(window.board_id),
        refusals=refusals_of(window) if refusals is None else refusals,
    )


def status_history(board_id: UUID) -> StatusHistory:
    """Return when a board was active. Queries: 1."""
    rows = StatusChange.objects.filter(board_id=board_id).order_by("at").values_list("at", "status")
    changes = list(rows)
    times = tuple(at for at, _ in changes)
    return StatusHistory(times, tuple(status == "active" for _, status in changes))


def refusals_of(window: Window) -> dict[int, Refusal]:
    """Return the events that could not count in a window, by their row. Queries: 1."""
    rows = RefusedEvent.objects.filter(window=window)
    return {
        row: Refusal(code, counted_at)
        for row, code, counted_at in rows.values_list("event_row", "code", "counted_at")
    }


def chosen_windows_across_tenants(
    *,
    tenant_id: str | None = None,
    leaderboard_id: str | None = None,
    key: str | None = None,
    is_scored: bool = False,
) -> list[Window]:
    """Return the windows that a command names, board by board, oldest first. Queries: 1."""
    windows = Window.objects.select_related("board").order_by("board_id", "starts_at")
    wanted = {"tenant_id": tenant_id, "board__leaderboard_id": leaderboard_id, "key": key}
    windows = windows.filter(**{name: value for name, value in wanted.items() if value is not None})
    if is_scored:
        windows = windows.filter(state__in=(Window.State.OPEN, Window.State.CLOSING))
    return list(windows)
