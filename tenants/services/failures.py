"""Failed credentials, counted per source address and credential (00 section 4, last line).

Only a request that failed is counted and only failures turn into 429: a correct request never
waits for Redis here, and nobody can lock somebody else out.
"""

import hashlib
from typing import Any

from django.conf import settings

from phoenix_site.common.exceptions import RateLimitedError
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_async_redis, get_redis, key
from tenants.constants import FAILURE_WINDOW_SECONDS, FAILURES_PER_ADDRESS_FACTOR

log = get_logger(__name__)


def count_failure(address: str, credential: str) -> None:
    """Count a failure. Raises: ``RateLimitedError`` above the limit of pair or address."""
    try:
        pipe: Any = get_redis().pipeline(transaction=False)
        _ask(pipe, address, credential)
        answers = pipe.execute()
    except (RedisError, OSError) as exc:
        log.warning("failures.uncounted", error=type(exc).__name__)
        return
    _judge(answers)


async def acount_failure(address: str, credential: str) -> None:
    """Do what ``count_failure`` does, from a running event loop."""
    try:
        pipe: Any = get_async_redis().pipeline(transaction=False)
        _ask(pipe, address, credential)
        answers = await pipe.execute()
    except (RedisError, OSError) as exc:
        log.warning("failures.uncounted", error=type(exc).__name__)
        return
    _judge(answers)


def _ask(pipe: Any, address: str, credential: str) -> None:
    # Hashed, because what was sent as a credential may be anything.
    digest = hashlib.sha256(credential.encode("utf-8", "replace")).hexdigest()[:32]
    for name in (key("failures", address, digest), key("failures", address)):
        # The window begins with its first failure.
        pipe.set(name, 0, ex=FAILURE_WINDOW_SECONDS, nx=True)
        pipe.incr(name)
        pipe.ttl(name)


def _judge(answers: list[Any]) -> None:
    limit = settings.PHOENIX_AUTH_FAILURES_PER_MINUTE
    pair, pair_ttl, address, address_ttl = answers[1], answers[2], answers[4], answers[5]
    if pair > limit:
        raise _refusal(pair_ttl)
    if address > limit * FAILURES_PER_ADDRESS_FACTOR:
        raise _refusal(address_ttl)


def _refusal(ttl: int) -> RateLimitedError:
    return RateLimitedError(
        "Too many failed credentials from this address.", retry_after=max(1, int(ttl))
    )
