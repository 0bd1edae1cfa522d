"""What staff do with events that a consumer could not process: replay or discard them."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils.module_loading import import_string

from ingestion import selectors
from ingestion.exceptions import QuarantineClosedError, ReplayFailedError
from ingestion.models import QuarantineEntry
from ingestion.services import cursors
from ingestion.types import StoredEvent
from phoenix_site.common.exceptions import DomainError, InvalidInputError, NotFoundError
from phoenix_site.common.logging import get_logger
from tenants.services import audit
from tenants.types import Actor, AuditChange

log = get_logger(__name__)


def replay(entry_id: UUID, *, actor: Actor, reason: str, now: datetime) -> None:
    """Run the consumer on the event again and close the entry, in one transaction.

    When the consumer refuses it again the entry stays open and counts one try more.

    Raises: ``NotFoundError``, ``QuarantineClosedError``, ``ReplayFailedError``.
    Repeats: an entry that is closed is not replayed again.
    Locks: the consumer's cursor in the event's shard, then the entry.
    """
    _check_reason(reason)
    try:
        with transaction.atomic():
            entry = _lock_with_its_shard(entry_id)
            _replay_function(entry.consumer)(_event_of(entry), now=now)
            _close(entry, QuarantineEntry.State.REPLAYED, actor=actor, reason=reason, now=now)
    except (NotFoundError, QuarantineClosedError):
        raise
    except DomainError as exc:
        _count_failed_try(entry_id, exc, now)
        raise ReplayFailedError(f"The consumer refused it again: {exc.message}") from exc


def discard(entry_id: UUID, *, actor: Actor, reason: str, now: datetime) -> None:
    """Close the entry without an effect.

    Raises: ``NotFoundError``, ``QuarantineClosedError``. Repeats: a closed entry stays as it is.
    """
    _check_reason(reason)
    with transaction.atomic():
        entry = _lock(entry_id)
        _close(entry, QuarantineEntry.State.DISCARDED, actor=actor, reason=reason, now=now)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInputError("A reason is needed.")


def _lock_with_its_shard(entry_id: UUID) -> QuarantineEntry:
    """Lock the consumer's cursor first: only its holder may touch the rows of a shard."""
    entry = QuarantineEntry.objects.select_related("event").filter(pk=entry_id).first()
    if entry is None:
        raise NotFoundError("There is no such entry.")
    cursors.wait_for_shard(consumer=entry.consumer, shard=entry.event.shard)
    return _lock(entry_id)


def _lock(entry_id: UUID) -> QuarantineEntry:
    entries = QuarantineEntry.objects.select_related("event").select_for_update(of=("self",))
    entry = entries.filter(pk=entry_id).first()
    if entry is None:
        raise NotFoundError("There is no such entry.")
    if entry.state != QuarantineEntry.State.OPEN:
        raise QuarantineClosedError(f"The entry is {entry.state} already.")
    return entry


def _replay_function(consumer: str) -> Callable[..., None]:
    path = settings.PHOENIX_EVENT_CONSUMERS.get(consumer, {}).get("replay")
    if path is None:
        raise ReplayFailedError(f"The consumer {consumer} cannot replay events.")
    function: Callable[..., None] = import_string(path)
    return function


def _event_of(entry: QuarantineEntry) -> StoredEvent:
    return selectors.events_by_row_id_across_tenants([entry.event.pk])[entry.event.pk]


def _close(entry: QuarantineEntry, state: str, *, actor: Actor, reason: str, now: datetime) -> None:
    QuarantineEntry.objects.filter(pk=entry.pk).update(
        state=state, resolved_at=now, resolved_by=actor.label, reason=reason
    )
    audit.record(
        f"quarantine.{state}",
        actor=actor,
        now=now,
        tenant_id=entry.tenant_id,
        change=AuditChange("quarantine_entry", str(entry.pk), str(entry)),
        reason=reason,
    )
    log.info("quarantine.closed", id=str(entry.pk), state=state)


def _count_failed_try(entry_id: UUID, error: DomainError, now: datetime) -> None:
    entries = QuarantineEntry.objects.filter(pk=entry_id, state=QuarantineEntry.State.OPEN)
    entries.update(tries=F("tries") + 1, last_failed_at=now, code=error.code, message=error.message)
