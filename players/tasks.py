from typing import Any

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.nudges import nudge_taken, send_nudges
from players.constants import REGISTRATION
from players.services import consumption

# A lock or a connection that was lost: tried again with growing pauses. The sweep nudges anyway.
_PASSING: dict[str, Any] = {
    "autoretry_for": (OperationalError, InterfaceError, UnavailableError),
    "retry_backoff": True,
    "retry_backoff_max": 30,
    "retry_jitter": True,
    "max_retries": 5,
}


@shared_task(ignore_result=True, **_PASSING)
def register_players(shard: int) -> None:
    # The nudge stays "waiting" until it expires: one batch every two seconds is soon enough, and
    # scoring needs the time more. Whoever needs a player at once makes it: ``ensure_players``.
    if consumption.drain_shard(shard, clock=timezone.now):
        nudge_taken(REGISTRATION, shard)
        send_nudges([shard], consumers=[REGISTRATION])
