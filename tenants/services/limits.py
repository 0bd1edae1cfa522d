"""Rate limits: token buckets in Redis, shared by all processes (00 section 5).

Time is the server's. Processes take blocks of tokens ahead of time on the async entrance, so that
most requests need no round trip; a block lives one second and what it leaves is given back. The
bucket counts blocks that may still be in use against its capacity, so the shared limit holds.

If Redis is unreachable, requests pass and that is logged.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoScriptError

from phoenix_site.common.exceptions import RateLimitedError
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_redis, key
from phoenix_site.common.round_trips import call_redis
from tenants.constants import (
    ADMIN,
    INGESTION,
    LEASE_SECONDS,
    LIMIT_WINDOW_SECONDS,
    LIMITS_PER_MINUTE,
    QUERY_PLAYER,
    QUERY_TENANT,
    REDIS_PAUSE_SECONDS,
)
from tenants.rules import buckets
from tenants.rules.buckets import Lease
from tenants.services import snapshots
from tenants.types import Caller, LimitVerdict, TenantSettings

log = get_logger(__name__)

_MAX_LEASES = 20_000

# KEYS: the buckets. ARGV per bucket: capacity, tokens per second, cost, tokens wanted beyond it,
# tokens given back; at the end the life of a block. All buckets pay, or none.
# Fields: t tokens, a time of the last visit, s time slot, c and p tokens in blocks taken in this
# slot and the one before: they may still be in use, so the bucket does not fill up over them.
_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local life = tonumber(ARGV[#ARGV])
local slot = math.floor(now / life)
local buckets, allowed = {}, 1
for i, name in ipairs(KEYS) do
  local base = (i - 1) * 5
  local b = {cap = tonumber(ARGV[base + 1]), rate = tonumber(ARGV[base + 2]),
             cost = tonumber(ARGV[base + 3]), want = tonumber(ARGV[base + 4])}
  local h = redis.call('HMGET', name, 't', 'a', 's', 'c', 'p')
  local tokens, at = tonumber(h[1]) or b.cap, tonumber(h[2]) or now
  local last = tonumber(h[3]) or slot
  b.cur, b.prev = tonumber(h[4]) or 0, tonumber(h[5]) or 0
  if slot == last + 1 then b.prev, b.cur = b.cur, 0
  elseif slot > last + 1 then b.prev, b.cur = 0, 0 end
  tokens = tokens + math.max(0, now - at) * b.rate + tonumber(ARGV[base + 5])
  b.tokens = math.min(tokens, math.max(0, b.cap - b.cur - b.prev))
  if b.tokens < b.cost then allowed = 0 end
  buckets[i] = b
end
local answer = {allowed, string.format('%.6f', now)}
for i, name in ipairs(KEYS) do
  local b, block = buckets[i], 0
  if allowed == 1 then
    b.tokens = b.tokens - b.cost
    block = math.min(b.want, math.floor(b.tokens))
    b.tokens = b.tokens - block
    b.cur = b.cur + block
  end
  redis.call('HSET', name, 't', string.format('%.6f', b.tokens), 'a', string.format('%.6f', now),
             's', slot, 'c', b.cur, 'p', b.prev)
  redis.call('PEXPIRE', name, math.ceil(1000 * (b.cap / b.rate + 3 * life)))
  answer[#answer + 1] = block
  answer[#answer + 1] = string.format('%.6f', b.tokens)
end
return answer
"""
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Take:
    """``cost`` tokens of one bucket: that of ``bucket`` in the class ``limit_class``."""

    limit_class: str
    tenant_id: str | None
    bucket: str
    cost: int = 1


@dataclass(frozen=True, slots=True)
class _Ask:
    """One bucket's part of a round trip; ``is_asking`` when it may bring back a new block."""

    take: Take
    limit: int
    block: int = 0
    given_back: int = 0
    is_asking: bool = False


class _Pause:
    """After Redis failed, limits pass unchecked for a moment."""

    until = 0.0


_leases: dict[tuple[str, str | None, str], Lease] = {}


def take(limit_class: str, tenant_id: str | None, bucket: str, *, cost: int = 1) -> LimitVerdict:
    """Take ``cost`` tokens from the bucket of ``bucket`` in ``limit_class``; exact."""
    return take_all(Take(limit_class, tenant_id, bucket, cost))


