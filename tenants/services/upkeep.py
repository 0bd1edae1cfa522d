"""What has to be done every hour: drop what is over, replace keys that are due."""

from collections.abc import Callable
from datetime import datetime

from phoenix_site.common.logging import get_logger
from tenants.constants import PURGE_BATCH
from tenants.services import deliveries, idempotency, signing_keys, staff

log = get_logger(__name__)


def purge_leftovers(*, now: datetime) -> None:
    """Delete ended idempotency records, deliveries, tokens and keys; rotate keys that are due.

    Repeats: safe. Records go in batches of their own transactions, so that nothing waits long.
    """
    records = _purge(idempotency.purge_expired, now=now)
    ended = _purge(deliveries.purge_closed, now=now)
    tokens = staff.purge_ended_tokens(now=now)
    rotated = signing_keys.rotate_due_keys(now=now)
    keys = signing_keys.purge_ended_keys(now=now)
    log.info(
        "tenants.upkeep",
        records=records,
        deliveries=ended,
        tokens=tokens,
        keys=keys,
        rotated=rotated,
    )


def _purge(purge_batch: Callable[..., int], *, now: datetime) -> int:
    """Purge batch by batch until one is not full; return how many rows went."""
    total = 0
    while (count := purge_batch(now=now)) > 0:
        total += count
        if count < PURGE_BATCH:
            break
    return total
