"""WebSocket connections that an application can write to without waiting.

ASGI offers one way to write, ``await send(…)``, which waits for a slow client. Whoever sends one
message to thousands of connections needs more: to write now or learn that it would have to wait,
and to send the same bytes everywhere. ``WireProtocol`` is uvicorn's own WebSocket protocol plus
that; start uvicorn with ``--ws phoenix_site.common.wires:WireProtocol``. It adds an extension to
the scope, ``phoenix.wire``. On any other server ``AsgiWire`` does the same through ``send``, at the
price of a task per message.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.server import ServerProtocol

__all__ = ["MAX_MESSAGE_BYTES", "AsgiWire", "Frame", "Wire", "WireProtocol", "wire_of"]

EXTENSION = "phoenix.wire"
# What a client may send at once; a longer message ends the connection with 1009.
MAX_MESSAGE_BYTES = 64 * 1024
GOING_AWAY = 1001
# How long a client may take for what was written before its connection is cut.
CLOSE_SECONDS = 10.0
# Unsent bytes that the kernel may hold. By default it hides megabytes of stale messages there,
# which a client that pauses would have to read before it sees the newest state.
KERNEL_UNSENT_BYTES = 64 * 1024

_FINAL_TEXT = 0x81


class Frame:
    """A text message, framed once for all connections that it goes to."""

    __slots__ = ("_start", "framed")

    def __init__(self, text: bytes) -> None:
        header = _header(len(text))
        self._start = len(header)
        self.framed = header + text

    def __len__(self) -> int:
        return len(self.framed)

    @property
    def text(self) -> str:
        """Return the message without its frame."""
        return self.framed[self._start :].decode()


def _header(length: int) -> bytes:
    """Return the header of an unmasked, uncompressed text frame (RFC 6455 section 5.2)."""
    if length < 126:
        return struct.pack("!BB", _FINAL_TEXT, length)
    if length < 1 << 16:
        return struct.pack("!BBH", _FINAL_TEXT, 126, length)
    return struct.pack("!BBQ", _FINAL_TEXT, 127, length)


class Wire(Protocol):
    """An accepted connection. Nothing here waits; all of it belongs to the connection's loop."""

    # Called when the wire takes frames again after ``is_writable`` was false.
    when_writable: Callable[[], None] | None

    @property
    def heard_at(self) -> float:
        """The loop's time at which anything came from the client."""

    @property
    def waiting_bytes(self) -> int:
        """How much was written and not yet taken over by the kernel."""

    def is_writable(self) -> bool:
        """Return whether a frame would leave soon; write nothing more when it would not."""

    def write(self, frame: Frame) -> None:
        """Send ``frame``; nothing happens on a connection that is ending."""

    def ping(self) -> None:
        """Send a ping frame."""

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame behind what was written; cut the connection if nobody takes it."""


class WireProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol for one connection, with a wire; no compression, no pings of its own.

    Compression would cost memory per connection and undo framing once for all.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger
        self.conn = ServerProtocol(max_size=MAX_MESSAGE_BYTES, logger=_logger)
        self.ping_interval = None
        self.heard_at = self.loop.time()
        self.wire = UvicornWire(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what the kernel holds for a client that does not read."""
        super().connection_made(transport)
        _limit_unsent_bytes(transport)

    def handle_connect(self, event: Request) -> None:
        """Offer the wire to the application that is about to be called."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = {"wire": self.wire}

    def data_received(self, data: bytes) -> None:
        """Take anything from the client, a pong included, as a sign of life."""
        self.heard_at = self.loop.time()
        super().data_received(data)

    def resume_writing(self) -> None:
        """Tell the wire's owner that the client takes messages again."""
        super().resume_writing()
        if self.wire.when_writable is not None:
            self.wire.when_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits for the client, and break the circle of references for good."""
        super().connection_lost(exc)
        wake, self.wire.when_writable = self.wire.when_writable, None
        if wake is not None:
            wake()

    def shutdown(self) -> None:
        """End with 1001, which tells clients to come back, where uvicorn would say 1012."""
        if self.handshake_complete and not self.close_sent:
            self.wire.close(GOING_AWAY, "server going down")
        else:
            super().shutdown()


class UvicornWire:
    """The wire of a ``WireProtocol``."""

    __slots__ = ("_protocol", "when_writable")

    def __init__(self, protocol: WireProtocol) -> None:
        self._protocol = protocol
        self.when_writable: Callable[[], None] | None = None

    @property
    def heard_at(self) -> float:
        """The loop's time at which anything came from the client."""
        return self._protocol.heard_at

    @property
    def waiting_bytes(self) -> int:
        """How much was written and not yet taken over by the kernel."""
        return self._protocol.transport.get_write_buffer_size()

    def is_writable(self) -> bool:
        """Return whether the transport's buffer is below its mark."""
        return self._protocol.writable.is_set()

    def write(self, frame: Frame) -> None:
        """Send ``frame`` as it is: nothing between here and the transport depends on the client."""
        protocol = self._protocol
        if not (protocol.close_sent or protocol.transport.is_closing()):
            protocol.transport.write(frame.framed)

    def ping(self) -> None:
        """Send a ping frame; the pong shows in ``heard_at``."""
        protocol = self._protocol
        if not (protocol.close_sent or protocol.transport.is_closing()):
            protocol.conn.send_ping(b"")
            protocol.transport.write(b"".join(protocol.conn.data_to_send()))

    def close(self, code: int, reason: str = "") -> None:
        """Do what uvicorn does for ``websocket.close``, but without waiting for the client."""
        protocol = self._protocol
        if protocol.close_sent or protocol.transport.is_closing():
            return
        protocol.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        protocol.conn.send_close(code, reason)
        protocol.transport.write(b"".join(protocol.conn.data_to_send()))
        protocol.close_sent = True
        if protocol.read_paused:
            protocol.read_paused = False
            protocol.transport.resume_reading()
        protocol.close_timer = protocol.loop.call_later(CLOSE_SECONDS, protocol.transport.abort)


