from typing import Any

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from leaderboards.constants import SCORING
from leaderboards.services import index, scoring
from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.nudges import nudge_taken, send_nudges

# A lock or a connection that was lost: tried again with growing pauses. The sweep nudges anyway.
_PASSING: dict[str, Any] = {
    "autoretry_for": (OperationalError, InterfaceError, UnavailableError),
    "retry_backoff": True,
    "retry_backoff_max": 30,
    "retry_jitter": True,
    "max_retries": 5,
}


@shared_task(name="leaderboards.tasks.score_events", ignore_result=True, **_PASSING)
def score_events(shard: int) -> None:
    nudge_taken(SCORING, shard)
    if scoring.drain_shard(shard, clock=timezone.now):
        send_nudges([shard], consumers=[SCORING])


@shared_task(name="leaderboards.tasks.sweep_indexes", ignore_result=True)
def sweep_indexes() -> None:
    index.sweep_indexes()
