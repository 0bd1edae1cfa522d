"""Many requests, one commit: the writer of a web process.

Requests that arrive while a commit is under way share the next one, so there is no timer and a
lone request waits for nothing. Each is answered only after its own row is committed.
"""

import asyncio
import select
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg

from ingestion import constants as c
from ingestion.exceptions import EventNotStoredError, LogBusyError
from ingestion.services import arrays
from ingestion.services.store import storing
from ingestion.types import LogRow, StoreOutcome, StoreStatus
from phoenix_site.common import lifecycle
from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.logging import get_logger
from phoenix_site.common.postgres import cut_after, database_conninfo

log = get_logger(__name__)

# One plan fits every number of rows, so planning each batch anew would be waste. The limits end a
# wait for somebody else's transaction with the same event id before the caller gives up.
_SESSION = """
SELECT set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('lock_timeout', %s, false),
       set_config('statement_timeout', %s, false),
       CASE WHEN current_setting('synchronous_commit') = 'off'
         THEN set_config('synchronous_commit', 'on', false) END
"""
_DOWN = "The database cannot be reached; send the event again."


class _Job:
    """The rows of one request, and the future on which it waits."""

    __slots__ = ("done", "rows")

    def __init__(self, rows: Sequence[LogRow], done: "asyncio.Future[list[StoreOutcome]]") -> None:
        self.rows = rows
        self.done = done

    def finish(self, outcomes: list[StoreOutcome]) -> None:
        # A client that went away has cancelled its request, and with it the future.
        if not self.done.done():
            self.done.set_result(outcomes)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class GroupCommit:
    """The queue of one event loop, and the writers that empty it."""

    def __init__(self) -> None:
        self._jobs: deque[_Job] = deque()
        self._queued_rows = 0
        self._idle: list[asyncio.Future[None]] = []
        self._is_closing = False
        self._writers = [
            asyncio.create_task(_Writer(self).run(), name=f"event-writer-{number}")
            for number in range(c.WRITERS_PER_PROCESS)
        ]

    async def store(self, rows: Sequence[LogRow]) -> list[StoreOutcome]:
        """Return the outcome of each row once its transaction has committed.

        Raises: ``LogBusyError`` when too many rows wait, ``UnavailableError`` when the database is
        away: then nothing is promised, and sending again settles it.
        """
        if self._is_closing or self._queued_rows + len(rows) > c.MAX_QUEUED_ROWS:
            raise LogBusyError("Too many events wait to be stored.", retry_after=1)
        job = _Job(rows, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._queued_rows += len(rows)
        self._wake_one()
        return await job.done

    async def next_jobs(self) -> list[_Job]:
        """Return what waits, at most one statement's worth; empty when the writer should end."""
        while not self._jobs:
            if self._is_closing:
                return []
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
        return self._take()

    def _take(self) -> list[_Job]:
        taken = [self._jobs.popleft()]
        count = len(taken[0].rows)
        while self._jobs and count + len(self._jobs[0].rows) <= c.MAX_ROWS_PER_STATEMENT:
            job = self._jobs.popleft()
            count += len(job.rows)
            taken.append(job)
        self._queued_rows -= count
        return taken

    def _wake_one(self) -> None:
        while self._idle:
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)
                return

    async def close(self) -> None:
        """Store what waits, then end the writers and close their connections."""
        self._is_closing = True
        for _writer in self._writers:
            self._wake_one()
        await asyncio.gather(*self._writers, return_exceptions=True)


