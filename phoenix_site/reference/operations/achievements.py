"""Achievements, on the query and the admin gateway."""

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
    *("VAL_001", "AUTH_001", "AUTH_002", "AUTH_003", "AUTH_005"),
    *("METHOD", "RATE_001", "SRV_002"),
)
_CHANGE: Final = (*ADMIN_ERRORS, *BODY_ERRORS, *KEY_ERRORS, "STATE_CONFLICT")
_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000031"
_ITEM_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000011"
_GRANT_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000032"
_JOB_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000033"
_CRITERIA: Final[dict[str, Any]] = {
    "type": "count",
    "event_types": ["game.completed"],
    "conditions": {"attrs.victory": {"eq": True}},
    "threshold": 100,
}
_NEW: Final[dict[str, Any]] = {
    "name": "Centurion",
    "description": "Win a hundred games.",
    "badge_url": "https://cdn.example.com/centurion.png",
    "criteria": _CRITERIA,
    "reward_config_id": None,
    "reward_item_ids": [_ITEM_ID],
    "active": True,
    "repeatable": False,
    "hidden": False,
    "requires": [],
    "sort": 10,
}
_ACHIEVEMENT: Final[dict[str, Any]] = {
    "id": _ID,
    "tenant_id": "test-tenant",
    **_NEW,
    "measure": _CRITERIA,
    "version": 1,
    "created_at": "2026-11-16T12:00:00Z",
    "updated_at": "2026-11-16T12:00:00Z",
}
_UNDER_WAY: Final[dict[str, Any]] = {
    "id": _ID,
    "name": "Centurion",
    "description": "Win a hundred games.",
    "badge_url": "https://cdn.example.com/centurion.png",
    "status": "in_progress",
    "progress": {"current": 75, "threshold": 100, "percentage": 75.0},
    "unlocked_at": None,
    "times": 0,
    "rewards_granted": [],
}
_UNLOCKED: Final[dict[str, Any]] = {
    **_UNDER_WAY,
    "status": "unlocked",
    "progress": {"current": 100, "threshold": 100, "percentage": 100.0},
    "unlocked_at": "2026-11-18T09:15:42Z",
    "times": 1,
    "rewards_granted": [
        {
            "grant_id": _GRANT_ID,
            "item_id": _ITEM_ID,
            "name": "500 gold",
            "reward_type": "currency",
            "status": "granted",
            "granted_at": "2026-11-18T09:15:42Z",
        }
    ],
}
_STAFF_REQUEST: Final = {"user_id": "user-123", "reason": "Asked for by support, case 4711."}

_WORDS: Final = CollectionWords(
    path="achievements",
    plural="achievements",
    key="achievement_id",
    one="achievement",
    many="achievements",
    request=_NEW,
    answer=_ACHIEVEMENT,
    patch={"criteria": {"threshold": 50}, "apply": "recompute"},
    descriptions={
        "create": "Events received from now on count. `criteria` may also be "
        '`{"type":"event_count","event_type","conditions","threshold"}` or `{"event_types",'
        '"expression","condition":{"type","field","min"},"target"}`; it is answered as sent, with '
        "the full form in `measure`.",
        "change": "Changed criteria hold from now on and need `apply`: `from_now`, or `recompute` "
        "to be followed by a recompute. What was counted so far stays if only the threshold "
        "changes.",
        "archive": "Nothing is counted any more; what was unlocked stays unlocked.",
    },
)


def _admin(place: str, ending: str) -> dict[Key, Operation]:
    member = f"{place}/{{achievement_id}}"
    return {
        ("post", f"{member}/recompute"): Operation(
            id=f"recomputeAchievement{ending}",
            summary="Count an achievement anew over the stored events",
            description="`preview` (with `from` to leave out what occurred earlier) tells who "
            "would gain and who would lose, what it costs, and a `result_hash`. `apply` gives what "
            "that preview told, once; it fails with `STATE_CONFLICT` when the result no longer "
            "holds. Losers keep what they have unless `revoke` is true.",
            errors=_CHANGE,
            request={"mode": "preview", "from": None},
            answer={"job_id": _JOB_ID, "status": "queued"},
        ),
        ("post", f"{member}/grant"): Operation(
            id=f"grantAchievement{ending}",
            summary="Unlock an achievement for a player",
            description="Whatever was counted. Who has one that is not repeatable gets nothing "
            "again.",
            errors=_CHANGE,
            request=_STAFF_REQUEST,
            answer=_UNLOCKED,
        ),
        ("post", f"{member}/revoke"): Operation(
            id=f"revokeAchievement{ending}",
            summary="Take an achievement from a player",
            description="Its rewards are revoked too, money as far as the wallet has it. The "
            "player begins anew.",
            errors=_CHANGE,
            request=_STAFF_REQUEST,
            answer={
                **_UNDER_WAY,
                "status": "locked",
                "progress": {"current": 0, "threshold": 100, "percentage": 0.0},
            },
        ),
    }


OPERATIONS: Final[dict[Key, Operation]] = {
    **collection_operations(_WORDS),
    **_admin("/v1/tenants/{tenant_id}/achievements", ""),
    **_admin("/v1/achievements", "ByQuery"),
    ("get", "/v1/achievements/user/{user_id}"): Operation(
        id="listPlayerAchievements",
        summary="List a player's achievements",
        description="Hidden ones are there, and counted, once they are unlocked. `total` is that "
        "of the asked status, the other counts are of all.",
        errors=_READ,
        answer={
            "achievements": [_UNDER_WAY],
            "total": 1,
            "unlocked_count": 0,
            "in_progress_count": 1,
            "locked_count": 0,
        },
    ),
    ("get", "/v1/achievements/user/{user_id}/{achievement_id}"): Operation(
        id="getPlayerAchievement",
        summary="Read one of a player's achievements",
        errors=(*_READ, "NOT_FOUND"),
        answer=_UNLOCKED,
    ),
    ("get", "/v1/achievements/user/{user_id}/history"): Operation(
        id="listPlayerUnlocks",
        summary="List what a player unlocked",
        description="Newest first, without what was revoked.",
        errors=_READ,
        answer={
            "unlocks": [
                {
                    "achievement_id": _ID,
                    "times": 1,
                    "unlocked_at": "2026-11-18T09:15:42Z",
                    "cause_event_id": "evt-4711",
                }
            ],
            "total": 1,
        },
    ),
}
