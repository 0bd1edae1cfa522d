"""The smoke test of spec 01 ING-62: a few calls that prove a running sandbox works.

It talks to Phoenix only over HTTP and WebSocket, as an integrator would.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from websockets.sync.client import ClientConnection, connect

from phoenix_site.common.ids import new_id
from phoenix_site.runtime.announcement import PLAYER, player_token

POINTS = 50
# What the sandbox's rules make of such an event; see ``rewards.services.sandbox``.
RULE = "good-game"
GOLD = 5
POINTS_PER_XP = 5
VISIBLE_WITHIN_SECONDS = 5.0


class SmokeTestError(Exception):
    """A step did not do what it promises."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: its status and its JSON body."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One finished step: what it was, what it showed and how long it took."""

    name: str
    outcome: str
    milliseconds: float


class SmokeTest:
    """Run the checklist against the sandbox described by ``sandbox`` (OPS-5's document)."""

    def __init__(self, sandbox: dict[str, Any]) -> None:
        self.sandbox = sandbox
        self.board = sandbox["leaderboard_id"]
        self.event_id = f"evt_smoke_{new_id()}"
        self.token = player_token(sandbox)
        self.score_before = 0
        self.wallet_before: dict[str, int] = {}

    def run(self) -> Iterator[Step]:
        """Yield each step as it passes. Raises: ``SmokeTestError`` at the first that does not."""
        yield self._timed("health with the API key", self._check_health)
        yield self._timed("readiness", self._check_ready)
        yield self._timed("the sandbox board", self._check_board)
        with self._socket() as socket:
            yield self._timed("the board's first live message", lambda: self._snapshot(socket))
            yield self._timed("the score before", self._read_score)
            yield self._timed("the wallet before", self._read_wallet)
            yield self._timed("an event is accepted", self._send_event)
            yield self._timed("the score shows it", self._await_score)
            yield self._timed("the live board shows it", lambda: self._await_update(socket))
        yield self._timed("a rule granted a reward", self._await_reward)
        yield self._timed("the grant is explained", self._explain_reward)
        yield self._timed("the same event is a duplicate", self._send_again)
        yield self._timed("and grants nothing more", self._check_wallet_again)

    def _timed(self, name: str, check: Callable[[], str]) -> Step:
        began = time.perf_counter()
        outcome = check()
        return Step(name, outcome, (time.perf_counter() - began) * 1000)

    def call(self, method: str, path: str, *, headers: dict[str, str], body: Any = None) -> Answer:
        """Return the answer to one request, whatever its status."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(  # noqa: S310 - the address of our own sandbox
            self.sandbox["base_url"] + path,
            data=data,
            method=method,
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as refusal:
            return Answer(refusal.code, json.loads(refusal.read() or b"null"))
        except OSError as exc:
            raise SmokeTestError(f"{method} {path}: {exc}") from exc

    def _expect(self, answer: Answer, status: int) -> Any:
        if answer.status != status:
            raise SmokeTestError(f"expected {status}, got {answer.status}: {answer.body}")
        return answer.body

    @property
    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def _api_key(self) -> dict[str, str]:
        return {"X-API-Key": self.sandbox["admin_api_key"]}

    def _check_health(self) -> str:
        body = self._expect(self.call("GET", "/health", headers=self._api_key), 200)
        return f"{body['status']} as {body['credential']}"

    def _check_ready(self) -> str:
        return str(self._expect(self.call("GET", "/ready", headers={}), 200)["status"])

    def _check_board(self) -> str:
        path = f"/v1/tenants/{self.sandbox['tenant_id']}/leaderboards/{self.board}"
        body = self._expect(self.call("GET", path, headers=self._api_key), 200)
        return f"{body['leaderboard_id']} is {body['status']}, version {body['version']}"

    @contextmanager
    def _socket(self) -> Iterator[ClientConnection]:
        url = f"{self.sandbox['ws_url']}/v1/leaderboards/{self.board}/ws"
        view = '{"type":"users","user_ids":["' + PLAYER + '"]}'
        query = "?filter=" + quote(view)
        with connect(url + query, additional_headers=self._bearer, open_timeout=10) as socket:
            yield socket

    def _snapshot(self, socket: ClientConnection) -> str:
        message = json.loads(socket.recv(timeout=VISIBLE_WITHIN_SECONDS))
        if message["type"] != "snapshot":
            raise SmokeTestError(f"expected a snapshot, got {message}")
        return f"snapshot {message['epoch']}:{message['sequence']}"

    def _score(self) -> int | None:
        path = f"/v1/leaderboards/{self.board}/score/{PLAYER}?window_key=current"
        answer = self.call("GET", path, headers=self._bearer)
        return int(answer.body["score"]) if answer.status == 200 else None

    def _read_score(self) -> str:
        self.score_before = self._score() or 0
        return f"{PLAYER} has {self.score_before}"

    def _event(self) -> dict[str, Any]:
        return {
            "event_id": self.event_id,
            "type": "game.completed",
            "actor": {"user_id": PLAYER},
            "occurred_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "attrs": {"score_delta": POINTS, "source": "smoke-test"},
        }

    def _send_event(self) -> str:
        self.sent = self._event()
        answer = self.call("POST", "/v1/events", headers=self._bearer, body=self.sent)
        return str(self._expect(answer, 202)["status"])

    def _balances(self) -> dict[str, int]:
        answer = self.call("GET", "/v1/wallet/balances", headers=self._bearer)
        body = self._expect(answer, 200)
        return {each["currency_id"]: int(each["available"]) for each in body["balances"]}

    def _read_wallet(self) -> str:
        self.wallet_before = self._balances()
        return f"{PLAYER} has {_in_words(self.wallet_before)}"

    @property
    def _wallet_wanted(self) -> dict[str, int]:
        earned = {"xp": POINTS // POINTS_PER_XP, "gold": GOLD}
        return {
            currency_id: before + earned.get(currency_id, 0)
            for currency_id, before in self.wallet_before.items()
        }

    def _await_reward(self) -> str:
        deadline = time.monotonic() + VISIBLE_WITHIN_SECONDS
        while (found := self._balances()) != self._wallet_wanted:
            if time.monotonic() > deadline:
                raise SmokeTestError(f"the wallet is {found}, expected {self._wallet_wanted}")
            time.sleep(0.02)
        return f"{PLAYER} has {_in_words(found)}"

    def _explain_reward(self) -> str:
        path = f"/v1/tenants/{self.sandbox['tenant_id']}/rules/explain"
        query = f"?event_id={self.event_id}&user_id={PLAYER}&rule_id={RULE}"
        body = self._expect(self.call("GET", path + query, headers=self._api_key), 200)
        (verdict,) = body["results"]
        if verdict["verdict"] != "granted":
            raise SmokeTestError(f"expected a grant, got {verdict}")
        return f"{RULE} version {verdict['version']}: {verdict['text'] or verdict['verdict']}"

    def _check_wallet_again(self) -> str:
        found = self._balances()
        if found != self._wallet_wanted:
            raise SmokeTestError(f"the wallet is {found}, expected {self._wallet_wanted}")
        return f"{PLAYER} still has {_in_words(found)}"

    def _send_again(self) -> str:
        answer = self.call("POST", "/v1/events", headers=self._bearer, body=self.sent)
        if not self._expect(answer, 200)["duplicate"]:
            raise SmokeTestError("the second sending was taken for a new event")
        return "accepted once"

    def _await_score(self) -> str:
        wanted = self.score_before + POINTS
        deadline = time.monotonic() + VISIBLE_WITHIN_SECONDS
        while (score := self._score()) != wanted:
            if time.monotonic() > deadline:
                raise SmokeTestError(f"the score is {score}, expected {wanted}")
            time.sleep(0.02)
        return f"{self.score_before} + {POINTS} = {wanted}"

    def _await_update(self, socket: ClientConnection) -> str:
        wanted = self.score_before + POINTS
        deadline = time.monotonic() + VISIBLE_WITHIN_SECONDS
        while time.monotonic() < deadline:
            try:
                message = json.loads(socket.recv(timeout=deadline - time.monotonic()))
            except TimeoutError:
                break
            rows = message.get("changes", message.get("entries", []))
            if any(row["user_id"] == PLAYER and row["score"] == wanted for row in rows):
                return f"{message['type']} {message['epoch']}:{message['sequence']}"
        raise SmokeTestError("no live message with the new score")


def _in_words(wallet: dict[str, int]) -> str:
    return ", ".join(f"{amount} {currency_id}" for currency_id, amount in wallet.items())
