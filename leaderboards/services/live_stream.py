"""The stream of a window's default view, shared by all web processes through Redis.

One process at a time holds the *lease* of a window and publishes: it appends each change to a short
log, together with the state after it. The state is where other processes begin, the log what a
client missed. Whoever lost the lease cannot append, however late it notices. All of it can be lost:
the next publisher then starts from the standings.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from leaderboards.rules.live import StreamFrame, ViewState, read_state, state_fields
from phoenix_site.common.json import decode, encode
from phoenix_site.common.redis import get_async_redis, key

# How long a publisher that died keeps others from taking over.
LEASE_MILLISECONDS: Final = 2000
KEPT_FRAMES: Final = 200
KEPT_MILLISECONDS: Final = 300_000

# KEYS: lease, state, log.  ARGV: holder, lease ms, kept ms.  Takes or renews the lease if it can.
_HOLD: Final = """
local holder = redis.call('GET', KEYS[1])
local is_held = (not holder) or holder == ARGV[1]
if is_held then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
local at = redis.call('HMGET', KEYS[2], 'epoch', 'sequence')
return {is_held and 1 or 0, at[1], at[2]}
"""
# KEYS: lease.  ARGV: holder.
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
"""
# KEYS: lease, state, log.  ARGV: holder, epoch, sequence, state, frame, kept frames, kept ms.
_APPEND: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[2], 'epoch', ARGV[2], 'sequence', ARGV[3], 'state', ARGV[4])
redis.call('RPUSH', KEYS[3], ARGV[5])
redis.call('LTRIM', KEYS[3], -ARGV[6], -1)
redis.call('PEXPIRE', KEYS[2], ARGV[7])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
return 1
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """Whether the asking process may publish, and where the stream stands (empty: nowhere)."""

    is_held: bool
    epoch: str
    sequence: int


async def hold_lease(window_id: UUID, *, holder: str) -> Lease:
    """Take or renew the lease unless another process holds it. Raises: ``RedisError``."""
    arguments = (holder, LEASE_MILLISECONDS, KEPT_MILLISECONDS)
    is_held, epoch, sequence = await _run(_HOLD, _keys(window_id), *arguments)
    return Lease(bool(is_held), (epoch or b"").decode(), int(sequence or 0))


async def release_lease(window_id: UUID, *, holder: str) -> None:
    """Let another process publish at once. Raises: ``RedisError``."""
    await _run(_RELEASE, _keys(window_id)[:1], holder)


async def append_frame(
    window_id: UUID, frame: StreamFrame, state: ViewState, *, holder: str
) -> bool:
    """Keep ``frame`` and the ``state`` after it; false when the lease was lost.

    Raises: ``RedisError``.
    """
    kept = await _run(
        _APPEND,
        _keys(window_id),
        holder,
        frame.epoch,
        frame.sequence,
        encode(state_fields(state)),
        _packed(frame),
        KEPT_FRAMES,
        KEPT_MILLISECONDS,
    )
    return bool(kept)


async def find_state(window_id: UUID) -> ViewState | None:
    """Return the newest published state. Raises: ``RedisError``."""
    text = await cast(Awaitable[Any], get_async_redis().hget(_keys(window_id)[1], "state"))
    return None if text is None else read_state(decode(text))


async def kept_frames(window_id: UUID) -> list[StreamFrame]:
    """Return the log, oldest first. Raises: ``RedisError``."""
    items = await cast(Awaitable[Any], get_async_redis().lrange(_keys(window_id)[2], 0, -1))
    return [_unpacked(item) for item in items]


def _keys(window_id: UUID) -> list[str]:
    return [key(f"{{w:{window_id}}}", "live", part) for part in ("lease", "state", "log")]


async def _run(script: str, keys: list[str], *arguments: Any) -> Any:
    answer = get_async_redis().eval(script, len(keys), *keys, *arguments)
    return await cast(Awaitable[Any], answer)


def _packed(frame: StreamFrame) -> bytes:
    """Return a frame for the log, from which only updates are sent again."""
    text = b"" if frame.previous_sequence is None else frame.text
    return encode(frame[:-1]) + b"\n" + text


def _unpacked(item: bytes) -> StreamFrame:
    header, _, text = item.partition(b"\n")
    epoch, previous_sequence, sequence, total_players = decode(header)
    return StreamFrame(epoch, previous_sequence, sequence, total_players, text)
