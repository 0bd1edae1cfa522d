"""Achievements over HTTP, on both gateways."""

from typing import Any

import pytest

from players.services import bans
from rewards.models import AchievementUnlock, Job
from tenants.models import AuditEntry, Tenant
from tenants.services.audit import SYSTEM
from tests.rewards.achievement_cast import NOW, WINS, badge, event, grants_of, make, play, player_of
from tests.rewards.api_cast import admin_api, player_api
from tests.rewards.ledger_cast import make_currency

pytestmark = pytest.mark.django_db


def body(**more: Any) -> dict[str, Any]:
    return {"name": "Winner", "criteria": WINS, **more}


def fields(answer: Any) -> set[str]:
    assert answer.status_code == 400, answer.content
    return {detail["field"] for detail in answer.json()["details"]}


def test_an_achievement_lives_its_life_on_the_admin_gateway(tenant_a: Tenant) -> None:
    item = badge(tenant_a)
    admin = admin_api(tenant_a)

    made = admin.post("achievements", body(reward_item_ids=[str(item.pk)], sort=3))
    member = f"achievements/{made.json()['id']}"
    patched = admin.patch(member, {"hidden": True, "version": 1})
    outdated = admin.put(member, body(version=1))
    replaced = admin.put(member, body(version=2, name="Victor"))
    copied = admin.post(f"{member}/duplicate", {"sort": 9})
    archived = admin.delete(member)
    versions = admin.get(f"{member}/versions")

    assert made.status_code == 201
    assert made.json()["criteria"] == WINS
    assert made.json()["measure"] == {**WINS, "conditions": None}
    assert (made.json()["version"], made.json()["tenant_id"]) == (1, tenant_a.pk)
    assert (patched.json()["hidden"], patched.json()["sort"]) == (True, 3)
    assert (outdated.status_code, outdated.json()["code"]) == (409, "VERSION_CONFLICT")
    assert (replaced.json()["hidden"], replaced.json()["reward_item_ids"]) == (False, [])
    assert copied.status_code == 201
    assert (copied.json()["name"], copied.json()["sort"]) == ("Victor (copy)", 9)
    assert archived.status_code == 204
    assert [row["version"] for row in versions.json()["versions"]] == [4, 3, 2, 1]
    assert admin.get("achievements").json()["total"] == 2
    assert admin.get("achievements", status="active", q="copy").json()["total"] == 1
    assert admin.get(member).json()["active"] is False


@pytest.mark.parametrize(
    ("criteria", "measure"),
    [
        (
            {"type": "event_count", "event_type": "game.won", "threshold": 3},
            {"type": "count", "event_types": ["game.won"], "conditions": None, "threshold": 3},
        ),
        (
            {
                "event_types": ["bet.placed"],
                "expression": {"attrs.stake": {"gt": 1}},
                "condition": {"type": "sum", "field": "attrs.stake", "min": 90},
                "target": 90,
            },
            {
                "type": "sum",
                "event_types": ["bet.placed"],
                "conditions": {"attrs.stake": {"gt": 1}},
                "field": "attrs.stake",
                "threshold": 90,
            },
        ),
        (
            {"type": "leaderboard_rank", "leaderboard_id": "daily", "rank": 3},
            {"type": "leaderboard_rank", "leaderboard_id": "daily", "rank": 3, "threshold": 1},
        ),
    ],
)
def test_criteria_are_answered_as_sent_with_the_full_form_beside(
    tenant_a: Tenant, criteria: dict[str, Any], measure: dict[str, Any]
) -> None:
    made = admin_api(tenant_a).post("achievements", body(criteria=criteria)).json()

    assert (made["criteria"], made["measure"]) == (criteria, measure)


def test_acceptance_23_min_must_equal_target(tenant_a: Tenant) -> None:
    criteria = {
        "event_types": ["game.won"],
        "condition": {"type": "count", "min": 100},
        "target": 90,
    }

    refused = admin_api(tenant_a).post("achievements", body(criteria=criteria))

    assert fields(refused) == {"criteria.condition.min"}
    assert refused.json()["code"] == "VAL_001"


