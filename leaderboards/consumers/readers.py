"""Where live views come from: the standings, as every other reader gets them."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from leaderboards.rules.live import OwnRank, OwnRanks, Row, ViewSpec, ViewState
from leaderboards.rules.scores import from_scaled
from leaderboards.selectors import standings
from leaderboards.types import GroupStanding, Moment, ShownWindow, Standing

# Epochs of answers that did not come from an index: from the database because the index lacked
# something, or from frozen standings. An index makes up eight random digits for its own.
_is_makeshift_epoch = re.compile(r"db[0-9]{1,5}").fullmatch
_is_frozen_epoch = re.compile(r"r[0-9]{1,5}").fullmatch
# A makeshift answer says what the index will say in a moment, under another epoch. Every client
# would get two snapshots for nothing, so the index gets that moment.
_PATIENCE_SECONDS: Final = (0.05, 0.1, 0.2)


class _Part(NamedTuple):
    """The entries of a view and how many the whole view has."""

    moment: Moment
    entries: Iterable[Standing | GroupStanding]
    total_entries: int
    total_players: int


class StandingsReader:
    """Reads views of windows; each answer is of one moment of the standings."""

    def __init__(self) -> None:
        self._indexed: set[UUID] = set()

    def forget(self, window_id: UUID) -> None:
        """Drop what is remembered of a window that nobody shows any more."""
        self._indexed.discard(window_id)

    async def read_view(self, window: ShownWindow, spec: ViewSpec) -> ViewState:
        """Return the view as it is now. Raises: ``UnavailableError``, ``NotFoundError``."""
        part = await _read(window, spec)
        if window.id in self._indexed:
            for pause in _PATIENCE_SECONDS:
                if not _is_makeshift(part.moment):
                    break
                await asyncio.sleep(pause)
                part = await _read(window, spec)
        if _is_makeshift(part.moment):
            self._indexed.discard(window.id)
        else:
            self._indexed.add(window.id)
        return _state(part, window)

    async def read_own_ranks(self, window: ShownWindow, user_ids: Sequence[str]) -> OwnRanks:
        """Return where these players stand now. Raises: as ``read_view``."""
        group = await standings.astandings_of_users(window, window.view, user_ids)
        ranks = {
            standing.external_id: OwnRank(
                standing.rank, _shown_score(standing.score, window.decimals)
            )
            for standing in group.standings
        }
        return OwnRanks(ranks, group.total_players)


def _is_makeshift(moment: Moment) -> bool:
    return _is_makeshift_epoch(moment.epoch) is not None


async def _read(window: ShownWindow, spec: ViewSpec) -> _Part:
    if spec.filter.type == "around_user":
        return await _read_around(window, spec.filter.user_id or "", spec.filter.range or 1)
    if spec.filter.type == "users":
        return await _read_users(window, spec.filter.user_ids)
    view = window.view
    if spec.filter.n is not None:
        view = replace(view, size=min(view.size, spec.filter.n))
    page = await standings.atop(window, view, limit=spec.page_size, offset=spec.offset)
    return _Part(page.moment, page.standings, page.total, page.total_players)


async def _read_around(window: ShownWindow, user_id: str, reach: int) -> _Part:
    """Read ``reach`` entries on each side; at the ends there are fewer, not others."""
    found = await standings.aneighborhood(window, window.view, user_id, limit=2 * reach + 1)
    if found is None:
        totals = await standings.atotals(window, window.view)
        return _Part(totals.moment, (), 0, totals.total_players)
    entries = found.page.standings
    own = next((i for i, entry in enumerate(entries) if entry.external_id == user_id), 0)
    near = entries[max(0, own - reach) : own + reach + 1]
    return _Part(found.page.moment, near, len(near), found.page.total_players)


async def _read_users(window: ShownWindow, user_ids: Sequence[str]) -> _Part:
    group = await standings.astandings_of_users(window, window.view, user_ids)
    ranked = [standing for standing in group.standings if standing.rank is not None]
    return _Part(group.moment, ranked, len(ranked), group.total_players)


def _shown_score(scaled: int, decimals: int) -> int | Decimal:
    return from_scaled(scaled, decimals) if decimals else scaled


def _epoch(moment: Moment, window: ShownWindow) -> str:
    """Return an epoch that no other window has, so that a client never resumes in a wrong one."""
    if _is_makeshift(moment) or _is_frozen_epoch(moment.epoch):
        return f"{moment.epoch}.{window.id.hex[-8:]}"
    return moment.epoch


def _state(part: _Part, window: ShownWindow) -> ViewState:
    return ViewState(
        epoch=_epoch(part.moment, window),
        sequence=part.moment.sequence,
        rows=tuple(
            Row(
                entry.rank or 0,
                entry.external_id,
                _shown_score(entry.score, window.decimals),
                entry.reached_at,
            )
            for entry in part.entries
        ),
        total_entries=part.total_entries,
        total_players=part.total_players,
    )
