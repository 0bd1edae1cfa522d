"""The one terminal: lines of all processes, each with the name of who wrote it."""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
from collections.abc import Callable
from typing import TextIO

OWN_NAME = "phoenix"
NAME_WIDTH = 9
READ_BYTES = 65_536
LONGEST_LINE = 65_536
RESET = "\033[0m"
COLORS = ("\033[36m", "\033[32m", "\033[33m", "\033[34m", "\033[35m")


class Console:
    """Reads what processes write, through pipes, and shows it line by line."""

    def __init__(self, terminal: TextIO | None = None) -> None:
        self._terminal = sys.stdout if terminal is None else terminal
        self._selector = selectors.DefaultSelector()
        self._colors: dict[str, str] = {}

    def open_pipe(self, show: Callable[[str], None]) -> int:
        """Return a descriptor to write to; whole lines written there reach ``show``.

        The caller closes it after handing it to the process that writes.
        """
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self._selector.register(reading, selectors.EVENT_READ, _Lines(show))
        return writing

    def watch(self, descriptor: int) -> None:
        """Let ``pump`` return early when something comes from ``descriptor``, and drop it."""
        self._selector.register(descriptor, selectors.EVENT_READ, _Lines(lambda _line: None))

    def pump(self, *, seconds: float) -> None:
        """Show what has been written, waiting up to ``seconds`` for the first of it."""
        for key, _events in self._selector.select(seconds):
            try:
                chunk = os.read(key.fd, READ_BYTES)
            except BlockingIOError:
                continue
            key.data.feed(chunk)
            if not chunk:
                self._selector.unregister(key.fd)
                os.close(key.fd)

    def say(self, text: str) -> None:
        """Show a line of the supervisor's own."""
        self.show(OWN_NAME, text)

    def show(self, name: str, line: str) -> None:
        """Show ``line`` behind ``name``."""
        self.write(f"{self._paint(name)} {line}\n")

    def write(self, text: str) -> None:
        """Write ``text`` as it is; a terminal that has gone away stops nobody."""
        with contextlib.suppress(OSError):
            self._terminal.write(text)
            self._terminal.flush()

    def close(self) -> None:
        """Close what is still open."""
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fd)
            os.close(key.fd)
        self._selector.close()

    def _paint(self, name: str) -> str:
        prefix = f"{name:<{NAME_WIDTH}} |"
        if not self._terminal.isatty():
            return prefix
        color = self._colors.setdefault(name, COLORS[len(self._colors) % len(COLORS)])
        return f"{color}{prefix}{RESET}"


class _Lines:
    """Cuts a stream of bytes into lines; the end of the stream ends the last one."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if not chunk or len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            if line.strip():
                self._show(line.decode(errors="replace").rstrip())
