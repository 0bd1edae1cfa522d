"""Days and weeks in which uses of a rule are counted."""

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo

__all__ = ["TOTAL", "bucket_of", "buckets_of", "local_date"]

TOTAL = "total"


def local_date(instant: datetime, zone: tzinfo) -> str:
    """Return the date of ``instant`` in ``zone``, ``YYYY-MM-DD``."""
    return instant.astimezone(zone).date().isoformat()


def bucket_of(period: str, instant: datetime, zone: tzinfo) -> str:
    """Return the key of the ``day``, ``week`` (its Monday) or ``total`` that holds ``instant``."""
    if period == TOTAL:
        return TOTAL
    day = instant.astimezone(zone).date()
    if period == "day":
        return "d:" + day.isoformat()
    return "w:" + (day - timedelta(days=day.weekday())).isoformat()


def buckets_of(periods: Iterable[str], instant: datetime, zone: tzinfo) -> list[str]:
    """Return the keys of several periods."""
    return [bucket_of(period, instant, zone) for period in periods]
