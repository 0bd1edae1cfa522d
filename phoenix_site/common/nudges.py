"""Wake the event consumers after a commit.

A nudge is only a hint: the rows say what is due, and a sweep finds what a lost nudge left behind.
Nudges of one shard are coalesced: while one is waiting to be taken, further ones are not sent.
"""

import asyncio
import weakref
from collections.abc import Iterable

from django.conf import settings
from django.utils.module_loading import import_string

from phoenix_site.common.commits import after_commit
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_async_redis, get_redis, key

log = get_logger(__name__)

# Long enough for a busy queue; a lost message is repeated at the latest after this time.
_WAITING_MILLISECONDS = 2000
# Shards made dirty within this time share one round trip to the broker.
_COALESCE_SECONDS = 0.005
# Under steady load a round trip for every few events would cost more than storing them.
_BUSY_COALESCE_SECONDS = 0.03


def waiting_key(consumer: str, shard: int) -> str:
    """Return the key that says: a nudge for this consumer and shard is under way."""
    return key("nudge", consumer, shard)


def nudge_consumers(shards: Iterable[int]) -> None:
    """Wake every consumer of ``shards`` once the present transaction has committed."""
    chosen = sorted(set(shards))
    if chosen:
        # Not a partial: Django's robust hooks need a name to report a failure by.
        after_commit(send_nudges, chosen)


def send_nudges(shards: Iterable[int], *, consumers: Iterable[str] | None = None) -> None:
    """Send the tasks now; a consumer and shard that has one waiting gets no second."""
    wanted = [(name, s) for name in consumers or settings.PHOENIX_EVENT_CONSUMERS for s in shards]
    try:
        with get_redis().pipeline(transaction=False) as pipe:
            for name, shard in wanted:
                pipe.set(waiting_key(name, shard), b"1", nx=True, px=_WAITING_MILLISECONDS)
            fresh = pipe.execute()
    except (RedisError, OSError) as exc:
        log.warning("nudge.lost", error=type(exc).__name__)
        return
    _send_all([pair for pair, is_new in zip(wanted, fresh, strict=True) if is_new])


def nudge_task(path: str) -> None:
    """Wake the task of this dotted path once the present transaction has committed.

    The task calls ``nudge_taken(path, 0)`` before it reads; a sweep runs it anyway.
    """
    after_commit(_send_task, path)


def _send_task(path: str) -> None:
    try:
        is_fresh = get_redis().set(waiting_key(path, 0), b"1", nx=True, px=_WAITING_MILLISECONDS)
    except (RedisError, OSError) as exc:
        log.warning("nudge.lost", error=type(exc).__name__)
        return
    if is_fresh:
        # What the broker refuses is logged by whoever runs effects of a commit.
        import_string(path).apply_async(retry=False, ignore_result=True)


def nudge_taken(consumer: str, shard: int) -> None:
    """Let later events of ``shard`` send a new nudge; the task calls this before it reads."""
    try:
        get_redis().delete(waiting_key(consumer, shard))
    except RedisError:
        log.warning("nudge.not_taken", consumer=consumer, shard=shard)


def _send(consumer: str, shard: int) -> None:
    task = import_string(settings.PHOENIX_EVENT_CONSUMERS[consumer]["task"])
    # A broker that is away must not hold the caller up: the sweep comes later anyway.
    task.apply_async(args=(shard,), retry=False, ignore_result=True)


class _Nudger:
    """Collects dirty shards of one event loop and sends them from a thread."""

    def __init__(self) -> None:
        self.dirty: set[int] = set()
        self.task: asyncio.Task[None] | None = None

    def add(self, shards: Iterable[int]) -> None:
        self.dirty.update(shards)
        if self.dirty and (self.task is None or self.task.done()):
            self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        pause = _COALESCE_SECONDS
        while self.dirty:
            await asyncio.sleep(pause)
            pause = _BUSY_COALESCE_SECONDS
            shards, self.dirty = sorted(self.dirty), set()
            fresh = await self._not_waiting(shards)
            if fresh:
                await asyncio.to_thread(_send_all, fresh)

    async def _not_waiting(self, shards: list[int]) -> list[tuple[str, int]]:
        wanted = [(name, shard) for name in settings.PHOENIX_EVENT_CONSUMERS for shard in shards]
        try:
            pipe = get_async_redis().pipeline(transaction=False)
            for name, shard in wanted:
                pipe.set(waiting_key(name, shard), b"1", nx=True, px=_WAITING_MILLISECONDS)
            answers = await pipe.execute()
        except (RedisError, OSError) as exc:
            log.warning("nudge.lost", error=type(exc).__name__)
            return []
        return [pair for pair, is_new in zip(wanted, answers, strict=True) if is_new]


def _send_all(pairs: list[tuple[str, int]]) -> None:
    for name, shard in pairs:
        try:
            _send(name, shard)
        # kombu wraps the transport's errors in classes of its own, and the work is done already.
        except Exception as exc:  # noqa: BLE001
            log.warning("nudge.lost", error=type(exc).__name__)


_nudgers: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Nudger]" = (
    weakref.WeakKeyDictionary()
)


def anudge_consumers(shards: Iterable[int]) -> None:
    """Wake the consumers of ``shards`` soon, from a running event loop, after the commit."""
    loop = asyncio.get_running_loop()
    nudger = _nudgers.get(loop)
    if nudger is None:
        nudger = _nudgers[loop] = _Nudger()
    nudger.add(shards)
