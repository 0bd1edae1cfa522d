"""Events in the log, received whenever a test needs, and the scoring of all of them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

from ingestion.constants import N_SHARDS
from leaderboards.services import scoring
from tests.ingestion import factories

_numbers = count(1)


class Sent(NamedTuple):
    """What a player did, when, and how long it took to arrive."""

    user_id: str
    points: Any
    occurred_at: datetime
    delay: timedelta = timedelta(0)


def send(tenant_id: str, events: Iterable[Sent], *, type: str = "game.completed") -> None:  # noqa: A002
    for sent in events:
        factories.append(
            f"test-{next(_numbers)}",
            tenant_id=tenant_id,
            user_id=sent.user_id,
            type=type,
            attrs={"points": sent.points},
            occurred_at=sent.occurred_at,
            received_at=sent.occurred_at + sent.delay,
        )


def score_all(*, now: datetime) -> int:
    """Score what waits in every shard and return how many events that were."""
    scored = 0
    for shard in range(N_SHARDS):
        while done := scoring.score_events(shard, now=now):
            scored += done
    return scored
