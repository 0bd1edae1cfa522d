"""Where an answer about standings comes from: the rank index, the database, frozen rows.

The index answers while it has everything that the database held a moment ago; else, and while it
is missing or being built, PostgreSQL gives the same answer. A closed window has no index: its
rows are frozen.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from django.db import connection

from leaderboards.rules.ranking import index_score
from leaderboards.selectors import rank_index
from leaderboards.selectors.rank_index import Reply, Versions
from leaderboards.selectors.standings_sql import FROZEN, LIVE, VERSIONS
from leaderboards.types import BoardView, WindowLike
from phoenix_site.common import postgres
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.shared_reads import SharedReads

__all__ = ["Question", "Row", "aanswer", "answer", "find_versions", "forget_versions"]

T = TypeVar("T")
Row = Sequence[Any]

# How old the database's versions may be that an index is held against.
_KNOWN_SECONDS: Final = 0.5
# A batch commits a moment before the index has it: waiting that moment is cheaper than sorting.
_PATIENCE_SECONDS: Final = (0.01, 0.03)
_MAX_KNOWN: Final = 10_000
_CLOSED: Final = "closed"


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """One question in both languages: a script with arguments, a statement with parameters.

    Only ``from_reply`` and ``from_rows`` know what the answer looks like.
    """

    name: str
    window: WindowLike
    view: BoardView
    args: tuple[Any, ...]
    parameters: dict[str, Any]
    from_reply: Callable[[Reply], T]
    from_rows: Callable[[list[Row]], T]

    @property
    def is_frozen(self) -> bool:
        """Return whether the window is closed."""
        return self.window.state == _CLOSED

    @property
    def statement(self) -> str:
        """Return the statement that asks the database."""
        return (FROZEN if self.is_frozen else LIVE)[self.name]

    @property
    def all_parameters(self) -> dict[str, Any]:
        """Return its parameters: the window and its view, and the question's own."""
        low, high = rank_index.index_bounds(self.view)
        return {
            "window": self.window.id,
            "revision": self.window.revision,
            "sign": index_score(1, self.view.method),
            "low": low,
            "high": high,
            "policy": self.view.tie_policy,
            "size": self.view.size,
            **self.parameters,
        }

    def read_rows(self, rows: list[Row]) -> T:
        """Return the answer in ``rows``. Raises: ``NotFoundError`` when the window is gone."""
        if not rows:
            raise NotFoundError("There is no such window.")
        return self.from_rows(rows)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database held at a time of the monotonic clock."""

    versions: Versions
    read_at: float

    @property
    def age(self) -> float:
        return time.monotonic() - self.read_at


class _KnownVersions:
    """The database's versions of windows read a moment ago, oldest first."""

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, _Known] = OrderedDict()

    def find(self, window_id: UUID) -> _Known | None:
        known = self._known.get(window_id)
        return known if known is not None and known.age < _KNOWN_SECONDS else None

    def keep(self, window_id: UUID, versions: Versions, read_at: float) -> _Known:
        known = self._known[window_id] = _Known(versions, read_at)
        self._known.move_to_end(window_id)
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return known

    def clear(self) -> None:
        self._known.clear()


_known = _KnownVersions()
_version_reads: SharedReads[UUID, _Known] = SharedReads()


def forget_versions() -> None:
    """Drop what this process knows of the database's versions."""
    _known.clear()


def find_versions(window_id: UUID) -> Versions | None:
    """Return how far the database is; ``None`` when the window is gone. Queries: 1."""
    with connection.cursor() as cursor:
        cursor.execute(VERSIONS, {"window": window_id})
        return _versions(cursor.fetchall())


def _versions(rows: Sequence[Row]) -> Versions | None:
    if not rows:
        return None
    return Versions(rows[0][0], {shard: version for _, shard, version in rows if shard is not None})


def answer(question: Question[T]) -> T:
    """Return the answer of the index, or the same one of the database."""
    reply = None if question.is_frozen else _fresh_reply(question)
    if reply is not None:
        return question.from_reply(reply)
    with connection.cursor() as cursor:
        cursor.execute(question.statement, question.all_parameters)
        return question.read_rows(cursor.fetchall())


def _fresh_reply(question: Question[Any]) -> Reply | None:
    known = _known_now(question.window.id)
    reply = _ask(question)
    for pause in _pauses(known, reply):
        time.sleep(pause)
        reply = _ask(question)
        if reply is None or reply.versions.has_all_of(known.versions):
            break
    return reply if reply is not None and reply.versions.has_all_of(known.versions) else None


def _ask(question: Question[Any]) -> Reply | None:
    return rank_index.read(question.window.id, question.view, question.name, question.args)


def _known_now(window_id: UUID) -> _Known:
    known = _known.find(window_id)
    if known is not None:
        return known
    read_at = time.monotonic()
    versions = find_versions(window_id)
    if versions is None:
        raise NotFoundError("There is no such window.")
    return _known.keep(window_id, versions, read_at)


def _pauses(known: _Known, reply: Reply | None) -> tuple[float, ...]:
    """Return how to wait for an index that lacks what was committed only just now."""
    is_just_behind = (
        reply is not None
        and not reply.versions.has_all_of(known.versions)
        and reply.versions.generation == known.versions.generation
        and known.age < sum(_PATIENCE_SECONDS)
    )
    return _PATIENCE_SECONDS if is_just_behind else ()


async def aanswer(question: Question[T]) -> T:
    """Do what ``answer`` does, from an event loop."""
    reply = None if question.is_frozen else await _afresh_reply(question)
    if reply is not None:
        return question.from_reply(reply)
    async with postgres.connection() as conn:
        cursor = await conn.execute(question.statement, question.all_parameters)
        return question.read_rows(await cursor.fetchall())


async def _afresh_reply(question: Question[Any]) -> Reply | None:
    known = await _aknown_now(question.window.id)
    reply = await _aask(question)
    for pause in _pauses(known, reply):
        await asyncio.sleep(pause)
        reply = await _aask(question)
        if reply is None or reply.versions.has_all_of(known.versions):
            break
    return reply if reply is not None and reply.versions.has_all_of(known.versions) else None


async def _aask(question: Question[Any]) -> Reply | None:
    return await rank_index.aread(question.window.id, question.view, question.name, question.args)


async def _aknown_now(window_id: UUID) -> _Known:
    known = _known.find(window_id)
    if known is not None:
        return known
    return await _version_reads.share(window_id, lambda: _aread_versions(window_id))


async def _aread_versions(window_id: UUID) -> _Known:
    read_at = time.monotonic()
    async with postgres.connection() as conn:
        cursor = await conn.execute(VERSIONS, {"window": window_id})
        versions = _versions(await cursor.fetchall())
    if versions is None:
        raise NotFoundError("There is no such window.")
    return _known.keep(window_id, versions, read_at)
