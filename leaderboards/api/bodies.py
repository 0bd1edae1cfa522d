"""The answers of the query gateway: their shapes, and how they are made from what selectors read.

Both entrances build their answers here, so they cannot differ. A shape is also the schema that the
reference shows.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from math import ceil
from typing import Any, Literal

import msgspec

from leaderboards.rules import ranking
from leaderboards.rules.scores import from_scaled
from leaderboards.types import (
    GroupStandings,
    ListedBoard,
    ListedSnapshot,
    ListedWindow,
    Listing,
    Neighborhood,
    PlayerStanding,
    ScoreRank,
    ShownSnapshot,
    ShownWindow,
    Standing,
    StandingsPage,
)
from phoenix_site.common.times import format_utc
from tenants.types import Ticket

Score = int | Decimal
Source = Literal["live", "history"]


class EntryBody(msgspec.Struct):
    """One place of a list (LB-51)."""

    rank: int
    user_id: str
    score: Score
    reached_at: str
    display_name: str | None = None
    metadata: dict[str, Any] = {}


class TopBody(msgspec.Struct):
    """Top N (LB-51); ``as_of`` is appended when the answer is sent."""

    leaderboard_id: str
    name: str
    window_key: str
    window_start: str
    window_end: str | None
    window_status: str
    source: Source
    epoch: str
    sequence: int
    entries: list[EntryBody]
    total: int
    total_players: int
    limit: int
    offset: int


class OwnEntryBody(msgspec.Struct):
    """The player in the middle of a neighborhood."""

    user_id: str
    ranked: bool
    rank: int | None
    score: Score
    reached_at: str
    display_name: str | None = None
    metadata: dict[str, Any] = {}


class NeighborhoodBody(TopBody):
    """Top N's body around one player (LB-52)."""

    user: OwnEntryBody


class NextBody(msgspec.Struct):
    """The entry one place better, and what it takes to overtake it."""

    rank: int
    score: Score
    points_needed: Score


class ScoreBody(msgspec.Struct, kw_only=True):
    """One player's score (LB-53)."""

    leaderboard_id: str
    window_key: str
    user_id: str
    ranked: bool
    score: Score
    reached_at: str
    total_players: int


class RankBody(ScoreBody, kw_only=True):
    """One player's rank (LB-53)."""

    rank: int | None
    next: NextBody | None


class PercentileBody(RankBody, kw_only=True):
    """One player's rank among all, in percent (LB-53)."""

    percentile: Decimal | None
    top_percent: Decimal | None


class SnapshotRankBody(RankBody, kw_only=True):
    """One player's rank in a snapshot (LB-56)."""

    snapshot_time: str


class ScoreRankBody(msgspec.Struct):
    """The rank that a score would take now (LB-54)."""

    leaderboard_id: str
    window_key: str
    score: Score
    rank: int | None
    tied_with: int
    total_players: int


class GroupEntryBody(msgspec.Struct):
    """One of the players asked for (LB-55); both ranks are null while it is not ranked."""

    user_id: str
    ranked: bool
    rank: int | None
    group_rank: int | None
    score: Score
    reached_at: str
    display_name: str | None = None
    metadata: dict[str, Any] = {}


class GroupBody(msgspec.Struct):
    """Several players in rank order (LB-55)."""

    leaderboard_id: str
    window_key: str
    entries: list[GroupEntryBody]
    missing: list[str]
    total_players: int


class BoardBody(msgspec.Struct):
    """An active board and its current window, if it has one now (LB-50)."""

    leaderboard_id: str
    name: str
    description: str
    timeframe: dict[str, Any]
    window_key: str | None
    window_start: str | None
    window_end: str | None
    resets_in: int | None
    total_players: int


class BoardsBody(msgspec.Struct):
    """The tenant's active boards (LB-50)."""

    leaderboards: list[BoardBody]
    total: int


class WindowBody(msgspec.Struct):
    """One window of a board; hash and revision once it is closed."""

    window_key: str
    window_start: str
    window_end: str | None
    window_status: str
    total_players: int
    hash: str | None
    previous_hash: str | None
    revision: int | None
    closed_at: str | None


class WindowsBody(msgspec.Struct):
    """The windows of a board, newest first (LB-50)."""

    leaderboard_id: str
    windows: list[WindowBody]
    total: int


class SnapshotBody(msgspec.Struct):
    """One snapshot in the list (LB-56)."""

    snapshot_time: str
    window_key: str
    kind: Literal["interim", "final"]
    entry_count: int
    hash: str


