"""Applying a rule to the past (RUL-16): what a backtest found, to whoever never got it."""

import signal
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError

from ingestion.models import Event
from phoenix_site.common.exceptions import NotFoundError
from players.services import bans
from rewards.exceptions import DocumentError, StateConflictError
from rewards.models import Firing, Grant, Job, Refusal, RewardItem, Rule, RuleBudget, RuleNotice
from rewards.services import jobs, past, rule_changes, rules
from rewards.services.jobs import JobRun
from rewards.services.pipe import settling
from rewards.services.rule_desk import RuleDesk
from tenants.models import AuditEntry, Tenant
from tenants.services.audit import SYSTEM
from tests.leaderboards.admin_cast import BackOffice
from tests.rewards import job_kinds
from tests.rewards.backtest_cast import (
    FIRST,
    NOW,
    backtest,
    bet,
    order,
    start,
    store_known_events,
    work,
)
from tests.rewards.rule_log import (
    BEFORE,
    activate,
    active,
    balance,
    credit,
    currency,
    document,
    draft,
    firings,
    grant,
    grants,
    item,
    player,
    process,
)

pytestmark = pytest.mark.django_db

LATER = FIRST + timedelta(days=20)


def gold(tenant: Tenant, user_id: str = "ana") -> int:
    return int(balance(tenant, user_id))


def at_least(amount: int) -> dict[str, Any]:
    return {"op": "gte", "field": "attrs.bet", "value": amount}


@pytest.fixture
def tenant(tenant_a: Tenant) -> Tenant:
    currency(tenant_a, "gold", unit_cost=Decimal("0.01"))
    return tenant_a


@pytest.fixture
def sword(tenant: Tenant) -> RewardItem:
    return item(tenant, "Sword", unit_cost=Decimal(5))


def publish(tenant: Tenant, **changes: Any) -> None:
    """Publish a rule after all the events of the test: it never fired for them."""
    active(tenant, now=LATER, **changes)


def applied(tenant: Tenant, report: dict[str, Any], **changes: Any) -> dict[str, Any]:
    done = work(order(tenant, report, **changes))
    assert (done.status, done.error) == ("done", None)
    result: dict[str, Any] = done.result
    return result


def refused(job: Job) -> str:
    assert job.status == "failed"
    assert job.error is not None
    code: str = job.error["code"]
    return code


def test_what_the_backtest_found_is_given_and_marked(tenant: Tenant, sword: RewardItem) -> None:
    publish(tenant, conditions=at_least(20), effects=[credit(10), grant(sword)])
    bet(tenant, "ana", 25, id_="one")
    bet(tenant, "ana", 5)
    report = backtest(tenant)
    assert (report["firings"], gold(tenant)) == (1, 0)

    result = applied(tenant, report, reason="published late")

    assert result == {
        "backtest_id": report["backtest_id"],
        "version": 1,
        "granted": 1,
        "already_fired": 0,
        "failed": 0,
        "cost": 5.1,
        "credited": [{"currency_id": "gold", "amount": 10}],
        "refused": {},
    }
    [firing], [given] = firings(tenant), grants(tenant)
    assert (firing.is_retroactive, firing.event_id, firing.version) == (True, "one", 1)
    assert (firing.cost, firing.fired_at) == (Decimal("5.1"), NOW)
    assert (given.item_id, given.status, given.firing_id) == (sword.pk, "granted", firing.pk)
    assert gold(tenant) == 10
    entry = AuditEntry.objects.get(action="rule.applied_to_past")
    assert entry.reason == "published late"


def test_applied_twice_nothing_is_given_twice(tenant: Tenant, sword: RewardItem) -> None:
    publish(tenant, conditions=at_least(20), effects=[credit(10), grant(sword)])
    store_known_events(tenant, range(60))
    report = backtest(tenant)

    first = applied(tenant, report)
    again = applied(tenant, report)

    assert (first["granted"], first["already_fired"]) == (40, 0)
    assert (again["granted"], again["already_fired"], again["cost"]) == (0, 40, 0)
    assert (Firing.objects.count(), Grant.objects.count()) == (40, 40)
    assert (gold(tenant, "p1"), gold(tenant, "p2"), gold(tenant, "p0")) == (200, 200, 0)
    # A backtest does not look at what was given since, so its result still holds.
    assert backtest(tenant)["result_hash"] == report["result_hash"]


