from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DataError
from django.utils import timezone

from ingestion import selectors as ingestion
from ingestion.models import Cursor, Event, QuarantineEntry
from ingestion.rules.sharding import shard_of
from ingestion.services import cursors, log, quarantine
from ingestion.services.store import store_rows
from ingestion.types import EventInput
from phoenix_site.common.nudges import waiting_key
from phoenix_site.common.redis import get_redis
from phoenix_site.runtime.programs import CONSUMER_QUEUES
from players import tasks
from players.constants import REGISTRATION
from players.exceptions import PlayerNotFoundError
from players.models import Player
from players.services import consumption, registration
from tenants.models import Tenant
from tenants.services import audit
from tests.conftest import ANA
from tests.ingestion.factories import log_row
from tests.players.cast import NOW, new_player

# The batch ends before transactions that still run, so what it reads has to be committed.
pytestmark = pytest.mark.django_db(transaction=True)

SHARD = shard_of("tenant-a", ANA)
MINUTE = timedelta(minutes=1)


def peers(count: int) -> list[str]:
    """Return players of Ana's shard."""
    names = (f"player-{number}" for number in range(10_000))
    found = [name for name in names if shard_of("tenant-a", name) == SHARD]
    return found[:count]


def send(*users: str, occurred_at: datetime | None = None) -> None:
    first = Event.objects.count()
    store_rows(
        [
            log_row(f"event-{first + index}", user_id=user, occurred_at=occurred_at)
            for index, user in enumerate(users)
        ]
    )


def register(limit: int = 2000) -> int:
    return consumption.register_players(SHARD, now=NOW, limit=limit)


def test_ing_13_whoever_an_event_is_about_is_made(tenant_a: Tenant) -> None:
    ben = peers(1)[0]
    send(ANA, ben, ANA)

    assert register() == 3

    assert set(Player.objects.values_list("external_id", flat=True)) == {ANA, ben}
    created = Event.objects.get(type="player.created", user_id=ANA)
    assert (created.cause, created.depth) == ("event-0", 1)


def test_what_the_consumer_logs_itself_makes_nobody_twice(tenant_a: Tenant) -> None:
    send(ANA)

    assert [register(), register(), register()] == [1, 1, 0]
    assert Player.objects.count() == 1
    assert Event.objects.count() == 2


def test_events_about_nobody_are_passed_over(tenant_a: Tenant) -> None:
    event = EventInput(
        tenant_id="tenant-a", event_id="e", type="x.y", occurred_at=NOW, attrs={}, user_id=None
    )
    log.append_events([event])

    assert consumption.register_players(shard_of("tenant-a", None), now=NOW) == 1
    assert not Player.objects.exists()


def test_a_batch_and_its_cursor_commit_together(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(ANA)

    def fail(*_: Any, **__: Any) -> None:
        raise PlayerNotFoundError("the end comes before the commit")

    with monkeypatch.context() as broken:
        broken.setattr(cursors, "advance_cursor", fail)
        with pytest.raises(PlayerNotFoundError):
            register()
    assert not Player.objects.exists()

    assert register() == 1
    assert Player.objects.count() == 1


def test_last_seen_is_what_senders_say_and_coarse(tenant_a: Tenant) -> None:
    moment = timezone.now() - 10 * MINUTE

    def seen_after(at: datetime) -> datetime | None:
        send(ANA, occurred_at=at)
        while register():
            pass
        return Player.objects.get().last_seen_at

    assert seen_after(moment) == moment
    assert seen_after(moment + MINUTE / 2) == moment
    assert seen_after(moment + MINUTE) == moment + MINUTE
    assert seen_after(moment - MINUTE) == moment + MINUTE
    ahead = seen_after(timezone.now() + 4 * MINUTE)
    assert ahead == Event.objects.filter(source="api").latest("pk").received_at


def test_history_and_internal_events_are_no_sign_of_life(tenant_a: Tenant) -> None:
    store_rows([log_row("old")._replace(source="import")])

    register()

    assert Player.objects.get().last_seen_at is None


def test_a_player_who_cannot_be_goes_to_quarantine_alone(tenant_a: Tenant) -> None:
    bad = next(f" {n}" for n in range(1000) if shard_of("tenant-a", f" {n}") == SHARD)
    send(bad, ANA)

    assert register() == 2

    assert Player.objects.get().external_id == ANA
    entry = QuarantineEntry.objects.get()
    assert (entry.consumer, entry.code, entry.event.user_id) == (
        REGISTRATION,
        "invalid_player",
        bad,
    )


def test_an_event_that_the_database_refuses_lets_the_others_pass(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = peers(4)
    send(*others[:2], ANA, *others[2:])
    ensure = registration.ensure_players

    def refuse_ana(keys: Any, **options: Any) -> Any:
        if ("tenant-a", ANA) in keys:
            raise DataError("never")
        return ensure(keys, **options)

    monkeypatch.setattr(registration, "ensure_players", refuse_ana)
    while register():
        pass

    assert set(Player.objects.values_list("external_id", flat=True)) == set(others)
    entry = QuarantineEntry.objects.get()
    assert (entry.code, entry.event.user_id) == ("refused_by_database", ANA)

    monkeypatch.undo()
    quarantine.replay(entry.pk, actor=audit.SYSTEM, reason="mended", now=NOW)
    assert Player.objects.filter(external_id=ANA).exists()


def test_a_replay_makes_nobody_twice(tenant_a: Tenant) -> None:
    new_player(ANA)
    send(ANA)
    event = ingestion.get_event("tenant-a", "event-1")

    consumption.replay_event(event, now=NOW)
    consumption.replay_event(event, now=NOW)

    assert Player.objects.count() == 1


@pytest.mark.parametrize(("turn", "is_sent"), [(2.0, False), (0.0, True)])
def test_the_task_drains_a_shard_and_leaves_its_nudge_waiting(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch, turn: float, *, is_sent: bool
) -> None:
    nudges: list[Any] = []
    monkeypatch.setattr(
        tasks, "send_nudges", lambda *shards, **names: nudges.append((shards, names))
    )
    monkeypatch.setattr(consumption, "REGISTRATION_BATCH_SIZE", 2)
    monkeypatch.setattr(consumption, "_TURN_SECONDS", turn)
    waiting = waiting_key(REGISTRATION, SHARD)
    get_redis().set(waiting, b"1")
    send(*peers(5))

    tasks.register_players(SHARD)

    assert bool(nudges) is is_sent
    assert bool(get_redis().exists(waiting)) is not is_sent
    assert Player.objects.count() == (2 if is_sent else 5)


def test_a_worker_takes_from_the_queue_of_the_task() -> None:
    entry = settings.PHOENIX_EVENT_CONSUMERS[REGISTRATION]

    queue = settings.CELERY_TASK_ROUTES[entry["task"]]["queue"]

    assert queue in CONSUMER_QUEUES.split(",")
    assert tasks.register_players.name == entry["task"]


def test_several_tenants_share_a_batch(tenant_a: Tenant, tenant_b: Tenant) -> None:
    cleo = next(f"c{n}" for n in range(1000) if shard_of("tenant-b", f"c{n}") == SHARD)
    store_rows([log_row("a"), log_row("b", tenant_id="tenant-b", user_id=cleo)])

    register()

    assert set(Player.objects.values_list("tenant_id", "external_id")) == {
        ("tenant-a", ANA),
        ("tenant-b", cleo),
    }
    assert Cursor.objects.get(consumer=REGISTRATION).processed_count == 2
