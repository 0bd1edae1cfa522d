import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from threading import Event as Signal
from typing import Any

import pytest
from django.utils import timezone

from ingestion.constants import N_SHARDS
from ingestion.models import Cursor
from ingestion.rules.sharding import shard_of
from ingestion.services import cursors
from leaderboards.models import Entry, LateEvent, Window
from leaderboards.services import boards as board_services
from leaderboards.services import closing, proofs, rebuilds, scoring
from phoenix_site.common.redis import get_redis
from tenants.models import Tenant
from tenants.services import audit
from tests.ingestion.connections import in_thread, insert, other_connection
from tests.leaderboards.boards import make_board, make_window
from tests.leaderboards.races import in_threads
from tests.leaderboards.scorers import SECOND, ranks, score_all, scored_event, send

pytestmark = pytest.mark.django_db(transaction=True)

START = timezone.now().replace(microsecond=0) - timedelta(hours=1)
SHARD = shard_of("tenant-a", "ana")


@pytest.fixture
def window(tenant_a: Tenant) -> Window:
    return make_window(make_board(tenant_a), START)


@contextmanager
def stopped_in(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> Iterator[tuple[Signal, Signal]]:
    """Let the first caller of a function wait there; yields *reached* and *go on*."""
    reached, go_on = Signal(), Signal()
    function = getattr(module, name)

    def wait_once(*args: Any, **kwargs: Any) -> Any:
        if not reached.is_set():
            reached.set()
            assert go_on.wait(20)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, wait_once)
    try:
        yield reached, go_on
    finally:
        go_on.set()


def score_shard() -> int:
    return scoring.score_events(SHARD, now=timezone.now())


def verified(window: Window) -> bool:
    return not proofs.verify_window(window.pk, now=timezone.now()).differences


def test_two_workers_on_one_shard_count_every_event_once(window: Window) -> None:
    send(scored_event("ana", 1) for _ in range(200))
    done: list[int] = []

    def work() -> None:
        while sum(done) < 200:
            done.append(scoring.score_events(SHARD, now=timezone.now(), limit=9))

    in_threads(4, work)

    assert sum(done) == 200
    assert ranks(window) == [(1, "ana", 200)]
    assert Cursor.objects.get(consumer="leaderboards.scoring", shard=SHARD).processed_count == 200


