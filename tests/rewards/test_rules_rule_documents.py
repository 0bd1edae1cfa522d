from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import pytest

from rewards.exceptions import DocumentError
from rewards.rules.rule_documents import compile_rule, parse_rule
from rewards.types.rules import Budget, Group, PeriodCaps, References
from tests.rewards.rule_cast import BOOK, BUNDLE, CROWN, IDLE, PRIZES, SWORD, document, fixed

UNKNOWN = "01980000-0000-7000-8000-00000000ffff"
EXAMPLE: dict[str, Any] = {
    "rule_id": "big-win-bonus",
    "name": "Big win bonus",
    "kind": "reward",
    "status": "active",
    "version": 4,
    "trigger": {"type": "event", "names": ["game.completed"]},
    "segment_id": None,
    "conditions": {
        "op": "and",
        "conditions": [
            {"op": "gte", "field": "attrs.bet", "value": 20},
            {"op": "eq", "field": "player.country", "value": "SE"},
            {"op": "gte", "field": "attrs.win", "value_expression": "10 * attrs.bet"},
        ],
    },
    "timezone": "Europe/Stockholm",
    "starts_at": None,
    "ends_at": None,
    "effects": [
        {"type": "grant", "item_id": str(SWORD)},
        {
            "type": "credit",
            "currency_id": "xp",
            "amount": {"type": "multiplier", "field": "attrs.bet", "factor": Decimal("0.5")},
        },
    ],
    "limits": {
        "per_player": {"day": 1, "week": 3, "total": None},
        "amount": {"event": 200, "day": 1000, "week": 5000},
        "budget": {"firings": 10000, "cost": Decimal("2500.00")},
    },
    "priority": 100,
    "group": {"name": "win-bonuses", "mode": "first"},
}


def faults_of(sent: dict[str, Any], **references: Any) -> dict[str, str]:
    with pytest.raises(DocumentError) as caught:
        parse_rule(sent, book=BOOK, references=References(**references))
    return {fault.path: fault.message for fault in caught.value.faults}


def test_the_contracts_example_is_read_whole() -> None:
    parsed = parse_rule(EXAMPLE, book=BOOK)

    rule = parsed.compiled
    assert rule.per_player == PeriodCaps(day=Decimal(1), week=Decimal(3))
    assert rule.amount_caps == PeriodCaps(event=Decimal(200), day=Decimal(1000), week=Decimal(5000))
    assert rule.budget == Budget(10000, Decimal(2500))
    assert rule.group == Group("win-bonuses", "first")
    assert rule.order == (-100, "big-win-bonus")
    assert rule.needs == {"player"}
    assert rule.tracked == ("day", "week")
    assert parsed.fields == ("attrs.bet", "attrs.win")


def test_a_stored_document_makes_the_same_document_again() -> None:
    parsed = parse_rule(EXAMPLE, book=BOOK)

    again = parse_rule(parsed.document, book=BOOK)

    assert again.document == parsed.document
    assert "status" not in parsed.document
    assert compile_rule(again.compiled.pk, 0, parsed.document) == again.compiled


def test_defaults_are_filled_in() -> None:
    sent = document()
    del sent["timezone"]

    made = parse_rule(sent, book=BOOK).document

    assert made["timezone"] == "Europe/Stockholm"
    assert made["kind"] == "reward"
    assert made["priority"] == 0
    assert made["limits"]["per_player"] == {"day": None, "week": None, "total": None}


def test_every_fault_is_named_at_once() -> None:
    faults = faults_of(
        {
            "rule_id": "No Slug",
            "trigger": {"type": "event", "names": []},
            "conditions": {"attrs.bet": {"gtee": 1}},
            "effects": [
                {"type": "credit", "currency_id": "silver", "amount": fixed(1)},
                {"type": "dance"},
            ],
            "limits": {"per_player": {"day": 0}, "budget": {"cost": -1}},
            "colour": "red",
            "ends_at": "tomorrow",
            "timezone": "Mars/Olympus",
        }
    )

    assert faults.keys() == {
        *("rule_id", "name", "trigger.names", "conditions.attrs.bet.gtee", "colour"),
        *("effects.0.currency_id", "effects.1.type", "limits.per_player.day"),
        *("limits.budget.cost", "ends_at", "timezone"),
    }


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"segment_id": "vip"}, "segment_id"),
        ({"trigger": {"type": "schedule", "cron": "0 9 * * *"}}, "trigger.type"),
        ({"trigger": {"type": "platform", "names": ["wheel.spun"]}}, "trigger.names.0"),
        ({"effects": [{"type": "message", "template": "x", "channel": "inbox"}]}, "effects.0.type"),
        ({"effects": [{"type": "webhook", "endpoint_id": "x", "data": {}}]}, "effects.0.type"),
        (
            {"effects": [{"type": "progress", "goal": f"mission:{SWORD}", "amount": 1}]},
            "effects.0.goal",
        ),
        (
            {
                "effects": [
                    {
                        "type": "credit",
                        "currency_id": "gold",
                        "amount": {"type": "percent_table", "field": "attrs.amount"},
                    }
                ]
            },
            "effects.0.amount.type",
        ),
        ({"conditions": {"player.category": {"eq": "vip"}}}, "conditions.player.category.eq"),
    ],
)
def test_what_is_not_there_yet_is_refused_by_name(changes: dict[str, Any], path: str) -> None:
    assert faults_of(document(**changes))[path] == "not supported yet"


