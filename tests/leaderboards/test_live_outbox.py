"""A connection whose client reads slowly, not at all, or has gone without a word."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leaderboards.consumers import outbox as outbox_module
from leaderboards.consumers import watch
from leaderboards.consumers.connection import Connection
from leaderboards.consumers.outbox import MAX_WAITING_FRAMES, Outbox
from leaderboards.rules.live import OwnRank, Row, ViewSpec, ViewState, WindowFacts
from leaderboards.services.connections import Seat
from phoenix_site.common.json import encode
from phoenix_site.common.wires import Frame
from tenants.types import Caller

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


class PaperWire:
    """A wire that keeps what is written, and whose client may stop reading."""

    def __init__(self) -> None:
        self.when_writable: Callable[[], None] | None = None
        self.written: list[dict[str, Any]] = []
        self.closed: int | None = None
        self.pings = 0
        self.heard_at = 0.0
        self.waiting_bytes = 0
        self.reads = True

    def is_writable(self) -> bool:
        return self.reads

    def write(self, frame: Frame) -> None:
        self.written.append(json.loads(frame.text))

    def ping(self) -> None:
        self.pings += 1

    def close(self, code: int, reason: str = "") -> None:
        self.closed = code

    def read_again(self) -> None:
        self.reads = True
        assert self.when_writable is not None
        self.when_writable()

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.written]


class PaperFeed:
    """What a connection needs of a feed."""

    facts = WindowFacts("xp", "2026-W47", "open", None)
    total_players = 1

    def own_rank(self, _user_id: str) -> OwnRank:
        return OwnRank(None, None)

    def add(self, connection: Connection) -> None: ...

    def remove(self, connection: Connection) -> None: ...


class PaperView:
    """What a connection needs of a view."""

    def __init__(self) -> None:
        self.feed = PaperFeed()
        self.spec = ViewSpec()
        self.state = ViewState("k3f9", 1, (Row(1, "a", 1, NOON),), 1, 1)

    def shared_text(self) -> bytes:
        return encode({"type": "snapshot", "sequence": self.state.sequence})

    def add(self, connection: Connection) -> None: ...

    def remove(self, connection: Connection) -> None: ...


def frame(number: int, *, size: int = 0) -> Frame:
    return Frame(encode({"type": "update", "sequence": number, "padding": "x" * size}))


@pytest.fixture
async def wire() -> PaperWire:
    return PaperWire()


@pytest.fixture
async def connection(wire: PaperWire) -> Connection:
    caller = Caller(
        kind="tenant_jwt",
        tenant_id="tenant-a",
        tenant_ids=frozenset({"tenant-a"}),
        user_id="ana",
        credential_id=None,
        secret_id=None,
        scopes=None,
        expires_at=NOON,
    )
    made = Connection(wire, caller, Seat("c1", "tenant-a", "ana"), "xp")
    made.move_to(PaperView())  # type: ignore[arg-type]
    return made


# --- The queue -----------------------------------------------------------------------------------


async def test_frames_leave_at_once_while_the_client_reads(wire: PaperWire) -> None:
    outbox = Outbox(wire, lambda: None)

    assert outbox.offer(frame(1), at=5.0)
    assert wire.written[0]["sequence"] == 1
    assert outbox.sent_at == 5.0


async def test_a_short_pause_loses_nothing_and_keeps_the_order(wire: PaperWire) -> None:
    outbox = Outbox(wire, lambda: None)
    wire.reads = False
    assert outbox.offer(frame(1), at=0.0)
    outbox.send(Frame(b'{"type":"pong"}'), at=0.0)
    assert outbox.offer(frame(2), at=0.0)
    assert wire.written == []

    wire.read_again()

    assert wire.types == ["update", "pong", "update"]


async def test_a_full_queue_drops_updates_and_keeps_answers(wire: PaperWire) -> None:
    outbox = Outbox(wire, lambda: None)
    wire.reads = False
    outbox.send(Frame(b'{"type":"pong"}'), at=0.0)
    offered = [outbox.offer(frame(n), at=0.0) for n in range(MAX_WAITING_FRAMES)]

    assert offered == [True] * (MAX_WAITING_FRAMES - 1) + [False]
    wire.read_again()
    assert wire.types == ["pong"]


async def test_a_queue_is_full_by_size_too(
    wire: PaperWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_WAITING_BYTES", 1000)
    outbox = Outbox(wire, lambda: None)
    wire.reads = False

    assert outbox.offer(frame(1, size=800), at=0.0)
    assert not outbox.offer(frame(2, size=800), at=0.0)


async def test_waiting_for_a_clear_queue(wire: PaperWire) -> None:
    outbox = Outbox(wire, lambda: None)
    await asyncio.wait_for(outbox.wait_until_clear(), 1)
    wire.reads = False
    outbox.send(frame(1), at=0.0)
    waits = asyncio.create_task(outbox.wait_until_clear())
    await asyncio.sleep(0)
    assert not waits.done()
    wire.read_again()
    await asyncio.wait_for(waits, 1)

    wire.reads = False
    outbox.send(frame(2), at=0.0)
    waits = asyncio.create_task(outbox.wait_until_clear())
    await asyncio.sleep(0)
    outbox.close()
    await asyncio.wait_for(waits, 1)


# --- The newest state instead of a backlog -------------------------------------------------------


async def test_a_slow_client_gets_one_snapshot_of_the_newest_state(
    wire: PaperWire, connection: Connection
) -> None:
    wire.reads = False
    for number in range(2, 300):
        connection.push(frame(number), at=0.0)
        connection.view.state = ViewState("k3f9", number, (), 0, 0)  # type: ignore[union-attr]
    wire.read_again()

    assert [(m["type"], m["sequence"]) for m in wire.written] == [("snapshot", 299)]
    connection.push(frame(300), at=0.0)
    assert wire.types == ["snapshot", "update"]


async def test_a_break_waits_for_a_slow_client_and_takes_the_place_of_updates(
    wire: PaperWire, connection: Connection
) -> None:
    wire.reads = False
    connection.push(frame(2), at=0.0)
    connection.push_snapshot()
    connection.push(frame(3), at=0.0)
    wire.read_again()

    assert wire.types == ["snapshot"]


async def test_own_rank_is_part_of_a_snapshot_that_is_due(
    wire: PaperWire, connection: Connection
) -> None:
    connection.push_own_rank(OwnRank(4, 10), 9, at=0.0)
    assert wire.written[-1]["previous_rank"] is None
    wire.reads = False
    connection.push_snapshot()
    connection.push_own_rank(OwnRank(3, 11), 9, at=0.0)
    wire.read_again()

    assert wire.types == ["my_rank", "snapshot"]
    assert wire.written[-1]["me"]["ranked"] is False


async def test_a_snapshot_shows_the_own_rank_of_its_rows(
    wire: PaperWire, connection: Connection
) -> None:
    view: Any = connection.view
    view.state = ViewState("k3f9", 2, (Row(7, "ana", 5, NOON),), 1, 1)
    connection.send_snapshot(answer_id="7")

    assert wire.written[-1]["me"] == {"ranked": True, "rank": 7, "score": 5, "total_players": 1}
    assert wire.written[-1]["id"] == "7"


# --- Is anybody there ----------------------------------------------------------------------------


def look(connection: Connection, at: float) -> None:
    watch.check_pulse(connection, at=at, now=NOON)


async def test_a_quiet_connection_gets_a_heartbeat_and_a_ping(
    wire: PaperWire, connection: Connection
) -> None:
    begun = connection.outbox.sent_at
    look(connection, begun + 29)
    assert wire.written == []
    look(connection, begun + 31)

    assert (wire.types, wire.pings) == (["heartbeat"], 1)
    assert wire.written[0]["epoch"] == "k3f9"


async def test_no_sign_of_life_ends_the_connection_after_sixty_seconds_more(
    wire: PaperWire, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = connection.outbox.sent_at
    wire.heard_at = begun
    for seconds in range(1, 92):
        tick_loop(connection, begun + seconds, monkeypatch)
        if wire.closed:
            break

    assert wire.closed == 4408
    assert 90 <= seconds <= 91
    assert wire.types == ["heartbeat"] * 2


async def test_any_sign_of_life_keeps_the_connection(
    wire: PaperWire, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = connection.outbox.sent_at
    for seconds in range(1, 400):
        if seconds % 50 == 0:
            wire.heard_at = begun + seconds
        tick_loop(connection, begun + seconds, monkeypatch)

    assert wire.closed is None


def tick_loop(connection: Connection, at: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the connection with the loop's clock at ``at``."""
    with monkeypatch.context() as patched:
        patched.setattr(asyncio.get_running_loop(), "time", lambda: at)
        look(connection, at)


async def test_a_client_that_takes_nothing_is_closed_after_thirty_seconds(
    wire: PaperWire, connection: Connection
) -> None:
    begun = time.monotonic()
    wire.reads, wire.waiting_bytes = False, 100_000
    for seconds in range(30):
        look(connection, begun + seconds)
    assert wire.closed is None
    look(connection, begun + 30)

    assert wire.closed == 4408


async def test_a_client_that_takes_a_little_is_kept(
    wire: PaperWire, connection: Connection
) -> None:
    begun = time.monotonic()
    wire.reads, wire.waiting_bytes = False, 100_000
    for seconds in range(300):
        wire.waiting_bytes -= 10 if seconds % 20 == 0 else 0
        look(connection, begun + seconds)

    assert wire.closed is None


async def test_the_end_of_the_token_is_announced_once(
    wire: PaperWire, connection: Connection
) -> None:
    watch.warn_of_expiry(connection, now=NOON - timedelta(seconds=61))
    assert wire.written == []
    watch.warn_of_expiry(connection, now=NOON - timedelta(seconds=60))
    watch.warn_of_expiry(connection, now=NOON - timedelta(seconds=59))

    assert wire.written == [{"type": "token_expiring", "expires_at": "2026-11-18T12:00:00Z"}]
