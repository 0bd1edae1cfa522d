"""Reward items, reward configs and grants, on the query and the admin gateway."""

from typing import Any, Final

from phoenix_site.reference.collections import (
    ADMIN_ERRORS,
    BODY_ERRORS,
    KEY_ERRORS,
    CollectionWords,
    collection_operations,
)
from phoenix_site.reference.types import Key, Operation

_READ: Final = (
    "VAL_001",
    "AUTH_001",
    "AUTH_002",
    "AUTH_003",
    "AUTH_005",
    "NOT_FOUND",
    "METHOD",
    "RATE_001",
    "SRV_002",
)
_CHANGE: Final = (*ADMIN_ERRORS, *BODY_ERRORS, *KEY_ERRORS, "STATE_CONFLICT")
_ITEM_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000011"
_GRANT_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000012"
_GROUP_ID: Final = "0198a1b2-c3d4-5e5f-8a6b-000000000013"
_NEW_ITEM: Final[dict[str, Any]] = {
    "name": "500 gold",
    "description": "For the winners of the week.",
    "reward_type": "currency",
    "payload": {"currency_id": "gold", "amount": 500},
    "unit_cost": 5.0,
    "claim": "player",
    "claim_within_s": 604800,
}
_ITEM: Final[dict[str, Any]] = {
    "id": _ITEM_ID,
    "item_id": _ITEM_ID,
    "tenant_id": "test-tenant",
    **_NEW_ITEM,
    "image_url": None,
    "activation": "automatic",
    "active": True,
    "version": 1,
    "created_at": "2026-11-16T12:00:00Z",
    "updated_at": "2026-11-16T12:00:00Z",
}
_NEW_CONFIG: Final[dict[str, Any]] = {
    "name": "Prizes of the week",
    "type": "leaderboard",
    "tiers": [
        {"name": "Winner", "rank_min": 1, "rank_max": 1, "item_ids": [_ITEM_ID], "by_category": {}}
    ],
}
_CONFIG: Final[dict[str, Any]] = {
    "id": "0198a1b2-c3d4-7e5f-8a6b-000000000014",
    "tenant_id": "test-tenant",
    **_NEW_CONFIG,
    "active": True,
    "version": 1,
    "created_at": "2026-11-16T12:00:00Z",
    "updated_at": "2026-11-16T12:00:00Z",
}
_GRANT: Final[dict[str, Any]] = {
    "id": _GRANT_ID,
    "user_id": "user-123",
    "source_type": "leaderboard",
    "source_id": "xp-weekly-global:2026-W47",
    "status": "granted",
    "item": {
        "item_id": _ITEM_ID,
        "name": "500 gold",
        "description": "For the winners of the week.",
        "image_url": None,
        "reward_type": "currency",
        "payload": {"currency_id": "gold", "amount": 500},
    },
    "context": {"window_key": "2026-W47", "rank": 1},
    "group_id": _GROUP_ID,
    "group_total": 1,
    "rule_id": None,
    "rule_version": None,
    "cause_event_id": "leaderboard.placed:7d1c",
    "claim_by": None,
    "activated_at": None,
    "ends_at": None,
    "created_at": "2026-11-23T00:05:02Z",
    "updated_at": "2026-11-23T00:05:02Z",
}
_REASON: Final = {"reason": "Asked for by support, case 4711."}
_EXPLAINED: Final[dict[str, Any]] = {
    "grant": {
        **_GRANT,
        "note": "",
        "cost": 5.0,
        "moves": [
            {
                "from_status": "processing",
                "to_status": "granted",
                "at": "2026-11-23T00:05:02Z",
                "actor": "",
                "reason": "",
            }
        ],
    },
    "firing": None,
    "trace": [],
    "transactions": [
        {
            "id": "0198a1b2-c3d4-7e5f-8a6b-000000000015",
            "kind": "credit",
            "reason": "",
            "reverses": None,
            "created_at": "2026-11-23T00:05:02Z",
            "postings": [
                {"account": "issuer", "currency_id": "gold", "amount": -500},
                {"account": "wallet", "currency_id": "gold", "amount": 500},
            ],
        }
    ],
    "deliveries": [],
}

_ITEMS: Final = CollectionWords(
    path="reward-items",
    plural="reward_items",
    key="item_id",
    one="reward item",
    many="reward items",
    request=_NEW_ITEM,
    answer=_ITEM,
    patch={"unit_cost": 4.5},
    descriptions={
        "create": "The payload is checked by `reward_type`; every fault is reported with its path.",
        "change": "Grants keep the item as it was when they were given.",
        "archive": "It leaves the library; what refers to it still gives it.",
    },
)
_ITEMS_BY_ALIAS: Final = CollectionWords(
    path="rewards",
    plural="rewards",
    key="item_id",
    one="reward item",
    many="reward items",
    request=_NEW_ITEM,
    answer=_ITEM,
    patch={"unit_cost": 4.5},
    descriptions={"list": "Another name of `reward-items`."},
)
_CONFIGS: Final = CollectionWords(
    path="reward-configs",
    plural="reward_configs",
    key="config_id",
    one="reward config",
    many="reward configs",
    request=_NEW_CONFIG,
    answer=_CONFIG,
    patch={"name": "Prizes of every week"},
    descriptions={
        "create": "Tiers have ranks, or a `milestone`, `threshold` or `level`, as `type` says. "
        "Ranges of ranks must not overlap; players who share a rank share its tier.",
    },
)


