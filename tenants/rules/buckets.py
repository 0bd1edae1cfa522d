"""The arithmetic of token buckets and of the blocks of tokens that a process holds."""

import math
from dataclasses import dataclass

from tenants.constants import LEASE_SECONDS, LEASE_SHARE, LIMIT_WINDOW_SECONDS, MAX_LEASE_TOKENS
from tenants.types import LimitVerdict


@dataclass(slots=True)
class Lease:
    """Tokens of one bucket that this process took ahead of time.

    ``until`` is on the monotonic clock. ``used`` counts what was served since the last block was
    taken. While ``is_asking``, somebody is on the way for a new block and nobody else asks for one.
    """

    tokens: int = 0
    used: int = 0
    until: float = 0.0
    shared: int = 0
    reset_at: int = 0
    is_asking: bool = False

    def take(self, cost: int, *, limit: int) -> LimitVerdict:
        """Serve ``cost`` from the block, which must hold it and be alive."""
        self.tokens -= cost
        self.used += cost
        return LimitVerdict(
            allowed=True,
            limit=limit,
            remaining=self.shared + self.tokens,
            reset_at=self.reset_at,
            retry_after=0,
        )

    def give_back(self) -> int:
        """Return the tokens that were not used and forget them."""
        left, self.tokens = self.tokens, 0
        return left

    def wanted(self, limit: int, *, now: float) -> int:
        """Return how many tokens to ask for beyond the present request.

        It doubles while blocks are used up within their life and shrinks to twice the use
        otherwise, so that a process that sends little takes little.
        """
        largest = largest_block(limit)
        is_used_up = now < self.until
        grown = max(4, 2 * self.used) if is_used_up else 2 * self.used
        return min(largest, grown)

    def refill(self, tokens: int, *, cost: int, now: float) -> None:
        """Begin a new block after serving ``cost``; ``now`` is from before the bucket was asked."""
        self.tokens, self.used, self.until = tokens, cost, now + LEASE_SECONDS


def largest_block(limit: int) -> int:
    """Return how many tokens of a bucket a process may hold: none of a small one."""
    return min(MAX_LEASE_TOKENS, limit // LEASE_SHARE) if limit >= 2 * LEASE_SHARE else 0


def tokens_per_second(limit: int) -> float:
    """Return how fast a bucket of ``limit`` per minute fills."""
    return limit / LIMIT_WINDOW_SECONDS


def reset_second(now: float, *, tokens: float, limit: int) -> int:
    """Return the Unix second at which a bucket that holds ``tokens`` is full again."""
    return math.ceil(now + (limit - tokens) / tokens_per_second(limit))


def seconds_until(cost: int, *, tokens: float, limit: int) -> int:
    """Return the whole seconds until ``cost`` tokens are there: at least 1.

    More than the bucket ever holds can not be waited for; the time to a full bucket stands in.
    """
    missing = min(cost, limit) - tokens
    return max(1, math.ceil(missing / tokens_per_second(limit)))


def limit_headers(verdict: LimitVerdict) -> dict[str, str]:
    """Return the headers of spec 00 section 5."""
    headers = {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": str(verdict.reset_at),
    }
    if not verdict.allowed:
        headers["Retry-After"] = str(verdict.retry_after)
    return headers
