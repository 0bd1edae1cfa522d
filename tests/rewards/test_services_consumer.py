from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ingestion.models import Cursor, QuarantineEntry
from ingestion.services import quarantine
from rewards.constants import RULES
from rewards.models import (
    AchievementProgress,
    Coupon,
    CouponCode,
    LedgerTransaction,
    Refusal,
    RewardConfig,
    RuleBudget,
    RuleNotice,
    RuleUse,
)
from rewards.rules import engine
from rewards.services import ladders, rule_desk, rules
from rewards.services import refusals as refusal_service
from rewards.services.documents import bump
from tenants.models import AuditEntry, Tenant
from tenants.services.audit import SYSTEM
from tests.rewards import achievement_cast, coupon_cast
from tests.rewards.rule_log import (
    BEFORE,
    NOON,
    activate,
    active,
    balance,
    credit,
    currency,
    draft,
    firings,
    grant,
    grants,
    item,
    pause,
    player,
    process,
    refusals,
    send,
)

# The batch ends before transactions that still run, so what it reads has to be committed.
pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)


@pytest.fixture
def tenant(tenant_a: Tenant) -> Tenant:
    currency(tenant_a, "gold", unit_cost=Decimal("0.01"))
    currency(tenant_a, "xp", is_spendable=False, role="xp")
    return tenant_a


# --- Effects -------------------------------------------------------------------------------------


def test_acceptance_9_an_earning_rule_credits_up_to_its_cap_and_says_what_it_clipped(
    tenant: Tenant,
) -> None:
    active(
        tenant,
        rule_id="xp",
        kind="earning",
        effects=[credit(50, "xp")],
        limits={"amount": {"day": 120}},
    )
    for minute in range(4):
        send(tenant, at=NOON + timedelta(minutes=minute))
    process()

    found = firings(tenant, "xp")
    assert [fired.effects[0]["amount"] for fired in found] == ["50", "50", "20"]
    assert [fired.clipped_from for fired in found] == [None, None, 50]
    assert refusals(tenant, "xp") == ["amount_cap"]
    assert balance(tenant, currency_id="xp") == 120
    money = LedgerTransaction.objects.get(pk=found[2].effects[0]["transaction_id"])
    assert (money.cause_kind, money.cause_id) == ("firing", str(found[2].pk))


def test_acceptance_10_a_matching_event_grants_and_another_leaves_no_row(tenant: Tenant) -> None:
    sword = item(tenant, unit_cost=5)
    active(tenant, effects=[grant(sword)], conditions={"attrs.bet": {"gte": 20}})
    send(tenant, bet=25)
    send(tenant, bet=5)
    process()

    (fired,) = firings(tenant)
    (given,) = grants(tenant)
    (effect,) = fired.effects
    assert effect == {
        "type": "grant",
        "item_id": str(sword.pk),
        "grant_id": str(given.pk),
        "cost": "5",
    }
    assert (fired.cost, given.rule_version, given.firing_id) == (5, 1, fired.pk)
    assert fired.trace[0]["actual"] == 25
    assert refusals(tenant) == []


def test_acceptance_11_a_second_event_of_the_day_meets_the_limit(tenant: Tenant) -> None:
    active(tenant, effects=[grant(item(tenant))], limits={"per_player": {"day": 1}})
    send(tenant)
    send(tenant)
    send(tenant, "ben")
    send(tenant, at=NOON + DAY)
    process()

    assert refusals(tenant) == ["limit_day"]
    assert "1 of 1" in Refusal.objects.get().text
    assert len(grants(tenant)) == 2
    assert len(grants(tenant, "ben")) == 1


def test_the_limit_holds_in_a_later_batch_too(tenant: Tenant) -> None:
    active(tenant, limits={"per_player": {"week": 2}, "amount": {"week": 80}})
    send(tenant)
    process()
    send(tenant)
    process()
    send(tenant)
    process()

    assert balance(tenant) == 80
    assert refusals(tenant) == ["limit_week"]


