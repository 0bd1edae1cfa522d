"""Two thousand sockets on one board: raw frames, so that the client costs as little as possible."""

import asyncio
import base64
import json
import multiprocessing
import os
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench import load

UPDATES_PER_SECOND = 10
PROCESSES = 2
SETTLE_SECONDS = 2.0
# Above everybody else's, so that only the marked player moves.
FIRST_SCORE = 1000


@dataclass(slots=True)
class Delivered:
    """What arrived: sockets that opened, messages with a marked score, and their delays."""

    opened: int = 0
    delivered: int = 0
    expected: int = 0
    delays: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.delays)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class _Socket(asyncio.Protocol):
    """A WebSocket client that only reads: it notes when the newest marked score came."""

    def __init__(self, request: bytes, seen: dict[int, list[float]]) -> None:
        self.request = request
        self.buffer = bytearray()
        self.is_open = False
        self.seen = seen
        self.last = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_open:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            self.is_open = self.buffer.startswith(b"HTTP/1.1 101")
            del self.buffer[: head + 4]
        while self._take_frame():
            pass

    def _take_frame(self) -> bool:
        if len(self.buffer) < 2:
            return False
        size, start = self.buffer[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(self.buffer[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(self.buffer[2:10], "big"), 10
        if len(self.buffer) < start + size:
            return False
        frame = bytes(self.buffer[start : start + size])
        opcode = self.buffer[0] & 15
        del self.buffer[: start + size]
        if opcode == 1 and b'"update"' in frame[:40]:
            self._note(frame)
        elif opcode == 9:
            self.transport.write(b"\x8a\x80" + os.urandom(4))
        return True

    def _note(self, frame: bytes) -> None:
        # One player's score is the number of the update; everything else costs no parsing.
        at = frame.find(b'"score":', frame.find(b'"marker"'))
        end = at + 8
        while frame[end : end + 1].isdigit():
            end += 1
        number = int(frame[at + 8 : end])
        if number > self.last:
            self.last = number
            self.seen.setdefault(number, []).append(time.time())


async def _listen(
    host: str, port: int, requests: list[bytes], stop_at: float
) -> tuple[int, dict[int, list[float]], list[int]]:
    loop = asyncio.get_running_loop()
    seen: dict[int, list[float]] = {}
    sockets = []
    for at in range(0, len(requests), 50):
        chunk = requests[at : at + 50]
        made = await asyncio.gather(
            *(
                loop.create_connection(lambda r=request: _Socket(r, seen), host, port)
                for request in chunk
            )
        )
        sockets += [protocol for _transport, protocol in made]
    await asyncio.sleep(max(0.0, stop_at - time.time()))
    opened = sum(socket.is_open for socket in sockets)
    lasts = [socket.last for socket in sockets]
    for socket in sockets:
        socket.transport.close()
    return opened, seen, lasts


def _run(pipe: Any, host: str, port: int, requests: list[bytes], stop_at: float) -> None:
    pipe.send(uvloop.run(_listen(host, port, requests, stop_at)))
    pipe.close()


async def measure(bench: Any, *, count: int, seconds: float) -> Delivered:
    """Open the sockets, send ten events a second, and compare what came with what was sent."""
    # With a board of one, every change would be more than half of the view: a snapshot.
    filling = next(bench.traffic.bulks("bench.live")(0))
    await (await load._connect(bench.host, bench.port)).ask(filling)  # noqa: SLF001
    connect_seconds = 15.0
    began = time.time()
    stop_at = began + connect_seconds + seconds + SETTLE_SECONDS
    requests = [_upgrade(bench, number) for number in range(count)]
    context = multiprocessing.get_context("fork")
    listeners = []
    for share in range(PROCESSES):
        mine, theirs = context.Pipe()
        process = context.Process(
            target=_run,
            args=(theirs, bench.host, bench.port, requests[share::PROCESSES], stop_at),
        )
        process.start()
        listeners.append((mine, process))
    await asyncio.sleep(max(0.0, began + connect_seconds - time.time()))
    sent = await _send(bench, seconds)
    found = Delivered()
    updates: set[int] = set()
    for mine, process in listeners:
        opened, seen, _lasts = await asyncio.to_thread(mine.recv)
        process.join()
        found.opened += opened
        for number, times in seen.items():
            if number in sent:
                updates.add(number)
                found.delivered += len(times)
                found.delays += [at - sent[number] for at in times]
    # Two events within one tick are one update: what one socket saw, every socket must have seen.
    found.expected = len(updates) * found.opened
    return found


async def _send(bench: Any, seconds: float) -> dict[int, float]:
    """Send one event per tick and return when each was accepted, by the score it leads to."""
    connection = await load._connect(bench.host, bench.port)  # noqa: SLF001
    sent: dict[int, float] = {}
    began = time.perf_counter()
    for number in range(1, int(seconds * UPDATES_PER_SECOND) + 1):
        name = f"{bench.traffic.run}-live-{number}"
        body = json.dumps(
            bench.traffic.event(
                name, "marker", kind="bench.live", points=1 if number > 1 else FIRST_SCORE + 1
            )
        ).encode()
        token = bench.traffic.token
        await connection.ask(load.http_request("POST", "/v1/events", token=token, body=body))
        sent[FIRST_SCORE + number] = time.time()
        await asyncio.sleep(max(0.0, began + number / UPDATES_PER_SECOND - time.perf_counter()))
    return sent


def _upgrade(bench: Any, number: int) -> bytes:
    token = bench.traffic.token_of(f"watcher-{number}")
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        "GET /v1/leaderboards/bench-live/ws HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
