"""Deleting events that are past their tenant's retention and that nothing needs any more."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils.module_loading import import_string

from ingestion.constants import (
    N_SHARDS,
    PURGE_BATCH_SIZE,
    PURGE_BATCHES_PER_RUN,
    PURGE_MARGIN_SECONDS,
)
from ingestion.types import PurgeReport
from phoenix_site.common.exceptions import DomainError, NotAllowedError
from phoenix_site.common.logging import get_logger
from tenants.models import Tenant
from tenants.services import snapshots
from tenants.types import TenantSettings

log = get_logger(__name__)

_NAME_THE_PURPOSE = "SELECT set_config('phoenix.purge', 'events', true)"
# Both times must be past: the sender's alone would let a purged event come back and count twice.
# An event still before some consumer's cursor stays, also when that consumer has no cursor yet.
_EXPIRED = """
SELECT event.id FROM ingestion_event AS event
WHERE event.tenant_id = %(tenant_id)s
  AND event.received_at < %(received_before)s
  AND event.occurred_at < %(occurred_before)s
  AND NOT EXISTS (
    SELECT FROM unnest(%(consumers)s::text[]) AS named (consumer)
    LEFT JOIN ingestion_cursor AS at
      ON at.consumer = named.consumer AND at.shard = event.shard
    WHERE (event.xid, event.id) > (coalesce(at.last_xid, '0'::xid8), coalesce(at.last_id, 0))
  )
ORDER BY event.received_at, event.id
LIMIT %(limit)s
"""
_DELETE_ENTRIES = "DELETE FROM ingestion_quarantineentry WHERE event_id = ANY (%s)"
_DELETE_EVENTS = "DELETE FROM ingestion_event WHERE id = ANY (%s)"
_LAGGING = """
SELECT DISTINCT named.consumer
FROM unnest(%(consumers)s::text[]) AS named (consumer)
CROSS JOIN generate_series(0, %(shards)s - 1) AS every (shard)
LEFT JOIN ingestion_cursor AS at ON at.consumer = named.consumer AND at.shard = every.shard
WHERE EXISTS (
  SELECT FROM ingestion_event AS event
  WHERE event.tenant_id = %(tenant_id)s AND event.shard = every.shard
    AND event.received_at < %(received_before)s AND event.occurred_at < %(occurred_before)s
    AND (event.xid, event.id) > (coalesce(at.last_xid, '0'::xid8), coalesce(at.last_id, 0))
)
ORDER BY named.consumer
"""


def purge_events(tenant: TenantSettings, *, now: datetime) -> PurgeReport:
    """Delete what the tenant's retention no longer keeps, in small transactions.

    Held back are events that a consumer has not processed, and whatever a function of the setting
    ``PHOENIX_RETENTION_HOLDS`` still needs; the report says by whom. Quarantine entries go with
    their events.

    Repeats: safe, and one run ends after a bounded number of batches. Locks: the deleted rows.
    """
    cutoff = now - timedelta(days=tenant.retention_days, seconds=PURGE_MARGIN_SECONDS)
    held_from, reasons = _holds(tenant.id, cutoff)
    bounds = {
        "tenant_id": tenant.id,
        "received_before": min(cutoff, held_from),
        "occurred_before": cutoff,
        "consumers": sorted(settings.PHOENIX_EVENT_CONSUMERS),
        "limit": PURGE_BATCH_SIZE,
        "shards": N_SHARDS,
    }
    deleted = 0
    for _batch in range(PURGE_BATCHES_PER_RUN):
        count = _purge_batch(bounds)
        deleted += count
        if count < PURGE_BATCH_SIZE:
            break
    report = PurgeReport(tenant.id, deleted, (*reasons, *_lagging_consumers(bounds)))
    if deleted or report.held_because:
        log.info(
            "event.purged", tenant_id=tenant.id, count=deleted, held_because=report.held_because
        )
    return report


def _holds(tenant_id: str, cutoff: datetime) -> tuple[datetime, list[str]]:
    """Return from when on received events are held, and who holds what would go."""
    held_from, reasons = cutoff, []
    for path in settings.PHOENIX_RETENTION_HOLDS:
        needed_from: datetime | None = import_string(path)(tenant_id)
        if needed_from is not None and needed_from < cutoff:
            reasons.append(path)
            held_from = min(held_from, needed_from)
    return held_from, reasons


@transaction.atomic
def _purge_batch(bounds: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, bounds)
        ids = [row[0] for row in cursor.fetchall()]
        if ids:
            cursor.execute(_NAME_THE_PURPOSE)
            cursor.execute(_DELETE_ENTRIES, [ids])
            cursor.execute(_DELETE_EVENTS, [ids])
    return len(ids)


def _lagging_consumers(bounds: dict[str, Any]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_LAGGING, bounds)
        return [row[0] for row in cursor.fetchall()]


def purge_all_tenants(*, now: datetime) -> list[PurgeReport]:
    """Purge one tenant after the other; what fails for one does not keep the others waiting."""
    reports = []
    for tenant_id in Tenant.objects.order_by("id").values_list("id", flat=True):
        try:
            reports.append(purge_events(snapshots.tenant_settings(tenant_id), now=now))
        except (DatabaseError, DomainError):
            log.exception("event.purge_failed", tenant_id=tenant_id)
    return reports


@transaction.atomic
def empty_tenant(tenant_id: str) -> int:
    """Delete every event of a sandbox tenant and return how many there were.

    What came of them must be deleted by its own apps. Raises: ``NotAllowedError`` in production.
    """
    if settings.PHOENIX_ENV == "prod":
        raise NotAllowedError("Nothing is emptied in production.")
    with connection.cursor() as cursor:
        cursor.execute(_NAME_THE_PURPOSE)
        cursor.execute("DELETE FROM ingestion_quarantineentry WHERE tenant_id = %s", [tenant_id])
        cursor.execute("DELETE FROM ingestion_event WHERE tenant_id = %s", [tenant_id])
        return int(cursor.rowcount)
