"""How many players take part, for people to watch: cheap whatever the size of a board."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from leaderboards.models import Window
from leaderboards.selectors.rank_index import index_key
from phoenix_site.common.redis import RedisError, get_redis

__all__ = ["PlayerCount", "current_windows", "player_counts"]

# Without an index the rows are counted up to here; more is said to be more.
COUNTED_ROWS: Final = 10_000
_COUNT_ROWS: Final = """
SELECT w.id, counted.players
FROM unnest(%(windows)s::uuid[]) AS w (id)
CROSS JOIN LATERAL (
    SELECT count(*) AS players FROM (
        SELECT FROM leaderboards_entry WHERE window_id = w.id LIMIT %(bound)s
    ) AS some
) AS counted
"""


@dataclass(frozen=True, slots=True)
class PlayerCount:
    """How many players have an entry; ``is_exact`` is false where counting stopped."""

    players: int
    is_exact: bool = True

    def __str__(self) -> str:
        return f"{self.players:,}" if self.is_exact else f"{self.players:,}+"


def player_counts(windows: Iterable[Window]) -> dict[UUID, PlayerCount]:
    """Return how many players each window has.

    A closed window knows it. The others ask the rank index, all in one round trip; for what it
    does not have, rows are counted up to ``COUNTED_ROWS``. Queries: 0 or 1.
    """
    chosen = list(windows)
    counts = {
        window.pk: PlayerCount(window.total_players)
        for window in chosen
        if window.state == Window.State.CLOSED
    }
    live = [window.pk for window in chosen if window.pk not in counts]
    counts |= _indexed_counts(live)
    return counts | _counted_rows([pk for pk in live if pk not in counts])


def _indexed_counts(window_ids: list[UUID]) -> dict[UUID, PlayerCount]:
    try:
        with get_redis().pipeline(transaction=False) as pipe:
            for window_id in window_ids:
                pipe.hget(index_key(window_id, "meta"), "count")
            answers = pipe.execute() if window_ids else []
    except (RedisError, OSError):
        return {}
    return {
        window_id: PlayerCount(int(answer))
        for window_id, answer in zip(window_ids, answers, strict=True)
        if answer is not None
    }


def _counted_rows(window_ids: list[UUID]) -> dict[UUID, PlayerCount]:
    if not window_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_ROWS, {"windows": window_ids, "bound": COUNTED_ROWS + 1})
        rows: list[tuple[UUID, int]] = cursor.fetchall()
    return {
        window_id: PlayerCount(min(players, COUNTED_ROWS), is_exact=players <= COUNTED_ROWS)
        for window_id, players in rows
    }


def current_windows(board_ids: Iterable[UUID], *, now: datetime) -> dict[UUID, Window]:
    """Return the window of each board that holds ``now``, if it has one. Queries: 1."""
    windows = Window.objects.filter(
        board__in=list(board_ids), state__in=["open", "closing"], starts_at__lte=now
    )
    # Oldest first, so that the newest one stays.
    return {window.board_id: window for window in windows.order_by("starts_at")}
