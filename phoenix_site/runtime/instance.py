"""A Phoenix that another process runs and talks to: for tests, the smoke test and measurements."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from phoenix_site.runtime import environment, processes
from phoenix_site.runtime.exceptions import StartError
from phoenix_site.runtime.phoenix import PROCESSES_FILE, SANDBOX_FILE
from phoenix_site.runtime.places import PROJECT_DIR
from phoenix_site.runtime.servers import new_throw_away_dir

START_SECONDS = 180
STOP_SECONDS = 90
LOG_FILE = "phoenix.log"
LOG_LINES_SHOWN = 40
# What another Phoenix, or the tests' own servers, may have left in this process's environment.
FOREIGN_VARIABLES = frozenset({*environment.URLS, "PHOENIX_BASE_URL", "PHOENIX_PORT"})


class Instance:
    """``manage.py phoenix`` as a process of its own, with private servers, on a free port."""

    def __init__(
        self,
        data_dir: Path,
        *,
        arguments: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.arguments = list(arguments)
        self.variables = dict(variables or {})
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> dict[str, Any]:
        """What the supervisor says of itself; empty while it does not run."""
        try:
            content = (self.data_dir / PROCESSES_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        state: dict[str, Any] = json.loads(content)
        return state

    @property
    def base_url(self) -> str:
        return str(self.state["base_url"])

    @property
    def sandbox(self) -> dict[str, Any]:
        """The document that seeding wrote (spec 07 OPS-5)."""
        text = (self.data_dir / SANDBOX_FILE).read_text(encoding="utf-8")
        document: dict[str, Any] = json.loads(text)
        return document

    @property
    def log(self) -> str:
        """What it has printed so far."""
        try:
            return (self.data_dir / LOG_FILE).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def start(self) -> None:
        """Start it and return when it is ready. Raises: ``StartError`` with the end of its log."""
        # A killed supervisor leaves the file of its own processes behind.
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.data_dir / PROCESSES_FILE).unlink(missing_ok=True)
        process = self.launch()
        processes.wait_until(
            lambda: bool(self.state.get("ready")) or process.poll() is not None,
            seconds=START_SECONDS,
        )
        if not self.state.get("ready"):
            self.stop()
            tail = "\n".join(self.log.splitlines()[-LOG_LINES_SHOWN:])
            raise StartError(f"Phoenix did not start:\n{tail}")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it without waiting."""
        inherited = {
            name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES
        }
        log = os.open(
            self.data_dir / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            self.process = processes.spawn(
                [
                    *(sys.executable, PROJECT_DIR / "manage.py", "phoenix", "--port", "0"),
                    *self.arguments,
                ],
                # Collecting static files anew would take longer than all else.
                env={
                    **inherited,
                    "PHOENIX_STATIC_ROOT": "",
                    **self.variables,
                    "PHOENIX_DATA_DIR": str(self.data_dir),
                },
                output=log,
                death_signal=signal.SIGTERM,
            )
        finally:
            os.close(log)
        return self.process

    def stop(self) -> int:
        """Ask it to end, wait for that, and return its exit code."""
        if self.process is None:
            return 0
        processes.stop(self.process, stop_signal=signal.SIGTERM, seconds=STOP_SECONDS)
        return self.process.returncode


@contextlib.contextmanager
def throw_away_instance(
    *, arguments: Sequence[str] = (), variables: Mapping[str, str] | None = None
) -> Iterator[Instance]:
    """Run a Phoenix with durable servers in a new folder that is deleted at the end."""
    instance = Instance(new_throw_away_dir(), arguments=arguments, variables=variables)
    try:
        instance.start()
        yield instance
    finally:
        instance.stop()
        shutil.rmtree(instance.data_dir, ignore_errors=True)


def running_instance(data_dir: Path) -> Instance | None:
    """Return the Phoenix that is ready in ``data_dir``, ``None`` when there is none."""
    found = Instance(data_dir)
    with contextlib.suppress(OSError, ValueError, KeyError):
        os.kill(found.state["processes"]["phoenix"], 0)
        return found if found.state["ready"] else None
    return None