class SnapshotsBody(msgspec.Struct):
    """The snapshots of a board, newest first (LB-56)."""

    snapshots: list[SnapshotBody]
    total: int


class TicketBody(msgspec.Struct):
    """A ticket for one live connection (WS-1)."""

    ticket: str
    expires_at: str
    expires_in: int


class SnapshotTopBody(msgspec.Struct, kw_only=True):
    """The standings of a snapshot (LB-56), with all that its hash covers (LB-60).

    An interim one is of revision 0 and follows no other.
    """

    leaderboard_id: str
    name: str
    window_key: str
    window_start: str
    window_end: str | None
    window_status: str
    source: Source
    snapshot_time: str
    kind: Literal["interim", "final"]
    config_version: int
    decimals: int
    revision: int
    hash: str
    previous_hash: str | None
    entries: list[EntryBody]
    total: int
    total_players: int
    limit: int
    offset: int


def top_body(window: ShownWindow, page: StandingsPage, *, limit: int) -> TopBody:
    """Return the body of LB-51 but for ``as_of``."""
    return TopBody(**_list_facts(window, page, limit))


def neighborhood_body(
    window: ShownWindow, neighborhood: Neighborhood, *, limit: int
) -> NeighborhoodBody:
    """Return the body of LB-52 but for ``as_of``."""
    player = neighborhood.player
    own = OwnEntryBody(
        user_id=player.external_id,
        ranked=player.rank is not None,
        rank=player.rank,
        score=shown_score(player.score, window.decimals),
        reached_at=format_utc(player.reached_at),
    )
    return NeighborhoodBody(**_list_facts(window, neighborhood.page, limit), user=own)


def score_body(window: ShownWindow, player: PlayerStanding) -> ScoreBody:
    """Return the body of LB-53 without the rank."""
    return ScoreBody(**_player_facts(window, player))


def rank_body(window: ShownWindow, player: PlayerStanding) -> RankBody:
    """Return the body of LB-53."""
    return RankBody(**_rank_facts(window, player))


def percentile_body(window: ShownWindow, player: PlayerStanding) -> PercentileBody:
    """Return the body of LB-53 with the player's place among all."""
    share = top = None
    if player.rank is not None:
        share = ranking.percentile(player.below_count, player.total_players)
        top = ranking.top_percent(player.rank, player.total_players)
    return PercentileBody(**_rank_facts(window, player), percentile=share, top_percent=top)


def score_rank_body(window: ShownWindow, score: int, answer: ScoreRank) -> ScoreRankBody:
    """Return the body of LB-54; ``score`` is scaled."""
    return ScoreRankBody(
        leaderboard_id=window.leaderboard_id,
        window_key=window.key,
        score=shown_score(score, window.decimals),
        rank=answer.rank,
        tied_with=answer.tied_count,
        total_players=answer.total_players,
    )


def group_body(window: ShownWindow, group: GroupStandings) -> GroupBody:
    """Return the body of LB-55."""
    entries = [
        GroupEntryBody(
            user_id=standing.external_id,
            ranked=standing.rank is not None,
            rank=standing.rank,
            group_rank=standing.group_rank,
            score=shown_score(standing.score, window.decimals),
            reached_at=format_utc(standing.reached_at),
        )
        for standing in group.standings
    ]
    return GroupBody(
        leaderboard_id=window.leaderboard_id,
        window_key=window.key,
        entries=entries,
        missing=group.missing,
        total_players=group.total_players,
    )


def boards_body(boards: Listing[ListedBoard], *, now: datetime) -> BoardsBody:
    """Return the list of LB-50."""
    return BoardsBody([_board_body(board, now) for board in boards.items], boards.total)


def windows_body(leaderboard_id: str, windows: Listing[ListedWindow]) -> WindowsBody:
    """Return the windows of LB-50."""
    return WindowsBody(
        leaderboard_id, [_window_body(window) for window in windows.items], windows.total
    )


def snapshots_body(snapshots: Listing[ListedSnapshot]) -> SnapshotsBody:
    """Return the list of LB-56."""
    listed = [
        SnapshotBody(
            snapshot_time=format_utc(snapshot.taken_at),
            window_key=snapshot.window_key,
            kind="final" if snapshot.is_final else "interim",
            entry_count=snapshot.entry_count,
            hash=snapshot.hash,
        )
        for snapshot in snapshots.items
    ]
    return SnapshotsBody(listed, snapshots.total)


