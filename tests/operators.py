"""A small real HTTP server on loopback in the place of somebody else's system."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request as it arrived; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What the system answers; ``hold`` is waited for before it does."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    # Bytes sent one after the other with this pause, to an end that never comes.
    drip_seconds: float | None = None


class Operator:
    """Records every call and answers with the next of ``replies``, the last one for ever."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.replies: list[Reply] = [Reply()]
        self.arrived = threading.Semaphore(0)
        self.url = ""
        self.port = 0
        self.most_at_once = 0
        self.stopping = threading.Event()
        self._at_once = 0
        self._lock = threading.Lock()

    def answers(self, *replies: Reply | int) -> None:
        """Answer so from now on."""
        made = [Reply(status=each) if isinstance(each, int) else each for each in replies]
        with self._lock:
            self.replies = made

    def take(self, call: Call) -> Reply:
        """Note ``call`` and return what to answer."""
        with self._lock:
            self.calls.append(call)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            reply = self.replies[0]
            if len(self.replies) > 1:
                self.replies.pop(0)
        self.arrived.release()
        return reply

    def left(self) -> None:
        """Note that a call has ended."""
        with self._lock:
            self._at_once -= 1


class OperatorServer(ThreadingHTTPServer):
    """Carries the operator to its handlers."""

    daemon_threads = True

    def __init__(self, operator: Operator) -> None:
        super().__init__(("127.0.0.1", 0), OperatorHandler)
        self.operator = operator

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: some tests hang up, others fail the handshake."""


class OperatorHandler(BaseHTTPRequestHandler):
    """One call to the operator's system."""

    protocol_version = "HTTP/1.1"
    server: OperatorServer

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        headers = {name.lower(): value for name, value in self.headers.items()}
        operator = self.server.operator
        reply = operator.take(Call(self.command, self.path, headers, self.rfile.read(length)))
        try:
            with suppress(OSError):  # The caller has gone, as some of the tests want it to.
                self._answer(reply)
        finally:
            operator.left()
            self.close_connection = True

    def do_GET(self) -> None:
        self.do_POST()

    def _answer(self, reply: Reply) -> None:
        if reply.hold is not None:
            reply.hold.wait(30)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.drip_seconds is None:
            self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        if reply.drip_seconds is None:
            self.wfile.write(reply.body)
        else:
            self._drip(reply.drip_seconds)

    def _drip(self, seconds: float) -> None:
        while not self.server.operator.stopping.wait(seconds):
            self.wfile.write(b".")
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@contextmanager
def running_operator(context: ssl.SSLContext | None = None) -> Iterator[Operator]:
    """Serve an operator's system on loopback, with ``context`` under TLS."""
    operator = Operator()
    server = OperatorServer(operator)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    operator.port = server.server_address[1]
    operator.url = f"{'https' if context else 'http'}://127.0.0.1:{operator.port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield operator
    finally:
        operator.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def wait_for(happened: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until ``happened``; fail when it does not."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
