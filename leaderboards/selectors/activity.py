"""How many players take part, for people to watch: cheap whatever the size of a board."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Q

from leaderboards.models import Window
from leaderboards.selectors.rank_index import index_key
from phoenix_site.common.redis import RedisError, get_redis

__all__ = ["BoundedCount", "current_windows", "late_counts", "player_counts"]

# Without an index the rows are counted up to here; more is said to be more.
COUNTED_ROWS: Final = 10_000
_COUNT: Final = """
SELECT w.id, counted.number
FROM unnest(%(windows)s::uuid[]) AS w (id)
CROSS JOIN LATERAL (
    SELECT count(*) AS number FROM (
        SELECT FROM {table} WHERE window_id = w.id LIMIT %(bound)s
    ) AS few
) AS counted
"""
_COUNT_ENTRIES: Final = _COUNT.format(table="leaderboards_entry")
_COUNT_LATE: Final = _COUNT.format(table="leaderboards_lateevent")


@dataclass(frozen=True, slots=True)
class BoundedCount:
    """A count of rows; ``is_exact`` is false where counting stopped."""

    count: int
    is_exact: bool = True

    def __str__(self) -> str:
        return f"{self.count:,}" if self.is_exact else f"{self.count:,}+"


def player_counts(windows: Iterable[Window]) -> dict[UUID, BoundedCount]:
    """Return how many players each window has.

    A closed window knows it. The others ask the rank index, all in one round trip; for what it
    does not have, rows are counted up to ``COUNTED_ROWS``. Queries: 0 or 1.
    """
    chosen = list(windows)
    counts = {
        window.pk: BoundedCount(window.total_players)
        for window in chosen
        if window.state == Window.State.CLOSED
    }
    live = [window.pk for window in chosen if window.pk not in counts]
    counts |= _indexed_counts(live)
    return counts | _counted(_COUNT_ENTRIES, [pk for pk in live if pk not in counts])


def late_counts(window_ids: Iterable[UUID]) -> dict[UUID, BoundedCount]:
    """Return how many events came too late for each window. Queries: 1."""
    return _counted(_COUNT_LATE, list(window_ids))


def _indexed_counts(window_ids: list[UUID]) -> dict[UUID, BoundedCount]:
    try:
        with get_redis().pipeline(transaction=False) as pipe:
            for window_id in window_ids:
                pipe.hget(index_key(window_id, "meta"), "count")
            answers = pipe.execute() if window_ids else []
    except (RedisError, OSError):
        return {}
    return {
        window_id: BoundedCount(int(answer))
        for window_id, answer in zip(window_ids, answers, strict=True)
        if answer is not None
    }


def _counted(statement: str, window_ids: list[UUID]) -> dict[UUID, BoundedCount]:
    if not window_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(statement, {"windows": window_ids, "bound": COUNTED_ROWS + 1})
        rows: list[tuple[UUID, int]] = cursor.fetchall()
    return {
        window_id: BoundedCount(min(number, COUNTED_ROWS), is_exact=number <= COUNTED_ROWS)
        for window_id, number in rows
    }


def current_windows(board_ids: Iterable[UUID], *, now: datetime) -> dict[UUID, Window]:
    """Return the window of each board that holds ``now``, if it has one. Queries: 1."""
    windows = Window.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=now),
        board__in=list(board_ids),
        state__in=[Window.State.OPEN, Window.State.CLOSING],
        starts_at__lte=now,
    )
    return {window.board_id: window for window in windows}