@pytest.mark.parametrize(
    ("effect", "path"),
    [
        ({"type": "grant", "item_id": UNKNOWN}, "item_id"),
        ({"type": "grant", "item_id": str(IDLE)}, "item_id"),
        ({"type": "grant", "item_id": "sword"}, "item_id"),
        ({"type": "grant"}, "item_id"),
        ({"type": "grant", "reward_config_id": UNKNOWN}, "reward_config_id"),
        ({"type": "grant", "reward_config_id": str(PRIZES)}, "reward_config_id"),
        ({"type": "credit", "currency_id": "EUR", "amount": fixed(1)}, "currency_id"),
        ({"type": "credit", "currency_id": "old", "amount": fixed(1)}, "currency_id"),
        ({"type": "debit", "currency_id": "xp", "amount": fixed(1)}, "currency_id"),
        (
            {"type": "credit", "currency_id": "gold", "amount": fixed(Decimal("0.5"))},
            "amount.amount",
        ),
        ({"type": "credit", "currency_id": "gold", "amount": fixed(0)}, "amount.amount"),
        ({"type": "credit", "currency_id": "gold", "amount": 5}, "amount"),
        ({"type": "credit", "currency_id": "gold"}, "amount"),
        (
            {
                "type": "credit",
                "currency_id": "gold",
                "amount": {"type": "expression", "expression": "attrs.a +"},
            },
            "amount.expression",
        ),
        (
            {
                "type": "credit",
                "currency_id": "gold",
                "amount": {"type": "multiplier", "field": "player.level", "factor": 2},
            },
            "amount.field",
        ),
        (
            {
                "type": "credit",
                "currency_id": "gold",
                "amount": {"type": "step", "field": "attrs.amount", "per": 0, "amount": 1},
            },
            "amount.per",
        ),
        ({"type": "progress", "goal": f"achievement:{UNKNOWN}", "amount": 1}, "goal"),
        ({"type": "progress", "goal": "dance", "amount": 1}, "goal"),
        ({"type": "coupon", "coupon_id": UNKNOWN}, "coupon_id"),
    ],
)
def test_an_effect_that_cannot_work_is_refused(effect: dict[str, Any], path: str) -> None:
    assert list(faults_of(document(effects=[effect]))) == [f"effects.0.{path}"]


def test_what_exists_may_be_named() -> None:
    effects = [
        {"type": "progress", "goal": f"achievement:{SWORD}", "amount": 2},
        {"type": "progress", "goal": f"streak:{CROWN}", "amount": fixed(1)},
        {"type": "coupon", "coupon_id": str(SWORD)},
        {"type": "grant", "reward_config_id": str(BUNDLE)},
    ]
    known = References(coupon_ids={SWORD}, achievement_ids={SWORD}, streak_ids={CROWN})

    parsed = parse_rule(document(effects=effects), book=BOOK, references=known)

    assert len(parsed.compiled.effects) == 4


def test_a_config_with_several_tiers_needs_the_event_that_tells_them_apart() -> None:
    trigger = {"type": "platform", "names": ["leaderboard.placed"]}
    effects = [{"type": "grant", "reward_config_id": str(PRIZES)}]

    parsed = parse_rule(document(trigger=trigger, effects=effects), book=BOOK)

    assert parsed.compiled.trigger.type == "platform"


def test_an_item_whose_coupon_gives_the_item_again_is_refused() -> None:
    effects = [{"type": "grant", "item_id": str(SWORD)}]

    faults = faults_of(document(effects=effects), item_chains={SWORD: CROWN, CROWN: SWORD})

    assert list(faults) == ["effects.0.item_id"]