class AsgiWire:
    """A wire on a server that knows only ASGI: one frame under way, each in a task.

    Such a server watches for lost clients by pings of its own, so a client always counts as heard.
    """

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Future[None] | None = None
        self._waiting_bytes = 0
        self._is_closed = False
        self.when_writable: Callable[[], None] | None = None

    @property
    def heard_at(self) -> float:
        """The present: the server itself closes what is dead."""
        return self._loop.time()

    @property
    def waiting_bytes(self) -> int:
        """The size of the frame that is under way."""
        return self._waiting_bytes

    def is_writable(self) -> bool:
        """Return whether no frame is under way."""
        return self._task is None

    def write(self, frame: Frame) -> None:
        """Send ``frame``, after the one that may be under way."""
        self._waiting_bytes += len(frame)
        self._start({"type": "websocket.send", "text": frame.text}, size=len(frame))

    def ping(self) -> None:
        """Do nothing: ASGI has no ping."""

    def close(self, code: int, reason: str = "") -> None:
        """Close behind the frame that may be under way."""
        if not self._is_closed:
            self._is_closed = True
            self._start({"type": "websocket.close", "code": code, "reason": reason}, size=0)

    def _start(self, message: dict[str, Any], *, size: int) -> None:
        previous = self._task
        task = self._loop.create_task(self._send_after(previous, message))
        self._task = task
        task.add_done_callback(lambda _task: self._finish(task, size))

    async def _send_after(
        self, previous: "asyncio.Future[None] | None", message: dict[str, Any]
    ) -> None:
        if previous is not None:
            await previous
        # The server says in many ways that the client has gone; ``receive`` says it once more.
        with contextlib.suppress(OSError, RuntimeError):
            await self._send(message)

    def _finish(self, task: "asyncio.Future[None]", size: int) -> None:
        self._waiting_bytes -= size
        if self._task is task:
            self._task = None
            if self.when_writable is not None:
                self.when_writable()


def wire_of(scope: dict[str, Any], send: Callable[[dict[str, Any]], Awaitable[None]]) -> Wire:
    """Return the server's own wire, or one on top of ``send``."""
    offered = scope.get("extensions", {}).get(EXTENSION)
    if offered is not None:
        wire: Wire = offered["wire"]
        return wire
    return AsgiWire(send)


def _limit_unsent_bytes(transport: asyncio.BaseTransport) -> None:
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    connection = transport.get_extra_info("socket")
    if option is None or connection is None or connection.family == socket.AF_UNIX:
        return
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, option, KERNEL_UNSENT_BYTES)


# Uvicorn logs each connection with its query string, in which a ticket may stand.
_logger = logging.getLogger("phoenix_site.wires")
_logger.setLevel(logging.WARNING)
