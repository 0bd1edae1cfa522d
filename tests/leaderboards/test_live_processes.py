"""Live updates while processes die and Redis is away."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.conf import settings

from leaderboards.rules.live import StreamFrame, ViewState
from leaderboards.services import live_stream
from phoenix_site.common.ids import new_id
from phoenix_site.common.redis import get_redis, key
from tenants.models import Tenant
from tests.leaderboards.live_cast import Arena, Process, RedisDoor, Server, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def arena(transactional_db: None, tenant_a: Tenant) -> Arena:
    arena = Arena(tenant_a)
    arena.play({f"p{n:02}": 1000 - n for n in range(30)})
    return arena


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def lease_of(arena: Arena) -> str:
    value = get_redis().get(key(f"{{w:{arena.window.pk}}}", "live", "lease"))
    return value.decode() if isinstance(value, bytes) else ""


@pytest.mark.processes
def test_another_process_publishes_when_the_publisher_is_killed(arena: Arena) -> None:
    with Process() as publisher, arena.watch(publisher.port) as doomed:
        doomed.hear()
        arena.play({"p05": 2000})
        doomed.expect("update")
        held = lease_of(arena)
        with Process() as other, arena.watch(other.port, "ben") as client:
            client.hear()
            arena.play({"p06": 3000})
            client.follow_until(lambda each: each.scores["p06"] == 3000)
            assert lease_of(arena) == held
            publisher.end()
            arena.play({"p07": 4000})
            client.follow_until(lambda each: each.scores["p07"] == 4000, seconds=6)
            arena.play({"p08": 5000})
            client.follow_until(lambda each: each.scores["p08"] == 5000)
            assert lease_of(arena) != held
            assert (client.snapshots, client.gaps) == (1, 0)
            assert doomed.state is not None
            missed = {"epoch": doomed.state.epoch, "since": doomed.state.sequence}
            with arena.watch(other.port, "cleo", **missed) as back:
                back.resume_with(doomed.state)
                assert back.hear()["type"] == "resumed"
                back.follow_until(lambda each: each.entries == client.entries)
                assert (back.snapshots, back.gaps) == (0, 0)


def test_a_publisher_that_lost_its_lease_changes_nothing(arena: Arena, server: Server) -> None:
    with arena.watch(server.port) as client:
        client.hear()
        lease = key(f"{{w:{arena.window.pk}}}", "live", "lease")
        get_redis().set(lease, "somebody else", px=1500)
        arena.play({"p05": 2000})
        assert client.is_silent(seconds=0.8)
        client.follow_until(lambda each: each.scores["p05"] == 2000, seconds=5)
        assert client.gaps == 0


async def test_only_the_holder_of_the_lease_appends(async_database: None) -> None:
    window_id = UUID(new_id())
    first = await live_stream.hold_lease(window_id, holder="a")
    second = await live_stream.hold_lease(window_id, holder="b")
    assert (first.is_held, second.is_held) == (True, False)
    frame = StreamFrame("k3f9", 1, 2, 5, b'{"type":"update"}')
    state = ViewState("k3f9", 2, (), 0, 5)

    assert not await live_stream.append_frame(window_id, frame, state, holder="b")
    assert await live_stream.find_state(window_id) is None
    assert await live_stream.append_frame(window_id, frame, state, holder="a")
    assert await live_stream.find_state(window_id) == state
    assert await live_stream.kept_frames(window_id) == [frame]

    await live_stream.release_lease(window_id, holder="b")
    assert not (await live_stream.hold_lease(window_id, holder="b")).is_held
    await live_stream.release_lease(window_id, holder="a")
    taken = await live_stream.hold_lease(window_id, holder="b")
    assert (taken.is_held, taken.epoch, taken.sequence) == (True, "k3f9", 2)


def test_without_redis_views_go_on_from_the_database(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisDoor() as door:
        monkeypatch.setattr(settings, "REDIS_URL", door.url)
        with Server() as server, arena.watch(server.port) as client:
            client.hear()
            arena.play({"p05": 2000})
            client.follow_until(lambda each: each.scores["p05"] == 2000)
            door.shut()
            arena.play({"p06": 3000}, tells=False)
            client.follow_until(lambda each: each.scores["p06"] == 3000, seconds=15)
            with arena.watch(server.port, "ben") as late:
                assert late.hear()["entries"][0]["user_id"] == "p06"
            door.open()
            arena.play({"p07": 4000})
            client.follow_until(lambda each: each.scores["p07"] == 4000, seconds=15)
            wait_until(lambda: lease_of(arena) != "")
            arena.play({"p08": 5000})
            client.follow_until(lambda each: each.scores["p08"] == 5000, seconds=15)
            assert client.gaps == 0
