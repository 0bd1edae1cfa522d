from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.exceptions import AmountRangeError
from rewards.types.rules import Spent, Use
from tests.rewards.rule_cast import (
    BUNDLE,
    CROWN,
    NOON,
    PRIZES,
    SWORD,
    FakeWorld,
    event,
    facts,
    fixed,
    reasons_of,
    rule,
    verdicts_of,
)

GRANT = {"type": "grant", "item_id": str(SWORD)}


def credit(amount: Any, currency_id: str = "gold") -> dict[str, Any]:
    return {"type": "credit", "currency_id": currency_id, "amount": amount}


def credited(effects: list[dict[str, Any]], attrs: dict[str, Any], **limits: Any) -> list[Decimal]:
    world = FakeWorld()
    verdicts_of([rule(effects=effects, limits=limits)], event(attrs=attrs), world)
    return [planned.amount for verdict in world.fired for planned in verdict.effects]


# --- Conditions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "fires"),
    [
        ({}, True),
        ({"attrs.bet": {"gte": 20}}, True),
        ({"attrs.bet": {"gte": 30}}, False),
        ({"event.attrs.bet": {"gte": 20}}, True),
        ({"event.type": {"eq": "game.completed"}}, True),
        ({"player.country": {"eq": "SE"}}, True),
        ({"player.tags.vip": {"eq": True}}, True),
        ({"player.tags.whale": {"exists": False}}, True),
        ({"player.registered_at": {"lt": "2026-01-01T00:00:00Z"}}, True),
        ({"player.age": {"gte": 18}}, False),
        ({"wallet.gold.available": {"gte": 100}}, True),
        ({"wallet.gold.available": {"gt": 100}}, False),
        ({"wallet.gold.lifetime": {"eq": 0}}, True),
        ({"now.hour": {"eq": 13}}, True),
        ({"now.weekday": {"in": ["thursday"]}}, True),
        ({"now.date": {"eq": "2026-03-05"}}, True),
        ({"attrs.win": {"exists": True}}, False),
        ({"op": "gte", "field": "attrs.bet", "value_expression": "attrs.win * 2"}, False),
        ({"op": "gte", "field": "attrs.bet", "value_expression": "attrs.stake * 2"}, True),
    ],
)
def test_conditions_read_the_event_the_player_the_wallet_and_the_clock(
    conditions: Any, fires: bool
) -> None:
    world = FakeWorld(
        wallets={"gold": Decimal(100)},
        player={
            "country": "SE",
            "tags": {"vip": True},
            "registered_at": datetime(2025, 5, 1, tzinfo=UTC),
        },
    )
    happened = event(attrs={"bet": 25, "stake": 10})

    found = verdicts_of([rule(conditions=conditions, timezone="Europe/Stockholm")], happened, world)

    assert [verdict.is_fired for verdict in found] == ([True] if fires else [])


def test_all_conditions_are_asked_before_the_first_rule_fires() -> None:
    giver = rule(rule_id="giver", priority=2)
    rich = rule(rule_id="rich", conditions={"wallet.gold.available": {"gte": 50}})

    assert reasons_of(verdicts_of([giver, rich], event())) == {"giver": None}


@pytest.mark.parametrize(("offset", "fires"), [(-1, False), (0, True), (59, True), (60, False)])
def test_dates_include_their_start_and_not_their_end(offset: int, fires: bool) -> None:
    dated = rule(starts_at="2026-03-05T12:00:00Z", ends_at="2026-03-05T12:01:00Z")
    happened = event(occurred_at=NOON + timedelta(seconds=offset))

    assert bool(verdicts_of([dated], happened)) is fires


# --- Amounts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "attrs", "expected"),
    [
        (fixed(50), {}, 50),
        (
            {"type": "multiplier", "field": "attrs.score", "factor": Decimal("0.1")},
            {"score": 129},
            12,
        ),
        ({"type": "multiplier", "field": "attrs.score", "factor": 1}, {"score": -5}, 0),
        ({"type": "multiplier", "field": "attrs.score", "factor": 1}, {"score": "5"}, 0),
        ({"type": "multiplier", "field": "attrs.score", "factor": 1}, {}, 0),
        ({"type": "multiplier", "field": "event.attrs.score", "factor": 1}, {"score": 3}, 3),
        ({"type": "step", "field": "attrs.amount", "per": 10, "amount": 1}, {"amount": 39}, 3),
        ({"type": "step", "field": "attrs.amount", "per": 10, "amount": 2}, {"amount": 9}, 0),
        (
            {"type": "step", "field": "attrs.amount", "per": Decimal("0.1"), "amount": 1},
            {"amount": Decimal("0.3")},
            3,
        ),
        ({"type": "expression", "expression": "attrs.a / 3"}, {"a": 10}, 3),
        ({"type": "expression", "expression": "attrs.a - 5"}, {"a": 1}, 0),
        ({"type": "expression", "expression": "attrs.a"}, {}, 0),
    ],
)
def test_amounts_are_worked_out_and_rounded_toward_zero(
    amount: Any, attrs: dict[str, Any], expected: int
) -> None:
    assert credited([credit(amount)], attrs) == [expected]


