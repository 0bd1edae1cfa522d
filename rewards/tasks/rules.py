"""Tasks of the rules: their consumer, planned changes, old refusals."""

from typing import Any

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.nudges import nudge_taken, send_nudges
from rewards.constants import RULES
from rewards.services import consumer, refusals, rule_changes

# A lock or a connection that was lost: tried again with growing pauses. The sweep nudges anyway.
_PASSING: dict[str, Any] = {
    "autoretry_for": (OperationalError, InterfaceError, UnavailableError),
    "retry_backoff": True,
    "retry_backoff_max": 30,
    "retry_jitter": True,
    "max_retries": 5,
}


@shared_task(name="rewards.tasks.apply_rules", ignore_result=True, **_PASSING)
def apply_rules(shard: int) -> None:
    """Process what waits in a shard."""
    nudge_taken(RULES, shard)
    if consumer.drain_shard(shard, clock=timezone.now):
        send_nudges([shard], consumers=[RULES])


@shared_task(name="rewards.tasks.sweep_rules", ignore_result=True)
def sweep_rules() -> None:
    """Let rules show planned changes that are due."""
    rule_changes.apply_planned(now=timezone.now())


@shared_task(name="rewards.tasks.purge_refusals", ignore_result=True)
def purge_refusals() -> None:
    """Forget refusals that are too old."""
    refusals.purge_refusals(now=timezone.now())
