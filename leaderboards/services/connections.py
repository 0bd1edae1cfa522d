"""How many live connections a player and a tenant have, over all web processes.

A connection is a member that lapses unless its process renews it, so a crash heals itself. Redis
out of reach limits nobody, as with every limit.
"""

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from phoenix_site.common.exceptions import RateLimitedError
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_async_redis, key

log = get_logger(__name__)

RENEW_SECONDS: Final = 30
LAPSE_SECONDS: Final = 90
_RENEWED_AT_ONCE: Final = 500

# KEYS: of the player, of the tenant.  ARGV: connection, lapse s, limit of player, of tenant.
_COUNT_IN: Final = """
local now = tonumber(redis.call('TIME')[1])
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZCARD', key) >= tonumber(ARGV[2 + i]) then
    return i
  end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[2], ARGV[1])
  redis.call('EXPIRE', key, ARGV[2])
end
return 0
"""
# KEYS: of the player, of the tenant.  ARGV: connection, lapse s.
_RENEW: Final = """
local now = tonumber(redis.call('TIME')[1])
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[2], ARGV[1])
  redis.call('EXPIRE', key, ARGV[2])
end
"""
_REFUSALS: Final = ("The player has", "The tenant has")


@dataclass(frozen=True, slots=True)
class Seat:
    """A connection that counts: its own id, and whose it is."""

    connection_id: str
    tenant_id: str
    user_id: str

    @property
    def keys(self) -> list[str]:
        """Return the two sets in which it counts; both lie in one slot of a cluster."""
        prefix = f"{{t:{self.tenant_id}}}"
        return [key(prefix, "sockets", "player", self.user_id), key(prefix, "sockets")]


async def take_seat(seat: Seat, *, player_limit: int, tenant_limit: int) -> None:
    """Count a connection in. Raises: ``RateLimitedError`` when it would be one too many."""
    limits = (player_limit, tenant_limit)
    try:
        answer = get_async_redis().eval(
            _COUNT_IN, 2, *seat.keys, seat.connection_id, LAPSE_SECONDS, *limits
        )
        refused_by = await cast(Awaitable[int], answer)
    except RedisError as exc:
        log.warning("connections.not_counted", error=type(exc).__name__)
        return
    if refused_by:
        whose, limit = _REFUSALS[refused_by - 1], limits[refused_by - 1]
        raise RateLimitedError(f"{whose} {limit} connections already.", retry_after=LAPSE_SECONDS)


async def leave_seat(seat: Seat) -> None:
    """Count a connection out; what cannot be said now lapses by itself."""
    try:
        async with get_async_redis().pipeline(transaction=False) as pipe:
            for name in seat.keys:
                pipe.zrem(name, seat.connection_id)
            await pipe.execute()
    except RedisError as exc:
        log.warning("connections.not_counted_out", error=type(exc).__name__)


async def renew_seats(seats: Iterable[Seat]) -> None:
    """Say that these connections are still there."""
    waiting = list(seats)
    try:
        for start in range(0, len(waiting), _RENEWED_AT_ONCE):
            await _renew(waiting[start : start + _RENEWED_AT_ONCE])
    except RedisError as exc:
        log.warning("connections.not_renewed", error=type(exc).__name__)


async def _renew(seats: Sequence[Seat]) -> None:
    async with get_async_redis().pipeline(transaction=False) as pipe:
        for seat in seats:
            _add_script(pipe, seat)
        await pipe.execute()


def _add_script(pipe: Any, seat: Seat) -> None:
    pipe.eval(_RENEW, 2, *seat.keys, seat.connection_id, LAPSE_SECONDS)
