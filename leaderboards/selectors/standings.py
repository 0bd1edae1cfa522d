"""Standings of a window: its first entries, one player, a neighborhood, a score, totals.

Every question has an async twin for the hot paths. See ``standings_source`` for where the
answers come from. Scores are scaled; ranks are exact for everyone, lists end at the board's size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from leaderboards.rules import ranking
from leaderboards.rules.ranking import decode_member, index_score
from leaderboards.selectors.rank_index import Reply
from leaderboards.selectors.standings_source import Question, Row, aanswer, answer
from leaderboards.types import (
    BoardConfig,
    BoardView,
    GroupStanding,
    GroupStandings,
    Moment,
    Neighborhood,
    PlayerStanding,
    RankedEntry,
    ScoreRank,
    Standing,
    StandingsPage,
    Totals,
    WindowLike,
)

__all__ = [
    "aneighborhood",
    "arank_for_score",
    "astanding_of",
    "astandings_of_users",
    "atop",
    "atotals",
    "board_view",
    "neighborhood",
    "rank_for_score",
    "standing_of",
    "standings_of_users",
    "top",
    "totals",
]


def board_view(scored_by: BoardConfig, newest: BoardConfig) -> BoardView:
    """Return the view of a window that ``scored_by`` scores on a board that is now ``newest``."""
    bounds = ranking.score_bounds(newest.ranking, scored_by.scoring.decimals)
    return BoardView(
        method=scored_by.ranking.method,
        tie_policy=scored_by.ranking.tie_policy,
        size=newest.ranking.size,
        lowest=bounds.lowest,
        highest=bounds.highest,
    )


# --- The first entries ---------------------------------------------------------------------------


def top(window: WindowLike, view: BoardView, *, limit: int, offset: int = 0) -> StandingsPage:
    """Return up to ``limit`` listed standings from the 0-based ``offset`` on, best first."""
    return answer(_top(window, view, limit, offset))


async def atop(
    window: WindowLike, view: BoardView, *, limit: int, offset: int = 0
) -> StandingsPage:
    """Return what ``top`` does."""
    return await aanswer(_top(window, view, limit, offset))


def _top(window: WindowLike, view: BoardView, limit: int, offset: int) -> Question[StandingsPage]:
    place = (window.id, view, limit, offset)
    kept = _pages.find(place)

    def from_reply(reply: Reply) -> StandingsPage:
        if kept is not None and not reply.values[0]:
            return kept
        standings = _indexed_page(reply.values[0], offset, view)
        total = _listed(reply, view)
        page = StandingsPage(reply.moment, standings, offset, total, reply.total_players)
        _pages.keep(place, page)
        return page

    def from_rows(rows: list[Row]) -> StandingsPage:
        standings = [_standing(row[5:]) for row in rows if row[5] is not None]
        return StandingsPage(_moment(rows), standings, offset, rows[0][3], rows[0][2])

    parameters = {"limit": limit, "offset": offset}
    args = (view.size, offset, limit, _moment_text(kept))
    return Question("top", window, view, args, parameters, from_reply, from_rows)


def _moment_text(page: StandingsPage | None) -> str:
    return f"{page.moment.epoch}:{page.moment.sequence}" if page is not None else ""


class _KeptPages:
    """Pages read last. While the index says that nothing has changed, a page is not read again."""

    def __init__(self) -> None:
        self._pages: dict[_Place, StandingsPage] = {}

    def find(self, place: "_Place") -> StandingsPage | None:
        return self._pages.get(place)

    def keep(self, place: "_Place", page: StandingsPage) -> None:
        if len(page.standings) > _MAX_KEPT_STANDINGS:
            return
        # Threads read too, and each of these steps is one that they cannot part.
        self._pages.pop(place, None)
        self._pages[place] = page
        if len(self._pages) > _MAX_KEPT_PAGES:
            self._pages.pop(next(iter(tuple(self._pages))), None)


_Place = tuple[UUID, BoardView, int, int]
_MAX_KEPT_PAGES: Final = 256
_MAX_KEPT_STANDINGS: Final = 200
_pages: Final = _KeptPages()


# --- One player ----------------------------------------------------------------------------------


def standing_of(window: WindowLike, view: BoardView, user_id: str) -> PlayerStanding | None:
    """Return a player's standing, ``None`` without an entry."""
    return answer(_standing_of(window, view, user_id))


async def astanding_of(window: WindowLike, view: BoardView, user_id: str) -> PlayerStanding | None:
    """Return what ``standing_of`` does."""
    return await aanswer(_standing_of(window, view, user_id))


def _standing_of(
    window: WindowLike, view: BoardView, user_id: str
) -> Question[PlayerStanding | None]:
    def from_reply(reply: Reply) -> PlayerStanding | None:
        return _indexed_player(reply, view, user_id)

    def from_rows(rows: list[Row]) -> PlayerStanding | None:
        return _player(_moment(rows), rows[0])

    parameters = {"player": user_id}
    return Question("standing", window, view, (user_id,), parameters, from_reply, from_rows)


