"""Keep the rank index in step with the entries.

The index carries the versions of the entries it was made from. A batch applies its changes after
the commit, if the index is exactly one batch behind; else the index is *healed*: it gets the rows
that changed since its version. One that is missing, not whole, or of another generation or order
is *rebuilt* beside the readers and put in place at once, under a new epoch. A sweep does the same
for whatever a crash left behind, so nothing here needs to succeed.
"""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgpack
from redis.commands.core import Script
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from leaderboards import broadcasts
from leaderboards.constants import INDEX_STEP
from leaderboards.rules.ranking import index_member, index_score
from leaderboards.selectors import indexed
from leaderboards.selectors.indexed import IndexSource
from leaderboards.selectors.rank_index import (
    Versions,
    index_key,
    index_keys,
    index_layout,
    load_script,
    parse_reply,
)
from leaderboards.types import IndexedWindow, IndexEntry, Method, ShardChanges
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError, get_redis

log = get_logger(__name__)

# Scripts sent in one go; the server answers others between them.
_SENT_AT_ONCE: Final = 16
# A larger index is left to the sweep, so that scoring does not wait for it.
_REBUILT_BY_BATCHES: Final = 20_000
_PAGE_SIZE: Final = 5000
# How long a builder that died keeps others from starting; every page extends it.
_LOCK_MILLISECONDS: Final = 20_000
_DRAFT_SECONDS: Final = 120
_HEALING_ROUNDS: Final = 5
# A batch that committed just now brings its changes itself.
_IN_FLIGHT_SECONDS: Final = 0.2
# One that hangs must not slow scoring: batches leave it alone for so long. One that refuses costs
# no time, and is often back by the next batch.
_REST_SECONDS: Final = 5.0

_APPLY: Final = ("whole", "apply")
_INSTALL: Final = ("whole", "install")
_VERSIONS: Final = ("whole", "versions")


@dataclass(frozen=True, slots=True)
class _Step:
    """From one version of a shard to a later one."""

    window: IndexedWindow
    shard: int
    before: int
    after: int
    entries: Sequence[IndexEntry]


class _Rest:
    """Until when this process's batches leave the index alone, on the monotonic clock."""

    ends_at = 0.0


_rest: Final = _Rest()


def forget_failure() -> None:
    """Let batches use the index again at once."""
    _rest.ends_at = 0.0


def apply_changes(changes: Iterable[ShardChanges]) -> bool:
    """Bring what a batch wrote into the index; call it after the commit. False without Redis.

    Repeats: harmless. Whatever does not work is left to a later batch or the sweep, which then
    tells those who show the window.
    """
    if time.monotonic() < _rest.ends_at:
        return False
    steps = [step for change in changes for step in _steps_of(change)]
    try:
        answers = _run(steps)
        pairs = list(zip(steps, answers, strict=True))
        missing = {step.window.id for step, answer in pairs if answer == b"missing"}
        behind = {step.window.id for step, answer in pairs if answer == b"behind"}
        for window_id in sorted(missing):
            rebuild_index(window_id, at_most=_REBUILT_BY_BATCHES)
        for window_id in sorted(behind - missing):
            heal_index(window_id)
    except (RedisError, OSError) as exc:
        if isinstance(exc, RedisTimeoutError):
            _rest.ends_at = time.monotonic() + _REST_SECONDS
        log.warning("index.not_updated", steps=len(steps), error=type(exc).__name__)
        return False
    return True


