"""Rules and earning rules, on the admin gateway."""

from typing import Any, Final

from phoenix_site.reference.collections import (
    ADMIN_ERRORS,
    BODY_ERRORS,
    KEY_ERRORS,
    CollectionWords,
    collection_operations,
)
from phoenix_site.reference.types import Key, Operation

_ITEM_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000011"
_TIMES: Final = {
    "created_at": "2026-11-16T12:00:00Z",
    "updated_at": "2026-11-16T12:00:00Z",
}
_NEW_RULE: Final[dict[str, Any]] = {
    "rule_id": "big-win-bonus",
    "name": "Big win bonus",
    "kind": "reward",
    "trigger": {"type": "event", "names": ["game.completed"]},
    "conditions": {
        "op": "and",
        "conditions": [
            {"op": "gte", "field": "attrs.bet", "value": 20},
            {"op": "eq", "field": "player.country", "value": "SE"},
            {"op": "gte", "field": "attrs.win", "value_expression": "10 * attrs.bet"},
        ],
    },
    "timezone": "Europe/Stockholm",
    "starts_at": None,
    "ends_at": None,
    "effects": [
        {"type": "grant", "item_id": _ITEM_ID},
        {
            "type": "credit",
            "currency_id": "xp",
            "amount": {"type": "multiplier", "field": "attrs.bet", "factor": 0.5},
        },
    ],
    "limits": {
        "per_player": {"day": 1, "week": 3, "total": None},
        "amount": {"event": 200, "day": 1000, "week": 5000},
        "budget": {"firings": 10000, "cost": 2500},
    },
    "priority": 100,
    "group": {"name": "win-bonuses", "mode": "first"},
}
_RULE: Final[dict[str, Any]] = {
    **_NEW_RULE,
    "segment_id": None,
    "tenant_id": "test-tenant",
    "status": "draft",
    "version": 1,
    "active_version": None,
    "draft_version": 1,
    "planned": [],
    "warnings": [],
    **_TIMES,
}
_ACTIVE: Final = {**_RULE, "status": "active", "active_version": 1, "draft_version": None}
_TRACE: Final = [
    {
        "path": "conditions.0",
        "field": "attrs.bet",
        "op": "gte",
        "expected": 20,
        "actual": 25,
        "result": True,
    }
]
_VERDICT: Final[dict[str, Any]] = {
    "rule_id": "big-win-bonus",
    "version": 4,
    "user_id": "user-123",
    "verdict": "not_granted",
    "reason": "limit_day",
    "text": "Already granted 1 of 1 on 2026-11-16 (Europe/Stockholm).",
    "firing_id": None,
    "as_of": "received_at",
    "trace": _TRACE,
    "effects": [],
}
_EVENT: Final[dict[str, Any]] = {
    "type": "game.completed",
    "actor": {"user_id": "user-123", "metadata": {}},
    "occurred_at": "2026-11-16T12:00:00Z",
    "attrs": {"bet": 25, "win": 300},
}
_FIRING: Final[dict[str, Any]] = {
    "firing_id": "0198a1b2-c3d4-7e5f-8a6b-000000000021",
    "version": 4,
    "user_id": "user-123",
    "event_id": "evt_12345",
    "occurred_at": "2026-11-16T12:00:00Z",
    "fired_at": "2026-11-16T12:00:01Z",
    "cost": 5,
    "clipped_from": None,
    "retroactive": False,
    "effects": [
        {
            "type": "grant",
            "item_id": _ITEM_ID,
            "grant_id": "0198a1b2-c3d4-7e5f-8a6b-000000000012",
            "cost": 5,
            "applied": True,
        }
    ],
    "trace": _TRACE,
}
_REFUSAL: Final[dict[str, Any]] = {
    "version": 4,
    "user_id": "user-123",
    "event_id": "evt_12346",
    "occurred_at": "2026-11-16T13:00:00Z",
    "refused_at": "2026-11-16T13:00:01Z",
    "reason": "limit_day",
    "text": "Already granted 1 of 1 on 2026-11-16 (Europe/Stockholm).",
    "trace": _TRACE,
}
_NEW_EARNING: Final[dict[str, Any]] = {
    "name": "XP for games",
    "currency_id": "xp",
    "event_type": "game.completed",
    "event_filter": None,
    "calculation": {"type": "fixed", "amount": 50},
    "max_per_event": None,
    "max_per_day": 120,
    "max_per_week": None,
    "priority": 0,
    "active": True,
}
_EARNING: Final[dict[str, Any]] = {
    "id": "0198a1b2-c3d4-7e5f-8a6b-000000000031",
    "rule_id": "0198a1b2-c3d4-7e5f-8a6b-000000000031",
    "tenant_id": "test-tenant",
    **_NEW_EARNING,
    "status": "active",
    "version": 1,
    "warnings": [],
    **_TIMES,
}