def test_an_amount_that_no_wallet_can_hold_is_refused() -> None:
    endless = rule(effects=[credit({"type": "multiplier", "field": "attrs.n", "factor": 10})])

    with pytest.raises(AmountRangeError):
        verdicts_of([endless], event(attrs={"n": 10**30}))


# --- Limits --------------------------------------------------------------------------------------


def test_a_limit_counts_firings_of_the_day_in_the_rules_zone() -> None:
    daily = rule(limits={"per_player": {"day": 1}}, timezone="America/New_York")
    world = FakeWorld()
    late_evening = datetime(2026, 3, 6, 4, 30, tzinfo=UTC)  # 23:30 on the 5th over there

    verdicts_of([daily], event(occurred_at=late_evening), world)
    (same_day,) = verdicts_of([daily], event(occurred_at=NOON), world)
    (next_day,) = verdicts_of([daily], event(occurred_at=late_evening + timedelta(hours=1)), world)

    assert same_day.reason == "limit_day"
    assert same_day.text == "Already granted 1 of 1 on 2026-03-05 (America/New_York)."
    assert next_day.is_fired


@pytest.mark.parametrize(
    ("period", "bucket", "reason"),
    [
        ("day", "d:2026-03-05", "limit_day"),
        ("week", "w:2026-03-02", "limit_week"),
        ("total", "total", "limit_total"),
    ],
)
def test_each_period_has_its_reason(period: str, bucket: str, reason: str) -> None:
    limited = rule(limits={"per_player": {period: 3}})
    world = FakeWorld(uses={("big-win", bucket): Use(3)})

    assert reasons_of(verdicts_of([limited], event(), world)) == {"big-win": reason}


def test_caps_clip_and_a_credit_clipped_to_nothing_is_refused() -> None:
    capped = rule(limits={"amount": {"day": 120}})
    world = FakeWorld()

    first, second, third, fourth = (verdicts_of([capped], event(), world)[0] for _ in range(4))

    assert [first.credited, second.credited, third.credited] == [50, 50, 20]
    assert first.clipped_from is None
    assert third.clipped_from == 50
    assert fourth.reason == "amount_cap"
    assert "120 per day" in fourth.text


def test_the_smallest_cap_counts_over_all_credits_of_a_firing() -> None:
    effects = [credit(fixed(30)), GRANT, credit(fixed(30), "xp"), credit(fixed(30))]

    assert credited(effects, {}, amount={"event": 50, "week": 70}) == [30, 0, 20, 0]


def test_a_clipped_amount_has_the_decimals_of_its_currency() -> None:
    effects = [credit(fixed(30))]

    assert credited(effects, {}, amount={"event": Decimal("7.5")}) == [7]


def test_a_rule_without_credits_is_not_capped() -> None:
    granted = rule(effects=[GRANT], limits={"amount": {"day": 1}})
    world = FakeWorld(uses={("big-win", "d:2026-03-05"): Use(5, Decimal(5))})

    assert verdicts_of([granted], event(), world)[0].is_fired


@given(st.lists(st.integers(1, 200), max_size=20), st.integers(1, 300), st.integers(1, 200))
def test_whatever_comes_the_caps_hold(scores: list[int], per_day: int, per_event: int) -> None:
    amount = {"type": "multiplier", "field": "attrs.score", "factor": 1}
    capped = rule(effects=[credit(amount)], limits={"amount": {"day": per_day, "event": per_event}})
    world = FakeWorld()

    for score in scores:
        verdicts_of([capped], event(attrs={"score": score}), world)

    wanted = sum(min(score, per_event) for score in scores)
    assert sum(verdict.credited for verdict in world.fired) == min(wanted, per_day)
    assert all(0 < verdict.credited <= per_event for verdict in world.fired)


# --- Groups --------------------------------------------------------------------------------------


def grouped(rule_id: str, mode: str, **changes: Any) -> Any:
    return rule(rule_id=rule_id, group={"name": "bonuses", "mode": mode}, **changes)


def test_acceptance_13_of_a_first_group_the_highest_priority_fires() -> None:
    low, high = grouped("low", "first", priority=10), grouped("high", "first", priority=20)

    found = verdicts_of([low, high], event())

    assert reasons_of(found) == {"high": None, "low": "group_lost"}
    assert "high" in found[1].text


def test_of_a_best_group_the_most_expensive_fires() -> None:
    cheap = grouped("cheap", "best", priority=20)
    dear = grouped("dear", "best", priority=10, effects=[GRANT])

    assert reasons_of(verdicts_of([cheap, dear], event())) == {"cheap": "group_lost", "dear": None}


def test_equals_of_a_best_group_go_by_priority_then_id() -> None:
    rules = [grouped("b", "best"), grouped("a", "best")]

    assert reasons_of(verdicts_of(rules, event())) == {"a": None, "b": "group_lost"}


def test_all_of_an_all_group_fire() -> None:
    rules = [grouped("b", "all"), grouped("a", "all")]

    assert reasons_of(verdicts_of(rules, event())) == {"a": None, "b": None}


