"""A complete Phoenix of real processes, for tests that kill some of them."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx

from phoenix_site.runtime import processes
from phoenix_site.runtime.instance import Instance
from phoenix_site.runtime.servers import new_throw_away_dir

RESTART_SECONDS = 60


class RunningPhoenix(Instance):
    """Web, workers, beat and durable servers in a folder of their own, on a free port.

    Used as a context manager it starts on entry, and stops and deletes its folder on exit::

        with RunningPhoenix() as phoenix:
            httpx.get(f"{phoenix.base_url}/ready")
            phoenix.kill("postgres")
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        arguments: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        # Not pytest's folders: below them socket paths may get too long.
        folder = new_throw_away_dir() if data_dir is None else data_dir
        super().__init__(folder, arguments=arguments, variables=variables)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name: phoenix, postgres, valkey, beat, consumers, outbox, web-1, …"""
        return dict(self.state.get("processes", {}))

    def kill(self, name: str) -> int:
        """Kill the process ``name`` without a chance to clean up and return its id."""
        pid = self.pids[name]
        os.kill(pid, signal.SIGKILL)
        if self.process is not None and pid == self.process.pid:
            self.process.wait()
        return pid

    def wait_for_restart(self, name: str, *, of: int) -> int:
        """Return the id of the process ``name`` that follows the killed process ``of``."""
        if not processes.wait_until(lambda: self.pids.get(name, of) != of, seconds=RESTART_SECONDS):
            raise TimeoutError(f"{name} was not started again:\n{self.log}")
        return self.pids[name]

    def wait_until_ready(self, *, status: str = "ready", seconds: float = RESTART_SECONDS) -> None:
        """Wait until ``GET /ready`` answers 200 with ``status``."""
        deadline = time.monotonic() + seconds
        while (answer := self._readiness()) != status:
            if time.monotonic() > deadline:
                raise TimeoutError(f"/ready says {answer!r}, not {status!r}:\n{self.log}")
            time.sleep(0.1)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def _readiness(self) -> str:
        try:
            answer = httpx.get(f"{self.base_url}/ready", timeout=5)
            return str(answer.json().get("status")) if answer.status_code == 200 else "not_ready"
        except (httpx.HTTPError, ValueError, KeyError) as exc:
            return repr(exc)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self.remove()
