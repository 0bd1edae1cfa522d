"""Read and write the entries of a batch as sets: a fixed number of statements, binary parameters.

Only the holder of a shard's cursor touches the shard's entries and versions, so nothing here waits
for another worker.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import connection

from ingestion.types import StoredEvent
from leaderboards.constants import INDEX_STEP
from leaderboards.models import Window
from leaderboards.services.planning import Refused
from leaderboards.types import (
    Aggregation,
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
_WRITE: Final = """
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
"""
_REPLACE: Final = (
    _WRITE
    + """
    score = excluded.score, reached_at = excluded.reached_at,
    event_count = excluded.event_count, total = excluded.total,
    last_occurred_at = excluded.last_occurred_at, last_xid = excluded.last_xid,
    last_event = excluded.last_event, has_points = excluded.has_points, change = excluded.change
"""
)
# What the folds of ``rules.scoring`` make of two states: the entry's and the new one's.
_IS_LAST: Final = """
    (excluded.last_occurred_at, excluded.last_xid, excluded.last_event)
    > (entry.last_occurred_at, entry.last_xid, entry.last_event)
"""
_MERGE: Final = (
    _WRITE
    + f"""
    score = {{score}},
    reached_at = {{reached_at}},
    event_count = entry.event_count + excluded.event_count,
    total = entry.total + excluded.total,
    last_occurred_at = greatest(entry.last_occurred_at, excluded.last_occurred_at),
    last_xid = CASE WHEN {_IS_LAST} THEN excluded.last_xid ELSE entry.last_xid END,
    last_event = CASE WHEN {_IS_LAST} THEN excluded.last_event ELSE entry.last_event END,
    has_points = entry.has_points OR excluded.has_points,
    change = excluded.change
RETURNING user_id, score, reached_at
"""
)
_SUM: Final = "entry.score + excluded.score"
_LATEST: Final = "greatest(entry.reached_at, excluded.reached_at)"
_EARLIEST: Final = "least(entry.reached_at, excluded.reached_at)"
_BEST: Final = f"""
    CASE WHEN entry.score = excluded.score THEN {_EARLIEST}
    WHEN entry.score = {{best}} THEN entry.reached_at ELSE excluded.reached_at END
"""
_LARGEST: Final = "greatest(entry.score, excluded.score)"
_SMALLEST: Final = "least(entry.score, excluded.score)"
_STATEMENTS: Final[dict[Aggregation | None, str]] = {
    None: _REPLACE,
    "sum": _MERGE.format(
        score=_SUM,
        reached_at=f"""
        CASE WHEN entry.has_points AND excluded.has_points THEN {_LATEST}
        WHEN entry.has_points THEN entry.reached_at
        WHEN excluded.has_points THEN excluded.reached_at ELSE {_EARLIEST} END
        """,
    ),
    "count": _MERGE.format(score=_SUM, reached_at=_LATEST),
    "max": _MERGE.format(score=_LARGEST, reached_at=_BEST.format(best=_LARGEST)),
    "min": _MERGE.format(score=_SMALLEST, reached_at=_BEST.format(best=_SMALLEST)),
    "last": _MERGE.format(
        score=f"CASE WHEN {_IS_LAST} THEN excluded.score ELSE entry.score END",
        reached_at=f"CASE WHEN {_IS_LAST} THEN excluded.reached_at ELSE entry.reached_at END",
    ),
}
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
    """Return the entries that exist of the players wanted in each window. Queries: 1 or 0."""
    if not wanted:
        return {}
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


@dataclass(frozen=True, slots=True)
class WindowStates:
    """The states to be written in one window, and how: in the place of the entries, or merged.

    Under ``merged_by`` they hold new events only, and the database adds them to the entries by
    that aggregation.
    """

    window: IndexedWindow
    tenant_id: str
    states: Mapping[str, EntryState]
    merged_by: Aggregation | None = None


def write_states(chosen: Iterable[WindowStates], *, shard: int) -> list[ShardChanges]:
    """Insert or update the entries of one shard, move its versions on, and say what changed.

    Queries: 2, and 1 for each way of writing.
    """
    by_way: dict[Aggregation | None, list[WindowStates]] = {}
    for each in chosen:
        if each.states:
            by_way.setdefault(each.merged_by, []).append(each)
    if not by_way:
        return []
    windows = [each.window for group in by_way.values() for each in group]
    before = _read_versions(windows, shard)
    changes: list[ShardChanges] = []
    for group in by_way.values():
        changes += _write_group(group, before, shard)
    _write_versions(changes, shard)
    return changes


# Which window, whose, under which version, and what.
_Row = tuple[int, str, int, EntryState]


def _write_group(
    group: Sequence[WindowStates], before: Mapping[UUID, int], shard: int
) -> Iterator[ShardChanges]:
    rows: list[_Row] = []
    ends: list[int] = []
    for slot, each in enumerate(group, start=1):
        version = before.get(each.window.id, 0) + 1
        rows += (
            (slot, user_id, version + number // INDEX_STEP, state)
            for number, (user_id, state) in enumerate(sorted(each.states.items()))
        )
        ends.append(len(rows))
    written = _write_rows(group, rows, shard)
    for each, start, end in zip(group, [0, *ends], ends, strict=False):
        version = before.get(each.window.id, 0)
        steps = -(-(end - start) // INDEX_STEP)
        yield ShardChanges(each.window, shard, version, version + steps, written[start:end])


def _read_versions(windows: Sequence[IndexedWindow], shard: int) -> dict[UUID, int]:
    parameters = {"windows": UuidArray(window.id for window in windows), "shard": shard}
    return dict(_execute(_READ_VERSIONS, parameters))


def _write_rows(group: Sequence[WindowStates], rows: list[_Row], shard: int) -> list[IndexEntry]:
    """Write rows of one kind and return what the entries are now, in the same order."""
    slots, user_ids, changes, states = zip(*rows, strict=True)
    scores, reached, totals, counts, has_points, last_times, positions = zip(*states, strict=True)
    last_xids, last_events = zip(*positions, strict=True)
    parameters = {
        "windows": UuidArray(each.window.id for each in group),
        "tenants": TextArray(each.tenant_id for each in group),
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
    merged_by = group[0].merged_by
    returned = _execute(_STATEMENTS[merged_by], parameters)
    if merged_by is None:
        return list(map(IndexEntry, user_ids, reached, scores))
    written = [IndexEntry(user_id, reached_at, score) for user_id, score, reached_at in returned]
    # Rows come back in the order in which they were inserted.
    assert [entry.external_id for entry in written] == list(user_ids)  # noqa: S101
    return written


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
