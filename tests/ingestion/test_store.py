from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from django.db import transaction

from ingestion import selectors
from ingestion.exceptions import EventNotStoredError
from ingestion.models import Event
from ingestion.rules.sharding import shard_of
from ingestion.services import store
from ingestion.services.store import store_events, store_rows, storing
from phoenix_site.common.exceptions import UnavailableError
from tests.ingestion.connections import in_thread, insert, other_connection
from tests.ingestion.factories import log_row

pytestmark = pytest.mark.django_db(transaction=True)


def stored_ids() -> list[str]:
    return list(Event.objects.order_by("id").values_list("event_id", flat=True))


def test_new_events_are_accepted_and_numbered_in_the_order_sent() -> None:
    assert store_rows([log_row("c"), log_row("a"), log_row("b")]) == ["accepted"] * 3
    assert stored_ids() == ["c", "a", "b"]


def test_the_same_content_again_is_a_duplicate_and_other_content_a_conflict() -> None:
    row = log_row("e1")
    store_rows([row])

    assert store_rows([row]) == ["duplicate"]
    assert store_rows([log_row("e1", attrs={"score": 2})]) == ["conflict"]
    assert Event.objects.get().attrs == {"score": 1}


def test_one_list_may_hold_every_verdict() -> None:
    known = log_row("known")
    store_rows([known])
    new = log_row("new")

    verdicts = store_rows(
        [new, known, log_row("known", attrs={}), new, log_row("new", attrs={"score": 3})]
    )

    assert verdicts == ["accepted", "duplicate", "conflict", "duplicate", "conflict"]
    assert stored_ids() == ["known", "new"]


def test_two_tenants_may_use_one_id() -> None:
    assert store_rows([log_row("e1"), log_row("e1", tenant_id="tenant-b")]) == ["accepted"] * 2


def test_a_list_longer_than_a_statement_is_stored_whole() -> None:
    rows = [log_row(f"e{number:04}") for number in range(2500)]

    assert store_rows(rows) == ["accepted"] * 2500
    assert stored_ids() == [row.event_id for row in rows]


def test_received_at_is_the_start_of_the_storing_transaction() -> None:
    with transaction.atomic():
        store_rows([log_row("e1")])
        store_rows([log_row("e2")])

    first, second = Event.objects.order_by("id")
    assert first.received_at == second.received_at
    assert first.xid == second.xid


def test_of_many_races_for_one_id_exactly_one_wins() -> None:
    barrier = Barrier(8)
    contents = [log_row("e1"), log_row("e1", attrs={"score": 2})]

    def send(number: int) -> tuple[int, str]:
        barrier.wait(timeout=10)
        (verdict,) = store_events([contents[number % 2]])
        assert isinstance(verdict, str)
        return number % 2, verdict

    with ThreadPoolExecutor(8) as pool:
        futures = [in_thread(pool, partial(send, number)) for number in range(8)]
        outcomes = [future.result(timeout=20) for future in futures]

    (winner,) = [content for content, verdict in outcomes if verdict == "accepted"]
    assert outcomes.count((winner, "duplicate")) == 3
    assert outcomes.count((1 - winner, "conflict")) == 4
    assert bytes(Event.objects.get().content_hash) == contents[winner].content_hash


def test_lists_with_the_same_ids_in_opposite_order_do_not_deadlock() -> None:
    barrier = Barrier(2)
    rows = [log_row(f"e{number}") for number in range(400)]

    def send(reverse: int) -> list[object]:
        barrier.wait(timeout=10)
        return list(store_events(rows[::-1] if reverse else rows))

    with ThreadPoolExecutor(2) as pool:
        futures = [in_thread(pool, partial(send, reverse)) for reverse in (0, 1)]
        one, two = (future.result(timeout=30) for future in futures)

    assert sorted(map(str, one + two)) == ["accepted"] * 400 + ["duplicate"] * 400


def test_a_row_that_is_purged_between_the_two_statements_is_stored_again() -> None:
    row = log_row("e1")
    steps = storing([row])
    next(steps)

    statement = steps.send([])
    assert statement.text == store.READ_HASHES
    statement = steps.send([])

    assert statement.text == store.INSERT_EVENTS
    with pytest.raises(StopIteration) as done:
        steps.send([row.key])
    assert done.value.value == ["accepted"]


def test_one_bad_row_fails_alone() -> None:
    bad = log_row("bad")._replace(attrs='{"a": "\\u0000"}')

    outcomes = store_events([log_row("e1"), bad, log_row("e2")])

    assert outcomes[0] == outcomes[2] == "accepted"
    assert isinstance(outcomes[1], EventNotStoredError)
    assert stored_ids() == ["e1", "e2"]


def test_a_transaction_in_progress_with_the_same_id_decides_first() -> None:
    row = log_row("e1")
    with other_connection() as other, ThreadPoolExecutor(1) as pool:
        insert(other, row)
        waiting = in_thread(pool, lambda: store_events([row]))
        other.commit()

        assert waiting.result(timeout=10) == ["duplicate"]


def test_without_a_database_nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db.utils import OperationalError

    def fail(_rows: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(store, "store_rows", fail)

    with pytest.raises(UnavailableError):
        store_events([log_row("e1")])


def test_a_players_events_share_a_shard_and_players_spread_over_all() -> None:
    store_rows([log_row(f"e{number}", user_id=f"player-{number}") for number in range(200)])

    assert len(set(Event.objects.values_list("shard", flat=True))) == 8
    assert shard_of("tenant-a", "ana") == shard_of("tenant-a", "ana")
    assert selectors.find_event("tenant-a", "e7").shard == shard_of("tenant-a", "player-7")  # type: ignore[union-attr]