# --- A player's neighborhood ---------------------------------------------------------------------


def neighborhood(
    window: WindowLike, view: BoardView, user_id: str, *, limit: int
) -> Neighborhood | None:
    """Return a player among ``limit`` consecutive standings, ``None`` without an entry.

    The player is in the middle; at either end the page shifts so that it stays full. It reaches
    every ranked player, also beyond the board's size.
    """
    return answer(_neighborhood(window, view, user_id, limit))


async def aneighborhood(
    window: WindowLike, view: BoardView, user_id: str, *, limit: int
) -> Neighborhood | None:
    """Return what ``neighborhood`` does."""
    return await aanswer(_neighborhood(window, view, user_id, limit))


def _neighborhood(
    window: WindowLike, view: BoardView, user_id: str, limit: int
) -> Question[Neighborhood | None]:
    def from_reply(reply: Reply) -> Neighborhood | None:
        player = _indexed_player(reply, view, user_id)
        if player is None:
            return None
        offset = reply.values[3]
        standings = _indexed_page(reply.values[4], offset, view)
        page = StandingsPage(reply.moment, standings, offset, player.total, player.total_players)
        return Neighborhood(player, page)

    def from_rows(rows: list[Row]) -> Neighborhood | None:
        moment = _moment(rows)
        player = _player(moment, rows[0])
        if player is None:
            return None
        standings = [_standing(row[14:]) for row in rows if row[14] is not None]
        offset = rows[0][13] or 0
        page = StandingsPage(moment, standings, offset, player.total, player.total_players)
        return Neighborhood(player, page)

    parameters = {"player": user_id, "limit": limit}
    args = (user_id, limit)
    return Question("neighborhood", window, view, args, parameters, from_reply, from_rows)


# --- A score -------------------------------------------------------------------------------------


def rank_for_score(
    window: WindowLike, view: BoardView, score: int, *, user_id: str = ""
) -> ScoreRank:
    """Return the rank that the scaled ``score`` would take if it were reached now.

    The entry of ``user_id`` does not count.
    """
    return answer(_rank_for_score(window, view, score, user_id))


async def arank_for_score(
    window: WindowLike, view: BoardView, score: int, *, user_id: str = ""
) -> ScoreRank:
    """Return what ``rank_for_score`` does."""
    return await aanswer(_rank_for_score(window, view, score, user_id))


def _rank_for_score(
    window: WindowLike, view: BoardView, score: int, user_id: str
) -> Question[ScoreRank]:
    filed = index_score(score, view.method)

    def score_rank(moment: Moment, total_players: int, counts: Sequence[int]) -> ScoreRank:
        better, better_scores, tied = counts
        rank = ranking.rank_for_score(
            view.tie_policy, better_players=better, tied_players=tied, better_scores=better_scores
        )
        is_ranked = view.lowest <= score <= view.highest
        return ScoreRank(moment, rank if is_ranked else None, tied, total_players)

    def from_reply(reply: Reply) -> ScoreRank:
        return score_rank(reply.moment, reply.total_players, reply.values)

    def from_rows(rows: list[Row]) -> ScoreRank:
        return score_rank(_moment(rows), rows[0][2], rows[0][4:])

    parameters = {"player": user_id, "key": filed}
    args = (filed, user_id)
    return Question("rank_for_score", window, view, args, parameters, from_reply, from_rows)


# --- Several players -----------------------------------------------------------------------------


def standings_of_users(
    window: WindowLike, view: BoardView, user_ids: Iterable[str]
) -> GroupStandings:
    """Return the standings of those asked for in rank order, each also ranked among them."""
    return answer(_standings_of_users(window, view, user_ids))


async def astandings_of_users(
    window: WindowLike, view: BoardView, user_ids: Iterable[str]
) -> GroupStandings:
    """Return what ``standings_of_users`` does."""
    return await aanswer(_standings_of_users(window, view, user_ids))


def _standings_of_users(
    window: WindowLike, view: BoardView, user_ids: Iterable[str]
) -> Question[GroupStandings]:
    asked = list(dict.fromkeys(user_ids))

    def group(moment: Moment, totals: tuple[int, int], found: list[_Found]) -> GroupStandings:
        known = {entry.external_id for entry in found}
        missing = [user_id for user_id in asked if user_id not in known]
        return GroupStandings(moment, _grouped(found, view), missing, *totals)

    def from_reply(reply: Reply) -> GroupStandings:
        found = [
            _indexed_found(user_id, standing, view)
            for user_id, standing in zip(asked, reply.values[0] or (), strict=True)
            if standing
        ]
        return group(reply.moment, (_listed(reply, view), reply.total_players), found)

    def from_rows(rows: list[Row]) -> GroupStandings:
        found = [_Found(row[4], row[5], _utc(row[6]), row[7]) for row in rows if row[4] is not None]
        return group(_moment(rows), (rows[0][3], rows[0][2]), found)

    parameters = {"players": asked}
    return Question("players", window, view, tuple(asked), parameters, from_reply, from_rows)


