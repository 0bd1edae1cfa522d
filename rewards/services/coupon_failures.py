"""Failed redemptions and validations, counted per player (CPN-6): codes are not to be guessed.

An attempt counts while it runs, so that a hundred at once are no way around the limit; one that
succeeds is taken off again. Without Redis nothing is counted, and that is logged.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from phoenix_site.common.exceptions import DomainError, RateLimitedError, UnavailableError
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_redis, key
from rewards.constants import COUPON_FAILURE_SECONDS, COUPON_FAILURES

__all__ = ["Attempt", "attempting"]

log = get_logger(__name__)


class Attempt:
    """One attempt; ``fail`` lets it count although nothing was raised."""

    def __init__(self) -> None:
        self.has_failed = False

    def fail(self) -> None:
        """Count the attempt as a failure."""
        self.has_failed = True


@contextmanager
def attempting(tenant_id: str, user_id: str) -> Iterator[Attempt]:
    """Do what is attempted inside the block; a refusal that it raises is a failure.

    Raises: ``RateLimitedError`` after 20 failures of the player within ten minutes.
    """
    name = _name(tenant_id, user_id)
    _begin(name)
    attempt = Attempt()
    try:
        yield attempt
    except DomainError as exc:
        attempt.has_failed = not isinstance(exc, UnavailableError)
        raise
    finally:
        if not attempt.has_failed:
            _take_off(name)


def _name(tenant_id: str, user_id: str) -> str:
    # Hashed, because a player's id may be long, and hold anything.
    digest = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return key("coupon_failures", tenant_id, digest)


def _begin(name: str) -> None:
    try:
        pipe: Any = get_redis().pipeline(transaction=False)
        # The ten minutes begin with the first failure.
        pipe.set(name, 0, ex=COUPON_FAILURE_SECONDS, nx=True)
        pipe.incr(name)
        pipe.ttl(name)
        _, count, seconds = pipe.execute()
    except (RedisError, OSError) as exc:
        log.warning("coupon_failures.uncounted", error=type(exc).__name__)
        return
    if count > COUPON_FAILURES:
        raise RateLimitedError("Too many codes that did not fit.", retry_after=max(1, seconds))


def _take_off(name: str) -> None:
    try:
        pipe: Any = get_redis().pipeline(transaction=True)
        pipe.decr(name)
        pipe.ttl(name)
        _, seconds = pipe.execute()
        if seconds < 0:
            # The ten minutes ended in between: a count without an end would stay for ever.
            get_redis().delete(name)
    except (RedisError, OSError) as exc:
        log.warning("coupon_failures.uncounted", error=type(exc).__name__)
