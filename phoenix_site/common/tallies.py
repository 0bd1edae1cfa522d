"""Counts for people to watch: what happened per tenant, in steps of ten seconds.

A count is added in memory and written to Redis at most once a second, so that hot paths pay nothing
for it. Counts are for dashboards only: losing some loses nothing else.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from phoenix_site.common.lifecycle import on_shutdown
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_async_redis, get_redis, key

log = get_logger(__name__)

STEP_SECONDS = 10
_KEPT_SECONDS = 2 * 3600
_FLUSH_SECONDS = 1.0
_SEPARATOR = "|"

_pending: dict[tuple[int, str], int] = defaultdict(int)
_flush_is_scheduled = False


@dataclass(frozen=True, slots=True)
class TallyStep:
    """Ten seconds: when they began (Unix seconds) and the counts by (tenant, name)."""

    began_at: int
    counts: Mapping[tuple[str, str], int]


def add(tenant_id: str, name: str, count: int = 1) -> None:
    """Count ``name`` (such as ``events.accepted``) for a tenant."""
    if count:
        step = int(time.time()) // STEP_SECONDS * STEP_SECONDS
        _pending[(step, f"{tenant_id}{_SEPARATOR}{name}")] += count
        _schedule()


def _schedule() -> None:
    global _flush_is_scheduled
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        flush()
        return
    if not _flush_is_scheduled:
        _flush_is_scheduled = True
        on_shutdown(aflush)
        loop.call_later(_FLUSH_SECONDS, lambda: loop.create_task(aflush()))


def _taken() -> list[tuple[str, str, int]]:
    rows = [(key("tally", step), field, count) for (step, field), count in _pending.items()]
    _pending.clear()
    return rows


def flush() -> None:
    """Write what was counted, from code without an event loop."""
    try:
        with get_redis().pipeline(transaction=False) as pipe:
            for name, field, count in _taken():
                pipe.hincrby(name, field, count)
                pipe.expire(name, _KEPT_SECONDS)
            pipe.execute()
    except RedisError as exc:
        log.debug("tally.lost", error=type(exc).__name__)


async def aflush() -> None:
    """Write what was counted, from an event loop."""
    global _flush_is_scheduled
    _flush_is_scheduled = False
    rows = _taken()
    if not rows:
        return
    try:
        async with get_async_redis().pipeline(transaction=False) as pipe:
            for name, field, count in rows:
                pipe.hincrby(name, field, count)
                pipe.expire(name, _KEPT_SECONDS)
            await pipe.execute()
    except RedisError as exc:
        log.debug("tally.lost", error=type(exc).__name__)


def recent(
    seconds: int,
    *,
    now: float,
    tenant_ids: Iterable[str] | None = None,
    with_running: bool = False,
) -> list[TallyStep]:
    """Return the finished steps of the last ``seconds``, oldest first, for some or all tenants.

    ``with_running`` adds the step of ``now``, which is still being counted.
    Raises: ``RedisError`` when Redis is away.
    """
    last = int(now) // STEP_SECONDS * STEP_SECONDS
    steps = list(range(last - seconds, last + STEP_SECONDS * with_running, STEP_SECONDS))
    wanted = None if tenant_ids is None else frozenset(tenant_ids)
    with get_redis().pipeline(transaction=False) as pipe:
        for step in steps:
            pipe.hgetall(key("tally", step))
        answers = pipe.execute()
    return [
        TallyStep(step, _parse(answer, wanted)) for step, answer in zip(steps, answers, strict=True)
    ]


def _parse(
    answer: Mapping[bytes, bytes], wanted: frozenset[str] | None
) -> dict[tuple[str, str], int]:
    counts = {}
    for field, count in answer.items():
        tenant_id, _, name = field.decode().partition(_SEPARATOR)
        if wanted is None or tenant_id in wanted:
            counts[(tenant_id, name)] = int(count)
    return counts
