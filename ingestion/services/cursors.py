"""Where consumers are in the log: the one way in which they see events.

Numbers from a sequence are not commit order: a transaction may take a low number and commit late.
So a batch ends before the oldest transaction that is still running, and its order is (transaction
id, row id): whatever commits later lies behind every position that a cursor could have reached.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from ingestion import selectors
from ingestion.constants import BATCH_SIZE, FREEZE_MARGIN_MILLISECONDS, N_SHARDS
from ingestion.exceptions import CursorMovedError
from ingestion.types import Batch, Refusal
from phoenix_site.common.ids import uuid7
from phoenix_site.common.logging import get_logger

log = get_logger(__name__)

_TRY_LOCK = """
SELECT last_xid::text::bigint, last_id FROM ingestion_cursor
WHERE consumer = %s AND shard = %s FOR UPDATE SKIP LOCKED
"""
_MAKE = """
INSERT INTO ingestion_cursor (consumer, shard, last_xid, last_id, processed_count)
VALUES (%s, %s, '0', 0, 0) ON CONFLICT (consumer, shard) DO NOTHING
"""
_WAIT_FOR_LOCK = "SELECT FROM ingestion_cursor WHERE consumer = %s AND shard = %s FOR UPDATE"
_ADVANCE = """
UPDATE ingestion_cursor
SET last_xid = %s::text::xid8, last_id = %s, processed_count = processed_count + %s,
    updated_at = now()
WHERE consumer = %s AND shard = %s AND last_xid = %s::text::xid8 AND last_id = %s
"""
_SET_ASIDE = """
INSERT INTO ingestion_quarantineentry
  (id, tenant_id, event_id, consumer, code, message, state, tries, resolved_by, reason)
SELECT id, tenant_id, event_id, %s, code, message, 'open', 1, '', ''
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::text[])
  AS refused (id, tenant_id, event_id, code, message)
ON CONFLICT (tenant_id, consumer, event_id) DO UPDATE
SET code = excluded.code, message = excluded.message, state = 'open', resolved_at = NULL,
    resolved_by = '', reason = '', tries = ingestion_quarantineentry.tries + 1,
    last_failed_at = now()
"""
# Names of Phoenix's own connections begin alike; a person's session must not hold a window open.
_MAY_STILL_WRITE = """
SELECT clock_timestamp() < %(deadline)s + %(margin)s * interval '1 millisecond'
  OR EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'phoenix%%'
      AND pid <> pg_backend_pid() AND xact_start < %(deadline)s
  )
"""
_NEXT_TRANSACTION = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"


def lock_batch(*, consumer: str, shard: int, limit: int = BATCH_SIZE) -> Batch:
    """Lock the consumer's cursor in ``shard`` and return the events after it.

    Call it first in a transaction, write the effects, then ``advance_cursor``. The batch is empty
    when nothing is due and when another worker holds the shard (``has_cursor`` tells which).

    Locks: the cursor, until the transaction ends. Queries: 2.
    """
    position = _lock_cursor(consumer, shard)
    if position is None:
        return Batch(consumer, shard, (0, 0), [], has_cursor=False)
    events = selectors.events_after(shard, position, limit=limit)
    return Batch(consumer, shard, position, events, is_full=len(events) == limit)


def _lock_cursor(consumer: str, shard: int) -> tuple[int, int] | None:
    with connection.cursor() as cursor:
        cursor.execute(_TRY_LOCK, [consumer, shard])
        row = cursor.fetchone()
        if row is None:
            cursor.execute(_MAKE, [consumer, shard])
            if cursor.rowcount:
                return (0, 0)
    return None if row is None else (row[0], row[1])


def wait_for_shard(*, consumer: str, shard: int) -> None:
    """Lock the consumer's cursor in ``shard``, waiting for a worker that is in the middle of it.

    For work outside the order of the log that touches rows of that shard, such as a replay.
    """
    with connection.cursor() as cursor:
        cursor.execute(_MAKE, [consumer, shard])
        cursor.execute(_WAIT_FOR_LOCK, [consumer, shard])


def wait_for_all_shards(*, consumer: str) -> None:
    """Lock all cursors of the consumer in order, waiting for workers that are in the middle of one.

    Until the transaction ends none of its batches runs: for work that must not meet one halfway.
    """
    for shard in range(N_SHARDS):
        wait_for_shard(consumer=consumer, shard=shard)


@transaction.atomic
def advance_cursor(batch: Batch, *, quarantine: Sequence[Refusal] = ()) -> None:
    """Move the cursor behind ``batch`` and set aside what its consumer could not process.

    In the transaction of the effects, so that both happen or neither. An empty batch moves nothing.

    Raises: ``CursorMovedError`` when the cursor is not where ``batch`` began. Queries: 1 or 2.
    """
    if not batch.events:
        return
    last_xid, last_id = batch.events[-1].position
    first_xid, first_id = batch.position
    with connection.cursor() as cursor:
        cursor.execute(
            _ADVANCE,
            [
                *(str(last_xid), last_id, len(batch.events)),
                *(batch.consumer, batch.shard, str(first_xid), first_id),
            ],
        )
        if cursor.rowcount != 1:
            raise CursorMovedError(f"The cursor of {batch.consumer} in {batch.shard} has moved.")
    if quarantine:
        _set_aside(batch.consumer, quarantine)


def _set_aside(consumer: str, refusals: Sequence[Refusal]) -> None:
    columns: list[list[Any]] = [
        [uuid7() for _ in refusals],
        [refusal.event.tenant_id for refusal in refusals],
        [refusal.event.id for refusal in refusals],
        [refusal.code for refusal in refusals],
        [refusal.message for refusal in refusals],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_SET_ASIDE, [consumer, *columns])
    for refusal in refusals:
        log.warning(
            "event.quarantined",
            consumer=consumer,
            tenant_id=refusal.event.tenant_id,
            event_id=refusal.event.event_id,
            code=refusal.code,
        )


def freeze_barrier(deadline: datetime) -> int | None:
    """Return the transaction id below which every event received before ``deadline`` lies.

    ``None`` while a transaction that began before the deadline may still write: ask again later.
    Everything is measured on the database's clock, which also stamps ``received_at``. Follow with
    ``selectors.has_passed(consumer, barrier)``.
    """
    with connection.cursor() as cursor:
        # The view is a copy made once per transaction; an older copy could miss a writer.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            _MAY_STILL_WRITE, {"deadline": deadline, "margin": FREEZE_MARGIN_MILLISECONDS}
        )
        if cursor.fetchone()[0]:
            return None
        # A statement of its own: its snapshot must be younger than the look at the writers.
        cursor.execute(_NEXT_TRANSACTION)
        return int(cursor.fetchone()[0])
