from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from ingestion.models import Event, QuarantineEntry
from ingestion.rules.validation import check_event
from ingestion.services import cursors, intake, retention
from ingestion.services.retention import purge_all_tenants, purge_events
from phoenix_site.common.exceptions import NotAllowedError
from tenants.models import Tenant
from tenants.services import snapshots
from tests.ingestion.factories import append

pytestmark = pytest.mark.django_db

NOW = timezone.now()
LONG_AGO = NOW - timedelta(days=401)
SCORING = "test.scoring"


def hold_nothing(_tenant_id: str) -> datetime | None:
    return None


def hold_410_days(_tenant_id: str) -> datetime | None:
    return NOW - timedelta(days=410)


@pytest.fixture(autouse=True)
def _consumers(settings: Settings) -> None:
    snapshots.forget_now()
    settings.PHOENIX_EVENT_CONSUMERS = {}
    settings.PHOENIX_RETENTION_HOLDS = [f"{__name__}.hold_nothing"]


def old(event_id: str, *, at: datetime = LONG_AGO, **fields: Any) -> Event:
    return append(event_id, occurred_at=at, received_at=at, **fields)


def purge() -> Any:
    return purge_events(snapshots.tenant_settings("tenant-a"), now=NOW)


def left() -> list[str]:
    return sorted(Event.objects.values_list("event_id", flat=True))


def test_what_is_past_the_retention_goes(tenant_a: Tenant) -> None:
    old("old")
    append("new")

    report = purge()

    assert (report.deleted_count, report.held_because) == (1, ())
    assert left() == ["new"]


def test_both_times_must_be_past(tenant_a: Tenant) -> None:
    append("received late", occurred_at=LONG_AGO)
    append("dated later", occurred_at=NOW, received_at=LONG_AGO)

    assert purge().deleted_count == 0
    assert len(left()) == 2


def test_an_event_goes_only_when_it_would_be_refused_if_it_came_again(tenant_a: Tenant) -> None:
    tenant = snapshots.tenant_settings("tenant-a")
    kept = NOW - timedelta(days=400, minutes=30)
    old("kept", at=kept)

    purge()
    payload = {
        "event_id": "kept",
        "type": "game.completed",
        "actor": {"user_id": "ana"},
        "occurred_at": kept.isoformat(),
        "attrs": {},
    }
    again = check_event(payload, intake.event_rules(tenant, now=NOW))

    assert [fault.reason for fault in again.faults] == ["too_old"]
    assert left() == ["kept"]


def test_each_tenant_has_its_own_retention(tenant_a: Tenant, tenant_b: Tenant) -> None:
    Tenant.objects.filter(pk="tenant-b").update(retention_days=500)
    old("a")
    old("b", tenant_id="tenant-b")

    reports = purge_all_tenants(now=NOW)

    assert [(report.tenant_id, report.deleted_count) for report in reports] == [
        *[("tenant-a", 1), ("tenant-b", 0)]
    ]
    assert left() == ["b"]


@pytest.mark.django_db(transaction=True)
def test_a_consumer_that_is_behind_holds_its_events(tenant_a: Tenant, settings: Settings) -> None:
    settings.PHOENIX_EVENT_CONSUMERS = {SCORING: {"task": "x"}}
    event = old("old")

    before = purge()
    with transaction.atomic():
        cursors.advance_cursor(cursors.lock_batch(consumer=SCORING, shard=event.shard))
    after = purge()

    assert (before.deleted_count, before.held_because) == (0, (SCORING,))
    assert (after.deleted_count, after.held_because) == (1, ())


def test_an_app_above_can_hold_events(tenant_a: Tenant, settings: Settings) -> None:
    settings.PHOENIX_RETENTION_HOLDS = [f"{__name__}.hold_410_days"]
    old("older", at=NOW - timedelta(days=411))
    old("held", at=NOW - timedelta(days=405))

    report = purge()

    assert left() == ["held"]
    assert report.held_because == (f"{__name__}.hold_410_days",)


def test_quarantine_entries_go_with_their_events(tenant_a: Tenant) -> None:
    event = old("old")
    QuarantineEntry.objects.create(
        tenant=tenant_a, event=event, consumer=SCORING, code="BAD", message="bad"
    )

    purge()

    assert not QuarantineEntry.objects.exists()


def test_a_long_history_goes_in_batches_and_a_run_ends(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PURGE_BATCH_SIZE", 2)
    monkeypatch.setattr(retention, "PURGE_BATCHES_PER_RUN", 2)
    for number in range(5):
        old(f"e{number}", at=LONG_AGO + timedelta(seconds=number))

    assert purge().deleted_count == 4
    assert left() == ["e4"]
    assert purge().deleted_count == 1


def test_a_tenant_that_fails_does_not_keep_the_others_waiting(
    tenant_a: Tenant, tenant_b: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old("b", tenant_id="tenant-b")
    purge_one = retention.purge_events

    def fail_for_a(tenant: Any, *, now: datetime) -> Any:
        if tenant.id == "tenant-a":
            raise DatabaseError("broken")
        return purge_one(tenant, now=now)

    monkeypatch.setattr(retention, "purge_events", fail_for_a)

    (report,) = purge_all_tenants(now=NOW)

    assert report.deleted_count == 1


def test_a_sandbox_tenant_can_be_emptied_and_production_cannot(
    tenant_a: Tenant, tenant_b: Tenant, settings: Settings
) -> None:
    event = append("ours")
    append("theirs", tenant_id="tenant-b")
    QuarantineEntry.objects.create(
        tenant=tenant_a, event=event, consumer=SCORING, code="BAD", message="bad"
    )

    assert retention.empty_tenant("tenant-a") == 1
    settings.PHOENIX_ENV = "prod"
    with pytest.raises(NotAllowedError):
        retention.empty_tenant("tenant-b")

    assert left() == ["theirs"]
