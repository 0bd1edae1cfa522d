"""Backtests over the log (RUL-18): acceptance 16, the state at the beginning, jobs, gateways."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingestion import selectors as ingestion
from ingestion.models import Event
from ingestion.services.store import store_rows
from phoenix_site.common.exceptions import NotFoundError
from players.services import bans
from rewards.models import (
    Firing,
    Grant,
    Job,
    LedgerTransaction,
    Refusal,
    RewardItem,
    Rule,
    RuleBudget,
    RuleUse,
)
from rewards.rules.backtesting import Simulation
from rewards.selectors import backtests as selectors
from rewards.selectors.currencies import currency_view
from rewards.services import jobs, rules
from rewards.services.jobs import JobCancelledError
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.ingestion.factories import log_row
from tests.leaderboards.admin_cast import BackOffice
from tests.rewards.backtest_cast import (
    FIRST,
    NOW,
    PERIOD,
    backtest,
    bet,
    start,
    store_known_events,
    work,
)
from tests.rewards.ledger_cast import credit as credit_wallet
from tests.rewards.rule_log import (
    BEFORE,
    activate,
    active,
    credit,
    currency,
    document,
    draft,
    grant,
    item,
    player,
)

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def at_least(amount: int) -> dict[str, Any]:
    return {"op": "gte", "field": "attrs.bet", "value": amount}


@pytest.fixture
def tenant(tenant_a: Tenant) -> Tenant:
    currency(tenant_a, "gold", unit_cost=Decimal("0.01"))
    return tenant_a


@pytest.fixture
def sword(tenant: Tenant) -> RewardItem:
    return item(tenant, "Sword", unit_cost=Decimal(5))


def edit(tenant: Tenant, **changes: Any) -> None:
    rules.replace_rule(tenant.pk, "big-win", document(**changes), actor=SYSTEM, now=BEFORE)


def test_acceptance_16_two_versions_over_1000_known_events_equal_a_hand_computed_table(
    tenant: Tenant, sword: RewardItem
) -> None:
    effects = [credit(10), grant(sword)]
    active(tenant, conditions=at_least(20), effects=effects)
    few = {
        "op": "or",
        "conditions": [at_least(50), {"op": "lt", "field": "attrs.bet", "value": 10}],
    }
    edit(tenant, conditions=few, effects=effects)
    store_known_events(tenant)

    found = backtest(tenant, version=2, compare_to=1)

    # Of every hundred events version 1 takes 20 of each of p1 to p4; version 2 takes the ten
    # lowest bets of p0, ten of p2, and all 20 of p3 and p4. Each costs 5 + 10 * 0.01.
    assert {name: found[name] for name in found if name not in ("notes", "diff")} == {
        "backtest_id": found["backtest_id"],
        "rule_id": "big-win",
        "version": 2,
        "compare_to": 1,
        **PERIOD,
        "start": "empty",
        "events_read": 1000,
        "events_matched": 600,
        "firings": 600,
        "players": 4,
        "cost": 3060,
        "credited": [{"currency_id": "gold", "amount": 6000}],
        "items": [{"item_id": str(sword.pk), "count": 600, "cost": 3000}],
        "refused": {},
        "budget_reached_at": None,
        "per_day": [
            {"day": "2026-03-02", "firings": 130, "cost": 663},
            {"day": "2026-03-03", "firings": 170, "cost": 867},
            {"day": "2026-03-04", "firings": 130, "cost": 663},
            {"day": "2026-03-05", "firings": 170, "cost": 867},
        ],
        "top_recipients": [
            {"user_id": "p3", "firings": 200, "cost": 1020},
            {"user_id": "p4", "firings": 200, "cost": 1020},
            {"user_id": "p0", "firings": 100, "cost": 510},
            {"user_id": "p2", "firings": 100, "cost": 510},
        ],
        "input_hash": found["input_hash"],
        "result_hash": found["result_hash"],
    }
    assert found["diff"] == {
        "firings": [800, 600],
        "cost": [4080, 3060],
        "players_gaining": 1,
        "players_losing": 2,
        "top_changes": [
            {"user_id": "p1", "before": 200, "after": 0, "cost": [1020, 0]},
            {"user_id": "p0", "before": 0, "after": 100, "cost": [0, 510]},
            {"user_id": "p2", "before": 200, "after": 100, "cost": [1020, 510]},
        ],
    }
    assert "segments and profiles as of today" in found["notes"]
    written = (Firing, Refusal, Grant, LedgerTransaction, RuleUse, RuleBudget)
    assert [model.objects.count() for model in written] == [0] * len(written)
    again = backtest(tenant, version=2, compare_to=1)
    assert again["result_hash"] == found["result_hash"]
    assert again["input_hash"] == found["input_hash"]


def test_acceptance_16_limits_and_budget_are_simulated_over_the_known_events(
    tenant: Tenant, sword: RewardItem
) -> None:
    limits = {"per_player": {"day": 5}, "budget": {"cost": 250}}
    draft(tenant, conditions=at_least(20), effects=[grant(sword)], limits=limits)
    store_known_events(tenant)

    found = backtest(tenant)

    # Five a day for each of p1 to p4 cost 100, so 250 end with the tenth firing of the third day.
    assert (found["firings"], found["cost"]) == (50, 250)
    assert [line["firings"] for line in found["per_day"]] == [20, 20, 10]
    assert found["budget_reached_at"] == "2026-03-04T06:00:44Z"
    assert found["events_matched"] == 800
    assert sum(found["refused"].values()) == 750
    assert found["refused"].keys() == {"budget_exhausted", "limit_day"}


def test_only_events_of_the_period_the_types_and_the_tenant_are_read(
    tenant: Tenant, tenant_b: Tenant
) -> None:
    draft(tenant, trigger={"type": "event", "names": ["game.*", "bet"]})
    for event_id, type_, at in (
        ("early", "game.completed", FIRST - DAY),
        ("in", "game.completed", FIRST),
        ("other", "games.completed", FIRST),
        ("named", "bet", FIRST),
        ("late", "game.completed", FIRST + 9 * DAY),
    ):
        store_rows([log_row(event_id, type=type_, occurred_at=at)])
    internal = log_row("own", type="game.over", occurred_at=FIRST)
    store_rows([internal._replace(source="internal")])
    bet(tenant_b, "cleo", 50)

    found = backtest(tenant)

    assert (found["events_read"], found["firings"], found["players"]) == (2, 2, 1)


def test_imported_history_counts_though_no_rule_fired_for_it(tenant: Tenant) -> None:
    draft(tenant)
    store_rows([log_row("old", occurred_at=FIRST)._replace(source="import")])

    found = backtest(tenant)

    assert found["firings"] == 1
    assert "1 events are imported history, for which no rule fires" in found["notes"]


def test_events_are_judged_in_the_order_of_the_log(tenant: Tenant) -> None:
    draft(tenant, limits={"per_player": {"total": 1}}, effects=[credit(bets())])
    # The later event was stored first.
    bet(tenant, "ana", 7, FIRST + DAY)
    bet(tenant, "ana", 3, FIRST)

    assert backtest(tenant)["credited"] == [{"currency_id": "gold", "amount": 7}]


def bets() -> dict[str, Any]:
    return {"type": "multiplier", "field": "attrs.bet", "factor": 1}


def test_the_other_active_rules_of_the_group_take_part(tenant: Tenant) -> None:
    group = {"name": "wins", "mode": "first"}
    active(tenant, rule_id="vip", priority=20, conditions=at_least(50), group=group)
    draft(tenant, rule_id="asleep", priority=30, group=group)
    draft(tenant, priority=10, group=group)
    bet(tenant, "ana", 60)
    bet(tenant, "ana", 5)

    found = backtest(tenant)

    assert (found["firings"], found["refused"]) == (1, {"group_lost": 1})
    assert "the other active rules of the group take part: vip" in found["notes"]


def test_players_are_read_as_they_are_today(tenant: Tenant) -> None:
    condition = {"op": "eq", "field": "player.country", "value": "SE"}
    draft(tenant, conditions=condition)
    player(tenant, "ana", country="SE")
    player(tenant, "ben", country="DE")
    banned = player(tenant, "cat", country="SE")
    bans.ban(banned.pk, scopes=["rewards"], reason="test", until=None, actor=SYSTEM, now=BEFORE)
    for name in ("ana", "ben", "cat", "nobody"):
        bet(tenant, name, 10)

    found = backtest(tenant)

    assert (found["firings"], found["refused"]) == (1, {"player_blocked": 1})


def fired(tenant: Tenant, user_id: str, at: Any, *, amount: int = 50) -> None:
    """Let the rule have fired for an event that is no longer in the log."""
    rule = Rule.objects.get(tenant=tenant, rule_id="big-win")
    Firing.objects.create(
        tenant=tenant,
        rule=rule,
        version=1,
        player=player(tenant, user_id),
        event_row=10**9 + Firing.objects.count(),
        event_id=str(uuid4()),
        occurred_at=at,
        fired_at=at,
        cost=2,
        effects=[{"type": "credit", "currency_id": "gold", "amount": str(amount)}],
        trace=[],
    )


def test_as_of_begins_with_the_uses_and_the_budget_of_that_instant(tenant: Tenant) -> None:
    limits = {
        "per_player": {"day": 2, "total": 3},
        "amount": {"day": 120},
        "budget": {"firings": 4},
    }
    active(tenant, limits=limits, timezone="Europe/Stockholm")
    # The same day in Stockholm, the day before, and after the beginning.
    fired(tenant, "ana", FIRST - timedelta(hours=6, minutes=30))
    fired(tenant, "ben", FIRST - DAY)
    fired(tenant, "cat", FIRST + DAY)
    for name in ("ana", "ben", "cat"):
        bet(tenant, name, 1, FIRST, id_=f"{name}-1")
        bet(tenant, name, 1, FIRST, id_=f"{name}-2")

    found = backtest(tenant, start="as_of", **{"from": "2026-03-02T00:00:00Z"})

    # Two firings are left of the budget: Ana's second of the day, then Ben's first.
    assert found["firings"] == 2
    assert [line["user_id"] for line in found["top_recipients"]] == ["ana", "ben"]
    assert found["refused"] == {
        "amount_cap": 0,
        "budget_exhausted": 3,
        "limit_day": 1,
        "limit_total": 0,
    }
    assert backtest(tenant)["firings"] == 4
    assert (
        "limits, budget and wallets begin with the state at 2026-03-02T00:00:00Z"
        in (found["notes"])
    )


def test_as_of_begins_with_the_wallets_of_that_instant(tenant_a: Tenant) -> None:
    gold = currency_view(currency(tenant_a, "gold"))
    ana = player(tenant_a, "ana")
    credit_wallet(ana.pk, gold, 100, now=FIRST - DAY)
    credit_wallet(ana.pk, gold, 500, now=FIRST + 2 * DAY)
    pay = {"type": "debit", "currency_id": "gold", "amount": {"type": "fixed", "amount": 60}}
    draft(tenant_a, effects=[pay])
    bet(tenant_a, "ana", 1)
    bet(tenant_a, "ana", 2)

    found = backtest(tenant_a, start="as_of")

    assert (found["firings"], found["refused"]) == (1, {"insufficient_balance": 1})
    assert backtest(tenant_a)["firings"] == 0


def test_a_version_out_of_its_dates_says_so(tenant: Tenant) -> None:
    draft(tenant, starts_at="2026-04-01T00:00:00Z")
    bet(tenant, "ana", 1)

    found = backtest(tenant)

    assert (found["events_read"], found["firings"]) == (1, 0)
    assert "1 events occurred outside the dates of version 1" in found["notes"]


def test_a_cancelled_backtest_ends_at_the_next_page(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft(tenant)
    store_known_events(tenant, range(20))
    monkeypatch.setattr(ingestion.EventPages, "__init__", pages_of(5))
    job = start(tenant)
    told: list[float] = []
    feed = Simulation.feed

    def cancel_in_the_second(self: Any, events: Any) -> None:
        feed(self, events)
        told.append(self.events_read)
        if len(told) == 2:
            jobs.cancel(tenant.pk, job.pk, now=NOW)
            raise JobCancelledError

    monkeypatch.setattr(Simulation, "feed", cancel_in_the_second)
    done = work(job)

    assert (done.status, done.result, told) == ("cancelled", {}, [5, 10])
    assert float(done.progress) == 0.25


def pages_of(size: int) -> Any:
    def make(pages: Any, name: str, count: int, _size: int) -> None:
        pages.count, pages._name, pages._size = count, name, size

    return make


def test_asking_for_the_end_stops_it(tenant: Tenant) -> None:
    draft(tenant)
    store_known_events(tenant, range(5))
    job = start(tenant)
    Job.objects.filter(pk=job.pk).update(is_cancel_requested=True)

    assert work(job).status == "cancelled"


def test_reading_takes_the_same_number_of_queries_for_any_number_of_events(
    tenant: Tenant,
) -> None:
    draft(tenant, conditions=at_least(20))
    counts = []
    for numbers in (range(25, 26), range(1000)):
        store_known_events(tenant, numbers)
        job = start(tenant)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert work(job).status == "done"
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_what_is_purged_while_it_reads_is_left_out(tenant: Tenant) -> None:
    store_known_events(tenant, range(4))
    with ingestion.events_of_period(
        tenant.pk,
        types=["game.completed"],
        occurred_from=FIRST,
        occurred_to=FIRST + DAY,
        page_size=2,
    ) as pages:
        reading = iter(pages)
        first = next(reading)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL phoenix.purge = 'events'")
            Event.objects.filter(event_id="known-0002").delete()
        second = next(reading)

    assert pages.count == 4
    assert [event.event_id for event in first + second] == [
        *("known-0000", "known-0001", "known-0003"),
    ]


# --- Asking --------------------------------------------------------------------------------------


def test_unknown_rules_and_versions_are_not_found(tenant: Tenant, tenant_b: Tenant) -> None:
    draft(tenant)

    for owner, rule_id, asked in (
        (tenant, "no-such", {}),
        (tenant, "big-win", {"version": 9}),
        (tenant, "big-win", {"compare_to": 9}),
        (tenant_b, "big-win", {}),
    ):
        with pytest.raises(NotFoundError):
            start(owner, rule_id, **asked)


def test_a_rule_shows_its_backtests(tenant: Tenant) -> None:
    rule_view = draft(tenant)
    draft(tenant, rule_id="other")
    rule = Rule.objects.get(pk=rule_view.pk)
    bet(tenant, "ana", 1)
    backtest(tenant)
    waiting = start(tenant, start="as_of")
    start(tenant, "other")

    lines = [selectors.backtest_line(job) for job in selectors.backtests_of(rule)]

    assert [line["status"] for line in lines] == ["queued", "done"]
    assert (lines[0]["job_id"], lines[0]["start"], lines[0]["result"]) == (
        *(waiting.pk, "as_of", None),
    )
    assert lines[1]["result"]["firings"] == 1


def test_the_gateway_starts_a_backtest_and_shows_its_report(
    tenant: Tenant, tenant_b: Tenant
) -> None:
    office = BackOffice(tenant)
    draft(tenant)
    bet(tenant, "ana", 1)
    path = f"/v1/tenants/{tenant.pk}/rules/big-win/backtests"

    queued = office.ask("POST", path, {"version": 1, **PERIOD})

    assert (queued.status_code, queued.json()["status"]) == (202, "queued")
    job = work(Job.objects.get(pk=queued.json()["job_id"]))
    shown = office.get(f"/v1/tenants/{tenant.pk}/jobs/{job.pk}").json()
    assert (shown["kind"], shown["result"]["firings"]) == ("backtest", 1)
    assert shown["result"]["backtest_id"] == str(job.pk)
    short = f"/v1/rules/big-win/backtests?tenant_id={tenant.pk}"
    assert office.ask("POST", short, {"version": 1, **PERIOD}).status_code == 202
    refused = office.ask("POST", path, {"version": 1, **PERIOD, "segment_id": "vip"})
    assert (refused.status_code, refused.json()["details"]) == (
        400,
        [{"field": "segment_id", "message": "not supported yet"}],
    )
    assert office.ask("POST", path, {"version": 7, **PERIOD}).status_code == 404
    reader = BackOffice(tenant, scopes=("rewards:read",))
    assert reader.ask("POST", path, {"version": 1, **PERIOD}).status_code == 403
    assert BackOffice(tenant_b).ask("POST", path, {"version": 1, **PERIOD}).status_code == 403
    theirs = path.replace(tenant.pk, tenant_b.pk)
    assert BackOffice(tenant_b).ask("POST", theirs, {"version": 1, **PERIOD}).status_code == 404


def test_a_draft_that_is_published_meanwhile_stays_what_it_is(tenant: Tenant) -> None:
    draft(tenant)
    bet(tenant, "ana", 1)
    before = backtest(tenant)
    activate(tenant)

    assert backtest(tenant)["result_hash"] == before["result_hash"]
