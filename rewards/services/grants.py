"""What staff and back offices do with grants: give, revoke, retry, fulfill; and their expiry."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from ingestion.services.log import append_events
from phoenix_site.common.faults import Fault
from phoenix_site.common.ids import new_id
from phoenix_site.common.logging import get_logger
from players.services.registration import ensure_players
from rewards.exceptions import DocumentError, StateConflictError
from rewards.models import Grant, GrantMove
from rewards.selectors import grants as selectors
from rewards.selectors import items
from rewards.services import bonus_calls, grant_store
from rewards.services.granting import GrantDesk
from rewards.services.pipe import settling
from rewards.types.causes import Cause
from rewards.types.grants import GrantLine
from tenants.models import Delivery
from tenants.services import audit, deliveries
from tenants.types import Actor, AuditChange

__all__ = [
    "Given",
    "check_reason",
    "expire_due",
    "fulfill_grant",
    "give_item",
    "retry_grant",
    "revoke_grant",
]

log = get_logger(__name__)

_MAX_REASON: Final = 500
_MAX_SOURCE: Final = 200
EXPIRY_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Given:
    """A grant, and whether it was made just now."""

    grant: Grant
    is_new: bool


def check_reason(sent: object) -> str:
    """Return the reason that was given. Raises: ``DocumentError`` without one."""
    if not isinstance(sent, str) or not 1 <= len(sent.strip()) <= _MAX_REASON:
        raise DocumentError([Fault("reason", f"must be a text of 1 to {_MAX_REASON} characters")])
    return sent.strip()


@transaction.atomic
def give_item(
    tenant_id: str,
    *,
    user_id: str,
    item_id: UUID,
    reason: str,
    actor: Actor,
    now: datetime,
    source_id: str | None = None,
) -> Given:
    """Give an item by hand; a player who is not known yet is made.

    ``source_id`` names what it is for: one source gives an item to a player once.

    Raises: ``NotFoundError`` without the item, ``StateConflictError`` for an archived one,
    ``InvalidInputError``. Repeats: the same source returns its first grant. Locks: the player.
    """
    item = items.item_view(items.get_item(tenant_id, item_id))
    if not item.is_active:
        raise StateConflictError("The reward item is archived.")
    if source_id is not None and not 1 <= len(source_id) <= _MAX_SOURCE:
        raise DocumentError(
            [Fault("source_id", f"must be a text of 1 to {_MAX_SOURCE} characters")]
        )
    player_id = ensure_players([(tenant_id, user_id)], now=now)[tenant_id, user_id]
    is_staff = actor.kind == "staff"
    cause = Cause(
        tenant_id=tenant_id,
        source_type="manual" if is_staff else "api",
        source_id=source_id or new_id(),
        kind="staff" if is_staff else "api_key",
        id=actor.id or actor.label,
        actor=actor.label,
        reason=reason,
    )
    with settling([player_id], now=now) as settlement:
        desk = settlement.part(GrantDesk)
        grant = desk.give(
            player_id,
            items=[GrantLine(item)],
            cause=cause,
            context={"reason": reason},
            is_new=source_id is None,
        )[0]
        is_new = desk.is_new(grant)
    if is_new:
        _record("grant.given", grant, actor=actor, reason=reason, now=now)
    return Given(selectors.get_grant(tenant_id, grant.pk), is_new)


def revoke_grant(
    tenant_id: str,
    grant_id: UUID,
    *,
    reason: str,
    actor: Actor,
    now: datetime,
    clip: bool = False,
) -> Grant:
    """Take a grant back; money is reversed, with ``clip`` as far as the wallet has it.

    Raises: ``NotFoundError``, ``StateConflictError``, ``InsufficientBalanceError``.
    Locks: the player, the grant.
    """

    def revoke(desk: GrantDesk, grant: Grant) -> None:
        desk.revoke(grant, actor=actor.label, reason=reason, clip=clip)

    return _change("grant.revoked", tenant_id, grant_id, revoke, actor, reason, now)


@transaction.atomic
def retry_grant(
    tenant_id: str, grant_id: UUID, *, reason: str, actor: Actor, now: datetime
) -> Grant:
    """Deliver a failed grant again.

    Raises: ``NotFoundError``, ``StateConflictError`` unless it failed.
    Locks: its delivery, the player, the grant, in this order, as the sender of deliveries does.
    """
    found = selectors.get_grant(tenant_id, grant_id)
    call = Delivery.objects.filter(
        tenant_id=tenant_id, key=bonus_calls.delivery_key(found), state=Delivery.State.FAILED
    ).first()
    if call is not None and found.status == Grant.Status.FAILED:
        deliveries.retry_delivery(call.pk, actor=actor, now=now, reason=reason)

    def retry(desk: GrantDesk, grant: Grant) -> None:
        if grant.status != Grant.Status.FAILED:
            raise StateConflictError(f"The grant is {grant.status}; only a failed one is retried.")
        grant.note = ""
        if call is not None:
            desk.move(grant, "processing", actor=actor.label, reason=reason)
        else:
            cause = grant_store.cause_of(grant, actor=actor.label, reason=reason)
            desk.deliver(grant, cause=cause)

    return _change("grant.retried", tenant_id, grant_id, retry, actor, reason, now)


def fulfill_grant(
    tenant_id: str, grant_id: UUID, *, reason: str, actor: Actor, now: datetime
) -> Grant:
    """Say that a grant under way has been delivered by hand.

    Raises: ``NotFoundError``, ``StateConflictError`` unless its delivery is under way.
    """

    def fulfill(desk: GrantDesk, grant: Grant) -> None:
        desk.move(grant, "granted", actor=actor.label, reason=reason)
        if grant.snapshot["reward_type"] == "bonus_offer":
            bonus_calls.drop_call(grant, now=now)

    return _change("grant.fulfilled", tenant_id, grant_id, fulfill, actor, reason, now)


@transaction.atomic
def expire_due(*, now: datetime, limit: int = EXPIRY_BATCH) -> int:
    """Expire grants that nobody claimed in time; return how many. Repeats: harmless.

    Locks: the grants; one that is being claimed at the moment is left to the next call.
    """
    due = selectors.due_grant_ids_across_tenants(now=now, limit=limit)
    rows = Grant.objects.filter(pk__in=due, claim_by__lte=now).order_by("pk")
    waiting = rows.filter(status__in=[Grant.Status.UNCLAIMED, Grant.Status.PENDING_ACTIVATION])
    grants = list(
        waiting.select_for_update(of=("self",), skip_locked=True).select_related("player")
    )
    moves = [
        GrantMove(
            grant_id=grant.pk,
            from_status=grant.status,
            to_status=Grant.Status.EXPIRED,
            at=now,
            reason="Not claimed in time.",
        )
        for grant in grants
    ]
    events = []
    for grant in grants:
        grant.status = Grant.Status.EXPIRED
        user_id = grant.player.external_id
        events.append(grant_store.event_of(grant, "reward.expired", user_id=user_id, at=now))
    grant_store.update_grants(grants, now=now)
    grant_store.store_moves(moves)
    append_events([event for event in events if event is not None])
    return len(grants)


@transaction.atomic
def _change(
    action: str,
    tenant_id: str,
    grant_id: UUID,
    change: Callable[[GrantDesk, Grant], None],
    actor: Actor,
    reason: str,
    now: datetime,
) -> Grant:
    found = selectors.get_grant(tenant_id, grant_id)
    with settling([found.player_id], now=now) as settlement:
        grant = grant_store.lock_grants([found.pk])[0]
        before = grant.status
        change(settlement.part(GrantDesk), grant)
    _record(action, grant, actor=actor, reason=reason, now=now, before=before)
    log.info(action, grant=str(grant.pk), tenant_id=tenant_id)
    return selectors.get_grant(tenant_id, grant_id)


def _record(
    action: str, grant: Grant, *, actor: Actor, reason: str, now: datetime, before: str = ""
) -> None:
    sides = ({"status": before} if before else None, {"status": str(grant.status)})
    change = AuditChange("grant", str(grant.pk), str(grant.snapshot.get("name", "")), *sides)
    tenant_id = grant.tenant_id
    audit.record(action, actor=actor, now=now, tenant_id=tenant_id, change=change, reason=reason)