def test_acceptance_23_a_hidden_one_is_seen_once_unlocked(tenant_a: Tenant) -> None:
    secret = make(tenant_a, hidden=True)
    make(tenant_a, "Plain", criteria=WINS | {"event_types": ["login"]})
    ana = player_api(tenant_a)

    before = ana.get("achievements/user/ana").json()
    locked = ana.get(f"achievements/user/ana/{secret.pk}")
    play(tenant_a, event(), event(), event())
    after = ana.get("achievements/user/ana").json()
    unlocked = ana.get(f"achievements/user/ana/{secret.pk}")

    assert [each["name"] for each in before["achievements"]] == ["Plain"]
    assert (before["total"], before["locked_count"]) == (1, 1)
    assert (locked.status_code, locked.json()["code"]) == (404, "NOT_FOUND")
    assert (after["total"], after["unlocked_count"]) == (2, 1)
    assert unlocked.json()["status"] == "unlocked"


def test_acceptance_22_a_player_sees_the_way_and_the_reward(tenant_a: Tenant) -> None:
    item = badge(tenant_a)
    winner = make(tenant_a, reward_item_ids=[str(item.pk)])
    ana = player_api(tenant_a)
    path = f"achievements/user/ana/{winner.pk}"

    untouched = ana.get(path).json()
    play(tenant_a, event(), event())
    half_way = ana.get(path).json()
    last = event()
    play(tenant_a, last)
    reached = ana.get(path).json()
    history = ana.get("achievements/user/ana/history").json()

    assert untouched == {
        "id": str(winner.pk),
        "name": "Winner",
        "description": "",
        "badge_url": None,
        "status": "locked",
        "progress": {"current": 0, "threshold": 3, "percentage": 0},
        "unlocked_at": None,
        "times": 0,
        "rewards_granted": [],
    }
    assert half_way["progress"] == {"current": 2, "threshold": 3, "percentage": 66.67}
    assert reached["progress"] == {"current": 3, "threshold": 3, "percentage": 100}
    assert [reward["item_id"] for reward in reached["rewards_granted"]] == [str(item.pk)]
    assert history == {
        "unlocks": [
            {
                "achievement_id": str(winner.pk),
                "times": 1,
                "unlocked_at": reached["unlocked_at"],
                "cause_event_id": last.event_id,
            }
        ],
        "total": 1,
    }


def test_a_list_is_paged_and_asked_by_status(tenant_a: Tenant) -> None:
    for number in range(3):
        make(tenant_a, f"A{number}", sort=-number, criteria=WINS | {"event_types": ["login"]})
    make(tenant_a, "Won", criteria=WINS | {"threshold": 1})
    play(tenant_a, event())
    ana = player_api(tenant_a)

    page = ana.get("achievements/user/ana", limit=2, offset=1).json()
    unlocked = ana.get("achievements/user/ana", status="unlocked").json()

    assert [each["name"] for each in page["achievements"]] == ["A1", "A0"]
    assert page["total"] == 4
    assert [each["name"] for each in unlocked["achievements"]] == ["Won"]
    assert (unlocked["total"], unlocked["locked_count"]) == (1, 3)
    assert ana.get("achievements/user/ana", status="open").status_code == 400
    assert ana.get("achievements/user/ana", limit=201).status_code == 400