def test_limits_count_with_what_the_rule_gave_otherwise(tenant: Tenant) -> None:
    publish(tenant, effects=[credit(10)], limits={"per_player": {"total": 2}})
    for number in range(3):
        bet(tenant, "ana", 1, id_=f"a-{number}")
        bet(tenant, "ben", 1, id_=f"b-{number}")
    first = backtest(tenant, to="2026-03-02T06:00:00.000001Z")
    applied(tenant, first)
    bet(tenant, "ana", 1, FIRST + timedelta(days=1), id_="later")
    # From zero the later day has room of its own; in truth Ana has had both.
    second = backtest(tenant, **{"from": "2026-03-03T00:00:00Z"})

    result = applied(tenant, second)

    assert (second["firings"], result["granted"], result["refused"]) == (1, 0, {"limit_total": 1})
    assert (gold(tenant, "ana"), gold(tenant, "ben")) == (20, 20)
    assert not Refusal.objects.exists()


def test_the_budget_is_never_exceeded(tenant: Tenant) -> None:
    publish(tenant, effects=[credit(10)], limits={"budget": {"firings": 5}})
    store_known_events(tenant, range(20))
    RuleBudget.objects.update(firings=2)

    result = applied(tenant, backtest(tenant))

    assert (result["granted"], result["refused"]) == (3, {"budget_exhausted": 2})
    assert RuleBudget.objects.get().firings == 5
    assert set(RuleNotice.objects.values_list("share", flat=True)) == {80, 100}


def test_who_is_banned_meanwhile_makes_another_result(tenant: Tenant) -> None:
    publish(tenant, effects=[credit(10)])
    ana = player(tenant, "ana")
    bet(tenant, "ana", 1)
    bet(tenant, "ben", 1)
    report = backtest(tenant)
    bans.ban(ana.pk, scopes=["all"], reason="test", until=None, actor=SYSTEM, now=BEFORE)

    assert refused(work(order(tenant, report))) == "STATE_CONFLICT"
    assert not Firing.objects.exists()


def test_a_result_that_no_longer_holds_gives_nothing(tenant: Tenant) -> None:
    publish(tenant, effects=[credit(10)])
    bet(tenant, "ana", 1)
    report = backtest(tenant)
    job = order(tenant, report)
    # A late event comes in between.
    bet(tenant, "ben", 1)

    assert refused(work(job)) == "STATE_CONFLICT"
    assert not Firing.objects.exists()


def test_where_another_rule_of_the_group_fired_nothing_is_given(tenant: Tenant) -> None:
    group = {"name": "wins", "mode": "first"}
    vip = active(tenant, rule_id="vip", priority=30, group=group)
    rule_changes.archive_rule(tenant.pk, "vip", actor=SYSTEM, now=FIRST + timedelta(hours=1))
    publish(tenant, priority=20, group=group)
    bet(tenant, "ana", 1, id_="one")
    report = backtest(tenant)
    event_row = backtest_rows(tenant)["one"]
    Firing.objects.create(
        tenant=tenant,
        rule_id=vip.pk,
        version=1,
        player=player(tenant, "ana"),
        event_row=event_row,
        event_id="one",
        occurred_at=FIRST,
        fired_at=FIRST,
        effects=[],
        trace=[],
    )

    result = applied(tenant, report)

    assert (report["firings"], result["granted"]) == (1, 0)
    assert result["refused"] == {"group_lost": 1}


def backtest_rows(tenant: Tenant) -> dict[str, int]:
    return dict(Event.objects.filter(tenant=tenant).values_list("event_id", "id"))


# --- A worker that dies --------------------------------------------------------------------------


