"""Redeeming codes (CPN-3 to CPN-5), and taking a redemption back (CPN-8).

Locks are taken in one order everywhere: the player, the code, the player's count, and last the
coupon's count, which all who redeem its codes share. So that row is held for the commit only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from phoenix_site.common.exceptions import DomainError, NotAllowedError, NotFoundError
from phoenix_site.common.ids import uuid7
from players.selectors import facts_for
from players.services.registration import ensure_player
from players.types import PlayerFacts
from rewards.exceptions import (
    CouponAlreadyRedeemedError,
    CouponExpiredError,
    CouponInactiveError,
    CouponLimitReachedError,
    CouponNotStartedError,
    CouponVoidError,
    PlayerBlockedError,
    StateConflictError,
)
from rewards.models import CouponCode, CouponRedemption, CouponTally, CouponUse
from rewards.rules.coupons import find_refusal
from rewards.selectors import coupon_codes as selectors
from rewards.selectors.book import book_of
from rewards.selectors.coupons import shown_item
from rewards.services.coupon_failures import attempting
from rewards.services.granting import GrantDesk, GrantLine
from rewards.services.grants import revoke_grant
from rewards.services.pipe import settling
from rewards.types.causes import Cause, child_event
from rewards.types.coupons import FoundCode, Redemption, Refusal
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["Validation", "redeem", "reverse_redemption", "validate"]

_REFUSALS: Final[Mapping[Refusal, tuple[type[DomainError], str]]] = {
    "not_found": (NotFoundError, "There is no such code."),
    "other_player": (NotAllowedError, "The code belongs to another player."),
    "void": (CouponVoidError, "The code is void."),
    "inactive": (CouponInactiveError, "The coupon is not active."),
    "not_started": (CouponNotStartedError, "The coupon cannot be redeemed yet."),
    "expired": (CouponExpiredError, "The coupon has expired."),
    "already_redeemed": (CouponAlreadyRedeemedError, "The code is redeemed already."),
    "usage_limit_reached": (
        CouponLimitReachedError,
        "The coupon was redeemed as often as it may be.",
    ),
}

# Each step depends on the one before, which keeps the order of the locks; no row: one refused.
_CLAIM_RANDOM: Final = """
WITH claimed AS (
    UPDATE rewards_couponcode SET status = 'redeemed', redeemed_at = %(now)s
    WHERE id = %(code)s AND status = 'active' RETURNING id
), used AS (
    INSERT INTO rewards_couponuse AS use (coupon_id, player_id, count)
    SELECT %(coupon)s, %(player)s, 1 FROM claimed
    ON CONFLICT (coupon_id, player_id) DO UPDATE SET count = use.count + 1
    WHERE %(per_user)s::int IS NULL OR use.count < %(per_user)s
    RETURNING count
)
"""
_CLAIM_SHARED: Final = """
WITH used AS (
    INSERT INTO rewards_couponuse AS use (coupon_id, player_id, count)
    VALUES (%(coupon)s, %(player)s, 1)
    ON CONFLICT (coupon_id, player_id) DO UPDATE SET count = use.count + 1
    WHERE %(per_user)s::int IS NULL OR use.count < %(per_user)s
    RETURNING count
)
"""
_WRITE: Final = """
INSERT INTO rewards_couponredemption
    (id, tenant_id, coupon_id, code_id, player_id, grant_id, uses_up_code, is_once_per_player,
     redeemed_at, reversed_by, reversal_reason)
SELECT %(id)s, %(tenant)s, %(coupon)s, %(code)s, %(player)s, %(grant)s, %(uses_up)s, %(is_once)s,
       %(now)s, '', ''
