"""What has to be done every hour: drop what is over, replace keys that are due."""

from datetime import datetime

from phoenix_site.common.logging import get_logger
from tenants.constants import PURGE_BATCH
from tenants.services import idempotency, signing_keys, staff

log = get_logger(__name__)


def purge_leftovers(*, now: datetime) -> None:
    """Delete ended idempotency records, tokens and keys; rotate signing keys that are due.

    Repeats: safe. Records go in batches of their own transactions, so that nothing waits long.
    """
    records = 0
    while (count := idempotency.purge_expired(now=now)) > 0:
        records += count
        if count < PURGE_BATCH:
            break
    tokens = staff.purge_ended_tokens(now=now)
    rotated = signing_keys.rotate_due_keys(now=now)
    keys = signing_keys.purge_ended_keys(now=now)
    log.info("tenants.upkeep", records=records, tokens=tokens, keys=keys, rotated=rotated)
