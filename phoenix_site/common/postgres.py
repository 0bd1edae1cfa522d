"""PostgreSQL for native async code: one pool per event loop, beside Django's own connections.

Hot paths use it because Django's ORM would hop to a thread for each query.
"""

import asyncio
import os
import socket
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from django.db import connections
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from phoenix_site.common.exceptions import UnavailableError

_POOL_SIZE = 8
_WAIT_SECONDS = 3.0
# After it the next caller makes the pool try anew. Left to itself it doubles its pauses up to
# minutes, and would sleep on when the database is back.
_RECONNECT_SECONDS = 1.0
# A server that hangs (a disk, a network) answers nothing, no request to cancel either.
_CHECK_SECONDS = 2.0
_QUERY_SECONDS = 10.0
_pools: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnectionPool[Any]]" = (
    weakref.WeakKeyDictionary()
)


def database_conninfo(*, application_name: str = "phoenix-async") -> str:
    """Return how to reach the default database; in tests that is the test database."""
    params = connections["default"].get_connection_params()
    wanted = ("dbname", "host", "port", "user", "password", "sslmode", "sslrootcert")
    chosen = {name: params[name] for name in wanted if params.get(name)}
    return make_conninfo("", **chosen, application_name=application_name, connect_timeout=3)


async def get_pool() -> "AsyncConnectionPool[Any]":
    """Return the running event loop's pool, opened on first use."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None or pool.closed:
        pool = AsyncConnectionPool(
            database_conninfo(),
            kwargs={"autocommit": True, "prepare_threshold": 2},
            min_size=1,
            max_size=_POOL_SIZE,
            timeout=_WAIT_SECONDS,
            reconnect_timeout=_RECONNECT_SECONDS,
            check=_check,
            open=False,
        )
        _pools[loop] = pool
        await pool.open()
    return pool


async def _check(conn: "psycopg.AsyncConnection[Any]") -> None:
    with cut_after(_CHECK_SECONDS, conn):
        await AsyncConnectionPool.check_connection(conn)


async def close_pool() -> None:
    """Close the running event loop's pool, if it has one."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool is not None:
        await pool.close()


@asynccontextmanager
async def connection() -> AsyncIterator["psycopg.AsyncConnection[Any]"]:
    """Lend a connection in autocommit mode. Raises: ``UnavailableError`` without a database."""
    pool = await get_pool()
    try:
        async with pool.connection() as conn:
            with cut_after(_QUERY_SECONDS, conn):
                yield conn
    except (PoolTimeout, psycopg.OperationalError) as exc:
        raise UnavailableError("The database cannot be reached.") from exc


@contextmanager
def cut_after(seconds: float, conn: "psycopg.AsyncConnection[Any]") -> Iterator[None]:
    """Cut the connection if the block takes longer; what waits for it gets ``OperationalError``."""
    timer = asyncio.get_running_loop().call_later(seconds, _cut, conn)
    try:
        yield
    finally:
        timer.cancel()


def _cut(conn: "psycopg.AsyncConnection[Any]") -> None:
    if conn.closed:
        return
    # The descriptor stays with the connection, which would not notice that it is closed.
    with socket.socket(fileno=os.dup(conn.pgconn.socket)) as wire:
        wire.shutdown(socket.SHUT_RDWR)
