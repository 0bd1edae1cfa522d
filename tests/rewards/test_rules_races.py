"""Rules under workers that run at the same time, die halfway, or meet a change of the rule."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
from threading import Event as Signal
from threading import Lock
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from pytest_django.fixtures import Settings

from ingestion.constants import N_SHARDS
from ingestion.models import Event
from ingestion.rules.sharding import shard_of
from phoenix_site import asgi
from phoenix_site.common.json import encode
from rewards.models import Firing, Grant, Refusal, RuleBudget, RuleNotice
from rewards.services import consumer, earning_rules, rules
from rewards.services.settlement import Settlement
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.doors import Door
from tests.ingestion.connections import in_thread
from tests.leaderboards.races import in_threads
from tests.rewards.rule_log import (
    activate,
    active,
    balance,
    currency,
    firings,
    grant,
    item,
    pause,
    process,
    refusals,
    send,
)
from tests.tenants import cast

pytestmark = pytest.mark.django_db(transaction=True)
MINUTE = timedelta(minutes=1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def tenant(tenant_a: Tenant) -> Tenant:
    currency(tenant_a)
    return tenant_a


@contextmanager
def stopped_before_writing(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Signal, Signal]]:
    """Let the first batch wait before it writes; yields *reached* and *go on*."""
    reached, go_on, write = Signal(), Signal(), Settlement.write

    def wait_once(settlement: Settlement) -> None:
        if not reached.is_set():
            reached.set()
            assert go_on.wait(20)
        write(settlement)

    monkeypatch.setattr(Settlement, "write", wait_once)
    try:
        yield reached, go_on
    finally:
        go_on.set()


def test_acceptance_12_four_workers_never_exceed_a_budget(tenant: Tenant) -> None:
    sword = item(tenant)
    active(tenant, effects=[grant(sword)], limits={"budget": {"firings": 10}}, now=now() - MINUTE)
    for number in range(100):
        send(tenant, f"player-{number}", at=now())
    shards, taking = cycle(range(N_SHARDS)), Lock()

    def work() -> None:
        while Firing.objects.count() + Refusal.objects.count() < 100:
            with taking:
                shard = next(shards)
            consumer.apply_rules(shard, now=now(), limit=3)

    in_threads(4, work)

    assert Grant.objects.filter(source_type="rule").count() == 10
    assert refusals(tenant) == ["budget_exhausted"] * 90
    assert RuleBudget.objects.get().firings == 10
    assert RuleNotice.objects.filter(share=100).count() == 1


def test_a_change_of_a_rule_waits_for_the_batch_and_judges_only_later_events(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    active(tenant, now=now() - MINUTE)
    # The first batch of a shard makes its cursor, for which others would wait.
    process(now=now())
    send(tenant, at=now(), received_at=now())
    shard = shard_of(tenant.pk, "ana")
    with (
        ThreadPoolExecutor(2) as pool,
        stopped_before_writing(monkeypatch) as (reached, go_on),
    ):
        batch = in_thread(pool, lambda: consumer.apply_rules(shard, now=now()))
        assert reached.wait(10)
        paused = in_thread(pool, lambda: pause(tenant, now=now()))
        assert not paused.done()
        go_on.set()
        assert batch.result(10) == 1
        paused.result(10)
    send(tenant, at=now(), received_at=now() + MINUTE)
    process(now=now())

    assert len(firings(tenant)) == 1
    assert balance(tenant) == 50


def test_an_earning_rule_is_put_while_its_batch_is_under_way(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {
        "rule_id": "earn",
        "name": "Earn",
        "currency_id": "gold",
        "event_type": "game.completed",
        "calculation": _fixed(5),
        "max_per_day": 100,
    }
    earning_rules.create_earning_rule(tenant.pk, body, actor=SYSTEM, now=now() - MINUTE)
    process(now=now())
    send(tenant, at=now(), received_at=now())
    shard = shard_of(tenant.pk, "ana")
    changed = {**body, "calculation": _fixed(7)}
    del changed["rule_id"]

    def put() -> None:
        earning_rules.replace_earning_rule(tenant.pk, "earn", changed, actor=SYSTEM, now=now())

    with (
        ThreadPoolExecutor(2) as pool,
        stopped_before_writing(monkeypatch) as (reached, go_on),
    ):
        batch = in_thread(pool, lambda: consumer.apply_rules(shard, now=now()))
        assert reached.wait(10)
        waiting = in_thread(pool, put)
        go_on.set()
        assert batch.result(10) == 1
        waiting.result(10)

    assert [fired.version for fired in firings(tenant, "earn")] == [1]
    assert balance(tenant) == 5


def test_a_version_published_between_two_batches_judges_what_came_after_it(
    tenant: Tenant,
) -> None:
    began = now() - timedelta(hours=1)
    active(tenant, now=began)
    edit = {"effects": [{"type": "credit", "currency_id": "gold", "amount": _fixed(7)}]}
    send(tenant, at=began + MINUTE, received_at=began + MINUTE)
    rules.patch_rule(tenant.pk, "big-win", edit, actor=SYSTEM, now=began + 2 * MINUTE)
    activate(tenant, now=began + 2 * MINUTE)
    send(tenant, at=began + 3 * MINUTE, received_at=began + 3 * MINUTE)
    process(now=now(), limit=1)

    assert [fired.version for fired in firings(tenant)] == [1, 2]
    assert balance(tenant) == 57


def _fixed(amount: int) -> dict[str, Any]:
    return {"type": "fixed", "amount": amount}


def test_acceptance_14_a_worker_killed_mid_batch_leaves_nothing_behind(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sword = item(tenant)
    active(tenant, effects=[grant(sword)], now=now() - MINUTE)
    for number in range(20):
        send(tenant, "ana", at=now(), number=number)
    shard = shard_of(tenant.pk, "ana")
    pids: list[int] = []

    def work() -> int:
        connection.ensure_connection()
        pids.append(connection.connection.info.backend_pid)
        return consumer.apply_rules(shard, now=now())

    with (
        ThreadPoolExecutor(1) as pool,
        stopped_before_writing(monkeypatch) as (reached, go_on),
    ):
        killed = in_thread(pool, work)
        assert reached.wait(10)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pids[0]])
        go_on.set()
        with pytest.raises((OperationalError, InterfaceError)):
            killed.result(10)
    assert not Firing.objects.exists()
    process(now=now())

    assert len(firings(tenant)) == 20
    assert Grant.objects.filter(source_type="rule").count() == 20


def test_acceptance_9_an_event_sent_again_in_parallel_counts_once(
    tenant: Tenant, settings: Settings
) -> None:
    settings.PHOENIX_EVENT_CONSUMERS = {}
    secret = cast.new_secret(tenant).value
    active(tenant, limits={"amount": {"day": 120}}, now=now() - MINUTE)
    request = {
        "method": "POST",
        "url": "/v1/events",
        "headers": {
            "Authorization": f"Bearer {cast.tenant_token(tenant.pk, secret)}",
            "Content-Type": "application/json",
        },
    }
    sent = [
        {"event_id": f"sent-{number}", "type": "game.completed", "actor": {"user_id": "ana"},
         "occurred_at": now().isoformat(), "attrs": {"n": number}}
        for number in range(3)
    ]  # fmt: skip
    # Both entrances take the same events, ten times each, at once.
    for is_fast in (True, False):
        settings.PHOENIX_FAST_DOOR = is_fast
        with Door(asgi.build_application()) as door:
            bodies = [encode(event) for event in sent for _ in range(5)]
            answers = door.ask_at_once([{**request, "content": body} for body in bodies])
            assert {answer.status_code for answer in answers} <= {200, 202}
    process(now=now())

    assert Event.objects.filter(type="game.completed").count() == 3
    assert sorted(fired.effects[0]["amount"] for fired in firings(tenant)) == ["20", "50", "50"]
    assert balance(tenant) == 120
    assert not Refusal.objects.exists()
