"""Streaks, on the query and the admin gateway."""

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
    *("AUTH_001", "AUTH_002", "AUTH_003", "AUTH_005"),
    *("METHOD", "RATE_001", "SRV_002"),
)
_ACT: Final = (*ADMIN_ERRORS, *BODY_ERRORS, *KEY_ERRORS)
_STREAK_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000031"
_ITEM_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000011"
_NEW: Final[dict[str, Any]] = {
    "name": "Daily login",
    "description": "Come back every day.",
    "config": {
        "event_types": ["user.login"],
        "expression": None,
        "window": {
            "type": "calendar",
            "period": "daily",
            "timezone": "America/New_York",
            "reset_time": "00:00",
        },
        "condition": {"type": "count", "min": 1},
        "milestones": [{"threshold": 7, "reward_item_id": _ITEM_ID, "repeatable": False}],
        "reward_config_id": None,
        "at_risk_seconds": 3600,
        "freeze": {"max_held": 2, "per_break": 1},
        "late_seconds": 86400,
    },
}
_DEFINITION: Final[dict[str, Any]] = {
    "id": _STREAK_ID,
    "tenant_id": "test-tenant",
    **_NEW,
    "status": "active",
    "created_at": "2026-11-16T12:00:00Z",
    "updated_at": "2026-11-16T12:00:00Z",
}
_STREAK: Final[dict[str, Any]] = {**_DEFINITION, "version": 1}
_MINE: Final[dict[str, Any]] = {
    "id": "0198a1b2-c3d4-7e5f-8a6b-000000000032",
    "definition_id": _STREAK_ID,
    "definition_name": "Daily login",
    "user_id": "user-123",
    "current_count": 8,
    "longest_count": 12,
    "window_progress": 0,
    "window_target": 1,
    "window_satisfied": False,
    "current_window_start": "2026-11-16T05:00:00Z",
    "current_window_end": "2026-11-17T05:00:00Z",
    "at_risk": False,
    "freezes_held": 1,
    "milestones": [{"threshold": 7, "reached_at": "2026-11-14T13:07:00Z"}],
    "last_event_at": "2026-11-15T19:30:00Z",
}
_WORDS: Final = CollectionWords(
    path="streaks",
    plural="streaks",
    key="streak_id",
    one="streak",
    many="streaks",
    request=_NEW,
    answer=_STREAK,
    patch={"status": "paused", "reason": "Maintenance"},
    shared=("v1/streaks",),
    errors=("STATE_CONFLICT",),
    descriptions={
        "create": "Events received from now on count. Every fault is reported with its path.",
        "change": "Objects are merged, lists replaced (RFC 7396). An event counts as the streak "
        "was when it was received; a changed window holds from each player's next window on. While "
        "the status is `paused` nothing counts and no run breaks.",
        "archive": "For good; what players reached stays.",
    },
)


def _admin(place: str, ending: str) -> dict[Key, Operation]:
    """Return the operations beside the collection, at one of its addresses."""
    return {
        ("post", f"{place}/{{streak_id}}/repair"): Operation(
            id=f"repairStreak{ending}",
            summary="Let windows count as satisfied",
            description="The run is counted anew; milestones that it reaches by it are given, none "
            "of them twice. Staff can take a repair back in the admin.",
            errors=(*_ACT, "STATE_CONFLICT"),
            request={"user_id": "user-123", "windows": ["2026-03-08"], "reason": "Our outage"},
            answer=_MINE,
        ),
        ("post", f"{place}/{{streak_id}}/freezes"): Operation(
            id=f"giveFreezes{ending}",
            summary="Give a player freezes",
            description="What is beyond `max_held` is lost.",
            errors=_ACT,
            request={"user_id": "user-123", "count": 1, "reason": "Birthday"},
            answer=_MINE,
        ),
    }


OPERATIONS: Final[dict[Key, Operation]] = {
    **collection_operations(_WORDS),
    **_admin("/v1/tenants/{tenant_id}/streaks", ""),
    **_admin("/v1/streaks", "ByQuery"),
    ("get", "/v1/streaks"): Operation(
        id="listStreaksByQuery",
        summary="List the streaks of one tenant, or of all",
        description="Without `tenant_id` for a key of the platform only, which reaches several "
        "tenants; one of a single tenant is refused.",
        errors=ADMIN_ERRORS,
        answer={"total": 1, "streaks": [_STREAK]},
    ),
    ("post", "/v1/streaks"): Operation(
        id="createStreaksByQuery",
        summary="Make a streak",
        description=_WORDS.descriptions["create"],
        errors=(*_ACT, "CONFLICT"),
        request=_NEW,
        answer=_STREAK,
    ),
    ("get", "/v1/streaks/definitions"): Operation(
        id="listStreakDefinitions",
        summary="List the streaks that there are",
        description="The active ones, by name.",
        errors=_READ,
        answer={"definitions": [_DEFINITION]},
    ),
    ("get", "/v1/streaks/user/{user_id}"): Operation(
        id="listPlayerStreaks",
        summary="List a player's streaks",
        description="Every active streak, also those without progress. A run counts the satisfied "
        "windows in a row up to the present one, which need not be satisfied yet.",
        errors=_READ,
        answer={"streaks": [_MINE]},
    ),
    ("get", "/v1/streaks/user/{user_id}/{definition_id}"): Operation(
        id="getPlayerStreak",
        summary="Read one of a player's streaks",
        errors=(*_READ, "NOT_FOUND"),
        answer=_MINE,
    ),
}
