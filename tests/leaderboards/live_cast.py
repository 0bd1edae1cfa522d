"""Real web servers for tests of live updates, a board that is scored, clients that follow it."""

import asyncio
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
import uvicorn
from django.conf import settings
from django.db import connection, transaction
from psycopg.conninfo import make_conninfo
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from leaderboards import broadcasts
from leaderboards.models import Leaderboard, Window
from leaderboards.rules import live
from leaderboards.rules.live import ViewState
from leaderboards.services import index
from leaderboards.types import RankedEntry
from phoenix_site.asgi import application
from phoenix_site.common import lifecycle, postgres
from phoenix_site.common.redis import get_async_redis
from tenants.models import Tenant
from tenants.services import authentication
from tenants.types import Caller, RequestFacts
from tests.leaderboards.boards import make_board, make_window, put_entries
from tests.leaderboards.query_cast import close, new_tenant_secret, player_token

WIRE = "phoenix_site.common.wires:WireProtocol"
PATIENCE = 15.0


class Server:
    """The application on a real socket, in a thread with an event loop of its own."""

    def __init__(self, *, ws: str = WIRE) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        config = uvicorn.Config(
            _application, ws=ws, lifespan="on", log_config=None, timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve([self.listener]))

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End as a server does that is asked to."""
        self._server.should_exit = True
        self._thread.join(15)
        self.listener.close()
        assert not self._thread.is_alive()


async def _application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan":
        await application(scope, receive, send)
        return
    # The application's own lifespan handles signals, which only a main thread may.
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await lifecycle.close_all()
    await postgres.close_pool()
    await get_async_redis().aclose()
    await send({"type": "lifespan.shutdown.complete"})


class Process:
    """The application in a process of its own, which can be killed."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        name = connection.settings_dict["NAME"]
        variables = {"DATABASE_URL": make_conninfo(os.environ["DATABASE_URL"], dbname=name)}
        command = [sys.executable, "-m", "uvicorn", "phoenix_site.asgi:application", "--ws", WIRE]
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port), "--log-level", "warning"],
            env=os.environ | variables,
        )

    def __enter__(self) -> Self:
        wait_until(self._answers, seconds=30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.end(signal.SIGTERM)

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it, by default without a chance to clean up."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(20)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False


class Arena:
    """A tenant with a board whose current window is scored from the test."""

    def __init__(self, tenant: Tenant, **parts: Mapping[str, Any]) -> None:
        self.tenant = tenant
        self.secret = new_tenant_secret(tenant)
        self.board: Leaderboard = make_board(tenant, leaderboard_id="xp", **parts)
        self.window: Window = make_window(self.board, _midnight() - timedelta(days=2))

    def token(self, user_id: str = "ana", **claims: Any) -> str:
        return player_token(self.tenant, self.secret, user_id, **claims)

    @classmethod
    def at(cls, tenant: Tenant) -> "Arena":
        """Return another tenant's arena."""
        arena = cls.__new__(cls)
        arena.tenant, arena.secret = tenant, new_tenant_secret(tenant)
        return arena

    def now(self) -> datetime:
        return datetime.now(UTC)

    def ticket(self, port: int) -> str:
        """Return a ticket from the gateway."""
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/ws-tickets",
            json={},
            headers={"Authorization": f"Bearer {self.token()}"},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["ticket"])

    def end_window_in(self, *, seconds: float) -> None:
        """Have the current window end soon."""
        self.window.ends_at = self.now() + timedelta(seconds=seconds)
        self.window.due_at = self.window.ends_at + timedelta(seconds=300)
        self.window.save()

    def new_window(self) -> Window:
        """Make the window that follows the current one."""
        assert self.window.ends_at is not None
        return make_window(self.board, self.window.ends_at)

    def close_window(self) -> Window:
        """End and freeze the current window."""
        self.end_window_in(seconds=0)
        return close(self.window)

    def with_own_connection(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return ``work`` for a thread: it leaves no connection to the database behind."""

        def run() -> None:
            try:
                work()
            finally:
                connection.close()

        return run

    def play(
        self, scores: Mapping[str, int], *, window: Window | None = None, tells: bool = True
    ) -> None:
        """Give players these scores, reached now, as a batch of the scorer does."""
        chosen = window or self.window
        now = datetime.now(UTC)
        entries = [RankedEntry(user_id, score, now) for user_id, score in scores.items()]
        with transaction.atomic():
            changes = put_entries(chosen, entries)
        assert changes is not None
        index.apply_changes([changes])
        if tells:
            broadcasts.mark_dirty([chosen.pk])

    def top(self, port: int, **query: Any) -> dict[str, Any]:
        """Return what the query gateway says."""
        answer = httpx.get(
            f"http://127.0.0.1:{port}/v1/leaderboards/xp",
            params={"window_key": "current", **query},
            headers={"Authorization": f"Bearer {self.token()}"},
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    @contextmanager
    def watch(self, port: int, user_id: str = "ana", **query: Any) -> "Iterator[Client]":
        """Connect a client that authenticates by header."""
        headers = {"Authorization": f"Bearer {self.token(user_id)}"}
        with open_socket(port, query=query, headers=headers) as ws:
            yield Client(ws)


def _midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@contextmanager
def open_socket(
    port: int,
    *,
    path: str = "/v1/leaderboards/{board}/ws",
    board: str = "xp",
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    protocols: list[str] | None = None,
) -> Iterator[ClientConnection]:
    """Open a WebSocket; a filter is rendered as JSON."""
    parts = {
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in (query or {}).items()
    }
    url = f"ws://127.0.0.1:{port}{path.format(board=board)}?{urlencode(parts)}"
    with connect(
        url,
        additional_headers=dict(headers or {}),
        subprotocols=protocols,  # type: ignore[arg-type]
        proxy=None,
        open_timeout=PATIENCE,
        compression=None,
    ) as ws:
        yield ws


def refusal(port: int, **more: Any) -> tuple[int, dict[str, Any]]:
    """Return status and body of an upgrade that is refused."""
    with pytest.raises(InvalidStatus) as refused, open_socket(port, **more):
        pass
    response = refused.value.response
    assert response.body is not None
    return response.status_code, json.loads(response.body)


class Client:
    """A client that does with messages what the documentation says."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.seen: list[dict[str, Any]] = []
        self.state: ViewState | None = None
        self.snapshots = 0
        self.gaps = 0

    def say(self, **fields: Any) -> None:
        self.ws.send(json.dumps(fields))

    def hear(self, *, seconds: float = PATIENCE) -> dict[str, Any]:
        """Return the next message and work it into the state."""
        message: dict[str, Any] = json.loads(self.ws.recv(timeout=seconds))
        self.seen.append(message)
        if message["type"] == "snapshot":
            self._begin(message)
        elif message["type"] == "update":
            self._apply(message)
        return message

    def expect(self, kind: str, *, seconds: float = PATIENCE) -> dict[str, Any]:
        """Return the next message of ``kind``, working in what comes before."""
        deadline = time.monotonic() + seconds
        while True:
            message = self.hear(seconds=max(0.01, deadline - time.monotonic()))
            if message["type"] == kind:
                return message

    def follow_until(
        self, is_done: Callable[["Client"], bool], *, seconds: float = PATIENCE
    ) -> None:
        """Work in messages until ``is_done``."""
        deadline = time.monotonic() + seconds
        while not is_done(self):
            self.hear(seconds=max(0.01, deadline - time.monotonic()))

    def is_silent(self, *, seconds: float = 0.4) -> bool:
        """Return whether nothing comes for a while."""
        try:
            self.hear(seconds=seconds)
        except TimeoutError:
            return True
        return False

    @property
    def scores(self) -> dict[str, Any]:
        """Return the scores in the view, best first."""
        assert self.state is not None
        return {row.user_id: row.score for row in self.state.rows}

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Return the view as a list of entries."""
        assert self.state is not None
        return [live.row_fields(row) for row in self.state.rows]

    @property
    def place(self) -> dict[str, Any]:
        """Return the query by which a later connection resumes here."""
        assert self.state is not None
        return {"epoch": self.state.epoch, "since": self.state.sequence}

    def _begin(self, message: Mapping[str, Any]) -> None:
        self.snapshots += 1
        self.state = live.read_state(
            {
                "epoch": message["epoch"],
                "sequence": message["sequence"],
                "rows": message["entries"],
                "total_entries": message["total_entries"],
                "total_players": message["me"]["total_players"],
            }
        )

    def _apply(self, message: Mapping[str, Any]) -> None:
        assert self.state is not None
        if (message["epoch"], message["previous_sequence"]) != (
            self.state.epoch,
            self.state.sequence,
        ):
            self.gaps += 1
        update = live.read_update(message, total_players=0)
        self.state = live.apply_update(self.state, update)

    def resume_with(self, state: ViewState) -> None:
        """Go on from what an earlier connection showed."""
        self.state = state


class RawClient:
    """A client on a raw socket, which reads nothing until it is told to."""

    def __init__(self, port: int, token: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._buffer = b""
        self.socket.sendall(
            (
                "GET /v1/leaderboards/xp/ws HTTP/1.1\r\nHost: testserver\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                f"Authorization: Bearer {token}\r\n\r\n"
            ).encode()
        )
        head = self._read_to(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.socket.close()

    def read_until(self, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Return the messages up to the one that ``is_last``."""
        messages: list[dict[str, Any]] = []
        while not messages or not is_last(messages[-1]):
            messages.append(self._read_message())
        return messages

    def _read_message(self) -> dict[str, Any]:
        first, length = self._take(2)
        assert first == 0x81, first
        if length >= 126:
            length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
        message: dict[str, Any] = json.loads(self._take(length))
        return message

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _read_to(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._fill()
        return self._take(self._buffer.index(end) + len(end))

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        assert data, "The server closed the connection."
        self._buffer += data


class Crowd:
    """Many clients that read what comes and look at nothing but the latest of it."""

    def __init__(self, port: int, tokens: Iterable[str]) -> None:
        self._latest = {RawClient(port, token).socket: b"" for token in tokens}
        self._ends = False
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ends = True
        self._thread.join()
        for each in self._latest:
            each.close()

    def has_all_seen(self, text: bytes) -> bool:
        """Return whether ``text`` stands in the latest that each client got."""
        return all(text in latest for latest in self._latest.values())

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in self._latest:
                selector.register(each, selectors.EVENT_READ)
            while not self._ends:
                for key, _ in selector.select(0.1):
                    client: Any = key.fileobj
                    self._latest[client] = (self._latest[client] + client.recv(65536))[-32768:]


class RedisDoor:
    """A way to the tests' Redis that can be shut, as when the server is away."""

    def __init__(self) -> None:
        parts = urlsplit(settings.REDIS_URL)
        self._target = parts.path if parts.scheme == "unix" else (parts.hostname, parts.port)
        self._links: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        number = parse_qs(parts.query).get("db", [parts.path.strip("/") or "0"])[0]
        self.url = f"redis://127.0.0.1:{self.port}/{number if number.isdigit() else 0}"
        self._is_open = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.shut()

    def shut(self) -> None:
        """End all connections and refuse new ones."""
        self._is_open = False
        # Closing alone does not wake a thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()
        self._links.clear()

    def open(self) -> None:
        """Let connections through again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        listener = self._listener
        while self._is_open:
            try:
                outside, _ = listener.accept()
            except OSError:
                return
            inside = self._connect()
            self._links += [outside, inside]
            for source, target in ((outside, inside), (inside, outside)):
                threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()

    def _connect(self) -> socket.socket:
        if not isinstance(self._target, str):
            return socket.create_connection(self._target)
        inside = socket.socket(socket.AF_UNIX)
        inside.connect(self._target)
        return inside


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def caller_of(token: str) -> Caller:
    """Return whom a token belongs to."""
    facts = RequestFacts("GET", "", {"authorization": f"Bearer {token}"}, b"", "127.0.0.1")
    return authentication.authenticate_tenant(facts, gateway="query", now=datetime.now(UTC))


def wait_until(condition: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not become true in time."
        time.sleep(0.02)