@dataclass(frozen=True, slots=True)
class _Found:
    external_id: str
    score: int
    reached_at: datetime
    rank: int | None


def _grouped(found: list[_Found], view: BoardView) -> list[GroupStanding]:
    """Rank the ranked among themselves and put the others behind them."""
    ranked = {entry.external_id: entry for entry in found if entry.rank is not None}
    entries = (
        RankedEntry(entry.external_id, entry.score, entry.reached_at) for entry in ranked.values()
    )
    group = [
        GroupStanding(
            standing.external_id,
            standing.score,
            standing.reached_at,
            ranked[standing.external_id].rank,
            standing.rank,
        )
        for standing in ranking.rank(entries, view.method, view.tie_policy)
    ]
    unranked = sorted(
        (entry for entry in found if entry.rank is None), key=lambda entry: entry.external_id
    )
    return group + [
        GroupStanding(entry.external_id, entry.score, entry.reached_at, None, None)
        for entry in unranked
    ]


# --- Totals --------------------------------------------------------------------------------------


def totals(window: WindowLike, view: BoardView) -> Totals:
    """Return how many entries the list has and how many players are ranked."""
    return answer(_totals(window, view))


async def atotals(window: WindowLike, view: BoardView) -> Totals:
    """Return what ``totals`` does."""
    return await aanswer(_totals(window, view))


def _totals(window: WindowLike, view: BoardView) -> Question[Totals]:
    def from_reply(reply: Reply) -> Totals:
        return Totals(reply.moment, _listed(reply, view), reply.total_players)

    def from_rows(rows: list[Row]) -> Totals:
        return Totals(_moment(rows), rows[0][3], rows[0][2])

    return Question("totals", window, view, (), {}, from_reply, from_rows)


# --- Reading replies and rows --------------------------------------------------------------------


def _listed(reply: Reply, view: BoardView) -> int:
    return min(reply.total_players, view.size)


def _indexed_page(page: Sequence[Any], offset: int, view: BoardView) -> list[Standing]:
    """Return a script's page: the rank of its first entry is given, the others follow from it."""
    rank, flat = page
    standings: list[Standing] = []
    last_score: int | None = None
    for place, member, filed in zip(
        range(offset + 1, offset + 1 + len(flat) // 2), flat[::2], flat[1::2], strict=True
    ):
        score = index_score(int(filed), view.method)
        if last_score is not None and (view.tie_policy == "first_to_reach" or score != last_score):
            rank = rank + 1 if view.tie_policy == "dense" else place
        last_score = score
        decoded = decode_member(member)
        standings.append(Standing(rank, decoded.external_id, score, decoded.reached_at))
    return standings


def _indexed_found(user_id: str, standing: Sequence[Any], view: BoardView) -> _Found:
    stamp, filed = standing[:2]
    rank = standing[2] if len(standing) > 2 else None
    reached_at = decode_member(stamp).reached_at
    return _Found(user_id, index_score(int(filed), view.method), reached_at, rank)


def _indexed_player(reply: Reply, view: BoardView, user_id: str) -> PlayerStanding | None:
    own, below_count, better = reply.values[:3]
    if not own:
        return None
    found = _indexed_found(user_id, own, view)
    # Its place does not matter: the rank of a page's first entry is given.
    next_better = _indexed_page(better, 0, view)
    return PlayerStanding(
        moment=reply.moment,
        external_id=user_id,
        score=found.score,
        reached_at=found.reached_at,
        rank=found.rank,
        below_count=below_count,
        better=next_better[0] if next_better else None,
        total=_listed(reply, view),
        total_players=reply.total_players,
    )


def _moment(rows: list[Row]) -> Moment:
    return Moment(rows[0][0], rows[0][1])


def _standing(columns: Row) -> Standing:
    rank, user_id, score, reached_at = columns
    return Standing(rank, user_id, score, _utc(reached_at))


def _player(moment: Moment, row: Row) -> PlayerStanding | None:
    user_id, score, reached_at, rank, below_count = row[4:9]
    if user_id is None:
        return None
    return PlayerStanding(
        moment=moment,
        external_id=user_id,
        score=score,
        reached_at=_utc(reached_at),
        rank=rank,
        below_count=below_count if rank is not None else 0,
        better=_standing(row[9:13]) if row[9] is not None else None,
        total=row[3],
        total_players=row[2],
    )


def _utc(value: datetime) -> datetime:
    """Return ``value`` in UTC: a connection gives times in whatever zone it is set to."""
    return value.astimezone(UTC)
