"""Windows, snapshots, groups, scores and tickets: the query paths that have one entrance."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from leaderboards.models import Leaderboard, Window
from leaderboards.selectors import history
from leaderboards.services import snapshots as snapshot_service
from phoenix_site.common.redis import get_redis
from tenants.models import IdempotencyRecord, Tenant
from tenants.services import snapshots
from tests.doors import Door
from tests.leaderboards import query_cast as cast

HOUR = timedelta(hours=1)


def last_week(board: Leaderboard) -> Window:
    start = cast.MONDAY - cast.WEEK
    return cast.new_window(board, "2026-W46", starts_at=start, ends_at=cast.MONDAY)


# --- Windows -------------------------------------------------------------------------------------


def test_windows_are_listed_newest_first_with_their_hashes(
    full_door: Door, board: Leaderboard, window: Window, token: str
) -> None:
    closed = last_week(board)
    cast.fill(closed, {"ana": 50, "ben": 40})
    closed = cast.close(closed)
    cast.fill(window, {"ana": 1})

    answer = full_door.get("/v1/leaderboards/xp/windows", token=token)

    assert answer.json() == {
        "leaderboard_id": "xp",
        "windows": [
            {
                "window_key": "2026-W47",
                "window_start": "2026-11-16T00:00:00Z",
                "window_end": "2026-11-23T00:00:00Z",
                "window_status": "open",
                "total_players": 1,
                "hash": None,
                "previous_hash": None,
                "revision": None,
                "closed_at": None,
            },
            {
                "window_key": "2026-W46",
                "window_start": "2026-11-09T00:00:00Z",
                "window_end": "2026-11-16T00:00:00Z",
                "window_status": "closed",
                "total_players": 2,
                "hash": closed.hash,
                "previous_hash": None,
                "revision": 1,
                "closed_at": "2026-11-16T00:05:00Z",
            },
        ],
        "total": 2,
    }


def test_windows_come_in_pages(
    full_door: Door, board: Leaderboard, window: Window, token: str
) -> None:
    last_week(board)

    first = full_door.get("/v1/leaderboards/xp/windows?limit=1", token=token).json()
    second = full_door.get("/v1/leaderboards/xp/windows?limit=1&offset=1", token=token).json()
    beyond = full_door.get("/v1/leaderboards/xp/windows?offset=9", token=token).json()

    keys = [[each["window_key"] for each in body["windows"]] for body in (first, second, beyond)]
    assert keys == [["2026-W47"], ["2026-W46"], []]
    assert [body["total"] for body in (first, second, beyond)] == [2, 2, 2]


def test_windows_of_a_board_that_is_not_active_stay_readable(
    full_door: Door, board: Leaderboard, window: Window, token: str
) -> None:
    Leaderboard.objects.update(status="archived")

    assert full_door.get("/v1/leaderboards/xp/windows", token=token).status_code == 200


@pytest.mark.parametrize("count", [1, 20])
def test_listing_closed_windows_costs_the_same_for_one_and_for_many(
    board: Leaderboard, count: int
) -> None:
    for number in range(count):
        start = cast.MONDAY - (number + 1) * cast.WEEK
        window = cast.new_window(
            board, f"2026-W{46 - number}", starts_at=start, ends_at=start + cast.WEEK
        )
        cast.close(window)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        windows = history.windows_of("tenant-a", "xp", limit=100, offset=0, now=cast.NOW)

    assert (windows.total, len(queries)) == (count, 3)


# --- Boards --------------------------------------------------------------------------------------


def test_the_tenant_s_active_boards_with_their_windows(
    full_door: Door, tenant_a: Tenant, tenant_b: Tenant, window: Window, token: str
) -> None:
    cast.fill(window, {"ana": 50, "ben": 40})
    soon = {"start_at": "2026-12-01T00:00:00Z", "end_at": "2026-12-02T00:00:00Z"}
    cast.new_board(tenant_a, "advent", timeframe={"type": "custom", **soon})
    cast.new_board(tenant_b, "theirs")
    Leaderboard.objects.filter(pk=cast.new_board(tenant_a, "over").pk).update(status="inactive")

    body = full_door.get("/v1/leaderboards", token=token).json()

    assert body["total"] == 2
    advent, weekly = body["leaderboards"]
    assert (advent["leaderboard_id"], advent["window_key"], advent["resets_in"]) == (
        "advent",
        None,
        None,
    )
    timeframe = weekly.pop("timeframe")
    assert (timeframe["type"], timeframe["timezone"]) == ("weekly", "UTC")
    assert weekly == {
        "leaderboard_id": "xp",
        "name": "Weekly XP",
        "description": "All matches of a week.",
        "window_key": "2026-W47",
        "window_start": "2026-11-16T00:00:00Z",
        "window_end": "2026-11-23T00:00:00Z",
        "resets_in": 388_800,
        "total_players": 2,
    }


def test_a_token_lists_the_boards_of_its_own_tenant_only(
    full_door: Door, window: Window, token: str
) -> None:
    own = full_door.get("/v1/leaderboards?tenant_id=tenant-a", token=token)
    other = full_door.get("/v1/leaderboards?tenant_id=tenant-b", token=token)

    assert own.status_code == 200
    assert (other.status_code, other.json()["code"]) == (403, "AUTH_005")


# --- Several players, and a score ----------------------------------------------------------------


def test_friends_are_ranked_on_the_board_and_among_themselves(
    full_door: Door, window: Window, token: str
) -> None:
    cast.fill(window, {"ana": 50, "ben": 40, "cem": 30, "dia": 20})

    answer = full_door.get(
        "/v1/leaderboards/xp/users?user_id=dia&user_id=user-9&user_id=ben&user_id=dia", token=token
    )

    body = answer.json()
    assert body["missing"] == ["user-9"]
    assert (body["window_key"], body["total_players"]) == ("2026-W47", 4)
    assert [
        (entry["user_id"], entry["rank"], entry["group_rank"], entry["score"], entry["ranked"])
        for entry in body["entries"]
    ] == [("ben", 2, 1, 40, True), ("dia", 4, 2, 20, True)]


def test_a_friend_outside_the_bounds_has_no_ranks(
    full_door: Door, tenant_a: Tenant, token: str
) -> None:
    board = cast.new_board(tenant_a, "bounded", min_score=10)
    cast.fill(cast.new_window(board), {"ana": 50, "ben": 5})

    body = full_door.get(
        "/v1/leaderboards/bounded/users?user_id=ana&user_id=ben", token=token
    ).json()

    ranks = [(entry["user_id"], entry["rank"], entry["group_rank"]) for entry in body["entries"]]
    assert ranks == [("ana", 1, 1), ("ben", None, None)]


def test_the_rank_of_a_score_with_decimals(full_door: Door, tenant_a: Tenant, token: str) -> None:
    board = cast.new_board(tenant_a, "laps", decimals=2, method="score_asc")
    cast.fill(cast.new_window(board), {"ana": 950, "ben": 1000})

    answer = full_door.get("/v1/leaderboards/laps/rank-for-score?score=9.75", token=token)

    assert answer.json() == {
        "leaderboard_id": "laps",
        "window_key": "2026-W47",
        "score": 9.75,
        "rank": 1,
        "tied_with": 0,
        "total_players": 2,
    }


# --- Snapshots (LB-56) ---------------------------------------------------------------------------


@pytest.fixture
def snapshotted(board: Leaderboard, window: Window) -> Window:
    """Return a closed window with its final snapshot, beside an interim one of the open window."""
    from leaderboards.models import Snapshot

    closed = last_week(board)
    cast.fill(closed, {"ana": 50, "ben": 40, "cem": 40})
    closed = cast.close(closed, total_listed=2)
    Snapshot.objects.create(
        board=board,
        window=closed,
        taken_at=cast.MONDAY,
        is_final=True,
        entry_count=3,
        total_players=3,
        hash=closed.hash,
    )
    cast.fill(window, {"ana": 9, "ben": 8, "cem": 8})
    assert snapshot_service.take_snapshot(window.pk, cast.NOW - HOUR)
    return closed


def test_snapshots_are_listed_newest_first(
    full_door: Door, snapshotted: Window, token: str
) -> None:
    body = full_door.get("/v1/snapshots/xp", token=token).json()

    listed = [
        (each["snapshot_time"], each["window_key"], each["kind"], each["entry_count"])
        for each in body["snapshots"]
    ]
    assert listed == [
        ("2026-11-18T11:00:00Z", "2026-W47", "interim", 3),
        ("2026-11-16T00:00:00Z", "2026-W46", "final", 3),
    ]
    assert body["total"] == 2
    assert body["snapshots"][1]["hash"] == snapshotted.hash


@pytest.mark.parametrize(
    ("query", "times"),
    [
        ("from=2026-11-16T00:00:01Z", ["2026-11-18T11:00:00Z"]),
        ("to=2026-11-16T00:00:00Z", ["2026-11-16T00:00:00Z"]),
        ("from=2026-11-16T00:00:00Z&to=2026-11-18T11:00:00Z&limit=1", ["2026-11-18T11:00:00Z"]),
        ("from=2027-01-01T00:00:00Z", []),
    ],
)
def test_snapshots_of_a_period(
    full_door: Door, snapshotted: Window, token: str, query: str, times: list[str]
) -> None:
    body = full_door.get(f"/v1/snapshots/xp?{query}", token=token).json()

    assert [each["snapshot_time"] for each in body["snapshots"]] == times


def test_a_final_snapshot_has_every_ranked_player_whatever_the_board_s_size(
    full_door: Door, snapshotted: Window, token: str
) -> None:
    body = full_door.get("/v1/snapshots/xp/2026-11-16T00:00:00Z", token=token).json()

    assert [entry["user_id"] for entry in body["entries"]] == ["ana", "ben", "cem"]
    assert (body["total"], body["total_players"], body["source"]) == (3, 3, "history")
    assert (body["snapshot_time"], body["as_of"]) == (
        "2026-11-16T00:00:00Z",
        "2026-11-16T00:00:00Z",
    )
    assert (body["hash"], body["revision"], body["window_status"]) == (
        snapshotted.hash,
        1,
        "closed",
    )


def test_an_interim_snapshot_stays_as_it_was(
    full_door: Door, window: Window, snapshotted: Window, token: str
) -> None:
    cast.fill(window, {"dia": 100})

    body = full_door.get(
        "/v1/snapshots/xp/2026-11-18T11:00:00Z?limit=2&offset=1", token=token
    ).json()

    assert [(entry["rank"], entry["user_id"]) for entry in body["entries"]] == [
        (2, "ben"),
        (3, "cem"),
    ]
    assert (body["kind"], body["total"], body["offset"], body["window_key"]) == (
        "interim",
        3,
        1,
        "2026-W47",
    )


@pytest.mark.parametrize("at", ["2026-11-18T12:00:00%2B01:00", "2026-11-18T11:00:00.000Z"])
def test_a_snapshot_is_found_by_its_instant_however_it_is_written(
    full_door: Door, snapshotted: Window, token: str, at: str
) -> None:
    assert full_door.get(f"/v1/snapshots/xp/{at}", token=token).status_code == 200


@pytest.mark.parametrize("at", ["2026-11-18T11:00:01Z", "2026-11-17T11:00:00Z"])
def test_another_instant_has_no_snapshot(
    full_door: Door, snapshotted: Window, token: str, at: str
) -> None:
    assert full_door.get(f"/v1/snapshots/xp/{at}", token=token).status_code == 404
    assert full_door.get(f"/v1/snapshots/xp/{at}/user/ana", token=token).status_code == 404


@pytest.mark.parametrize("at", ["yesterday", "2026-11-18", "2026-11-18T11:00:00"])
def test_what_is_no_instant_is_refused(
    full_door: Door, snapshotted: Window, token: str, at: str
) -> None:
    answer = full_door.get(f"/v1/snapshots/xp/{at}", token=token)

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")


@pytest.mark.parametrize(
    ("at", "score", "best"), [("2026-11-16T00:00:00Z", 40, 50), ("2026-11-18T11:00:00Z", 8, 9)]
)
def test_one_player_of_a_snapshot(
    full_door: Door, snapshotted: Window, token: str, at: str, score: int, best: int
) -> None:
    body = full_door.get(f"/v1/snapshots/xp/{at}/user/ben", token=token).json()

    assert (body["snapshot_time"], body["user_id"], body["ranked"]) == (at, "ben", True)
    assert (body["rank"], body["score"], body["total_players"]) == (2, score, 3)
    assert body["next"] == {"rank": 1, "score": best, "points_needed": best - score + 1}


def test_a_player_whom_the_snapshot_does_not_hold_is_404(
    full_door: Door, snapshotted: Window, token: str
) -> None:
    for at in ("2026-11-16T00:00:00Z", "2026-11-18T11:00:00Z"):
        answer = full_door.get(f"/v1/snapshots/xp/{at}/user/nobody", token=token)
        assert answer.status_code == 404


# --- Tickets (WS-1) ------------------------------------------------------------------------------


def ask_ticket(door: Door, token: str | None, body: Any = None, **headers: str) -> Any:
    return door.ask(
        "POST", "/v1/ws-tickets", token=token, json={} if body is None else body, headers=headers
    )


@pytest.mark.parametrize("body", [{}, {"leaderboard_id": "xp"}, {"leaderboard_id": None, "x": 1}])
def test_a_player_gets_a_ticket_for_thirty_seconds(
    full_door: Door, window: Window, token: str, body: dict[str, Any]
) -> None:
    answer = ask_ticket(full_door, token, body)

    ticket = answer.json()
    assert answer.status_code == 201
    assert ticket["ticket"].startswith("wst_")
    assert (ticket["expires_at"], ticket["expires_in"]) == ("2026-11-18T12:00:30Z", 30)
    assert answer.headers["cache-control"] == "no-store"
    assert "x-ratelimit-remaining" in answer.headers


def test_two_tickets_differ(full_door: Door, window: Window, token: str) -> None:
    first, second = (ask_ticket(full_door, token).json()["ticket"] for _ in range(2))

    assert first != second


def test_a_repeated_request_gets_the_same_ticket(
    full_door: Door, window: Window, token: str
) -> None:
    first = ask_ticket(full_door, token, Idempotency_Key="once")
    again = full_door.ask(
        "POST", "/v1/ws-tickets", token=token, json={}, headers={"Idempotency-Key": "once"}
    )
    other = full_door.ask(
        "POST", "/v1/ws-tickets", token=token, json={}, headers={"Idempotency-Key": "once"}
    )

    assert first.status_code == 201
    assert again.json() == other.json()
    assert other.headers["idempotent-replayed"] == "true"
    assert IdempotencyRecord.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"leaderboard_id": "nope"}, 404, "NOT_FOUND"),
        ({"leaderboard_id": "theirs"}, 404, "NOT_FOUND"),
        ({"leaderboard_id": "xp", "window_key": "2026-W01"}, 404, "NOT_FOUND"),
        ({"leaderboard_id": 7}, 400, "VAL_001"),
        ({"leaderboard_id": "xp", "window_key": "soon"}, 400, "VAL_001"),
        ([], 400, "VAL_001"),
    ],
)
def test_the_ticket_tells_why_a_socket_would_be_refused(
    full_door: Door,
    tenant_b: Tenant,
    window: Window,
    token: str,
    body: Any,
    status: int,
    code: str,
) -> None:
    cast.new_window(cast.new_board(tenant_b, "theirs"))

    answer = ask_ticket(full_door, token, body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_player_with_too_many_sockets_gets_no_ticket(
    full_door: Door, window: Window, token: str
) -> None:
    Tenant.objects.update(max_sockets=0)
    snapshots.forget_now()

    answer = ask_ticket(full_door, token)

    assert (answer.status_code, answer.json()["code"]) == (429, "RATE_001")
    assert int(answer.headers["retry-after"]) > 0


def test_a_ticket_needs_a_token_and_a_post(full_door: Door, window: Window, token: str) -> None:
    assert ask_ticket(full_door, None).status_code == 401
    get = full_door.get("/v1/ws-tickets", token=token)
    assert (get.status_code, get.headers["allow"]) == (405, "POST, OPTIONS")


def test_a_page_may_ask_for_a_ticket(full_door: Door, window: Window, token: str) -> None:
    preflight = full_door.ask(
        "OPTIONS",
        "/v1/ws-tickets",
        headers={"Origin": "https://play.example", "Access-Control-Request-Method": "POST"},
    )

    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "Content-Type" in preflight.headers["access-control-allow-headers"]


def test_redis_holds_no_ticket_in_clear_text(full_door: Door, window: Window, token: str) -> None:
    ticket = ask_ticket(full_door, token).json()["ticket"]

    assert all(ticket.encode() not in name for name in get_redis().scan_iter())


# --- Not built yet -------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "words"), [("stream", "not supported yet"), ("ws", "WebSocket")])
def test_a_stream_is_refused_and_a_socket_needs_an_upgrade(
    full_door: Door, window: Window, token: str, path: str, words: str
) -> None:
    answer = full_door.get(f"/v1/leaderboards/xp/{path}", token=token)

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")
    assert words in answer.json()["error"]
