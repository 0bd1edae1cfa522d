"""Reading boards as a player."""

from typing import Any, Final

from phoenix_site.reference.types import Key, Operation

READ_ERRORS: Final = (
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
_BOARD: Final = "/v1/leaderboards/{leaderboard_id}"
_SNAPSHOTS: Final = "/v1/snapshots/{leaderboard_id}"
_CACHED: Final = (
    "Carries an `ETag` (304 on `If-None-Match`) and `Cache-Control: private, max-age=1`."
)
_HASH: Final = "80c94a652d5a5fe0a4051f0d8f6319a6328f2b3d388915489865b5869ea6668c"
_ENTRIES: Final[list[dict[str, Any]]] = [
    {
        "rank": 1,
        "user_id": "user-123",
        "score": 950,
        "reached_at": "2026-11-18T09:15:42Z",
        "display_name": None,
        "metadata": {},
    },
    {
        "rank": 2,
        "user_id": "user-456",
        "score": 940,
        "reached_at": "2026-11-18T10:00:00.500Z",
        "display_name": None,
        "metadata": {},
    },
]
_WINDOW: Final = {
    "window_key": "2026-W47",
    "window_start": "2026-11-16T00:00:00Z",
    "window_end": "2026-11-23T00:00:00Z",
    "window_status": "open",
}
_LIST: Final[dict[str, Any]] = {
    "leaderboard_id": "xp-weekly-global",
    "name": "Global Weekly XP",
    **_WINDOW,
    "source": "live",
    "epoch": "k3f9",
    "sequence": 4211,
    "entries": _ENTRIES,
    "total": 1000,
    "total_players": 1234,
    "limit": 100,
    "offset": 0,
}
_AS_OF: Final = {"as_of": "2026-11-18T10:00:01Z"}
_PLAYER: Final[dict[str, Any]] = {
    "leaderboard_id": "xp-weekly-global",
    "window_key": "2026-W47",
    "user_id": "user-456",
    "ranked": True,
    "score": 940,
    "reached_at": "2026-11-18T10:00:00.500Z",
    "total_players": 1234,
}
_RANK: Final[dict[str, Any]] = _PLAYER | {
    "rank": 2,
    "next": {"rank": 1, "score": 950, "points_needed": 11},
}
BOARDS: Final[dict[str, Any]] = {
    "leaderboards": [
        {
            "leaderboard_id": "xp-weekly-global",
            "name": "Global Weekly XP",
            "description": "All matches of a week.",
            "timeframe": {
                "type": "weekly",
                "timezone": "UTC",
                "reset_day": "monday",
                "reset_time": "00:00",
                "grace_seconds": 300,
            },
            "window_key": "2026-W47",
            "window_start": "2026-11-16T00:00:00Z",
            "window_end": "2026-11-23T00:00:00Z",
            "resets_in": 392_399,
            "total_players": 1234,
        }
    ],
    "total": 1,
}

OPERATIONS: dict[Key, Operation] = {
    ("get", _BOARD): Operation(
        id="getTop",
        summary="Read the top of a board",
        description=f"Best first; pages never overlap. {_CACHED}",
        errors=READ_ERRORS,
        answer=_LIST | _AS_OF,
    ),
    ("get", f"{_BOARD}/user/{{user_id}}"): Operation(
        id="getNeighborhood",
        summary="Read the places around a player",
        description="`limit` consecutive places with the player in the middle; at either end the "
        f"page shifts so that it stays full. {_CACHED}",
        errors=READ_ERRORS,
        answer=_LIST | {"limit": 11, "user": _ENTRIES[1] | {"ranked": True}} | _AS_OF,
    ),
    ("get", f"{_BOARD}/rank/{{user_id}}"): Operation(
        id="getRank",
        summary="Read a player's rank",
        description="`next` is the entry one place better and the smallest change of the score "
        f"that overtakes it. {_CACHED}",
        errors=READ_ERRORS,
        answer=_RANK,
    ),
    ("get", f"{_BOARD}/score/{{user_id}}"): Operation(
        id="getScore",
        summary="Read a player's score",
        description=_CACHED,
        errors=READ_ERRORS,
        answer=_PLAYER,
    ),
    ("get", f"{_BOARD}/percentile/{{user_id}}"): Operation(
        id="getPercentile",
        summary="Read a player's place among all",
        description="`percentile` is the share of the other players ranked strictly below, "
        f"rounded down; `top_percent` is rank ÷ players, rounded up. {_CACHED}",
        errors=READ_ERRORS,
        answer=_RANK | {"percentile": 99.91, "top_percent": 0.17},
    ),
    ("get", f"{_BOARD}/rank-for-score"): Operation(
        id="getRankForScore",
        summary="Ask which rank a score would take now",
        description="If it were reached now, without the entry of the token's player.",
        errors=READ_ERRORS,
        answer={
            "leaderboard_id": "xp-weekly-global",
            "window_key": "2026-W47",
            "score": 950,
            "rank": 2,
            "tied_with": 1,
            "total_players": 1234,
        },
    ),
    ("get", f"{_BOARD}/users"): Operation(
        id="getGroup",
        summary="Rank several players among each other",
        description="The friends' board: 1 to 100 players by `user_id`, in rank order. Who has "
        "no entry is in `missing`.",
        errors=READ_ERRORS,
        answer={
            "leaderboard_id": "xp-weekly-global",
            "window_key": "2026-W47",
            "entries": [_ENTRIES[1] | {"ranked": True, "group_rank": 1}],
            "missing": ["user-9"],
            "total_players": 1234,
        },
    ),
    ("get", f"{_BOARD}/windows"): Operation(
        id="listWindows",
        summary="List a board's windows",
        description="Newest first. Hash, revision and closing time once a window is closed.",
        errors=READ_ERRORS,
        answer={
            "leaderboard_id": "xp-weekly-global",
            "windows": [
                {
                    "window_key": "2026-W46",
                    "window_start": "2026-11-09T00:00:00Z",
                    "window_end": "2026-11-16T00:00:00Z",
                    "window_status": "closed",
                    "total_players": 2,
                    "hash": _HASH,
                    "previous_hash": None,
                    "revision": 1,
                    "closed_at": "2026-11-16T00:05:01Z",
                }
            ],
            "total": 1,
        },
    ),
    ("get", _SNAPSHOTS): Operation(
        id="listSnapshots",
        summary="List a board's snapshots",
        description="Newest first. A final snapshot is a closed window, at its end.",
        errors=READ_ERRORS,
        answer={
            "snapshots": [
                {
                    "snapshot_time": "2026-11-16T00:00:00Z",
                    "window_key": "2026-W46",
                    "kind": "final",
                    "entry_count": 2,
                    "hash": _HASH,
                }
            ],
            "total": 1,
        },
    ),
    ("get", f"{_SNAPSHOTS}/{{snapshot_time}}"): Operation(
        id="getSnapshot",
        summary="Read a snapshot",
        description="`snapshot_time` matches exactly. A final snapshot has every ranked player and "
        "all that its hash covers.",
        errors=READ_ERRORS,
        answer={
            "leaderboard_id": "xp-weekly-global",
            "name": "Global Weekly XP",
            "window_key": "2026-W47",
            "window_start": "2026-11-16T00:00:00Z",
            "window_end": "2026-11-23T00:00:00Z",
            "window_status": "closed",
            "source": "history",
            "snapshot_time": "2026-11-23T00:00:00Z",
            "kind": "final",
            "config_version": 3,
            "decimals": 0,
            "revision": 1,
            "hash": _HASH,
            "previous_hash": None,
            "entries": _ENTRIES,
            "total": 2,
            "total_players": 2,
            "limit": 100,
            "offset": 0,
            "as_of": "2026-11-23T00:00:00Z",
        },
    ),
    ("get", f"{_SNAPSHOTS}/{{snapshot_time}}/user/{{user_id}}"): Operation(
        id="getSnapshotRank",
        summary="Read a player's rank in a snapshot",
        errors=READ_ERRORS,
        answer=_RANK | {"snapshot_time": "2026-11-23T00:00:00Z"},
    ),
}
