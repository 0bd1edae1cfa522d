"""Child processes that never outlive the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
POLL_SECONDS = 0.02
PROC = Path("/proc")


@dataclass(frozen=True)
class Account:
    """The unprivileged system account that servers run under when Phoenix is started by root."""

    uid: int
    gid: int


def end_with_parent(parent_pid: int, death_signal: int = signal.SIGKILL) -> None:
    """Make the kernel send ``death_signal`` to this process when its parent ends, however it ends.

    Effective on Linux only. Called in the new process, after it has taken its final user id,
    because the kernel forgets the wish when the user id changes.
    """
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent_pid:  # The parent ended before the kernel knew the wish.
        os.kill(os.getpid(), death_signal)


def spawn(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: int | None = None,
    account: Account | None = None,
    death_signal: int = signal.SIGKILL,
    pass_fds: Iterable[int] = (),
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own, bound to the life of the calling thread.

    Its own session keeps the terminal's Ctrl-C away from it, so that the caller decides the order
    in which things stop. The kernel watches the *thread*: call this from one that lives as long
    as the process. ``output`` takes both standard output and standard error.
    """
    parent_pid = os.getpid()
    return subprocess.Popen(  # noqa: S603 - commands are built by this package, never by a caller
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=None if env is None else dict(env),
        cwd=cwd,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        preexec_fn=lambda: end_with_parent(parent_pid, death_signal),
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )


def run(
    command: Sequence[str | Path],
    *,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    text_in: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end as ``account`` and return what it said, whatever its exit code."""
    parent_pid = os.getpid()
    return subprocess.run(  # noqa: S603 - as above
        [str(part) for part in command],
        input=text_in,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env=None if env is None else dict(env),
        preexec_fn=lambda: end_with_parent(parent_pid),
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )


def stop(process: subprocess.Popen[bytes], *, stop_signal: int, seconds: float) -> None:
    """Ask ``process`` to stop, wait ``seconds`` for it, then kill its whole session."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            kill_session(process)
    process.wait()


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill ``process`` and whatever it started in its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Poll ``condition`` until it holds; False when it still does not after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def can_find_pids() -> bool:
    """Tell whether this system shows what runs."""
    return (PROC / "self" / "comm").exists()


def find_pids(*, names: Iterable[str], marker: str) -> list[int]:
    """Return the processes called one of ``names`` whose command line holds ``marker``.

    Reads what ``/proc`` shows to everybody: in a container root may not look at another user's
    working directory or executable.
    """
    wanted = {name[:15] for name in names}  # The kernel keeps 15 characters of a process's name.
    return [
        int(folder.name)
        for folder in PROC.glob("[0-9]*")
        if _is_called(folder, wanted) and marker in _command_line(folder)
    ]


def _is_called(folder: Path, names: set[str]) -> bool:
    try:
        return (folder / "comm").read_text(errors="replace").strip() in names
    except OSError:
        return False


def _command_line(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
