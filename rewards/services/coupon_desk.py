"""Codes that come to players as rewards: by an item of type coupon, or by a rule's effect."""

from collections import defaultdict
from collections.abc import Collection
from typing import ClassVar
from uuid import UUID

from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.ids import uuid7
from rewards.exceptions import CouponInactiveError
from rewards.models import CouponCode
from rewards.selectors import coupons as selectors
from rewards.services import coupon_codes
from rewards.services.settlement import Settlement
from rewards.types.causes import Cause
from rewards.types.coupons import AssignedCode, CouponView, NewCode

__all__ = ["CouponDesk"]

# Codes are looked for one by one at first, then by more and more at a time.
_GROWTH, _MOST_AT_ONCE = 8, 512
_NOTE_LENGTH = 800


class CouponDesk:
    """Gives codes to players within one settlement, and takes them back."""

    # After the grants that give them.
    order: ClassVar[int] = 95

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._free: dict[UUID, list[str]] = defaultdict(list)
        self._asked: dict[UUID, int] = {}
        self._new: dict[tuple[str, UUID], list[NewCode]] = defaultdict(list)
        self._lost: dict[UUID, str] = {}

    def assign(
        self, player_id: UUID, coupon_id: UUID, cause: Cause, *, grant_id: UUID | None = None
    ) -> AssignedCode:
        """Give the player a code of a coupon: a new one, or the one that all share.

        ``grant_id`` is the grant that gives it, which takes it back when it is revoked.

        Raises: ``CouponInactiveError`` without such a coupon, or when it is archived.
        Queries: 1 for the first code of a coupon, then 1 for ever more of them.
        """
        coupon = selectors.of(self._settlement.book(cause.tenant_id)).get(coupon_id)
        if coupon is None or coupon.status == "archived":
            raise CouponInactiveError("There is no such coupon any more.")
        if coupon.shared_code_id is not None:
            return AssignedCode(
                coupon.shared_code_id, coupon.custom_code, coupon.pk, coupon.expires_at
            )
        code = NewCode(uuid7(), self._next(coupon, cause.tenant_id), player_id, grant_id)
        self._new[cause.tenant_id, coupon_id].append(code)
        return AssignedCode(code.code_id, code.code, coupon.pk, coupon.expires_at)

    def take_back(self, grant_ids: Collection[UUID], *, reason: str) -> None:
        """Declare void the codes that the grants gave, where nobody has redeemed them."""
        self._lost |= dict.fromkeys(grant_ids, reason[:_NOTE_LENGTH])

    def write(self) -> None:
        """Store the codes. Queries: 1 per coupon, and 1 per reason of what is taken back.

        Raises: ``UnavailableError`` when another transaction took one of them meanwhile.
        """
        for (tenant_id, coupon_id), codes in self._new.items():
            coupon = selectors.of(self._settlement.book(tenant_id))[coupon_id]
            now = self._settlement.now
            if len(coupon_codes.store_codes(coupon, tenant_id, codes, now=now)) < len(codes):
                raise UnavailableError("A code was taken at this very moment.", retry_after=1)
        for reason in set(self._lost.values()):
            grants = [grant_id for grant_id, each in self._lost.items() if each == reason]
            CouponCode.objects.filter(grant__in=grants, status=CouponCode.Status.ACTIVE).update(
                status=CouponCode.Status.REVOKED, revoked_at=self._settlement.now, note=reason
            )

    def _next(self, coupon: CouponView, tenant_id: str) -> str:
        free = self._free[coupon.pk]
        if not free:
            count = min(self._asked.get(coupon.pk, 0) * _GROWTH or 1, _MOST_AT_ONCE)
            self._asked[coupon.pk] = count
            used = {code.code for code in self._new[tenant_id, coupon.pk]}
            found = coupon_codes.free_codes(coupon, tenant_id, count)
            free += [code for code in found if code not in used]
        # All of a handful found may be in use by this very settlement, by a chance of nothing.
        return free.pop() if free else self._next(coupon, tenant_id)
