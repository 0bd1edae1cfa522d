import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from leaderboards.constants import INDEX_STEP
from leaderboards.models import Window
from leaderboards.selectors import rank_index, standings, standings_source
from leaderboards.services import index
from leaderboards.types import BoardView, IndexEntry, Moment, RankedEntry, ShardChanges
from phoenix_site.common.redis import get_redis
from tenants.models import Tenant
from tests.leaderboards.boards import NOON, make_board, make_window, put_entries

VIEW = BoardView()


@pytest.fixture
def window(tenant_a: Tenant) -> Window:
    return make_window(make_board(tenant_a))


def entry(player: str, score: int, seconds: int = 0) -> RankedEntry:
    return RankedEntry(player, score, NOON + timedelta(seconds=seconds))


def moment(window: Window) -> Moment:
    standings_source.forget_versions()
    return standings.totals(window, VIEW).moment


def listed(window: Window) -> list[tuple[str, int]]:
    standings_source.forget_versions()
    page = standings.top(window, VIEW, limit=1000)
    return [(standing.external_id, standing.score) for standing in page.standings]


def is_indexed(window: Window) -> bool:
    """Whether readers use the index, at the latest when what they remember has run out."""
    gives_up_at = time.monotonic() + 1
    while moment(window).epoch.startswith("db"):
        if time.monotonic() > gives_up_at:
            return False
        time.sleep(0.05)
    return True


def test_a_first_change_builds_the_index_and_later_ones_keep_its_epoch(window: Window) -> None:
    index.apply_changes([put_entries(window, [entry("ana", 5)])])
    first = moment(window)

    index.apply_changes([put_entries(window, [entry("ben", 7), entry("ana", 6)])])

    assert moment(window) == Moment(first.epoch, first.sequence + 1)
    assert listed(window) == [("ben", 7), ("ana", 6)]


def test_sequences_count_the_changes_of_all_shards(window: Window) -> None:
    for number, shard in enumerate([0, 3, 3, 7], start=1):
        index.apply_changes([put_entries(window, [entry(f"p{number}", number)], shard=shard)])

        assert moment(window).sequence == number


def test_changes_that_come_out_of_order_are_healed(window: Window) -> None:
    index.apply_changes([put_entries(window, [entry("ana", 1)])])
    older = put_entries(window, [entry("ana", 2)])
    newer = put_entries(window, [entry("ben", 3)])

    index.apply_changes([newer])
    assert listed(window) == [("ben", 3), ("ana", 2)]
    index.apply_changes([older])

    assert is_indexed(window)
    assert listed(window) == [("ben", 3), ("ana", 2)]


def test_an_index_that_is_behind_is_not_read(window: Window) -> None:
    index.apply_changes([put_entries(window, [entry("ana", 1)])])

    put_entries(window, [entry("ana", 2)])

    assert moment(window) == Moment("db0", 2)
    assert listed(window) == [("ana", 2)]


def test_an_index_of_an_earlier_generation_is_not_read_and_is_rebuilt(window: Window) -> None:
    index.apply_changes([put_entries(window, [entry("ana", 1)])])
    Window.objects.filter(pk=window.pk).update(generation=1)
    window.entries.all().delete()
    window.refresh_from_db()

    changes = put_entries(window, [entry("ben", 2)])
    assert moment(window).epoch == "db1"
    index.apply_changes([changes])

    assert is_indexed(window)
    assert listed(window) == [("ben", 2)]


@pytest.mark.parametrize("name", ["meta", "entries", "players"])
def test_an_index_that_lost_a_key_is_not_read_and_is_rebuilt(window: Window, name: str) -> None:
    index.apply_changes([put_entries(window, [entry("ana", 1)])])
    get_redis().delete(rank_index.index_key(window.pk, name))

    assert not is_indexed(window)
    assert listed(window) == [("ana", 1)]
    index.apply_changes([put_entries(window, [entry("ben", 2)])])

    assert is_indexed(window)
    assert listed(window) == [("ben", 2), ("ana", 1)]


def test_the_sweep_rebuilds_what_a_flush_left(window: Window, tenant_a: Tenant) -> None:
    other = make_window(make_board(tenant_a))
    index.apply_changes([put_entries(window, [entry("ana", 1)])])
    index.apply_changes([put_entries(other, [entry("ana", 1)])])
    epoch = moment(window).epoch
    get_redis().flushdb()

    assert index.sweep_indexes() == 2
    assert index.sweep_indexes() == 0

    assert is_indexed(window)
    assert moment(window).epoch != epoch


def test_the_sweep_heals_what_a_crash_left_behind(window: Window) -> None:
    index.apply_changes([put_entries(window, [entry("ana", 1)])])
    epoch = moment(window).epoch
    put_entries(window, [entry("ben", 2)], shard=4)
    put_entries(window, [entry("ana", 3)])

    assert index.sweep_indexes() == 1

    assert moment(window) == Moment(epoch, 3)
    assert listed(window) == [("ana", 3), ("ben", 2)]