def test_one_firing_applies_all_its_effects_as_one_group(tenant: Tenant) -> None:
    sword, crown = item(tenant), item(tenant, "Crown")
    goal = achievement_cast.make(tenant)
    active(
        tenant,
        effects=[
            credit(30),
            grant(sword),
            {"type": "debit", "currency_id": "gold", "amount": {"type": "fixed", "amount": 10}},
            grant(crown),
            {"type": "progress", "goal": f"achievement:{goal.pk}", "amount": 2},
        ],
    )
    send(tenant)
    process()

    assert balance(tenant) == 20
    given = grants(tenant)
    assert {(one.group_id, one.group_total) for one in given} == {(given[0].group_id, 2)}
    assert [effect["type"] for effect in firings(tenant)[0].effects] == [
        *("credit", "grant", "debit", "grant", "progress")
    ]
    assert AchievementProgress.objects.get().added == 2


def test_a_rule_gives_codes_configs_and_progress_of_streaks(tenant: Tenant) -> None:
    sword = item(tenant, unit_cost=2)
    coupon = coupon_cast.make_coupon(tenant)
    tiers = [{"name": "all", "threshold": 1, "item_ids": [str(sword.pk)], "by_category": {}}]
    config = RewardConfig.objects.create(
        tenant=tenant, name="Bundle", config_type="achievement", tiers=tiers
    )
    active(
        tenant,
        effects=[
            {"type": "coupon", "coupon_id": str(coupon.pk)},
            {"type": "grant", "reward_config_id": str(config.pk)},
        ],
    )
    send(tenant)
    process()
    Coupon.objects.update(status="archived")
    bump(tenant.pk)
    send(tenant)
    process()

    first, second = firings(tenant)
    code = CouponCode.objects.get(player__external_id="ana")
    assert first.effects[0]["code"] == code.code
    assert first.effects[1]["reward_config_id"] == str(config.pk)
    assert (first.cost, len(grants(tenant))) == (2, 2)
    # Archived meanwhile: said, and no reason to withhold the rest.
    assert "error" in second.effects[0]


def test_a_debit_that_the_wallet_cannot_pay_refuses_the_whole_firing(tenant: Tenant) -> None:
    debit = {"type": "debit", "currency_id": "gold", "amount": {"type": "fixed", "amount": 10}}
    active(tenant, effects=[grant(item(tenant)), debit])
    send(tenant)
    process()

    assert refusals(tenant) == ["insufficient_balance"]
    assert grants(tenant) == []


def test_an_event_without_player_or_of_history_fires_nothing(tenant: Tenant) -> None:
    active(tenant)
    send(tenant, None)
    send(tenant, source="import")
    process()

    assert firings(tenant) == []


# --- Budgets and groups --------------------------------------------------------------------------


def test_acceptance_12_a_budget_is_used_up_exactly_and_told_once(tenant: Tenant) -> None:
    active(tenant, effects=[grant(item(tenant))], limits={"budget": {"firings": 10}})
    for number in range(100):
        send(tenant, f"player-{number}")
    process(limit=7)

    assert len(firings(tenant)) == 10
    assert refusals(tenant) == ["budget_exhausted"] * 90
    assert list(RuleNotice.objects.order_by("share").values_list("share", flat=True)) == [80, 100]
    assert AuditEntry.objects.filter(action="rule.budget").count() == 2
    assert RuleBudget.objects.get().firings == 10


def test_a_raised_budget_resumes_and_grants_nothing_that_was_refused(tenant: Tenant) -> None:
    active(tenant, limits={"budget": {"cost": 1}})
    for minute in range(3):
        send(tenant, at=NOON + timedelta(minutes=minute))
    process()
    rules.patch_rule(
        tenant.pk, "big-win", {"limits": {"budget": {"cost": 2}}}, actor=SYSTEM, now=NOON + DAY
    )
    activate(tenant, now=NOON + DAY)
    for minute in range(3):
        send(tenant, at=NOON + 2 * DAY + timedelta(minutes=minute))
    process(now=NOON + 3 * DAY)

    assert len(firings(tenant)) == 4
    assert RuleBudget.objects.get().cost == 2
    assert [notice.share for notice in RuleNotice.objects.order_by("at", "share")] == [
        *(80, 100, 80, 100)
    ]


def test_acceptance_13_of_a_first_group_only_the_highest_priority_fires(tenant: Tenant) -> None:
    group = {"name": "bonuses", "mode": "first"}
    active(tenant, rule_id="low", priority=10, group=group)
    active(tenant, rule_id="high", priority=20, group=group)
    send(tenant)
    process()

    assert len(firings(tenant, "high")) == 1
    assert refusals(tenant, "low") == ["group_lost"]


