"""Ladders and levels, on the query and the admin gateway."""

from typing import Any, Final

from phoenix_site.reference.collections import (
    ADMIN_ERRORS,
    BODY_ERRORS,
    CollectionWords,
    collection_operations,
)
from phoenix_site.reference.types import Key, Operation

_READ: Final = (
    *("AUTH_001", "AUTH_002", "AUTH_003", "AUTH_005"),
    *("METHOD", "RATE_001", "SRV_002"),
)
_NEW: Final[dict[str, Any]] = {
    "ladder_id": "levels",
    "name": "Levels",
    "currency_id": "xp",
    "levels": [
        {"level": 1, "xp_required": 0, "item_ids": [], "by_category": {}, "benefits": {}},
        {
            "level": 2,
            "xp_required": 100,
            "item_ids": ["0198a1b2-c3d4-7e5f-8a6b-000000000011"],
            "by_category": {},
            "benefits": {"daily_spins": 2},
        },
    ],
    "ranks": [
        {
            "rank_id": "gold",
            "name": "Gold",
            "image_url": None,
            "weight": 1,
            "levels": [2],
            "item_ids": [],
        }
    ],
    "active": True,
}
_LADDER: Final[dict[str, Any]] = {
    **_NEW,
    "tenant_id": "test-tenant",
    "downgrade": None,
    "version": 1,
    "created_at": "2026-11-16T12:00:00Z",
    "updated_at": "2026-11-16T12:00:00Z",
}
_PUBLIC: Final = {
    name: _NEW[name] for name in ("ladder_id", "name", "currency_id", "levels", "ranks")
}
_WORDS: Final = CollectionWords(
    path="levels",
    plural="levels",
    key="ladder_id",
    one="ladder",
    many="ladders",
    request=_NEW,
    answer=_LADDER,
    patch={"name": "Ranks", "policy": "grandfather"},
    descriptions={
        "create": "Levels are 1 to n without a gap, the first at 0, thresholds strictly rising; a "
        "level may give `xp_range` instead, and then ranges touch. Ranks hold levels that lie "
        "together. The currency must not be spendable.",
        "replace": "A changed curve needs `policy`: `grandfather` lets players keep levels that "
        "the new curve would take, `recompute` does not. A job then moves the players.",
        "change": "Lists are replaced whole. A changed curve needs `policy`, see PUT.",
        "archive": "Nobody's level moves any more.",
    },
)


def _preview(place: str, ending: str) -> dict[Key, Operation]:
    return {
        ("post", f"{place}/{{ladder_id}}/preview"): Operation(
            id=f"previewLadder{ending}",
            summary="Tell what a changed curve would do",
            description="The body is merged into the ladder's document. The job's result has how "
            "many players go `up` and `down`, what the items of new levels would `cost`, and a "
            "`result_hash`. Nothing is changed.",
            errors=(*ADMIN_ERRORS, *BODY_ERRORS),
            request={"levels": _NEW["levels"], "policy": "grandfather"},
            answer={"job_id": "0198a1b2-c3d4-7e5f-8a6b-000000000033", "status": "queued"},
        )
    }


OPERATIONS: Final[dict[Key, Operation]] = (
    collection_operations(_WORDS)
    | _preview("/v1/tenants/{tenant_id}/levels", "")
    | _preview("/v1/levels", "ByQuery")
    | {
        ("get", "/v1/levels/definitions"): Operation(
            id="listLadderDefinitions",
            summary="List the active ladders",
            errors=_READ,
            answer={"ladders": [_PUBLIC]},
        ),
        ("get", "/v1/levels/user/{user_id}"): Operation(
            id="getPlayerLevel",
            summary="Read a player's level",
            description="The player is the token's. A player without experience stands on level "
            "1; on the last level the fields of the next one are null.",
            errors=("VAL_001", *_READ, "NOT_FOUND"),
            answer={
                "user_id": "user-123",
                "ladder_id": "levels",
                "current_level": 2,
                "rank": {"rank_id": "gold", "name": "Gold"},
                "total_xp": 150,
                "xp_for_current_level": 100,
                "xp_for_next_level": 300,
                "xp_to_next": 150,
                "progress_percentage": 25,
                "benefits": {"daily_spins": 2},
            },
        ),
    }
)
