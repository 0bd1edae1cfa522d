"""The bounded send queue of one connection (02/WS-10)."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from phoenix_site.common.wires import Frame, Wire

MAX_WAITING_FRAMES: Final = 64
MAX_WAITING_BYTES: Final = 1024 * 1024


class _Waiting(NamedTuple):
    frame: Frame
    is_droppable: bool


class Outbox:
    """Sends at once while the client keeps up, else queues, and drops updates of a full queue.

    Whoever offers an update and is told that it was dropped owes the client its newest state;
    ``when_drained`` says when there is room for it. The frames of a queue are shared by all
    connections, so a slow client costs little memory.
    """

    __slots__ = ("_bytes", "_drained", "_is_over", "_queue", "_when_drained", "_wire", "sent_at")

    def __init__(self, wire: Wire, when_drained: Callable[[], None]) -> None:
        self._wire = wire
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._when_drained = when_drained
        self._drained: asyncio.Future[None] | None = None
        self._is_over = False
        self.sent_at = asyncio.get_running_loop().time()
        wire.when_writable = self._flush

    @property
    def is_clear(self) -> bool:
        """Return whether nothing waits and the client takes messages."""
        return not self._queue and self._wire.is_writable()

    def send(self, frame: Frame, *, at: float) -> None:
        """Send what must not be lost: an answer, or a change of what the view is."""
        if self.is_clear:
            self._write(frame, at)
        else:
            self._queue_up(frame, is_droppable=False)

    def offer(self, frame: Frame, *, at: float) -> bool:
        """Send an update or queue it; false when it and all waiting updates were dropped."""
        if self.is_clear:
            self._write(frame, at)
            return True
        self._queue_up(frame, is_droppable=True)
        if len(self._queue) <= MAX_WAITING_FRAMES and self._bytes <= MAX_WAITING_BYTES:
            return True
        self.drop_updates()
        return False

    def drop_updates(self) -> None:
        """Forget the updates that wait, because something newer takes their place."""
        self._queue = deque(item for item in self._queue if not item.is_droppable)
        self._bytes = sum(len(item.frame) for item in self._queue)

    async def wait_until_clear(self) -> None:
        """Return when the client has taken everything, so that its next message may be read."""
        while not (self.is_clear or self._is_over):
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def close(self) -> None:
        """Forget everything; the connection is over."""
        self._is_over = True
        self._wire.when_writable = None
        self._queue.clear()
        self._bytes = 0
        self._wake()

    def _write(self, frame: Frame, at: float) -> None:
        self._wire.write(frame)
        self.sent_at = at

    def _queue_up(self, frame: Frame, *, is_droppable: bool) -> None:
        self._queue.append(_Waiting(frame, is_droppable))
        self._bytes += len(frame)

    def _flush(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._queue and self._wire.is_writable():
            item = self._queue.popleft()
            self._bytes -= len(item.frame)
            self._write(item.frame, now)
        if self.is_clear:
            self._when_drained()
        if self.is_clear:
            self._wake()

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None