class _Writer:
    """One connection that commits one batch after the other."""

    def __init__(self, queue: GroupCommit) -> None:
        self._queue = queue
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def run(self) -> None:
        try:
            while jobs := await self._queue.next_jobs():
                await self._serve(jobs)
        finally:
            await self._disconnect()

    async def _serve(self, jobs: list[_Job]) -> None:
        try:
            outcomes = await self._store([row for job in jobs for row in job.rows])
        except UnavailableError as exc:
            for job in jobs:
                job.fail(UnavailableError(exc.message, retry_after=exc.retry_after))
        # The outermost loop of a worker: whatever it is, the requests must be answered and the
        # writer must live on.
        except Exception as exc:
            log.exception("event.writer_failed")
            for job in jobs:
                job.fail(exc)
        else:
            start = 0
            for job in jobs:
                job.finish(outcomes[start : start + len(job.rows)])
                start += len(job.rows)

    async def _store(self, rows: list[LogRow]) -> list[StoreOutcome]:
        try:
            return list(await self._commit(rows))
        except (psycopg.Error, EventNotStoredError) as exc:
            await self._refuse_when_down(exc)
            log.warning("event.batch_failed", count=len(rows), error=type(exc).__name__)
        return [await self._store_alone(row) for row in rows]

    async def _store_alone(self, row: LogRow) -> StoreOutcome:
        try:
            return (await self._commit([row]))[0]
        except (psycopg.Error, EventNotStoredError) as exc:
            await self._refuse_when_down(exc)
            log.exception("event.not_stored", tenant_id=row.tenant_id, event_id=row.event_id)
            if isinstance(exc, psycopg.OperationalError):
                return UnavailableError("The event could not be stored in time; send it again.")
            return EventNotStoredError("The event could not be stored.")

    async def _refuse_when_down(self, error: Exception) -> None:
        """Give up on the batch when the connection is gone: nobody knows what was committed."""
        if self._connection is None or self._connection.broken or self._connection.closed:
            await self._disconnect()
            log.warning("event.database_lost", error=type(error).__name__)
            raise UnavailableError(_DOWN, retry_after=c.RETRY_AFTER_SECONDS) from error

    async def _commit(self, rows: list[LogRow]) -> list[StoreStatus]:
        connection = await self._connected()
        steps = storing(rows)
        statement = next(steps)
        async with connection.cursor(binary=True) as cursor:
            while True:
                with cut_after(c.WRITER_PATIENCE_SECONDS, connection):
                    await cursor.execute(statement.text, statement.parameters, prepare=True)
                try:
                    statement = steps.send(await cursor.fetchall())
                except StopIteration as done:
                    verdicts: list[StoreStatus] = done.value
                    return verdicts

    async def _connected(self) -> "psycopg.AsyncConnection[Any]":
        if self._connection is None or not _is_silent(self._connection):
            await self._disconnect()
            self._connection = await _connect()
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()


async def _connect() -> "psycopg.AsyncConnection[Any]":
    # Autocommit: the insert is its own transaction, so a batch costs one round trip.
    connection = await psycopg.AsyncConnection.connect(
        database_conninfo(application_name="phoenix-writer"), autocommit=True
    )
    timeouts = (c.WRITER_LOCK_TIMEOUT_MILLISECONDS, c.WRITER_STATEMENT_TIMEOUT_MILLISECONDS)
    try:
        with cut_after(c.WRITER_PATIENCE_SECONDS, connection):
            await connection.execute(_SESSION, [str(timeout) for timeout in timeouts])
    except psycopg.Error:
        await connection.close()
        raise
    arrays.register(connection)
    return connection


def _is_silent(connection: "psycopg.AsyncConnection[Any]") -> bool:
    """Return whether an idle connection has nothing to say: a server that ended says goodbye."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)


_queues: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, GroupCommit]" = (
    weakref.WeakKeyDictionary()
)


async def store_events(rows: Sequence[LogRow]) -> list[StoreOutcome]:
    """Store events through the running event loop's writer; see ``GroupCommit.store``."""
    loop = asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None:
        queue = _queues[loop] = GroupCommit()
        lifecycle.on_shutdown(close_writer)
    return await queue.store(rows)


async def close_writer() -> None:
    """End the running event loop's writer after it has stored what waits."""
    queue = _queues.pop(asyncio.get_running_loop(), None)
    if queue is not None:
        await queue.close()
