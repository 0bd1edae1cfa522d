"""The queue before redemptions: who shares a transaction, and what becomes of those who wait."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

import pytest
from django.db import OperationalError

from phoenix_site.common.exceptions import ConflictError, UnavailableError
from rewards.services import redemption_queue, redemptions
from rewards.services.redemption_queue import aredeem
from rewards.types.coupons import RedeemAsk


class Till:
    """Stands in for the service: tells who came together, and works when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.is_open = Event()
        self.has_begun = Event()
        self.fault: Exception | None = None

    def redeem_together(self, asks: Sequence[RedeemAsk], *, now: Any) -> list[Any]:
        self.batches.append([ask.user_id for ask in asks])
        self.has_begun.set()
        assert self.is_open.wait(10)
        if self.fault is not None:
            raise self.fault
        return [ConflictError("No.") if ask.typed == "NO" else ask.user_id for ask in asks]


@pytest.fixture
def till(monkeypatch: pytest.MonkeyPatch) -> Iterator[Till]:
    # The thread behind the queue has no connection of the test's.
    monkeypatch.setattr(redemption_queue, "close_old_connections", lambda: None)
    made = Till()
    monkeypatch.setattr(redemptions, "redeem_together", made.redeem_together)
    yield made
    made.is_open.set()


@asynccontextmanager
async def waiting(till: Till, *names: str, code: str = "YES") -> AsyncIterator[list[Any]]:
    """Have the first redeem and the others wait behind; the queue is closed at the end."""
    asks = [RedeemAsk("tenant-a", name, code) for name in names]
    tasks: list[Any] = [asyncio.create_task(aredeem(asks[0]))]
    await asyncio.to_thread(till.has_begun.wait, 10)
    tasks += [asyncio.create_task(aredeem(ask)) for ask in asks[1:]]
    await asyncio.sleep(0)
    try:
        yield tasks
    finally:
        till.is_open.set()
        await redemption_queue.close_queue()


async def test_who_comes_while_one_is_served_is_served_together(till: Till) -> None:
    async with waiting(till, "ana", "ben", "cleo") as tasks:
        till.is_open.set()

        assert await asyncio.gather(*tasks) == ["ana", "ben", "cleo"]
        assert till.batches == [["ana"], ["ben", "cleo"]]


async def test_a_refusal_is_raised_where_it_was_asked_for(till: Till) -> None:
    async with waiting(till, "ana", code="NO") as (task,):
        till.is_open.set()

        with pytest.raises(ConflictError):
            await task


async def test_a_client_that_goes_away_keeps_nobody_waiting(till: Till) -> None:
    async with waiting(till, "ana", "ben", "cleo") as (first, gone, last):
        gone.cancel()
        till.is_open.set()

        found: Any = await asyncio.gather(first, last)
        assert list(found) == ["ana", "cleo"]
        assert gone.cancelled()


async def test_a_fault_answers_everybody_and_the_queue_lives_on(till: Till) -> None:
    till.fault = ZeroDivisionError()
    async with waiting(till, "ana", "ben") as tasks:
        till.is_open.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        till.fault = None

        assert [type(each) for each in found] == [ZeroDivisionError] * 2
        later: Any = await aredeem(RedeemAsk("tenant-a", "cleo", "YES"))
        assert later == "cleo"


async def test_a_database_that_is_away_is_said_so(till: Till) -> None:
    till.fault = OperationalError("server closed the connection")
    async with waiting(till, "ana") as (task,):
        till.is_open.set()

        with pytest.raises(UnavailableError):
            await task


async def test_too_many_are_asked_to_come_back(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redemption_queue, "MAX_WAITING", 2)
    async with waiting(till, "ana", "ben", "cleo"):
        with pytest.raises(UnavailableError):
            await aredeem(RedeemAsk("tenant-a", "dora", "YES"))


async def test_a_batch_has_a_maximum(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redemption_queue, "MAX_TOGETHER", 2)
    async with waiting(till, "ana", "ben", "cleo", "dora") as tasks:
        till.is_open.set()
        await asyncio.gather(*tasks)

    assert till.batches == [["ana"], ["ben", "cleo"], ["dora"]]


async def test_closing_answers_those_who_wait(till: Till) -> None:
    async with waiting(till, "ana", "ben") as tasks:
        pass

    assert [task.result() for task in tasks] == ["ana", "ben"]