# --- Versions over time --------------------------------------------------------------------------


def test_acceptance_14_events_are_judged_by_the_version_in_force_when_they_came(
    tenant: Tenant,
) -> None:
    active(tenant, conditions={"attrs.bet": {"gte": 20}})
    send(tenant, bet=25)
    rules.patch_rule(
        tenant.pk, "big-win", {"conditions": {"attrs.bet": {"gte": 50}}}, actor=SYSTEM, now=NOON
    )
    activate(tenant, now=NOON + DAY)
    send(tenant, bet=30, at=NOON + 2 * DAY)
    send(tenant, bet=60, at=NOON + 2 * DAY)
    # Came before the change, is worked on after it.
    send(tenant, bet=40, at=NOON + timedelta(hours=1))
    process(now=NOON + 3 * DAY)
    Cursor.objects.filter(consumer=RULES).delete()
    process(now=NOON + 4 * DAY)

    assert [fired.version for fired in firings(tenant)] == [1, 2, 1]
    assert balance(tenant) == 150


def test_an_event_that_occurred_outside_the_dates_fires_nothing(tenant: Tenant) -> None:
    active(tenant, starts_at="2026-03-05T12:00:00Z", ends_at="2026-03-05T13:00:00Z")
    for at in (NOON - timedelta(seconds=1), NOON, NOON + timedelta(hours=1)):
        send(tenant, at=at, received_at=NOON + timedelta(hours=2))
    process()

    assert [fired.occurred_at for fired in firings(tenant)] == [NOON]


def test_acceptance_18_a_paused_rule_judges_only_what_came_while_it_was_active(
    tenant: Tenant,
) -> None:
    active(tenant)
    pause(tenant, now=NOON)
    send(tenant, at=NOON + timedelta(minutes=1))
    activate(tenant, now=NOON + DAY)
    send(tenant, at=NOON + 2 * DAY)
    process(now=NOON + 3 * DAY)

    assert [fired.occurred_at for fired in firings(tenant)] == [NOON + 2 * DAY]
    assert refusals(tenant) == []


def test_acceptance_18_a_player_who_opted_out_gets_nothing_and_support_sees_why(
    tenant: Tenant,
) -> None:
    player(tenant, is_opted_out=True, opt_changed_at=BEFORE, opt_reasons=["enough"])
    player(tenant, "ben", status="closed")
    active(tenant)
    send(tenant)
    send(tenant, "ben")
    process()

    assert firings(tenant) == []
    assert refusals(tenant) == ["opted_out", "player_blocked"]


def test_a_planned_activation_judges_from_its_instant_on_before_the_sweep_comes(
    tenant: Tenant,
) -> None:
    draft(tenant)
    activate(tenant, at=NOON)
    send(tenant, at=NOON - timedelta(minutes=5))
    send(tenant, at=NOON)
    process()

    assert len(firings(tenant)) == 1


def test_uses_counted_before_a_limit_existed_count_under_it(tenant: Tenant) -> None:
    active(tenant)
    send(tenant)
    send(tenant, at=NOON + timedelta(minutes=1))
    process()
    assert not RuleUse.objects.exists()
    limits = {"per_player": {"day": 3, "week": 4}, "amount": {"week": 170}}
    rules.patch_rule(tenant.pk, "big-win", {"limits": limits}, actor=SYSTEM, now=NOON)
    activate(tenant, now=NOON + timedelta(minutes=2))
    for minute in (3, 4):
        send(tenant, at=NOON + timedelta(minutes=minute))
    send(tenant, at=NOON + DAY)
    process(now=NOON + DAY)

    assert [fired.effects[0]["amount"] for fired in firings(tenant)] == ["50", "50", "50", "20"]
    assert refusals(tenant) == ["limit_day"]


# --- What fails ----------------------------------------------------------------------------------


def test_an_event_that_cannot_be_processed_is_set_aside_alone(tenant: Tenant) -> None:
    amount = {"type": "multiplier", "field": "attrs.score", "factor": 1}
    active(tenant, effects=[credit(amount)])
    send(tenant, score=1)
    send(tenant, score=10**25)
    for _ in range(10):
        send(tenant, score=1)
    process()

    assert balance(tenant) == 11
    (entry,) = QuarantineEntry.objects.all()
    assert (entry.consumer, entry.code) == (RULES, "out_of_range")


