"""All entries of a window as staff see them: the ranked in order, then the others."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection

from leaderboards.models import Entry, Window
from leaderboards.types import BoardView, Listing

# Frozen ranks of a closed window: its bounds were those of that time.
_FROZEN: Final = """
SELECT e.user_id, e.score, e.reached_at, e.event_count, f.rank
FROM leaderboards_entry e
LEFT JOIN leaderboards_frozenstanding f
    ON f.window_id = e.window_id AND f.revision = %(revision)s AND f.user_id = e.user_id
WHERE e.window_id = %(window)s
ORDER BY f.place NULLS LAST, e.score * %(sign)s, e.reached_at, e.user_id
LIMIT %(limit)s OFFSET %(offset)s
"""
_LIVE: Final = """
SELECT user_id, score, reached_at, event_count,
    CASE WHEN NOT is_ranked THEN NULL WHEN %(policy)s = 'first_to_reach' THEN place
        WHEN %(policy)s = 'shared' THEN shared ELSE dense END
FROM (
    SELECT *, row_number() OVER (in_order ORDER BY key, reached_at, user_id) AS place,
        rank() OVER (in_order ORDER BY key) AS shared,
        dense_rank() OVER (in_order ORDER BY key) AS dense
    FROM (
        SELECT *, score * %(sign)s AS key,
            score BETWEEN %(lowest)s AND %(highest)s AS is_ranked
        FROM leaderboards_entry WHERE window_id = %(window)s
    ) keyed
    WINDOW in_order AS (PARTITION BY is_ranked)
) placed
ORDER BY is_ranked DESC, place LIMIT %(limit)s OFFSET %(offset)s
"""


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """An entry; ``score`` is scaled, ``rank`` is ``None`` when it is not ranked."""

    user_id: str
    score: int
    reached_at: datetime
    event_count: int
    rank: int | None


def entries_of(window: Window, view: BoardView, *, limit: int, offset: int) -> Listing[ListedEntry]:
    """Return a page of the window's entries, the ranked ones first. Queries: 2."""
    is_closed = window.state == Window.State.CLOSED
    with connection.cursor() as cursor:
        cursor.execute(
            _FROZEN if is_closed else _LIVE,
            {
                "window": window.pk,
                "revision": window.revision,
                "policy": view.tie_policy,
                "sign": -1 if view.method == "score_desc" else 1,
                "lowest": view.lowest,
                "highest": view.highest,
                "limit": limit,
                "offset": offset,
            },
        )
        entries = [ListedEntry(*row) for row in cursor.fetchall()]
    return Listing(entries, Entry.objects.filter(window=window).count())
