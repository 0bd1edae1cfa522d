"""Coupons and jobs, on the query and the admin gateway."""

from typing import Any, Final

from phoenix_site.reference.collections import (
    ADMIN_ERRORS,
    BODY_ERRORS,
    KEY_ERRORS,
    CollectionWords,
    collection_operations,
)
from phoenix_site.reference.types import Examples, Key, Operation

_READ: Final = (
    *("VAL_001", "AUTH_001", "AUTH_002", "AUTH_003", "AUTH_005"),
    *("METHOD", "RATE_001", "SRV_002"),
)
_ONE: Final = (*_READ, "NOT_FOUND")
_CHANGE: Final = (*ADMIN_ERRORS, *BODY_ERRORS, *KEY_ERRORS, "STATE_CONFLICT")
_REFUSED: Final = (
    *("COUPON_VOID", "COUPON_INACTIVE", "COUPON_NOT_STARTED", "COUPON_EXPIRED"),
    *("COUPON_ALREADY_REDEEMED", "COUPON_LIMIT_REACHED"),
)
_COUPON_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000021"
_CODE_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000022"
_REDEMPTION_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000023"
_GRANT_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000024"
_JOB_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000025"
_ITEM_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000011"
_ITEM: Final[dict[str, Any]] = {
    "item_id": _ITEM_ID,
    "name": "500 gold",
    "description": "For the winners of the week.",
    "reward_type": "currency",
    "payload": {"currency_id": "gold", "amount": 500},
}
_NEW: Final[dict[str, Any]] = {
    "name": "Welcome",
    "description": "For new players.",
    "status": "active",
    "config": {
        "reward_item_id": _ITEM_ID,
        "code_format": "random",
        "code_prefix": "WELCOME",
        "code_length": 8,
        "custom_code": None,
        "case_sensitive": False,
        "starts_at": None,
        "expires_at": "2027-01-01T00:00:00Z",
        "usage_limit": {"limit_type": "per_user", "max_uses": 1},
    },
}
_COUPON: Final[dict[str, Any]] = {
    "id": _COUPON_ID,
    "tenant_id": "test-tenant",
    **_NEW,
    "version": 1,
    "created_at": "2026-11-16T12:00:00Z",
    "updated_at": "2026-11-16T12:00:00Z",
}
_CODE: Final[dict[str, Any]] = {
    "id": _CODE_ID,
    "definition_id": _COUPON_ID,
    "definition_name": "Welcome",
    "tenant_id": "test-tenant",
    "user_id": "user-123",
    "code": "WELCOME7K3MQ9TX",
    "status": "active",
    "generated_at": "2026-11-16T12:00:00Z",
    "expires_at": "2027-01-01T00:00:00Z",
    "redeemed_at": None,
    "redemption_count": 0,
    "coupon_type": "reward",
    "reward_item": _ITEM,
}
_REDEMPTION: Final[dict[str, Any]] = {
    "redemption_id": _REDEMPTION_ID,
    "coupon_id": _CODE_ID,
    "code": "WELCOME7K3MQ9TX",
    "reward_item": _ITEM,
    "redeemed_at": "2026-11-18T09:15:42Z",
    "status": "redeemed",
}
_REDEEMED: Final[dict[str, Any]] = {
    "success": True,
    **{name: value for name, value in _REDEMPTION.items() if name != "status"},
    "order_id": _GRANT_ID,
}
_STAFF_REDEMPTION: Final = {**_REDEMPTION, "user_id": "user-123", "order_id": _GRANT_ID}
_REASON: Final = "Asked for by support, case 4711."
_JOB: Final[dict[str, Any]] = {
    "job_id": _JOB_ID,
    "kind": "coupon_codes",
    "status": "running",
    "progress": 0.4,
    "result": {"coupon_id": _COUPON_ID, "generated": 40000},
    "error": None,
}
_CODES: Final = {"coupons": [_CODE], "total": 1}
_IMPORTED: Final[dict[str, Any]] = {
    "results": [
        {"index": 0, "code": "SPRING-1", "status": "imported", "error": None},
        {"index": 1, "code": "SPRING-1", "status": "duplicate", "error": None},
        {
            "index": 2,
            "code": "?",
            "status": "rejected",
            "error": "code must have 3 to 64 letters, digits, - and _",
        },
    ],
    "imported": 1,
    "duplicate": 1,
    "rejected": 1,
}

_WORDS: Final = CollectionWords(
    path="coupons",
    plural="coupons",
    key="coupon_id",
    one="coupon",
    many="coupons",
    request=_NEW,
    answer=_COUPON,
    patch={"config": {"expires_at": "2027-02-01T00:00:00Z"}},
    errors=("IN_USE", "STATE_CONFLICT"),
    descriptions={
        "create": "Random codes are made or imported afterwards; a custom code is there at once. "
        "Without a `usage_limit` each player redeems one code of the coupon.",
        "change": "Limits and times hold at once, also for codes that are out. The form of codes "
        "stays once there are any.",
        "archive": "For good: no code of it is redeemed any more.",
        "duplicate": "A copy of a custom coupon needs a `custom_code` of its own.",
    },
)


