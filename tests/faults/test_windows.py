"""Windows that end while no worker runs (spec 02 acceptance 15)."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
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

EVENT_TYPE = "fault.windows"
WORKERS = ("consumers", "timed")
# Seconds from now to the end of each board's window, and its grace.
BOARDS = {"ends-first": (8, 0), "ends-second": (9, 1)}


class EndingBoard(Board):
    """A board whose only window ends in a moment."""

    ends_at: datetime
    grace: timedelta

    @classmethod
    def ending(cls, phoenix: RunningPhoenix, name: str, now: datetime) -> "EndingBoard":
        seconds, grace = BOARDS[name]
        ends_at = now + timedelta(seconds=seconds)
        timeframe = {
            "type": "custom",
            "start_at": (now - timedelta(hours=1)).isoformat(),
            "end_at": ends_at.isoformat(),
            "grace_seconds": grace,
        }
        board = cls.create(phoenix, name, event_type=EVENT_TYPE, timeframe=timeframe)
        board.ends_at, board.grace = ends_at, timedelta(seconds=grace)
        return board

    @property
    def is_over(self) -> bool:
        return datetime.now(UTC) > self.ends_at + self.grace + timedelta(seconds=1)

    @property
    def is_closed(self) -> bool:
        return bool(self.window()["window_status"] == "closed")

    def window(self) -> dict[str, Any]:
        """Return what the gateway says of the window."""
        (window,) = self.get("/windows")["windows"]
        return dict(window)

    def counted(self) -> list[Sent]:
        """Return what counts by the times in the log: occurred in the window, received in time."""
        query = """
            SELECT user_id, (attrs->>'points')::int, occurred_at FROM ingestion_event
            WHERE type = %s AND occurred_at < %s AND received_at < %s
        """
        found = cast.rows(self.phoenix, query, EVENT_TYPE, self.ends_at, self.ends_at + self.grace)
        return [Sent(*row) for row in found]

    def announced(self, event_type: str) -> list[dict[str, Any]]:
        """Return what the log holds of events that the closing of the window made."""
        query = (
            "SELECT attrs FROM ingestion_event WHERE type = %s AND attrs->>'leaderboard_id' = %s"
        )
        return [row[0] for row in cast.rows(self.phoenix, query, event_type, self.leaderboard_id)]


def send(phoenix: RunningPhoenix, event_id: str, sent: Sent) -> None:
    answer = httpx.post(
        f"{phoenix.base_url}/v1/events",
        json=event_body(event_id, EVENT_TYPE, sent),
        headers=cast.authorization(phoenix.sandbox),
        timeout=30,
    )
    assert answer.status_code == 202, answer.text


def wait_until_over(boards: Iterable[EndingBoard]) -> None:
    while not all(board.is_over for board in boards):
        time.sleep(0.05)


def test_windows_that_end_without_workers_are_closed_once_each_with_its_events(
    phoenix: RunningPhoenix,
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    boards = [EndingBoard.ending(phoenix, name, now) for name in BOARDS]

    with Traffic(phoenix, EVENT_TYPE) as traffic:
        traffic.wait_for_more(50)
        with cast.held(phoenix, *WORKERS):
            assert all(datetime.now(UTC) < board.ends_at for board in boards)
            wait_until_over(boards)
            traffic.finish()
            for board in boards:
                late = Sent("too-late", 1000, board.ends_at - timedelta(seconds=2))
                send(phoenix, f"late-{board.leaderboard_id}", late)

    cast.wait_until(lambda: all(board.is_closed for board in boards), "closed windows")
    for board in boards:
        expect_closed_once(board)
    stored = cast.stored_events(phoenix, EVENT_TYPE)
    assert stored.items() >= cast.contents(traffic.acknowledged).items()


def expect_closed_once(board: EndingBoard) -> None:
    """Check a closed window against the log, the announcements and Phoenix's own proof."""
    window, counted = board.window(), board.counted()
    expected = cast.expected_standings(counted)
    assert len(counted) > 50
    assert "too-late" not in {sent.user_id for sent in counted}
    assert board.standings(window_key=window["window_key"]) == expected
    assert window["total_players"] == len(expected)
    (closing,) = board.announced("leaderboard.window.closed")
    assert (closing["hash"], closing["total_players"]) == (window["hash"], len(expected))
    placed = board.announced("leaderboard.placed")
    assert sorted((each["rank"], each["score"]) for each in placed) == [
        (rank, score) for rank, _, score, _ in expected
    ]
    cast.assert_proven(board)
