"""Reads of the event log: single events, pages, and how far its consumers are."""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils.module_loading import import_string
from psycopg.rows import args_row

from ingestion.constants import N_SHARDS
from ingestion.models import Event, EventQuerySet
from ingestion.types import EventFilter, EventPage, ShardLag, Source, StoredEvent
from phoenix_site.common.exceptions import Detail, InvalidInputError, NotFoundError
from phoenix_site.common.ids import uuid7
from phoenix_site.common.json import decode

_EVENT_COLUMNS = """
id, xid::text::bigint, shard, tenant_id, event_id, type, user_id, metadata::text, attrs::text,
occurred_at, received_at, source, cause, depth
"""
# The snapshot that bounds the rows is the one that this very statement sees. The order names the
# table: plain xid would mean the converted column of the answer, which no index knows.
_EVENTS_AFTER = f"""
SELECT {_EVENT_COLUMNS} FROM ingestion_event AS event
WHERE shard = %s
  AND (event.xid, event.id) > (%s::text::xid8, %s::bigint)
  AND event.xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY event.xid, event.id
LIMIT %s
"""  # noqa: S608 - only constants are put into the text
# Bounded, so that a type nobody sends any more does not read the whole log of the tenant.
_NEWEST_OF_TYPES = f"""
SELECT {_EVENT_COLUMNS} FROM (
  SELECT * FROM ingestion_event WHERE tenant_id = %s ORDER BY received_at DESC, id DESC LIMIT %s
) AS ingestion_event
WHERE type = ANY (%s)
ORDER BY received_at DESC, id DESC
LIMIT %s
"""  # noqa: S608
_NEWEST_TYPES = """
SELECT type, count(*) FROM (
  SELECT type FROM ingestion_event
  WHERE tenant_id = %s AND source <> 'internal' ORDER BY received_at DESC, id DESC LIMIT %s
) AS newest
GROUP BY type ORDER BY count(*) DESC, type
"""
# The newest of each day, so that what is sent rarely is found beside what is sent all the time.
_SAMPLE = f"""
SELECT {_EVENT_COLUMNS}, seen FROM (
  SELECT event.*, count(*) OVER (PARTITION BY type) AS seen,
         row_number() OVER (PARTITION BY type ORDER BY received_at DESC, id DESC) AS place
  FROM generate_series(0, %(days)s - 1) AS day (number)
  CROSS JOIN LATERAL (
    SELECT * FROM ingestion_event
    WHERE tenant_id = %(tenant)s
      AND received_at > %(now)s::timestamptz - (day.number + 1) * interval '1 day'
      AND received_at <= %(now)s::timestamptz - day.number * interval '1 day'
    ORDER BY received_at DESC, id DESC LIMIT %(per_day)s
  ) AS event
) AS ingestion_event
WHERE place <= %(per_type)s
ORDER BY seen DESC, type, received_at DESC, id DESC
LIMIT %(limit)s
"""  # noqa: S608
# What was received much earlier than it occurred was refused; the bound is what the index can use.
_PROCESSED_EVENTS = f"""
SELECT {_EVENT_COLUMNS} FROM ingestion_event AS event
WHERE tenant_id = %(tenant)s AND {{wanted}}
  AND received_at >= %(occurred_from)s::timestamptz - interval '2 days'
  AND occurred_at >= %(occurred_from)s
  AND (%(occurred_to)s::timestamptz IS NULL OR occurred_at < %(occurred_to)s)
  AND user_id IS NOT NULL AND (%(user)s::text IS NULL OR user_id = %(user)s)
  AND EXISTS (
    SELECT FROM ingestion_cursor AS at
    WHERE at.consumer = %(consumer)s AND at.shard = event.shard
      AND (event.xid, event.id) <= (at.last_xid, at.last_id)
  )
ORDER BY event.xid, event.id
"""  # noqa: S608
# Without prefixes in the way of the index on types.
_OF_TYPES = "type = ANY (%(types)s)"
_OF_TYPES_OR_PREFIXES = """(type = ANY (%(types)s) OR EXISTS (
    SELECT FROM unnest(%(prefixes)s::text[]) AS beginning (text) WHERE starts_with(type, text)
  ))"""