FROM used
"""
_COUNT: Final = """
UPDATE rewards_coupontally SET redeemed = redeemed + 1
WHERE coupon_id = %(coupon)s AND (%(total)s::int IS NULL OR redeemed < %(total)s)
"""


@dataclass(frozen=True, slots=True)
class Validation:
    """What redeeming a code would come to; ``reason`` is ``None`` where it would work."""

    reason: Refusal | None
    coupon: Mapping[str, Any] | None = None
    reward_item: Mapping[str, Any] | None = None


def validate(tenant_id: str, user_id: str, typed: str, *, now: datetime) -> Validation:
    """Say whether the player could redeem the code now, without changing anything (CPN-5).

    Raises: ``RateLimitedError`` after too many failures.
    """
    with attempting(tenant_id, user_id) as attempt:
        facts = facts_for([(tenant_id, user_id)], now=now).get((tenant_id, user_id))
        player_id = None if facts is None else facts.player_id
        found = selectors.find_code(tenant_id, typed, player_id)
        reason = "not_found" if found is None else find_refusal(found.state, now)
        if found is None or reason is not None:
            attempt.fail()
            return Validation(reason)
    coupon = selectors.shown_codes(tenant_id, [found.code_id], now=now, player_id=player_id)[0]
    return Validation(None, selectors.code_document(coupon), coupon.reward_item)


def redeem(tenant_id: str, user_id: str, typed: str, *, now: datetime) -> Redemption:
    """Redeem a code for the player, who is made if missing, and give what it is worth.

    Raises: ``PlayerBlockedError`` (RUL-7), ``NotFoundError`` and the refusals of CPN-4, in its
    order; ``RateLimitedError`` after too many of them. Nothing is left behind then.
    Locks: the player, the code, the player's count, and last the coupon's.
    """
    with attempting(tenant_id, user_id):
        return _redeem(tenant_id, user_id, typed, now)


@transaction.atomic
def _redeem(tenant_id: str, user_id: str, typed: str, now: datetime) -> Redemption:
    facts = _facts(tenant_id, user_id, now)
    if facts.is_opted_out or facts.is_blocked("rewards"):
        raise PlayerBlockedError("The player may not redeem codes.")
    found = _find(tenant_id, typed, facts.player_id, now)
    redemption_id = uuid7()
    item = book_of(tenant_id).items[found.item_id]
    cause = Cause(
        tenant_id=tenant_id,
        source_type="coupon",
        source_id=str(redemption_id),
        kind="redemption",
        id=str(redemption_id),
        occurred_at=now,
        actor=user_id,
    )
    with settling([facts.player_id], now=now, facts={facts.player_id: facts}) as settlement:
        (grant,) = settlement.part(GrantDesk).give(
            facts.player_id,
            items=[GrantLine(item)],
            cause=cause,
            context={"coupon_code": found.code, "coupon_id": str(found.coupon_id)},
            is_new=True,
        )
        attrs = {
            "coupon_id": str(found.coupon_id),
            "code_id": str(found.code_id),
            "code": found.code,
            "redemption_id": str(redemption_id),
            "grant_id": str(grant.pk),
        }
        event_id = f"coupon.redeemed:{redemption_id}"
        settlement.emit(
            child_event(
                cause,
                "coupon.redeemed",
                event_id=event_id,
                user_id=user_id,
                attrs=attrs,
                occurred_at=now,
            )
        )
    _take_slots(found, facts, redemption_id, grant.pk, now)
    return Redemption(
        redemption_id=redemption_id,
        coupon_id=found.coupon_id,
        code_id=found.code_id,
        code=found.code,
        user_id=user_id,
        reward_item=shown_item(item),
        order_id=grant.pk,
        redeemed_at=now,
        status="redeemed",
    )


def _facts(tenant_id: str, user_id: str, now: datetime) -> PlayerFacts:
    key = (tenant_id, user_id)
    found = facts_for([key], now=now)
    if key not in found:
        ensure_player(tenant_id, user_id, now=now)
        found = facts_for([key], now=now)
    return found[key]


def _find(tenant_id: str, typed: str, player_id: UUID, now: datetime) -> FoundCode:
    found = selectors.find_code(tenant_id, typed, player_id)
    if found is None:
        raise _refused("not_found")
    reason = find_refusal(found.state, now)
    if reason is not None:
        raise _refused(reason)
    return found


def _refused(reason: Refusal) -> DomainError:
    kind, message = _REFUSALS[reason]
    return kind(message)


def _take_slots(
    found: FoundCode, facts: PlayerFacts, redemption_id: UUID, grant_id: UUID, now: datetime
) -> None:
    """Use up the code, the player's and the coupon's count, each only if it is still there."""
    limits, is_shared = found.state.limits, found.state.is_shared
    values: dict[str, Any] = {
        "id": redemption_id,
        "tenant": facts.tenant_id,
        "coupon": found.coupon_id,
        "code": found.code_id,
        "player": facts.player_id,
        "grant": grant_id,
        "uses_up": not is_shared,
        "is_once": is_shared and limits.per_user == 1,
        "per_user": limits.per_user,
        "total": limits.total,
        "now": now,
    }
    claim = _CLAIM_SHARED if is_shared else _CLAIM_RANDOM
    with connection.cursor() as cursor:
        cursor.execute(claim + _WRITE, values)
        if cursor.rowcount == 0:
            raise _why_not(found, facts, now)
        cursor.execute(_COUNT, values)
        if cursor.rowcount == 0:
            raise _refused("usage_limit_reached")


def _why_not(found: FoundCode, facts: PlayerFacts, now: datetime) -> DomainError:
    """Return what somebody else's redemption, committed meanwhile, left for this one."""
    newest = selectors.find_code(facts.tenant_id, found.code, facts.player_id)
    reason = "not_found" if newest is None else find_refusal(newest.state, now)
    return _refused(reason or "already_redeemed")


# --- Reversal ------------------------------------------------------------------------------------


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
