"""What spec 07 OPS-20 and OPS-21 promise: any process may be killed, at any moment."""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import jwt
import psycopg
import pytest

from phoenix_site.runtime import processes, servers
from tests.processes import RunningPhoenix

pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("phoenix"),
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]

PLAYER = "ana"
SENDERS = 4
SETTLE_SECONDS = 60


class Sender:
    """Sends events for one player and repeats each until it is acknowledged."""

    def __init__(self, phoenix: RunningPhoenix) -> None:
        self.phoenix = phoenix
        self.acknowledged: list[str] = []
        self.ending = threading.Event()
        sandbox = phoenix.sandbox
        now = int(time.time())
        claims = {
            "sub": PLAYER,
            "sub_type": "tenant",
            "sub_id": sandbox["tenant_id"],
            "iat": now,
            "exp": now + 3600,
        }
        token = jwt.encode(claims, sandbox["tenant_secret"], algorithm="HS256")
        self.headers = {"Authorization": f"Bearer {token}"}
        path = f"/v1/leaderboards/{sandbox['leaderboard_id']}/score/{PLAYER}"
        self.score_url = f"{phoenix.base_url}{path}"

    def run(self, number: int) -> None:
        """Send until it is time to end; an event that was begun is finished."""
        count = 0
        while not self.ending.is_set():
            count += 1
            self._send_until_acknowledged(f"fault-{number}-{count}")

    def score(self) -> int:
        """Return the player's score, 0 while there is none to be had."""
        try:
            answer = httpx.get(self.score_url, headers=self.headers, timeout=5)
            return int(answer.json().get("score", 0))
        except (httpx.HTTPError, ValueError):
            return 0

    def _send_until_acknowledged(self, event_id: str) -> None:
        event = {
            "event_id": event_id,
            "type": "game.completed",
            "actor": {"user_id": PLAYER},
            "occurred_at": datetime.now(UTC).isoformat(),
            "attrs": {"score_delta": 1},
        }
        url = f"{self.phoenix.base_url}/v1/events"
        while True:
            try:
                answer = httpx.post(url, json=event, headers=self.headers, timeout=5)
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code in (200, 202):
                self.acknowledged.append(event_id)
                return
            # A process that lost its database says so; anything else is a mistake.
            assert answer.status_code == 503, answer.text
            time.sleep(0.05)


@pytest.fixture
def phoenix() -> Iterator[RunningPhoenix]:
    with RunningPhoenix(arguments=["--workers", "2"]) as running:
        yield running


def stored_event_ids(phoenix: RunningPhoenix) -> list[str]:
    environment = servers.running_environment(phoenix.data_dir)
    assert environment is not None
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        query = "SELECT event_id FROM ingestion_event WHERE event_id LIKE 'fault-%'"
        return [row[0] for row in connection.execute(query)]


def test_no_death_loses_an_acknowledged_event_or_counts_one_twice(phoenix: RunningPhoenix) -> None:
    sender = Sender(phoenix)
    with ThreadPoolExecutor(SENDERS) as pool:
        runs = [pool.submit(sender.run, number) for number in range(SENDERS)]
        try:
            for name in ("web-1", "consumers", "postgres", "timed", "valkey", "beat", "web-2"):
                time.sleep(1)
                killed = phoenix.kill(name)
                phoenix.wait_for_restart(name, of=killed)
        finally:
            sender.ending.set()
        for run in runs:
            run.result()

    acknowledged = len(sender.acknowledged)
    settled = processes.wait_until(lambda: sender.score() == acknowledged, seconds=SETTLE_SECONDS)

    assert acknowledged > SENDERS
    assert sorted(stored_event_ids(phoenix)) == sorted(sender.acknowledged)
    assert settled, f"{sender.score()} counted of {acknowledged}"
    # Whatever was delivered twice has had its chance to count twice.
    time.sleep(3)
    assert sender.score() == acknowledged


def test_a_valkey_that_lost_everything_is_filled_again(phoenix: RunningPhoenix) -> None:
    sender = Sender(phoenix)
    for number in range(5):
        sender._send_until_acknowledged(f"fault-before-{number}")
    assert processes.wait_until(lambda: sender.score() == 5, seconds=SETTLE_SECONDS)

    # Its folder goes first: the supervisor may start it again before the next line.
    shutil.rmtree(phoenix.data_dir / "valkey" / "appendonlydir")
    killed = phoenix.kill("valkey")
    phoenix.wait_for_restart("valkey", of=killed)
    for number in range(5):
        sender._send_until_acknowledged(f"fault-after-{number}")

    assert processes.wait_until(lambda: sender.score() == 10, seconds=SETTLE_SECONDS)
    phoenix.wait_until_ready()