# Held by the session, not by a transaction: who reads for minutes must not keep an old snapshot.
# Only the numbers are sorted and kept; rows of one period lie together, so they are cheap to find.
_OPEN_PERIOD = """
DECLARE {name} SCROLL CURSOR WITH HOLD FOR
SELECT id FROM ingestion_event AS event
WHERE tenant_id = %(tenant)s
  AND received_at >= %(occurred_from)s::timestamptz - interval '2 days'
  AND occurred_at >= %(occurred_from)s AND occurred_at < %(occurred_to)s
  AND user_id IS NOT NULL
  AND (type = ANY (%(types)s) OR source <> 'internal' AND EXISTS (
    SELECT FROM unnest(%(prefixes)s::text[]) AS beginning WHERE starts_with(type, beginning)
  ))
ORDER BY event.xid, event.id
"""
_EVENTS_BY_ROW_ID = f"SELECT {_EVENT_COLUMNS} FROM ingestion_event WHERE id = ANY (%s)"  # noqa: S608
_HAS_PASSED = """
SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %(barrier)s::text::xid8
  AND NOT EXISTS (
    SELECT FROM generate_series(0, %(shards)s - 1) AS every (shard)
    LEFT JOIN ingestion_cursor AS at
      ON at.consumer = %(consumer)s AND at.shard = every.shard
    CROSS JOIN LATERAL (
      SELECT FROM ingestion_event AS event
      WHERE event.shard = every.shard
        AND (event.xid, event.id) > (coalesce(at.last_xid, '0'::xid8), coalesce(at.last_id, 0))
        AND event.xid < %(barrier)s::text::xid8
      LIMIT 1
    ) AS waiting
  )
"""
_HAS_SEEN = """
SELECT FROM ingestion_cursor
WHERE consumer = %s AND shard = %s AND (last_xid, last_id) >= (%s::text::xid8, %s::bigint)
"""
# Counting stops at a bound, so that a look at the lag costs the same however large it is.
_LAG = """
SELECT named.consumer, every.shard, waiting.events,
       coalesce(extract(epoch FROM clock_timestamp() - waiting.since), 0)::float8
FROM unnest(%(consumers)s::text[]) AS named (consumer)
CROSS JOIN generate_series(0, %(shards)s - 1) AS every (shard)
LEFT JOIN ingestion_cursor AS at ON at.consumer = named.consumer AND at.shard = every.shard
CROSS JOIN LATERAL (
  SELECT count(*) AS events, min(received_at) AS since
  FROM (
    SELECT event.received_at FROM ingestion_event AS event
    WHERE event.shard = every.shard
      AND (event.xid, event.id) > (coalesce(at.last_xid, '0'::xid8), coalesce(at.last_id, 0))
    ORDER BY event.xid, event.id
    LIMIT %(bound)s
  ) AS counted
) AS waiting
ORDER BY named.consumer, every.shard
"""
LAG_BOUND = 100_000
NEWEST_BOUND = 2_000
_ROWS_PER_FETCH = 5000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _stored_event(
    id_: int,
    xid: int,
    shard: int,
    tenant_id: str,
    event_id: str,
    type_: str,
    user_id: str | None,
    metadata: str,
    attrs: str,
    occurred_at: datetime,
    received_at: datetime,
    source: Source,
    cause: str | None,
    depth: int,
) -> StoredEvent:
    return StoredEvent(
        id_,
        xid,
        shard,
        tenant_id,
        event_id,
        type_,
        user_id,
        decode(metadata),
        decode(attrs),
        occurred_at,
        received_at,
        source,
        cause,
        depth,
    )


def _read_events(statement: str, parameters: Sequence[Any]) -> list[StoredEvent]:
    """Run a statement over ``_EVENT_COLUMNS`` past Django's slower conversions."""
    connection.ensure_connection()
    with psycopg.Cursor(connection.connection, row_factory=args_row(_stored_event)) as cursor:
        return cursor.execute(statement, parameters, binary=True).fetchall()


def events_after(shard: int, position: tuple[int, int], *, limit: int) -> list[StoredEvent]:
    """Return the events of ``shard`` behind ``position``, in commit-safe order.

    Nothing that may still be overtaken by a late commit is returned. Consumers come here through
    ``services.cursors.lock_batch``. Queries: 1.
    """
    xid, id_ = position
    return _read_events(_EVENTS_AFTER, (shard, str(xid), id_, limit))


def events_by_row_id_across_tenants(ids: Iterable[int]) -> dict[int, StoredEvent]:
    """Return stored events by the number of their row."""
    return {event.id: event for event in _read_events(_EVENTS_BY_ROW_ID, (list(ids),))}


