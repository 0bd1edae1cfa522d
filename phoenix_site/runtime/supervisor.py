"""Keeps processes running, and stops them in order."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Protocol

from phoenix_site.runtime import processes
from phoenix_site.runtime.console import Console
from phoenix_site.runtime.exceptions import StartError

TICK_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 0.25
DEATHS_ALLOWED = 4
DEATHS_WINDOW_SECONDS = 60
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Part(Protocol):
    """Something that can be started, and again when it died: a server or a program."""

    @property
    def name(self) -> str: ...
    @property
    def stop_signal(self) -> int: ...
    @property
    def stop_seconds(self) -> float: ...
    def launch(self, output: int | None = None) -> subprocess.Popen[bytes]: ...
    def note_readiness(self) -> bool: ...
    def is_worth_showing(self, line: str, /) -> bool: ...


class StopRequested(Exception):  # noqa: N818 - not an error, the orderly end
    """A person or the system asked Phoenix to end."""


class Child:
    """A part with its process, if that runs, and the deaths it died."""

    def __init__(self, part: Part, console: Console) -> None:
        self.part = part
        self.process: subprocess.Popen[bytes] | None = None
        self._console = console
        self._deaths: deque[float] = deque()
        self._start_at = 0.0

    def start(self) -> None:
        """Start the process; its lines go to the console."""
        output = self._console.open_pipe(self._show)
        try:
            self.process = self.part.launch(output)
        finally:
            os.close(output)

    def _show(self, line: str) -> None:
        if self.part.is_worth_showing(line):
            self._console.show(self.part.name, line)

    def tend(self) -> bool:
        """Start what is not running; return whether a process came or went.

        Raises: ``StartError`` at the fifth death within a minute.
        """
        if self.process is None:
            if time.monotonic() < self._start_at:
                return False
            self.start()
            return True
        self.part.note_readiness()
        if self.process.poll() is None:
            return False
        self._note_death(self.process)
        return True

    def _note_death(self, process: subprocess.Popen[bytes]) -> None:
        processes.kill_session(process)
        self.process = None
        now = time.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - DEATHS_WINDOW_SECONDS:
            self._deaths.popleft()
        how = describe_end(process.returncode)
        if len(self._deaths) > DEATHS_ALLOWED:
            raise StartError(
                f"{self.part.name} ended {len(self._deaths)} times within a minute, last {how}."
            )
        pause = FIRST_PAUSE_SECONDS * 2 ** (len(self._deaths) - 1)
        self._start_at = now + pause
        self._console.say(f"{self.part.name} ended {how}; starting it again in {pause:g} s.")


class Supervisor:
    """Children in the order of their start; one thread does everything.

    The kernel ends the children when the thread that started them ends, so there is only one.
    """

    def __init__(self, console: Console, *, note_pids: Callable[[dict[str, int]], None]) -> None:
        self._console = console
        self._note_pids = note_pids
        self._children: list[Child] = []
        self._stop_requests = 0

    @contextlib.contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Turn the first SIGINT, SIGTERM or SIGHUP into ``StopRequested`` at the next step."""
        waking, woken = socket.socketpair()
        for end in (waking, woken):
            end.settimeout(0)
        self._console.watch(woken.detach())
        former = {number: signal.signal(number, self._request_stop) for number in STOP_SIGNALS}
        former_descriptor = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(former_descriptor)
            for number, handler in former.items():
                signal.signal(number, handler)
            waking.close()

    def add(self, part: Part) -> None:
        """Start ``part`` and keep it running from now on."""
        child = Child(part, self._console)
        self._children.append(child)
        child.start()
        self._tell_pids()

    def run_once(self, part: Part) -> None:
        """Run ``part`` to its end, showing what it says only if it fails.

        Raises: ``StartError`` when it fails.
        """
        lines: list[str] = []
        output = self._console.open_pipe(lines.append)
        try:
            process = part.launch(output)
        finally:
            os.close(output)
        try:
            self.wait_until(lambda: process.poll() is not None)
        finally:
            if process.poll() is None:
                processes.stop(process, stop_signal=part.stop_signal, seconds=part.stop_seconds)
        if process.returncode != 0:
            self._console.pump(seconds=TICK_SECONDS)
            for line in lines:
                self._console.show(part.name, line)
            raise StartError(f"{part.name} failed: it ended {describe_end(process.returncode)}.")

    def wait_until(self, condition: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Keep everything running until ``condition`` holds; False after ``seconds`` without it.

        Raises: ``StopRequested``; ``StartError`` when a child cannot be kept running.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not condition():
            if deadline is not None and time.monotonic() > deadline:
                return False
            self._step()
        return True

    def run(self) -> None:
        """Keep everything running until somebody asks for the end."""
        with contextlib.suppress(StopRequested):
            while True:
                self._step()

    def stop(self, parts: Sequence[Part]) -> None:
        """Stop the children of ``parts``, side by side, and forget them."""
        chosen = [child for child in self._children if child.part in parts]
        self._children = [child for child in self._children if child not in chosen]
        running = [(child, child.process) for child in chosen if child.process is not None]
        for child, process in running:
            if process.poll() is None:
                process.send_signal(child.part.stop_signal)
        asked_at = time.monotonic()
        for child, process in running:
            self._await_end(process, deadline=asked_at + child.part.stop_seconds)

    def _await_end(self, process: subprocess.Popen[bytes], *, deadline: float) -> None:
        requests = self._stop_requests
        while process.poll() is None:
            self._console.pump(seconds=TICK_SECONDS)
            # A person who asks twice does not want to wait.
            if time.monotonic() > deadline or self._stop_requests > requests:
                break
        processes.kill_session(process)
        process.wait()
        self._console.pump(seconds=0)

    def _step(self) -> None:
        self._console.pump(seconds=TICK_SECONDS)
        if self._stop_requests:
            raise StopRequested
        changes = [child.tend() for child in self._children]
        if any(changes):
            self._tell_pids()

    def _tell_pids(self) -> None:
        running = [child for child in self._children if child.process is not None]
        self._note_pids({child.part.name: child.process.pid for child in running if child.process})

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requests += 1


def describe_end(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"with exit code {code}"
    return f"by {signal.Signals(-code).name}"
