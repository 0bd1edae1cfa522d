"""Closing: a window that is due is frozen, ranked, hashed and announced, exactly once.

First the log is asked for a *barrier*: a transaction id below which every event lies that was
received in time. When scoring has passed it, nothing can change the entries any more. Then one
transaction does everything; whoever repeats it finds the window closed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import connection, transaction

from ingestion import selectors as log_selectors
from ingestion.services import cursors
from ingestion.services.log import append_events
from ingestion.types import EventInput
from leaderboards import broadcasts
from leaderboards.constants import EVENTS_PER_APPEND, MAX_WINDOWS_PER_CLOSING, SCORING
from leaderboards.models import FrozenStanding, Leaderboard, Snapshot, Window
from leaderboards.rules.hashing import hash_standings
from leaderboards.rules.scores import from_scaled
from leaderboards.selectors import boards as board_selectors
from leaderboards.selectors import windows as selectors
from leaderboards.services import index, locks
from leaderboards.types import BoardView, Method, Standing, StandingsHeader, TiePolicy
from phoenix_site.common.commits import after_commit
from phoenix_site.common.logging import get_logger

log = get_logger(__name__)

_FIRST_REVISION: Final = 1
_ROWS_PER_FETCH: Final = 5000
_ORDERS: Final[dict[Method, str]] = {"score_desc": "score DESC", "score_asc": "score"}
_RANKS: Final[dict[TiePolicy, str]] = {
    "first_to_reach": "row_number() OVER in_order",
    "shared": "rank() OVER by_score",
    "dense": "dense_rank() OVER by_score",
}
# The ids are sorted byte for byte, which is the collation of their column.
_FREEZE: Final = """
INSERT INTO leaderboards_frozenstanding
    (window_id, revision, place, rank, user_id, score, reached_at)
SELECT window_id, %(revision)s, row_number() OVER in_order, {rank}, user_id, score, reached_at
FROM leaderboards_entry
WHERE window_id = %(window)s AND score BETWEEN %(lowest)s AND %(highest)s
WINDOW in_order AS (ORDER BY {order}, reached_at, user_id), by_score AS (ORDER BY {order})
ORDER BY 3
"""


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """What the closing of a window found out; ``listed`` is how many its list shows."""

    board: Leaderboard
    window: Window
    decimals: int
    listed: int


def close_due_windows(window_id: UUID, *, now: datetime) -> int:
    """Close the window and then what else is due on its board, oldest first; return how many.

    Stops at the first one that cannot be closed yet. Repeats: safe, see ``close_window``.
    """
    closed_count = 0
    board_id = Window.objects.filter(pk=window_id).values_list("board_id", flat=True).first()
    while board_id is not None and closed_count < MAX_WINDOWS_PER_CLOSING:
        window = selectors.next_due_window(board_id, now)
        if window is None or not close_window(window.pk, now=now):
            break
        closed_count += 1
    return closed_count


def close_window(window_id: UUID, *, now: datetime) -> bool:
    """Close the window if its time has come, and return whether this call did it.

    Not before it is due, before its predecessor is closed, before every transaction that began
    earlier has ended, and before scoring has seen all of them.

    Repeats: safe, also at the same time and after a crash at any point: the row decides.
    Locks: the window.
    """
    if not _is_frozen(window_id, now):
        return False
    with transaction.atomic():
        window = locks.lock_window_to_close(window_id)
        if window is None or not window.is_scored:
            return False
        _close(window, now)
    return True


def _is_frozen(window_id: UUID, now: datetime) -> bool:
    """Whether the window is due, the next of its board to close, and scored to its end."""
    window = Window.objects.filter(pk=window_id).first()
    if window is None:
        return False
    due = selectors.next_due_window(window.board_id, now)
    if due is None or due.pk != window_id:
        return False
    barrier = due.freeze_barrier or _find_barrier(due, now)
    return barrier is not None and log_selectors.has_passed(SCORING, barrier)


def _find_barrier(oldest: Window, now: datetime) -> int | None:
    """Ask the log for a barrier and keep it for every window of the board that it serves.

    That of the latest deadline serves all that are due. It is asked for before the first of them
    is closed: one asked for later would lie behind that window's own events.
    """
    for deadline in (selectors.latest_deadline(oldest.board_id, now), oldest.due_at):
        barrier = None if deadline is None else cursors.freeze_barrier(deadline)
        if barrier is not None:
            served = Window.objects.filter(board_id=oldest.board_id, due_at__lte=deadline)
            served.filter(freeze_barrier=None).update(freeze_barrier=barrier)
            return barrier
    return None


def _close(window: Window, now: datetime) -> None:
    board = Leaderboard.objects.get(pk=window.board_id)
    view = board_selectors.view_of(window, board)
    total_players = _freeze(window, view)
    config = board_selectors.config_of_version(board.pk, window.version_number)
    closed = ClosedWindow(
        board, window, config.scoring.decimals, listed=min(view.size, total_players)
    )
    window.previous_hash = selectors.previous_hash(window)
    window.revision = _FIRST_REVISION
    window.hash = _hash(closed)
    window.total_players = total_players
    window.entry_count = closed.listed
    window.state = Window.State.CLOSED
    window.closed_at = now
    window.plan += 1
    window.save()
    _keep_snapshot(window)
    _announce(closed)
    after_commit(_tell, window.pk)
    log.info(
        "window.closed", window=window.pk.hex, board=board.pk.hex, key=window.key, hash=window.hash
    )


def _freeze(window: Window, view: BoardView) -> int:
    """Write the final standings and return how many players are ranked."""
    statement = _FREEZE.format(rank=_RANKS[view.tie_policy], order=_ORDERS[view.method])
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            {
                "window": window.pk,
                "revision": _FIRST_REVISION,
                "lowest": view.lowest,
                "highest": view.highest,
            },
        )
        return int(cursor.rowcount)


def _hash(closed: ClosedWindow) -> str:
    window = closed.window
    assert window.ends_at is not None, "a window without end is never due"  # noqa: S101
    header = StandingsHeader(
        tenant_id=window.tenant_id,
        leaderboard_id=closed.board.leaderboard_id,
        window_key=window.key,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        config_version=window.version_number,
        decimals=closed.decimals,
        revision=window.revision,
        previous_hash=window.previous_hash or None,
    )
    return hash_standings(header, _frozen(window))


def _frozen(window: Window, *, up_to: int | None = None) -> Iterator[Standing]:
    rows = FrozenStanding.objects.filter(window=window, revision=_FIRST_REVISION)
    if up_to is not None:
        rows = rows.filter(place__lte=up_to)
    values = rows.order_by("place").values_list("rank", "user_id", "score", "reached_at")
    for row in values.iterator(chunk_size=_ROWS_PER_FETCH):
        yield Standing(*row)


def _keep_snapshot(window: Window) -> None:
    """Enter the window into its board's snapshots, at its end; its rows are the frozen ones."""
    assert window.ends_at is not None, "a window without end is never due"  # noqa: S101
    Snapshot.objects.create(
        board_id=window.board_id,
        window=window,
        taken_at=window.ends_at,
        is_final=True,
        entry_count=window.total_players,
        total_players=window.total_players,
        hash=window.hash,
    )


