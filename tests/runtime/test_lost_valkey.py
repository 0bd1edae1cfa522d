"""What spec 07 OPS-21 promises: a Valkey that lost everything needs no person.

Deaths under load are the subject of ``tests/faults``.
"""

import shutil
from datetime import UTC, datetime

import httpx
import pytest

from phoenix_site.runtime import processes
from phoenix_site.runtime.announcement import PLAYER, player_token
from tests.processes import RunningPhoenix

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("phoenix")]

SETTLE_SECONDS = 60


def send_event(client: httpx.Client, event_id: str) -> int:
    event = {
        "event_id": event_id,
        "type": "game.completed",
        "actor": {"user_id": PLAYER},
        "occurred_at": datetime.now(UTC).isoformat(),
        "attrs": {"score_delta": 1},
    }
    return client.post("/v1/events", json=event).status_code


def test_a_valkey_that_lost_everything_is_filled_again() -> None:
    with RunningPhoenix(arguments=["--workers", "1"]) as phoenix:
        sandbox = phoenix.sandbox
        score_path = f"/v1/leaderboards/{sandbox['leaderboard_id']}/score/{PLAYER}"
        headers = {"Authorization": f"Bearer {player_token(sandbox)}"}
        with httpx.Client(base_url=phoenix.base_url, headers=headers, timeout=10) as client:

            def score() -> int:
                return int(client.get(score_path).json().get("score", 0))

            assert {send_event(client, f"before-{number}") for number in range(5)} == {202}
            assert processes.wait_until(lambda: score() == 5, seconds=SETTLE_SECONDS)

            # Its files go first: the supervisor may start it again before the next line.
            shutil.rmtree(phoenix.data_dir / "valkey" / "appendonlydir")
            killed = phoenix.kill("valkey")
            # Meanwhile events are taken, and reads answer from PostgreSQL.
            assert send_event(client, "meanwhile") == 202
            phoenix.wait_for_restart("valkey", of=killed)
            assert {send_event(client, f"after-{number}") for number in range(5)} == {202}

            assert processes.wait_until(lambda: score() == 11, seconds=SETTLE_SECONDS)
        phoenix.wait_until_ready()