def test_batches_during_a_build_are_not_lost(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_entries(window, [entry("ana", 1)])
    add_to_draft = index._add_to_draft

    def commit_meanwhile(*args: Any) -> bool:
        index.apply_changes([put_entries(window, [entry("ben", 2)])])
        return add_to_draft(*args)

    monkeypatch.setattr(index, "_add_to_draft", commit_meanwhile)
    assert index.rebuild_index(window.pk)

    assert is_indexed(window)
    assert listed(window) == [("ben", 2), ("ana", 1)]


def test_one_process_builds_at_a_time(window: Window) -> None:
    put_entries(window, [entry("ana", 1)])
    get_redis().set(rank_index.index_key(window.pk, "building"), "somebody", px=1000)

    assert not index.rebuild_index(window.pk)

    get_redis().delete(rank_index.index_key(window.pk, "building"))
    assert index.rebuild_index(window.pk)


def test_a_build_whose_lock_was_lost_installs_nothing(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_entries(window, [entry("ana", 1)])
    add_to_draft = index._add_to_draft

    def flush_meanwhile(*args: Any) -> bool:
        is_added = add_to_draft(*args)
        get_redis().flushdb()
        return is_added

    monkeypatch.setattr(index, "_add_to_draft", flush_meanwhile)
    assert not index.rebuild_index(window.pk)

    assert not get_redis().exists(*rank_index.index_keys(window.pk))


def test_a_large_index_is_left_to_the_sweep(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_REBUILT_BY_BATCHES", 1)
    changes = put_entries(window, [entry("ana", 1), entry("ben", 2)])

    index.apply_changes([changes])
    assert not is_indexed(window)
    index.sweep_indexes()

    assert is_indexed(window)


def test_a_large_batch_goes_in_by_steps_with_a_sequence_each(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.apply_changes([put_entries(window, [])])
    seen: list[tuple[int, int]] = []
    run = index._call_script

    def watch(script: Any, calls: Any) -> list[Any]:
        answers: list[Any] = []
        for call in calls:
            answers += run(script, [call])
            versions = rank_index.read(window.pk, VIEW, "totals", ())
            if versions is not None:
                seen.append((versions.moment.sequence, versions.total_players))
        return answers

    monkeypatch.setattr(index, "_call_script", watch)
    count = 2 * INDEX_STEP + 1
    changes = put_entries(window, [])
    entries = [IndexEntry(f"p{n}", NOON, n) for n in range(count)]
    index._run(list(index._steps_of(replace(changes, after=changes.before + 3, entries=entries))))

    assert seen == [(2, INDEX_STEP), (3, 2 * INDEX_STEP), (4, count)]


def test_without_redis_everything_goes_on(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise RedisConnectionError

    changes = put_entries(window, [entry("ana", 1)])
    monkeypatch.setattr("redis.connection.AbstractConnection.connect", refuse)
    get_redis().connection_pool.disconnect()

    index.apply_changes([changes])
    index.drop_index(window.pk)
    index.renew_index(window.pk)

    assert index.sweep_indexes() == 0
    assert listed(window) == [("ana", 1)]


def test_an_index_that_refused_once_is_used_by_the_next_batch(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [put_entries(window, [entry("ana", score)]) for score in (1, 2)]

    def refuse(*_args: Any) -> None:
        raise RedisConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(index, "_send", refuse)
        assert not index.apply_changes(changes[:1])

    assert index.apply_changes(changes[1:])
    assert is_indexed(window)


def test_after_a_hang_batches_leave_the_index_to_the_sweep_for_a_while(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [put_entries(window, [entry("ana", score)]) for score in (1, 2, 3)]
    tried: list[Any] = []

    def hang(*args: Any) -> None:
        tried.append(args)
        raise RedisTimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(index, "_send", hang)
        index.apply_changes(changes[:1])
        index.apply_changes(changes[1:2])
    assert len(tried) == 1
    index.apply_changes(changes[2:])
    assert not is_indexed(window)

    index.sweep_indexes()

    assert listed(window) == [("ana", 3)]
    assert is_indexed(window)


def test_a_hundred_thousand_entries_need_little_memory(window: Window) -> None:
    before = used_memory()
    changes = put_entries(window, [])
    index.apply_changes([changes])
    add_entries(changes, 100_000)

    assert used_memory() - before < 40_000_000


def used_memory() -> int:
    memory: Any = get_redis().info("memory")
    return int(memory["used_memory"])


def add_entries(changes: ShardChanges, count: int) -> None:
    """File entries under further versions, as batches do."""
    entries = [IndexEntry(f"player-{n:06}", NOON, n % 5000) for n in range(count)]
    steps = index._steps_of(
        replace(changes, before=1, after=1 + count // INDEX_STEP, entries=entries)
    )
    assert set(index._run(list(steps))) == {b"applied"}


pytestmark = pytest.mark.django_db
