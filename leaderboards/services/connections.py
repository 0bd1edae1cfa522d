"""How many live connections a player and a tenant have, over all web processes.

A connection is a member that lapses unless its process renews it, so a crash heals itself. Redis
out of reach limits nobody, as with every limit.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from phoenix_site.common.exceptions import RateLimitedError
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_async_redis, get_redis, key
from phoenix_site.common.round_trips import call_redis

log = get_logger(__name__)

RENEW_SECONDS: Final = 30
LAPSE_SECONDS: Final = 90
_SAID_AT_ONCE: Final = 500

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
# KEYS: of the player, of the tenant.  Answers how many count in each.
_COUNT: Final = """
local now = tonumber(redis.call('TIME')[1])
return {redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf'),
        redis.call('ZCOUNT', KEYS[2], '(' .. now, '+inf')}
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
        arguments = (*seat.keys, seat.connection_id, LAPSE_SECONDS, *limits)
        refused_by = int(await call_redis("EVAL", _COUNT_IN, 2, *arguments))
    except (RedisError, OSError) as exc:
        log.warning("connections.not_counted", error=type(exc).__name__)
        return
    if refused_by:
        raise _refusal(refused_by - 1, limits)


def check_seats(tenant_id: str, user_id: str, *, player_limit: int, tenant_limit: int) -> None:
    """Refuse as ``take_seat`` would now: a browser cannot read why its socket was refused.

    Raises: ``RateLimitedError``.
    """
    limits = (player_limit, tenant_limit)
    keys = Seat("", tenant_id, user_id).keys
    try:
        counts = cast(list[int], get_redis().eval(_COUNT, 2, *keys))
    except (RedisError, OSError) as exc:
        log.warning("connections.not_counted", error=type(exc).__name__)
        return
    for place, (count, limit) in enumerate(zip(counts, limits, strict=True)):
        if count >= limit:
            raise _refusal(place, limits)


def _refusal(place: int, limits: tuple[int, int]) -> RateLimitedError:
    message = f"{_REFUSALS[place]} {limits[place]} connections already."
    return RateLimitedError(message, retry_after=LAPSE_SECONDS)


async def leave_seats(seats: Iterable[Seat]) -> None:
    """Count connections out; what cannot be said now lapses by itself."""
    await _say(seats, _add_leaving)


async def renew_seats(seats: Iterable[Seat]) -> None:
    """Say that these connections are still there."""
    await _say(seats, _add_renewal)


async def _say(seats: Iterable[Seat], add: Callable[[Any, Seat], None]) -> None:
    """Send what ``add`` says of each seat, a few hundred in one go and one go at a time.

    A mass disconnect would otherwise ask for a Redis connection per socket.
    """
    waiting = list(seats)
    try:
        for start in range(0, len(waiting), _SAID_AT_ONCE):
            async with get_async_redis().pipeline(transaction=False) as pipe:
                for seat in waiting[start : start + _SAID_AT_ONCE]:
                    add(pipe, seat)
                await pipe.execute()
    except (RedisError, OSError) as exc:
        log.warning("connections.not_said", seats=len(waiting), error=type(exc).__name__)


def _add_leaving(pipe: Any, seat: Seat) -> None:
    for name in seat.keys:
        pipe.zrem(name, seat.connection_id)


def _add_renewal(pipe: Any, seat: Seat) -> None:
    pipe.eval(_RENEW, 2, *seat.keys, seat.connection_id, LAPSE_SECONDS)
