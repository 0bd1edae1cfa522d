"""Whether this process may get traffic (ING-9), and the sign of life of the workers."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from ingestion import selectors
from ingestion.constants import READY_PROBE_SECONDS, WORKERS_SILENT_SECONDS
from ingestion.types import Readiness, ReadyStatus
from phoenix_site.common import lifecycle
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_redis, key

log = get_logger(__name__)

# Threads of their own: a probe that hangs must not hold one that answers requests. One for each
# thing that is probed, so that what hangs does not make the other look as if it did.
_probes = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ready-probe")
_running: dict[str, "Future[Any]"] = {}
_running_lock = Lock()
# Workers start beside this process, and what an earlier run left behind says nothing.
_started_at = time.monotonic()


class _MigrationsPendingError(Exception):
    """The database is older than this code."""


class _Migrations:
    """New migrations come with a new process, so having seen all applied once is enough."""

    are_applied = False


def beat_heartbeat(*, now: datetime) -> None:
    """Leave a sign of life of the workers; without Redis there is nobody to leave it for."""
    try:
        get_redis().set(_heartbeat_key(), int(now.timestamp()))
    except (RedisError, OSError) as exc:
        log.warning("worker.heartbeat_lost", error=type(exc).__name__)


def worker_heartbeat() -> datetime | None:
    """Return when a worker last gave a sign of life. Raises: ``RedisError``."""
    seconds = _probe_queue()
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)


def check_readiness(*, now: datetime) -> Readiness:
    """Return whether the process can take events; it takes two seconds at most."""
    deadline = time.monotonic() + READY_PROBE_SECONDS
    database = _probe("database", _probe_database)
    queue = _probe("queue", _probe_queue)
    database_state, lag_seconds = _database_state(database, deadline)
    queue_state, heartbeat = _queue_state(queue, deadline)
    is_refusing = lifecycle.is_draining() or database_state != "connected"
    is_well = queue_state == "connected" and not _are_workers_silent(heartbeat, now)
    usable: ReadyStatus = "ready" if is_well else "degraded"
    return Readiness(
        status="not_ready" if is_refusing else usable,
        database=database_state,
        message_queue=queue_state,
        is_draining=lifecycle.is_draining(),
        last_worker_heartbeat=heartbeat,
        largest_lag_seconds=lag_seconds,
    )


def _probe(name: str, ask: Callable[[], Any]) -> "Future[Any]":
    """Start a probe, or return the one that is under way: a hanging one is not asked again."""
    with _running_lock:
        running = _running.get(name)
        if running is None or running.done():
            running = _running[name] = _probes.submit(ask)
        return running


def _are_workers_silent(heartbeat: datetime | None, now: datetime) -> bool:
    if time.monotonic() - _started_at < WORKERS_SILENT_SECONDS:
        return False
    return heartbeat is None or (now - heartbeat).total_seconds() > WORKERS_SILENT_SECONDS


def _heartbeat_key() -> str:
    return key("worker", "heartbeat")


def _database_state(probe: "Future[float]", deadline: float) -> tuple[str, float | None]:
    try:
        return "connected", probe.result(timeout=_left(deadline))
    except _MigrationsPendingError:
        return "migrations_pending", None
    except (DatabaseError, InterfaceError, TimeoutError) as exc:
        log.warning("ready.database_unavailable", error=type(exc).__name__)
        return "unavailable", None


def _probe_database() -> float:
    """Return the largest lag of a consumer in seconds."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # For this transaction only: the session may go back to a pool.
            cursor.execute(f"SET LOCAL statement_timeout = {int(READY_PROBE_SECONDS * 1000)}")
            if not _Migrations.are_applied:
                _expect_no_migrations()
            return max((lag.seconds for lag in selectors.consumer_lag(bound=1)), default=0.0)
    finally:
        # The connection belongs to a thread that no request will clean up after.
        connection.close()


def _expect_no_migrations() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise _MigrationsPendingError
    _Migrations.are_applied = True


def _queue_state(probe: "Future[Any]", deadline: float) -> tuple[str, datetime | None]:
    try:
        heartbeat = probe.result(timeout=_left(deadline))
    except (RedisError, OSError, TimeoutError) as exc:
        log.warning("ready.queue_unavailable", error=type(exc).__name__)
        return "unavailable", None
    return "connected", None if heartbeat is None else datetime.fromtimestamp(int(heartbeat), UTC)


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _probe_queue() -> Any:
    """Return when a worker last gave a sign of life; the broker is the same Redis."""
    return get_redis().get(_heartbeat_key())
