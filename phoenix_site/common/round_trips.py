"""Redis for the hot paths: calls of one event loop that are made together travel together.

A client of its own per call takes a connection, a write, a read and several wake-ups for each. Here
whatever was asked while earlier calls were under way goes in one pipeline, so the busier a process
is, the less a call costs. Calls stay independent: each gets its own answer or its own error.
"""

import asyncio
import weakref
from typing import Any

from phoenix_site.common.redis import RedisError, get_async_redis

__all__ = ["call_redis"]

# Two, so that the next calls are on their way while the answers to the last ones are read.
_MAX_FLIGHTS = 2
_MAX_CALLS = 128

Call = tuple[tuple[Any, ...], "asyncio.Future[Any]"]


class _Flights:
    """The calls of one event loop."""

    def __init__(self) -> None:
        self._waiting: list[Call] = []
        # Counted where a flight looks for more calls for the last time: a finished task would
        # count for a moment longer, and a call of that moment would wait for ever.
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, command: tuple[Any, ...]) -> "asyncio.Future[Any]":
        """Return the answer to come."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, answer))
        if self._under_way < _MAX_FLIGHTS:
            self._under_way += 1
            task = loop.create_task(self._fly())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return answer

    async def _fly(self) -> None:
        try:
            while self._waiting:
                calls, self._waiting = self._waiting[:_MAX_CALLS], self._waiting[_MAX_CALLS:]
                await _carry(calls)
        finally:
            self._under_way -= 1


async def _carry(calls: list[Call]) -> None:
    try:
        answers = await _send([command for command, _ in calls])
    except (RedisError, OSError) as exc:
        answers = [exc] * len(calls)
    except BaseException:
        # The loop is ending; whoever waits must not wait for ever.
        for _, answer in calls:
            answer.cancel()
        raise
    for (_, waiting), answer in zip(calls, answers, strict=True):
        _settle(waiting, answer)


_flights: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Flights]" = (
    weakref.WeakKeyDictionary()
)


async def call_redis(*command: Any) -> Any:
    """Run one command and return its answer. Raises: ``RedisError``, ``OSError``."""
    loop = asyncio.get_running_loop()
    flights = _flights.get(loop)
    if flights is None:
        flights = _flights[loop] = _Flights()
    return await flights.add(command)


async def _send(commands: list[tuple[Any, ...]]) -> list[Any]:
    # The stubs leave both calls untyped.
    client: Any = get_async_redis()
    if len(commands) == 1:
        try:
            return [await client.execute_command(*commands[0])]
        except RedisError as exc:
            return [exc]
    async with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return list(await pipe.execute(raise_on_error=False))


def _settle(waiting: "asyncio.Future[Any]", answer: Any) -> None:
    if waiting.done():  # Its request went away.
        return
    if isinstance(answer, Exception):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)
