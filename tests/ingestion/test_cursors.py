import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from threading import Event as Signal
from typing import Any

import pytest
from django.db import connection, transaction

from ingestion import selectors
from ingestion.constants import FREEZE_MARGIN_MILLISECONDS, N_SHARDS
from ingestion.exceptions import CursorMovedError
from ingestion.models import Cursor, QuarantineEntry
from ingestion.rules.sharding import shard_of
from ingestion.services import cursors
from ingestion.services.store import store_rows
from ingestion.types import Batch, Refusal
from tenants.models import Tenant
from tests.ingestion.connections import in_thread, insert, other_connection
from tests.ingestion.factories import log_row

pytestmark = pytest.mark.django_db(transaction=True)

SCORING = "test.scoring"
SHARD = shard_of("tenant-a", "ana")


@transaction.atomic
def consume(*, limit: int = 100, consumer: str = SCORING) -> list[str]:
    batch = cursors.lock_batch(consumer=consumer, shard=SHARD, limit=limit)
    cursors.advance_cursor(batch)
    return [event.event_id for event in batch.events]


def ids(batch: Batch) -> list[str]:
    return [event.event_id for event in batch.events]


def test_a_batch_has_the_events_in_the_order_sent() -> None:
    store_rows([log_row("c"), log_row("a"), log_row("b")])

    assert consume() == ["c", "a", "b"]
    assert consume() == []


def test_an_event_keeps_exact_numbers_and_its_content() -> None:
    row = log_row("e1", attrs={"score": Decimal("1.25"), "deep": {"n": [10**30, None, True]}})
    store_rows([row])

    with transaction.atomic():
        (event,) = cursors.lock_batch(consumer=SCORING, shard=SHARD, limit=1).events

    assert event.attrs == {"score": Decimal("1.25"), "deep": {"n": [10**30, None, True]}}
    assert (event.tenant_id, event.event_id, event.user_id) == ("tenant-a", "e1", "ana")
    assert (event.occurred_at, event.source, event.depth) == (row.occurred_at, "api", 0)
    assert event.root == {
        "type": "game.completed",
        "occurred_at": row.occurred_at,
        "actor": {"user_id": "ana", "metadata": {}},
        "attrs": event.attrs,
    }


def test_a_shard_holds_only_its_own_events() -> None:
    ben = next(name for name in "bcdefgh" if shard_of("tenant-a", name) != SHARD)
    store_rows([log_row("e1"), log_row("e2", user_id=ben)])

    assert consume() == ["e1"]


def test_a_history_longer_than_a_batch_is_read_to_its_end_without_a_gap() -> None:
    names = [f"e{number:03}" for number in range(250)]
    for start in range(0, 250, 50):
        store_rows([log_row(name) for name in names[start : start + 50]])

    read: list[str] = []
    while batch := consume(limit=70):
        read += batch

    assert read == names


def test_an_event_that_commits_late_is_never_skipped() -> None:
    with other_connection() as slow:
        insert(slow, log_row("slow"))
        store_rows([log_row("quick")])

        before = consume()
        slow.commit()

    assert before == []
    assert consume() == ["slow", "quick"]


def test_a_slow_writer_does_not_hold_back_what_came_before_it() -> None:
    store_rows([log_row("before")])
    with other_connection() as slow:
        insert(slow, log_row("slow"))
        store_rows([log_row("after")])

        assert consume() == ["before"]
        assert consume() == []
        slow.commit()
        assert consume() == ["slow", "after"]


def test_late_commits_among_busy_readers_lose_and_double_nothing() -> None:
    stop = Signal()

    def read() -> list[str]:
        seen: list[str] = []
        while not stop.is_set():
            seen += consume(limit=7)
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [in_thread(pool, read) for _ in range(2)]
        with other_connection() as one, other_connection() as two:
            for number in range(40):
                insert(one, log_row(f"slow-{number}"))
                insert(two, log_row(f"slower-{number}"))
                store_rows([log_row(f"quick-{number}")])
                one.commit()
                store_rows([log_row(f"late-{number}")])
                two.commit()
        time.sleep(0.2)
        stop.set()
        seen = [name for reader in readers for name in reader.result()] + consume()

    kinds = ("slow", "slower", "quick", "late")
    assert sorted(seen) == sorted(f"{kind}-{number}" for kind in kinds for number in range(40))