def test_a_mistake_of_ours_sets_the_event_aside_and_a_replay_makes_it_good(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    active(tenant)
    send(tenant)
    send(tenant, "ben")
    judged = engine.judge

    def fail_for_ana(event: Any, *arguments: Any) -> Any:
        if event.user_id == "ana":
            raise ZeroDivisionError
        return judged(event, *arguments)

    monkeypatch.setattr(rule_desk, "judge", fail_for_ana)
    process()
    monkeypatch.undo()
    (entry,) = QuarantineEntry.objects.all()
    assert balance(tenant) == 0
    assert balance(tenant, "ben") == 50

    quarantine.replay(entry.pk, actor=SYSTEM, reason="mended", now=NOON)

    assert balance(tenant) == 50


def test_a_draft_fires_nothing(tenant: Tenant) -> None:
    draft(tenant)
    send(tenant)
    process()

    assert firings(tenant) == []


def test_events_of_two_tenants_meet_their_own_rules(tenant: Tenant, tenant_b: Tenant) -> None:
    currency(tenant_b, "gold")
    active(tenant, effects=[credit(1)])
    active(tenant_b, effects=[credit(2)])
    send(tenant)
    send(tenant_b)
    process()

    assert balance(tenant) == 1
    assert balance(tenant_b) == 2


def test_old_refusals_are_forgotten(tenant: Tenant) -> None:
    active(tenant, limits={"per_player": {"total": 1}})
    for minute in range(3):
        send(tenant, at=NOON + timedelta(minutes=minute))
    process()

    assert refusal_service.purge_refusals(now=NOON + 89 * DAY) == 0
    assert refusal_service.purge_refusals(now=NOON + 91 * DAY) == 2


def test_a_batch_asks_the_database_as_often_for_many_events_as_for_few(
    tenant: Tenant, django_assert_max_num_queries: Any
) -> None:
    sword = item(tenant)
    limits = {"per_player": {"day": 1}, "budget": {"firings": 1000}}
    active(tenant, effects=[grant(sword), credit(5)], limits=limits)
    active(tenant, rule_id="xp", effects=[credit(1, "xp")])
    send(tenant, "warm-up")
    process()

    for number in range(60):
        send(tenant, f"player-{number % 30}")
    with django_assert_max_num_queries(8 * 45):
        process()

    assert len(firings(tenant)) == 31


# --- Levels --------------------------------------------------------------------------------------


def ladder(tenant: Tenant, *thresholds: int) -> None:
    ladders.create_ladder(
        tenant.pk,
        {
            "ladder_id": "levels",
            "name": "Levels",
            "currency_id": "xp",
            "levels": [
                {"level": level, "xp_required": required}
                for level, required in enumerate(thresholds, start=1)
            ],
            "ranks": [{"rank_id": "gold", "name": "Gold", "levels": [2]}],
        },
        actor=SYSTEM,
        now=BEFORE,
    )


def test_acceptance_17_a_rule_that_feeds_itself_is_cut_at_depth_8(tenant: Tenant) -> None:
    ladder(tenant, *range(0, 2000, 100))
    reached = {"type": "platform", "names": ["level.reached"]}
    active(tenant, rule_id="begin", effects=[credit(100, "xp")])
    active(tenant, rule_id="endless", trigger=reached, effects=[credit(100, "xp")])
    send(tenant)
    process()

    assert len(firings(tenant, "begin")) == 1
    assert len(firings(tenant, "endless")) == 7
    assert refusals(tenant, "endless") == ["chain_too_deep"]
    assert balance(tenant, currency_id="xp") == 800


def test_conditions_read_level_and_rank(tenant: Tenant) -> None:
    ladder(tenant, 0, 100, 200)
    active(tenant, rule_id="xp", effects=[credit(100, "xp")], priority=9)
    active(tenant, conditions={"player.level": {"gte": 2}, "player.rank": {"eq": "gold"}})
    for minute in range(3):
        send(tenant, at=NOON + timedelta(minutes=minute))
    process()

    assert [fired.occurred_at for fired in firings(tenant)] == [NOON + timedelta(minutes=1)]
