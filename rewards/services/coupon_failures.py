"""Failed redemptions and validations, counted per player (CPN-6): codes are not to be guessed.

An attempt counts while it runs, so that a hundred at once are no way around the limit; one that
succeeds is taken off again. Without Redis nothing is counted, and that is logged.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from phoenix_site.common.exceptions import DomainError, RateLimitedError, UnavailableError
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_redis, key
from players.types import PlayerKey
from rewards.constants import COUPON_FAILURE_SECONDS, COUPON_FAILURES

__all__ = ["Attempt", "attempting", "begin", "is_failure", "take_off"]

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
    player = (tenant_id, user_id)
    (refused,) = begin([player])
    if refused is not None:
        raise refused
    attempt = Attempt()
    try:
        yield attempt
    except DomainError as exc:
        attempt.has_failed = is_failure(exc)
        raise
    finally:
        if not attempt.has_failed:
            take_off([player])


def is_failure(outcome: object) -> bool:
    """Return whether what came of an attempt counts against the player: a refusal does."""
    return isinstance(outcome, DomainError) and not isinstance(outcome, UnavailableError)


def begin(players: Sequence[PlayerKey]) -> list[RateLimitedError | None]:
    """Count an attempt of each player; return who has to wait. One round trip."""
    names = [_name(*player) for player in players]
    try:
        pipe: Any = get_redis().pipeline(transaction=False)
        for name in names:
            # The ten minutes begin with the first failure.
            pipe.set(name, 0, ex=COUPON_FAILURE_SECONDS, nx=True)
            pipe.incr(name)
            pipe.ttl(name)
        answers = pipe.execute()
    except (RedisError, OSError) as exc:
        log.warning("coupon_failures.uncounted", error=type(exc).__name__)
        return [None] * len(names)
    counts, seconds = answers[1::3], answers[2::3]
    return [_judge(*each) for each in zip(counts, seconds, strict=True)]


def take_off(players: Sequence[PlayerKey]) -> None:
    """Take off again the attempts that did not fail. One round trip."""
    names = [_name(*player) for player in players]
    if not names:
        return
    try:
        pipe: Any = get_redis().pipeline(transaction=True)
        for name in names:
            pipe.decr(name)
            pipe.ttl(name)
        # The ten minutes ended in between: a count without an end would stay for ever.
        endless = [name for name, left in zip(names, pipe.execute()[1::2], strict=True) if left < 0]
        if endless:
            get_redis().delete(*endless)
    except (RedisError, OSError) as exc:
        log.warning("coupon_failures.uncounted", error=type(exc).__name__)


def _judge(count: int, seconds: int) -> RateLimitedError | None:
    if count <= COUPON_FAILURES:
        return None
    return RateLimitedError("Too many codes that did not fit.", retry_after=max(1, seconds))


def _name(tenant_id: str, user_id: str) -> str:
    # Hashed, because a player's id may be long, and hold anything.
    digest = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return key("coupon_failures", tenant_id, digest)
