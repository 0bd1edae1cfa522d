"""Real connections beside the test's own, for races."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from django.db import connection

from ingestion.services import arrays
from ingestion.services.store import INSERT_EVENTS, storing
from ingestion.types import LogRow
from phoenix_site.common.postgres import database_conninfo

T = TypeVar("T")


@contextmanager
def other_connection(name: str = "phoenix-test") -> Iterator["psycopg.Connection[Any]"]:
    """Lend a connection whose transactions end only when the test says so."""
    with psycopg.connect(database_conninfo(application_name=name)) as other:
        arrays.register(other)
        yield other
        other.rollback()


def insert(other: "psycopg.Connection[Any]", *rows: LogRow) -> None:
    """Insert rows in the open transaction of ``other``."""
    statement = next(storing(rows))
    assert statement.text == INSERT_EVENTS
    other.execute(statement.text, statement.parameters)


def in_thread(pool: ThreadPoolExecutor, work: Callable[[], T]) -> "Future[T]":
    """Run ``work`` on a Django connection of its own, which is closed afterwards."""

    def run() -> T:
        try:
            return work()
        finally:
            connection.close()

    return pool.submit(run)
