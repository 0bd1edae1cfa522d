from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event as Signal
from typing import Any

import pytest
from django.db import transaction
from pytest_django.fixtures import Settings

from ingestion.exceptions import QuarantineClosedError, ReplayFailedError
from ingestion.models import QuarantineEntry
from ingestion.services import cursors, quarantine
from ingestion.services.log import append_events
from ingestion.types import EventInput, Refusal, StoredEvent
from phoenix_site.common.exceptions import InvalidInputError, NotFoundError
from phoenix_site.common.ids import uuid7
from tenants.models import AuditEntry, Tenant
from tenants.services import audit
from tests.ingestion.connections import in_thread
from tests.ingestion.factories import append

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
SCORING = "test.scoring"


def replay_event(event: StoredEvent, *, now: datetime) -> None:
    """Leave a trace in the log, then refuse what is still bad."""
    trace = EventInput(
        tenant_id=event.tenant_id,
        event_id=f"effect of {event.event_id}",
        type="leaderboard.placed",
        occurred_at=now,
        attrs={},
    )
    append_events([trace])
    if event.attrs.get("still") == "bad":
        raise InvalidInputError("score is not a number", code="NOT_A_NUMBER")


@pytest.fixture(autouse=True)
def _consumer(settings: Settings) -> None:
    settings.PHOENIX_EVENT_CONSUMERS = {SCORING: {"replay": f"{__name__}.replay_event"}}


def entry_of(event_id: str, consumer: str = SCORING, **fields: Any) -> QuarantineEntry:
    event = append(event_id, **fields)
    return QuarantineEntry.objects.create(
        tenant_id="tenant-a", event=event, consumer=consumer, code="BAD", message="bad"
    )


def replay(entry: QuarantineEntry) -> None:
    quarantine.replay(entry.pk, actor=audit.SYSTEM, reason="mended", now=NOW)


def effects() -> list[str]:
    from ingestion.models import Event

    found = Event.objects.filter(event_id__startswith="effect of")
    return list(found.values_list("event_id", flat=True))


def test_a_replay_has_its_effect_and_closes_the_entry(tenant_a: Tenant) -> None:
    entry = entry_of("e1")

    replay(entry)

    entry.refresh_from_db()
    assert effects() == ["effect of e1"]
    assert (entry.state, entry.resolved_at, entry.reason) == ("replayed", NOW, "mended")
    assert AuditEntry.objects.get().action == "quarantine.replayed"


def test_a_second_replay_has_no_second_effect(tenant_a: Tenant) -> None:
    entry = entry_of("e1")
    replay(entry)

    with pytest.raises(QuarantineClosedError):
        replay(entry)

    assert effects() == ["effect of e1"]


def test_a_replay_that_fails_leaves_nothing_but_the_try(tenant_a: Tenant) -> None:
    entry = entry_of("e1", attrs={"still": "bad"})

    with pytest.raises(ReplayFailedError, match="score is not a number"):
        replay(entry)

    entry.refresh_from_db()
    assert effects() == []
    assert (entry.state, entry.tries, entry.code) == ("open", 2, "NOT_A_NUMBER")
    assert entry.last_failed_at == NOW
    assert not AuditEntry.objects.exists()


def test_a_consumer_that_cannot_replay_says_so(tenant_a: Tenant) -> None:
    entry = entry_of("e1", consumer="gone.consumer")

    with pytest.raises(ReplayFailedError, match="cannot replay"):
        replay(entry)


def test_a_discarded_entry_cannot_be_replayed(tenant_a: Tenant) -> None:
    entry = entry_of("e1")
    quarantine.discard(entry.pk, actor=audit.SYSTEM, reason="a test", now=NOW)

    with pytest.raises(QuarantineClosedError):
        replay(entry)
    with pytest.raises(QuarantineClosedError):
        quarantine.discard(entry.pk, actor=audit.SYSTEM, reason="again", now=NOW)

    assert effects() == []


def test_a_reason_is_needed(tenant_a: Tenant) -> None:
    entry = entry_of("e1")

    with pytest.raises(InvalidInputError):
        quarantine.replay(entry.pk, actor=audit.SYSTEM, reason=" ", now=NOW)
    with pytest.raises(InvalidInputError):
        quarantine.discard(entry.pk, actor=audit.SYSTEM, reason="", now=NOW)


def test_an_unknown_entry_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        quarantine.replay(uuid7(), actor=audit.SYSTEM, reason="x", now=NOW)
    with pytest.raises(NotFoundError):
        quarantine.discard(uuid7(), actor=audit.SYSTEM, reason="x", now=NOW)


def test_a_replay_waits_for_the_worker_that_holds_the_shard(tenant_a: Tenant) -> None:
    entry = entry_of("e1")
    cursors.wait_for_shard(consumer=SCORING, shard=entry.event.shard)
    is_done = Signal()

    def replay_and_tell() -> None:
        replay(entry)
        is_done.set()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            cursors.lock_batch(consumer=SCORING, shard=entry.event.shard)
            replaying = in_thread(pool, replay_and_tell)
            waited = not is_done.wait(timeout=0.3)
        replaying.result(timeout=10)

    assert waited
    assert effects() == ["effect of e1"]


def test_an_event_refused_again_by_its_consumer_opens_the_entry_again(tenant_a: Tenant) -> None:
    entry = entry_of("e1")
    quarantine.discard(entry.pk, actor=audit.SYSTEM, reason="a test", now=NOW)

    with transaction.atomic():
        batch = cursors.lock_batch(consumer=SCORING, shard=entry.event.shard)
        cursors.advance_cursor(batch, quarantine=[Refusal(batch.events[0], "WORSE", "worse")])

    entry.refresh_from_db()
    assert (entry.state, entry.tries, entry.code, entry.reason) == ("open", 2, "WORSE", "")
    assert entry.resolved_at is None
