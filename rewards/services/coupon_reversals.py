"""Taking a redemption back (CPN-8)."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from phoenix_site.common.exceptions import NotFoundError
from rewards.exceptions import StateConflictError
from rewards.models import CouponCode, CouponRedemption, CouponTally, CouponUse
from rewards.selectors import coupon_codes as selectors
from rewards.services.grants import revoke_grant
from rewards.types.coupons import Redemption
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["reverse_redemption"]


@transaction.atomic
def reverse_redemption(
    tenant_id: str,
    redemption_id: UUID,
    *,
    reason: str,
    actor: Actor,
    now: datetime,
    clip: bool = False,
) -> Redemption:
    """Take a redemption back: its grant is revoked, and the slot is free again.

    With ``clip`` a wallet that is too small gives what it has.

    Raises: ``NotFoundError``, ``StateConflictError`` when it is reversed already,
    ``InsufficientBalanceError``. Locks: the redemption, then as ``redeem``.
    """
    rows = CouponRedemption.objects.filter(tenant=tenant_id, pk=redemption_id)
    row = rows.select_related("code", "player", "grant", "coupon").first()
    if row is None:
        raise NotFoundError("There is no such redemption.")
    row.reversed_at, row.reversed_by, row.reversal_reason = now, actor.label[:255], reason[:500]
    changed = rows.filter(reversed_at=None).update(
        reversed_at=now, reversed_by=row.reversed_by, reversal_reason=row.reversal_reason
    )
    if not changed:
        raise StateConflictError("The redemption is reversed already.")
    if row.grant.status not in ("revoked", "expired"):
        revoke_grant(tenant_id, row.grant_id, reason=reason, actor=actor, now=now, clip=clip)
    _give_slots_back(row)
    audit.record(
        "coupon_redemption.reversed",
        actor=actor,
        now=now,
        tenant_id=tenant_id,
        change=AuditChange("coupon_redemption", str(row.pk), row.code.code),
        reason=reason,
    )
    return selectors.redemption_view(row)


def _give_slots_back(row: CouponRedemption) -> None:
    if row.uses_up_code:
        CouponCode.objects.filter(pk=row.code_id, status=CouponCode.Status.REDEEMED).update(
            status=CouponCode.Status.ACTIVE, redeemed_at=None
        )
    CouponUse.objects.filter(coupon=row.coupon_id, player=row.player_id, count__gt=0).update(
        count=F("count") - 1
    )
    CouponTally.objects.filter(coupon=row.coupon_id, redeemed__gt=0).update(
        redeemed=F("redeemed") - 1
    )
