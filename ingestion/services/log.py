"""What Phoenix itself adds to the log."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q

from ingestion.constants import MAX_CAUSE_DEPTH
from ingestion.models import Event
from ingestion.rules.identity import canonical_json, content_hash
from ingestion.rules.sharding import shard_of
from ingestion.services.store import store_rows
from ingestion.types import EventInput, LogRow, StoreStatus, StoreVerdict
from phoenix_site.common.logging import get_logger
from phoenix_site.common.nudges import nudge_consumers

log = get_logger(__name__)

# A space can stand in no event id that comes through a gateway.
_SUFFIX = " internal"


@transaction.atomic
def append_events(events: Sequence[EventInput]) -> list[StoreVerdict]:
    """Append internal events in the caller's transaction and wake consumers when it commits.

    Returns one verdict per event that was taken, in order; an event deeper than the longest chain
    of causes is left out and reported.

    Repeats: safe, an id that is stored already adds nothing. If a sender of the tenant took an id
    that Phoenix uses, the event is stored with `` internal`` added to its id, which no sender can
    choose. Queries: 1 per 1000 events, more where ids are stored already.
    """
    rows = [_row(event) for event in events if _is_shallow(event)]
    statuses: list[StoreStatus] = store_rows(rows) if rows else []
    if "conflict" in statuses:
        _give_way(rows, statuses)
    nudge_consumers({row.shard for row, status in _pairs(rows, statuses) if status == "accepted"})
    return [StoreVerdict(row.event_id, status) for row, status in _pairs(rows, statuses)]


def _pairs(rows: list[LogRow], statuses: list[StoreStatus]) -> list[tuple[LogRow, StoreStatus]]:
    return list(zip(rows, statuses, strict=True))


def _is_shallow(event: EventInput) -> bool:
    if event.depth <= MAX_CAUSE_DEPTH:
        return True
    log.warning("event.chain_too_deep", tenant_id=event.tenant_id, type=event.type)
    return False


def _row(event: EventInput) -> LogRow:
    metadata, attrs = canonical_json(event.metadata), canonical_json(event.attrs)
    digest = content_hash(
        event.type, event.user_id, event.occurred_at, metadata=metadata, attrs=attrs
    )
    return LogRow(
        tenant_id=event.tenant_id,
        event_id=event.event_id,
        type=event.type,
        user_id=event.user_id,
        metadata=metadata,
        attrs=attrs,
        occurred_at=event.occurred_at,
        source=event.source,
        request_id=event.request_id,
        credential_id=event.credential_id,
        content_hash=digest,
        shard=shard_of(event.tenant_id, event.user_id),
        cause=event.cause,
        depth=event.depth,
    )


def _give_way(rows: list[LogRow], statuses: list[StoreStatus]) -> None:
    """Store what met a sender's event of the same id under an id of its own, in place."""
    conflicts = [index for index, status in enumerate(statuses) if status == "conflict"]
    foreign = _keys_of_senders([rows[index].key for index in conflicts])
    moved = [index for index in conflicts if rows[index].key in foreign]
    for index in moved:
        rows[index] = rows[index]._replace(event_id=rows[index].event_id + _SUFFIX)
    if moved:
        for index, status in zip(moved, store_rows([rows[i] for i in moved]), strict=True):
            statuses[index] = status
    for row, status in _pairs(rows, statuses):
        if status == "conflict":
            log.warning("event.conflict", tenant_id=row.tenant_id, event_id=row.event_id)


def _keys_of_senders(keys: list[tuple[str, str]]) -> set[tuple[str, str]]:
    wanted = Q()
    for tenant_id in {tenant_id for tenant_id, _event_id in keys}:
        ids = [event_id for tenant, event_id in keys if tenant == tenant_id]
        wanted |= Q(tenant_id=tenant_id, event_id__in=ids)
    found = Event.objects.filter(wanted).exclude(source=Event.Source.INTERNAL)
    return set(found.values_list("tenant_id", "event_id"))
