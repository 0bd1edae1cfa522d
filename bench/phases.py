"""One function per promise: measure both sides, return rows of the table."""

import asyncio
import json
import os
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
import uvloop

from bench import ceilings, load, scoring_ceiling, sockets
from bench.traffic import PLAYERS, Traffic

BOARDS = 3
BENCH_LIMIT_PER_MINUTE = 100_000_000
DRAIN_SECONDS = 300
FILLING_TRIES = 10


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; ``wanted`` and ``kept`` are absent where nothing is promised."""

    name: str
    value: float
    unit: str
    ceiling: float | None = None
    ratio: float | None = None
    wanted: str = ""
    kept: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Bench:
    """A running Phoenix and what the measurements need to reach it."""

    def __init__(self, phoenix: Any, *, seconds: float) -> None:
        self.phoenix = phoenix
        self.sandbox = phoenix.sandbox
        address = urllib.parse.urlsplit(self.sandbox["base_url"])
        self.host, self.port = address.hostname or "127.0.0.1", address.port or 80
        self.url = json.loads((phoenix.data_dir / "servers.json").read_text())["DATABASE_URL"]
        self.seconds = seconds
        self.traffic = Traffic(self.sandbox)
        self.single_rate = 0.0

    @property
    def pids(self) -> dict[str, int]:
        return dict(self.phoenix.state["processes"])

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def set_up(self) -> None:
        """Lift the sandbox's limits and make the boards that events will match."""
        limits = dict.fromkeys(
            ("ingestion", "query_player", "query_tenant", "admin"), BENCH_LIMIT_PER_MINUTE
        )
        self.sql(
            "UPDATE tenants_tenant SET limits = %s, max_sockets = 10000 WHERE id = %s",
            json.dumps(limits),
            self.sandbox["tenant_id"],
        )
        for number in range(BOARDS):
            self._create_board(f"bench-{number}", "bench.scored")
        self._create_board("bench-live", "bench.live")
        ceilings.prepare(self.url)
        time.sleep(3)

    def _create_board(self, board: str, kind: str) -> None:
        rules = [{"event_type": kind, "points_expression": "attrs.score_delta"}]
        config = {
            "timeframe": {"type": "weekly"},
            "scoring": {"rules": rules},
            "ranking": {"size": 1_000_000},
        }
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.sandbox['base_url']}/v1/tenants/{self.sandbox['tenant_id']}/leaderboards",
            data=json.dumps({"leaderboard_id": board, "name": board, "config": config}).encode(),
            headers={
                "X-API-Key": self.sandbox["admin_api_key"],
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            assert answer.status == 201

    @contextmanager
    def consumers_paused(self) -> Iterator[None]:
        """Hold the consumers, so that a phase measures accepting and nothing else."""
        pids = _with_children(self.pids["consumers"])
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):
                os.kill(pid, signal.SIGCONT)

    def players_of(self, board: str) -> int:
        rows = self.sql(
            "SELECT count(*) FROM leaderboards_entry e"
            " JOIN leaderboards_window w ON w.id = e.window_id"
            " JOIN leaderboards_leaderboard b ON b.id = w.board_id"
            " WHERE b.leaderboard_id = %s AND b.tenant_id = %s",
            board,
            self.sandbox["tenant_id"],
        )
        return int(rows[0][0])

    def processed(self, consumer: str) -> int:
        rows = self.sql(
            "SELECT coalesce(sum(processed_count), 0) FROM ingestion_cursor WHERE consumer = %s",
            consumer,
        )
        return int(rows[0][0])

    def drain(self, consumer: str = "leaderboards.scoring") -> tuple[int, float]:
        """Wait until the consumer is done; return events and seconds."""
        began, before = time.perf_counter(), self.processed(consumer)
        last, last_change = before, began
        while time.perf_counter() - last_change < 2 and time.perf_counter() - began < DRAIN_SECONDS:
            time.sleep(0.05)
            if (now := self.processed(consumer)) != last:
                last, last_change = now, time.perf_counter()
        return last - before, max(last_change - began, 1e-9)


