"""A live client that follows a board through every fault, as the documentation tells it to."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from phoenix_site.runtime import processes
from tests.faults.cast import SETTLE_SECONDS, Board, authorization, expected_standings
from tests.faults.traffic import Sent

PAUSE_SECONDS = 0.1
LISTEN_SECONDS = 0.2
OPEN_SECONDS = 10
RESTING = frozenset({502, 503})


class Watcher:
    """Follows a board: reconnects where it was, and asks for everything when it missed something.

    It shares no code with Phoenix, so that both cannot be wrong in the same way.
    """

    def __init__(self, board: Board) -> None:
        self.epochs: list[str] = []
        self.connections = 0
        self._board = board
        self._headers = authorization(board.phoenix.sandbox)
        self._entries: dict[str, tuple[int, str, int, datetime]] = {}
        self._place: tuple[str, int] | None = None
        self._is_resyncing = False
        self._is_ending = False
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert processes.wait_until(lambda: bool(self.epochs or self._errors), seconds=30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._is_ending = True
        self._thread.join(30)

    @property
    def standings(self) -> list[tuple[int, str, int, datetime]]:
        """Return what it shows: rank, player, score and time."""
        return sorted(self._entries.copy().values())

    def wait_until_it_shows(self, sent: Iterable[Sent]) -> None:
        """Return when it shows what the test computes from ``sent`` by itself."""
        expected = expected_standings(sent)
        processes.wait_until(
            lambda: self.standings == expected or bool(self._errors), seconds=SETTLE_SECONDS
        )
        if self._errors:
            raise self._errors[0]
        assert self.standings == expected

    def _run(self) -> None:
        try:
            while not self._is_ending:
                with contextlib.suppress(OSError, WebSocketException, KeyError):
                    self._connect()
                time.sleep(PAUSE_SECONDS)
        except BaseException as exc:  # noqa: BLE001 - told to the test when it asks
            self._errors.append(exc)

    def _connect(self) -> None:
        try:
            with connect(
                self._url(),
                additional_headers=self._headers,
                open_timeout=OPEN_SECONDS,
                close_timeout=1,
                proxy=None,
                compression=None,
            ) as socket:
                self.connections += 1
                self._follow(socket)
        except InvalidStatus as exc:
            answer = exc.response
            assert answer.status_code in RESTING, f"{answer.status_code} {answer.body!r}"

    def _url(self) -> str:
        root = "ws" + self._board.phoenix.base_url.removeprefix("http")
        place = (
            {} if self._place is None else dict(zip(("epoch", "since"), self._place, strict=True))
        )
        return f"{root}/v1/leaderboards/{self._board.leaderboard_id}/ws?{urlencode(place)}"

    def _follow(self, socket: ClientConnection) -> None:
        self._is_resyncing = False
        while not self._is_ending:
            try:
                message = json.loads(socket.recv(timeout=LISTEN_SECONDS))
            except TimeoutError:
                continue
            self._take(socket, message)

    def _take(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        kind = message["type"]
        assert kind != "error", message
        if kind == "snapshot":
            self._begin(message)
        elif kind == "resumed":
            assert (message["epoch"], message["sequence"]) == self._place, message
        elif kind == "update" and not self._is_resyncing:
            if (message["epoch"], message["previous_sequence"]) == self._place:
                self._apply(message)
            else:
                self._is_resyncing = True
                socket.send(json.dumps({"type": "resync"}))

    def _begin(self, message: dict[str, Any]) -> None:
        self._is_resyncing = False
        self._place = (message["epoch"], message["sequence"])
        if message["epoch"] not in self.epochs[-1:]:
            self.epochs.append(message["epoch"])
        self._entries = {}
        self._put(message["entries"])

    def _apply(self, message: dict[str, Any]) -> None:
        assert message["sequence"] > message["previous_sequence"], message
        for user_id in message["left"]:
            del self._entries[user_id]
        self._put(message["changes"])
        self._place = (message["epoch"], message["sequence"])

    def _put(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            reached_at = datetime.fromisoformat(entry["reached_at"])
            user_id = entry["user_id"]
            self._entries[user_id] = (entry["rank"], user_id, entry["score"], reached_at)
