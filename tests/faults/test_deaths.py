"""Any process may be killed, and Valkey emptied, at any moment.

Spec 07 OPS-20 and OPS-21, spec 01 acceptance 20, spec 02 acceptance 19.
"""

import re
from collections.abc import Callable

import pytest
import redis

from phoenix_site.runtime import servers
from tests.faults import cast
from tests.faults.cast import Board
from tests.faults.traffic import Traffic
from tests.faults.watcher import Watcher
from tests.processes import RunningPhoenix

pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("phoenix"),
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]


def kill_named(*names: str) -> Callable[[RunningPhoenix], None]:
    """Return how to kill processes at once and wait until others have taken their place."""

    def kill(phoenix: RunningPhoenix) -> None:
        killed = {name: phoenix.kill(name) for name in names}
        for name, pid in killed.items():
            phoenix.wait_for_restart(name, of=pid)

    return kill


def kill_pool_of_consumers(phoenix: RunningPhoenix) -> None:
    """Kill the processes that score, not the one that keeps them."""
    keeper = phoenix.pids["consumers"]
    pool = cast.children_of(keeper)
    assert len(pool) >= 2
    cast.kill_all(pool)
    cast.wait_until(
        lambda: len(set(cast.children_of(keeper)) - set(pool)) >= len(pool), "a new pool"
    )
    assert phoenix.pids["consumers"] == keeper


def flush_valkey(phoenix: RunningPhoenix) -> None:
    """Lose everything in Valkey: indexes, limits, queues, leases."""
    found = servers.running_environment(phoenix.data_dir)
    assert found is not None
    with redis.Redis.from_url(found["REDIS_URL"]) as client:
        client.flushall()


FAULTS = {
    "web": kill_named("web-1", "web-2"),
    "consumers": kill_named("consumers"),
    "pool-of-consumers": kill_pool_of_consumers,
    "valkey": kill_named("valkey"),
    "postgres": kill_named("postgres"),
    "timed": kill_named("beat", "timed"),
    "flushall": flush_valkey,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_acknowledged_is_lost_or_counts_twice(phoenix: RunningPhoenix, fault: str) -> None:
    board = Board.create(phoenix, f"fault-{fault}")

    with Watcher(board) as watcher, Traffic(phoenix, board.event_type) as traffic:
        for _ in range(2):
            traffic.wait_for_more()
            known_epochs = set(watcher.epochs)
            FAULTS[fault](phoenix)
        traffic.wait_for_more()
        cast.wait_until_all_is_well(phoenix)
        traffic.wait_for_more()
        traffic.finish()
        watcher.wait_until_it_shows(traffic.acknowledged.values())

    assert fault != "flushall" or watcher.epochs[-1] not in known_epochs
    board.wait_until_it_shows(traffic.acknowledged.values())
    board.wait_until_it_paid(traffic.acknowledged.values())
    assert cast.stored_events(phoenix, board.event_type) == cast.contents(traffic.acknowledged)
    assert cast.set_aside(phoenix) == []
    cast.assert_proven(board)


def test_what_was_acknowledged_survives_a_killed_supervisor() -> None:
    with RunningPhoenix(arguments=["--workers", "2"]) as phoenix:
        board = Board.create(phoenix, "fault-supervisor")
        with Watcher(board) as watcher, Traffic(phoenix, board.event_type) as traffic:
            traffic.wait_for_more()
            family = cast.family_of(phoenix.pids["phoenix"])
            assert len(family) >= 12

            phoenix.kill("phoenix")

            cast.wait_until(lambda: not any(map(cast.is_alive, family)), "no orphans", seconds=30)
            phoenix.start()
            traffic.wait_for_more()
            cast.wait_until_all_is_well(phoenix)
            traffic.finish()
            watcher.wait_until_it_shows(traffic.acknowledged.values())

        board.wait_until_it_shows(traffic.acknowledged.values())
        stored = cast.stored_events(phoenix, board.event_type)
        assert stored == cast.contents(traffic.acknowledged)
        cast.assert_proven(board)


def test_workers_start_while_the_database_is_away(phoenix: RunningPhoenix) -> None:
    names = ("beat", "timed", "consumers", "outbox")
    with cast.held(phoenix, "postgres"):
        known = len(phoenix.log)
        kill_named(*names)(phoenix)
        started = {name: phoenix.pids[name] for name in names}

        def have_started() -> bool:
            return set(re.findall(r"(\w+)@\S+ ready", phoenix.log[known:])) >= {*names[1:]}

        cast.wait_until(have_started, f"started workers:\n{phoenix.log[known:]}")

    cast.wait_until_all_is_well(phoenix)
    assert {name: phoenix.pids[name] for name in names} == started