def test_players_read_their_own_only(tenant_a: Tenant) -> None:
    winner = make(tenant_a)
    ana = player_api(tenant_a)

    for path in ("", "/history", f"/{winner.pk}"):
        refused = ana.get(f"achievements/user/ben{path}")
        assert (refused.status_code, refused.json()["code"]) == (403, "AUTH_005")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"criteria": {"type": "count", "threshold": 1}}, "criteria.event_types"),
        ({"criteria": WINS | {"threshold": 0}}, "criteria.threshold"),
        ({"criteria": WINS | {"threshold": 2.5}}, "criteria.threshold"),
        ({"criteria": WINS | {"threshold": 10**30}}, "criteria.threshold"),
        (
            {"criteria": WINS | {"conditions": {"player.x": {"eq": 1}}}},
            "criteria.conditions.player.x",
        ),
        ({"criteria": {"type": "cumulative", "metric": "no", "threshold": 1}}, "criteria.metric"),
        (
            {"criteria": {"type": "streak_milestone", "streak_id": "no", "threshold": 1}},
            "criteria.streak_id",
        ),
        (
            {"criteria": {"type": "event_count", "threshold": 1}},
            "criteria.event_type",
        ),
        (
            {"criteria": {"type": "event_count", "event_type": "a b", "threshold": 1}},
            "criteria.event_type",
        ),
        (
            {"criteria": {"event_types": ["a"], "condition": {"type": "sum"}, "target": 1}},
            "criteria.condition.field",
        ),
        ({"criteria": []}, "criteria"),
        ({"name": ""}, "name"),
        ({"reward_item_ids": ["0198a1b2-c3d4-7e5f-8a6b-000000000011"]}, "reward_item_ids.0"),
        ({"reward_config_id": "0198a1b2-c3d4-7e5f-8a6b-000000000011"}, "reward_config_id"),
        ({"requires": ["0198a1b2-c3d4-7e5f-8a6b-000000000011"]}, "requires.0"),
        ({"active": "yes"}, "active"),
        ({"segment_id": "vip"}, "segment_id"),
    ],
)
def test_a_fault_is_refused_by_name(tenant_a: Tenant, more: dict[str, Any], field: str) -> None:
    assert fields(admin_api(tenant_a).post("achievements", body(**more))) == {field}


def test_nothing_can_require_itself_in_the_end(tenant_a: Tenant) -> None:
    first = make(tenant_a, "First")
    second = make(tenant_a, "Second", requires=[str(first.pk)])

    refused = admin_api(tenant_a).patch(f"achievements/{first.pk}", {"requires": [str(second.pk)]})

    assert fields(refused) == {"requires"}


def test_changed_criteria_ask_what_they_mean_for_the_past(tenant_a: Tenant) -> None:
    member = f"achievements/{make(tenant_a).pk}"
    admin = admin_api(tenant_a)

    silent = admin.patch(member, {"criteria": {"threshold": 5}})
    wrong = admin.patch(member, {"criteria": {"threshold": 5}, "apply": "always"})
    said = admin.patch(member, {"criteria": {"threshold": 5}, "apply": "from_now"})
    renamed = admin.patch(member, {"name": "Victor"})

    assert (fields(silent), fields(wrong)) == ({"apply"}, {"apply"})
    assert said.json()["measure"]["threshold"] == 5
    assert (renamed.status_code, renamed.json()["version"]) == (200, 3)


def test_staff_grant_and_revoke_with_a_reason(tenant_a: Tenant) -> None:
    winner = make(tenant_a, hidden=True, reward_item_ids=[str(badge(tenant_a).pk)])
    admin = admin_api(tenant_a)
    member = f"achievements/{winner.pk}"
    request = {"user_id": "new-player", "reason": "case 4711"}

    granted = admin.post(f"{member}/grant", request)
    again = admin.post(f"{member}/grant", request)
    revoked = admin.post(f"{member}/revoke", request)
    nothing = admin.post(f"{member}/revoke", request)

    assert (granted.status_code, granted.json()["status"]) == (200, "unlocked")
    assert again.json()["times"] == 1
    assert (revoked.status_code, revoked.json()["status"]) == (200, "locked")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "STATE_CONFLICT")
    assert [grant.status for grant in grants_of(winner, "new-player")] == ["revoked"]
    unlock = AchievementUnlock.objects.get()
    assert (unlock.source, unlock.reason, unlock.is_revoked_by_staff) == (
        "staff",
        "case 4711",
        True,
    )
    actions = AuditEntry.objects.filter(object_id=str(winner.pk)).values_list("action", flat=True)
    assert {"achievement.granted", "achievement.revoked"} <= set(actions)


