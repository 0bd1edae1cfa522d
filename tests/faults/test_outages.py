"""Valkey or PostgreSQL away for a while, dead or hanging (spec 01 ING-9, acceptance 4)."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.faults import cast
from tests.faults.cast import Board
from tests.faults.traffic import Sent, Traffic, event_body
from tests.processes import RunningPhoenix

pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("phoenix"),
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]

# Each probe ends after two; the rest is for a machine that has other things to do.
PROBE_SECONDS = 4
ASKED = 3


@contextlib.contextmanager
def dead(phoenix: RunningPhoenix, name: str) -> Iterator[None]:
    """Kill a server while the supervisor is held, so that nobody starts it again."""
    with cast.held(phoenix, "phoenix", is_alone=True):
        phoenix.kill(name)
        yield


Outage = Callable[[RunningPhoenix, str], AbstractContextManager[None]]
OUTAGES: dict[str, Outage] = {"dead": dead, "hanging": cast.held}


def readiness(phoenix: RunningPhoenix) -> tuple[httpx.Response, dict[str, Any]]:
    """Return the answer of ``/ready``, which comes in time whatever is away."""
    began = time.monotonic()
    answer = httpx.get(f"{phoenix.base_url}/ready", timeout=30)
    assert time.monotonic() - began < PROBE_SECONDS
    return answer, answer.json()


@pytest.mark.parametrize("outage", OUTAGES)
def test_without_valkey_events_are_taken_and_scored_afterwards(
    phoenix: RunningPhoenix, outage: str
) -> None:
    board = Board.create(phoenix, f"valkey-{outage}")

    with Traffic(phoenix, board.event_type) as traffic:
        traffic.wait_for_more()
        with OUTAGES[outage](phoenix, "valkey"):
            for _ in range(ASKED):
                answer, body = readiness(phoenix)
                assert (answer.status_code, body["status"]) == (200, "degraded")
                assert (body["database"], body["message_queue"]) == ("connected", "unavailable")
            traffic.wait_for_more()
        cast.wait_until_all_is_well(phoenix)

    board.wait_until_it_shows(traffic.acknowledged.values())
    assert cast.stored_events(phoenix, board.event_type) == cast.contents(traffic.acknowledged)
    cast.assert_proven(board)


@pytest.mark.parametrize("outage", OUTAGES)
def test_without_postgres_nothing_is_promised_and_afterwards_all_goes_on(
    phoenix: RunningPhoenix, outage: str
) -> None:
    board = Board.create(phoenix, f"postgres-{outage}")

    with Traffic(phoenix, board.event_type) as traffic:
        traffic.wait_for_more()
        with OUTAGES[outage](phoenix, "postgres"):
            for _ in range(ASKED):
                answer, body = readiness(phoenix)
                assert (answer.status_code, body["code"]) == (503, "SRV_002")
                assert (body["status"], body["database"]) == ("not_ready", "unavailable")
                assert body["message_queue"] == "connected"
                assert int(answer.headers["Retry-After"]) >= 1
            assert httpx.get(f"{phoenix.base_url}/health", timeout=30).status_code == 200
            assert refusal_of_an_event(phoenix, board) == (503, "SRV_002")
        traffic.wait_for_more()
        cast.wait_until_all_is_well(phoenix)

    board.wait_until_it_shows(traffic.acknowledged.values())
    assert cast.stored_events(phoenix, board.event_type) == cast.contents(traffic.acknowledged)
    cast.assert_proven(board)


def refusal_of_an_event(phoenix: RunningPhoenix, board: Board) -> tuple[int, str]:
    """Return status and code for an event that cannot be stored now."""
    sent = Sent("player-00", 1, datetime.now(UTC))
    # Of no board's type: it may be stored in spite of the answer.
    body = json.dumps(event_body(f"{board.event_type}-refused", "fault.refused", sent))
    answer = httpx.post(
        f"{phoenix.base_url}/v1/events",
        content=body,
        headers=cast.authorization(phoenix.sandbox),
        timeout=60,
    )
    return answer.status_code, answer.json()["code"]