def _with_children(pid: int) -> list[int]:
    children = []
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
        with open(f"/proc/{pid}/task/{thread}/children") as listed:  # noqa: PTH123
            children += [int(child) for child in listed.read().split()]
    return [pid, *children]


def accepting(bench: Bench) -> Iterator[Row]:
    """ING-P1 and ING-P2: single and bulk accepts against bare inserts."""
    with bench.consumers_paused():
        ceiling, client = ceilings.single_inserts(bench.url, seconds=bench.seconds)
        yield Row(f"bare insert-and-commit, 32 connections ({client})", ceiling, "rows/s")
        single = load.closed(
            bench.host, bench.port, bench.traffic.singles("bench.unmatched"), seconds=bench.seconds
        )
        yield _promise(
            "ING-P1 single accepts", single.per_second, "events/s", ceiling, at_least=0.40
        )
        bulk_ceiling = ceilings.bulk_inserts(bench.url, seconds=bench.seconds)
        yield Row("bare set-wise insert of 100, 8 connections", bulk_ceiling, "rows/s")
        bulk = load.closed(
            bench.host,
            bench.port,
            bench.traffic.bulks("bench.scored"),
            connections=8,
            seconds=bench.seconds,
            processes=1,
        )
    rate = bulk.per_second * 100
    yield _promise(
        "ING-P2 bulk of 100, over single", rate, "events/s", single.per_second, at_least=8
    )
    yield _promise("bulk of 100, over bare set-wise", rate, "events/s", bulk_ceiling, at_least=0.60)
    bench.single_rate = single.per_second
    bad = {status: n for status, n in (single.statuses + bulk.statuses).items() if status != 202}
    yield Row("answers other than 202 in both", float(sum(bad.values())), "answers")


def scoring(bench: Bench) -> Iterator[Row]:
    """The scoring consumer on the backlog that ``accepting`` left, three boards matching."""
    events, seconds = bench.drain()
    rate = events / seconds
    ceiling = scoring_ceiling.measure(bench.url, boards=BOARDS)
    yield Row("the same set-based SQL alone, 2 connections", ceiling, "events/s")
    yield _promise("scoring, 3 matching boards", rate, "events/s", ceiling, at_least=0.60)
    yield Row(
        "scoring, 3 matching boards, absolute",
        rate,
        "events/s",
        wanted="≥ 10000",
        kept=rate >= 10_000,
    )


def everything_at_once(bench: Bench) -> Iterator[Row]:
    """Single accepts while the consumers score them on three boards: for information."""
    outcome = load.closed(
        bench.host, bench.port, bench.traffic.singles("bench.scored"), seconds=bench.seconds
    )
    yield Row("single accepts while three boards score them", outcome.per_second, "events/s")
    bench.drain()


def visibility(bench: Bench) -> Iterator[Row]:
    """ING-P10: from 202 to the visible rank at half the maximum rate of accepting."""
    rate = bench.single_rate / 2
    board = "bench-0"

    async def probe(delays: list[float]) -> None:
        ends = time.perf_counter() + bench.seconds
        number = 0
        while time.perf_counter() < ends:
            number += 1
            delays.append(await _visible_after(bench, board, f"probe-{bench.traffic.run}-{number}"))
            await asyncio.sleep(0.02)

    delays: list[float] = []

    def run_probe() -> Any:
        async def run() -> load.Outcome:
            await asyncio.sleep(1)
            found: list[float] = []
            await probe(found)
            return load.Outcome(latencies=found, seconds=bench.seconds)

        return run()

    context = load.multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    prober = context.Process(target=load._in_process, args=(theirs, run_probe))  # noqa: SLF001
    prober.start()
    sent = load.paced(
        bench.host,
        bench.port,
        bench.traffic.singles("bench.scored"),
        rate=rate,
        seconds=bench.seconds + 2,
    )
    outcome: load.Outcome = mine.recv()
    prober.join()
    delays = outcome.latencies
    yield Row("rate during the next rows", sent.per_second, "events/s")
    yield Row(f"samples (accept p99 {sent.percentile(0.99) * 1000:.0f} ms)", len(delays), "events")
    for share, limit in ((0.50, 150), (0.99, 500)):
        value = outcome.percentile(share) * 1000
        yield Row(
            f"ING-P10 accept to visible rank, p{int(share * 100)}",
            value,
            "ms",
            wanted=f"≤ {limit} ms",
            kept=value <= limit,
        )
    bench.drain()


