"""The rank index in Redis or Valkey: its keys, its scripts and what they answer.

Four keys per window, of one hash slot: ``meta`` (layout, generation, epoch, counts and a version
per shard), ``entries`` (a sorted set, best first), ``players`` (each player's half of the member)
and ``scores`` (distinct scores, kept for dense ranks only). It can be dropped at any time.
``services.index`` writes it; here it is read. A question is one script, so that epoch, versions
and rows of an answer belong to one instant.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgpack
from redis.commands.core import Script
from redis.exceptions import NoScriptError

from leaderboards.rules.ranking import index_score
from leaderboards.types import BoardView, Method, Moment, TiePolicy
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_redis, key
from phoenix_site.common.round_trips import call_redis

__all__ = [
    "Reply",
    "Versions",
    "aread",
    "index_bounds",
    "index_key",
    "index_keys",
    "index_layout",
    "load_script",
    "parse_reply",
    "read",
]

log = get_logger(__name__)

_FOLDER: Final = Path(__file__).parent.parent / "index_scripts"
_SHARD_FIELD: Final = b"shard:"
_READ_PARTS: Final = ("whole", "reading")


@dataclass(frozen=True, slots=True)
class Versions:
    """How far standings have come: rebuilds of the window, and changes per shard."""

    generation: int
    by_shard: dict[int, int]

    @property
    def sequence(self) -> int:
        """Return the one number that grows with every change of any shard."""
        return sum(self.by_shard.values())

    def has_all_of(self, other: "Versions") -> bool:
        """Whether everything that ``other`` has seen is in here too."""
        return self.generation == other.generation and all(
            self.by_shard.get(shard, 0) >= version for shard, version in other.by_shard.items()
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a script answered: when, how many players are ranked, and its own values."""

    moment: Moment
    versions: Versions
    total_players: int
    values: list[Any]


@functools.lru_cache(maxsize=4096)
def index_keys(window_id: UUID) -> tuple[str, ...]:
    """Return the keys of meta, entries, players and scores, in the order scripts expect."""
    return tuple(index_key(window_id, name) for name in ("meta", "entries", "players", "scores"))


def index_key(window_id: UUID, *name: object) -> str:
    """Return a key of the window; the braces keep all of a window in one slot of a cluster."""
    return key("standings", f"{{{window_id.hex}}}", *name)


def index_layout(method: Method, tie_policy: TiePolicy) -> str:
    """Return how an index is laid out: one of another layout answers other questions."""
    return f"{method}.dense" if tie_policy == "dense" else method


def index_bounds(view: BoardView) -> tuple[int, int]:
    """Return the bounds of ranked scores as the index counts, where smaller is better."""
    worst, best = index_score(view.lowest, view.method), index_score(view.highest, view.method)
    return (best, worst) if view.method == "score_desc" else (worst, best)


@functools.cache
def load_script(*parts: str) -> Script:
    """Return the script made of the files ``parts``, in this order."""
    text = "\n".join((_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in parts)
    return Script(get_redis(), text)


def read(window_id: UUID, view: BoardView, question: str, args: Iterable[Any]) -> Reply | None:
    """Ask the index of a window; ``None`` when it is not there, whole, or cannot be reached."""
    script = load_script(*_READ_PARTS, question)
    try:
        packed = script(index_keys(window_id), _arguments(view, args), client=get_redis())
    except (RedisError, OSError) as exc:
        log.warning("index.unread", window=window_id.hex, error=type(exc).__name__)
        return None
    return parse_reply(packed)


async def aread(
    window_id: UUID, view: BoardView, question: str, args: Iterable[Any]
) -> Reply | None:
    """Do what ``read`` does, from an event loop."""
    script = load_script(*_READ_PARTS, question)
    keys_and_args = (*index_keys(window_id), *_arguments(view, args))
    try:
        try:
            packed = await call_redis("EVALSHA", script.sha, 4, *keys_and_args)
        except NoScriptError:
            packed = await call_redis("EVAL", script.script, 4, *keys_and_args)
    except (RedisError, OSError) as exc:
        log.warning("index.unread", window=window_id.hex, error=type(exc).__name__)
        return None
    return parse_reply(packed)


def _arguments(view: BoardView, args: Iterable[Any]) -> Sequence[Any]:
    low, high = index_bounds(view)
    return index_layout(view.method, view.tie_policy), low, high, view.tie_policy, *args


def parse_reply(packed: bytes | None) -> Reply | None:
    """Return what a script packed, ``None`` if it found no whole index."""
    if packed is None:
        return None
    # Packed into one value by the script: reading a thousand single ones takes ten times as long.
    meta, total_players, *values = msgpack.unpackb(packed, raw=True)
    moment, versions = _read_meta(tuple(meta))
    return Reply(moment, versions, total_players, values)


@functools.lru_cache(maxsize=1024)
def _read_meta(meta: tuple[bytes, ...]) -> tuple[Moment, Versions]:
    """Return what the index says of itself; it says the same until a batch changes it."""
    fields = dict(zip(meta[::2], meta[1::2], strict=True))
    by_shard = {
        int(name.removeprefix(_SHARD_FIELD)): int(version)
        for name, version in fields.items()
        if name.startswith(_SHARD_FIELD)
    }
    versions = Versions(int(fields[b"generation"]), by_shard)
    return Moment(fields[b"epoch"].decode(), versions.sequence), versions
