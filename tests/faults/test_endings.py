"""The orderly end under load (spec 01 section 2, spec 07 OPS-2)."""

import signal
import threading
import time
from types import TracebackType
from typing import Self

import httpx
import pytest

from phoenix_site.runtime.servers import PrivateServers
from tests.faults import cast
from tests.faults.cast import Board
from tests.faults.traffic import Traffic
from tests.processes import RunningPhoenix

pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("phoenix"),
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]

REFUSED = "refused"
LOST = "lost"


class Balancer:
    """Asks ``/ready`` over a new connection each time, as a load balancer does."""

    def __init__(self, phoenix: RunningPhoenix) -> None:
        self.answers: list[tuple[float, str]] = []
        self._url = f"{phoenix.base_url}/ready"
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._is_ending = True
        self._thread.join(60)

    def since(self, instant: float) -> list[str]:
        """Return what it was answered from ``instant`` on, each change once."""
        said: list[str] = []
        for answered_at, answer in self.answers.copy():
            if answered_at >= instant and answer not in said[-1:]:
                said.append(answer)
        return said

    def _run(self) -> None:
        while not self._is_ending:
            self.answers.append((time.monotonic(), self._ask()))
            time.sleep(0.01)

    def _ask(self) -> str:
        try:
            answer = httpx.get(self._url, timeout=30)
        except httpx.ConnectError:
            return REFUSED
        except httpx.TransportError:  # The server ended between connecting and answering.
            return LOST
        return f"{answer.status_code} {answer.json()['status']}"


def test_an_orderly_end_under_load_loses_nothing_that_was_acknowledged() -> None:
    with RunningPhoenix(arguments=["--workers", "2"]) as phoenix:
        board = Board.create(phoenix, "orderly-end")
        process = phoenix.process
        assert process is not None
        with Traffic(phoenix, board.event_type) as traffic, Balancer(phoenix) as balancer:
            traffic.wait_for_more()
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            cast.wait_until(lambda: REFUSED in balancer.since(began), "refused connections")
            # Nobody is left to answer, and nobody pretends to be, while the rest still ends.
            was_ending = process.poll() is None
            assert phoenix.stop() == 0
            traffic.abandon()

        said = [answer for answer in balancer.since(began) if answer != LOST]
        assert was_ending
        assert said[-2:] == ["503 not_ready", REFUSED]
        assert set(said[:-2]) <= {"200 ready", "503 not_ready"}
        with PrivateServers(phoenix.data_dir):
            stored = cast.stored_events(phoenix, board.event_type)
        assert stored.items() >= cast.contents(traffic.acknowledged).items()
