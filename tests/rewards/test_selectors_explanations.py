from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ingestion import selectors as ingestion
from ingestion.models import Event
from ingestion.types import StoredEvent
from players.models import Player
from rewards.models import Firing, Grant, Refusal, RuleUse
from rewards.selectors.dry_runs import dry_run
from rewards.selectors.explanations import event_effects, explain, outcome_documents
from rewards.selectors.rules import get_rule
from rewards.services import rule_desk
from tenants.models import Tenant
from tests.rewards.rule_log import (
    NOON,
    active,
    balance,
    credit,
    currency,
    draft,
    grant,
    item,
    pause,
    process,
    send,
)

pytestmark = pytest.mark.django_db(transaction=True)
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def tenant(tenant_a: Tenant) -> Tenant:
    currency(tenant_a)
    return tenant_a


def stored(event: Event) -> StoredEvent:
    return ingestion.get_event(event.tenant_id, event.event_id)


def why(tenant: Tenant, event: Event, rule_id: str = "big-win", **options: Any) -> dict[str, Any]:
    rule = get_rule(tenant.pk, rule_id)
    (found,) = explain(stored(event), rule=rule, now=LATER, **options)
    return outcome_documents([found])[0]


def test_acceptance_10_a_miss_is_explained_by_what_the_conditions_saw(tenant: Tenant) -> None:
    active(tenant, conditions={"attrs.bet": {"gte": 20}})
    fired, missed = send(tenant, bet=25), send(tenant, bet=5)
    process()

    answer = why(tenant, missed)

    assert (answer["verdict"], answer["reason"]) == ("not_granted", "conditions_not_met")
    assert answer["trace"][0] | {"path": ""} == {
        "path": "",
        "field": "attrs.bet",
        "op": "gte",
        "expected": 20,
        "actual": 5,
        "result": False,
    }
    assert answer["version"] == 1
    granted = why(tenant, fired)
    assert granted["verdict"] == "granted"
    assert granted["firing_id"] == Firing.objects.get().pk
    assert granted["effects"][0] | {"transaction_id": ""} == {
        "type": "credit",
        "currency_id": "gold",
        "amount": Decimal(50),
        "cost": Decimal(0),
        "transaction_id": "",
        "applied": True,
    }


def test_acceptance_11_a_limit_is_explained(tenant: Tenant) -> None:
    active(tenant, limits={"per_player": {"day": 1}})
    _first, second = send(tenant), send(tenant)
    process()

    answer = why(tenant, second)

    assert answer["reason"] == "limit_day"
    assert answer["text"] == "Already granted 1 of 1 on 2026-03-05 (UTC)."


def test_acceptance_9_a_clipped_firing_says_from_what(tenant: Tenant) -> None:
    active(tenant, limits={"amount": {"day": 60}})
    _first, second = send(tenant), send(tenant)
    process()

    assert why(tenant, second)["text"] == "The rule fired. Its credits were clipped from 50."


def test_acceptance_18_a_paused_rule_was_not_active(tenant: Tenant) -> None:
    active(tenant)
    pause(tenant, now=NOON)
    event = send(tenant, at=NOON + timedelta(minutes=1))
    process()

    assert why(tenant, event)["reason"] == "not_active"


@pytest.mark.parametrize(
    ("changes", "sent", "reason"),
    [
        ({"starts_at": "2026-04-01T00:00:00Z"}, {}, "outside_dates"),
        ({}, {"type": "user.login"}, "trigger_mismatch"),
        ({}, {"source": "import"}, "trigger_mismatch"),
        ({"conditions": {"player.country": {"eq": "SE"}}}, {}, "conditions_not_met"),
        ({"conditions": {"wallet.gold.available": {"gt": 0}}}, {}, "conditions_not_met"),
    ],
)
def test_each_miss_has_its_reason(
    tenant: Tenant, changes: dict[str, Any], sent: dict[str, Any], reason: str
) -> None:
    active(tenant, **changes)
    event = send(tenant, **sent)
    process()

    assert why(tenant, event)["reason"] == reason
    assert not Refusal.objects.exists()


def test_an_event_that_waits_or_failed_is_explained(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    active(tenant)
    event = send(tenant)
    assert why(tenant, event)["reason"] == "not_processed_yet"

    def fail(*_arguments: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rule_desk, "judge", fail)
    process()

    assert why(tenant, event)["reason"] == "quarantined"


def test_another_player_had_nothing_to_do_with_it(tenant: Tenant) -> None:
    active(tenant)
    event = send(tenant)
    process()

    assert why(tenant, event, user_id="ben")["reason"] == "trigger_mismatch"


def test_what_held_only_then_is_said_so(tenant: Tenant) -> None:
    active(tenant, conditions={"player.country": {"eq": "SE"}})
    event = send(tenant)
    process()
    Player.objects.filter(external_id="ana").update(country="SE")

    assert "was different then" in why(tenant, event)["text"]


def test_without_a_rule_all_that_looked_at_the_event_answer(tenant: Tenant) -> None:
    active(tenant, rule_id="a")
    active(tenant, rule_id="b", conditions={"attrs.bet": {"gte": 20}}, priority=5)
    active(tenant, rule_id="c", trigger={"type": "event", "names": ["user.login"]})
    event = send(tenant, bet=5)
    process()

    found = explain(stored(event), now=LATER)

    assert [(each.rule_id, each.is_granted) for each in found] == [("b", False), ("a", True)]
    assert event_effects(tenant.pk, stored(event)) == [
        {
            "rule_id": "b",
            "version": 1,
            "outcome": "not_granted",
            "reason": "conditions_not_met",
        },
        {"rule_id": "a", "version": 1, "outcome": "granted"},
    ]


# --- Dry runs ------------------------------------------------------------------------------------


def test_acceptance_15_a_dry_run_says_what_would_happen_and_changes_nothing(
    tenant: Tenant,
) -> None:
    sword = item(tenant, unit_cost=5)
    active(tenant, effects=[grant(sword), credit(5)], limits={"per_player": {"day": 1}})
    event = send(tenant)

    (found,) = dry_run(stored(event), now=LATER)
    (again,) = dry_run(stored(event), now=LATER)

    answer = outcome_documents([again])[0]
    assert found == again
    assert (answer["verdict"], answer["reason"], answer["as_of"]) == ("granted", None, "now")
    assert answer["effects"] == [
        {"type": "grant", "item_id": str(sword.pk), "cost": Decimal(5), "applied": False},
        {
            "type": "credit",
            "currency_id": "gold",
            "amount": Decimal(5),
            "cost": Decimal(0),
            "applied": False,
        },
    ]
    assert not any(model.objects.exists() for model in (Grant, Firing, Refusal, RuleUse))
    assert balance(tenant) == 0


def test_a_dry_run_meets_the_limits_as_they_are(tenant: Tenant) -> None:
    active(tenant, limits={"per_player": {"day": 1}})
    send(tenant)
    process()

    (found,) = dry_run(stored(send(tenant)), now=LATER)

    assert found.reason == "limit_day"


def test_a_draft_can_be_tried(tenant: Tenant) -> None:
    draft(tenant, conditions={"attrs.bet": {"gte": 20}})
    event = stored(send(tenant, bet=30))
    rule = get_rule(tenant.pk, "big-win")

    (found,) = dry_run(event, rule=rule, now=LATER)
    (missed,) = dry_run(event._replace(attrs={"bet": 5}), rule=rule, version=1, now=LATER)

    assert found.is_granted
    assert missed.reason == "conditions_not_met"
    assert dry_run(event, now=LATER) == []
