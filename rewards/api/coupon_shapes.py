"""The shapes of coupons, as the reference shows them and as they are answered.

Definitions are read by ``rules.coupons``, which finds every fault at once.
"""

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from rewards.constants import MAX_CODES
from rewards.models import Coupon
from rewards.selectors import coupons as selectors
from rewards.types.coupons import Redemption

CODE_STATUSES = ("active", "redeemed", "expired", "revoked")


class UsageLimitShape(serializers.Serializer[Any]):
    limit_type = serializers.ChoiceField(choices=["per_user", "total", "unlimited"])
    max_uses = serializers.IntegerField(required=False, min_value=1)


class CouponConfigShape(serializers.Serializer[Any]):
    reward_item_id = serializers.UUIDField()
    code_format = serializers.ChoiceField(choices=Coupon.CodeFormat.choices, required=False)
    code_prefix = serializers.CharField(max_length=32, required=False, allow_blank=True)
    code_length = serializers.IntegerField(
        required=False, min_value=6, max_value=32, help_text="Of the random part."
    )
    custom_code = serializers.CharField(max_length=64, required=False, allow_null=True)
    case_sensitive = serializers.BooleanField(required=False)
    starts_at = serializers.DateTimeField(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    usage_limit = serializers.JSONField(
        required=False, help_text="A limit, or a list with one of each type."
    )


class CouponConfigChange(CouponConfigShape):
    reward_item_id = serializers.UUIDField(required=False)


class CouponInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    status = serializers.ChoiceField(choices=Coupon.Status.choices, required=False)
    config = CouponConfigShape()
    version = serializers.IntegerField(
        required=False, help_text="Refuse the change unless this is the stored version."
    )


class CouponChange(CouponInput):
    name = serializers.CharField(max_length=255, required=False)
    config = CouponConfigChange(required=False)


class CouponOutput(CouponInput):
    id = serializers.UUIDField()
    tenant_id = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class CouponListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    coupons = CouponOutput(many=True)


class DefinitionListOutput(serializers.Serializer[Any]):
    definitions = CouponOutput(many=True)
    total = serializers.IntegerField()


class CouponItemShape(serializers.Serializer[Any]):
    item_id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    reward_type = serializers.CharField()
    payload = serializers.DictField()


class CodeOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    definition_id = serializers.UUIDField()
    definition_name = serializers.CharField()
    tenant_id = serializers.CharField()
    user_id = serializers.CharField(allow_null=True, help_text="Whom it belongs to; null: nobody.")
    code = serializers.CharField()
    status = serializers.ChoiceField(choices=CODE_STATUSES)
    generated_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    redeemed_at = serializers.DateTimeField(allow_null=True)
    redemption_count = serializers.IntegerField()
    coupon_type = serializers.ChoiceField(choices=["reward"])
    reward_item = CouponItemShape()


class CodeListOutput(serializers.Serializer[Any]):
    coupons = CodeOutput(many=True)
    total = serializers.IntegerField()


class ValidationOutput(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    coupon = CodeOutput(required=False)
    reward_item = CouponItemShape(required=False)
    reason = serializers.ChoiceField(
        choices=[
            *("not_found", "inactive", "void", "not_started", "expired"),
            *("already_redeemed", "usage_limit_reached", "other_player"),
        ],
        required=False,
    )


class RedeemInput(serializers.Serializer[Any]):
    user_id = serializers.CharField(required=False, help_text="The token's player, if named.")


class RedeemOutput(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    redemption_id = serializers.UUIDField()
    coupon_id = serializers.UUIDField()
    code = serializers.CharField()
    reward_item = CouponItemShape()
    redeemed_at = serializers.DateTimeField()
    order_id = serializers.UUIDField(help_text="The grant.")


class RedemptionOutput(serializers.Serializer[Any]):
    redemption_id = serializers.UUIDField()
    coupon_id = serializers.UUIDField()
    code = serializers.CharField()
    reward_item = CouponItemShape()
    redeemed_at = serializers.DateTimeField()
    status = serializers.ChoiceField(choices=["redeemed", "reversed"])


class RedemptionListOutput(serializers.Serializer[Any]):
    redemptions = RedemptionOutput(many=True)
    total = serializers.IntegerField()


class StaffRedemptionOutput(RedemptionOutput):
    user_id = serializers.CharField()
    order_id = serializers.UUIDField()


class StaffRedemptionListOutput(serializers.Serializer[Any]):
    redemptions = StaffRedemptionOutput(many=True)
    total = serializers.IntegerField()


class GenerateInput(serializers.Serializer[Any]):
    user_ids = serializers.ListField(child=serializers.CharField(), required=False)
    count_per_user = serializers.IntegerField(required=False, min_value=1, max_value=MAX_CODES)
    count = serializers.IntegerField(required=False, min_value=1, max_value=MAX_CODES)


class ImportRowShape(serializers.Serializer[Any]):
    code = serializers.CharField()
    user_id = serializers.CharField(required=False)


class ImportInput(serializers.Serializer[Any]):
    rows = ImportRowShape(many=True)


class VerdictOutput(serializers.Serializer[Any]):
    index = serializers.IntegerField(min_value=0)
    code = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=["imported", "duplicate", "rejected"])
    error = serializers.CharField(allow_null=True)


class ImportOutput(serializers.Serializer[Any]):
    results = VerdictOutput(many=True)
    imported = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    rejected = serializers.IntegerField()


class ReverseInput(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500)
    clip = serializers.BooleanField(
        required=False, help_text="Take back what a wallet has, if it has too little."
    )


def coupon_bodies(rows: Sequence[Coupon]) -> list[dict[str, Any]]:
    """Return definitions as back offices see them."""
    return [selectors.coupon_document(row) for row in rows]


def definition_bodies(rows: Sequence[Coupon]) -> list[dict[str, Any]]:
    """Return definitions as players see them: without the codes that many share."""
    bodies = coupon_bodies(rows)
    for body in bodies:
        body["config"] = {**body["config"], "custom_code": None}
    return bodies


def redeem_body(done: Redemption) -> dict[str, Any]:
    """Return a redemption that was made just now."""
    body = {"success": True, **redemption_body(done), "order_id": str(done.order_id)}
    del body["status"]
    return body


def redemption_body(row: Redemption) -> dict[str, Any]:
    """Return a redemption as its player sees it."""
    return {
        "redemption_id": str(row.redemption_id),
        "coupon_id": str(row.code_id),
        "code": row.code,
        "reward_item": dict(row.reward_item),
        "redeemed_at": row.redeemed_at,
        "status": row.status,
    }


def staff_redemption_body(row: Redemption) -> dict[str, Any]:
    """Return a redemption as staff see it."""
    return {**redemption_body(row), "user_id": row.user_id, "order_id": str(row.order_id)}