_RULES: Final = CollectionWords(
    path="rules",
    plural="rules",
    key="rule_id",
    one="rule",
    many="rules",
    request=_NEW_RULE,
    answer=_RULE,
    patch={"priority": 50},
    errors=("STATE_CONFLICT",),
    descriptions={
        "list": "By id; archived ones only when `status` asks for them.",
        "create": "The whole document is checked and every fault reported with its path; version 1 "
        "is a draft. `warnings` name paths that no recent event has.",
        "get": "The version in force, or the newest of a rule that was never active.",
        "replace": "A draft is changed in place; beside a published version a new draft is made, "
        "which is answered.",
        "change": "A draft is changed in place; beside a published version a new draft is made, "
        "which is answered. Objects are merged, lists replaced (RFC 7396).",
    },
)
_EARNING_RULES: Final = CollectionWords(
    path="wallet/earning-rules",
    plural="earning_rules",
    key="rule_id",
    one="earning rule",
    many="earning rules",
    request=_NEW_EARNING,
    answer=_EARNING,
    patch={"max_per_day": 200},
    also=("v1/tenants/wallet/earning-rules",),
    errors=("STATE_CONFLICT",),
    descriptions={
        "create": "The short form of a rule with one credit, published at once. All matching "
        "earning rules apply, higher priority first.",
        "replace": "Published at once.",
        "change": "Published at once. Objects are merged, lists replaced (RFC 7396).",
    },
)
_CHANGE: Final = (
    *(*ADMIN_ERRORS, *BODY_ERRORS, *KEY_ERRORS),
    *("CONFLICT", "STATE_CONFLICT", "VERSION_CONFLICT"),
)


def _status_operations(place: str, ending: str) -> dict[Key, Operation]:
    words = {
        "activate": (
            "Publish a version of a rule, or resume it",
            "It judges the events received from now on, or from `at`; never earlier ones. What "
            "was planned for later gives way.",
            "active",
        ),
        "pause": (
            "Pause a rule",
            "The kill switch: events received from now on, or from `at`, are judged by no version.",
            "paused",
        ),
        "archive": ("Archive a rule", "That is final.", "archived"),
    }
    return {
        ("post", f"{place}/{{rule_id}}/{word}"): Operation(
            id=f"{word}Rule{ending}",
            summary=summary,
            description=description,
            errors=_CHANGE,
            request={"version": 1, "at": None, "reason": "Season start"},
            answer={**_ACTIVE, "status": status},
        )
        for word, (summary, description, status) in words.items()
    }


def _operations(place: str, ending: str) -> dict[Key, Operation]:
    return {
        **_status_operations(place, ending),
        ("post", f"{place}/dry-run"): Operation(
            id=f"dryRunRules{ending}",
            summary="Try rules on an event",
            description="Judges a stored event, or one in the body, by the state of now. Nothing "
            "is written.",
            errors=(*ADMIN_ERRORS, *BODY_ERRORS),
            request={"rule_id": "big-win-bonus", "event": _EVENT},
            answer={"results": [{**_VERDICT, "as_of": "now"}]},
        ),
        ("get", f"{place}/explain"): Operation(
            id=f"explainEvent{ending}",
            summary="Explain what rules made of an event",
            description="By the version in force when the event was received.",
            errors=ADMIN_ERRORS,
            answer={
                "event": {
                    "event_id": "evt_12346",
                    **_EVENT,
                    "received_at": "2026-11-16T12:00:00.310Z",
                    "source": "api",
                },
                "results": [_VERDICT],
            },
        ),
        ("get", f"{place}/{{rule_id}}/firings"): Operation(
            id=f"listFirings{ending}",
            summary="List what a rule gave",
            description="Newest first.",
            errors=ADMIN_ERRORS,
            answer={"total": 1, "firings": [_FIRING]},
        ),
        ("get", f"{place}/{{rule_id}}/refusals"): Operation(
            id=f"listRefusals{ending}",
            summary="List what stopped a rule",
            description="Of the last 90 days, newest first: events that met the conditions and "
            "were stopped by a limit, the budget, a group or the state of the player.",
            errors=ADMIN_ERRORS,
            answer={"total": 1, "refusals": [_REFUSAL]},
        ),
    }


OPERATIONS: Final[dict[Key, Operation]] = {
    **collection_operations(_RULES),
    **collection_operations(_EARNING_RULES),
    **_operations("/v1/tenants/{tenant_id}/rules", ""),
    **_operations("/v1/rules", "ByQuery"),
}