def test_staff_cannot_give_without_a_reason_or_to_a_blocked_player(tenant_a: Tenant) -> None:
    member = f"achievements/{make(tenant_a).pk}"
    bans.ban(
        player_of(tenant_a), scopes=["rewards"], reason="fraud", until=None, actor=SYSTEM, now=NOW
    )
    admin = admin_api(tenant_a)

    assert fields(admin.post(f"{member}/grant", {"user_id": "ben"})) == {"reason"}
    assert fields(admin.post(f"{member}/grant", {"reason": "x"})) == {"user_id"}
    assert fields(admin.post(f"{member}/grant", {"user_id": "a", "reason": "x", "n": 1})) == {"n"}
    blocked = admin.post(f"{member}/grant", {"user_id": "ana", "reason": "x"})
    assert (blocked.status_code, blocked.json()["code"]) == (403, "AUTH_005")


def test_who_was_revoked_begins_anew(tenant_a: Tenant) -> None:
    winner = make(tenant_a, reward_item_ids=[str(badge(tenant_a).pk)])
    play(tenant_a, event(), event(), event())
    admin_api(tenant_a).post(
        f"achievements/{winner.pk}/revoke", {"user_id": "ana", "reason": "cheated"}
    )

    play(tenant_a, event(), event())
    two = player_api(tenant_a).get(f"achievements/user/ana/{winner.pk}").json()
    play(tenant_a, event())

    assert (two["status"], two["progress"]["current"]) == ("in_progress", 2)
    assert [grant.status for grant in grants_of(winner)] == ["revoked", "granted"]


def test_a_recompute_is_a_job(tenant_a: Tenant) -> None:
    member = f"achievements/{make(tenant_a).pk}"
    admin = admin_api(tenant_a)

    queued = admin.post(f"{member}/recompute", {"mode": "preview", "from": None})
    unknown = admin.post(f"{member}/recompute", {"mode": "apply", "result_hash": "0" * 64})

    assert queued.status_code == 202
    job = Job.objects.get(pk=queued.json()["job_id"])
    assert (job.kind, job.parameters["mode"]) == ("achievement_recompute", "preview")
    assert admin.get(f"jobs/{job.pk}").json()["status"] == "queued"
    assert (unknown.status_code, unknown.json()["code"]) == (409, "STATE_CONFLICT")


def test_another_tenant_s_achievement_is_not_there(tenant_a: Tenant, tenant_b: Tenant) -> None:
    theirs = make(tenant_b)
    admin = admin_api(tenant_a)
    member = f"achievements/{theirs.pk}"
    request = {"user_id": "ana", "reason": "x"}

    answers = [
        admin.get(member),
        admin.patch(member, {"name": "Mine"}),
        admin.delete(member),
        admin.post(f"{member}/grant", request),
        admin.post(f"{member}/revoke", request),
        admin.post(f"{member}/recompute", {"mode": "preview"}),
        player_api(tenant_a).get(f"achievements/user/ana/{theirs.pk}"),
    ]

    assert {answer.status_code for answer in answers} == {404}


def test_scopes_are_those_of_rewards(tenant_a: Tenant) -> None:
    reader = admin_api(tenant_a, "rewards:read")

    assert reader.get("achievements").status_code == 200
    assert reader.post("achievements", body()).status_code == 403
    assert admin_api(tenant_a, "wallet:read").get("achievements").status_code == 403


def test_a_list_needs_few_queries_however_long_it_is(
    tenant_a: Tenant, statements: list[str]
) -> None:
    make_currency(tenant_a, "xp")
    item = badge(tenant_a)
    ana = player_api(tenant_a)

    counts = []
    for _round in range(2):
        for number in range(10):
            make(tenant_a, f"A{number}", reward_item_ids=[str(item.pk)])
        make(tenant_a, criteria={"type": "cumulative", "metric": "xp", "threshold": 9})
        play(tenant_a, event(), event(), event())
        ana.get("achievements/user/ana")  # loads the book
        statements.clear()
        assert ana.get("achievements/user/ana").json()["unlocked_count"] >= 10
        counts.append(len(statements))

    assert counts[0] == counts[1] <= 5
