"""Boards and the event log on the admin gateway."""

from typing import Any, Final

from phoenix_site.reference.operations.ingestion import EVENT
from phoenix_site.reference.operations.query import BOARDS, READ_ERRORS
from phoenix_site.reference.types import Examples, Key, Operation

_ERRORS: Final = (
    "VAL_001",
    "AUTH_001",
    "AUTH_002",
    "AUTH_003",
    "AUTH_005",
    "METHOD",
    "RATE_001",
    "SRV_002",
)
_ONE: Final = (*_ERRORS, "NOT_FOUND")
_BODY: Final = ("VAL_003", "TOO_LARGE", "MEDIA_TYPE")
_KEY: Final = ("IDEMPOTENCY_CONFLICT", "IDEMPOTENCY_IN_PROGRESS")
_CHANGE: Final = (
    *_ONE,
    *_BODY,
    "CONFLICT",
    "VERSION_CONFLICT",
    "NEEDS_RECOMPUTE",
    "EVENTS_PURGED",
)
_BOARDS: Final = "/v1/tenants/{tenant_id}/leaderboards"
_BOARD: Final = f"{_BOARDS}/{{leaderboard_id}}"
_EVENTS: Final = "/v1/tenants/{tenant_id}/events"

_CONFIG: Final[dict[str, Any]] = {
    "scope": {"filters": {"actor.metadata.region": {"eq": "na-east"}}},
    "timeframe": {
        "type": "weekly",
        "timezone": "UTC",
        "reset_day": "monday",
        "reset_time": "00:00",
        "grace_seconds": 300,
    },
    "scoring": {
        "rules": [
            {
                "event_type": "match.completed",
                "points_expression": "attrs.score",
                "conditions": {"attrs.victory": {"eq": True}},
            }
        ],
        "match": "all",
        "aggregation": "sum",
        "decimals": 0,
    },
    "ranking": {"method": "score_desc", "tie_policy": "first_to_reach", "size": 1000},
    "snapshots": {"every_seconds": 3600, "top": 100},
}
_NEW: Final[dict[str, Any]] = {
    "leaderboard_id": "xp-weekly-global",
    "name": "Global Weekly XP",
    "description": "All matches of a week.",
    "config": {
        "scope": _CONFIG["scope"],
        "timeframe": {"type": "weekly"},
        "scoring": {"rules": _CONFIG["scoring"]["rules"]},
    },
}
_BOARD_SHOWN: Final[dict[str, Any]] = {
    "leaderboard_id": "xp-weekly-global",
    "tenant_id": "test-tenant",
    "name": "Global Weekly XP",
    "description": "All matches of a week.",
    "status": "active",
    "version": 1,
    "reward_config_id": None,
    "config": _CONFIG,
    "created_at": "2026-11-16T12:00:00Z",
    "updated_at": "2026-11-16T12:00:00Z",
}
_LIST: Final[dict[str, Any]] = {"total": 1, "leaderboards": [_BOARD_SHOWN]}
_EVENT_SHOWN: Final[dict[str, Any]] = EVENT | {
    "received_at": "2026-11-18T09:15:43Z",
    "source": "api",
}

