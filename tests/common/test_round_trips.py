"""Calls that travel together: each gets its own answer, and none is left behind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ResponseError

from phoenix_site.common import round_trips
from phoenix_site.common.redis import RedisError, get_async_redis
from phoenix_site.common.round_trips import call_redis


@pytest.fixture(autouse=True)
async def _closed_client() -> AsyncIterator[None]:
    yield
    await get_async_redis().aclose()


async def test_a_call_gets_its_answer() -> None:
    await call_redis("SET", "one", 1)

    assert await call_redis("GET", "one") == b"1"


async def test_calls_made_together_get_each_its_own_answer() -> None:
    await asyncio.gather(*(call_redis("SET", f"key:{n}", n) for n in range(300)))

    answers = await asyncio.gather(*(call_redis("GET", f"key:{n}") for n in range(300)))

    assert answers == [str(n).encode() for n in range(300)]


async def test_a_refused_call_fails_alone() -> None:
    await call_redis("SET", "text", "a")

    answers: list[Any] = await asyncio.gather(
        *(call_redis(*command) for command in (["GET", "text"], ["INCR", "text"], ["GET", "no"])),
        return_exceptions=True,
    )

    assert (answers[0], answers[2]) == (b"a", None)
    assert isinstance(answers[1], ResponseError)


async def test_a_single_refused_call_fails() -> None:
    with pytest.raises(ResponseError):
        await call_redis("NO SUCH COMMAND")


async def test_no_call_is_left_behind_when_flights_end_as_it_comes() -> None:
    async def play(player: int) -> None:
        for turn in range(200):
            assert await call_redis("ECHO", f"{player}:{turn}") == f"{player}:{turn}".encode()
            # Come back at every distance from the end of the flight before.
            for _ in range((player + turn) % 5):
                await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await asyncio.gather(*(play(player) for player in range(7)))


async def test_a_call_of_the_very_moment_a_flight_ends_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flights = round_trips._Flights()

    async def send(commands: list[Any]) -> list[Any]:
        return [command[0] for command in commands]

    monkeypatch.setattr(round_trips, "_send", send)
    first, second = flights.add(("first",)), flights.add(("second",))
    late: list[asyncio.Future[Any]] = []
    second.add_done_callback(lambda _: late.append(flights.add(("late",))))
    await asyncio.gather(first, second)

    async with asyncio.timeout(1):
        assert await late[0] == "late"


async def test_without_redis_every_call_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_commands: list[Any]) -> list[Any]:
        raise RedisError("away")

    monkeypatch.setattr(round_trips, "_send", fail)

    answers = await asyncio.gather(
        *(call_redis("GET", "one") for _ in range(3)), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [RedisError] * 3


async def test_a_caller_that_leaves_takes_nothing_from_the_others() -> None:
    await call_redis("SET", "one", 1)
    leaving = asyncio.create_task(call_redis("GET", "one"))
    staying = asyncio.create_task(call_redis("GET", "one"))
    await asyncio.sleep(0)

    leaving.cancel()

    assert await staying == b"1"
    with pytest.raises(asyncio.CancelledError):
        await leaving
