"""Redemptions of one web process that wait for each other's transaction, and share the next one.

There is no timer: a lone request waits for nothing, and whatever comes while a transaction is under
way goes into the one behind it. Each is answered after its own redemption is committed.
"""

import asyncio
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from django.db import InterfaceError, OperationalError, close_old_connections, connections
from django.utils import timezone

from phoenix_site.common import lifecycle
from phoenix_site.common.exceptions import UnavailableError
from rewards.services import redemptions
from rewards.types.coupons import RedeemAsk, Redemption

__all__ = ["aredeem", "close_queue"]

# More would only make its callers wait longer.
MAX_TOGETHER: Final = 64
MAX_WAITING: Final = 2000
_Waiting = tuple[RedeemAsk, "asyncio.Future[redemptions.Outcome]"]


class _Queue:
    """The queue of one event loop, and the thread in which it is worked off."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        # One thread, as Django's connections belong to threads.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="redemptions")

    async def redeem(self, ask: RedeemAsk) -> Redemption:
        """Return the redemption once it is committed. Raises: as ``redemptions.redeem``."""
        if len(self._waiting) >= MAX_WAITING:
            raise UnavailableError("Too many redemptions wait.", retry_after=1)
        done: asyncio.Future[redemptions.Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, done))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="redemptions")
        outcome = await done
        if isinstance(outcome, OperationalError | InterfaceError):
            raise UnavailableError("The database cannot be reached.") from outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _work(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), MAX_TOGETHER)
            taken = [self._waiting.popleft() for _ in range(count)]
            asks = [ask for ask, _done in taken]
            try:
                outcomes = await asyncio.get_running_loop().run_in_executor(
                    self._thread, _redeem, asks
                )
            # The outermost loop of a worker: whatever it is, the requests must be answered.
            except Exception as exc:  # noqa: BLE001
                outcomes = [exc] * count
            for (_ask, done), outcome in zip(taken, outcomes, strict=True):
                # A client that went away has cancelled its request, and with it the future.
                if not done.done():
                    done.set_result(outcome)

    async def close(self) -> None:
        """Work off what waits, then end the thread and its connection."""
        if self._worker is not None:
            await self._worker
        await asyncio.get_running_loop().run_in_executor(self._thread, connections.close_all)
        self._thread.shutdown()


def _redeem(asks: list[RedeemAsk]) -> list[redemptions.Outcome]:
    # As at the beginning and end of a request: a connection that broke is not tried again.
    close_old_connections()
    try:
        return redemptions.redeem_together(asks, now=timezone.now())
    finally:
        close_old_connections()


_queues: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue]" = (
    weakref.WeakKeyDictionary()
)


async def aredeem(ask: RedeemAsk) -> Redemption:
    """Redeem through the running event loop's queue; what the request raises is raised here.

    Raises: as ``redemptions.redeem``; ``UnavailableError`` when too many wait already.
    """
    loop = asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None:
        queue = _queues[loop] = _Queue()
        lifecycle.on_shutdown(close_queue)
    return await queue.redeem(ask)


async def close_queue() -> None:
    """End the running event loop's queue after everything in it was answered."""
    queue = _queues.pop(asyncio.get_running_loop(), None)
    if queue is not None:
        await queue.close()
