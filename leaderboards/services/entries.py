"""Read and write the entries of a batch as sets: a fixed number of statements, binary parameters.

Only the holder of a shard's cursor touches the shard's entries and versions, so nothing here waits
for another worker.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import connection

from ingestion.types import StoredEvent
from leaderboards.constants import INDEX_STEP
from leaderboards.models import Window
from leaderboards.services.planning import Refused
from leaderboards.types import (
    EntryState,
    IndexedWindow,
    IndexEntry,
    LogPosition,
    ShardChanges,
)
from phoenix_site.common import arrays
from phoenix_site.common.arrays import (
    BigintArray,
    BooleanArray,
    IntegerArray,
    SmallintArray,
    TextArray,
    TimeArray,
    UuidArray,
)

# Windows are named once; each row says by a 1-based number which of them it means.
_READ_STATES: Final = """
SELECT asked.slot, entry.user_id, entry.score, entry.reached_at, entry.total::text,
    entry.event_count, entry.has_points, entry.last_occurred_at, entry.last_xid, entry.last_event
FROM unnest(%(slots)b, %(users)b) AS asked (slot, user_id)
JOIN leaderboards_entry AS entry
    ON entry.window_id = (%(windows)b)[asked.slot] AND entry.user_id = asked.user_id
"""
_WRITE_STATES: Final = """
INSERT INTO leaderboards_entry AS entry (
    window_id, tenant_id, user_id, shard, score, reached_at, event_count, total,
    last_occurred_at, last_xid, last_event, has_points, change
)
SELECT (%(windows)b)[slot], (%(tenants)b)[slot], user_id, %(shard)s, score, reached_at,
    event_count, total::numeric, last_occurred_at, last_xid, last_event, has_points, change
FROM unnest(
    %(slots)b, %(users)b, %(scores)b, %(reached)b, %(counts)b, %(totals)b, %(last_times)b,
    %(last_xids)b, %(last_events)b, %(has_points)b, %(changes)b
) AS new (
    slot, user_id, score, reached_at, event_count, total, last_occurred_at, last_xid, last_event,
    has_points, change
)
ON CONFLICT (window_id, user_id) DO UPDATE SET
    score = excluded.score, reached_at = excluded.reached_at,
    event_count = excluded.event_count, total = excluded.total,
    last_occurred_at = excluded.last_occurred_at, last_xid = excluded.last_xid,
    last_event = excluded.last_event, has_points = excluded.has_points, change = excluded.change
