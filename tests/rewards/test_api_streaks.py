"""Streaks over HTTP."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from rewards.models import DocumentVersion
from tenants.models import Tenant
from tests.rewards.api_cast import Api, admin_api, player_api
from tests.rewards.streak_cast import (
    DAILY,
    DAY,
    change,
    config,
    day,
    login,
    make,
    milestone,
    reward,
)
from tests.tenants import cast

pytestmark = pytest.mark.django_db

NOW = day(10)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def body(name: str = "Daily login", **changes: Any) -> dict[str, Any]:
    return {"name": name, "config": config(**changes)}


# --- Admin gateway -------------------------------------------------------------------------------


def test_a_streak_lives_its_life_on_the_admin_gateway(tenant_a: Tenant) -> None:
    admin = admin_api(tenant_a)

    made = admin.post("streaks", body())
    path = f"streaks/{made.json()['id']}"
    again = admin.post("streaks", body())
    renamed = admin.patch(path, {"name": "Daily visit", "version": 1, "reason": "clearer"})
    outdated = admin.put(path, {**body(), "version": 1})
    copied = admin.post(f"{path}/duplicate")
    archived = admin.delete(f"streaks/{copied.json()['id']}")
    repeated = admin.delete(f"streaks/{copied.json()['id']}")
    versions = admin.get(f"{path}/versions").json()["versions"]

    assert made.status_code == 201
    assert (made.json()["status"], made.json()["version"]) == ("active", 1)
    assert made.json()["config"]["late_seconds"] == 86400
    assert made.json()["tenant_id"] == "tenant-a"
    assert (again.status_code, again.json()["code"]) == (409, "CONFLICT")
    assert (renamed.json()["name"], renamed.json()["version"]) == ("Daily visit", 2)
    assert (outdated.status_code, outdated.json()["code"]) == (409, "VERSION_CONFLICT")
    assert copied.json()["name"] == "Daily visit copy"
    assert (archived.status_code, repeated.status_code) == (204, 204)
    assert [(row["version"], row["reason"]) for row in versions] == [(2, "clearer"), (1, "")]
    assert admin.get(path).json() == renamed.json()


def test_a_list_has_the_whole_count_and_filters(tenant_a: Tenant) -> None:
    admin = admin_api(tenant_a)
    for name in ("Weekly win", "Daily win", "Daily login"):
        admin.post("streaks", body(name))
    paused = admin.get("streaks", q="login").json()["streaks"][0]
    admin.patch(f"streaks/{paused['id']}", {"status": "paused"})

    page = admin.get("streaks", limit=1, offset=1).json()

    assert (page["total"], [each["name"] for each in page["streaks"]]) == (3, ["Daily win"])
    assert admin.get("streaks", status="paused").json()["total"] == 1
    assert admin.get("streaks", q="WIN").json()["total"] == 2
    assert admin.get("streaks", status="gone").status_code == 400


def test_every_fault_is_a_detail(tenant_a: Tenant) -> None:
    answer = admin_api(tenant_a).post(
        "streaks", {"name": "a/b", "config": {"event_types": [], "window": DAILY | {"hours": 2}}}
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")
    assert {detail["field"] for detail in answer.json()["details"]} == {
        "name",
        "config.event_types",
        "config.window.hours",
    }


def test_a_patch_merges_and_another_type_of_window_replaces(tenant_a: Tenant) -> None:
    admin = admin_api(tenant_a)
    made = admin.post("streaks", body(freeze={"max_held": 2, "per_break": 1})).json()
    path = f"streaks/{made['id']}"

    zone = admin.patch(path, {"config": {"window": {"timezone": "Asia/Tokyo"}}}).json()
    rolling = admin.patch(path, {"config": {"window": {"type": "rolling", "hours": 36}}}).json()
    nothing = admin.patch(path, {"config": {"freeze": {"max_held": 2}}}).json()

    assert zone["config"]["window"]["timezone"] == "Asia/Tokyo"
    assert zone["config"]["window"]["period"] == "daily"
    assert rolling["config"]["window"] == {"type": "rolling", "hours": 36}
    assert nothing["version"] == rolling["version"] == 3
    assert DocumentVersion.objects.filter(object_id=made["id"]).count() == 3


def test_an_archived_streak_is_final(tenant_a: Tenant) -> None:
    admin = admin_api(tenant_a)
    made = admin.post("streaks", body()).json()
    admin.delete(f"streaks/{made['id']}")

    answer = admin.patch(f"streaks/{made['id']}", {"status": "active"})

    assert (answer.status_code, answer.json()["code"]) == (409, "STATE_CONFLICT")


def test_the_collection_answers_by_query_too(tenant_a: Tenant) -> None:
    long = admin_api(tenant_a)
    short = Api(long.headers)
    made = short.post("streaks?tenant_id=tenant-a", body()).json()

    assert short.get("streaks", tenant_id="tenant-a").json() == long.get("streaks").json()
    assert short.get(f"streaks/{made['id']}", tenant_id="tenant-a").json() == made
    assert short.post("streaks", body("Other")).status_code == 400
    assert long.post("streaks", {**body("Other"), "tenant_id": "tenant-b"}).status_code == 400


def test_only_a_key_of_the_platform_lists_the_streaks_of_all(
    tenant_a: Tenant, tenant_b: Tenant
) -> None:
    make(tenant_a)
    make(tenant_b)
    own = Api(admin_api(tenant_a).headers)
    platform = Api({"X-API-Key": cast.new_key(tenant_a, tenant_b).value})

    refused, listed = own.get("streaks"), platform.get("streaks")

    assert (refused.status_code, refused.json()["code"]) == (403, "AUTH_005")
    assert [each["tenant_id"] for each in listed.json()["streaks"]] == ["tenant-a", "tenant-b"]


def test_scopes_are_asked_for(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    reader = admin_api(tenant_a, "rewards:read")
    repair = {"user_id": "ana", "windows": ["2026-03-09"], "reason": "x"}

    assert reader.get("streaks").status_code == 200
    assert reader.post("streaks", body("Other")).status_code == 403
    assert reader.post(f"streaks/{streak.pk}/repair", repair).status_code == 403
    assert admin_api(tenant_a, "wallet:write").get("streaks").status_code == 403


def test_staff_repair_by_the_gateway(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(7), day(8), NOW)

    answer = admin_api(tenant_a).post(
        f"streaks/{streak.pk}/repair",
        {"user_id": "ana", "windows": ["2026-03-10"], "reason": "outage"},
    )

    assert answer.status_code == 200
    assert answer.json()["current_count"] == 4


def test_staff_give_freezes_by_the_gateway_once_per_key(tenant_a: Tenant) -> None:
    streak = make(tenant_a, freeze={"max_held": 5, "per_break": 1})
    admin = admin_api(tenant_a)
    sent = {"user_id": "ana", "count": 2, "reason": "birthday"}

    answers = [
        admin.post(f"streaks/{streak.pk}/freezes", sent, **{"Idempotency-Key": "k-1"})
        for _ in range(2)
    ]

    assert [answer.json()["freezes_held"] for answer in answers] == [2, 2]
    assert answers[1].headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("action", "sent", "fields"),
    [
        ("repair", {}, {"user_id", "windows", "reason"}),
        ("repair", {"user_id": "ana", "windows": ["nope"], "reason": "x"}, {"windows.0"}),
        ("repair", {"user_id": "ana", "windows": "2026-03-09", "reason": "x"}, {"windows"}),
        ("freezes", {"user_id": "ana", "count": 0, "reason": " "}, {"count", "reason"}),
        ("freezes", {"user_id": "ana", "count": 1, "reason": "x", "when": 1}, {"when"}),
    ],
)
def test_what_staff_ask_wrongly_is_refused_by_name(
    tenant_a: Tenant, action: str, sent: dict[str, Any], fields: set[str]
) -> None:
    streak = make(tenant_a, freeze={"max_held": 5, "per_break": 1})

    answer = admin_api(tenant_a).post(f"streaks/{streak.pk}/{action}", sent)

    assert answer.status_code == 400
    assert {detail["field"] for detail in answer.json()["details"]} == fields


# --- Query gateway -------------------------------------------------------------------------------


def test_players_read_active_definitions(tenant_a: Tenant, tenant_b: Tenant) -> None:
    shown, hidden = make(tenant_a), make(tenant_a, "Hidden")
    change(hidden, now=NOW - DAY, status="paused")
    make(tenant_b, "Theirs")

    answer = player_api(tenant_a).get("streaks/definitions").json()

    assert [each["id"] for each in answer["definitions"]] == [str(shown.pk)]
    assert set(answer["definitions"][0]) == {
        *("id", "tenant_id", "name", "description", "status", "config"),
        *("created_at", "updated_at"),
    }


def test_a_player_reads_the_own_streaks(tenant_a: Tenant) -> None:
    streak = make(tenant_a, milestones=[milestone(2, reward(tenant_a)), milestone(9)])
    make(tenant_a, "Weekly", event_types=["game.won"])
    login(tenant_a, day(8, 9), day(9, 9))
    api = player_api(tenant_a)

    listed = api.get("streaks/user/ana").json()["streaks"]
    one = api.get(f"streaks/user/ana/{streak.pk}").json()

    assert [each["definition_name"] for each in listed] == ["Daily login", "Weekly"]
    assert listed[0] == one
    assert one.pop("id") is not None
    reached_at = one["milestones"][0].pop("reached_at")
    assert one == {
        "definition_id": str(streak.pk),
        "definition_name": "Daily login",
        "user_id": "ana",
        "current_count": 2,
        "longest_count": 2,
        "window_progress": 0,
        "window_target": 1,
        "window_satisfied": False,
        "current_window_start": "2026-03-11T00:00:00Z",
        "current_window_end": "2026-03-12T00:00:00Z",
        "at_risk": False,
        "freezes_held": 0,
        "milestones": [{"threshold": 2}, {"threshold": 9, "reached_at": None}],
        "last_event_at": "2026-03-10T09:00:00Z",
    }
    assert reached_at == "2026-03-10T09:00:00Z"


def test_a_player_whom_nobody_knows_has_zeros(tenant_a: Tenant) -> None:
    streak = make(tenant_a)

    answer = player_api(tenant_a, "new").get(f"streaks/user/new/{streak.pk}")

    assert answer.status_code == 200
    assert (answer.json()["current_count"], answer.json()["longest_count"]) == (0, 0)


def test_unknown_and_inactive_definitions_are_not_found(tenant_a: Tenant, tenant_b: Tenant) -> None:
    paused, theirs = make(tenant_a), make(tenant_b)
    change(paused, now=NOW - timedelta(hours=1), status="paused")
    api = player_api(tenant_a)

    for unknown in (paused.pk, theirs.pk, uuid4()):
        assert api.get(f"streaks/user/ana/{unknown}").status_code == 404


def test_acceptance_38_a_player_sees_no_other_players_streaks(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    api = player_api(tenant_a, "user-1")

    for path in ("streaks/user/user-2", f"streaks/user/user-2/{streak.pk}"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "AUTH_005")


def test_acceptance_38_a_key_of_one_tenant_sees_no_streak_of_another(
    tenant_a: Tenant, tenant_b: Tenant
) -> None:
    theirs = make(tenant_b)
    api = admin_api(tenant_a)

    assert Api(api.headers).get(f"tenants/tenant-b/streaks/{theirs.pk}").status_code == 403
    assert api.get(f"streaks/{theirs.pk}").status_code == 404
    repair = {"user_id": "ana", "windows": ["2026-03-09"], "reason": "x"}
    assert api.post(f"streaks/{theirs.pk}/repair", repair).status_code == 404
