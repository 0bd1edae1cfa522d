"""Calls that credit a bonus with the operator (GRT-8), owed through the outbox."""

from datetime import datetime
from typing import Final

from rewards.models import Grant
from tenants.models import Tenant
from tenants.services import deliveries

__all__ = ["KIND", "delivery_key", "drop_call", "owe_call"]

KIND: Final = "bonus_credit"


def owe_call(grant: Grant, *, user_id: str, now: datetime) -> None:
    """Owe the operator's call for a grant; a tenant that polls gets none.

    Repeats: the same grant owes one call. Queries: 2 to 4.
    """
    tenant = Tenant.objects.only("bonus_mode", "bonus_path").get(pk=grant.tenant_id)
    if tenant.bonus_mode == Tenant.BonusMode.POLL:
        return
    payload = grant.snapshot["payload"]
    deliveries.enqueue(
        tenant_id=grant.tenant_id,
        kind=KIND,
        key=delivery_key(grant),
        path_or_url=tenant.bonus_path,
        body={
            "rewardId": str(grant.pk),
            "playerId": user_id,
            "bonusOfferId": payload["bonus_offer_id"],
            "amount": payload.get("amount"),
            "currency": payload.get("currency"),
            "source": grant.source_type,
            "sourceId": grant.source_id,
            "grantedAt": now,
        },
        headers={"Idempotency-Key": str(grant.pk)},
        reference=str(grant.pk),
        now=now,
    )


def drop_call(grant: Grant, *, now: datetime) -> None:
    """Take back a call that was not sent yet; one that is under way ends by itself."""
    deliveries.cancel_delivery(tenant_id=grant.tenant_id, key=delivery_key(grant), now=now)


def delivery_key(grant: Grant) -> str:
    """Return the key of the grant's one delivery."""
    return f"grant:{grant.pk}"
