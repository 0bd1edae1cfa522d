import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from phoenix_site.runtime import processes, supervisor
from phoenix_site.runtime.console import Console
from phoenix_site.runtime.exceptions import StartError
from phoenix_site.runtime.programs import Program
from phoenix_site.runtime.supervisor import StopRequested, Supervisor

pytestmark = pytest.mark.processes

FOREVER = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); "


class Stage:
    """A supervisor with a terminal that a test can read and pids that it can kill."""

    def __init__(self) -> None:
        self.terminal = io.StringIO()
        self.pids: dict[str, int] = {}
        self.console = Console(self.terminal)
        self.supervisor = Supervisor(self.console, note_pids=self._note)

    @property
    def shown(self) -> str:
        return self.terminal.getvalue()

    def _note(self, pids: dict[str, int]) -> None:
        self.pids = pids


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    for process in [child.process for child in made.supervisor._children if child.process]:
        processes.kill_session(process)
        process.wait()
    made.console.close()


def program(name: str, code: str, *, stop_seconds: float = 10) -> Program:
    return Program(name, ["-c", code], {}, stop_seconds=stop_seconds)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_line_bears_the_name_of_its_process(stage: Stage) -> None:
    stage.supervisor.add(program("web-1", f"print('one'); print('two', flush=True); {FOREVER}"))

    assert stage.supervisor.wait_until(lambda: "two" in stage.shown, seconds=10)

    assert stage.shown.splitlines() == ["web-1     | one", "web-1     | two"]


def test_a_killed_child_is_started_again(stage: Stage) -> None:
    stage.supervisor.add(program("beat", FOREVER))
    killed = stage.pids["beat"]

    os.kill(killed, signal.SIGKILL)

    assert stage.supervisor.wait_until(lambda: stage.pids.get("beat", killed) != killed, seconds=10)
    assert "beat ended by SIGKILL; starting it again in 0.25 s." in stage.shown


def test_the_fifth_death_within_a_minute_ends_everything_with_the_reason(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.01)
    stage.supervisor.add(program("timed", "raise SystemExit(3)"))

    with pytest.raises(StartError, match=r"timed ended 5 times .* last with exit code 3"):
        stage.supervisor.run()


def test_what_a_killed_child_had_started_is_killed_too(stage: Stage) -> None:
    code = (
        "import subprocess, sys, time;"
        f"print(subprocess.Popen([sys.executable, '-c', {FOREVER!r}]).pid, flush=True);"
        "time.sleep(600)"
    )
    stage.supervisor.add(program("consumers", code))
    stage.supervisor.wait_until(lambda: "|" in stage.shown, seconds=10)
    grandchild = int(stage.shown.split("|")[1])

    os.kill(stage.pids["consumers"], signal.SIGKILL)

    assert stage.supervisor.wait_until(lambda: not is_alive(grandchild), seconds=10)


def test_stopping_lets_a_child_finish_and_shows_its_last_words(stage: Stage) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(0.3)\n"
        "    print('finished', flush=True)\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    part = program("web-1", code)
    stage.supervisor.add(part)
    stage.supervisor.wait_until(lambda: "ready" in stage.shown, seconds=10)

    stage.supervisor.stop([part])

    assert stage.shown.endswith("web-1     | finished\n")


def test_a_child_that_does_not_stop_is_killed_in_the_end(stage: Stage) -> None:
    part = program(
        "web-1", f"{DEAF} sys = __import__('sys'); sys.stdout.flush(); {FOREVER}", stop_seconds=0.3
    )
    stage.supervisor.add(part)
    stage.supervisor.wait_until(lambda: "deaf" in stage.shown, seconds=10)
    pid = stage.pids["web-1"]

    began = time.monotonic()
    stage.supervisor.stop([part])

    assert time.monotonic() - began < 5
    assert not is_alive(pid)


def test_a_job_that_fails_shows_what_it_said(stage: Stage) -> None:
    with pytest.raises(StartError, match="migrate failed: it ended with exit code 1"):
        stage.supervisor.run_once(program("migrate", "print('why'); raise SystemExit(1)"))

    assert "migrate   | why" in stage.shown


def test_a_job_that_succeeds_is_silent(stage: Stage) -> None:
    stage.supervisor.run_once(program("seed", "print('secret')"))

    assert stage.shown == ""


def test_a_signal_ends_the_waiting(stage: Stage) -> None:
    with stage.supervisor.handling_signals():
        os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(StopRequested):
            stage.supervisor.wait_until(lambda: False, seconds=10)


def test_children_end_when_the_process_that_started_them_is_killed() -> None:
    code = (
        "import sys; from phoenix_site.runtime import processes;"
        f"print(processes.spawn([sys.executable, '-c', {FOREVER!r}]).pid, flush=True);"
        "import time; time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)

    parent.kill()
    parent.communicate()

    assert processes.wait_until(lambda: not is_alive(child), seconds=10)
