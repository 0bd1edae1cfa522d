"""The requests that the measurements send: signed once, rendered beforehand."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import jwt

from bench.load import http_request

PLAYERS = 100_000
TOKEN_SECONDS = 7200


class Traffic:
    """Requests of one sandbox tenant."""

    def __init__(self, sandbox: dict[str, Any]) -> None:
        self.sandbox = sandbox
        self.run = f"{time.time_ns():x}"
        self.token = self.token_of("bench-sender")

    def token_of(self, player: str) -> str:
        now = int(time.time())
        claims = {
            "sub": player,
            "sub_type": "tenant",
            "sub_id": self.sandbox["tenant_id"],
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        return jwt.encode(claims, self.sandbox["tenant_secret"], algorithm="HS256")

    def event(self, event_id: str, player: str, *, kind: str, points: int = 50) -> dict[str, Any]:
        return {
            "event_id": event_id,
            "type": kind,
            "actor": {"user_id": player},
            "occurred_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "attrs": {"score_delta": points, "source": "bench"},
        }

    def _template(self, kind: str) -> bytes:
        """Return an event to be filled with its id, the player's number and the points."""
        event = self.event("%s", "user-%d", kind=kind)
        return json.dumps(event, separators=(",", ":")).replace(":50,", ":%d,").encode()

    def singles(self, kind: str) -> Any:
        """Return a maker of single events; each connection has ids of its own."""
        template = self._template(kind)

        def make(connection: int) -> Iterator[bytes]:
            start = f"{self.run}-{kind}-{connection}-".encode()
            for number in count():
                player = (connection * 7919 + number) % PLAYERS
                body = template % (start + b"%d" % number, player, 50)
                yield http_request("POST", "/v1/events", token=self.token, body=body)

        return make

    def bulks(self, kind: str, *, size: int = 100) -> Any:
        """Return a maker of bulk requests; players go round, so that every player gets an entry."""
        template = self._template(kind)

        def make(connection: int) -> Iterator[bytes]:
            start = f"{self.run}-{kind}-b{connection}-".encode()
            for number in count():
                first = (connection * 12_500 + number * size) % PLAYERS
                events = b",".join(
                    [
                        template
                        % (
                            start + b"%d-%d" % (number, row),
                            (first + row) % PLAYERS,
                            1 + (first + row) % 97,
                        )
                        for row in range(size)
                    ]
                )
                body = b'{"events":[%s]}' % events
                yield http_request("POST", "/v1/events/bulk", token=self.token, body=body)

        return make

    def reads(self, board: str, *, ranks: bool) -> Any:
        """Return a maker of top-100 reads, or of rank reads of changing players."""

        def make(connection: int) -> Iterator[bytes]:
            # Many players read, so that no single player's limit is what is measured.
            tokens = [self.token_of(f"reader-{connection}-{number}") for number in range(50)]
            for number in count():
                token = tokens[number % len(tokens)]
                if ranks:
                    player = f"user-{(connection * 7919 + number * 31) % PLAYERS}"
                    path = f"/v1/leaderboards/{board}/rank/{player}?window_key=current"
                else:
                    path = f"/v1/leaderboards/{board}?limit=100&window_key=current"
                yield http_request("GET", path, token=token)

        return make
