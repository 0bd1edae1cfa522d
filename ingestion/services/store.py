"""Storing events exactly once: one statement and one procedure, whoever runs them.

Both entrances of the gateway and Phoenix's own events come through ``storing``, which says what to
execute and takes the rows; a synchronous and an asynchronous driver are a loop around it.
"""

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import psycopg
from django.db import DatabaseError, connection, transaction
from django.db.utils import OperationalError

from ingestion.constants import MAX_ROWS_PER_STATEMENT
from ingestion.exceptions import EventNotStoredError
from ingestion.rules.identity import decide_verdicts
from ingestion.services import arrays
from ingestion.types import LogRow, StoreOutcome, StoreStatus
from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.logging import get_logger

log = get_logger(__name__)

# Row numbers are drawn in the order sent, because one player's events keep their order in the log;
# rows are inserted in key order, or two processes with the same events would deadlock. The inner
# select is not merged into the outer one, for its nextval() has a side effect.
INSERT_EVENTS = """
INSERT INTO ingestion_event (
  id, tenant_id, event_id, type, user_id, metadata, attrs, occurred_at, source, request_id,
  credential_id, content_hash, shard, cause, depth
)
SELECT
  id, tenant_id, event_id, type, user_id, metadata::jsonb, attrs::jsonb, occurred_at, source,
  request_id, credential_id::uuid, content_hash, shard, cause, depth
FROM (
  SELECT nextval('ingestion_event_id_seq') AS id, sent.*
  FROM unnest(%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b) AS sent (
    tenant_id, event_id, type, user_id, metadata, attrs, occurred_at, source, request_id,
    credential_id, content_hash, shard, cause, depth
  )
) AS numbered
ORDER BY tenant_id COLLATE "C", event_id COLLATE "C"
ON CONFLICT (tenant_id, event_id) DO NOTHING
RETURNING tenant_id, event_id
"""
READ_HASHES = """
SELECT tenant_id, event_id, content_hash
FROM unnest(%b, %b) AS asked (tenant_id, event_id)
JOIN ingestion_event USING (tenant_id, event_id)
"""
# A row can be purged between the insert that met it and the look at it; then it is new.
_MAX_ROUNDS = 3


class Statement(NamedTuple):
    """What a driver executes next."""

    text: str
    parameters: tuple[Any, ...]


Storing = Generator[Statement, list[tuple[Any, ...]], list[StoreStatus]]


def storing(rows: Sequence[LogRow]) -> Storing:
    """Yield what to execute, take the rows it returned, and return the verdict of each event.

    The same id twice in ``rows``: the first counts. Each statement must see what was committed
    before it, so the transaction's isolation is READ COMMITTED.

    Raises: ``EventNotStoredError`` when ids keep vanishing, which only a broken purge could do.
    """
    waiting: dict[tuple[str, str], LogRow] = {}
    for row in rows:
        waiting.setdefault(row.key, row)
    inserted: set[tuple[str, str]] = set()
    stored: dict[tuple[str, str], bytes] = {}
    for _round in range(_MAX_ROUNDS):
        inserted.update((yield _insert(list(waiting.values()))))
        waiting = {key: row for key, row in waiting.items() if key not in inserted}
        if waiting:
            for tenant_id, event_id, content_hash in (yield _read_hashes(list(waiting))):
                stored[tenant_id, event_id] = bytes(content_hash)
            waiting = {key: row for key, row in waiting.items() if key not in stored}
        if not waiting:
            return decide_verdicts(rows, inserted=inserted, stored=stored)
    raise EventNotStoredError("The event could not be stored; send it again.")


def _insert(rows: Sequence[LogRow]) -> Statement:
    columns: Any = zip(*rows, strict=True)
    return Statement(
        INSERT_EVENTS,
        tuple(pack(column) for pack, column in zip(_PACKERS, columns, strict=True)),
    )


def _read_hashes(keys: Sequence[tuple[str, str]]) -> Statement:
    tenant_ids, event_ids = zip(*keys, strict=True)
    return Statement(READ_HASHES, (arrays.TextArray(tenant_ids), arrays.TextArray(event_ids)))


# In the order of the fields of ``LogRow``.
_PACKERS: tuple[Any, ...] = (
    arrays.TextArray,  # tenant_id
    arrays.TextArray,  # event_id
    arrays.TextArray,  # type
    arrays.TextArray,  # user_id
    arrays.TextArray,  # metadata
    arrays.TextArray,  # attrs
    arrays.TimeArray,  # occurred_at
    arrays.TextArray,  # source
    arrays.TextArray,  # request_id
    arrays.TextArray,  # credential_id
    arrays.BytesArray,  # content_hash
    arrays.SmallintArray,  # shard
    arrays.TextArray,  # cause
    arrays.SmallintArray,  # depth
)


def store_rows(rows: Sequence[LogRow]) -> list[StoreStatus]:
    """Store events inside the caller's transaction and return their verdicts, in order.

    Repeats: safe, by tenant and event id. Locks: the new rows until the transaction ends; another
    transaction that stores one of the same ids waits for it. Queries: 1 per 1000 events, 2 where
    some are stored already.
    """
    verdicts: list[StoreStatus] = []
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        arrays.register(cursor)
        for start in range(0, len(rows), MAX_ROWS_PER_STATEMENT):
            verdicts += _drive(storing(rows[start : start + MAX_ROWS_PER_STATEMENT]), cursor)
    return verdicts


def _drive(steps: Storing, cursor: "psycopg.Cursor[tuple[Any, ...]]") -> list[StoreStatus]:
    statement = next(steps)
    while True:
        rows = cursor.execute(statement.text, statement.parameters, binary=True).fetchall()
        try:
            statement = steps.send(rows)
        except StopIteration as done:
            verdicts: list[StoreStatus] = done.value
            return verdicts


def store_events(rows: Sequence[LogRow]) -> list[StoreOutcome]:
    """Store events in a transaction of their own; return each one's verdict or its own error.

    When the shared statement fails they are tried one by one, so that one bad row fails alone.

    Raises: ``UnavailableError`` when the database cannot be reached.
    """
    try:
        with transaction.atomic():
            return list(store_rows(rows))
    except OperationalError as exc:
        raise UnavailableError("The database cannot be reached.") from exc
    except (DatabaseError, EventNotStoredError):
        log.exception("event.batch_failed", count=len(rows))
        return [_store_alone(row) for row in rows]


def _store_alone(row: LogRow) -> StoreOutcome:
    try:
        with transaction.atomic():
            return store_rows([row])[0]
    except OperationalError as exc:
        raise UnavailableError("The database cannot be reached.") from exc
    except (DatabaseError, EventNotStoredError):
        log.exception("event.not_stored", tenant_id=row.tenant_id, event_id=row.event_id)
        return EventNotStoredError("The event could not be stored.")
