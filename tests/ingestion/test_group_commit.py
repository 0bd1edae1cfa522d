import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from ingestion import constants
from ingestion.exceptions import EventNotStoredError, LogBusyError
from ingestion.services import arrays, group_commit
from ingestion.services.group_commit import close_writer, store_events
from ingestion.services.store import storing
from ingestion.types import LogRow, StoreOutcome
from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.postgres import database_conninfo
from tests.ingestion.factories import log_row

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _closed_writer() -> AsyncIterator[None]:
    yield
    await close_writer()


async def query(statement: str) -> Any:
    conninfo = database_conninfo(application_name="test")
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as other:
        return await (await other.execute(statement)).fetchall()


async def send(*rows: LogRow) -> list[StoreOutcome]:
    return await store_events(rows)


async def test_a_lone_request_is_stored_at_once() -> None:
    assert await send(log_row("e1")) == ["accepted"]
    assert await query("SELECT event_id FROM ingestion_event") == [("e1",)]


async def test_requests_share_commits_and_each_gets_its_own_verdicts() -> None:
    requests = [send(log_row(f"e{number}"), log_row("same")) for number in range(60)]

    answers = await asyncio.gather(*requests)

    assert [answer[0] for answer in answers] == ["accepted"] * 60
    assert sum(answer[1] == "accepted" for answer in answers) <= 1
    (commits,) = await query("SELECT count(DISTINCT xid) FROM ingestion_event")
    assert commits[0] < 30


async def test_fifty_sends_of_one_event_are_one_event() -> None:
    row = log_row("e1")

    answers = await asyncio.gather(*(send(row) for _ in range(50)))

    assert sorted(outcome for (outcome,) in answers) == ["accepted"] + ["duplicate"] * 49  # type: ignore[type-var]
    assert await query("SELECT count(*) FROM ingestion_event") == [(1,)]


async def test_one_bad_row_fails_alone_among_many_requests() -> None:
    bad = log_row("bad")._replace(attrs='{"a": "\\u0000"}')

    answers = await asyncio.gather(
        *(send(log_row(f"e{number}")) for number in range(20)), send(bad), send(log_row("last"))
    )

    assert isinstance(answers[20][0], EventNotStoredError)
    assert [answer for index, answer in enumerate(answers) if index != 20] == [["accepted"]] * 21


async def test_a_full_queue_asks_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "MAX_QUEUED_ROWS", 5)

    waiting = [asyncio.ensure_future(send(log_row(f"e{number}"))) for number in range(8)]
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, LogBusyError)]
    assert len(refused) == 3
    assert refused[0].retry_after >= 1


async def test_a_client_that_went_away_breaks_nothing() -> None:
    await send(log_row("warm"))
    leaving = asyncio.ensure_future(send(log_row("left")))
    await asyncio.sleep(0)
    leaving.cancel()

    assert await send(log_row("e1")) == ["accepted"]


async def test_a_connection_that_was_ended_while_idle_is_replaced_unnoticed() -> None:
    await asyncio.gather(*(send(log_row(f"warm{number}")) for number in range(4)))
    await _end_writers()

    answers = await asyncio.gather(*(send(log_row(f"e{number}")) for number in range(6)))

    assert answers == [["accepted"]] * 6


async def _end_writers() -> None:
    await query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'phoenix-writer' AND datname = current_database()"
    )
    await asyncio.sleep(0.1)


async def test_a_server_that_hangs_promises_nothing_and_holds_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "WRITER_PATIENCE_SECONDS", 0.3)
    row = log_row("e1")
    conninfo = database_conninfo(application_name="test")
    async with await psycopg.AsyncConnection.connect(conninfo) as other:
        await _insert_elsewhere(other, row)
        with pytest.raises(UnavailableError) as refused:
            await asyncio.wait_for(send(row), 1.5)
        await other.rollback()

    assert refused.value.retry_after >= 1
    # The server may have stored it after all; sending it again settles that.
    assert await send(row) in (["accepted"], ["duplicate"])
    assert await query("SELECT event_id FROM ingestion_event") == [("e1",)]


async def test_a_connection_lost_in_the_middle_promises_nothing_and_comes_back() -> None:
    row = log_row("e1")
    conninfo = database_conninfo(application_name="test")
    async with await psycopg.AsyncConnection.connect(conninfo) as other:
        await _insert_elsewhere(other, row)
        waiting = asyncio.ensure_future(send(row))
        await asyncio.sleep(0.2)
        await _end_writers()
        with pytest.raises(UnavailableError) as refused:
            await waiting
        await other.rollback()

    assert refused.value.retry_after >= 1
    assert await send(row) == ["accepted"]


async def _insert_elsewhere(other: "psycopg.AsyncConnection[Any]", row: LogRow) -> None:
    arrays.register(other)
    statement = next(storing([row]))
    await other.execute(statement.text, statement.parameters)


async def test_waiting_for_somebody_elses_transaction_ends_and_holds_nobody_else_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "WRITER_LOCK_TIMEOUT_MILLISECONDS", 200)
    row = log_row("held")
    conninfo = database_conninfo(application_name="test")
    async with await psycopg.AsyncConnection.connect(conninfo) as other:
        await _insert_elsewhere(other, row)

        held, free = await asyncio.gather(send(row), send(log_row("free")))
        await other.rollback()

    assert isinstance(held[0], UnavailableError)
    assert free == ["accepted"]


async def test_without_a_database_requests_are_refused_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nowhere = "host=/nonexistent dbname=x connect_timeout=1"
    monkeypatch.setattr(group_commit, "database_conninfo", lambda **_names: nowhere)
    with pytest.raises(UnavailableError):
        await send(log_row("e1"))
    monkeypatch.undo()

    assert await send(log_row("e1")) == ["accepted"]


async def test_closing_stores_what_waits_and_then_takes_no_more() -> None:
    waiting = [asyncio.ensure_future(send(log_row(f"e{number}"))) for number in range(30)]
    await asyncio.sleep(0)

    await close_writer()

    assert await asyncio.gather(*waiting) == [["accepted"]] * 30
    assert await query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'phoenix-writer'"
        " AND datname = current_database()"
    ) == [(0,)]


async def test_a_writer_commits_durably_whatever_the_databases_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hasty = database_conninfo() + " options='-c synchronous_commit=off'"
    monkeypatch.setattr(group_commit, "database_conninfo", lambda **_names: hasty)
    queue = group_commit.GroupCommit()
    writer = group_commit._Writer(queue)

    connection = await writer._connected()
    shown = await (await connection.execute("SHOW synchronous_commit")).fetchone()
    await writer._disconnect()
    await queue.close()

    assert shown == ("on",)
