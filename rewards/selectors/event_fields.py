"""Which event types a tenant sends, and what is in them; kept for some seconds."""

from datetime import datetime
from typing import Final

from django.core.cache import cache

from ingestion import selectors as ingestion
from rewards.rules.event_fields import types_of
from rewards.types.event_fields import EventCatalog

__all__ = ["event_catalog"]

DAYS: Final = 30
CACHE_SECONDS: Final = 10
# Of each day so many of the newest events are looked at, and of each type so many fields are read.
_PER_DAY: Final = 400
_PER_TYPE: Final = 10
_MOST_ROWS: Final = 2000


def event_catalog(tenant_id: str, *, now: datetime) -> EventCatalog:
    """Return what the tenant sent in the last 30 days, at most 10 s old. Queries: 1 or 0."""
    key = f"phoenix.rewards.events.{tenant_id}"
    found: EventCatalog | None = cache.get(key)
    if found is None:
        sample = ingestion.sampled_events(
            tenant_id, now=now, days=DAYS, per_day=_PER_DAY, per_type=_PER_TYPE, limit=_MOST_ROWS
        )
        found = EventCatalog(now, types_of(sample))
        cache.set(key, found, CACHE_SECONDS)
    return found
