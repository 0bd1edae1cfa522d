"""The query gateway as callers see it, through both entrances (spec 02 section 6)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError

from leaderboards.models import Leaderboard, Window
from leaderboards.selectors import rank_index, shown
from leaderboards.services import boards
from leaderboards.services.boards import BoardChange
from phoenix_site.common import postgres
from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.redis import RedisError, get_redis
from tenants.models import Tenant
from tenants.services import audit, limits, snapshots
from tests.doors import Door
from tests.leaderboards import query_cast as cast

NOT_FOUND = {"error": "There is nothing here.", "code": "NOT_FOUND"}
GAME = "https://play.example"
# Reads with two entrances; {} is a player.
TWO_ENTRANCES = ["", "/user/ben", "/rank/ben", "/score/ben", "/percentile/ben"]
READS = [*TWO_ENTRANCES, "/rank-for-score?score=40", "/users?user_id=ben", "/windows"]


def without_request_id(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "request_id"}


# --- Top N (LB-51) -------------------------------------------------------------------------------


def test_the_top_of_a_live_board(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"ana": 50, "ben": 40})

    answer = door.get("/v1/leaderboards/xp", token=token)

    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(body.pop("epoch"), str)
    assert isinstance(body.pop("sequence"), int)
    assert body == {
        "leaderboard_id": "xp",
        "name": "Weekly XP",
        "window_key": "2026-W47",
        "window_start": "2026-11-16T00:00:00Z",
        "window_end": "2026-11-23T00:00:00Z",
        "window_status": "open",
        "source": "live",
        "entries": [
            {
                "rank": 1,
                "user_id": "ana",
                "score": 50,
                "reached_at": "2026-11-16T00:00:00Z",
                "display_name": None,
                "metadata": {},
            },
            {
                "rank": 2,
                "user_id": "ben",
                "score": 40,
                "reached_at": "2026-11-16T00:00:01Z",
                "display_name": None,
                "metadata": {},
            },
        ],
        "total": 2,
        "total_players": 2,
        "limit": 100,
        "offset": 0,
        "as_of": "2026-11-18T12:00:00Z",
    }


def test_pages_follow_each_other_and_end_empty(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {f"player-{place}": 100 - place for place in range(5)})

    pages = [
        door.get(f"/v1/leaderboards/xp?limit=2&offset={offset}", token=token).json()
        for offset in (0, 2, 4, 6)
    ]

    players = [[entry["user_id"] for entry in page["entries"]] for page in pages]
    assert players == [["player-0", "player-1"], ["player-2", "player-3"], ["player-4"], []]
    assert [page["total"] for page in pages] == [5, 5, 5, 5]
    assert [page["offset"] for page in pages] == [0, 2, 4, 6]


def test_a_list_ends_at_the_size_of_its_board(door: Door, tenant_a: Tenant, token: str) -> None:
    board = cast.new_board(tenant_a, "small", size=2)
    cast.fill(cast.new_window(board), {"ana": 50, "ben": 40, "cem": 30})

    body = door.get("/v1/leaderboards/small", token=token).json()

    assert [entry["user_id"] for entry in body["entries"]] == ["ana", "ben"]
    assert (body["total"], body["total_players"]) == (2, 3)


def test_a_change_is_seen_by_the_next_reader(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"ana": 50})
    first = door.get("/v1/leaderboards/xp", token=token).json()

    cast.fill(window, {"ben": 60})
    second = door.get("/v1/leaderboards/xp", token=token).json()

    assert [entry["user_id"] for entry in first["entries"]] == ["ana"]
    assert [entry["user_id"] for entry in second["entries"]] == ["ben", "ana"]


def test_without_an_index_the_database_answers_the_same(
    door: Door, window: Window, token: str
) -> None:
    cast.fill(window, {"ana": 50, "ben": 40, "cem": 40})
    indexed = door.get("/v1/leaderboards/xp", token=token).json()
    get_redis().flushdb()

    body = door.get("/v1/leaderboards/xp", token=token).json()

    assert body["entries"] == indexed["entries"]
    assert body["total_players"] == 3


def test_a_score_with_decimals_is_an_exact_number(door: Door, tenant_a: Tenant, token: str) -> None:
    board = cast.new_board(tenant_a, "laps", decimals=3)
    cast.fill(cast.new_window(board), {"ana": 999_999_999_999_999, "ben": 1500})

    answer = door.get("/v1/leaderboards/laps", token=token)

    assert '"score":999999999999.999,' in answer.text
    assert [entry["score"] for entry in answer.json()["entries"]] == [999999999999.999, 1.5]


# --- Which window is shown -----------------------------------------------------------------------


def make_last_week(board: Leaderboard) -> Window:
    start = cast.MONDAY - cast.WEEK
    return cast.new_window(board, "2026-W46", starts_at=start, ends_at=cast.MONDAY)


def test_while_the_active_window_is_empty_the_last_closed_one_is_shown(
    door: Door, board: Leaderboard, window: Window, token: str
) -> None:
    last_week = make_last_week(board)
    cast.fill(last_week, {"ana": 50, "ben": 40})
    cast.close(last_week)

    body = door.get("/v1/leaderboards/xp", token=token).json()

    assert (body["window_key"], body["source"]) == ("2026-W46", "history")
    assert (body["window_status"], body["as_of"]) == ("closed", "2026-11-16T00:05:00Z")
    assert [entry["user_id"] for entry in body["entries"]] == ["ana", "ben"]


def test_the_first_entry_brings_the_active_window_back(
    door: Door, board: Leaderboard, window: Window, token: str
) -> None:
    last_week = make_last_week(board)
    cast.fill(last_week, {"ana": 50})
    cast.close(last_week)
    cast.fill(window, {"ben": 1})

    body = door.get("/v1/leaderboards/xp", token=token).json()

    assert (body["window_key"], body["source"]) == ("2026-W47", "live")


def test_current_is_the_active_window_even_while_it_is_empty(
    door: Door, board: Leaderboard, window: Window, token: str
) -> None:
    cast.close(make_last_week(board))

    body = door.get("/v1/leaderboards/xp?window_key=current", token=token).json()

    assert (body["window_key"], body["source"], body["entries"]) == ("2026-W47", "live", [])


def test_an_empty_board_without_history_shows_its_empty_window(
    door: Door, window: Window, token: str
) -> None:
    body = door.get("/v1/leaderboards/xp", token=token).json()

    assert (body["window_key"], body["entries"], body["total"]) == ("2026-W47", [], 0)


def test_a_window_is_shown_by_its_key(
    door: Door, board: Leaderboard, window: Window, token: str
) -> None:
    last_week = make_last_week(board)
    cast.fill(last_week, {"ana": 50})
    cast.close(last_week)
    cast.fill(window, {"ben": 1})

    body = door.get("/v1/leaderboards/xp?window_key=2026-W46", token=token).json()

    assert [entry["user_id"] for entry in body["entries"]] == ["ana"]


def test_a_window_that_has_ended_is_closing_and_read_by_its_key(
    door: Door,
    board: Leaderboard,
    window: Window,
    token: str,
    frozen_clock: time_machine.Traveller,
) -> None:
    cast.fill(window, {"ana": 50})
    cast.new_window(board, "2026-W48", starts_at=cast.MONDAY + cast.WEEK, ends_at=None)
    assert door.get("/v1/leaderboards/xp", token=token).json()["window_key"] == "2026-W47"

    frozen_clock.move_to(cast.MONDAY + cast.WEEK)
    token = cast.player_token(board.tenant, cast.new_tenant_secret(board.tenant))
    snapshots.forget_now()
    now_shown = door.get("/v1/leaderboards/xp", token=token).json()
    by_key = door.get("/v1/leaderboards/xp?window_key=2026-W47", token=token).json()

    assert now_shown["window_key"] == "2026-W48"
    assert (by_key["window_status"], by_key["source"]) == ("closing", "live")
    assert [entry["user_id"] for entry in by_key["entries"]] == ["ana"]


def test_all_time_has_no_end(door: Door, tenant_a: Tenant, token: str) -> None:
    board = cast.new_board(tenant_a, "ever", timeframe={"type": "all_time"})
    start = datetime(2000, 1, 1, tzinfo=UTC)
    cast.new_window(board, "all_time", starts_at=start, ends_at=None)

    body = door.get("/v1/leaderboards/ever", token=token).json()

    assert (body["window_key"], body["window_end"]) == ("all_time", None)


@pytest.mark.parametrize("status", ["inactive", "archived"])
def test_a_board_that_is_not_active_shows_only_windows_by_key(
    door: Door, board: Leaderboard, window: Window, token: str, status: str
) -> None:
    cast.fill(window, {"ana": 50})
    Leaderboard.objects.update(status=status)

    left_out = door.get("/v1/leaderboards/xp", token=token)
    current = door.get("/v1/leaderboards/xp/rank/ana?window_key=current", token=token)
    by_key = door.get("/v1/leaderboards/xp?window_key=2026-W47", token=token)

    assert (left_out.status_code, current.status_code, by_key.status_code) == (404, 404, 200)


def test_a_window_that_nobody_opened_is_opened_by_its_first_reader(
    door: Door, board: Leaderboard, token: str
) -> None:
    Leaderboard.objects.update(next_window_at=cast.NOW)

    body = door.get("/v1/leaderboards/xp", token=token).json()

    assert (body["window_key"], body["window_start"]) == ("2026-W47", "2026-11-16T00:00:00Z")


# --- One player (LB-52, LB-53) -------------------------------------------------------------------


def test_one_player_s_rank(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"ana": 980, "ben": 950, "cem": 10})

    answer = door.get("/v1/leaderboards/xp/rank/ben", token=token)

    assert answer.json() == {
        "leaderboard_id": "xp",
        "window_key": "2026-W47",
        "user_id": "ben",
        "ranked": True,
        "rank": 2,
        "score": 950,
        "reached_at": "2026-11-16T00:00:01Z",
        "total_players": 3,
        "next": {"rank": 1, "score": 980, "points_needed": 31},
    }


def test_the_best_has_nobody_next(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"ana": 980, "ben": 950})

    assert door.get("/v1/leaderboards/xp/rank/ana", token=token).json()["next"] is None


def test_a_score_leaves_out_rank_and_next(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"ana": 980, "ben": 950})

    body = door.get("/v1/leaderboards/xp/score/ben", token=token).json()

    assert body == {
        "leaderboard_id": "xp",
        "window_key": "2026-W47",
        "user_id": "ben",
        "ranked": True,
        "score": 950,
        "reached_at": "2026-11-16T00:00:01Z",
        "total_players": 2,
    }


def test_the_percentile_of_rank_3_among_200(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {f"player-{place}": 1000 - place for place in range(1, 201)})

    body = door.get("/v1/leaderboards/xp/percentile/player-3", token=token).json()

    assert (body["rank"], body["total_players"]) == (3, 200)
    assert (body["percentile"], body["top_percent"]) == (98.99, 1.5)


def test_a_single_player_is_at_100_percent(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"ana": 1})

    body = door.get("/v1/leaderboards/xp/percentile/ana", token=token).json()

    assert (body["percentile"], body["top_percent"]) == (100, 100)


def test_a_neighborhood_has_the_list_s_body_and_the_player(
    door: Door, window: Window, token: str
) -> None:
    cast.fill(window, {f"player-{place}": 100 - place for place in range(20)})

    body = door.get("/v1/leaderboards/xp/user/player-7?limit=4", token=token).json()

    assert [entry["rank"] for entry in body["entries"]] == [7, 8, 9, 10]
    assert (body["offset"], body["limit"], body["total"]) == (6, 4, 20)
    assert body["user"] == {
        "user_id": "player-7",
        "ranked": True,
        "rank": 8,
        "score": 93,
        "reached_at": "2026-11-16T00:00:07Z",
        "display_name": None,
        "metadata": {},
    }


def test_a_player_outside_the_bounds_is_not_ranked(
    door: Door, tenant_a: Tenant, token: str
) -> None:
    board = cast.new_board(tenant_a, "bounded", min_score=10)
    cast.fill(cast.new_window(board), {"ana": 50, "ben": 5})

    rank = door.get("/v1/leaderboards/bounded/rank/ben", token=token).json()
    percentile = door.get("/v1/leaderboards/bounded/percentile/ben", token=token).json()
    around = door.get("/v1/leaderboards/bounded/user/ben", token=token).json()

    assert (rank["ranked"], rank["rank"], rank["next"], rank["score"]) == (False, None, None, 5)
    assert (percentile["percentile"], percentile["top_percent"]) == (None, None)
    assert (around["user"]["ranked"], around["entries"]) == (False, [])


def test_a_player_s_id_is_compared_byte_for_byte(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"Zoë": 3, "zoë": 2, "a b%2": 1})

    ranks = [
        door.get(f"/v1/leaderboards/xp/rank/{name}", token=token).json()["rank"]
        for name in ("Zo%C3%AB", "zo%C3%AB", "a%20b%252")
    ]

    assert ranks == [1, 2, 3]


def test_ranks_of_a_closed_window_come_from_its_frozen_standings(
    door: Door, window: Window, token: str
) -> None:
    cast.fill(window, {"ana": 50, "ben": 40})
    cast.close(window)
    Window.objects.get().entries.all().delete()

    body = door.get("/v1/leaderboards/xp/rank/ben?window_key=2026-W47", token=token).json()

    assert (body["rank"], body["score"], body["next"]["score"]) == (2, 40, 50)


# --- Tags, freshness, limits, origins ------------------------------------------------------------


def test_a_reader_who_has_the_answer_gets_304(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"ana": 50, "ben": 40})

    for path in READS:
        address = f"/v1/leaderboards/xp{path}"
        first = door.get(address, token=token)
        again = door.get(address, token=token, headers={"If-None-Match": first.headers["ETag"]})

        assert (again.status_code, again.content) == (304, b""), path
        for answer in (first, again):
            assert answer.headers["cache-control"] == "private, max-age=1"
            assert answer.headers["etag"] == first.headers["etag"]
            assert "x-ratelimit-remaining" in answer.headers


def test_the_tag_changes_with_the_standings(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"ana": 50, "ben": 40})
    first = door.get("/v1/leaderboards/xp/rank/ben", token=token)
    cast.fill(window, {"cem": 45})

    again = door.get(
        "/v1/leaderboards/xp/rank/ben",
        token=token,
        headers={"If-None-Match": first.headers["ETag"]},
    )

    assert (again.status_code, again.json()["rank"]) == (200, 3)


def test_every_answer_counts_down_the_player_s_limit(
    door: Door, tenant_a: Tenant, window: Window, token: str
) -> None:
    # So low that no token comes back while the test runs.
    Tenant.objects.update(limits={"query_player": 6})
    snapshots.forget_now()

    answers = [door.get("/v1/leaderboards/xp", token=token) for _ in range(2)]

    assert [answer.headers["x-ratelimit-limit"] for answer in answers] == ["6", "6"]
    remaining = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers]
    assert remaining == [5, 4]
    assert "x-ratelimit-reset" in answers[0].headers


@pytest.mark.parametrize("limit_class", ["query_player", "query_tenant"])
def test_a_reader_over_the_limit_is_told_when_to_come_back(
    door: Door, tenant_a: Tenant, window: Window, token: str, limit_class: str
) -> None:
    Tenant.objects.update(limits={limit_class: 2})
    snapshots.forget_now()

    answers = [
        door.get("/v1/leaderboards/xp", token=token, headers={"Origin": GAME}) for _ in range(3)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused = answers[-1]
    assert refused.json()["code"] == "RATE_001"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.headers["access-control-allow-origin"] == GAME


def test_one_player_s_limit_is_not_another_s(
    door: Door, tenant_a: Tenant, window: Window, secret: str
) -> None:
    Tenant.objects.update(limits={"query_player": 1})
    snapshots.forget_now()
    limits.forget_leases()
    ana, ben = (cast.player_token(tenant_a, secret, name) for name in ("ana", "ben"))

    statuses = [door.get("/v1/leaderboards/xp", token=each).status_code for each in (ana, ana, ben)]

    assert statuses == [200, 429, 200]


def test_a_preflight_needs_no_credential_and_takes_any_origin(door: Door, tenant_a: Tenant) -> None:
    headers = {"Origin": GAME, "Access-Control-Request-Method": "GET"}

    for path in READS:
        answer = door.ask("OPTIONS", f"/v1/leaderboards/xp{path}", headers=headers)

        assert (answer.status_code, answer.content) == (204, b""), path
        assert answer.headers["access-control-allow-origin"] == GAME
        assert "GET" in answer.headers["access-control-allow-methods"]
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()


def test_a_page_of_any_origin_may_read_unless_the_tenant_lists_its_origins(
    door: Door, window: Window, token: str
) -> None:
    cast.fill(window, {"ben": 40})
    evil, game = {"Origin": "https://evil.example"}, {"Origin": GAME}
    addresses = [f"/v1/leaderboards/xp{path}" for path in READS]
    before = [door.get(address, token=token, headers=evil) for address in addresses]

    Tenant.objects.update(allowed_origins=[GAME])
    snapshots.forget_now()
    others = [door.get(address, token=token, headers=evil) for address in addresses]
    listed = [door.get(address, token=token, headers=game) for address in addresses]
    no_page = [door.get(address, token=token) for address in addresses]

    assert {answer.status_code for answer in (*before, *listed, *no_page)} == {200}
    assert {(answer.status_code, answer.json()["code"]) for answer in others} == {(403, "AUTH_005")}
    for answer in others:
        assert answer.headers["access-control-allow-origin"] == "https://evil.example"
    for answer in listed:
        assert answer.headers["access-control-allow-origin"] == GAME
        assert "X-RateLimit-Remaining" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/leaderboards/nope", 404), ("/v1/leaderboards/xp?limit=0", 400)],
)
def test_a_page_can_read_refusals_too(
    door: Door, window: Window, token: str, path: str, status: int
) -> None:
    answer = door.get(path, token=token, headers={"Origin": GAME})
    nobody = door.get(path, headers={"Origin": GAME})

    assert (answer.status_code, nobody.status_code) == (status, 401)
    for each in (answer, nobody):
        assert each.headers["access-control-allow-origin"] == GAME
        assert each.headers["vary"] == "Authorization, Origin"
        assert each.headers["cache-control"] == "no-store"
    assert "x-ratelimit-remaining" in answer.headers


# --- Refusals (LB-57) ----------------------------------------------------------------------------


def test_no_credential_is_401(door: Door, window: Window) -> None:
    for path in READS:
        answer = door.get(f"/v1/leaderboards/xp{path}")

        assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_002"), path
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": "Bearer pk_test_0123456789abcdef"}, "AUTH_003"),
        ({"X-API-Key": "pk_test_0123456789abcdef"}, "AUTH_003"),
        ({"Authorization": "Bearer a.b.c"}, "AUTH_003"),
        ({"Authorization": "Basic YTpi"}, "AUTH_002"),
        ({"X-Tenant-Id": "tenant-a", "X-Timestamp": "1", "X-Signature": "00"}, "AUTH_003"),
    ],
)
def test_a_credential_of_another_gateway_is_401(
    door: Door, window: Window, headers: dict[str, str], code: str
) -> None:
    for path in READS:
        answer = door.get(f"/v1/leaderboards/xp{path}", headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (401, code), path


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"sub": None}, 401, "AUTH_003"),
        ({"exp": 1}, 401, "AUTH_003"),
        ({"sub_type": "admin"}, 401, "AUTH_003"),
        ({"sub_id": "tenant-b"}, 401, "AUTH_003"),
        ({"scope": "events:write"}, 403, "AUTH_005"),
        ({"scope": "events:write query"}, 200, None),
    ],
)
def test_a_token_must_be_a_player_s_of_this_gateway(
    door: Door,
    tenant_a: Tenant,
    window: Window,
    secret: str,
    claims: dict[str, Any],
    status: int,
    code: str | None,
) -> None:
    answer = door.get("/v1/leaderboards/xp", token=cast.player_token(tenant_a, secret, **claims))

    assert (answer.status_code, answer.json().get("code")) == (status, code)


def test_a_token_with_another_secret_is_401(door: Door, window: Window, tenant_a: Tenant) -> None:
    cast.new_tenant_secret(tenant_a)

    answer = door.get("/v1/leaderboards/xp", token=cast.player_token(tenant_a, "x" * 43))

    assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_001")


def test_a_suspended_tenant_is_403(
    door: Door, tenant_a: Tenant, window: Window, token: str
) -> None:
    Tenant.objects.update(suspended_at=cast.NOW)
    snapshots.forget_now()

    answer = door.get("/v1/leaderboards/xp", token=token)

    assert (answer.status_code, answer.json()["code"]) == (403, "AUTH_005")


MISSING = [
    "/v1/leaderboards/nope",
    "/v1/leaderboards/nope/rank/ana",
    "/v1/leaderboards/no%00pe",
    "/v1/leaderboards/-xp",
    f"/v1/leaderboards/{'x' * 65}",
    "/v1/leaderboards/xp?window_key=2026-W46",
    "/v1/leaderboards/xp/rank/nobody",
    "/v1/leaderboards/xp/score/nobody",
    "/v1/leaderboards/xp/percentile/nobody",
    "/v1/leaderboards/xp/user/nobody",
    "/v1/leaderboards/xp/rank/a%00b",
    "/v1/leaderboards/xp/user/a%00b",
    f"/v1/leaderboards/xp/rank/{'x' * 129}",
    "/v1/leaderboards/nope/users?user_id=ana",
    "/v1/leaderboards/nope/windows",
    "/v1/leaderboards/nope/rank-for-score?score=1",
    "/v1/snapshots/nope",
    "/v1/snapshots/xp/2026-11-18T12:00:00Z",
    "/v1/snapshots/xp/2026-11-18T12:00:00Z/user/ana",
]


def test_whatever_is_not_there_gets_one_and_the_same_404(
    door: Door, window: Window, token: str
) -> None:
    cast.fill(window, {"ana": 50})

    for path in MISSING:
        answer = door.get(path, token=token)

        assert answer.status_code == 404, path
        assert without_request_id(answer.json()) == NOT_FOUND


BAD_QUESTIONS = [
    ("?limit=0", "limit"),
    ("?limit=1001", "limit"),
    ("?offset=-1", "offset"),
    ("?window_key=yesterday", "window_key"),
    ("/user/ana?limit=202", "limit"),
    ("/rank/ana?window_key=last", "window_key"),
    ("/users", "user_id"),
    ("/rank-for-score", "score"),
    ("/rank-for-score?score=1.5", "score"),
    ("/windows?limit=0", "limit"),
]


def test_a_bad_question_is_400_and_names_the_field(door: Door, window: Window, token: str) -> None:
    for path, field in BAD_QUESTIONS:
        answer = door.get(f"/v1/leaderboards/xp{path}", token=token)

        body = answer.json()
        assert (answer.status_code, body["code"]) == (400, "VAL_001"), path
        assert [detail["field"] for detail in body["details"]] == [field]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_but_reading_is_taken(door: Door, window: Window, token: str, method: str) -> None:
    for path in READS:
        answer = door.ask(method, f"/v1/leaderboards/xp{path}", token=token)

        assert (answer.status_code, answer.json()["code"]) == (405, "METHOD"), path
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_a_head_request_has_the_headers_of_the_answer(
    door: Door, window: Window, token: str
) -> None:
    cast.fill(window, {"ben": 40})

    for path in TWO_ENTRANCES:
        head = door.ask("HEAD", f"/v1/leaderboards/xp{path}", token=token)
        whole = door.get(f"/v1/leaderboards/xp{path}", token=token)

        assert head.status_code == 200
        assert head.headers["etag"] == whole.headers["etag"]


def test_a_request_s_id_comes_back(door: Door, window: Window, token: str) -> None:
    headers = {"X-Request-Id": "my-request"}

    found = door.get("/v1/leaderboards/xp", token=token, headers=headers)
    missing = door.get("/v1/leaderboards/nope", token=token, headers=headers)

    assert found.headers["x-request-id"] == missing.json()["request_id"] == "my-request"


# --- Both entrances answer byte for byte the same -------------------------------------------------

COMPARED = (
    "content-type",
    "etag",
    "cache-control",
    "vary",
    "allow",
    "www-authenticate",
    "retry-after",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "x-request-id",
    "x-ratelimit-limit",
)


SAME = [
    *(("GET", f"/v1/leaderboards/xp{path}") for path in TWO_ENTRANCES),
    ("GET", "/v1/leaderboards/xp?limit=1&offset=1"),
    ("GET", "/v1/leaderboards/xp?window_key=2026-W46"),
    ("GET", "/v1/leaderboards/xp/rank/ana?window_key=2026-W46"),
    ("GET", "/v1/leaderboards/xp/user/ana?window_key=2026-W46"),
    ("GET", "/v1/leaderboards/xp?limit=0"),
    ("GET", "/v1/leaderboards/xp/rank/nobody"),
    ("GET", "/v1/leaderboards/nope"),
    ("POST", "/v1/leaderboards/xp"),
    ("OPTIONS", "/v1/leaderboards/xp/rank/ben"),
]


@pytest.mark.parametrize("has_token", [True, False], ids=["known", "unknown"])
def test_both_entrances_give_the_same_bytes(
    door: Door,
    full_door: Door,
    board: Leaderboard,
    window: Window,
    token: str,
    has_token: bool,
) -> None:
    last_week = make_last_week(board)
    cast.fill(last_week, {"ana": 3})
    cast.close(last_week)
    cast.fill(window, {"ana": 50, "ben": 40})
    headers = {"X-Request-Id": "one", "Origin": GAME}
    credential = token if has_token else None

    for method, path in SAME:
        one = door.ask(method, path, token=credential, headers=headers)
        other = full_door.ask(method, path, token=credential, headers=headers)

        assert one.status_code == other.status_code, path
        assert one.content == other.content, path
        assert {name: one.headers.get(name) for name in COMPARED} == {
            name: other.headers.get(name) for name in COMPARED
        }


def test_an_hour_old_token_is_refused_however_often_it_was_taken(
    door: Door, window: Window, token: str, frozen_clock: time_machine.Traveller
) -> None:
    assert door.get("/v1/leaderboards/xp", token=token).status_code == 200

    frozen_clock.shift(timedelta(hours=1, seconds=31))

    assert door.get("/v1/leaderboards/xp", token=token).status_code == 401


def test_a_board_that_was_switched_off_is_gone_with_the_next_question(
    door: Door, board: Leaderboard, window: Window, token: str
) -> None:
    assert door.get("/v1/leaderboards/xp", token=token).status_code == 200

    change = BoardChange(dict, status="inactive")
    boards.change_board("tenant-a", "xp", change, actor=audit.SYSTEM, now=cast.NOW)

    assert door.get("/v1/leaderboards/xp", token=token).status_code == 404


# --- What is away --------------------------------------------------------------------------------


def test_without_a_database_readers_are_asked_to_come_back(
    door: Door, window: Window, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert door.get("/v1/leaderboards/xp", token=token).status_code == 200
    shown.forget_shown()

    class Away:
        def cursor(self) -> Any:
            raise OperationalError("no connection to a secret host")

    @asynccontextmanager
    async def arefuse() -> AsyncIterator[Any]:
        raise UnavailableError("The database cannot be reached.")
        yield

    monkeypatch.setattr(shown, "connection", Away())
    monkeypatch.setattr(postgres, "connection", arefuse)
    answer = door.get("/v1/leaderboards/xp", token=token, headers={"Origin": GAME})

    assert (answer.status_code, answer.json()["code"]) == (503, "SRV_002")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["access-control-allow-origin"] == GAME
    assert "secret" not in answer.text


def test_without_redis_readers_get_the_same_answer_from_the_database(
    door: Door, window: Window, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.fill(window, {"ana": 50, "ben": 40})
    before = door.get("/v1/leaderboards/xp/rank/ben", token=token)

    def refuse(*_args: Any, **_options: Any) -> Any:
        raise RedisError("away")

    monkeypatch.setattr(rank_index, "read", lambda *_args: None)
    monkeypatch.setattr(rank_index, "call_redis", refuse)
    monkeypatch.setattr(limits, "_run_script", refuse)
    monkeypatch.setattr(limits, "_arun_script", refuse)
    answer = door.get("/v1/leaderboards/xp/rank/ben", token=token)

    assert (answer.status_code, answer.json()) == (200, before.json())


# --- Boards with dates of their own --------------------------------------------------------------


def test_a_board_that_has_not_begun_is_404_and_one_that_is_over_shows_its_result(
    door: Door, tenant_a: Tenant, token: str
) -> None:
    dates = {"start_at": "2026-11-20T00:00:00Z", "end_at": "2026-11-22T00:00:00Z"}
    cast.new_board(tenant_a, "soon", timeframe={"type": "custom", **dates})
    dates = {"start_at": "2026-11-10T00:00:00Z", "end_at": "2026-11-12T00:00:00Z"}
    over = cast.new_board(tenant_a, "over", timeframe={"type": "custom", **dates})
    start = cast.MONDAY - timedelta(days=6)
    window = cast.new_window(
        over,
        "custom_20261110T000000Z_20261112T000000Z",
        starts_at=start,
        ends_at=start + timedelta(days=2),
    )
    cast.fill(window, {"ana": 50})
    cast.close(window)

    soon = door.get("/v1/leaderboards/soon", token=token)
    result = door.get("/v1/leaderboards/over", token=token)
    current = door.get("/v1/leaderboards/over?window_key=current", token=token)

    assert (soon.status_code, result.status_code, current.status_code) == (404, 200, 404)
    assert (result.json()["source"], result.json()["entries"][0]["user_id"]) == ("history", "ana")
