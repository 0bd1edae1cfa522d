"""Who may touch a window at the same time: many batches, or one change.

Scoring batches overlap all the time, and PostgreSQL lets a new sharer of a row lock pass one who
waits for it alone: on a busy board a change would wait for ever. Advisory locks queue fairly, so
they are taken first; the row is then read, or locked by a change, without anybody in the way.

Lock order everywhere: cursor, board, windows (by id), entries.
"""

from collections.abc import Iterable
from uuid import UUID

from django.db import connection

from leaderboards.models import Leaderboard, Window
from leaderboards.selectors.shown import nothing_here

_SHARED = "SELECT pg_advisory_xact_lock_shared(number) FROM unnest(%s::bigint[]) AS number"
_ALONE = "SELECT pg_advisory_xact_lock(number) FROM unnest(%s::bigint[]) AS number"
_TRY_ALONE = "SELECT pg_try_advisory_xact_lock(%s)"
# Turns a window's number into that of the lock by which closers find each other.
_CLOSERS = 0x0C105E


def lock_windows_for_scoring(window_ids: Iterable[UUID]) -> dict[UUID, Window]:
    """Keep changes away from these windows until the transaction ends; return them as they are.

    Batches share the lock. A window that is gone is missing in the answer; one whose ``plan`` is
    not the number that the batch was planned with has changed: plan the batch anew, best in a new
    transaction. Locks: the windows, shared. Queries: 2.
    """
    chosen = sorted(set(window_ids))
    if not chosen:
        return {}
    _lock(_SHARED, chosen)
    return Window.objects.in_bulk(chosen)


def lock_windows_for_change(window_ids: Iterable[UUID]) -> dict[UUID, Window]:
    """Wait for the batches that score these windows, keep others away, and return them.

    Locks: the windows, alone. Queries: 2.
    """
    chosen = sorted(set(window_ids))
    if not chosen:
        return {}
    _lock(_ALONE, chosen)
    rows = Window.objects.select_for_update(no_key=True).filter(pk__in=chosen).order_by("pk")
    return {window.pk: window for window in rows}


def lock_window_to_close(window_id: UUID) -> Window | None:
    """Return the window locked for a change, or ``None`` when another worker is closing it.

    Locks: the window, alone; waits for batches, not for other closers. Queries: 3.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TRY_ALONE, [_number(window_id) ^ _CLOSERS])
        if not cursor.fetchone()[0]:
            return None
    return lock_windows_for_change([window_id]).get(window_id)


def lock_board(board_id: UUID) -> Leaderboard:
    """Return the board, locked: one at a time changes it or makes windows for it.

    Locks: the board. Raises: ``NotFoundError``. Queries: 1.
    """
    board = Leaderboard.objects.select_for_update(no_key=True).filter(pk=board_id).first()
    if board is None:
        raise nothing_here()
    return board


def _lock(statement: str, window_ids: list[UUID]) -> None:
    # In the order of their numbers, so that no two transactions wait for each other.
    with connection.cursor() as cursor:
        cursor.execute(statement, [sorted(map(_number, window_ids))])


def _number(window_id: UUID) -> int:
    """Return the random half of the id as a signed 64-bit number."""
    return int.from_bytes(window_id.bytes[8:], "big", signed=True)
