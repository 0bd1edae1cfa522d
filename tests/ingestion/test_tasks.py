from datetime import UTC, datetime

import pytest
from pytest_django.fixtures import Settings

from ingestion import tasks
from ingestion.rules.sharding import shard_of
from ingestion.services import readiness, retention, sweep
from phoenix_site.common.redis import RedisError
from tests.ingestion.factories import append

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], list[str]]]:
    settings.PHOENIX_EVENT_CONSUMERS = {"one": {"task": "x"}, "two": {"task": "y"}}
    calls: list[tuple[list[int], list[str]]] = []

    def send_nudges(shards: list[int], *, consumers: list[str]) -> None:
        calls.append((shards, consumers))

    monkeypatch.setattr(sweep, "send_nudges", send_nudges)
    return calls


def test_the_sweep_wakes_consumers_that_have_events_waiting(
    sent: list[tuple[list[int], list[str]]],
) -> None:
    append("e1", user_id="ana")

    tasks.sweep_consumers()

    shard = shard_of("tenant-a", "ana")
    assert sent == [([shard], ["one"]), ([shard], ["two"])]


def test_the_sweep_lets_consumers_sleep_that_are_up_to_date(
    sent: list[tuple[list[int], list[str]]],
) -> None:
    tasks.sweep_consumers()

    assert sent == []


def test_workers_leave_a_sign_of_life() -> None:
    tasks.beat_heartbeat()

    seen = readiness.check_readiness(now=datetime.now(UTC)).last_worker_heartbeat
    assert seen is not None
    assert abs((datetime.now(UTC) - seen).total_seconds()) < 5


def test_a_heartbeat_without_redis_is_only_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_redis() -> None:
        raise RedisError("gone")

    monkeypatch.setattr(readiness, "get_redis", no_redis)

    tasks.beat_heartbeat()


def test_the_purge_runs_over_every_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[datetime] = []
    monkeypatch.setattr(retention, "purge_all_tenants", lambda *, now: runs.append(now))

    tasks.purge_events()

    assert len(runs) == 1