async def _visible_after(bench: Bench, board: str, player: str) -> float:
    connection = await load._connect(bench.host, bench.port)  # noqa: SLF001
    body = json.dumps(bench.traffic.event(player, player, kind="bench.scored")).encode()
    token = bench.traffic.token_of(player)
    await connection.ask(load.http_request("POST", "/v1/events", token=token, body=body))
    accepted = time.perf_counter()
    path = f"/v1/leaderboards/{board}/rank/{player}?window_key=current"
    ask = load.http_request("GET", path, token=token)
    while await connection.ask(ask) != 200:
        if time.perf_counter() - accepted > 10:
            break
        await asyncio.sleep(0.005)
    assert connection.transport is not None
    connection.transport.close()
    return time.perf_counter() - accepted


def reading(bench: Bench) -> Iterator[Row]:
    """LB-P3: top-100 and rank reads on a board on which every player has an entry."""
    for _try in range(FILLING_TRIES):
        players = bench.players_of("bench-0")
        if players >= PLAYERS:
            break
        bulks = bench.traffic.bulks("bench.scored")
        load.closed(bench.host, bench.port, bulks, connections=8, seconds=bench.seconds)
        bench.drain()
    yield Row(f"entries of the board that is read (of {PLAYERS} wanted)", players, "entries")
    for name, ranks in (("top-100", False), ("rank", True)):
        make = bench.traffic.reads("bench-0", ranks=ranks)
        best = load.closed(bench.host, bench.port, make, seconds=bench.seconds)
        yield _promise(
            f"LB-P3 {name} reads, over single accepts",
            best.per_second,
            "reads/s",
            bench.single_rate,
            at_least=1.0,
        )
        half = load.paced(
            bench.host, bench.port, make, rate=best.per_second / 2, seconds=bench.seconds
        )
        value = half.percentile(0.99) * 1000
        yield Row(
            f"LB-P3 {name} reads at half the maximum, p99",
            value,
            "ms",
            wanted="≤ 50 ms",
            kept=value <= 50,
        )


def live(bench: Bench) -> Iterator[Row]:
    """WS-P1: 2 000 sockets on one board, ten updates a second."""
    found = uvloop.run(sockets.measure(bench, count=2000, seconds=bench.seconds))
    yield Row(
        "WS-P1 sockets open", found.opened, "sockets", wanted="2000", kept=found.opened == 2000
    )
    share = found.delivered / found.expected if found.expected else 0.0
    yield Row(
        "WS-P1 updates delivered",
        found.delivered,
        "messages",
        found.expected,
        share,
        "every one",
        found.delivered >= found.expected > 0,
    )
    value = found.percentile(0.99) * 1000
    yield Row(
        "WS-P1 from 202 to the socket, p99",
        value,
        "ms",
        wanted="≤ 200 ms",
        kept=value <= 200,
    )


def memory(bench: Bench) -> Iterator[Row]:
    """Resident memory of each process after everything above."""
    pids = bench.pids
    names = [
        name for name in pids if name.startswith("web") or name in ("consumers", "timed", "outbox")
    ]
    for name in sorted(names):
        tree = _with_children(pids[name])
        value = max(load.resident_megabytes(pid) for pid in tree)
        yield Row(f"memory of {name}", value, "MB", wanted="≤ 200 MB", kept=value <= 200)


def _promise(name: str, value: float, unit: str, ceiling: float, *, at_least: float) -> Row:
    ratio = value / ceiling if ceiling else 0.0
    return Row(name, value, unit, ceiling, ratio, f"≥ {at_least:g}", ratio >= at_least)
