"""Keep the consumer of rewards from running while something changes that it reads."""

import time
from datetime import datetime, timedelta

from django.utils import timezone

from ingestion.services import cursors
from rewards.constants import RULES

__all__ = ["hold_consumer"]


def hold_consumer(now: datetime | None = None) -> datetime:
    """Wait for the batches under way and let none begin before this transaction ends.

    Returns the instant from which on the change may hold: every event that a batch has read was
    received before it. ``now`` is when the caller began, by default the present.

    Locks: the cursors of the consumer in the order of shards; call it before anything else is
    locked. Queries: 16.
    """
    began, started = now or timezone.now(), time.monotonic()
    cursors.wait_for_all_shards(consumer=RULES)
    return began + timedelta(seconds=time.monotonic() - started)