def test_a_rule_at_its_limit_does_not_stand_in_the_way_of_its_group() -> None:
    used_up = grouped("used-up", "first", priority=20, limits={"per_player": {"total": 1}})
    other = grouped("other", "first", priority=10)
    world = FakeWorld(uses={("used-up", "total"): Use(1)})

    assert reasons_of(verdicts_of([used_up, other], event(), world)) == {
        "used-up": "limit_total",
        "other": None,
    }


# --- Budget and balance --------------------------------------------------------------------------


def test_a_budget_of_firings_is_used_up_exactly() -> None:
    budgeted = rule(limits={"budget": {"firings": 3}})
    world = FakeWorld()

    found = [verdicts_of([budgeted], event(), world)[0].reason for _ in range(5)]

    assert found == [None, None, None, "budget_exhausted", "budget_exhausted"]


def test_a_firing_that_does_not_fit_the_budget_whole_is_refused() -> None:
    costly = rule(effects=[GRANT, credit(fixed(100))], limits={"budget": {"cost": 11}})
    world = FakeWorld(budgets={"big-win": Spent(1, Decimal(6))})

    (verdict,) = verdicts_of([costly], event(), world)

    assert verdict.cost == 6
    assert verdict.reason == "budget_exhausted"
    assert verdict.text == "It costs 6; of the budget 5 is left."


def test_a_debit_needs_its_balance() -> None:
    effects = [{"type": "debit", "currency_id": "gold", "amount": fixed(30)}, GRANT]
    poor, rich = FakeWorld(), FakeWorld(wallets={"gold": Decimal(30)})

    assert reasons_of(verdicts_of([rule(effects=effects)], event(), poor)) == {
        "big-win": "insufficient_balance"
    }
    assert verdicts_of([rule(effects=effects)], event(), rich)[0].is_fired


def test_a_credit_pays_for_a_later_debit_of_the_firing() -> None:
    debit = {"type": "debit", "currency_id": "gold", "amount": fixed(30)}

    assert verdicts_of([rule(effects=[credit(fixed(30)), debit])], event())[0].is_fired
    assert not verdicts_of([rule(effects=[debit, credit(fixed(30))])], event())[0].is_fired


def test_a_second_rule_sees_what_the_first_one_took() -> None:
    effects = [{"type": "debit", "currency_id": "gold", "amount": fixed(30)}]
    world = FakeWorld(wallets={"gold": Decimal(50)})
    rules = [rule(rule_id="a", effects=effects), rule(rule_id="b", effects=effects)]

    assert reasons_of(verdicts_of(rules, event(), world)) == {
        "a": None,
        "b": "insufficient_balance",
    }


# --- The player and the chain --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"ban_scopes": frozenset({"rewards"})}, "player_blocked"),
        ({"ban_scopes": frozenset({"all"})}, "player_blocked"),
        ({"ban_scopes": frozenset({"chat"})}, None),
        ({"status": "self_excluded"}, "player_blocked"),
        ({"status": "closed"}, "player_blocked"),
        ({"is_opted_out": True}, "opted_out"),
    ],
)
def test_a_player_who_must_not_get_anything_gets_nothing(
    state: dict[str, Any], reason: str | None
) -> None:
    found = verdicts_of([rule()], event(), player=facts(**state))

    assert reasons_of(found) == {"big-win": reason}


@pytest.mark.parametrize(("depth", "reason"), [(7, None), (8, "chain_too_deep")])
def test_a_chain_is_cut_at_depth_8(depth: int, reason: str | None) -> None:
    assert reasons_of(verdicts_of([rule()], event(depth=depth))) == {"big-win": reason}


# --- Grants and traces ---------------------------------------------------------------------------


@pytest.mark.parametrize(("rank", "items"), [(1, [CROWN]), (3, [SWORD]), (4, [])])
def test_a_config_gives_the_items_of_the_tier_that_the_event_names(
    rank: int, items: list[Any]
) -> None:
    placed = rule(
        trigger={"type": "platform", "names": ["leaderboard.placed"]},
        effects=[{"type": "grant", "reward_config_id": str(PRIZES)}],
    )

    (verdict,) = verdicts_of([placed], event("leaderboard.placed", attrs={"rank": rank}))

    assert list(verdict.effects[0].item_ids) == items


def test_a_config_of_one_tier_gives_all_its_items_and_costs_their_sum() -> None:
    effects = [{"type": "grant", "reward_config_id": str(BUNDLE)}]

    (verdict,) = verdicts_of([rule(effects=effects)], event())

    assert verdict.effects[0].item_ids == (SWORD, CROWN)
    assert verdict.cost == 55


def test_a_verdict_says_what_each_comparison_saw() -> None:
    conditions = {"attrs.bet": {"gte": 20}, "attrs.win": {"exists": False}}

    (verdict,) = verdicts_of([rule(conditions=conditions)], event(attrs={"bet": 25}))

    seen = [(line.field, line.expected, line.actual, line.result) for line in verdict.trace]
    assert seen == [("attrs.bet", 20, 25, True), ("attrs.win", False, None, True)]
