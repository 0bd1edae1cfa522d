"""The pool of native async code, when the database goes and comes back."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from phoenix_site.common import postgres
from phoenix_site.common.exceptions import UnavailableError

SOCKET = ".s.PGSQL.5432"


class Road:
    """A way to the tests' PostgreSQL that can be closed, as when the server is away."""

    def __init__(self, folder: Path, conninfo: str) -> None:
        self.target = Path(str(conninfo_to_dict(conninfo)["host"])) / SOCKET
        self.conninfo = make_conninfo(conninfo, host=str(folder))
        self._direct = conninfo
        self._link = folder / SOCKET
        self.open()

    def open(self) -> None:
        self._link.symlink_to(self.target)

    def close(self) -> None:
        """Let nobody in any more, and end the sessions of the pool."""
        self._link.unlink()
        with psycopg.connect(self._direct, application_name="", autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'phoenix-async'"
            )


@pytest.fixture
def road(monkeypatch: pytest.MonkeyPatch) -> Iterator[Road]:
    # Not pytest's folders: below them socket paths may get too long.
    folder = Path(tempfile.mkdtemp(prefix="phoenix-road-"))
    made = Road(folder, postgres.database_conninfo())
    monkeypatch.setattr(postgres, "database_conninfo", lambda: made.conninfo)
    yield made
    shutil.rmtree(folder)


async def is_served() -> bool:
    try:
        async with postgres.connection() as connection:
            await connection.execute("SELECT 1")
    except UnavailableError:
        return False
    return True


async def test_the_database_is_used_again_soon_after_it_came_back(
    async_database: None, road: Road
) -> None:
    assert await is_served()
    road.close()
    callers = []
    for _ in range(36):
        callers.append(asyncio.create_task(is_served()))
        await asyncio.sleep(0.1)

    road.open()
    back_at = time.monotonic()
    while not await asyncio.wait_for(is_served(), 10):
        pass

    assert time.monotonic() - back_at < 2.5
    assert not all(await asyncio.gather(*callers))


async def test_a_session_that_hangs_is_cut_and_replaced(
    async_database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_QUERY_SECONDS", 0.2)

    with pytest.raises(UnavailableError):
        async with postgres.connection() as connection:
            await asyncio.wait_for(connection.execute("SELECT pg_sleep(30)"), 10)

    assert connection.broken
    assert await is_served()
