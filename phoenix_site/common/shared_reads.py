"""Reads that several requests want at the same moment, done once for all of them."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedReads(Generic[K, V]):
    """Reads under way, by what they read."""

    def __init__(self) -> None:
        self._pending: dict[K, asyncio.Task[V]] = {}

    async def share(self, key: K, read: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return what ``read`` returns, or what the same read that is under way will return."""
        task = self._pending.get(key)
        loop = asyncio.get_running_loop()
        if task is None or task.get_loop() is not loop:
            task = self._pending[key] = loop.create_task(self._run(key, read))
        # A caller that is cancelled must not take the read away from the others.
        return await asyncio.shield(task)

    async def _run(self, key: K, read: Callable[[], Coroutine[Any, Any, V]]) -> V:
        try:
            return await read()
        finally:
            if self._pending.get(key) is asyncio.current_task():
                del self._pending[key]
