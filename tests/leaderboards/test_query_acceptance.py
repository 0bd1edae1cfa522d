"""Acceptance of spec 02 as callers of the query gateway see it: 3, 8, 9, 10, 11, 12 and 16."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from leaderboards.models import Leaderboard, Window
from leaderboards.services import boards, closing
from phoenix_site.common.json import decode
from tenants.models import Tenant
from tenants.services import audit
from tests.doors import Door
from tests.leaderboards import query_cast as cast
from tests.leaderboards import scorers
from tests.leaderboards.boards import board_config

FOUR = {"a": 50, "b": 40, "c": 40, "d": 30}
POLICIES = [
    pytest.param("first_to_reach", [1, 2, 3, 4], id="first_to_reach"),
    pytest.param("shared", [1, 2, 2, 4], id="shared"),
    pytest.param("dense", [1, 2, 2, 3], id="dense"),
]


def new_board(tenant: Tenant, leaderboard_id: str = "b", **ranking: Any) -> Leaderboard:
    document = {
        "leaderboard_id": leaderboard_id,
        "name": "A fresh board",
        "config": board_config(ranking=ranking, scope={"filters": {}}),
    }
    return boards.create_board(tenant.pk, document, actor=audit.SYSTEM, now=cast.MONDAY)


def send_points(tenant: Tenant, points: Mapping[str, int]) -> None:
    """Send one event per player, one second after the other, and score them."""
    scorers.send(
        scorers.scored_event(
            user_id, value, at=cast.NOW + place * scorers.SECOND, tenant_id=tenant.pk
        )
        for place, (user_id, value) in enumerate(points.items())
    )
    assert scorers.score_all() == len(points)


@pytest.mark.parametrize(("policy", "ranks"), POLICIES)
def test_3_ties_are_ranked_by_the_board_s_policy_and_listed_in_one_order(
    door: Door, tenant_a: Tenant, token: str, policy: str, ranks: list[int]
) -> None:
    new_board(tenant_a, tie_policy=policy)
    send_points(tenant_a, FOUR)

    body = door.get("/v1/leaderboards/b", token=token).json()

    assert [entry["user_id"] for entry in body["entries"]] == ["a", "b", "c", "d"]
    assert [entry["rank"] for entry in body["entries"]] == ranks
    for user_id, rank in zip("abcd", ranks, strict=True):
        own = door.get(f"/v1/leaderboards/b/rank/{user_id}", token=token).json()
        assert (own["rank"], own["score"]) == (rank, FOUR[user_id])


@pytest.mark.parametrize("place", [1, 2, 50, 100])
def test_8_a_neighborhood_is_always_full_and_holds_the_player(
    door: Door, window: Window, token: str, place: int
) -> None:
    cast.fill(window, {f"player-{rank}": 1000 - rank for rank in range(1, 101)})

    body = door.get(f"/v1/leaderboards/xp/user/player-{place}?limit=5", token=token).json()

    ranks = [entry["rank"] for entry in body["entries"]]
    assert len(ranks) == 5
    assert ranks == list(range(ranks[0], ranks[0] + 5))
    assert f"player-{place}" in [entry["user_id"] for entry in body["entries"]]
    assert (body["user"]["rank"], body["offset"]) == (place, ranks[0] - 1)


@pytest.mark.parametrize(
    ("policy", "rank"),
    [
        pytest.param("first_to_reach", 4, id="first_to_reach"),
        pytest.param("shared", 2, id="shared"),
        pytest.param("dense", 2, id="dense"),
    ],
)
def test_9_the_rank_that_a_score_would_take_now(
    full_door: Door, tenant_a: Tenant, secret: str, policy: str, rank: int
) -> None:
    new_board(tenant_a, tie_policy=policy)
    send_points(tenant_a, FOUR)

    answer = full_door.get(
        "/v1/leaderboards/b/rank-for-score?score=40",
        token=cast.player_token(tenant_a, secret, "z"),
    )

    body = answer.json()
    assert (body["score"], body["rank"], body["tied_with"], body["total_players"]) == (
        40,
        rank,
        2,
        4,
    )


def test_9_the_entry_of_the_token_s_player_does_not_count(
    full_door: Door, tenant_a: Tenant, secret: str
) -> None:
    new_board(tenant_a)
    send_points(tenant_a, FOUR)

    body = full_door.get(
        "/v1/leaderboards/b/rank-for-score?score=40",
        token=cast.player_token(tenant_a, secret, "b"),
    ).json()

    assert (body["rank"], body["tied_with"]) == (3, 1)


def test_10_a_player_without_an_entry_has_no_rank(door: Door, tenant_a: Tenant, token: str) -> None:
    new_board(tenant_a)
    send_points(tenant_a, {"a": 1})

    for question in ("rank", "score", "percentile", "user"):
        answer = door.get(f"/v1/leaderboards/b/{question}/nobody", token=token)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_11_the_board_of_another_tenant_is_not_there(
    door: Door, tenant_b: Tenant, token: str
) -> None:
    new_board(tenant_b, "theirs")
    send_points(tenant_b, {"cleo": 50})

    for path in ("", "/rank/cleo", "/user/cleo", "/windows", "/users?user_id=cleo"):
        answer = door.get(f"/v1/leaderboards/theirs{path}", token=token)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_11_an_api_key_opens_no_query_path(door: Door, tenant_a: Tenant, header: str) -> None:
    new_board(tenant_a)
    key = "pk_test_0123456789abcdef0123456789abcdef"
    value = f"Bearer {key}" if header == "Authorization" else key

    answer = door.get("/v1/leaderboards/b", headers={header: value})

    assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_003")


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", "window_key=yesterday"])
def test_12_a_bad_page_or_window_is_400(
    door: Door, tenant_a: Tenant, token: str, query: str
) -> None:
    new_board(tenant_a)

    answer = door.get(f"/v1/leaderboards/b?{query}", token=token)

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")


def hash_of(body: Mapping[str, Any], tenant_id: str) -> str:
    """Return LB-60's hash from nothing but the answer of a final snapshot."""

    def exactly(text: str) -> str:
        at = datetime.fromisoformat(text).astimezone(UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    lines = [
        ["phoenix-standings-v1"],
        [
            tenant_id,
            body["leaderboard_id"],
            body["window_key"],
            exactly(body["window_start"]),
            exactly(body["window_end"]),
            body["config_version"],
            body["decimals"],
            body["revision"],
            body["previous_hash"] or "-",
        ],
        *(
            [
                entry["rank"],
                entry["user_id"],
                f"{entry['score']:.{body['decimals']}f}",
                exactly(entry["reached_at"]),
            ]
            for entry in body["entries"]
        ),
    ]
    text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
    return sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(("policy", "ranks"), POLICIES)
def test_16_anybody_can_recompute_the_hash_from_the_final_snapshot(
    full_door: Door, tenant_a: Tenant, token: str, policy: str, ranks: list[int]
) -> None:
    board = new_board(tenant_a, tie_policy=policy, size=3)
    send_points(tenant_a, FOUR)
    window = Window.objects.get(board=board)
    Window.objects.update(freeze_barrier=1)
    assert window.due_at is not None
    assert closing.close_window(window.pk, now=window.due_at)

    listed = full_door.get("/v1/leaderboards/b/windows", token=token).json()["windows"]
    snapshots = full_door.get("/v1/snapshots/b", token=token).json()["snapshots"]
    answer = full_door.get(f"/v1/snapshots/b/{snapshots[0]['snapshot_time']}", token=token)

    # Decimals, so that a score has its digits and not those of a float.
    body = decode(answer.content)
    assert [entry["rank"] for entry in body["entries"]] == ranks
    assert hash_of(body, tenant_a.pk) == listed[-1]["hash"] == snapshots[0]["hash"] == body["hash"]
    assert (snapshots[0]["kind"], snapshots[0]["entry_count"]) == ("final", 4)