def processed_events(
    consumer: str,
    tenant_id: str,
    *,
    types: Iterable[str],
    occurred_from: datetime,
    occurred_to: datetime | None,
    user_id: str | None = None,
    prefixes: Iterable[str] = (),
) -> Iterator[StoredEvent]:
    """Yield what ``consumer`` has passed of the tenant's events about players, or about one.

    In the order of the log, of ``[occurred_from, occurred_to)``, and of ``types`` or of a type that
    begins with one of ``prefixes``. They are fetched a part at a time, so call it in a transaction.
    Queries: 1.
    """
    beginnings = list(prefixes)
    wanted = _OF_TYPES_OR_PREFIXES if beginnings else _OF_TYPES
    parameters = {
        "consumer": consumer,
        "tenant": tenant_id,
        "types": list(types),
        "prefixes": beginnings,
        "occurred_from": occurred_from,
        "occurred_to": occurred_to,
        "user": user_id,
    }
    connection.ensure_connection()
    with psycopg.ServerCursor(
        connection.connection, f"processed_{uuid7().hex}", row_factory=args_row(_stored_event)
    ) as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        cursor.execute(_PROCESSED_EVENTS.format(wanted=wanted), parameters, binary=True)
        yield from cursor


class EventPages:
    """The events of a period, a page at a time; ``count`` is how many there are in all."""

    def __init__(self, name: str, count: int, size: int) -> None:
        self.count = count
        self._name = name
        self._size = size

    def __iter__(self) -> Iterator[list[StoredEvent]]:
        """Yield the pages in the order of the log. Queries: 2 for each."""
        while ids := self._next_ids():
            found = events_by_row_id_across_tenants(ids)
            # What was purged meanwhile is not there any more.
            yield [found[row_id] for row_id in ids if row_id in found]

    def _next_ids(self) -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(f"FETCH FORWARD {self._size} FROM {self._name}")
            return [row_id for (row_id,) in cursor.fetchall()]


@contextmanager
def events_of_period(
    tenant_id: str,
    *,
    types: Iterable[str],
    prefixes: Iterable[str] = (),
    occurred_from: datetime,
    occurred_to: datetime,
    page_size: int = _ROWS_PER_FETCH,
) -> Iterator[EventPages]:
    """Open the tenant's events about players of ``[occurred_from, occurred_to)``, history too.

    Those of ``types``, and what others sent whose type begins with one of ``prefixes``, as far as
    they are committed now. Holds no transaction open: between two pages the caller may
    do as it likes on the same connection. Queries: 2, and those of the pages.
    """
    name = f"period_{uuid7().hex}"
    parameters: dict[str, Any] = {
        "tenant": tenant_id,
        "types": list(types),
        "prefixes": list(prefixes),
        "occurred_from": occurred_from,
        "occurred_to": occurred_to,
    }
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_PERIOD.format(name=name), parameters)
        cursor.execute(f"MOVE FORWARD ALL FROM {name}")
        count = cursor.rowcount
        cursor.execute(f"MOVE ABSOLUTE 0 FROM {name}")
    try:
        yield EventPages(name, count, page_size)
    finally:
        # On a connection that broke it is gone already.
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute(f"CLOSE {name}")


def find_event(tenant_id: str, event_id: str) -> StoredEvent | None:
    """Return the tenant's event of that id, or ``None``. Queries: 1."""
    if "\0" in event_id:  # a path may hold it, the database's texts cannot
        return None
    row = _columns(Event.objects.for_tenant(tenant_id).filter(event_id=event_id)).first()
    return None if row is None else StoredEvent(*row)


def get_event(tenant_id: str, event_id: str) -> StoredEvent:
    """Return the tenant's event of that id. Raises: ``NotFoundError``. Queries: 1."""
    event = find_event(tenant_id, event_id)
    if event is None:
        raise NotFoundError("There is no such event.")
    return event


def newest_events(
    tenant_id: str, wanted: EventFilter, *, limit: int, after: str | None = None
) -> EventPage:
    """Return a page of the tenant's events, newest first by the time received.

    ``after`` is the ``next`` of the page before. Raises: ``InvalidInputError`` for another text.
    Queries: 1.
    """
    events = Event.objects.for_tenant(tenant_id).filter(_matching(wanted))
    if after is not None:
        events = events.filter(_older_than(after))
    rows = list(_columns(events.order_by("-received_at", "-id"))[: limit + 1])
    page = [StoredEvent(*row) for row in rows[:limit]]
    return EventPage(page, _mark(page[-1]) if len(rows) > limit else None)


def _columns(events: EventQuerySet) -> Any:
    return events.values_list(
        *("id", "xid", "shard", "tenant_id", "event_id", "type", "user_id", "metadata", "attrs"),
        *("occurred_at", "received_at", "source", "cause", "depth"),
    )


