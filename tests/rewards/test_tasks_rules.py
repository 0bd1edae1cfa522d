"""The tasks of rules, and what the consumer does when there is more than one turn of work."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DataError
from django.utils import timezone

from ingestion.exceptions import ReplayFailedError
from ingestion.models import Cursor, QuarantineEntry
from ingestion.rules.sharding import shard_of
from ingestion.services import quarantine
from players.models import Player
from rewards.constants import RULES
from rewards.models import Rule, RuleChange
from rewards.services import consumer
from rewards.services.settlement import Settlement
from rewards.tasks import apply_rules, purge_refusals, sweep_rules
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.ingestion.connections import insert, other_connection
from tests.ingestion.factories import log_row
from tests.rewards.rule_log import (
    activate,
    active,
    balance,
    currency,
    draft,
    firings,
    process,
    refusals,
    send,
)

pytestmark = pytest.mark.django_db(transaction=True)
SHARD = shard_of("tenant-a", "ana")
MINUTE = timedelta(minutes=1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def tenant(tenant_a: Tenant) -> Tenant:
    currency(tenant_a)
    return tenant_a


def test_the_task_of_a_shard_processes_what_waits(tenant: Tenant) -> None:
    active(tenant, now=now() - MINUTE)
    send(tenant, at=now())

    apply_rules(SHARD)

    assert balance(tenant) == 50


def test_the_sweep_shows_what_was_planned_and_old_refusals_go(tenant: Tenant) -> None:
    draft(tenant, now=now() - MINUTE, limits={"per_player": {"total": 1}})
    activate(tenant, now=now() - MINUTE, at=now())
    for _ in range(2):
        send(tenant, at=now(), received_at=now() + MINUTE)

    sweep_rules()
    apply_rules(SHARD)
    purge_refusals()

    assert Rule.objects.get().status == "active"
    assert RuleChange.objects.get().applied_at is not None
    assert refusals(tenant) == ["limit_total"]


def test_events_behind_a_running_transaction_are_looked_for_again(tenant: Tenant) -> None:
    active(tenant, now=now() - MINUTE)
    with other_connection() as slow:
        insert(slow, log_row("late"))
        send(tenant, at=now())

        assert consumer.drain_shard(SHARD, clock=timezone.now)
        assert firings(tenant) == []
        slow.commit()

    consumer.drain_shard(SHARD, clock=timezone.now)
    assert len(firings(tenant)) == 2


def test_a_statement_that_the_database_never_takes_sets_one_event_aside(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    active(tenant, now=now() - MINUTE)
    process(now=now())
    for _ in range(5):
        send(tenant, at=now())
    bad = send(tenant, "ben", at=now())
    write = Settlement.write

    def refuse_ben(settlement: Settlement) -> None:
        if any(facts.external_id == "ben" for facts in settlement.facts.values()):
            raise DataError("number out of range")
        write(settlement)

    monkeypatch.setattr(Settlement, "write", refuse_ben)
    process(now=now())

    (entry,) = QuarantineEntry.objects.all()
    assert (entry.event_id, entry.consumer, entry.code) == (bad.pk, RULES, "failed")
    assert len(firings(tenant)) == 5


def test_a_replay_that_fails_again_changes_nothing_and_says_why(tenant: Tenant) -> None:
    amount = {"type": "multiplier", "field": "attrs.score", "factor": 1}
    effects: list[dict[str, Any]] = [{"type": "credit", "currency_id": "gold", "amount": amount}]
    active(tenant, effects=effects, now=now() - MINUTE)
    send(tenant, at=now(), score=10**25)
    process(now=now())
    entry = QuarantineEntry.objects.get()

    with pytest.raises(ReplayFailedError):
        quarantine.replay(entry.pk, actor=SYSTEM, reason="once more", now=now())

    entry.refresh_from_db()
    assert (entry.state, entry.code, entry.tries) == ("open", "out_of_range", 2)
    assert balance(tenant) == 0


def test_events_that_nobody_waits_for_cost_no_player_and_move_the_cursor(tenant: Tenant) -> None:
    active(tenant, now=now() - MINUTE)
    send(tenant, at=now(), type="user.login")

    assert consumer.apply_rules(SHARD, now=now()) == 1
    assert not Player.objects.exists()
    assert Cursor.objects.get(consumer=RULES, shard=SHARD).processed_count == 1
