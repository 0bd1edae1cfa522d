"""Pytest plugin: throw-away PostgreSQL and Valkey for a run, started before Django is set up.

Under xdist each worker starts servers of its own: a transaction that is open in one database holds
back the readers of the event log in every other database of the same server, and published messages
reach all databases of one Valkey. With ``DATABASE_URL`` and ``REDIS_URL`` set, those are used, and
each worker has a database number and a key prefix of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Generator
from types import FrameType
from urllib.parse import urlsplit

import pytest

from phoenix_site.runtime import servers
from phoenix_site.runtime.exceptions import StartError

URLS = ("DATABASE_URL", "REDIS_URL")
DATABASE_FIXTURES = frozenset({"db", "transactional_db", "django_db_reset_sequences"})
STACK = pytest.StashKey[contextlib.ExitStack]()
IS_THROWN_AWAY = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    # A wrapper, to be ahead of pytest-django, which reads the settings in this very hook.
    stack = early_config.stash.setdefault(STACK, contextlib.ExitStack())
    early_config.add_cleanup(stack.close)
    try:
        _provide_servers(early_config, stack)
    except StartError as exc:
        raise pytest.UsageError(str(exc)) from exc
    yield


def _provide_servers(config: pytest.Config, stack: contextlib.ExitStack) -> None:
    given = [name for name in URLS if os.environ.get(name)]
    if len(given) == 1:
        raise StartError(f"{given[0]} is set alone; set {' and '.join(URLS)}, or neither.")
    if given:
        _take_own_part_of_redis()
        return
    if _only_distributes(config):
        return
    _end_orderly_on_termination()
    started = stack.enter_context(servers.throw_away_servers())
    os.environ.update(started.environment)
    config.stash[IS_THROWN_AWAY] = True


def _take_own_part_of_redis() -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        # Number 0 is left alone: tests empty theirs.
        number = int(worker.removeprefix("gw")) + 1
        os.environ["REDIS_URL"] = redis_database(os.environ["REDIS_URL"], number)
        os.environ["PHOENIX_REDIS_PREFIX"] = f"phoenix-{worker}"


def redis_database(url: str, number: int) -> str:
    """Return ``url`` with another database number."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}?db={number}"
    return parts._replace(path=f"/{number}").geturl()


def _only_distributes(config: pytest.Config) -> bool:
    """Whether this process leaves the tests to xdist's workers."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    return not is_worker and bool(getattr(config.known_args_namespace, "numprocesses", None))


def _end_orderly_on_termination() -> None:
    """Treat SIGTERM like Ctrl-C, so that the servers are stopped and their folder is deleted."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what touches PostgreSQL, so that a second engine can be tried with ``-m database``."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("django_db") or fixtures & DATABASE_FIXTURES:
            item.add_marker(pytest.mark.database)