def take_all(*takes: Take) -> LimitVerdict:
    """Take from all buckets or from none; answer for the first, or for the one that refused."""
    asks = [_Ask(each, limit_of(each, snapshots.find_settings(each.tenant_id))) for each in takes]
    if time.monotonic() < _Pause.until:
        return _unchecked(asks)
    try:
        answer = _run_script(asks)
    except (RedisError, OSError) as exc:
        return _failed(asks, exc)
    return _verdict(asks, answer)


async def atake(
    limit_class: str, tenant_id: str | None, bucket: str, *, cost: int = 1
) -> LimitVerdict:
    """Take ``cost`` tokens, usually from a block that this process holds already."""
    return await atake_all(Take(limit_class, tenant_id, bucket, cost))


async def atake_all(*takes: Take) -> LimitVerdict:
    """Take from all buckets or from none, with one round trip at most."""
    now = time.monotonic()
    limits = [limit_of(each, await snapshots.afind_settings(each.tenant_id)) for each in takes]
    leases = [_lease(each) for each in takes]
    served = _take_from_leases(takes, limits, leases, now)
    if served is not None:
        return served
    if now < _Pause.until:
        return _unchecked([_Ask(each, limit) for each, limit in zip(takes, limits, strict=True)])
    asks = [
        _ask_for_block(each, limit, lease, now)
        for each, limit, lease in zip(takes, limits, leases, strict=True)
    ]
    try:
        answer = await _arun_script(asks)
        _fill_leases(asks, leases, answer, now)
    except (RedisError, OSError) as exc:
        return _failed(asks, exc)
    finally:
        for ask, lease in zip(asks, leases, strict=True):
            lease.is_asking = lease.is_asking and not ask.is_asking
    return _verdict(asks, answer, held=[lease.tokens for lease in leases])


def admin_take(caller: Caller) -> Take:
    """Return the bucket of a request to the admin gateway: one per key or staff member."""
    reached = caller.tenant_ids or frozenset()
    return Take(ADMIN, min(reached) if len(reached) == 1 else None, caller.actor_id)


def query_takes(caller: Caller) -> tuple[Take, Take]:
    """Return the buckets of a player's request: the player's own and the tenant's."""
    tenant_id = caller.tenant_id or ""
    player = Take(QUERY_PLAYER, tenant_id, caller.user_id or "")
    return player, Take(QUERY_TENANT, tenant_id, tenant_id)


def ingestion_take(caller: Caller, *, cost: int = 1) -> Take:
    """Return the bucket of events: one per tenant."""
    tenant_id = caller.tenant_id or ""
    return Take(INGESTION, tenant_id, tenant_id, cost)


def enforce(verdict: LimitVerdict) -> dict[str, str]:
    """Return the headers of an allowed request. Raises: ``RateLimitedError`` for a refused one."""
    if not verdict.allowed:
        raise RateLimitedError(
            f"Too many requests: the limit is {verdict.limit} per minute.",
            retry_after=verdict.retry_after,
            headers=headers(verdict),
        )
    return headers(verdict)


def headers(verdict: LimitVerdict) -> dict[str, str]:
    """Return ``X-RateLimit-…`` and, when refused, ``Retry-After``."""
    return buckets.limit_headers(verdict)


def limit_of(each: Take, settings: TenantSettings | None) -> int:
    """Return the limit per minute that holds for this bucket."""
    if settings is not None and each.limit_class in settings.limits:
        return settings.limits[each.limit_class]
    return LIMITS_PER_MINUTE[each.limit_class]


def forget_leases() -> None:
    """Drop every block that this process holds and any pause after a failure."""
    _leases.clear()
    _Pause.until = 0.0


def _bucket_key(each: Take) -> str:
    # Hash-tagged per tenant, so that the buckets of one request live on one node of a cluster.
    return key("limit", f"{{{each.tenant_id or each.bucket}}}", each.limit_class, each.bucket)


def _arguments(asks: Sequence[_Ask]) -> tuple[list[str], list[str]]:
    names = [_bucket_key(ask.take) for ask in asks]
    values: list[str] = []
    for ask in asks:
        rate = buckets.tokens_per_second(ask.limit)
        numbers = (ask.limit, rate, ask.take.cost, ask.block, ask.given_back)
        values += [str(number) for number in numbers]
    return names, [*values, str(LEASE_SECONDS)]


