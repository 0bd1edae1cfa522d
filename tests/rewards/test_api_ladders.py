"""Ladders and levels over HTTP."""

from typing import Any

import pytest

from rewards.models import Job
from tenants.models import Tenant
from tests.rewards.api_cast import admin_api, player_api
from tests.rewards.ledger_cast import credit, make_currency, player_of

pytestmark = pytest.mark.django_db

LEVELS: list[dict[str, Any]] = [
    {"level": 1, "xp_required": 0},
    {"level": 2, "xp_required": 100, "benefits": {"x": 1}},
]


def body(**more: Any) -> dict[str, Any]:
    ranks = [{"rank_id": "gold", "name": "Gold", "levels": [2]}]
    return {"ladder_id": "levels", "name": "Levels", "levels": LEVELS, "ranks": ranks, **more}


def test_a_ladder_lives_its_life_on_the_admin_gateway(tenant_a: Tenant) -> None:
    make_currency(tenant_a, "xp", is_spendable=False, role="xp")
    admin = admin_api(tenant_a)

    made = admin.post("levels", body())
    again = admin.post("levels", body())
    listed = admin.get("levels")
    patched = admin.patch("levels/levels", {"name": "Ranks", "version": 1})
    outdated = admin.put("levels/levels", body(version=1))
    copied = admin.post("levels/levels/duplicate", {"ladder_id": "season"})
    archived = admin.delete("levels/season")
    versions = admin.get("levels/levels/versions")

    assert made.status_code == 201
    assert (made.json()["version"], made.json()["active"]) == (1, True)
    assert made.json()["downgrade"] is None
    assert again.status_code == 409
    assert listed.json()["total"] == 1
    assert patched.json()["name"] == "Ranks"
    assert (outdated.status_code, outdated.json()["code"]) == (409, "VERSION_CONFLICT")
    assert copied.json()["ladder_id"] == "season"
    assert archived.status_code == 204
    assert admin.get("levels", status="inactive").json()["total"] == 1
    assert [row["version"] for row in versions.json()["versions"]] == [2, 1]


def test_every_fault_of_a_ladder_is_a_detail(tenant_a: Tenant) -> None:
    make_currency(tenant_a, "xp", is_spendable=False, role="xp")

    answer = admin_api(tenant_a).post("levels", {"ladder_id": "Bad Id", "levels": [{"level": 2}]})

    assert answer.status_code == 400
    assert {detail["field"] for detail in answer.json()["details"]} == {
        "ladder_id",
        "name",
        "levels.0.level",
        "levels.0.xp_required",
    }


def test_a_changed_curve_is_previewed_by_a_job(tenant_a: Tenant) -> None:
    make_currency(tenant_a, "xp", is_spendable=False, role="xp")
    admin = admin_api(tenant_a)
    admin.post("levels", body())
    steeper = [LEVELS[0], {**LEVELS[1], "xp_required": 500}]

    queued = admin.post("levels/levels/preview", {"levels": steeper})
    needs_policy = admin.patch("levels/levels", {"levels": steeper})
    changed = admin.patch("levels/levels", {"levels": steeper, "policy": "recompute"})

    assert queued.status_code == 202
    assert Job.objects.get(pk=queued.json()["job_id"]).kind == "ladder_preview"
    assert needs_policy.status_code == 400
    assert changed.status_code == 200
    assert Job.objects.filter(kind="ladder_apply").count() == 1


def test_a_player_reads_ladders_and_the_own_level_only(tenant_a: Tenant) -> None:
    xp = make_currency(tenant_a, "xp", is_spendable=False, role="xp")
    admin_api(tenant_a).post("levels", body())
    credit(player_of(tenant_a), xp, 150)
    ana = player_api(tenant_a)

    definitions = ana.get("levels/definitions").json()
    own = ana.get("levels/user/ana").json()

    assert [each["ladder_id"] for each in definitions["ladders"]] == ["levels"]
    assert own == {
        "user_id": "ana",
        "ladder_id": "levels",
        "current_level": 2,
        "rank": {"rank_id": "gold", "name": "Gold"},
        "total_xp": 150,
        "xp_for_current_level": 100,
        "xp_for_next_level": None,
        "xp_to_next": None,
        "progress_percentage": 100,
        "benefits": {"x": 1},
    }
    assert ana.get("levels/user/ben").status_code == 403
    assert ana.get("levels/user/ana", ladder_id="none").status_code == 404


def test_another_tenants_ladder_is_not_found(tenant_a: Tenant, tenant_b: Tenant) -> None:
    make_currency(tenant_a, "xp", is_spendable=False, role="xp")
    admin_api(tenant_a).post("levels", body())

    assert admin_api(tenant_b).get("levels/levels").status_code == 404
    assert player_api(tenant_b).get("levels/definitions").json() == {"ladders": []}
