"""Interim snapshots: the first places of a board at multiples of its interval.

They are taken by the clock without locks; the constraint of one snapshot per board and instant
settles which of several workers keeps its own. The final one comes with the closing of a window.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from leaderboards.constants import SNAPSHOT_LATENESS, SNAPSHOTS_PER_PURGE, SNAPSHOTS_PER_RUN
from leaderboards.models import Leaderboard, Snapshot, Window
from leaderboards.rules.hashing import hash_standings
from leaderboards.rules.ranking import rank
from leaderboards.selectors import boards as selectors
from leaderboards.types import BoardView, RankedEntry, Standing, StandingsHeader
from phoenix_site.common.logging import get_logger
from phoenix_site.common.times import format_utc

log = get_logger(__name__)

# What begins or ends at the instant is left out: there the final snapshot of a window stands.
_DUE: Final = """
SELECT w.id, asked.instant
FROM leaderboards_window w
JOIN leaderboards_leaderboard b ON b.id = w.board_id
CROSS JOIN LATERAL (
    SELECT nullif((b.config -> 'snapshots' ->> 'every_seconds')::int, 0) AS seconds
) AS every
CROSS JOIN LATERAL (
    SELECT to_timestamp(floor(extract(epoch FROM %(now)s::timestamptz) / seconds) * seconds)
        AS instant
) AS asked
WHERE w.state = 'open' AND b.status = 'active' AND asked.instant >= %(earliest)s
  AND w.starts_at < asked.instant AND (w.ends_at IS NULL OR asked.instant < w.ends_at)
  AND NOT EXISTS (
    SELECT FROM leaderboards_snapshot s WHERE s.board_id = b.id AND s.taken_at = asked.instant
  )
ORDER BY asked.instant, w.id LIMIT %(limit)s
"""
# One statement, so that the rows and their number are of one instant.
_TOP: Final = """
SELECT user_id, score, reached_at, (
    SELECT count(*) FROM leaderboards_entry
    WHERE window_id = %(window)s AND score BETWEEN %(lowest)s AND %(highest)s
)
FROM leaderboards_entry
WHERE window_id = %(window)s AND score BETWEEN %(lowest)s AND %(highest)s
ORDER BY score * %(sign)s, reached_at, user_id LIMIT %(limit)s
"""
_PURGE: Final = """
DELETE FROM leaderboards_snapshot WHERE id IN (
    SELECT s.id FROM tenants_tenant t
    JOIN leaderboards_leaderboard b ON b.tenant_id = t.id
    JOIN leaderboards_snapshot s ON s.board_id = b.id
    WHERE NOT s.is_final
      AND s.taken_at < %(now)s - t.snapshot_retention_days * interval '1 day'
    LIMIT %(limit)s
)
"""


@dataclass(frozen=True, slots=True)
class _Top:
    """The first places of a window, and how many players are ranked in all."""

    standings: list[Standing]
    total_players: int


def take_snapshots(*, now: datetime) -> int:
    """Take the interim snapshots that are due and return how many this call took.

    Repeats: safe. An instant that nobody looked at in time stays without a snapshot.
    """
    taken_count = 0
    for window_id, instant in _due_snapshots(now):
        taken_count += take_snapshot(window_id, instant)
    return taken_count


def _due_snapshots(now: datetime) -> list[tuple[UUID, datetime]]:
    names: dict[str, Any] = {
        "now": now,
        "earliest": now - SNAPSHOT_LATENESS,
        "limit": SNAPSHOTS_PER_RUN,
    }
    with connection.cursor() as cursor:
        cursor.execute(_DUE, names)
        return [(window_id, instant) for window_id, instant in cursor.fetchall()]


def take_snapshot(window_id: UUID, instant: datetime) -> bool:
    """Keep the first places of the window as those of ``instant``; false if somebody has.

    Queries: 4, mostly.
    """
    window = Window.objects.select_related("board").get(pk=window_id)
    config = selectors.config_of_version(window.board_id, window.board.version)
    view = selectors.view_of(window, window.board)
    top = _top(window, view, limit=min(config.snapshots.top, view.size))
    kept = {
        "window": window,
        "entry_count": len(top.standings),
        "total_players": top.total_players,
        "hash": _hash(window, window.board, top),
        "rows": [_row(standing) for standing in top.standings],
    }
    _snapshot, is_new = Snapshot.objects.get_or_create(
        board_id=window.board_id, taken_at=instant, defaults=kept
    )
    if is_new:
        log.info("snapshot.taken", window=window_id.hex, instant=format_utc(instant))
    return is_new


def _top(window: Window, view: BoardView, *, limit: int) -> _Top:
    names: dict[str, Any] = {
        "window": window.pk,
        "lowest": view.lowest,
        "highest": view.highest,
        "sign": -1 if view.method == "score_desc" else 1,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TOP, names)
        rows = cursor.fetchall()
    entries = [RankedEntry(*row[:3]) for row in rows]
    return _Top(rank(entries, view.method, view.tie_policy), rows[0][3] if rows else 0)


def _hash(window: Window, board: Leaderboard, top: _Top) -> str:
    """Return the hash of spec 02 LB-60 over the kept places, as of revision 0."""
    header = StandingsHeader(
        tenant_id=window.tenant_id,
        leaderboard_id=board.leaderboard_id,
        window_key=window.key,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        config_version=window.version_number,
        decimals=selectors.config_of_version(board.pk, window.version_number).scoring.decimals,
        revision=0,
    )
    return hash_standings(header, top.standings)


def _row(standing: Standing) -> list[str | int]:
    reached_at = format_utc(standing.reached_at)
    return [standing.rank, standing.external_id, standing.score, reached_at]


def purge_snapshots(*, now: datetime) -> int:
    """Delete interim snapshots that are older than their tenant keeps them; return how many.

    At most one batch, which no reader waits for; the next run takes the rest.
    """
    with connection.cursor() as cursor:
        cursor.execute(_PURGE, {"now": now, "limit": SNAPSHOTS_PER_PURGE})
        return int(cursor.rowcount)