def snapshot_top_body(
    snapshot: ShownSnapshot, standings: Iterable[Standing], *, limit: int, offset: int
) -> SnapshotTopBody:
    """Return a snapshot of LB-56 but for ``as_of``."""
    window = snapshot.window
    return SnapshotTopBody(
        **_window_facts(window),
        source="history",
        snapshot_time=format_utc(snapshot.taken_at),
        kind="final" if snapshot.is_final else "interim",
        config_version=window.version_number,
        decimals=window.decimals,
        revision=window.revision if snapshot.is_final else 0,
        hash=snapshot.hash,
        previous_hash=(window.previous_hash or None) if snapshot.is_final else None,
        entries=_entries(standings, window.decimals),
        total=snapshot.entry_count,
        total_players=snapshot.total_players,
        limit=limit,
        offset=offset,
    )


def snapshot_rank_body(snapshot: ShownSnapshot, player: PlayerStanding) -> SnapshotRankBody:
    """Return one player of a snapshot of LB-56."""
    facts = _rank_facts(snapshot.window, player)
    return SnapshotRankBody(**facts, snapshot_time=format_utc(snapshot.taken_at))


def ticket_body(ticket: Ticket, now: datetime) -> TicketBody:
    """Return the body of WS-1."""
    seconds = round((ticket.expires_at - now).total_seconds())
    return TicketBody(ticket.value, format_utc(ticket.expires_at), seconds)


def shown_score(scaled: int, decimals: int) -> Score:
    """Return a scaled score as the JSON number it is."""
    return from_scaled(scaled, decimals) if decimals else scaled


def _entries(standings: Iterable[Standing], decimals: int) -> list[EntryBody]:
    return [
        EntryBody(
            standing.rank,
            standing.external_id,
            shown_score(standing.score, decimals),
            format_utc(standing.reached_at),
        )
        for standing in standings
    ]


def _window_facts(window: ShownWindow) -> dict[str, Any]:
    return {
        "leaderboard_id": window.leaderboard_id,
        "name": window.name,
        "window_key": window.key,
        "window_start": format_utc(window.starts_at),
        "window_end": _time(window.ends_at),
        "window_status": window.state,
    }


def _list_facts(window: ShownWindow, page: StandingsPage, limit: int) -> dict[str, Any]:
    return _window_facts(window) | {
        "source": "history" if window.is_history else "live",
        "epoch": page.moment.epoch,
        "sequence": page.moment.sequence,
        "entries": _entries(page.standings, window.decimals),
        "total": page.total,
        "total_players": page.total_players,
        "limit": limit,
        "offset": page.offset,
    }


def _player_facts(window: ShownWindow, player: PlayerStanding) -> dict[str, Any]:
    return {
        "leaderboard_id": window.leaderboard_id,
        "window_key": window.key,
        "user_id": player.external_id,
        "ranked": player.rank is not None,
        "score": shown_score(player.score, window.decimals),
        "reached_at": format_utc(player.reached_at),
        "total_players": player.total_players,
    }


def _rank_facts(window: ShownWindow, player: PlayerStanding) -> dict[str, Any]:
    facts = _player_facts(window, player)
    return facts | {"rank": player.rank, "next": _next(window, player)}


def _next(window: ShownWindow, player: PlayerStanding) -> NextBody | None:
    better = player.better
    if better is None:
        return None
    needed = ranking.points_needed(player.score, better.score, window.view.method)
    return NextBody(
        rank=better.rank,
        score=shown_score(better.score, window.decimals),
        points_needed=shown_score(needed, window.decimals),
    )


def _board_body(board: ListedBoard, now: datetime) -> BoardBody:
    window = board.window
    ends_at = window.ends_at if window else None
    return BoardBody(
        leaderboard_id=board.leaderboard_id,
        name=board.name,
        description=board.description,
        timeframe=dict(board.timeframe),
        window_key=window.key if window else None,
        window_start=format_utc(window.starts_at) if window else None,
        window_end=_time(ends_at),
        resets_in=ceil((ends_at - now).total_seconds()) if ends_at else None,
        total_players=board.total_players,
    )


def _window_body(listed: ListedWindow) -> WindowBody:
    window = listed.window
    return WindowBody(
        window_key=window.key,
        window_start=format_utc(window.starts_at),
        window_end=_time(window.ends_at),
        window_status=window.state,
        total_players=listed.total_players,
        hash=window.hash or None,
        previous_hash=window.previous_hash or None,
        revision=window.revision if window.is_history else None,
        closed_at=_time(window.closed_at),
    )


def _time(value: datetime | None) -> str | None:
    return None if value is None else format_utc(value)


def as_of(window: ShownWindow, now: datetime) -> datetime:
    """Return the instant that the standings show: now, or when the window was closed."""
    return window.closed_at if window.is_history and window.closed_at else now
