"""The rule builder: fields and document are one thing, faults have places, trials write nothing."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rewards.admin.rule_fields import document_of, initial_of
from rewards.models import Firing, Grant, Refusal, Rule, RuleUse
from rewards.rules.rule_documents import parse_rule
from rewards.services.documents import bump
from tenants.models import AuditEntry, Tenant
from tests.rewards import rule_log
from tests.rewards.rule_log import active, credit, currency, draft, item, process, send
from tests.staff import allow, messages_of, signed_in, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/rewards/rule/"
ADD = f"{LIST}add/"
MEANING = f"{LIST}meaning/"
TRIAL = f"{LIST}trial/"
TREE = {
    "op": "and",
    "conditions": [
        {"op": "gte", "field": "attrs.bet", "value": 20},
        {
            "op": "or",
            "conditions": [
                {"op": "eq", "field": "attrs.mode", "value": "ranked"},
                {"op": "gte", "field": "attrs.win", "value_expression": "10 * attrs.bet"},
            ],
        },
    ],
}


@pytest.fixture(autouse=True)
def _fresh_cache() -> None:
    cache.clear()


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow(ops, "view_rule", "add_rule", "change_rule", "publish_rule", "backtest_rule")
    return signed_in(ops)


@pytest.fixture
def gold(tenant_a: Tenant) -> Tenant:
    currency(tenant_a)
    return tenant_a


def form(**changed: Any) -> dict[str, Any]:
    """Return the rule form as a browser sends it; values that are no text are sent as JSON."""
    sent = {
        "tenant": "tenant-a",
        "rule_id": "big-win",
        "name": "Big win",
        "kind": "reward",
        "trigger_type": "event",
        "event_names": ["game.completed"],
        "conditions": TREE,
        "effects": [credit(50)],
        "priority": "0",
        "group_mode": "all",
        "timezone": "",
        "document_json": "",
    } | changed
    return {
        name: value if isinstance(value, str) or name == "platform_names" else json.dumps(value)
        for name, value in sent.items()
    }


def page_of(rule_id: str = "big-win", page: str = "change") -> str:
    return f"{LIST}{Rule.objects.get(rule_id=rule_id).pk}/{page}/"


def ask(client: Client, url: str = MEANING, **changed: Any) -> dict[str, Any]:
    answer = client.post(url, form(**changed))
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


# --- Fields and document -------------------------------------------------------------------------

ID = "01980000-0000-7000-8000-000000000001"
DOCUMENTS: dict[str, dict[str, Any]] = {
    "item": {"effects": [{"type": "grant", "item_id": ID}]},
    "config": {"effects": [{"type": "grant", "reward_config_id": ID}]},
    "fixed": {"effects": [credit(12.5)]},
    "multiplier": {
        "effects": [credit({"type": "multiplier", "field": "attrs.bet", "factor": 0.5})]
    },
    "step": {"effects": [credit({"type": "step", "field": "attrs.bet", "per": 10, "amount": 1})]},
    "expression": {"effects": [credit({"type": "expression", "expression": "attrs.bet + 1"})]},
    "debit": {"effects": [{**credit(5), "type": "debit"}]},
    "progress": {"effects": [{"type": "progress", "goal": f"achievement:{ID}", "amount": 2}]},
    "progress by field": {
        "effects": [
            {
                "type": "progress",
                "goal": f"streak:{ID}",
                "amount": {"type": "multiplier", "field": "attrs.n", "factor": 1},
            }
        ]
    },
    "coupon": {"effects": [{"type": "coupon", "coupon_id": ID}]},
    "several": {"effects": [credit(1), {"type": "grant", "item_id": ID}]},
    "tree": {"conditions": TREE},
    "dialect A": {"conditions": {"attrs.score": {"gte": 10, "lt": 99}}},
    "dialect B": {
        "conditions": {"and": [{"condition": {"field": "attrs.a", "operator": "eq", "value": 1}}]}
    },
    "not": {"conditions": {"not": {"attrs.b": {"exists": True}}}},
    "lists": {"conditions": {"attrs.a": {"in": ["x", "y"]}, "attrs.b": {"nin": [1, 2.5]}}},
    "player and clock": {"conditions": {"player.country": {"eq": "SE"}, "now.hour": {"gte": 18}}},
    "per player": {"limits": {"per_player": {"day": 1, "week": 3, "total": 9}}},
    "caps": {"limits": {"amount": {"event": 200, "day": 1000.5, "week": 5000}}},
    "budget": {"limits": {"budget": {"firings": 10000, "cost": 2500.75}}},
    "platform": {"trigger": {"type": "platform", "names": ["level.reached", "coupon.redeemed"]}},
    "patterns": {"trigger": {"type": "event", "names": ["game.*", "deposit.confirmed"]}},
    "group": {"group": {"name": "wins", "mode": "first"}, "priority": -3},
    "dates": {
        "starts_at": "2026-03-01T00:00:00Z",
        "ends_at": "2026-04-01T12:30:15Z",
        "timezone": "Asia/Tokyo",
    },
    "earning": {"kind": "earning"},
}


@pytest.mark.parametrize("changes", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_the_form_of_a_rule_describes_the_very_rule(changes: dict[str, Any]) -> None:
    stored = parse_rule(rule_log.document(**changes)).document

    again = parse_rule(document_of(initial_of(stored), stored=stored)).document

    assert again == stored


@pytest.mark.parametrize("changes", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_the_json_of_a_rule_fills_the_fields_that_make_it_again(
    client: Client, gold: Tenant, changes: dict[str, Any]
) -> None:
    """As the page does it: the document goes to the server, fields come back and are sent."""
    document = rule_log.document(**changes)
    filled = ask(client, use_json="on", document_json=json.dumps(document))["fields"]
    fields = {name: value for name, value in filled.items() if value is not None}

    answered = json.loads(ask(client, **fields)["json"])

    made, wanted = (parse_rule(each).document for each in (answered, document))
    # The tree is another way to write the conditions; it means the same (see the tree's tests).
    assert {**made, "conditions": {}} == {**wanted, "conditions": {}}


def test_acceptance_adm_20_a_rule_is_made_of_the_fields_of_the_form(
    client: Client, gold: Tenant
) -> None:
    sent = form(
        per_player_day="1",
        amount_day="1000.5",
        budget_firings="10000",
        budget_cost="2500",
        group_name="wins",
        group_mode="first",
        priority="100",
        starts_at="2026-03-01 00:00",
        timezone="Europe/Stockholm",
    )

    answer = client.post(ADD, sent)

    rule = Rule.objects.get()
    assert answer.headers["Location"] == f"{LIST}{rule.pk}/change/"
    assert (rule.tenant_id, rule.rule_id, rule.status, rule.version) == (
        *("tenant-a", "big-win"),
        *("draft", 1),
    )
    stored = rule.versions.get().document
    assert stored["conditions"] == TREE
    assert stored["limits"] == {
        "per_player": {"day": 1, "week": None, "total": None},
        "amount": {"event": None, "day": 1000.5, "week": None},
        "budget": {"firings": 10000, "cost": 2500},
    }
    assert stored["group"] == {"name": "wins", "mode": "first"}
    assert (stored["starts_at"], stored["priority"]) == ("2026-03-01T00:00:00Z", 100)
    assert rule.versions.get().author == "ops"
    assert AuditEntry.objects.get(action="rule.created").actor_label == "ops"


def test_the_document_itself_can_be_saved(client: Client, gold: Tenant) -> None:
    document = rule_log.document(rule_id="pasted", name="Pasted")
    sent = form(rule_id="", name="", use_json="on", document_json=json.dumps(document))

    client.post(ADD, sent)

    assert Rule.objects.get().name == "Pasted"


def test_an_edited_rule_is_a_draft_beside_the_published_one(client: Client, gold: Tenant) -> None:
    active(gold)

    answer = client.post(page_of(), form(name="Bigger win", expected_version="1"))

    assert answer.status_code == 302
    rule = Rule.objects.get()
    assert (rule.status, rule.active_version, rule.version) == ("active", 1, 2)
    assert rule.versions.get(number=2).document["name"] == "Bigger win"
    assert rule.versions.get(number=1).document["name"] == "Big win"


def test_conditions_stay_as_they_were_written(client: Client, gold: Tenant) -> None:
    written = {"attrs.score": {"gte": 10, "lt": 99}}
    draft(gold, conditions=written)
    shown = client.get(page_of()).context["adminform"].form.initial

    client.post(page_of(), form(conditions=shown["conditions"], expected_version="1"))
    kept = Rule.objects.get().versions.get().document["conditions"]
    client.post(page_of(), form(conditions=TREE, expected_version="1"))

    assert kept == written
    assert Rule.objects.get().versions.get().document["conditions"] == TREE


def test_nobody_overwrites_what_they_have_not_seen(client: Client, gold: Tenant) -> None:
    active(gold)
    client.post(page_of(), form(name="Second", expected_version="1"))

    answer = client.post(page_of(), form(name="Third", expected_version="1"))

    assert answer.status_code == 200
    assert "version 2" in " ".join(answer.context["adminform"].form.non_field_errors())
    assert Rule.objects.get().name == "Second"


def test_an_id_is_not_given_twice_and_stays_what_it_is(client: Client, gold: Tenant) -> None:
    draft(gold)

    twice = client.post(ADD, form())
    client.post(page_of(), form(rule_id="other", kind="earning", expected_version="1"))

    assert "exists already" in text_of(twice)
    assert list(Rule.objects.values_list("rule_id", "kind")) == [("big-win", "reward")]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"rule_id": "Not a slug"}, "rule_id"),
        ({"rule_id": "explain"}, "rule_id"),
        ({"name": ""}, "name"),
        ({"event_names": []}, "event_names"),
        ({"event_names": ["*.completed"]}, "event_names"),
        ({"event_names": "["}, "event_names"),
        ({"trigger_type": "platform"}, "platform_names"),
        ({"conditions": {"op": "gte", "field": "score", "value": 1}}, "conditions"),
        ({"conditions": {"wallet.nope.available": {"gte": 1}}}, "conditions"),
        ({"effects": []}, "effects"),
        ({"effects": [credit(5, "nope")]}, "effects"),
        ({"effects": [credit(0)]}, "effects"),
        ({"effects": [{"type": "message", "template": "x"}]}, "effects"),
        ({"per_player_day": "0"}, "per_player_day"),
        ({"per_player_week": "x"}, "per_player_week"),
        ({"amount_day": "-1"}, "amount_day"),
        ({"budget_cost": "0"}, "budget_cost"),
        ({"group_name": "!"}, "group_name"),
        ({"priority": "9999999"}, "priority"),
        ({"timezone": "Mars/One"}, "timezone"),
        ({"starts_at": "2026-02-01 00:00", "ends_at": "2026-01-01 00:00"}, "ends_at"),
        ({"use_json": "on"}, "document_json"),
        ({"use_json": "on", "document_json": '{"rule_id": "x"}'}, "document_json"),
        ({"kind": "earning", "effects": [credit(1), credit(2)]}, "effects"),
    ],
)
def test_what_is_no_rule_is_not_saved(
    client: Client, gold: Tenant, changed: dict[str, Any], field: str
) -> None:
    answer = client.post(ADD, form(**changed))

    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert not Rule.objects.exists()


def test_faults_are_sentences_about_the_form(client: Client, gold: Tenant) -> None:
    tree = {"op": "and", "conditions": [TREE, {"op": "gte", "field": "score", "value": 1}]}

    answer = client.post(ADD, form(conditions=tree, effects=[credit(5), credit("x")]))

    errors = answer.context["adminform"].form.errors
    assert errors["conditions"][0].startswith("Condition 2, field: is not a known path")
    assert errors["effects"] == ["Effect 2, amount, amount: must be a number."]


# --- What it means, while somebody types ---------------------------------------------------------


def test_the_panel_tells_what_the_form_means(client: Client, gold: Tenant) -> None:
    said = ask(client, per_player_day="1")

    assert (said["faults"], said["missing"], said["can_try"]) == ([], [], True)
    parts = {part["title"]: [line["text"] for line in part["lines"]] for part in said["parts"]}
    assert parts["Then"] == ["Credit 50 gold."]
    assert parts["At most"][0] == "Once a day for each player."
    assert json.loads(said["json"])["conditions"] == TREE
    assert not Rule.objects.exists()


def test_what_is_missing_is_told_apart_from_what_is_wrong(client: Client, gold: Tenant) -> None:
    empty = ask(client, tenant="", rule_id="", name="", event_names=[], effects=[])
    begun = ask(client, effects=[{"type": "credit", "amount": {"type": "fixed"}}])
    wrong = ask(client, timezone="Mars/One", conditions={"attrs.a": {"is": 1}})

    assert empty["missing"] == ["Tenant", "Rule id", "Name", "Event types", "Effects"]
    assert (empty["faults"], empty["can_try"]) == ([], False)
    assert begun["missing"] == [
        "Effect 1, currency: is required",
        "Effect 1, amount, amount: is required",
    ]
    places = {fault["path"]: fault["text"] for fault in wrong["faults"]}
    assert set(places) == {"timezone", "conditions.attrs.a.is"}
    assert places["timezone"].startswith("Time zone: Must be an IANA time zone")


def test_each_fault_names_its_place_in_the_document(client: Client, gold: Tenant) -> None:
    tree = {"op": "or", "conditions": [{"op": "gte", "field": "attrs.a", "value": True}]}

    said = ask(client, conditions=tree, effects=[credit({"type": "step", "field": "x"})])

    assert {fault["path"] for fault in said["faults"]} >= {
        "conditions.conditions.0.value",
        "effects.0.amount.field",
    }


def test_fields_and_types_come_from_what_the_tenant_really_sent(
    client: Client, gold: Tenant, tenant_b: Tenant
) -> None:
    now = timezone.now()
    send(gold, at=now, received_at=now, bet=25, mode="ranked")
    send(gold, type="user.login", at=now, received_at=now - timedelta(days=20), device="ios")
    send(gold, type="gone", at=now, received_at=now - timedelta(days=40))
    send(tenant_b, type="secret.type", at=now, received_at=now, secret=1)

    said = ask(client)["events"]

    assert {name for name, _ in said["types"]} == {"game.completed", "user.login"}
    fields = {each["path"]: (each["kind"], each["hint"]) for each in said["fields"]}
    assert fields["attrs.bet"] == ("number", "e.g. 25")
    assert "attrs.device" not in fields
    assert "attrs.secret" not in fields
    assert fields["wallet.gold.available"] == ("number", "gold, to spend")
    assert "player.country" in fields


def test_what_was_sent_is_looked_up_once_in_a_while(client: Client, gold: Tenant) -> None:
    ask(client)
    send(gold, type="new.type", at=timezone.now(), received_at=timezone.now())

    kept = ask(client)["events"]["types"]
    cache.clear()
    found = ask(client)["events"]["types"]

    assert (kept, [name for name, _ in found]) == ([], ["new.type"])


@pytest.mark.parametrize(
    "changed",
    [
        {"event_names": "{"},
        {"event_names": 1},
        {"event_names": [1, None]},
        {"conditions": "{"},
        {"conditions": [1]},
        {"effects": {"a": 1}},
        {"effects": [1, "x", None]},
        {"effects": [{"type": ["a"]}]},
        {"per_player_day": "many", "amount_event": "1e9999", "priority": "x"},
        {"starts_at": "soon", "timezone": "\0"},
        {"use_json": "on", "document_json": "null"},
        {"use_json": "on", "document_json": '{"trigger": 1, "limits": [], "group": "x"}'},
        {"use_json": "on", "document_json": '{"conditions": 1, "effects": 5, "priority": []}'},
        {"tenant": "no-such-tenant"},
        {
            "use_json": "on",
            "document_json": '{"effects": [{"type": "credit", "amount": 1e999999999}]}',
        },
        {"use_json": "on", "document_json": '{"limits": {"budget": {"cost": 1e999999999}}}'},
        {"conditions": '{"attrs.a": {"gte": 1e999999999}}'},
    ],
)
def test_whatever_is_typed_is_answered(
    client: Client, gold: Tenant, changed: dict[str, Any]
) -> None:
    said = ask(client, **changed)

    assert said["faults"] or said["missing"]
    assert client.post(TRIAL, form(**changed)).json()["rows"] == []
    assert client.post(ADD, form(**changed)).status_code == 200


def test_an_empty_form_is_answered(client: Client, tenant_a: Tenant) -> None:
    assert client.post(MEANING, {}).status_code == 200
    assert client.get(MEANING).status_code == 405


def test_the_library_has_what_the_tenant_can_give(client: Client, gold: Tenant) -> None:
    item(gold, "Sword", unit_cost=5)
    item(gold, "Idle", is_active=False)
    currency(gold, "EUR", kind="cash")
    bump(gold.pk)

    found = client.get(f"{LIST}library/", {"tenant": "tenant-a"}).json()

    assert [(each["label"], each["hint"]) for each in found["items"]] == [
        ("Sword", "badge, costs 5 EUR")
    ]
    assert [each["value"] for each in found["currencies"]] == ["gold"]
    assert found["goals"] == found["coupons"] == found["configs"] == []
    assert client.get(f"{LIST}library/", {"tenant": "nope"}).status_code == 404


# --- Trying it -----------------------------------------------------------------------------------


def test_acceptance_adm_20_a_rule_is_tried_on_the_last_real_events_and_writes_nothing(
    client: Client, gold: Tenant
) -> None:
    now = timezone.now()

    def played(user_id: str, seconds: int, **attrs: Any) -> None:
        moment = now - timedelta(seconds=seconds)
        send(gold, user_id, at=moment, received_at=moment, **attrs)

    played("ana", 40, bet=25, mode="ranked")
    played("ana", 30, bet=25, mode="ranked")
    played("ben", 20, bet=5, mode="ranked")
    played("ben", 10, bet=20, mode="casual", win=200)

    answer = client.post(TRIAL, form(per_player_day="1"))

    said = answer.json()
    assert said["note"].startswith("It would fire for 2 of the last 4 events")
    assert [(row["player"], row["verdict"]) for row in said["rows"]] == [
        ("ben", "Fires"),
        ("ben", "Conditions not met"),
        ("ana", "Limit of the day"),
        ("ana", "Fires"),
    ]
    assert said["rows"][0]["effects"] == ["Credits 50 gold."]
    assert said["rows"][1]["trace"][0] == {
        "field": "attrs.bet",
        "expected": "is at least 20",
        "actual": "5",
        "note": "",
        "result": False,
    }
    for model in (Rule, Firing, Refusal, Grant, RuleUse):
        assert not model.objects.exists()


def test_a_trial_counts_the_budget_over_all_players(client: Client, gold: Tenant) -> None:
    now = timezone.now()
    for number in range(4):
        moment = now - timedelta(seconds=number)
        send(gold, f"p-{number}", at=moment, received_at=moment)

    said = client.post(TRIAL, form(conditions={}, budget_firings="3")).json()

    verdicts = [row["verdict"] for row in said["rows"]]
    assert verdicts == ["Budget used up", "Fires", "Fires", "Fires"]


def test_at_most_20_events_of_the_rules_own_types_are_tried(client: Client, gold: Tenant) -> None:
    now = timezone.now()
    for number in range(25):
        send(gold, type="game.won", at=now, received_at=now - timedelta(seconds=number))
    send(gold, type="user.login", at=now, received_at=now)

    said = client.post(TRIAL, form(event_names=["game.*"], conditions={})).json()

    assert len(said["rows"]) == 20
    assert {row["event"] for row in said["rows"]} == {"game.won"}


# --- Who may -------------------------------------------------------------------------------------


def test_who_may_only_look_sees_the_page_of_the_rule(ops: AbstractUser, gold: Tenant) -> None:
    allow(ops, "view_rule")
    client = signed_in(ops)
    draft(gold)

    shown = client.get(page_of())

    assert "Credit 50 gold" in text_of(shown)
    assert 'name="conditions"' not in shown.content.decode()
    assert client.get(f"{page_of()}?edit=1").templates[0].name == "phoenix/admin/rule.html"
    assert client.post(page_of(), form(name="New")).status_code == 403
    assert client.get(ADD).status_code == 403
    for url in (MEANING, TRIAL, page_of(page="meaning"), page_of(page="trial")):
        assert client.post(url, form()).status_code == 403, url
    assert client.get(f"{LIST}library/", {"tenant": "tenant-a"}).status_code == 403
    for page in ("activate", "pause", "archive"):
        assert client.post(page_of(page=page), {"confirmed": "1", "reason": "x"}).status_code == 403
    assert Rule.objects.get().status == "draft"


def test_who_may_write_may_not_publish(ops: AbstractUser, gold: Tenant) -> None:
    allow(ops, "view_rule", "change_rule", "add_rule")
    client = signed_in(ops)
    draft(gold)

    answer = client.post(page_of(page="activate"), {"confirmed": "1", "reason": "x"})

    assert answer.status_code == 403
    assert Rule.objects.get().status == "draft"


def test_staff_of_a_reach_no_rule_of_b(client: Client, gold: Tenant, tenant_b: Tenant) -> None:
    currency(tenant_b)
    item(tenant_b, "Their sword")
    draft(tenant_b, rule_id="theirs")
    now = timezone.now()
    send(tenant_b, "cleo", at=now, received_at=now)

    assert client.post(ADD, form(tenant="tenant-b")).status_code == 200
    assert ask(client, tenant="tenant-b")["tenant"] is None
    assert client.post(TRIAL, form(tenant="tenant-b")).json()["rows"] == []
    assert client.get(f"{LIST}library/", {"tenant": "tenant-b"}).status_code == 404
    for page in ("meaning", "trial"):
        assert client.post(page_of("theirs", page), form()).status_code == 404
    assert list(Rule.objects.values_list("rule_id", flat=True)) == ["theirs"]


def test_no_rule_is_deleted(client: Client, gold: Tenant) -> None:
    draft(gold)

    assert client.post(page_of(page="delete"), {"post": "yes"}).status_code == 403
    assert Rule.objects.exists()


# --- Status --------------------------------------------------------------------------------------


def test_a_rule_is_activated_after_a_look_at_what_it_means(client: Client, gold: Tenant) -> None:
    draft(gold)

    asked = client.get(page_of(page="activate"))
    without_reason = client.post(page_of(page="activate"), {"confirmed": "1"})
    before = Rule.objects.get().status
    sent = {"confirmed": "1", "reason": "Go"}
    done = client.post(page_of(page="activate"), sent, follow=True)

    assert "judges the events that come in" in text_of(asked)
    assert "required" in text_of(without_reason)
    assert before == "draft"
    assert (Rule.objects.get().status, Rule.objects.get().active_version) == ("active", 1)
    assert messages_of(done) == ["Activated Big win."]
    entry = AuditEntry.objects.get(action="rule.status_changed")
    assert (entry.actor_label, entry.reason) == ("ops", "Go")


def test_a_rule_is_activated_at_a_time_to_come(client: Client, gold: Tenant) -> None:
    draft(gold)
    at = (timezone.now() + timedelta(days=1)).replace(microsecond=0)
    sent = {"confirmed": "1", "reason": "Go", "at": f"{at:%Y-%m-%d %H:%M:%S}"}

    client.post(page_of(page="activate"), sent)

    rule = Rule.objects.get()
    assert rule.status == "draft"
    assert rule.changes.get().at == at
    past = {**sent, "at": "2020-01-01 00:00"}
    refused = client.post(page_of(page="activate"), past, follow=True)
    assert any("future" in message for message in messages_of(refused))


def test_pausing_is_the_kill_switch(client: Client, gold: Tenant) -> None:
    active(gold)

    client.post(page_of(page="pause"), {"confirmed": "1", "reason": "Too generous"})
    paused = Rule.objects.get().status
    client.post(page_of(page="activate"), {"confirmed": "1", "reason": "Again"})
    client.post(page_of(page="archive"), {"confirmed": "1", "reason": "Over"})

    assert (paused, Rule.objects.get().status) == ("paused", "archived")


def test_only_what_fits_the_status_is_offered(client: Client, gold: Tenant) -> None:
    draft(gold, rule_id="new")
    active(gold)

    new = client.get(page_of("new")).content.decode()
    running = client.get(page_of()).content.decode()
    client.post(page_of(page="archive"), {"confirmed": "1", "reason": "Over"})
    over = client.get(page_of()).content.decode()

    assert page_of("new", "activate") in new
    assert page_of("new", "pause") not in new
    assert page_of(page="pause") in running
    assert page_of(page="activate") not in running
    for page in ("activate", "pause", "archive"):
        assert page_of(page=page) not in over


def test_several_rules_are_paused_at_once(client: Client, gold: Tenant) -> None:
    active(gold, rule_id="one")
    draft(gold, rule_id="two")
    chosen = [str(pk) for pk in Rule.objects.values_list("pk", flat=True)]
    sent = {"action": "pause_selected", "_selected_action": chosen}

    asked = client.post(LIST, sent)
    done = client.post(LIST, sent | {"confirmed": "1", "reason": "Stop"}, follow=True)

    assert "Pause 2 rules" in text_of(asked)
    assert dict(Rule.objects.values_list("rule_id", "status")) == {"one": "paused", "two": "draft"}
    assert sum("Paused" in message for message in messages_of(done)) == 1


# --- The page and the list -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_page_tells_firings_spending_refusals_and_versions(
    client: Client, gold: Tenant
) -> None:
    now = timezone.now()
    limits = {"per_player": {"day": 1}, "budget": {"firings": 4}}
    active(gold, limits=limits, now=now - timedelta(hours=1))
    for user_id in ("ana", "ana", "ben"):
        send(gold, user_id, at=now, received_at=now)
    process(now=now)
    client.post(page_of(), form(name="Better", expected_version="1"))

    shown = client.get(page_of())

    text = text_of(shown)
    assert "Active , version 1" in text
    assert "Firings today 2" in text
    assert "2 of 4" in text
    assert "Limit of the day 1" in text
    assert "Already granted 1 of 1" in text
    assert "Version 2 is a draft" in text
    assert shown.context["budget"][0].share == 50
    assert [row.number for row in shown.context["versions"]] == [2, 1]
    versions = text_of(client.get(page_of(page="versions")))
    assert "name Big win Better" in versions
    assert "in force" in versions


def test_the_list_asks_as_much_for_forty_rules_as_for_one(client: Client, gold: Tenant) -> None:
    draft(gold, rule_id="rule-0")
    client.get(LIST)
    with CaptureQueriesContext(connection) as one:
        client.get(LIST)
    for number in range(1, 40):
        draft(gold, rule_id=f"rule-{number}")

    with CaptureQueriesContext(connection) as many:
        answer = client.get(LIST)

    assert len(answer.context["cl"].result_list) == 40
    assert len(many) == len(one)


def test_the_list_tells_what_a_rule_does(client: Client, gold: Tenant) -> None:
    active(gold, limits={"budget": {"firings": 10}})

    shown = text_of(client.get(LIST, {"q": "big"}))

    assert "Big win big-win tenant-a Active game.completed Credit 50 gold 0 0 %" in shown


def test_pages_need_a_login(gold: Tenant) -> None:
    draft(gold)
    pages = (page_of(), page_of(page="backtests"), f"{LIST}why/", MEANING, f"{LIST}library/")
    for url in pages:
        assert Client().get(url).status_code == 302, url