def test_a_worker_that_fails_between_steps_goes_on_behind_the_last_one(
    tenant: Tenant, sword: RewardItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tenant, effects=[credit(10), grant(sword)])
    store_known_events(tenant, range(10))
    job = order(tenant, backtest(tenant))
    monkeypatch.setattr(past, "_PAGE", 4)
    save, saved = JobRun.save_checkpoint, []

    def lose_the_connection_once(run: JobRun, *args: Any, **kwargs: Any) -> None:
        save(run, *args, **kwargs)
        saved.append(run.checkpoint["place"])
        if len(saved) == 2:
            raise OperationalError("lost")

    monkeypatch.setattr(JobRun, "save_checkpoint", lose_the_connection_once)
    lost = work(job)
    assert (lost.status, lost.checkpoint["place"], Firing.objects.count()) == ("queued", 4, 4)

    done = work(job, now=NOW + timedelta(minutes=1))

    assert saved == [4, 8, 8, 10]
    assert (done.status, done.result["granted"], done.result["already_fired"]) == ("done", 10, 0)
    assert (Firing.objects.count(), Grant.objects.count()) == (10, 10)
    assert gold(tenant, "p0") == 100


def test_one_event_that_fails_is_counted_and_stops_no_other(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tenant, effects=[credit(10)])
    for number in range(5):
        bet(tenant, f"u{number}", 1)
    report = backtest(tenant)
    judge = RuleDesk.judge

    def stumble(desk: Any, event: Any, *more: Any) -> Any:
        if event.user_id == "u2":
            raise StateConflictError("Not this one.")
        return judge(desk, event, *more)

    monkeypatch.setattr(RuleDesk, "judge", stumble)
    result = applied(tenant, report)

    assert (result["granted"], result["failed"]) == (4, 1)
    assert Firing.objects.count() == 4


def test_a_cancelled_application_keeps_what_is_done(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tenant, effects=[credit(10)])
    store_known_events(tenant, range(10))
    job = order(tenant, backtest(tenant))
    monkeypatch.setattr(past, "_PAGE", 4)
    opened = iter(range(9))

    def cancel_in_the_second(*args: Any, **kwargs: Any) -> Any:
        if next(opened) == 1:
            jobs.cancel(tenant.pk, job.pk, now=NOW)
        return settling(*args, **kwargs)

    monkeypatch.setattr(past, "settling", cancel_in_the_second)
    done = work(job)

    assert (done.status, done.result["granted"], Firing.objects.count()) == ("cancelled", 4, 4)


@pytest.mark.django_db(transaction=True)
class TestBesideTheConsumer:
    def test_only_what_no_version_ever_fired_for_is_given(self, tenant: Tenant) -> None:
        active(tenant, conditions=at_least(50), effects=[credit(10)])
        low, high = (bet(tenant, "ana", amount) for amount in (30, 60))
        process()
        changes = {"conditions": at_least(20), "effects": [credit(10)]}
        rules.replace_rule(tenant.pk, "big-win", document(**changes), actor=SYSTEM, now=BEFORE)
        activate(tenant, version=2, now=LATER)

        report = backtest(tenant, version=2)
        result = applied(tenant, report)

        assert (report["firings"], result["granted"], result["already_fired"]) == (2, 1, 1)
        shown = [(each.event_id, each.version, each.is_retroactive) for each in firings(tenant)]
        assert shown == [(low, 2, True), (high, 1, False)]
        assert gold(tenant) == 20

    def test_the_consumer_does_not_fire_again_for_what_was_given(self, tenant: Tenant) -> None:
        active(tenant, effects=[credit(10)])
        bet(tenant, "ana", 30)
        applied(tenant, backtest(tenant))

        process()

        assert (len(firings(tenant)), gold(tenant)) == (1, 10)

    @pytest.mark.processes
    def test_a_killed_workers_application_is_taken_up_again_and_gives_nothing_twice(
        self, tenant: Tenant, sword: RewardItem
    ) -> None:
        publish(tenant, effects=[credit(10), grant(sword)])
        store_known_events(tenant, range(past._PAGE + 50))
        job = order(tenant, backtest(tenant))

        # It dies in the second step, when all of that is written and nothing committed.
        assert job_kinds.run_in_doomed_worker(job.pk, dies_at=2) == -signal.SIGKILL
        assert Firing.objects.count() == past._PAGE
        lost = Job.objects.get(pk=job.pk)
        assert lost.leased_until is not None
        after = lost.leased_until + timedelta(seconds=1)
        assert jobs.sweep_jobs(now=after) == [job.pk]
        done = work(job, now=after)

        assert (done.status, done.attempt) == ("done", 2)
        assert (done.result["granted"], done.result["already_fired"]) == (past._PAGE + 50, 0)
        assert Firing.objects.count() == Grant.objects.count() == past._PAGE + 50
        assert gold(tenant, "p0") == 10 * firings_of("p0")