def _admin(place: str, ending: str) -> dict[Key, Operation]:
    coupon = f"{place}/{{coupon_id}}"
    return {
        ("post", f"{coupon}/generate"): Operation(
            id=f"generateCodes{ending}",
            summary="Make random codes",
            description="For players, `count_per_user` for each, or `count` for anybody; up to "
            "100 000. More than 1 000 are a job, which is answered at once with 202; its codes are "
            "in the export.",
            errors=_CHANGE,
            request={"user_ids": ["user-123"], "count_per_user": 1},
            answer=_CODES,
            answers={
                "201": {"$ref": "#/components/schemas/CodeListOutput"},
            },
        ),
        ("post", f"{coupon}/import"): Operation(
            id=f"importCodes{ending}",
            summary="Take over codes that were made elsewhere",
            description="As JSON, or as `text/csv` whose first line names the columns `code` and "
            "`user_id`. A row that is wrong stops no other one. More than 1 000 rows are a job, "
            "which is answered at once with 202.",
            errors=_CHANGE,
            request={"rows": [{"code": "SPRING-1", "user_id": "user-123"}]},
            answer=_IMPORTED,
            answers={"200": {"$ref": "#/components/schemas/ImportOutput"}},
        ),
        ("get", f"{coupon}/export"): Operation(
            id=f"exportCodes{ending}",
            summary="Export all codes of a coupon as CSV",
            description="In the order in which they were made. Cells that a spreadsheet would take "
            "for a formula begin with an apostrophe.",
            errors=ADMIN_ERRORS,
            answer="code,user_id,status,generated_at,expires_at,redeemed_at,redeemed_by,"
            "redemption_count\r\nWELCOME7K3MQ9TX,user-123,active,2026-11-16T12:00:00Z,,,,0\r\n",
        ),
        ("get", f"{coupon}/redemptions"): Operation(
            id=f"listCouponRedemptions{ending}",
            summary="List the redemptions of a coupon",
            description="Newest first.",
            errors=ADMIN_ERRORS,
            answer={"total": 1, "redemptions": [_STAFF_REDEMPTION]},
        ),
        ("post", f"{place}/codes/{{code}}/void"): Operation(
            id=f"voidCode{ending}",
            summary="Declare a code void that nobody has redeemed",
            errors=_CHANGE,
            request={"reason": _REASON},
            answer={**_CODE, "status": "revoked"},
        ),
        ("post", f"{place}/redemptions/{{redemption_id}}/reverse"): Operation(
            id=f"reverseRedemption{ending}",
            summary="Take a redemption back",
            description="Its grant is revoked and its slot is free again. Money is reversed; with "
            "`clip` as far as the wallet has it.",
            errors=(*_CHANGE, "INSUFFICIENT_BALANCE"),
            request={"reason": _REASON},
            answer={**_STAFF_REDEMPTION, "status": "reversed"},
        ),
    }


def _jobs(place: str, ending: str) -> dict[Key, Operation]:
    return {
        ("get", f"{place}/{{job_id}}"): Operation(
            id=f"getJob{ending}",
            summary="Follow a job",
            description="`result` says what is done so far, and in the end what came of it.",
            errors=ADMIN_ERRORS,
            answer=_JOB,
        ),
        ("post", f"{place}/{{job_id}}/cancel"): Operation(
            id=f"cancelJob{ending}",
            summary="Cancel a job",
            description="One that runs ends within moments. What it did so far stays.",
            errors=(*ADMIN_ERRORS, "STATE_CONFLICT"),
            answer={**_JOB, "status": "cancelled"},
        ),
    }


OPERATIONS: Final[dict[Key, Operation]] = {
    **collection_operations(_WORDS),
    **_admin("/v1/tenants/{tenant_id}/coupons", ""),
    **_admin("/v1/coupons", "ByQuery"),
    **_jobs("/v1/tenants/{tenant_id}/jobs", ""),
    **_jobs("/v1/jobs", "ByQuery"),
    ("get", "/v1/coupons/definitions"): Operation(
        id="listCouponDefinitions",
        summary="List the coupons that there are",
        description="The active ones, newest first; codes that many share are not shown.",
        errors=_READ,
        answer={"definitions": [_COUPON], "total": 1},
    ),
    ("get", "/v1/coupons/user/{user_id}"): Operation(
        id="listPlayerCoupons",
        summary="List a player's codes",
        description="Those that belong to the player and those that the player redeemed, newest "
        "first.",
        errors=_READ,
        answer=_CODES,
    ),
    ("get", "/v1/coupons/user/{user_id}/{coupon_id}"): Operation(
        id="getPlayerCoupon", summary="Read one of a player's codes", errors=_ONE, answer=_CODE
    ),
    ("get", "/v1/coupons/user/{user_id}/redemptions"): Operation(
        id="listPlayerRedemptions",
        summary="List what a player redeemed",
        description="Newest first.",
        errors=_READ,
        answer={"redemptions": [_REDEMPTION], "total": 1},
    ),
    ("get", "/v1/coupons/validate/{code}"): Operation(
        id="validateCode",
        summary="Say whether a code would work",
        description="Changes nothing. After 20 codes that did not fit, a player waits until ten "
        "minutes after the first of them.",
        errors=_READ,
        answer=Examples(
            {
                "it would": {"valid": True, "coupon": _CODE, "reward_item": _ITEM},
                "it would not": {"valid": False, "reason": "expired"},
            }
        ),
    ),
    ("post", "/v1/coupons/redeem/{code}"): Operation(
        id="redeemCode",
        summary="Redeem a code",
        description="The code, the limits and what it gives are one transaction. Refusals come in "
        "this order: unknown, another player's, void, inactive, not started, expired, redeemed "
        "already, limit. After 20 of them a player waits as with `validate`.",
        errors=(*_ONE, *BODY_ERRORS, *KEY_ERRORS, *_REFUSED),
        request={"user_id": "user-123"},
        answer=_REDEEMED,
    ),
}
