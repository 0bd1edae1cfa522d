"""Whether this process may get traffic (ING-9), and the sign of life of the workers."""

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from ingestion import selectors
from ingestion.constants import READY_PROBE_SECONDS
from ingestion.types import Readiness, ReadyStatus
from phoenix_site.common import lifecycle
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_redis, key

log = get_logger(__name__)

# Threads of their own: a probe that hangs must not hold one that answers requests.
_probes = ThreadPoolExecutor(max_workers=4, thread_name_prefix="ready-probe")


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


def check_readiness() -> Readiness:
    """Return whether the process can take events; each probe ends after two seconds."""
    database = _probes.submit(_probe_database)
    queue = _probes.submit(_probe_queue)
    database_state, lag_seconds = _database_state(database)
    queue_state, heartbeat = _queue_state(queue)
    is_refusing = lifecycle.is_draining() or database_state != "connected"
    usable: ReadyStatus = "ready" if queue_state == "connected" else "degraded"
    return Readiness(
        status="not_ready" if is_refusing else usable,
        database=database_state,
        message_queue=queue_state,
        is_draining=lifecycle.is_draining(),
        last_worker_heartbeat=heartbeat,
        largest_lag_seconds=lag_seconds,
    )


def _heartbeat_key() -> str:
    return key("worker", "heartbeat")


def _database_state(probe: "Future[float]") -> tuple[str, float | None]:
    try:
        return "connected", probe.result(timeout=READY_PROBE_SECONDS)
    except _MigrationsPendingError:
        return "migrations_pending", None
    except (DatabaseError, TimeoutError) as exc:
        log.warning("ready.database_unavailable", error=type(exc).__name__)
        return "unavailable", None


def _probe_database() -> float:
    """Return the largest lag of a consumer in seconds."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {int(READY_PROBE_SECONDS * 1000)}")
        if not _Migrations.are_applied:
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                raise _MigrationsPendingError
            _Migrations.are_applied = True
        return max((lag.seconds for lag in selectors.consumer_lag(bound=1)), default=0.0)
    finally:
        # The connection belongs to a thread that no request will clean up after.
        connection.close()


def _queue_state(probe: "Future[Any]") -> tuple[str, datetime | None]:
    try:
        heartbeat = probe.result(timeout=READY_PROBE_SECONDS)
    except (RedisError, OSError, TimeoutError) as exc:
        log.warning("ready.queue_unavailable", error=type(exc).__name__)
        return "unavailable", None
    return "connected", None if heartbeat is None else datetime.fromtimestamp(int(heartbeat), UTC)


def _probe_queue() -> Any:
    """Return when a worker last gave a sign of life; the broker is the same Redis."""
    return get_redis().get(_heartbeat_key())
