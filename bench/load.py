"""A small HTTP/1.1 load generator: raw sockets, keep-alive, requests rendered beforehand.

It runs in processes of its own beside the servers it measures. ``closed`` sends the next request
when the last one was answered (throughput); ``paced`` sends at a fixed rate whatever the answers do
and counts each latency from the instant the request was due (no coordinated omission).
"""

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

RequestMaker = Callable[[int], Iterator[bytes]]


@dataclass(slots=True)
class Outcome:
    """What a run saw: answers by status, seconds it took, latencies in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Return the number of answers."""
        return sum(self.statuses.values())

    @property
    def per_second(self) -> float:
        """Return answers with a 2xx status per second."""
        good = sum(count for status, count in self.statuses.items() if 200 <= status < 300)
        return good / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Return the latency in seconds that ``share`` (0 to 1) of the answers kept."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class _Connection(asyncio.Protocol):
    """One keep-alive connection that counts answers by their content-length (in small letters)."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.waiting: asyncio.Future[int] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting and not self.waiting.done():
            self.waiting.set_exception(exc or ConnectionResetError())

    def ask(self, request: bytes) -> "asyncio.Future[int]":
        self.waiting = asyncio.get_running_loop().create_future()
        assert self.transport is not None
        self.transport.write(request)
        return self.waiting

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self.buffer.find(b"content-length:", 0, head)
        size = int(self.buffer[at + 15 : self.buffer.find(b"\r\n", at)]) if at > 0 else 0
        if len(self.buffer) < head + 4 + size:
            return
        status = int(self.buffer[9:12])
        del self.buffer[: head + 4 + size]
        if self.waiting and not self.waiting.done():
            self.waiting.set_result(status)


async def _connect(host: str, port: int) -> _Connection:
    loop = asyncio.get_running_loop()
    _transport, protocol = await loop.create_connection(_Connection, host, port)
    return protocol


async def _closed(
    host: str, port: int, make: RequestMaker, *, first: int, connections: int, seconds: float
) -> Outcome:
    outcome = Outcome()
    began = time.perf_counter()
    ends = began + seconds

    async def worker(number: int) -> None:
        connection = await _connect(host, port)
        for request in make(number):
            if time.perf_counter() >= ends:
                break
            sent = time.perf_counter()
            outcome.statuses[await connection.ask(request)] += 1
            outcome.latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(worker(first + number) for number in range(connections)))
    outcome.seconds = time.perf_counter() - began
    return outcome


async def _paced(
    host: str,
    port: int,
    make: RequestMaker,
    *,
    first: int,
    connections: int,
    seconds: float,
    rate: float,
) -> Outcome:
    outcome = Outcome()
    began = time.perf_counter()
    total = int(rate * seconds)
    counter = iter(range(total))

    async def worker(number: int) -> None:
        connection = await _connect(host, port)
        requests = make(number)
        for position in counter:
            due = began + position / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            outcome.statuses[await connection.ask(next(requests))] += 1
            outcome.latencies.append(time.perf_counter() - due)

    await asyncio.gather(*(worker(first + number) for number in range(connections)))
    outcome.seconds = time.perf_counter() - began
    return outcome


def _in_process(pipe: Any, run: Callable[[], Any]) -> None:
    import uvloop

    pipe.send(uvloop.run(run()))
    pipe.close()


def _together(runs: list[Callable[[], Any]]) -> Outcome:
    """Run each in a process of its own and add the outcomes up."""
    context = multiprocessing.get_context("fork")
    pipes, processes = [], []
    for run in runs:
        mine, theirs = context.Pipe()
        process = context.Process(target=_in_process, args=(theirs, run))
        process.start()
        pipes.append(mine)
        processes.append(process)
    total = Outcome()
    for pipe, process in zip(pipes, processes, strict=True):
        part: Outcome = pipe.recv()
        process.join()
        total.statuses += part.statuses
        total.latencies += part.latencies
        total.seconds = max(total.seconds, part.seconds)
    return total


def closed(
    host: str,
    port: int,
    make: RequestMaker,
    *,
    connections: int = 32,
    seconds: float = 8.0,
    processes: int = 1,
) -> Outcome:
    """Return what ``connections`` reach when each sends as fast as it is answered."""
    share = connections // processes

    def run(number: int) -> Callable[[], Any]:
        return lambda: _closed(
            host, port, make, first=number * share, connections=share, seconds=seconds
        )

    return _together([run(number) for number in range(processes)])


def paced(
    host: str,
    port: int,
    make: RequestMaker,
    *,
    rate: float,
    connections: int = 64,
    seconds: float = 8.0,
) -> Outcome:
    """Return the latencies at ``rate`` requests per second, counted from when each was due."""
    return _together(
        [
            lambda: _paced(
                host, port, make, first=0, connections=connections, seconds=seconds, rate=rate
            )
        ]
    )


def http_request(
    method: str, path: str, *, token: str, body: bytes = b"", host: str = "127.0.0.1"
) -> bytes:
    """Return the bytes of one keep-alive request with a bearer token."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def resident_megabytes(pid: int) -> float:
    """Return a process's resident memory, shared pages counted by their share (PSS)."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:  # noqa: PTH123
        for line in rollup:
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def is_running(pid: int) -> bool:
    """Return whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
