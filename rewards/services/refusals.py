"""Refusals are kept for 90 days (RUL-19)."""

from datetime import datetime, timedelta
from typing import Final

from phoenix_site.common.logging import get_logger
from rewards.constants import REFUSALS_KEPT_DAYS
from rewards.services.statements import run

__all__ = ["purge_refusals"]

log = get_logger(__name__)

_ROWS_PER_STATEMENT: Final = 5000
_PURGE: Final = """
DELETE FROM rewards_refusal WHERE id IN (
    SELECT id FROM rewards_refusal WHERE refused_at < %(before)s
    ORDER BY refused_at LIMIT %(limit)s
) RETURNING id
"""


def purge_refusals(*, now: datetime, limit: int = 200_000) -> int:
    """Delete refusals that are too old, ``limit`` at most, and return how many. Repeats: safe."""
    before = now - timedelta(days=REFUSALS_KEPT_DAYS)
    count = 0
    while count < limit:
        size = min(_ROWS_PER_STATEMENT, limit - count)
        deleted = len(run(_PURGE, {"before": before, "limit": size}))
        count += deleted
        if deleted < size:
            break
    if count:
        log.info("refusals.purged", count=count)
    return count