def _actions(place: str, ending: str) -> dict[Key, Operation]:
    grant = f"{place}/{{grant_id}}"
    words = {
        "claim": ("Claim a grant in the place of its player", "granted", ()),
        "revoke": ("Take a grant back", "revoked", ("INSUFFICIENT_BALANCE",)),
        "retry": ("Deliver a failed grant again", "processing", ("CONFLICT",)),
        "fulfill": ("Say that a grant was delivered by hand", "granted", ()),
    }
    descriptions = {
        "revoke": "Money is reversed; with `clip` as far as the wallet has it.",
        "claim": "A grant that was claimed already is answered as it is.",
    }
    return {
        ("post", f"{grant}/{word}"): Operation(
            id=f"{word}GrantForStaff{ending}",
            summary=summary,
            description=descriptions.get(word, ""),
            errors=(*_CHANGE, *more),
            request=_REASON,
            answer={**_GRANT, "status": status},
        )
        for word, (summary, status, more) in words.items()
    }


def _admin(place: str, ending: str) -> dict[Key, Operation]:
    given = {**_GRANT, "source_type": "api", "source_id": "case-4711", "cause_event_id": None}
    return {
        ("get", place): Operation(
            id=f"listGrants{ending}",
            summary="List grants",
            description="Newest first.",
            errors=ADMIN_ERRORS,
            answer={"total": 1, "grants": [_GRANT]},
        ),
        ("post", place): Operation(
            id=f"giveItem{ending}",
            summary="Give a reward item to a player",
            description="A player who is not known yet is made. With `source_id` the item is given "
            "once for it: a repeat answers 200 with the first grant.",
            errors=_CHANGE,
            request={
                "user_id": "user-123",
                "item_id": _ITEM_ID,
                "reason": "Asked for by support, case 4711.",
                "source_id": "case-4711",
            },
            answer=given,
        ),
        ("get", f"{place}/{{grant_id}}"): Operation(
            id=f"getGrant{ending}", summary="Read a grant", errors=ADMIN_ERRORS, answer=_GRANT
        ),
        ("get", f"{place}/{{grant_id}}/explain"): Operation(
            id=f"explainGrant{ending}",
            summary="Explain a grant",
            description="The firing that made it with its trace, every move, what it moved in the "
            "ledger, and the calls that it owed the operator.",
            errors=ADMIN_ERRORS,
            answer=_EXPLAINED,
        ),
        **_actions(place, ending),
    }


OPERATIONS: Final[dict[Key, Operation]] = {
    **collection_operations(_ITEMS),
    **collection_operations(_ITEMS_BY_ALIAS),
    **collection_operations(_CONFIGS),
    **_admin("/v1/tenants/{tenant_id}/grants", ""),
    **_admin("/v1/grants", "ByQuery"),
    ("get", "/v1/orders/user/{user_id}"): Operation(
        id="listOrders",
        summary="List everything that a player was given",
        description="Newest first; of every source.",
        errors=_READ,
        answer={"orders": [_GRANT], "total": 1},
    ),
    ("get", "/v1/orders/user/{user_id}/{order_id}"): Operation(
        id="getOrder", summary="Read one thing that a player was given", errors=_READ, answer=_GRANT
    ),
    ("get", "/v1/rewards/grants"): Operation(
        id="listOwnGrants",
        summary="List the grants of the token's player",
        errors=_READ,
        answer={"grants": [_GRANT], "total": 1},
    ),
    ("post", "/v1/rewards/grants/{grant_id}/claim"): Operation(
        id="claimGrant",
        summary="Claim a grant",
        description="A grant that was claimed already is answered as it is.",
        errors=(*_READ, *BODY_ERRORS, *KEY_ERRORS, "STATE_CONFLICT"),
        request={"fields": {}},
        answer=_GRANT,
    ),
    ("post", "/v1/rewards/groups/{group_id}/claim"): Operation(
        id="claimGroup",
        summary="Claim together what was given together",
        description="In one transaction.",
        errors=(*_READ, *BODY_ERRORS, *KEY_ERRORS, "STATE_CONFLICT"),
        request={"fields": {}},
        answer={"grants": [_GRANT]},
    ),
}
