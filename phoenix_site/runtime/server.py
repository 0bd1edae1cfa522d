"""What the private PostgreSQL and the private Valkey have in common."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from phoenix_site.runtime import processes
from phoenix_site.runtime.exceptions import StartError
from phoenix_site.runtime.places import Places, claim_server_folder

START_ATTEMPTS = 3
START_SECONDS = 120
# Long enough for a last checkpoint on a slow disk.
STOP_SECONDS = 30
LEFTOVER_SECONDS = 15
ORPHAN_SECONDS = 1
LOG_LINES_SHOWN = 12


class Server(ABC):
    """One server process with its folder; started again, it repairs what a crash left behind.

    ``launch`` and ``is_ready`` are for a caller that watches several processes, ``start`` and
    ``stop`` for one that waits.
    """

    name: ClassVar[str]
    program_names: ClassVar[tuple[str, ...]]
    stop_signal: ClassVar[int]
    stop_seconds: ClassVar[float] = STOP_SECONDS
    # Text of messages that tell a person nothing to act on.
    hidden_messages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, places: Places, *, durable: bool) -> None:
        self.places = places
        self.durable = durable
        self.folder: Path = places.home / self.name
        self.process: subprocess.Popen[bytes] | None = None
        self._was_ready = False

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL by which Phoenix reaches this server."""

    @property
    @abstractmethod
    def marker(self) -> str:
        """Text in the command line of each process of this server and of no other."""

    @property
    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the folder ready for a start: create it, or clear what a crash left in it."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether the server answers."""

    def launch(self, output: int | None = None) -> subprocess.Popen[bytes]:
        """Clear leftovers and start the process, whose messages go to ``output`` or to a file."""
        self.end_leftovers()
        claim_server_folder(self.folder, self.places.account)
        self.prepare()
        self._was_ready = False
        if output is None:
            log = os.open(self._log_path(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                return self._spawn(log)
            finally:
                os.close(log)
        return self._spawn(output)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        for _attempt in range(START_ATTEMPTS):
            process = self.launch()
            processes.wait_until(
                lambda: self.note_readiness() or process.poll() is not None,  # noqa: B023 - used at once
                seconds=START_SECONDS,
            )
            if self._was_ready:
                return
            processes.stop(process, stop_signal=self.stop_signal, seconds=self.stop_seconds)
        raise StartError(f"{self.name} does not start. Its last words:\n{self._last_words()}")

    def stop(self) -> None:
        """Stop the server in good order, or after ``stop_seconds`` in any."""
        if self.process is None:
            return
        processes.stop(self.process, stop_signal=self.stop_signal, seconds=self.stop_seconds)
        self.process = None
        self.end_leftovers()

    def is_worth_showing(self, line: str) -> bool:
        """Tell whether a line of the server's belongs on the terminal."""
        return not any(message in line for message in self.hidden_messages)

    def note_readiness(self) -> bool:
        """Return ``is_ready()`` and remember whether this start succeeded."""
        self._was_ready = self._was_ready or self.is_ready()
        return self._was_ready

    def end_leftovers(self) -> None:
        """End every process of this server that an earlier, killed run left behind."""
        if not self._leftovers():
            return
        main = self._leftover_main()
        is_main_alive = main in self._leftovers()
        if is_main_alive:
            _send(main, self.stop_signal)
        # Children whose server was killed end by themselves, at once or not at all.
        patience = LEFTOVER_SECONDS if is_main_alive else ORPHAN_SECONDS
        if processes.wait_until(lambda: not self._leftovers(), seconds=patience):
            return
        for pid in self._leftovers():
            _send(pid, signal.SIGKILL)
        if not processes.wait_until(lambda: not self._leftovers(), seconds=LEFTOVER_SECONDS):
            raise StartError(f"Processes of an earlier {self.name} cannot be ended.")

    def _leftover_main(self) -> int:
        """Return the process id of the server that was running here, 0 when unknown."""
        return 0

    def _leftovers(self) -> list[int]:
        return processes.find_pids(names=self.program_names, marker=self.marker)

    def _spawn(self, output: int) -> subprocess.Popen[bytes]:
        self.process = processes.spawn(
            self.command,
            env=server_environment(),
            cwd=Path("/"),
            output=output,
            account=self.places.account,
            # Not SIGKILL: both write down what they hold when they are asked to end.
            death_signal=self.stop_signal,
        )
        return self.process

    def _log_path(self) -> Path:
        return self.places.data / f"{self.name}.log"

    def _last_words(self) -> str:
        lines = self._log_path().read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:])


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def server_environment() -> dict[str, str]:
    """Return a small environment: variables such as PGDATA must not steer a private server."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
