"""What the tests of faults have in common: boards, what they must show, and how to break things."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import jwt
import psycopg

from phoenix_site.runtime import environment, processes, servers
from phoenix_site.runtime.places import PROJECT_DIR
from tests.processes import RunningPhoenix

if TYPE_CHECKING:
    from tests.faults.traffic import Sent

SETTLE_SECONDS = 90
ALL_TIME = {"type": "all_time"}
PAGE = 1000
ENDED_OR_STOPPED = frozenset({"T", "Z", "X", ""})


def authorization(sandbox: Mapping[str, Any], user_id: str = "player-00") -> dict[str, str]:
    """Return the header of a tenant JWT."""
    now = int(time.time())
    claims = {
        "sub": user_id,
        "sub_type": "tenant",
        "sub_id": sandbox["tenant_id"],
        "iat": now,
        "exp": now + 3600,
    }
    token = jwt.encode(claims, sandbox["tenant_secret"], algorithm="HS256")
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


class Board:
    """A board that sums the points of one event type, and what it must look like."""

    def __init__(self, phoenix: RunningPhoenix, leaderboard_id: str, event_type: str) -> None:
        self.phoenix = phoenix
        self.leaderboard_id = leaderboard_id
        self.event_type = event_type
        self.tenant_id = str(phoenix.sandbox["tenant_id"])
        self._headers = authorization(phoenix.sandbox)

    @classmethod
    def create(
        cls,
        phoenix: RunningPhoenix,
        leaderboard_id: str,
        *,
        event_type: str | None = None,
        timeframe: Mapping[str, Any] = ALL_TIME,
    ) -> Self:
        """Make the board through the admin gateway; its event type is ``fault.`` plus its id.

        A rule credits every point of such an event as gold, too.
        """
        board = cls(phoenix, leaderboard_id, event_type or f"fault.{leaderboard_id}")
        rule = {"event_type": board.event_type, "points_expression": "attrs.points"}
        board.post(
            "leaderboards",
            {
                "leaderboard_id": leaderboard_id,
                "name": leaderboard_id,
                "config": {"timeframe": dict(timeframe), "scoring": {"rules": [rule]}},
            },
        )
        points = {"type": "multiplier", "field": "attrs.points", "factor": 1}
        paying = {
            "rule_id": leaderboard_id,
            "name": leaderboard_id,
            "trigger": {"type": "event", "names": [board.event_type]},
            "effects": [{"type": "credit", "currency_id": "gold", "amount": points}],
        }
        board.post("rules", paying)
        board.post(f"rules/{leaderboard_id}/activate", {"version": 1})
        return board

    def post(self, path: str, body: Mapping[str, Any]) -> None:
        """Ask the admin gateway of the board's tenant for a change."""
        answer = httpx.post(
            f"{self.phoenix.base_url}/v1/tenants/{self.tenant_id}/{path}",
            headers={"X-API-Key": self.phoenix.sandbox["admin_api_key"]},
            json=dict(body),
            timeout=30,
        )
        assert answer.status_code in (200, 201), answer.text

    def paid(self) -> dict[str, int]:
        """Return what the rule of this name paid to each player, as the postings say."""
        query = """
            SELECT player.external_id, sum(posting.amount)::int
            FROM rewards_rule AS rule
            JOIN rewards_firing AS firing ON firing.rule_id = rule.id
            JOIN rewards_ledgertransaction AS entry
              ON entry.cause_kind = 'firing' AND entry.cause_id = firing.id::text
            JOIN rewards_posting AS posting ON posting.transaction_id = entry.id
            JOIN rewards_account AS account ON account.id = posting.account_id
            JOIN players_player AS player ON player.id = account.player_id
            WHERE rule.rule_id = %s GROUP BY player.external_id
        """
        return dict(rows(self.phoenix, query, self.leaderboard_id))

    def wait_until_it_paid(self, sent: Iterable[Sent]) -> None:
        """Return when every point was paid, and see that none was paid twice.

        A rule takes nothing away: points below 0 are worth nothing.
        """
        expected: dict[str, int] = defaultdict(int)
        for each in sent:
            expected[each.user_id] += max(each.points, 0)
        assert processes.wait_until(lambda: self.paid() == expected, seconds=SETTLE_SECONDS), (
            f"expected {dict(expected)}\nfound    {self.paid()}"
        )

    def get(self, path: str = "", **query: Any) -> dict[str, Any]:
        """Return what the query gateway answers below the board's address."""
        answer = httpx.get(
            f"{self.phoenix.base_url}/v1/leaderboards/{self.leaderboard_id}{path}",
            params=query,
            headers=self._headers,
            timeout=15,
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def standings(self, **query: Any) -> list[tuple[int, str, int, datetime]]:
        """Return rank, player, score and time of everybody on the board."""
        return [
            (
                entry["rank"],
                entry["user_id"],
                entry["score"],
                datetime.fromisoformat(entry["reached_at"]),
            )
            for entry in self.get(limit=PAGE, **query)["entries"]
        ]

    def wait_until_it_shows(self, sent: Iterable[Sent]) -> None:
        """Return when the board shows what the test computes from ``sent`` by itself."""
        expected = expected_standings(sent)
        assert expected, "Nothing was sent."

        def is_shown() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return self.standings() == expected
            return False

        assert processes.wait_until(is_shown, seconds=SETTLE_SECONDS), (
            f"expected {expected}\nfound    {self.standings()}"
        )


def expected_standings(sent: Iterable[Sent]) -> list[tuple[int, str, int, datetime]]:
    """Return rank, player, sum and when it was reached, without any of Phoenix's own code."""
    totals: dict[str, int] = defaultdict(int)
    reached_at: dict[str, datetime] = {}
    for each in sent:
        assert each.points, "Whether 0 points move the time is not what this is about."
        totals[each.user_id] += each.points
        earlier = reached_at.get(each.user_id, each.occurred_at)
        reached_at[each.user_id] = max(earlier, each.occurred_at)
    order = sorted(totals, key=lambda user: (-totals[user], reached_at[user], user.encode()))
    return [
        (rank, user, totals[user], reached_at[user]) for rank, user in enumerate(order, start=1)
    ]


# --- The database --------------------------------------------------------------------------------


def rows(phoenix: RunningPhoenix, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Return what the instance's database answers, asked past Phoenix."""
    found = servers.running_environment(phoenix.data_dir)
    assert found is not None, "The servers do not run."
    with psycopg.connect(found["DATABASE_URL"], connect_timeout=10) as connection:
        return connection.execute(query, parameters).fetchall()


def stored_events(phoenix: RunningPhoenix, event_type: str) -> dict[str, tuple[str, int, datetime]]:
    """Return player, points and time of each event in the log; every id must be there once."""
    query = """
        SELECT event_id, user_id, (attrs->>'points')::int, occurred_at
        FROM ingestion_event WHERE type = %s
    """
    found = rows(phoenix, query, event_type)
    stored = {event_id: (user_id, points, at) for event_id, user_id, points, at in found}
    assert len(stored) == len(found), "An event is in the log twice."
    return stored


def contents(sent: Mapping[str, Sent]) -> dict[str, tuple[str, int, datetime]]:
    """Return what was sent as ``stored_events`` returns what is stored."""
    return {
        event_id: (each.user_id, each.points, each.occurred_at) for event_id, each in sent.items()
    }


def set_aside(phoenix: RunningPhoenix) -> list[tuple[Any, ...]]:
    """Return what consumers could not process."""
    return rows(
        phoenix,
        "SELECT consumer, code, message FROM ingestion_quarantineentry"
        " UNION ALL SELECT 'board', code, '' FROM leaderboards_refusedevent",
    )


# --- Commands and processes ----------------------------------------------------------------------


def manage(
    phoenix: RunningPhoenix, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command beside the instance."""
    inherited = {name: value for name, value in os.environ.items() if name not in environment.URLS}
    return subprocess.run(
        [sys.executable, PROJECT_DIR / "manage.py", *arguments],
        env={**inherited, **variables, "PHOENIX_DATA_DIR": str(phoenix.data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )


def assert_proven(board: Board) -> None:
    """Have Phoenix prove a board's standings by its log, and its ledger by the postings."""
    done = manage(board.phoenix, "verify_standings", "--board", board.leaderboard_id)
    assert done.returncode == 0, done.stdout + done.stderr
    done = manage(board.phoenix, "prove_ledger", "--tenant", board.tenant_id)
    assert done.returncode == 0, done.stdout + done.stderr


def children_of(pid: int) -> list[int]:
    """Return the processes that ``pid`` started itself; none when it has ended meanwhile."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def family_of(pid: int) -> list[int]:
    """Return ``pid`` and everything below it, parents first."""
    return [pid, *(member for child in children_of(pid) for member in family_of(child))]


def is_alive(pid: int) -> bool:
    """Return whether the process runs; one that only waits for its parent does not."""
    return _state_of(pid) not in ("", "Z")


@contextlib.contextmanager
def held(phoenix: RunningPhoenix, *names: str, is_alone: bool = False) -> Iterator[None]:
    """Stop processes with all that they started, as a machine that hangs; let them go on after.

    ``is_alone`` leaves those that they started running.
    """
    mains = [phoenix.pids[name] for name in names]

    def members() -> list[int]:
        return mains if is_alone else [pid for main in mains for pid in family_of(main)]

    try:
        # Again and again, because they may have started or ended some while they were looked at.
        wait_until(
            lambda: not _signal(members(), signal.SIGSTOP, unless="TZ"), f"a stop of {names}"
        )
        yield
    finally:
        _signal(reversed(members()), signal.SIGCONT)


def _signal(pids: Iterable[int], number: int, *, unless: str = "") -> list[int]:
    """Send a signal to those that run in none of the states ``unless``, and return them."""
    chosen = [pid for pid in pids if (state := _state_of(pid)) and state not in unless]
    for pid in chosen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return chosen


def wait_until_all_is_well(phoenix: RunningPhoenix) -> None:
    """Return when ``/ready`` says ``ready``, and a worker has done what beat told it just now."""
    began = datetime.now(UTC).replace(microsecond=0)

    def is_well() -> bool:
        try:
            answer = httpx.get(f"{phoenix.base_url}/ready", timeout=10).json()
        except (httpx.TransportError, KeyError):
            return False
        seen = answer["last_worker_heartbeat"]
        is_seen = seen is not None and datetime.fromisoformat(seen) > began
        return bool(answer["status"] == "ready" and is_seen)

    wait_until(is_well, f"ready again:\n{phoenix.log[-5000:]}")


def wait_until(
    condition: Callable[[], bool], what: str, *, seconds: float = SETTLE_SECONDS
) -> None:
    """Wait for something that must come true, and say what it was when it does not."""
    assert processes.wait_until(condition, seconds=seconds), f"In vain: {what}"


def kill_all(pids: Iterable[int]) -> None:
    """Kill processes without a chance to clean up."""
    _signal(pids, signal.SIGKILL)


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
