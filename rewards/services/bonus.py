"""How the operator's side of a bonus ends: an answer to our call, or the operator's own word."""

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from ingestion.services.log import append_events
from ingestion.types import StoredEvent
from phoenix_site.common.logging import get_logger
from rewards.models import Grant, GrantMove
from rewards.rules.grants import EVENTS, TRANSITIONS
from rewards.rules.items import as_uuid
from rewards.services import grant_store
from tenants.models import Delivery

__all__ = ["CONFIRMATION", "confirm", "delivery_ended"]

log = get_logger(__name__)

# What an operator that polls sends for each bonus that it has credited.
CONFIRMATION: Final = "bonus.granted"
_STEPS: Final = {
    # A call that failed for good may be sent again by staff, and arrive.
    ("delivered", "processing"): ("granted",),
    ("delivered", "failed"): ("processing", "granted"),
    ("failed", "processing"): ("failed",),
}


@transaction.atomic
def delivery_ended(*, delivery_id: UUID, outcome: str, status: int | None, now: datetime) -> None:
    """Move the grant of a delivery to ``granted`` or ``failed``.

    ``outcome`` is ``delivered`` or ``failed``, ``status`` the last answer's. A grant that was
    revoked meanwhile stays so. Locks: the grant. Repeats: harmless.
    """
    reference = Delivery.objects.values_list("reference", flat=True).get(pk=delivery_id)
    for grant in grant_store.lock_grants([UUID(reference)]):
        note = "" if outcome == "delivered" else _why(status)
        _walk(grant, _STEPS.get((outcome, grant.status), ()), note=note, actor="", now=now)


def confirm(event: StoredEvent, *, now: datetime) -> bool:
    """Take the operator's word, the event ``bonus.granted``, that a bonus was credited (GRT-8).

    ``attrs.grantId`` names the grant of the event's player. Returns whether it moved to
    ``granted``. Call it in the transaction of the batch. Locks: the grant. Repeats: harmless.
    """
    grant_id = as_uuid(event.attrs.get("grantId"))
    if event.type != CONFIRMATION or grant_id is None:
        return False
    owner = {"tenant_id": event.tenant_id, "player__external_id": event.user_id}
    for grant in grant_store.lock_grants([grant_id], **owner):
        if grant.snapshot["reward_type"] == "bonus_offer" and grant.status == "processing":
            _walk(grant, ("granted",), note="", actor=f"event {event.event_id}", now=now)
            return True
    return False


def _walk(grant: Grant, steps: tuple[str, ...], *, note: str, actor: str, now: datetime) -> None:
    if not steps:
        return
    moves: list[GrantMove] = []
    for to in steps:
        assert to in TRANSITIONS[grant.status]  # noqa: S101 - the table above goes along them
        moves.append(
            GrantMove(
                grant_id=grant.pk,
                from_status=grant.status,
                to_status=to,
                at=now,
                actor=actor[:255],
                reason=note,
            )
        )
        grant.status = to
    grant.note = note
    grant_store.update_grants([grant], now=now)
    grant_store.store_moves(moves)
    if grant.status in EVENTS:
        name, user_id = EVENTS[grant.status], grant.player.external_id
        event = grant_store.event_of(grant, name, user_id=user_id, at=now)
        append_events([] if event is None else [event])
    log.info("grant.moved", grant=str(grant.pk), tenant=grant.tenant_id, status=grant.status)


def _why(status: int | None) -> str:
    if status is None:
        return "The operator's system could not be reached."
    return f"The operator's system answered {status}."