def _matching(wanted: EventFilter) -> Q:
    bounds = {
        "user_id": wanted.user_id,
        "type": wanted.type,
        "source": wanted.source,
        "occurred_at__gte": wanted.occurred_from,
        "occurred_at__lt": wanted.occurred_to,
        "received_at__gte": wanted.received_from,
        "received_at__lt": wanted.received_to,
    }
    return Q(**{name: value for name, value in bounds.items() if value is not None})


def _mark(event: StoredEvent) -> str:
    microseconds = (event.received_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}.{event.id}".encode()).decode().rstrip("=")


def _older_than(mark: str) -> Q:
    try:
        text = base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)).decode("ascii")
        microseconds, _, id_ = text.partition(".")
        received_at = _EPOCH + timedelta(microseconds=int(microseconds))
        older = Q(received_at__lt=received_at) | Q(id__lt=int(id_))
    except (binascii.Error, ValueError, OverflowError) as exc:
        message = "is not the next of an earlier answer"
        raise InvalidInputError(
            f"after {message}", details=[Detail("after", message, "bad_value")]
        ) from exc
    # The first bound is what the index can use.
    return Q(received_at__lte=received_at) & older


def newest_events_of_types(
    tenant_id: str, types: Iterable[str], *, limit: int, among: int = NEWEST_BOUND
) -> list[StoredEvent]:
    """Return the tenant's newest events of ``types``, looking at its ``among`` newest. Queries: 1.

    The newest comes first.
    """
    return _read_events(_NEWEST_OF_TYPES, (tenant_id, among, sorted(types), limit))


def newest_event_types(tenant_id: str, *, among: int = NEWEST_BOUND) -> list[str]:
    """Return the types among the tenant's newest events, the most frequent first. Queries: 1."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST_TYPES, [tenant_id, among])
        return [event_type for event_type, _ in cursor.fetchall()]


def sampled_events(
    tenant_id: str, *, now: datetime, days: int, per_day: int, per_type: int, limit: int
) -> list[tuple[StoredEvent, int]]:
    """Return newest events of every type of the last ``days``, each with how often its type came.

    Counted are the ``per_day`` newest of each day, so the work is bounded; types that came most
    often stand first, of each at most ``per_type`` events, the newest first. Queries: 1.
    """
    parameters: dict[str, Any] = {
        "tenant": tenant_id,
        "now": now,
        "days": days,
        "per_day": per_day,
        "per_type": per_type,
        "limit": limit,
    }
    connection.ensure_connection()
    with psycopg.Cursor(connection.connection) as cursor:
        rows = cursor.execute(_SAMPLE, parameters, binary=True).fetchall()
    return [(_stored_event(*row[:-1]), row[-1]) for row in rows]


def effects_of(event: StoredEvent) -> list[dict[str, Any]]:
    """Return what each consumer made of the event, in its own words, with its name."""
    return [
        {"consumer": consumer, **effect}
        for consumer, entry in settings.PHOENIX_EVENT_CONSUMERS.items()
        if "effects" in entry
        for effect in _effects_function(entry["effects"])(event.tenant_id, event)
    ]


def _effects_function(path: str) -> Callable[[str, StoredEvent], list[dict[str, Any]]]:
    function: Callable[[str, StoredEvent], list[dict[str, Any]]] = import_string(path)
    return function


def has_passed(consumer: str, barrier: int) -> bool:
    """Return whether ``consumer`` has processed every event below the transaction id ``barrier``.

    That includes that no such event can still be committed. Queries: 1.
    """
    parameters: dict[str, Any] = {"barrier": str(barrier), "consumer": consumer, "shards": N_SHARDS}
    with connection.cursor() as cursor:
        cursor.execute(_HAS_PASSED, parameters)
        return bool(cursor.fetchone()[0])


def has_seen(consumer: str, event: StoredEvent) -> bool:
    """Return whether ``consumer`` has come to the event, whatever it made of it. Queries: 1."""
    parameters: list[Any] = [consumer, event.shard, str(event.xid), event.id]
    with connection.cursor() as cursor:
        cursor.execute(_HAS_SEEN, parameters)
        return cursor.fetchone() is not None


def consumer_lag(*, bound: int = LAG_BOUND) -> list[ShardLag]:
    """Return the lag of every consumer in every shard; counting ends at ``bound``. Queries: 1."""
    consumers = sorted(settings.PHOENIX_EVENT_CONSUMERS)
    parameters: dict[str, Any] = {"consumers": consumers, "shards": N_SHARDS, "bound": bound}
    with connection.cursor() as cursor:
        cursor.execute(_LAG, parameters)
        return [ShardLag(*row) for row in cursor.fetchall()]