OPERATIONS: dict[Key, Operation] = {
    ("get", "/v1/leaderboards"): Operation(
        id="listBoards",
        summary="List boards",
        description="One path of two gateways; the kind of credential decides. A player's token "
        "gets the active boards of its tenant with their windows; an API key or admin token all "
        "boards that it may see, or those of `tenant_id`.",
        errors=READ_ERRORS,
        answer=Examples({"as a player": BOARDS, "as a back office": _LIST}),
        answers={
            "200": {
                "oneOf": [
                    {"$ref": "#/components/schemas/BoardsBody"},
                    {"$ref": "#/components/schemas/BoardListOutput"},
                ]
            }
        },
        security=[{"playerToken": []}, {"apiKey": []}, {"adminToken": []}],
    ),
    ("post", "/v1/leaderboards"): Operation(
        id="createBoardByQuery",
        summary="Make a board of the tenant that the query names",
        errors=(*_ONE, *_BODY, *_KEY, "CONFLICT"),
        request=_NEW,
        answer=_BOARD_SHOWN,
    ),
    ("get", _BOARDS): Operation(
        id="listTenantBoards",
        summary="List a tenant's boards",
        errors=_ONE,
        answer=_LIST,
    ),
    ("post", _BOARDS): Operation(
        id="createBoard",
        summary="Make a board",
        description="It is active at once, and its first window is open. Every fault of the "
        "config is reported, with its path.",
        errors=(*_ONE, *_BODY, *_KEY, "CONFLICT"),
        request=_NEW,
        answer=_BOARD_SHOWN,
    ),
    ("get", _BOARD): Operation(
        id="getBoard", summary="Read a board", errors=_ONE, answer=_BOARD_SHOWN
    ),
    ("put", _BOARD): Operation(
        id="replaceBoard",
        summary="Replace a board's fields",
        description="What is left out gets its default.",
        errors=_CHANGE,
        request=_NEW,
        answer=_BOARD_SHOWN | {"version": 2},
    ),
    ("patch", _BOARD): Operation(
        id="changeBoard",
        summary="Change some of a board's fields",
        description="Objects are merged, lists replaced (RFC 7396). A change of scope, scoring or "
        "order holds at once while the open window has no entry, otherwise with the next window "
        "or, with `effective`, at once.",
        errors=_CHANGE,
        request={
            "config": {"scoring": {"aggregation": "max"}},
            "effective": "recompute",
            "expected_version": 1,
        },
        answer=_BOARD_SHOWN | {"version": 2},
    ),
    ("delete", _BOARD): Operation(
        id="archiveBoard",
        summary="Archive a board, for ever",
        description="Its open window becomes void. Closed windows and snapshots stay readable.",
        errors=_ONE,
    ),
    ("get", f"{_BOARD}/versions"): Operation(
        id="listBoardVersions",
        summary="List a board's versions",
        description="Newest first, each with its author and what it changed.",
        errors=_ONE,
        answer={
            "leaderboard_id": "xp-weekly-global",
            "total": 1,
            "versions": [
                {
                    "version": 2,
                    "author": "Back office",
                    "created_at": "2026-11-17T08:00:00Z",
                    "effect": "next_window",
                    "name": "Global Weekly XP",
                    "description": "All matches of a week.",
                    "reward_config_id": None,
                    "config": _CONFIG,
                    "changes": [
                        {"path": "config.scoring.aggregation", "before": "sum", "after": "max"}
                    ],
                }
            ],
        },
    ),
    ("get", f"{_BOARD}/windows"): Operation(
        id="listBoardWindows",
        summary="List a board's windows",
        errors=_ONE,
        answer={
            "leaderboard_id": "xp-weekly-global",
            "windows": [
                {
                    "window_key": "2026-W47",
                    "window_start": "2026-11-16T00:00:00Z",
                    "window_end": "2026-11-23T00:00:00Z",
                    "window_status": "open",
                    "total_players": 1234,
                    "hash": None,
                    "previous_hash": None,
                    "revision": None,
                    "closed_at": None,
                }
            ],
            "total": 1,
        },
    ),
    ("get", f"{_BOARD}/windows/{{window_key}}/entries"): Operation(
        id="listWindowEntries",
        summary="List the entries of a window",
        description="The ranked in order, then those that are not ranked.",
        errors=_ONE,
        answer={
            "leaderboard_id": "xp-weekly-global",
            "window_key": "2026-W47",
            "entries": [
                {
                    "rank": 1,
                    "ranked": True,
                    "hidden": False,
                    "user_id": "user-123",
                    "score": 950,
                    "reached_at": "2026-11-18T09:15:42Z",
                    "event_count": 7,
                }
            ],
            "total": 1,
            "limit": 100,
            "offset": 0,
        },
    ),
    ("get", _EVENTS): Operation(
        id="listEvents",
        summary="List a tenant's events",
        description="Newest first. `next` goes into `after` for the next page.",
        errors=_ONE,
        answer={"events": [_EVENT_SHOWN], "next": "MTIzNDU2"},
    ),
    ("get", f"{_EVENTS}/{{event_id}}"): Operation(
        id="getEvent",
        summary="Read an event and what became of it",
        description="`effects` says what each consumer made of the event, and why it did not "
        "count where it did not.",
        errors=_ONE,
        answer=_EVENT_SHOWN
        | {
            "cause": None,
            "effects": [
                {
                    "consumer": "leaderboards.scoring",
                    "leaderboard_id": "xp-weekly-global",
                    "window_key": "2026-W47",
                    "points": 950,
                }
            ],
        },
    ),
}