def test_two_workers_never_hold_one_shard() -> None:
    store_rows([log_row("e1")])
    consume()
    store_rows([log_row("e2")])

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        first = cursors.lock_batch(consumer=SCORING, shard=SHARD)

        @transaction.atomic
        def second_worker() -> Batch:
            return cursors.lock_batch(consumer=SCORING, shard=SHARD)

        second = in_thread(pool, second_worker).result(timeout=10)
        cursors.advance_cursor(first)

    assert ids(first) == ["e2"]
    assert (ids(second), second.has_cursor) == ([], False)


def test_two_consumers_read_the_same_shard_apart() -> None:
    store_rows([log_row("e1")])

    assert consume(consumer="one") == ["e1"]
    assert consume(consumer="two") == ["e1"]


def test_effects_that_fail_leave_the_cursor_where_it_was() -> None:
    store_rows([log_row("e1")])

    with transaction.atomic():
        batch = cursors.lock_batch(consumer=SCORING, shard=SHARD)
        cursors.advance_cursor(batch)
        transaction.set_rollback(True)

    assert consume() == ["e1"]


def test_a_cursor_that_moved_meanwhile_is_noticed() -> None:
    store_rows([log_row("e1")])
    with transaction.atomic():
        batch = cursors.lock_batch(consumer=SCORING, shard=SHARD)
        cursors.advance_cursor(batch)

    with pytest.raises(CursorMovedError):
        cursors.advance_cursor(batch)

    cursor = Cursor.objects.get(consumer=SCORING, shard=SHARD)
    assert (cursor.last_xid, cursor.last_id) == batch.events[-1].position
    assert cursor.processed_count == 1


def test_a_full_batch_says_that_more_may_follow() -> None:
    store_rows([log_row("e1"), log_row("e2")])

    with transaction.atomic():
        assert cursors.lock_batch(consumer=SCORING, shard=SHARD, limit=2).is_full
        assert not cursors.lock_batch(consumer=SCORING, shard=SHARD, limit=3).is_full


def test_a_refused_event_goes_to_quarantine_with_the_cursor(tenant_a: Tenant) -> None:
    store_rows([log_row("e1"), log_row("e2")])

    with transaction.atomic():
        batch = cursors.lock_batch(consumer=SCORING, shard=SHARD)
        cursors.advance_cursor(batch, quarantine=[Refusal(batch.events[0], "BAD", "no score")])

    entry = QuarantineEntry.objects.get()
    assert (entry.tenant_id, entry.event.event_id, entry.consumer) == ("tenant-a", "e1", SCORING)
    assert (entry.code, entry.message, entry.state, entry.tries) == ("BAD", "no score", "open", 1)
    assert consume() == []