def firings_of(user_id: str) -> int:
    return Firing.objects.filter(player__external_id=user_id).count()


# --- Asking --------------------------------------------------------------------------------------


def test_what_does_not_fit_the_backtest_is_refused(tenant: Tenant) -> None:
    publish(tenant)
    publish(tenant, rule_id="other")
    bet(tenant, "ana", 1)
    report = backtest(tenant)
    waiting = start(tenant)
    unfinished = {**report, "backtest_id": str(waiting.pk)}

    for wrong, changes in (
        (report, {"result_hash": "0" * 64}),
        (report, {"version": 2}),
        (report, {"rule_id": "other"}),
        (unfinished, {}),
    ):
        with pytest.raises(StateConflictError):
            order(tenant, wrong, **changes)
    assert not Job.objects.filter(kind="rule_apply_past").exists()


def test_a_draft_or_an_archived_rule_is_not_applied(tenant: Tenant) -> None:
    draft(tenant)
    bet(tenant, "ana", 1)
    report = backtest(tenant)

    with pytest.raises(StateConflictError, match="never published"):
        order(tenant, report)
    rule_changes.archive_rule(tenant.pk, "big-win", actor=SYSTEM, now=NOW)
    with pytest.raises(StateConflictError, match="archived"):
        order(tenant, report)


def test_a_version_that_counts_in_another_zone_is_not_applied(tenant: Tenant) -> None:
    publish(tenant, timezone="UTC")
    changed = document(timezone="Asia/Tokyo")
    rules.replace_rule(tenant.pk, "big-win", changed, actor=SYSTEM, now=LATER)
    activate(tenant, version=2, now=LATER + timedelta(days=1))
    bet(tenant, "ana", 1)
    report = backtest(tenant, version=1)

    with pytest.raises(StateConflictError, match="another time zone"):
        order(tenant, report)


def test_another_tenants_backtest_is_not_found(tenant: Tenant, tenant_b: Tenant) -> None:
    currency(tenant_b, "gold")
    publish(tenant)
    publish(tenant_b)
    theirs = backtest(tenant_b)

    with pytest.raises(NotFoundError):
        order(tenant, theirs)
    with pytest.raises(NotFoundError):
        order(tenant, {**theirs, "backtest_id": str(uuid4())})
    with pytest.raises(NotFoundError):
        order(tenant, theirs, rule_id="no-such")
    with pytest.raises(DocumentError):
        order(tenant, theirs, backtest_id="?")


def test_the_gateway_applies_a_confirmed_result(tenant: Tenant, tenant_b: Tenant) -> None:
    office = BackOffice(tenant)
    publish(tenant, effects=[credit(10)])
    bet(tenant, "ana", 1)
    report = backtest(tenant)
    path = f"/v1/tenants/{tenant.pk}/rules/big-win/apply-to-past"
    body = {name: report[name] for name in ("version", "backtest_id", "result_hash")}

    queued = office.ask("POST", path, body)

    assert (queued.status_code, queued.json()["status"]) == (202, "queued")
    done = work(Job.objects.get(pk=queued.json()["job_id"]))
    assert (done.result["granted"], gold(tenant)) == (1, 10)
    refused = office.ask("POST", path, body | {"result_hash": "0"})
    assert (refused.status_code, refused.json()["code"]) == (409, "STATE_CONFLICT")
    faulty = office.ask("POST", path, {"version": 1})
    assert {detail["field"] for detail in faulty.json()["details"]} == {
        *("backtest_id", "result_hash"),
    }
    foreign = BackOffice(tenant_b)
    assert foreign.ask("POST", path, body).status_code == 403
    assert Rule.objects.filter(tenant=tenant_b).count() == 0
    theirs = path.replace(tenant.pk, tenant_b.pk)
    assert foreign.ask("POST", theirs, body).status_code == 404