def _steps_of(changes: ShardChanges) -> Iterator[_Step]:
    """Cut changes into steps that the index takes one by one, each with a version of its own.

    A batch has as many versions as steps. What healing found may span more: those are skipped.
    """
    window, shard, entries = changes.window, changes.shard, changes.entries
    needed = max(1, -(-len(entries) // INDEX_STEP))
    last = min(needed, changes.after - changes.before) - 1
    for number in range(last):
        part = entries[number * INDEX_STEP : (number + 1) * INDEX_STEP]
        version = changes.before + number
        yield _Step(window, shard, version, version + 1, part)
    rest = entries[last * INDEX_STEP :]
    yield _Step(window, shard, changes.before + last, changes.after, rest)


def _run(steps: Sequence[_Step]) -> list[bytes]:
    """Run the steps in order and return what each answered. Raises: ``RedisError``."""
    answers: list[bytes] = []
    for start in range(0, len(steps), _SENT_AT_ONCE):
        calls = [_call(step) for step in steps[start : start + _SENT_AT_ONCE]]
        answers += _call_script(load_script(*_APPLY), calls)
    return answers


def _call(step: _Step) -> list[Any]:
    layout = index_layout(step.window.method, step.window.tie_policy)
    position = (step.window.generation, step.shard, step.before, step.after)
    packed = msgpack.packb(_filed(step.entries, step.window.method), use_bin_type=False)
    return [*index_keys(step.window.id), layout, *position, packed]


def _filed(entries: Sequence[IndexEntry], method: Method) -> list[bytes]:
    filed: list[bytes] = []
    for external_id, reached_at, score in entries:
        member = index_member(reached_at, external_id)
        filed += (member[8:], member[:8], b"%d" % index_score(score, method))
    return filed


def _call_script(script: Script, calls: Sequence[Sequence[Any]]) -> list[Any]:
    """Run a script of the four index keys once per call, in one round trip."""
    answers = _send(script, calls)
    if any(isinstance(answer, NoScriptError) for answer in answers):
        get_redis().script_load(script.script)
        answers = _send(script, calls)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _send(script: Script, calls: Sequence[Sequence[Any]]) -> list[Any]:
    with get_redis().pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.evalsha(script.sha, 4, *call)
        return pipe.execute(raise_on_error=False)


# --- Healing -------------------------------------------------------------------------------------


def heal_index(window_id: UUID) -> bool:
    """Bring the index of a window up to date; return whether it is.

    Repeats: harmless, also beside batches: every step checks the version it starts from.
    Raises: ``RedisError``.
    """
    for _ in range(_HEALING_ROUNDS):
        source = indexed.find_index_source(window_id)
        if source is None:
            return False
        at = _index_versions([source.window])[0]
        if at is None or at.generation != source.versions.generation:
            return rebuild_index(window_id)
        if at.has_all_of(source.versions):
            return True
        _heal_shards(source, at)
    return False


def _heal_shards(source: IndexSource, at: Versions) -> None:
    window = source.window
    for shard, version in sorted(source.versions.by_shard.items()):
        before = at.by_shard.get(shard, 0)
        if before < version:
            # Read after the versions: it has at least what they promise.
            entries = indexed.entries_changed_since(window.id, shard, before)
            _run(list(_steps_of(ShardChanges(window, shard, before, version, entries))))
            log.info("index.healed", window=window.id.hex, shard=shard, entries=len(entries))


def sweep_indexes() -> int:
    """Heal or rebuild the index of every scored window that lacks something; return how many.

    It finds what a crash, an outage or a flush left behind, and tells those who show a window.
    """
    try:
        lacking = _lacking(indexed.index_sources_across_tenants())
        if lacking:
            time.sleep(_IN_FLIGHT_SECONDS)
        healed = [source.window.id for source in _lacking(lacking) if heal_index(source.window.id)]
    except (RedisError, OSError) as exc:
        log.warning("index.not_swept", error=type(exc).__name__)
        return 0
    broadcasts.mark_dirty(healed)
    return len(healed)


def _lacking(sources: list[IndexSource]) -> list[IndexSource]:
    """Return those whose index is missing or behind what the database held when they were read."""
    at = _index_versions([source.window for source in sources])
    return [
        source
        for source, versions in zip(sources, at, strict=True)
        if versions is None or not versions.has_all_of(source.versions)
    ]


def _index_versions(windows: Sequence[IndexedWindow]) -> list[Versions | None]:
    calls = [
        [*index_keys(window.id), index_layout(window.method, window.tie_policy)]
        for window in windows
    ]
    replies = [parse_reply(packed) for packed in _call_script(load_script(*_VERSIONS), calls)]
    return [None if reply is None else reply.versions for reply in replies]


# --- Rebuilding ----------------------------------------------------------------------------------


def rebuild_index(window_id: UUID, *, at_most: int | None = None) -> bool:
    """Make the index of a window anew, under a new epoch; return whether that was done.

    It is not while another process is at it, without entries, and with more than ``at_most``.
    Batches that commit meanwhile lose nothing: the new index is healed in the end.

    Locks: the window's key ``building``, for a while only, in case the builder dies.
    Raises: ``RedisError``.
    """
    lock, token = index_key(window_id, "building"), secrets.token_hex(8)
    if not get_redis().set(lock, token, nx=True, px=_LOCK_MILLISECONDS):
        return False
    try:
        if at_most is not None and indexed.has_more_entries_than(window_id, at_most):
            return False
        source = indexed.find_index_source(window_id)
        is_built = source is not None and _build(source, token)
    finally:
        load_script("release")([lock], [token], client=get_redis())
    if is_built:
        log.info("index.rebuilt", window=window_id.hex)
        _catch_up(window_id)
    return is_built


def renew_index(window_id: UUID) -> None:
    """Begin a new index for a window whose entries were computed anew; a large one comes later."""
    drop_index(window_id)
    try:
        rebuild_index(window_id, at_most=_REBUILT_BY_BATCHES)
    except (RedisError, OSError) as exc:
        log.warning("index.not_renewed", window=window_id.hex, error=type(exc).__name__)


def drop_index(window_id: UUID) -> None:
    """Delete the index of a window that is over, or whose entries are computed anew.

    What could not be deleted is not used: a closed window is read from its frozen rows, and a
    rebuilt one has another generation.
    """
    try:
        get_redis().unlink(*index_keys(window_id))
    except (RedisError, OSError) as exc:
        log.warning("index.not_dropped", window=window_id.hex, error=type(exc).__name__)


def _build(source: IndexSource, token: str) -> bool:
    """Fill a draft and put it in place; its rows are at least as new as the versions it gets."""
    window = source.window
    drafts = [
        index_key(window.id, "draft", token, name) for name in ("entries", "players", "scores")
    ]
    count = 0
    for page in indexed.entries_by_page(window.id, size=_PAGE_SIZE):
        if not _add_to_draft(window, drafts, page, token):
            return False
        count += len(page)
    keys = [*index_keys(window.id), index_key(window.id, "building"), *drafts]
    by_shard: list[int] = [part for pair in source.versions.by_shard.items() for part in pair]
    layout = index_layout(window.method, window.tie_policy)
    args: list[Any] = [
        token,
        layout,
        source.versions.generation,
        secrets.token_hex(4),
        count,
        *by_shard,
    ]
    return bool(load_script(*_INSTALL)(keys, args, client=get_redis()))


def _add_to_draft(
    window: IndexedWindow, drafts: list[str], page: list[IndexEntry], token: str
) -> bool:
    """Add a page; false when the lock is somebody else's by now."""
    entries, players, scores = drafts
    members = [index_member(entry.reached_at, entry.external_id) for entry in page]
    filed = [index_score(entry.score, window.method) for entry in page]
    lock = index_key(window.id, "building")
    with get_redis().pipeline(transaction=False) as pipe:
        pipe.get(lock)
        pipe.pexpire(lock, _LOCK_MILLISECONDS)
        pipe.zadd(entries, dict(zip(members, filed, strict=True)))
        pipe.hset(players, mapping={member[8:]: member[:8] for member in members})
        if window.tie_policy == "dense":
            pipe.zadd(scores, {str(score): score for score in filed})
        for draft in drafts:
            pipe.expire(draft, _DRAFT_SECONDS)
        return bool(pipe.execute()[0] == token.encode())


def _catch_up(window_id: UUID) -> None:
    """Add what batches committed during the build, who found no index to add it to."""
    for _ in range(_HEALING_ROUNDS):
        source = indexed.find_index_source(window_id)
        at = None if source is None else _index_versions([source.window])[0]
        if source is None or at is None or at.has_all_of(source.versions):
            return
        _heal_shards(source, at)
