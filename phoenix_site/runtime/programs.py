"""Which processes make up a Phoenix, beside its servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phoenix_site.runtime import processes
from phoenix_site.runtime.places import PROJECT_DIR

# How long requests that are under way, and open sockets, may take to end.
WEB_GRACE_SECONDS = 5
# A worker ends its tasks first: a batch of events, a window to close.
WORKER_STOP_SECONDS = 20
MOST_WEB_PROCESSES = 4
# Calls to other systems at one time; a slow one holds a thread for ten seconds.
OUTBOX_THREADS = 8
# One per family of event consumers; a worker takes from them by turns.
CONSUMER_QUEUES = "scoring,players,rewards"
# Uvicorn's own protocol, plus a way to write to thousands of connections without waiting.
WEBSOCKETS = "phoenix_site.common.wires:WireProtocol"
# Python's warnings address developers, for whom the tests turn them into errors.
DEFAULT_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
# The admin theme's checks ask the database: while that is away, Celery would not start but die.
CELERY_ENVIRONMENT = {"CELERY_SKIP_CHECKS": "1"}


@dataclass(frozen=True)
class Program:
    """A Python process of Phoenix."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    stop_seconds: float = WORKER_STOP_SECONDS
    stop_signal: int = signal.SIGTERM
    pass_fds: tuple[int, ...] = ()

    def launch(self, output: int | None = None) -> subprocess.Popen[bytes]:
        """Start it; it is killed when this process ends."""
        return processes.spawn(
            [sys.executable, *self.command],
            env=DEFAULT_ENVIRONMENT | os.environ | dict(self.environment),
            cwd=PROJECT_DIR,
            output=output,
            pass_fds=self.pass_fds,
        )

    def is_worth_showing(self, _line: str) -> bool:
        """Every line does."""
        return True

    def note_readiness(self) -> bool:
        """Nothing has to be known before it may be started again."""
        return True


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def default_web_count() -> int:
    """Return how many web processes serve by default: one per core, at most four."""
    return min(core_count(), MOST_WEB_PROCESSES)


def manage(command: str, *arguments: str, environment: Mapping[str, str]) -> Program:
    """Return a ``manage.py`` command that runs to its end."""
    return Program(command, [PROJECT_DIR / "manage.py", command, *arguments], environment)


def web(*, count: int, listener: int, environment: Mapping[str, str]) -> list[Program]:
    """Return ``count`` web processes, all of which accept from the socket ``listener``."""
    command = [
        *("-m", "uvicorn", "phoenix_site.asgi:application"),
        *("--fd", str(listener)),
        *("--loop", "uvloop", "--http", "httptools", "--ws", WEBSOCKETS),
        *("--lifespan", "on"),
        *("--timeout-graceful-shutdown", str(WEB_GRACE_SECONDS)),
        # Phoenix reads X-Forwarded-For itself, and only behind the proxies it is told to trust.
        "--no-proxy-headers",
        "--no-server-header",
        *("--no-access-log", "--log-level", "warning"),
    ]
    return [
        Program(
            name=f"web-{number}",
            command=command,
            environment={"PHOENIX_DB_POOL": "1", **environment},
            stop_seconds=2 * WEB_GRACE_SECONDS,
            pass_fds=(listener,),
        )
        for number in range(1, count + 1)
    ]


def workers(environment: Mapping[str, str]) -> list[Program]:
    """Return the workers: of event consumers, of everything timed, of jobs, of outbound calls."""
    consumer_count = max(2, core_count())
    return [
        _worker("consumers", queues=CONSUMER_QUEUES, count=consumer_count, environment=environment),
        _worker("timed", queues="celery,timed", count=1, environment=environment),
        # Two, so that a short job does not wait for a long one.
        _worker("jobs", queues="jobs", count=2, environment=environment),
        # It waits for other systems nearly all the time: threads, not processes.
        _worker(
            "outbox", queues="outbox", count=OUTBOX_THREADS, pool="threads", environment=environment
        ),
    ]


def beat(data_dir: Path, environment: Mapping[str, str]) -> Program:
    """Return the clock that wakes the sweeps."""
    options: list[str | Path] = ["--schedule", data_dir / "beat-schedule", "--pidfile", ""]
    command = [*_celery("beat"), *options, "--loglevel", "WARNING"]
    return Program("beat", command, {**CELERY_ENVIRONMENT, **environment})


def _worker(
    name: str, *, queues: str, count: int, environment: Mapping[str, str], pool: str = "prefork"
) -> Program:
    options = [
        *("--queues", queues, "--concurrency", str(count), "--pool", pool),
        *("--hostname", f"{name}@%h", "--loglevel", "WARNING"),
        # Workers need not know of each other; what they would say costs Valkey time.
        *("--without-gossip", "--without-mingle"),
    ]
    return Program(name, [*_celery("worker"), *options], {**CELERY_ENVIRONMENT, **environment})


def _celery(command: str) -> list[str]:
    return ["-m", "celery", "--quiet", "--app", "phoenix_site.celery", command]