def _tell(window_id: UUID) -> None:
    index.drop_index(window_id)
    broadcasts.mark_dirty([window_id])


# --- Events --------------------------------------------------------------------------------------


def _announce(closed: ClosedWindow) -> None:
    closing = _closed_event(closed)
    append_events([closing])
    placed: list[EventInput] = []
    for standing in _frozen(closed.window, up_to=closed.listed):
        placed.append(_placed_event(closed, standing, cause=closing.event_id))
        if len(placed) == EVENTS_PER_APPEND:
            append_events(placed)
            placed = []
    append_events(placed)


def _closed_event(closed: ClosedWindow) -> EventInput:
    window = closed.window
    return EventInput(
        tenant_id=window.tenant_id,
        event_id=_event_id("leaderboard.window.closed", closed),
        type="leaderboard.window.closed",
        occurred_at=_closed_at(window),
        attrs={
            "leaderboard_id": closed.board.leaderboard_id,
            "window_key": window.key,
            "entries": window.entry_count,
            "total_players": window.total_players,
            "hash": window.hash,
            "revision": window.revision,
            "config_version": window.version_number,
        },
        cause=f"window:{window.pk}",
    )


def _placed_event(closed: ClosedWindow, standing: Standing, *, cause: str) -> EventInput:
    window = closed.window
    return EventInput(
        tenant_id=window.tenant_id,
        event_id=_event_id("leaderboard.placed", closed, standing.external_id),
        type="leaderboard.placed",
        user_id=standing.external_id,
        occurred_at=_closed_at(window),
        attrs={
            "leaderboard_id": closed.board.leaderboard_id,
            "window_key": window.key,
            "rank": standing.rank,
            "score": _score(standing.score, closed.decimals),
            "total_players": window.total_players,
            "revision": window.revision,
            "reward_config_id": closed.board.reward_config_id,
        },
        cause=cause,
        depth=1,
    )


def _event_id(event_type: str, closed: ClosedWindow, *more: str) -> str:
    """Return an id that follows from board, window, revision and player, and fits the limit."""
    window = closed.window
    parts = (window.tenant_id, closed.board.leaderboard_id, window.key, str(window.revision), *more)
    return f"{event_type}:{uuid5(NAMESPACE_URL, chr(9).join((event_type, *parts)))}"


def _closed_at(window: Window) -> datetime:
    assert window.closed_at is not None, "set before the events are made"  # noqa: S101
    return window.closed_at


def _score(scaled: int, decimals: int) -> Any:
    return from_scaled(scaled, decimals) if decimals else scaled
