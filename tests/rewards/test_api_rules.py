"""Rules and earning rules over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from rewards.models import Grant, Rule, RuleChange, RuleUse, RuleVersion
from tenants.models import Tenant
from tests.rewards.api_cast import Api, admin_api
from tests.rewards.rule_log import (
    balance,
    credit,
    currency,
    document,
    grant,
    item,
    process,
    send,
)

pytestmark = pytest.mark.django_db(transaction=True)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def tenant(tenant_a: Tenant) -> Tenant:
    currency(tenant_a)
    currency(tenant_a, "xp", is_spendable=False, role="xp")
    return tenant_a


@pytest.fixture
def admin(tenant: Tenant) -> Api:
    return admin_api(tenant)


def test_a_rule_lives_its_life(admin: Api) -> None:
    made = admin.post("rules", document())
    again = admin.post("rules", document())
    activated = admin.post("rules/big-win/activate", {"version": 1, "reason": "go"})
    twice = admin.post("rules/big-win/activate", {"version": 1})
    edited = admin.put("rules/big-win", document(priority=7, version=1))
    shown = admin.get("rules/big-win")
    second = admin.post("rules/big-win/activate", {"version": 2})
    paused = admin.post("rules/big-win/pause", {})
    resumed = admin.post("rules/big-win/activate", {})
    archived = admin.post("rules/big-win/archive", {"reason": "over"})
    final = admin.post("rules/big-win/activate", {})

    assert (made.status_code, made.json()["status"], made.json()["version"]) == (201, "draft", 1)
    assert (again.status_code, again.json()["code"]) == (409, "CONFLICT")
    assert (activated.status_code, activated.json()["status"]) == (200, "active")
    assert (twice.status_code, twice.json()["code"]) == (409, "STATE_CONFLICT")
    assert (edited.json()["status"], edited.json()["version"]) == ("draft", 2)
    assert (shown.json()["version"], shown.json()["draft_version"]) == (1, 2)
    assert (second.json()["active_version"], second.json()["priority"]) == (2, 7)
    assert paused.json()["status"] == "paused"
    assert (resumed.json()["status"], resumed.json()["version"]) == ("active", 2)
    assert archived.json()["status"] == "archived"
    assert (final.status_code, final.json()["code"]) == (409, "STATE_CONFLICT")


def test_a_draft_is_edited_in_place_and_an_outdated_change_refused(admin: Api) -> None:
    admin.post("rules", document())
    changed = admin.patch("rules/big-win", {"priority": 3, "version": 1})
    outdated = admin.patch("rules/big-win", {"priority": 4, "version": 9})
    renamed = admin.patch("rules/big-win", {"rule_id": "other"})

    assert (changed.json()["version"], changed.json()["priority"]) == (1, 3)
    assert (outdated.status_code, outdated.json()["code"]) == (409, "VERSION_CONFLICT")
    assert renamed.json()["details"][0]["field"] == "rule_id"
    assert RuleVersion.objects.count() == 1


def test_what_a_get_answers_can_be_put_back(admin: Api) -> None:
    admin.post("rules", document())

    answer = admin.put("rules/big-win", admin.get("rules/big-win").json())

    assert (answer.status_code, answer.json()["version"]) == (200, 1)


def test_every_fault_of_a_rule_is_a_detail(admin: Api) -> None:
    answer = admin.post(
        "rules",
        document(
            rule_id="Bad Id",
            segment_id="vip",
            effects=[credit(5, "silver")],
            conditions={"attrs.bet": {"gtee": 1}},
        ),
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")
    details = {each["field"]: each["message"] for each in answer.json()["details"]}
    assert details["segment_id"] == "not supported yet"
    assert details.keys() == {
        *("rule_id", "segment_id", "effects.0.currency_id", "conditions.attrs.bet.gtee"),
    }


def test_a_rule_on_a_path_that_no_event_has_is_warned_about(admin: Api, tenant: Tenant) -> None:
    send(tenant, bet=5, at=now())

    made = admin.post("rules", document(conditions={"attrs.bett": {"gte": 5}}))

    assert made.json()["warnings"] == [
        "attrs.bett is in none of the last 1 events of game.completed"
    ]


def test_the_list_filters_and_leaves_out_what_is_archived(admin: Api) -> None:
    for rule_id in ("a", "b", "c"):
        admin.post("rules", document(rule_id=rule_id))
    admin.post("rules/b/activate")
    admin.delete("rules/c")

    def ids(**query: Any) -> list[str]:
        return [each["rule_id"] for each in admin.get("rules", **query).json()["rules"]]

    assert ids() == ["a", "b"]
    assert ids(status="active") == ["b"]
    assert ids(status="archived") == ["c"]
    assert ids(limit=1, offset=1) == ["b"]
    assert admin.get("rules", limit=1).json()["total"] == 2


def test_a_copy_is_a_draft_under_a_free_id(admin: Api) -> None:
    admin.post("rules", document())

    first = admin.post("rules/big-win/duplicate")
    second = admin.post("rules/big-win/duplicate", {"name": "Other"})

    assert (first.status_code, first.json()["rule_id"]) == (201, "big-win-copy")
    assert (second.json()["rule_id"], second.json()["name"]) == ("big-win-copy-2", "Other")


def test_versions_are_listed_and_published_ones_immutable(admin: Api) -> None:
    admin.post("rules", document())
    admin.post("rules/big-win/activate")
    admin.patch("rules/big-win", {"priority": 3})

    versions = admin.get("rules/big-win/versions").json()

    assert [each["version"] for each in versions["versions"]] == [2, 1]
    with pytest.raises(Exception, match=r"fixed|immutable|never"):
        RuleVersion.objects.filter(number=1).update(document={})


def test_a_planned_change_is_shown_and_given_up_by_one_at_once(admin: Api) -> None:
    admin.post("rules", document())
    later = (now() + timedelta(days=1)).isoformat()

    planned = admin.post("rules/big-win/activate", {"at": later})
    past = admin.post("rules/big-win/activate", {"at": "2020-01-01T00:00:00Z"})
    archived = admin.post("rules/big-win/archive")

    assert (planned.json()["status"], planned.json()["active_version"]) == ("draft", None)
    assert planned.json()["planned"][0]["status"] == "active"
    assert past.json()["details"][0]["field"] == "at"
    assert archived.json()["planned"] == []
    assert RuleChange.objects.count() == 1


def test_a_status_is_asked_for_in_the_right_words(admin: Api) -> None:
    admin.post("rules", document())

    answer = admin.post(
        "rules/big-win/activate", {"version": "1", "at": "soon", "reason": 5, "when": "now"}
    )

    fields = {each["field"] for each in answer.json()["details"]}
    assert fields == {"version", "at", "reason", "when"}


def test_acceptance_15_a_dry_run_over_http(admin: Api, tenant: Tenant) -> None:
    sword = item(tenant)
    admin.post("rules", document(effects=[grant(sword)], limits={"per_player": {"day": 1}}))
    admin.post("rules/big-win/activate")
    event = {"type": "game.completed", "actor": {"user_id": "ana"}, "attrs": {}}

    answer = admin.post("rules/dry-run", {"event": event})
    stored = send(tenant, at=now())
    by_id = admin.post("rules/dry-run", {"event_id": stored.event_id, "rule_id": "big-win"})
    unknown = admin.post("rules/dry-run", {"event_id": "nothing"})
    neither = admin.post("rules/dry-run", {"version": 2})
    broken = admin.post("rules/dry-run", {"event": {"actor": {}, "attrs": []}})

    (verdict,) = answer.json()["results"]
    assert (verdict["verdict"], verdict["effects"][0]["applied"]) == ("granted", False)
    assert by_id.json()["results"][0]["verdict"] == "granted"
    assert unknown.status_code == 404
    assert {each["field"] for each in neither.json()["details"]} == {"version", "event"}
    assert {each["field"] for each in broken.json()["details"]} == {
        *("event.type", "event.actor.user_id"),
    }
    assert not Grant.objects.exists()
    assert not RuleUse.objects.exists()


def test_acceptance_10_and_11_explain_over_http(admin: Api, tenant: Tenant) -> None:
    body = document(
        conditions={"op": "and", "conditions": [{"op": "gte", "field": "attrs.bet", "value": 20}]},
        limits={"per_player": {"day": 1}},
    )
    admin.post("rules", body)
    admin.post("rules/big-win/activate")
    fired, limited, missed = (send(tenant, bet=bet, at=now()) for bet in (25, 30, 5))
    process(now=now())

    def why(event: Any, **query: Any) -> dict[str, Any]:
        query = {"user_id": "ana", "rule_id": "big-win", **query}
        answer = admin.get("rules/explain", event_id=event.event_id, **query).json()
        found: dict[str, Any] = answer["results"][0]
        return found

    assert why(fired)["verdict"] == "granted"
    assert why(limited)["reason"] == "limit_day"
    assert why(missed)["reason"] == "conditions_not_met"
    line = why(missed)["trace"][0]
    assert (line["path"], line["expected"], line["actual"]) == ("conditions.0", 20, 5)
    assert admin.get("rules/explain", event_id="nothing").status_code == 404
    assert admin.get("rules/explain").status_code == 400


def test_firings_and_refusals_are_listed(admin: Api, tenant: Tenant) -> None:
    admin.post("rules", document(limits={"per_player": {"total": 1}}))
    admin.post("rules/big-win/activate")
    for user_id in ("ana", "ana", "ben"):
        send(tenant, user_id, at=now())
    process(now=now())

    firings = admin.get("rules/big-win/firings").json()
    anas = admin.get("rules/big-win/firings", user_id="ana").json()
    refusals = admin.get("rules/big-win/refusals", reason="limit_total").json()
    others = admin.get("rules/big-win/refusals", reason="limit_day").json()
    old = admin.get("rules/big-win/firings", to="2020-01-01T00:00:00Z").json()
    wrong = admin.get("rules/big-win/refusals", reason="rain")

    assert firings["total"] == 2
    assert anas["firings"][0]["effects"][0]["amount"] == 50
    assert (refusals["total"], refusals["refusals"][0]["user_id"]) == (1, "ana")
    assert others["total"] == old["total"] == 0
    assert wrong.status_code == 400


def test_the_short_path_and_the_scope(tenant: Tenant, tenant_b: Tenant) -> None:
    reader = admin_api(tenant, "rewards:read")
    admin_api(tenant).post("rules", document())

    short = Client().get("/v1/rules?tenant_id=tenant-a", headers=reader.headers)
    foreign = Client().get("/v1/rules?tenant_id=tenant-b", headers=reader.headers)

    assert short.json()["total"] == 1
    assert foreign.status_code == 403
    assert reader.post("rules", document(rule_id="x")).status_code == 403
    assert admin_api(tenant_b).get("rules/big-win").status_code == 404


# --- Earning rules -------------------------------------------------------------------------------

EARNING: dict[str, Any] = {
    "name": "XP for games",
    "currency_id": "xp",
    "event_type": "game.completed",
    "calculation": {"type": "fixed", "amount": 50},
    "max_per_day": 120,
}


def test_acceptance_9_an_earning_rule_is_published_at_once(admin: Api, tenant: Tenant) -> None:
    made = admin.post("wallet/earning-rules", EARNING)
    for _ in range(3):
        send(tenant, at=now())
    process(now=now())

    body = made.json()
    assert (made.status_code, body["active"], body["version"]) == (201, True, 1)
    assert body["event_filter"] is None
    assert balance(tenant, currency_id="xp") == 120
    assert Rule.objects.get(rule_id=body["id"]).kind == "earning"


def test_an_earning_rule_is_changed_paused_and_archived(admin: Api) -> None:
    rule_id = admin.post("wallet/earning-rules", EARNING).json()["id"]
    path = f"wallet/earning-rules/{rule_id}"

    put = admin.put(path, {**EARNING, "max_per_day": 200, "version": 1})
    off = admin.patch(path, {"active": False})
    on = admin.patch(path, {"active": True})
    listed = admin.get("wallet/earning-rules", status="active").json()
    gone = admin.delete(path)

    assert (put.json()["max_per_day"], put.json()["version"]) == (200, 2)
    assert (off.json()["active"], on.json()["active"]) == (False, True)
    assert on.json()["max_per_day"] == 200
    assert listed["total"] == 1
    assert gone.status_code == 204
    assert admin.get("wallet/earning-rules").json()["total"] == 0


def test_an_earning_rule_waits_if_asked_to_and_is_copied(admin: Api) -> None:
    made = admin.post("wallet/earning-rules", {**EARNING, "active": False, "rule_id": "xp-games"})
    copied = admin.post("wallet/earning-rules/xp-games/duplicate", {"max_per_day": 10})
    put = admin.put("wallet/earning-rules/xp-games", {**EARNING, "active": False})
    on = admin.patch("wallet/earning-rules/xp-games", {"active": True})
    off = admin.put("wallet/earning-rules/xp-games", {**EARNING, "active": False})
    wrong = admin.post("wallet/earning-rules", {**EARNING, "active": "yes", "event_type": None})

    assert (made.json()["id"], made.json()["active"]) == ("xp-games", False)
    assert (copied.json()["active"], copied.json()["max_per_day"]) == (False, 10)
    assert (put.json()["active"], put.json()["version"]) == (False, 1)
    assert (on.json()["active"], off.json()["active"]) == (True, False)
    assert {each["field"] for each in wrong.json()["details"]} == {"active", "event_type"}
    assert admin.get("wallet/earning-rules", status="inactive").json()["total"] == 2


def test_faults_of_an_earning_rule_name_its_own_fields(admin: Api) -> None:
    answer = admin.post(
        "wallet/earning-rules",
        {
            **EARNING,
            "currency_id": "silver",
            "event_type": "*x",
            "event_filter": {"attrs.bet": {"gtee": 1}},
            "calculation": {"type": "fixed", "amount": -1},
            "max_per_day": 0,
        },
    )
    unknown = admin.post("wallet/earning-rules", {**EARNING, "colour": "red"})

    assert {each["field"] for each in answer.json()["details"]} == {
        *("currency_id", "event_type", "event_filter.attrs.bet.gtee"),
        *("calculation.amount", "max_per_day"),
    }
    assert unknown.json()["details"][0]["field"] == "colour"


def test_a_rule_that_says_more_has_no_short_form(admin: Api) -> None:
    admin.post(
        "rules",
        document(
            rule_id="long",
            kind="earning",
            effects=[credit(5, "xp")],
            limits={"budget": {"firings": 5}},
        ),
    )

    assert admin.get("wallet/earning-rules").json()["total"] == 0
    assert admin.get("wallet/earning-rules/long").status_code == 404
    assert admin.put("wallet/earning-rules/long", EARNING).status_code == 409
