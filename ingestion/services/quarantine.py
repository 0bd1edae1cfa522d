"""Events that a consumer cannot process: set aside, then replayed or discarded by staff."""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from ingestion.types import Refusal
from phoenix_site.common.ids import uuid7
from phoenix_site.common.logging import get_logger

log = get_logger(__name__)

_ADD = """
INSERT INTO ingestion_quarantineentry
  (id, tenant_id, event_id, consumer, code, message, state, tries, resolved_by, reason)
SELECT id, tenant_id, event_id, %s, code, message, 'open', 1, '', ''
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::text[])
  AS refused (id, tenant_id, event_id, code, message)
ON CONFLICT (tenant_id, consumer, event_id) DO UPDATE
SET code = excluded.code, message = excluded.message, state = 'open', resolved_at = NULL,
    tries = ingestion_quarantineentry.tries + 1, last_failed_at = now()
"""


def quarantine_events(consumer: str, refusals: Sequence[Refusal]) -> None:
    """Set events aside in the present transaction; one that is there already counts a try more.

    Queries: 1, or none when there is nothing to set aside.
    """
    if not refusals:
        return
    events = [refusal.event for refusal in refusals]
    columns: list[list[Any]] = [
        [uuid7() for _ in refusals],
        [event.tenant_id for event in events],
        [event.id for event in events],
        [refusal.code for refusal in refusals],
        [refusal.message for refusal in refusals],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [consumer, *columns])
    for refusal in refusals:
        log.warning(
            "event.quarantined",
            consumer=consumer,
            tenant_id=refusal.event.tenant_id,
            event_id=refusal.event.event_id,
            code=refusal.code,
        )