"""
_READ_VERSIONS: Final = """
SELECT window_id, version FROM leaderboards_windowshard
WHERE window_id = ANY(%(windows)b) AND shard = %(shard)s
"""
_WRITE_VERSIONS: Final = """
INSERT INTO leaderboards_windowshard (window_id, shard, version)
SELECT window_id, %(shard)s, version
FROM unnest(%(windows)b, %(versions)b) AS new (window_id, version)
ON CONFLICT (window_id, shard) DO UPDATE SET version = excluded.version
"""
_WRITE_LATE: Final = """
INSERT INTO leaderboards_lateevent (
    window_id, tenant_id, event_id, user_id, occurred_at, received_at
)
SELECT * FROM unnest(%b, %b, %b, %b, %b, %b) AS late ON CONFLICT DO NOTHING
"""
_WRITE_REFUSED: Final = """
INSERT INTO leaderboards_refusedevent (window_id, event_row, user_id, code)
SELECT * FROM unnest(%b, %b, %b, %b) AS refused ON CONFLICT DO NOTHING
"""


_LARGEST_BIGINT: Final = 2**63 - 1


def read_states(wanted: Mapping[UUID, Iterable[str]]) -> dict[UUID, dict[str, EntryState]]:
    """Return the entries that exist of the players wanted in each window. Queries: 1."""
    found: dict[UUID, dict[str, EntryState]] = {window_id: {} for window_id in wanted}
    by_slot = [{}, *found.values()]
    pairs = [
        (slot, user_id) for slot, users in enumerate(wanted.values(), start=1) for user_id in users
    ]
    parameters = {
        "windows": UuidArray(wanted),
        "slots": SmallintArray(slot for slot, _ in pairs),
        "users": TextArray(user_id for _, user_id in pairs),
    }
    for row in _execute(_READ_STATES, parameters):
        slot, user_id, score, reached_at, total, count, has_points, last_time, xid, event = row
        by_slot[slot][user_id] = EntryState(
            score, reached_at, int(total), count, has_points, last_time, LogPosition(xid, event)
        )
    return found


def write_states(
    windows: Iterable[IndexedWindow],
    states: Mapping[UUID, Mapping[str, EntryState]],
    *,
    tenant_ids: Mapping[UUID, str],
    shard: int,
) -> list[ShardChanges]:
    """Insert or update the entries of one shard, move its versions on, and say what changed.

    Queries: 3.
    """
    chosen = [window for window in windows if states[window.id]]
    if not chosen:
        return []
    before = _read_versions(chosen, shard)
    changes: list[ShardChanges] = []
    rows: list[_Row] = []
    for slot, window in enumerate(chosen, start=1):
        changed = sorted(states[window.id].items())
        version = before.get(window.id, 0)
        changes.append(_shard_changes(window, shard, version, changed))
        rows += (
            (slot, user_id, version + 1 + number // INDEX_STEP, state)
            for number, (user_id, state) in enumerate(changed)
        )
    _write_rows(rows, [(window.id, tenant_ids[window.id]) for window in chosen], shard)
    _write_versions(changes, shard)
    return changes


_Row = tuple[int, str, int, EntryState]


def _shard_changes(
    window: IndexedWindow, shard: int, before: int, changed: Sequence[tuple[str, EntryState]]
) -> ShardChanges:
    entries = [IndexEntry(user_id, state.reached_at, state.score) for user_id, state in changed]
    return ShardChanges(window, shard, before, before - (-len(entries) // INDEX_STEP), entries)


def _read_versions(windows: Sequence[IndexedWindow], shard: int) -> dict[UUID, int]:
    parameters = {"windows": UuidArray(window.id for window in windows), "shard": shard}
    return dict(_execute(_READ_VERSIONS, parameters))


def _write_rows(rows: list[_Row], windows: list[tuple[UUID, str]], shard: int) -> None:
    slots, user_ids, changes, states = zip(*rows, strict=True)
    scores, reached, totals, counts, has_points, last_times, positions = zip(*states, strict=True)
    last_xids, last_events = zip(*positions, strict=True)
    parameters = {
        "windows": UuidArray(window_id for window_id, _ in windows),
        "tenants": TextArray(tenant_id for _, tenant_id in windows),
        "shard": shard,
        "slots": SmallintArray(slots),
        "users": TextArray(user_ids),
        "scores": BigintArray(scores),
        "reached": TimeArray(reached),
        "counts": IntegerArray(counts),
        "totals": _total_array(totals),
        "last_times": TimeArray(last_times),
        "last_xids": BigintArray(last_xids),
        "last_events": BigintArray(last_events),
        "has_points": BooleanArray(has_points),
        "changes": BigintArray(changes),
    }
    _execute(_WRITE_STATES, parameters)


def _total_array(totals: Sequence[int]) -> BigintArray | TextArray:
    """Return exact sums; only those of very many points do not fit into a bigint."""
    if max(map(abs, totals)) <= _LARGEST_BIGINT:
        return BigintArray(totals)
    return TextArray(map(str, totals))


def _write_versions(changes: Sequence[ShardChanges], shard: int) -> None:
    parameters = {
        "windows": UuidArray(change.window.id for change in changes),
        "versions": BigintArray(change.after for change in changes),
        "shard": shard,
    }
    _execute(_WRITE_VERSIONS, parameters)


def write_late(late: Sequence[tuple[Window, StoredEvent]]) -> None:
    """Note events that came too late for their windows. Repeats: add nothing. Queries: 1."""
    if not late:
        return
    events = [event for _, event in late]
    parameters = (
        UuidArray(window.pk for window, _ in late),
        TextArray(event.tenant_id for event in events),
        TextArray(event.event_id for event in events),
        TextArray(str(event.user_id) for event in events),
        TimeArray(event.occurred_at for event in events),
        TimeArray(event.received_at for event in events),
    )
    _execute(_WRITE_LATE, parameters)


def write_refused(refused: Sequence[Refused]) -> None:
    """Note events that could not count. Repeats: add nothing. Queries: 1."""
    if not refused:
        return
    parameters = (
        UuidArray(each.window.pk for each in refused),
        BigintArray(each.event.id for each in refused),
        TextArray(str(each.event.user_id) for each in refused),
        TextArray(each.code for each in refused),
    )
    _execute(_WRITE_REFUSED, parameters)


def _execute(statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement past Django's cursor, which would write the parameters into the text."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        arrays.register(cursor)
        cursor.execute(statement, parameters, binary=True)
        return [] if cursor.description is None else cursor.fetchall()
