"""What was: a tenant's boards with their windows, and the snapshots of a board."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection

from leaderboards.models import FrozenStanding, Leaderboard, Snapshot
from leaderboards.selectors import standings
from leaderboards.selectors.shown import (
    CURRENT_WINDOW,
    SHOWN_COLUMNS,
    check_board_id,
    nothing_here,
    shown_window,
)
from leaderboards.types import (
    ListedBoard,
    ListedSnapshot,
    ListedWindow,
    Listing,
    Moment,
    PlayerStanding,
    ShownSnapshot,
    Standing,
)
from phoenix_site.common.json import decode
from phoenix_site.common.times import parse_rfc3339

# The tenant's active boards in the order of their ids, each with its current window if it has one.
BOARDS: Final = f"""
SELECT b.leaderboard_id, b.description, (b.config -> 'timeframe')::text, {SHOWN_COLUMNS}
FROM (
    SELECT * FROM leaderboards_leaderboard
    WHERE tenant_id = %(tenant_id)s AND status = 'active'
    ORDER BY leaderboard_id LIMIT %(limit)s OFFSET %(offset)s
) b
LEFT JOIN leaderboards_window w ON {CURRENT_WINDOW}
LEFT JOIN leaderboards_boardversion v ON v.board_id = b.id AND v.version = w.version_number
ORDER BY b.leaderboard_id
"""  # noqa: S608 - the parts are constants
WINDOWS: Final = f"""
SELECT w.total_players, {SHOWN_COLUMNS}
FROM leaderboards_leaderboard b
JOIN leaderboards_window w ON w.board_id = b.id
JOIN leaderboards_boardversion v ON v.board_id = b.id AND v.version = w.version_number
WHERE b.id = %(board_id)s AND w.starts_at <= %(now)s
ORDER BY w.starts_at DESC LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - the parts are constants
SNAPSHOT: Final = f"""
SELECT s.is_final, s.entry_count, s.total_players, s.hash, s.rows::text, {SHOWN_COLUMNS}
FROM leaderboards_leaderboard b
JOIN leaderboards_snapshot s ON s.board_id = b.id AND s.taken_at = %(taken_at)s
JOIN leaderboards_window w ON w.id = s.window_id
JOIN leaderboards_boardversion v ON v.board_id = b.id AND v.version = w.version_number
WHERE b.tenant_id = %(tenant_id)s AND b.leaderboard_id = %(leaderboard_id)s
"""  # noqa: S608 - the parts are constants


def active_boards(
    tenant_id: str, *, limit: int, offset: int, now: datetime
) -> Listing[ListedBoard]:
    """Return a page of the tenant's active boards, by id.

    Queries: 2, and one question to the index per board.
    """
    total = Leaderboard.objects.filter(tenant_id=tenant_id, status="active").count()
    names = {"tenant_id": tenant_id, "limit": limit, "offset": offset, "now": now}
    return Listing([_listed_board(tenant_id, row, now) for row in _fetch(BOARDS, names)], total)


def windows_of(
    tenant_id: str, leaderboard_id: str, *, limit: int, offset: int, now: datetime
) -> Listing[ListedWindow]:
    """Return a page of the board's windows that have begun, newest first.

    The next one may exist before its time; nobody needs to see it then.
    Raises: ``NotFoundError``. Queries: 3, and one question to the index per window still scored.
    """
    board = _get_board(tenant_id, leaderboard_id)
    total = board.windows.filter(starts_at__lte=now).count()
    names = {"board_id": board.pk, "now": now, "limit": limit, "offset": offset}
    rows = _fetch(WINDOWS, names)
    return Listing([_listed_window(tenant_id, leaderboard_id, row, now) for row in rows], total)