@pytest.mark.parametrize(
    ("trigger", "path"),
    [
        ({"type": "event", "names": ["level.reached"]}, "trigger.names.0"),
        ({"type": "event", "names": ["game.*.x"]}, "trigger.names.0"),
        ({"type": "event", "names": ["a"] * 21}, "trigger.names"),
        ({"type": "platform", "names": ["game.completed"]}, "trigger.names.0"),
        ({"type": "platform", "names": ["leaderboard.window.closed"]}, "trigger.names.0"),
        ({"type": "dance", "names": ["game.completed"]}, "trigger.type"),
        ({"type": "event", "names": ["game.completed"], "cron": "* * * * *"}, "trigger.cron"),
        (None, "trigger"),
    ],
)
def test_a_trigger_that_can_never_come_is_refused(trigger: Any, path: str) -> None:
    assert list(faults_of(document(trigger=trigger))) == [path]


@pytest.mark.parametrize(
    ("conditions", "path"),
    [
        ({"op": "eq", "field": "wallet.silver.available", "value": 1}, "conditions"),
        ({"op": "eq", "field": "wallet.gold.debt", "value": 1}, "conditions"),
        ({"op": "eq", "field": "now.weekday", "value": 6}, "conditions"),
        ({"op": "in", "field": "now.weekday", "value": ["saturday", "caturday"]}, "conditions"),
        ({"op": "gte", "field": "now.hour", "value": "18"}, "conditions"),
        ({"op": "eq", "field": "now.date", "value": "5 March"}, "conditions"),
        ({"op": "eq", "field": "standing.rank", "value": 1}, "conditions.field"),
        (
            {"op": "eq", "field": "attrs.a", "value_expression": "1 +"},
            "conditions.value_expression",
        ),
    ],
)
def test_a_condition_that_can_never_hold_is_refused(conditions: Any, path: str) -> None:
    assert list(faults_of(document(conditions=conditions))) == [path]


def test_an_earning_rule_has_one_credit() -> None:
    grant = {"type": "grant", "item_id": str(SWORD)}

    assert "effects" in faults_of(document(kind="earning", effects=[grant]))


def test_rules_of_a_group_agree_on_its_mode() -> None:
    group = {"name": "bonuses", "mode": "best"}

    assert list(faults_of(document(group=group), group_modes={"bonuses": "first"})) == [
        "group.mode"
    ]
    assert parse_rule(
        document(group=group), book=BOOK, references=References(group_modes={"bonuses": "best"})
    ).compiled.group == Group("bonuses", "best")


@pytest.mark.parametrize("rule_id", ["explain", "dry-run", "history", "Big", "-a", "a" * 65, 5])
def test_an_id_that_is_no_slug_or_stands_in_a_path_is_refused(rule_id: Any) -> None:
    assert list(faults_of(document(rule_id=rule_id))) == ["rule_id"]


@pytest.mark.parametrize("number", ["1e100", "1e300000000", "1e-300000000", "-1e300000000"])
@pytest.mark.parametrize("place", ["fixed", "factor", "cost", "cap", "condition"])
def test_numbers_beyond_all_measure_are_answered_at_once(number: str, place: str) -> None:
    value = Decimal(number)
    changes: dict[str, dict[str, Any]] = {
        "fixed": {"effects": [_credit({"type": "fixed", "amount": value})]},
        "factor": {
            "effects": [_credit({"type": "multiplier", "field": "attrs.a", "factor": value})]
        },
        "cost": {"limits": {"budget": {"cost": value}}},
        "cap": {"limits": {"amount": {"day": value}}},
        "condition": {"conditions": {"attrs.a": {"gte": value}}},
    }

    # A hundred digits are far too many for an amount, and any number may be compared with.
    is_fit = number == "1e100" and place not in ("fixed", "factor")
    with nullcontext() if is_fit else pytest.raises(DocumentError):
        parse_rule(document(**changes[place]), book=BOOK)


@pytest.mark.parametrize("kind", [["a"], {"a": 1}, 5, None])
def test_a_type_that_is_no_text_is_a_fault(kind: Any) -> None:
    effects = [{"type": kind}, _credit({"type": kind, "amount": 1})]

    with pytest.raises(DocumentError) as caught:
        parse_rule(document(effects=effects), book=BOOK)

    paths = {detail.field for detail in caught.value.details}
    assert {"effects.0.type", "effects.1.amount.type"} <= paths


def _credit(amount: dict[str, Any]) -> dict[str, Any]:
    return {"type": "credit", "currency_id": "gold", "amount": amount}
