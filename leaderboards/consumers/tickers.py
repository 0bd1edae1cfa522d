"""Doing something at once when it is due, and at most so often."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.logging import get_logger

log = get_logger(__name__)

# Work that takes long leaves at least this part of its time to everybody else.
_REST_SHARE: Final = 0.25


class Ticker:
    """Runs ``work`` once for any number of pokes: the first at once, the rest together later."""

    def __init__(self, work: Callable[[], Awaitable[None]], *, seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._poked = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def poke(self) -> None:
        """Have the work done."""
        self._poked.set()

    async def stop(self) -> None:
        """End without doing what may be due."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._poked.wait()
            self._poked.clear()
            started = loop.time()
            try:
                await self._work()
            except DomainError as exc:
                # The next poke, or the regular look, tries again.
                log.warning("live.tick_skipped", code=exc.code)
            except Exception:
                log.exception("live.tick_failed")
            took = loop.time() - started
            await asyncio.sleep(max(self._seconds - took, took * _REST_SHARE))