def snapshots_of(
    tenant_id: str,
    leaderboard_id: str,
    *,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> Listing[ListedSnapshot]:
    """Return the newest snapshots from ``since`` to ``until``, both included.

    Raises: ``NotFoundError``. Queries: 3.
    """
    chosen = Snapshot.objects.filter(board=_get_board(tenant_id, leaderboard_id))
    if since is not None:
        chosen = chosen.filter(taken_at__gte=since)
    if until is not None:
        chosen = chosen.filter(taken_at__lte=until)
    rows = chosen.order_by("-taken_at").values_list(
        "taken_at", "window__key", "is_final", "entry_count", "hash"
    )[:limit]
    return Listing([ListedSnapshot(*row) for row in rows], chosen.count())


def get_snapshot(
    tenant_id: str, leaderboard_id: str, taken_at: datetime, *, now: datetime
) -> ShownSnapshot:
    """Return the snapshot of exactly this instant. Raises: ``NotFoundError``. Queries: 1."""
    check_board_id(leaderboard_id)
    names = {"tenant_id": tenant_id, "leaderboard_id": leaderboard_id, "taken_at": taken_at}
    rows = _fetch(SNAPSHOT, names)
    if not rows:
        raise nothing_here()
    is_final, entry_count, total_players, digest, kept, *columns = rows[0]
    window = shown_window(tenant_id, leaderboard_id, columns, now=now)
    return ShownSnapshot(
        window=window,
        taken_at=taken_at,
        is_final=is_final,
        # A final one is the closed window: every ranked player, not only those its list shows.
        entry_count=total_players if is_final else entry_count,
        total_players=total_players,
        hash=digest,
        standings=tuple(_kept_standing(row) for row in decode(kept)),
    )


def snapshot_page(snapshot: ShownSnapshot, *, limit: int, offset: int) -> list[Standing]:
    """Return up to ``limit`` standings from the 0-based ``offset`` on. Queries: 0 or 1."""
    if not snapshot.is_final:
        return list(snapshot.standings[offset : offset + limit])
    frozen = FrozenStanding.objects.filter(
        window_id=snapshot.window.id,
        revision=snapshot.window.revision,
        place__gt=offset,
        place__lte=offset + limit,
    )
    rows = frozen.order_by("place").values_list("rank", "user_id", "score", "reached_at")
    return [Standing(*row) for row in rows]


def find_in_snapshot(snapshot: ShownSnapshot, user_id: str) -> PlayerStanding | None:
    """Return a player's standing then, ``None`` if the snapshot does not hold it."""
    if snapshot.is_final:
        return standings.standing_of(snapshot.window, snapshot.window.view, user_id)
    own = next((each for each in snapshot.standings if each.external_id == user_id), None)
    if own is None:
        return None
    better = [each for each in snapshot.standings if each.rank < own.rank]
    return PlayerStanding(
        moment=Moment("", 0),
        external_id=user_id,
        score=own.score,
        reached_at=own.reached_at,
        rank=own.rank,
        below_count=0,
        better=better[-1] if better else None,
        total=snapshot.entry_count,
        total_players=snapshot.total_players,
    )


def _get_board(tenant_id: str, leaderboard_id: str) -> Leaderboard:
    check_board_id(leaderboard_id)
    board = Leaderboard.objects.filter(tenant_id=tenant_id, leaderboard_id=leaderboard_id).first()
    if board is None:
        raise nothing_here()
    return board


def _listed_board(tenant_id: str, row: Sequence[Any], now: datetime) -> ListedBoard:
    leaderboard_id, description, timeframe, *columns = row
    has_window = columns[_WINDOW_COLUMN] is not None
    window = shown_window(tenant_id, leaderboard_id, columns, now=now) if has_window else None
    return ListedBoard(
        leaderboard_id=leaderboard_id,
        name=columns[1],
        description=description,
        timeframe=decode(timeframe),
        window=window,
        total_players=standings.totals(window, window.view).total_players if window else 0,
    )


# Where a row of SHOWN_COLUMNS has the window's id.
_WINDOW_COLUMN: Final = 5


def _listed_window(
    tenant_id: str, leaderboard_id: str, row: Sequence[Any], now: datetime
) -> ListedWindow:
    total_players, *columns = row
    window = shown_window(tenant_id, leaderboard_id, columns, now=now)
    if not window.is_history:
        total_players = standings.totals(window, window.view).total_players
    return ListedWindow(window, total_players)


def _kept_standing(row: Sequence[Any]) -> Standing:
    rank, user_id, score, reached_at = row
    return Standing(rank, user_id, score, parse_rfc3339(reached_at))


def _fetch(statement: str, names: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, names)
        rows: list[Any] = cursor.fetchall()
    return rows