def test_a_worker_that_finds_the_shard_taken_does_nothing_and_does_not_wait(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The very first batch of a shard makes its cursor; only that one is waited for.
    score_shard()
    send([scored_event("ana", 1)])
    with (
        ThreadPoolExecutor(1) as pool,
        stopped_in(monkeypatch, scoring, "plan_batch") as (reached, go_on),
    ):
        first = in_thread(pool, score_shard)
        assert reached.wait(10)

        assert score_shard() == 0
        assert not scoring.drain_shard(SHARD, clock=timezone.now)

        go_on.set()
        assert first.result(10) == 1
    assert ranks(window) == [(1, "ana", 1)]


def test_an_event_that_commits_late_is_not_skipped(window: Window) -> None:
    with other_connection() as slow:
        insert(slow, scored_event("ana", 1))
        send([scored_event("ana", 10)])

        assert scoring.drain_shard(SHARD, clock=timezone.now)
        assert ranks(window) == []
        slow.commit()

    score_all()

    assert ranks(window) == [(1, "ana", 11)]


def test_shards_scored_at_the_same_time_all_reach_the_index(window: Window) -> None:
    send(scored_event(f"p{n % 50}", n, at=START + n * SECOND) for n in range(400))
    shards = iter(range(N_SHARDS))

    def work() -> None:
        shard = next(shards)
        while scoring.score_events(shard, now=timezone.now(), limit=5):
            pass

    in_threads(N_SHARDS, work)

    assert verified(window)
    assert len(ranks(window)) == 50


def test_a_flush_at_any_moment_of_the_traffic_loses_nothing(window: Window) -> None:
    send(scored_event(f"p{n % 20}", 1) for n in range(400))
    shards, flushes = iter(range(N_SHARDS)), []

    def work() -> None:
        shard = next(shards)
        while scoring.score_events(shard, now=timezone.now(), limit=3):
            if shard % 3 == 0:
                get_redis().flushdb()
                flushes.append(shard)

    in_threads(N_SHARDS, work)

    assert flushes
    assert sum(score for _, _, score in ranks(window)) == 400
    assert verified(window)


def test_an_event_at_the_instant_of_closing_is_counted_before_the_freeze(tenant_a: Tenant) -> None:
    """The batch has the event, the closing comes in between: it must wait for the batch."""
    now = timezone.now()
    window = make_window(make_board(tenant_a), now - timedelta(minutes=10), timedelta(minutes=10))
    Window.objects.update(due_at=now + SECOND)
    send([scored_event("ana", 7, at=now - SECOND)])
    time.sleep(2)

    def close() -> bool:
        return closing.close_window(window.pk, now=timezone.now())

    assert not close()
    with pytest.MonkeyPatch.context() as monkeypatch, ThreadPoolExecutor(2) as pool:
        with stopped_in(monkeypatch, cursors, "advance_cursor") as (reached, go_on):
            batch = in_thread(pool, score_shard)
            assert reached.wait(10)
            closed = in_thread(pool, close)
            assert not closed.result(10)
            go_on.set()
            assert batch.result(10) == 1
        assert close()

    assert ranks_of_closed(window) == [("ana", 7)]
    assert verified(window)


def ranks_of_closed(window: Window) -> list[tuple[str, int]]:
    window.refresh_from_db()
    assert window.state == Window.State.CLOSED
    return list(window.frozen.order_by("place").values_list("user_id", "score"))


def test_a_batch_planned_before_the_closing_does_not_touch_the_closed_window(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot happen while the freeze waits for the consumer; and if it did, nothing breaks."""
    send([scored_event("ana", 7)])
    with (
        ThreadPoolExecutor(1) as pool,
        stopped_in(monkeypatch, scoring, "_write") as (reached, go_on),
    ):
        batch = in_thread(pool, score_shard)
        assert reached.wait(10)
        Window.objects.update(state="closed", closed_at=START, revision=1)
        go_on.set()
        assert batch.result(10) == 1

    assert not Entry.objects.exists()
    assert LateEvent.objects.count() == 1


def test_a_change_of_status_waits_for_batches_and_holds_for_all_that_follow(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    send([scored_event("ana", 7)])
    with (
        ThreadPoolExecutor(2) as pool,
        stopped_in(monkeypatch, scoring, "_write") as (reached, go_on),
    ):
        batch = in_thread(pool, score_shard)
        assert reached.wait(10)
        change = in_thread(pool, lambda: deactivate(window))
        time.sleep(0.2)
        assert not change.done()
        go_on.set()
        assert batch.result(10) == 1
        change.result(10)
    send([scored_event("ana", 1)])
    score_all()

    assert Entry.objects.get().score == 7
    assert verified(window)


def deactivate(window: Window) -> None:
    board_services.patch_board(
        window.tenant_id,
        window.board.leaderboard_id,
        {"status": "inactive"},
        actor=audit.SYSTEM,
        now=timezone.now(),
    )


def test_a_rebuild_and_batches_that_meet_end_in_what_the_log_says(window: Window) -> None:
    send(scored_event(f"p{n % 20}", n) for n in range(300))
    works: Iterator[Callable[[], Any]] = iter(
        [
            *(partial(drain, shard) for shard in range(N_SHARDS)),
            partial(rebuilds.rebuild_window, window),
            partial(rebuilds.rebuild_window, window),
        ]
    )

    in_threads(N_SHARDS + 2, lambda: next(works)())
    score_all()

    assert verified(window)
    assert sum(score for _, _, score in ranks(window)) == sum(range(300))


def drain(shard: int) -> None:
    # The rebuilds hold the cursors for a while; what they keep away is scored in the end.
    for _ in range(40):
        scoring.score_events(shard, now=timezone.now(), limit=3)


def test_a_config_change_and_batches_that_meet_end_in_what_the_log_says(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event of a type that only the new config knows is in a batch that knows the old one."""
    send([scored_event("ana", 7), scored_event("ben", 5, type="game.won")])
    with (
        ThreadPoolExecutor(3) as pool,
        stopped_in(monkeypatch, scoring, "_write") as (reached, go_on),
    ):
        batches = [
            in_thread(pool, partial(scoring.score_events, shard, now=timezone.now()))
            for shard in {SHARD, shard_of("tenant-a", "ben")}
        ]
        assert reached.wait(10)
        change = in_thread(pool, lambda: count_both(window))
        time.sleep(0.2)
        go_on.set()
        assert sum(batch.result(10) for batch in batches) == 2
        change.result(10)
    score_all()

    window.refresh_from_db()
    assert verified(window)
    assert ranks(window) == [(1, "ana", 7), (2, "ben", 5)]


def count_both(window: Window) -> None:
    rules = [
        {"event_type": kind, "points_expression": "attrs.points"}
        for kind in ("game.completed", "game.won")
    ]
    board_services.patch_board(
        window.tenant_id,
        window.board.leaderboard_id,
        {"config": {"scoring": {"rules": rules}}, "effective": "recompute"},
        actor=audit.SYSTEM,
        now=timezone.now(),
    )