def test_a_batch_takes_its_order_from_the_index(django_assert_num_queries: Any) -> None:
    store_rows([log_row(f"e{number}") for number in range(300)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE ingestion_event")
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("EXPLAIN " + selectors._EVENTS_AFTER, [SHARD, "3", 0, 100])
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")

    assert "event_shard_order" in plan
    assert "Sort" not in plan


def test_5000_events_are_read_quickly() -> None:
    for start in range(0, 5000, 1000):
        store_rows([log_row(f"e{start + number}") for number in range(1000)])
    selectors.events_after(SHARD, (0, 0), limit=10)

    began = time.perf_counter()
    events = selectors.events_after(SHARD, (0, 0), limit=5000)
    seconds = time.perf_counter() - began

    assert len(events) == 5000
    # 25 ms on an idle machine of two cores; the bound leaves room for a busy one.
    assert seconds < 0.5


def now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment.astimezone(UTC)


def next_transaction() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def pass_margin() -> None:
    time.sleep(FREEZE_MARGIN_MILLISECONDS / 1000 + 0.05)


def test_no_barrier_before_the_deadline_and_its_margin() -> None:
    assert cursors.freeze_barrier(now() + timedelta(seconds=60)) is None
    assert cursors.freeze_barrier(now()) is None


def test_a_writer_that_began_before_the_deadline_holds_the_barrier_back() -> None:
    with other_connection() as slow:
        insert(slow, log_row("slow"))
        deadline = now()
        pass_margin()

        held = cursors.freeze_barrier(deadline)
        slow.commit()
        barrier = cursors.freeze_barrier(deadline)

    assert held is None
    assert barrier is not None
    assert not selectors.has_passed(SCORING, barrier)
    assert consume() == ["slow"]
    assert selectors.has_passed(SCORING, barrier)


def test_a_transaction_that_has_not_written_yet_counts_too() -> None:
    with other_connection() as slow:
        slow.execute("SELECT 1")
        deadline = now()
        pass_margin()

        assert cursors.freeze_barrier(deadline) is None

        insert(slow, log_row("slow"))
        slow.commit()
        barrier = cursors.freeze_barrier(deadline)

    assert barrier is not None
    (event,) = selectors.events_after(SHARD, (0, 0), limit=10)
    assert event.received_at < deadline
    assert event.xid < barrier


def test_writers_that_began_after_the_deadline_do_not_matter() -> None:
    deadline = now()
    pass_margin()
    with other_connection() as slow:
        insert(slow, log_row("after"))

        barrier = cursors.freeze_barrier(deadline)

    assert barrier is not None


def test_a_persons_session_does_not_hold_a_window_open() -> None:
    with other_connection("psql") as person:
        person.execute("SELECT 1")
        deadline = now()
        pass_margin()

        assert cursors.freeze_barrier(deadline) is not None


def test_every_event_received_before_the_deadline_lies_below_the_barrier() -> None:
    stop = Signal()

    def write(name: str) -> int:
        count = 0
        while not stop.is_set():
            with transaction.atomic():
                store_rows([log_row(f"{name}-{count}")])
                time.sleep(0.003 * (count % 4))
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        writers = [in_thread(pool, partial(write, name)) for name in "abc"]
        deadline = now() + timedelta(milliseconds=200)
        barrier = None
        while barrier is None:
            barrier = cursors.freeze_barrier(deadline)
        time.sleep(0.1)
        stop.set()
        assert all(writer.result() for writer in writers)

    events = selectors.events_after(SHARD, (0, 0), limit=10_000)
    assert any(event.received_at < deadline for event in events)
    assert any(event.received_at >= deadline for event in events)
    assert all(event.xid < barrier for event in events if event.received_at < deadline)


def test_a_barrier_is_passed_only_when_all_below_it_has_ended() -> None:
    store_rows([log_row("e1")])
    consume()
    with other_connection() as slow:
        insert(slow, log_row("slow"))
        # A snapshot reaches as far as the newest transaction that has ended, so one must follow.
        store_rows([log_row("e2")])
        barrier = next_transaction()
        consume()

        assert not selectors.has_passed(SCORING, barrier)
        slow.rollback()
        assert consume() == ["e2"]

    assert selectors.has_passed(SCORING, barrier)


def test_a_consumer_without_cursors_has_passed_nothing() -> None:
    store_rows([log_row("e1")])
    barrier = next_transaction()

    assert not selectors.has_passed("test.new", barrier)
    assert selectors.has_passed("test.new", 3)


def test_the_lag_counts_what_waits_per_shard(settings: Any) -> None:
    settings.PHOENIX_EVENT_CONSUMERS = {SCORING: {"task": "x"}}
    store_rows([log_row("e1"), log_row("e2")])

    lags = {lag.shard: lag for lag in selectors.consumer_lag()}
    consume()

    assert len(lags) == N_SHARDS
    assert lags[SHARD].events == 2
    assert lags[SHARD].seconds > 0
    assert sum(lag.events for lag in lags.values()) == 2
    assert all(lag.events == 0 for lag in selectors.consumer_lag())