def _run_script(asks: Sequence[_Ask]) -> list[Any]:
    names, values = _arguments(asks)
    client: Any = get_redis()
    try:
        answer = client.evalsha(_SHA, len(names), *names, *values)
    except NoScriptError:
        answer = client.eval(_SCRIPT, len(names), *names, *values)
    return list(answer)


async def _arun_script(asks: Sequence[_Ask]) -> list[Any]:
    names, values = _arguments(asks)
    try:
        answer = await call_redis("EVALSHA", _SHA, len(names), *names, *values)
    except NoScriptError:
        answer = await call_redis("EVAL", _SCRIPT, len(names), *names, *values)
    return list(answer)


def _verdict(
    asks: Sequence[_Ask], answer: Sequence[Any], *, held: Sequence[int] = ()
) -> LimitVerdict:
    """Return the first bucket's verdict, or that of the first bucket that has too little.

    ``held`` are the tokens that this process has in blocks; they are remaining ones, too.
    """
    is_allowed, now = int(answer[0]) == 1, float(answer[1])
    left = [float(answer[3 + 2 * place]) for place in range(len(asks))]
    short = (place for place, ask in enumerate(asks) if left[place] < ask.take.cost)
    place = 0 if is_allowed else next(short, 0)
    ask, tokens = asks[place], left[place]
    wait = buckets.seconds_until(ask.take.cost, tokens=tokens, limit=ask.limit)
    return LimitVerdict(
        allowed=is_allowed,
        limit=ask.limit,
        remaining=int(tokens) + (held[place] if held else 0),
        reset_at=buckets.reset_second(now, tokens=tokens, limit=ask.limit),
        retry_after=0 if is_allowed else wait,
    )


def _failed(asks: Sequence[_Ask], error: Exception) -> LimitVerdict:
    _Pause.until = time.monotonic() + REDIS_PAUSE_SECONDS
    log.warning("limits.unchecked", error=type(error).__name__)
    return _unchecked(asks)


def _unchecked(asks: Sequence[_Ask]) -> LimitVerdict:
    limit = asks[0].limit
    reset_at = int(time.time()) + LIMIT_WINDOW_SECONDS
    return LimitVerdict(
        allowed=True, limit=limit, remaining=limit, reset_at=reset_at, retry_after=0
    )


# --- Blocks of tokens that this process holds ----------------------------------------------------


def _lease(each: Take) -> Lease:
    name = (each.limit_class, each.tenant_id, each.bucket)
    lease = _leases.get(name)
    if lease is None:
        if len(_leases) >= _MAX_LEASES:
            _drop_old_leases()
        lease = _leases[name] = Lease()
    return lease


def _drop_old_leases() -> None:
    now = time.monotonic()
    for name in [name for name, lease in _leases.items() if lease.until <= now]:
        del _leases[name]
    if len(_leases) >= _MAX_LEASES:
        _leases.clear()


def _take_from_leases(
    takes: Sequence[Take], limits: Sequence[int], leases: Sequence[Lease], now: float
) -> LimitVerdict | None:
    """Serve the request from blocks alone, or touch nothing and return ``None``."""
    for each, lease in zip(takes, leases, strict=True):
        if lease.tokens < each.cost or now >= lease.until:
            return None
    verdicts = [
        lease.take(each.cost, limit=limit)
        for each, limit, lease in zip(takes, limits, leases, strict=True)
    ]
    return verdicts[0]


def _ask_for_block(each: Take, limit: int, lease: Lease, now: float) -> _Ask:
    if lease.is_asking:
        return _Ask(each, limit)
    lease.is_asking = True
    block = lease.wanted(limit, now=now)
    return _Ask(each, limit, block, lease.give_back(), is_asking=True)


def _fill_leases(
    asks: Sequence[_Ask], leases: Sequence[Lease], answer: Sequence[Any], now: float
) -> None:
    server_now = float(answer[1])
    for place, (ask, lease) in enumerate(zip(asks, leases, strict=True)):
        block, tokens = int(answer[2 + 2 * place]), float(answer[3 + 2 * place])
        lease.shared = int(tokens)
        lease.reset_at = buckets.reset_second(server_now, tokens=tokens, limit=ask.limit)
        if ask.is_asking:
            lease.refill(block, cost=ask.take.cost, now=now)
        else:
            lease.used += ask.take.cost
