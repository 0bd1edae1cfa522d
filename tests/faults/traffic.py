"""Steady traffic of a game server that takes every fault of Phoenix for granted."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import httpx

from tests.faults.cast import authorization
from tests.processes import RunningPhoenix

PLAYERS = [f"player-{number:02}" for number in range(24)]
SINGLE_SENDERS = 3
BULK_SENDERS = 1
BULK_SIZE = 10
PAUSE_SECONDS = 0.03
RETRY_SECONDS = 0.05
ANSWER_SECONDS = 15
PATIENCE_SECONDS = 90
# One request in so many is sent once more although it was acknowledged.
REPEATED = 10


@dataclass(frozen=True, slots=True)
class Sent:
    """What an event was about."""

    user_id: str
    points: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class _Message:
    path: str
    body: bytes
    events: Mapping[str, Sent]


class Traffic:
    """Sends events of one type, singly and in lists, the same bytes until they are acknowledged.

    Leaving the block finishes every request that was begun; so does ``finish``.
    """

    def __init__(self, phoenix: RunningPhoenix, event_type: str) -> None:
        self.acknowledged: dict[str, Sent] = {}
        self.longest_silence = 0.0
        self._phoenix = phoenix
        self._event_type = event_type
        self._random = random.Random(event_type)  # noqa: S311 - the same scores in every run
        self._headers = authorization(phoenix.sandbox)
        self._count = 0
        self._is_ending = False
        self._is_abandoned = False
        self._errors: list[BaseException] = []
        self._heard_at = time.monotonic()
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
        if kind is None:
            self.finish()
        else:
            self.abandon()

    def finish(self) -> None:
        """Begin nothing new and return when everything that was begun is acknowledged."""
        self._is_ending = True
        self._thread.join(PATIENCE_SECONDS)
        self._raise_errors()
        assert not self._thread.is_alive(), "Requests are still not acknowledged."

    def abandon(self) -> None:
        """Send nothing any more, as a game server that is switched off."""
        self._is_ending = self._is_abandoned = True
        self._thread.join(PATIENCE_SECONDS)

    def wait_for_more(self, count: int = 100) -> None:
        """Return when ``count`` more events are acknowledged than now."""
        wanted = len(self.acknowledged) + count
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.acknowledged) < wanted:
            self._raise_errors()
            assert time.monotonic() < deadline, "Events are not acknowledged any more."
            time.sleep(0.02)

    def _raise_errors(self) -> None:
        if self._errors:
            raise self._errors[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as exc:  # noqa: BLE001 - told to the test by the next call
            self._errors.append(exc)

    async def _send_all(self) -> None:
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, headers=self._headers) as client:
            makers = [self._single] * SINGLE_SENDERS + [self._bulk] * BULK_SENDERS
            await asyncio.gather(*(self._send_steadily(client, make) for make in makers))

    async def _send_steadily(self, client: httpx.AsyncClient, make: Callable[[], _Message]) -> None:
        while not self._is_ending:
            message = make()
            await self._deliver(client, message)
            if self._random.randrange(REPEATED) == 0:
                await self._deliver(client, message, is_repeated=True)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _deliver(
        self, client: httpx.AsyncClient, message: _Message, *, is_repeated: bool = False
    ) -> None:
        while not self._is_abandoned:
            answer = await self._post(client, message)
            if answer is not None and is_taken(answer, is_repeated=is_repeated):
                self._note(message.events)
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _post(self, client: httpx.AsyncClient, message: _Message) -> httpx.Response | None:
        try:
            url = f"{self._phoenix.base_url}{message.path}"
            return await client.post(url, content=message.body)
        except (httpx.TransportError, KeyError):  # Nobody answers, or nobody is there at all.
            return None

    def _note(self, events: Mapping[str, Sent]) -> None:
        now = time.monotonic()
        self.longest_silence = max(self.longest_silence, now - self._heard_at)
        self._heard_at = now
        self.acknowledged.update(events)

    def _single(self) -> _Message:
        event_id, sent, event = self._new_event()
        return _Message("/v1/events", json.dumps(event).encode(), {event_id: sent})

    def _bulk(self) -> _Message:
        made = [self._new_event() for _ in range(BULK_SIZE)]
        body = json.dumps({"events": [event for _, _, event in made]}).encode()
        return _Message("/v1/events/bulk", body, {event_id: sent for event_id, sent, _ in made})

    def _new_event(self) -> tuple[str, Sent, dict[str, Any]]:
        self._count += 1
        event_id = f"{self._event_type}-{self._count}"
        points = self._random.choice([-3, 1, 2, 5, 10, 20, 50])
        sent = Sent(self._random.choice(PLAYERS), points, datetime.now(UTC))
        return event_id, sent, event_body(event_id, self._event_type, sent)


def event_body(event_id: str, event_type: str, sent: Sent) -> dict[str, Any]:
    """Return the event as it is sent."""
    return {
        "event_id": event_id,
        "type": event_type,
        "actor": {"user_id": sent.user_id},
        "occurred_at": sent.occurred_at.isoformat(),
        "attrs": {"points": sent.points},
    }


def is_taken(answer: httpx.Response, *, is_repeated: bool = False) -> bool:
    """Return whether every event of a request is acknowledged, false when it must be repeated.

    Anything but an acknowledgement and *come back later* is a mistake of Phoenix.
    """
    body = answer.json()
    if answer.status_code == 503:
        assert body["code"] == "SRV_002", body
        assert int(answer.headers["Retry-After"]) >= 1
        return False
    assert answer.status_code in (200, 202), f"{answer.status_code} {body}"
    results: Sequence[Mapping[str, Any]] = body.get("results", [body])
    refused = [each for each in results if each["status"] not in ("accepted", "duplicate")]
    assert all(each["code"] == "SRV_002" for each in refused), refused
    if is_repeated:
        known = [each["status"] == "duplicate" or each.get("duplicate") for each in results]
        assert all(known) or refused, f"An acknowledged event was forgotten: {body}"
    return not refused
