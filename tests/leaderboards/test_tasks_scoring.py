from typing import Any

import pytest
from django.db import OperationalError

from ingestion.rules.sharding import shard_of
from leaderboards import tasks
from leaderboards.models import Window
from leaderboards.services import scoring
from leaderboards.tasks import scoring as scoring_tasks
from phoenix_site.common.nudges import waiting_key
from phoenix_site.common.redis import get_redis
from tenants.models import Tenant
from tests.ingestion.connections import insert, other_connection
from tests.leaderboards.boards import make_board, make_window
from tests.leaderboards.scorers import ranks, scored_event, send
from tests.leaderboards.test_services_scoring import START

pytestmark = pytest.mark.django_db(transaction=True)

SHARD = shard_of("tenant-a", "ana")
WAITING = waiting_key("leaderboards.scoring", SHARD)


@pytest.fixture
def window(tenant_a: Tenant) -> Window:
    return make_window(make_board(tenant_a), START)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the nudges that the task sends."""
    nudges: list[Any] = []
    monkeypatch.setattr(
        scoring_tasks,
        "send_nudges",
        lambda shards, *, consumers: nudges.append((shards, consumers)),
    )
    return nudges


def test_the_task_scores_what_waits_and_lets_later_events_nudge_again(
    window: Window, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "SCORING_BATCH_SIZE", 2)
    get_redis().set(WAITING, b"1")
    send(scored_event("ana", 1) for _ in range(5))

    tasks.score_events(SHARD)

    assert ranks(window) == [(1, "ana", 5)]
    assert not get_redis().exists(WAITING)
    assert sent == []


def test_a_shard_with_a_backlog_gives_the_others_a_turn(
    window: Window, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "SCORING_BATCH_SIZE", 2)
    monkeypatch.setattr(scoring, "_TURN_SECONDS", 0)
    send(scored_event("ana", 1) for _ in range(5))

    tasks.score_events(SHARD)
    assert sent == [([SHARD], ["leaderboards.scoring"])]
    tasks.score_events(SHARD)
    tasks.score_events(SHARD)

    assert ranks(window) == [(1, "ana", 5)]
    assert len(sent) == 2


def test_the_task_comes_back_for_events_that_a_running_transaction_hides(
    window: Window, sent: list[Any]
) -> None:
    with other_connection() as slow:
        insert(slow, scored_event("ben", 1))
        send([scored_event("ana", 1)])

        tasks.score_events(SHARD)

        assert len(sent) == 1
        slow.rollback()
    tasks.score_events(SHARD)

    assert ranks(window) == [(1, "ana", 1)]
    assert len(sent) == 1


def test_a_passing_failure_is_tried_again_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def deadlock(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError("deadlock detected")

    monkeypatch.setattr(scoring, "drain_shard", deadlock)
    pauses: list[float] = []
    retry = tasks.score_events.retry

    def watch(*args: Any, **options: Any) -> Any:
        pauses.append(options["countdown"])
        return retry(*args, **options)

    monkeypatch.setattr(tasks.score_events, "retry", watch)
    monkeypatch.setattr("celery.utils.time.random.randrange", lambda stop: stop - 1)

    outcome = tasks.score_events.apply(args=(SHARD,))

    assert outcome.failed()
    assert pauses == [1, 2, 4, 8, 16, 30]


def test_the_sweep_task_brings_back_a_lost_index(window: Window) -> None:
    send([scored_event("ana", 1)])
    tasks.score_events(SHARD)
    get_redis().flushdb()

    tasks.sweep_indexes()

    assert get_redis().keys("*:standings:*:entries")
