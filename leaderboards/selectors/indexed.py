"""What the rank index is made from: windows, their versions and their entries."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection

from leaderboards.selectors.rank_index import Versions
from leaderboards.types import IndexedWindow, IndexEntry

__all__ = [
    "IndexSource",
    "entries_by_page",
    "entries_changed_since",
    "find_index_source",
    "has_more_entries_than",
    "index_sources_across_tenants",
]

_WINDOWS: Final = """
SELECT w.id, w.generation,
    coalesce(v.document -> 'config' -> 'ranking' ->> 'method', 'score_desc'),
    coalesce(v.document -> 'config' -> 'ranking' ->> 'tie_policy', 'first_to_reach'),
    array_agg(s.shard), array_agg(s.version)
FROM leaderboards_window w
JOIN leaderboards_boardversion v ON v.board_id = w.board_id AND v.version = w.version_number
JOIN leaderboards_windowshard s ON s.window_id = w.id
WHERE {chosen}
GROUP BY w.id, v.id
"""
_CHOSEN: Final = _WINDOWS.format(chosen="w.id = ANY(%(windows)s)")
_SCORED: Final = _WINDOWS.format(chosen="w.state IN ('open', 'closing')")
_PAGE: Final = """
SELECT user_id, reached_at, score FROM leaderboards_entry
WHERE window_id = %(window)s AND user_id > %(after)s ORDER BY user_id LIMIT %(limit)s
"""
_CHANGED: Final = """
SELECT user_id, reached_at, score FROM leaderboards_entry
WHERE window_id = %(window)s AND shard = %(shard)s AND change > %(version)s ORDER BY change
"""
_IS_LARGER: Final = """
SELECT count(*) > %(size)s FROM (
    SELECT FROM leaderboards_entry WHERE window_id = %(window)s LIMIT %(size)s + 1) AS found
"""


@dataclass(frozen=True, slots=True)
class IndexSource:
    """A window with entries, and how far they are."""

    window: IndexedWindow
    versions: Versions


def index_sources_across_tenants(window_ids: Iterable[UUID] | None = None) -> list[IndexSource]:
    """Return windows that have entries, by default all that are still scored.

    Queries: 1.
    """
    statement = _SCORED if window_ids is None else _CHOSEN
    parameters = {} if window_ids is None else {"windows": list(window_ids)}
    return [
        IndexSource(
            IndexedWindow(id_, generation, method, tie_policy),
            Versions(generation, dict(zip(shards, versions, strict=True))),
        )
        for id_, generation, method, tie_policy, shards, versions in _rows(statement, parameters)
    ]


def find_index_source(window_id: UUID) -> IndexSource | None:
    """Return a window, ``None`` while it has no entries. Queries: 1."""
    return next(iter(index_sources_across_tenants([window_id])), None)


def entries_by_page(window_id: UUID, *, size: int) -> Iterator[list[IndexEntry]]:
    """Yield all entries, ``size`` at a time; what changes meanwhile may be seen or not.

    Queries: 1 per page.
    """
    after = ""
    while page := _entries(_PAGE, {"window": window_id, "after": after, "limit": size}):
        yield page
        after = page[-1].external_id


def entries_changed_since(window_id: UUID, shard: int, version: int) -> list[IndexEntry]:
    """Return the entries of ``shard`` that later versions wrote, in their order. Queries: 1."""
    return _entries(_CHANGED, {"window": window_id, "shard": shard, "version": version})


def has_more_entries_than(window_id: UUID, size: int) -> bool:
    """Return whether a window is larger than ``size``, without counting any further. Queries: 1."""
    return bool(_rows(_IS_LARGER, {"window": window_id, "size": size})[0][0])


def _entries(statement: str, parameters: dict[str, Any]) -> list[IndexEntry]:
    return [IndexEntry(*row) for row in _rows(statement, parameters)]


def _rows(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
