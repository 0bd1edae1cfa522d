"""One window as this process shows it live: its views, its players' own ranks, their rhythm."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from leaderboards.consumers.streams import DefaultStream
from leaderboards.consumers.tickers import Ticker
from leaderboards.consumers.views import LiveView
from leaderboards.rules import live
from leaderboards.rules.live import OwnRank, OwnRanks, StreamFrame, ViewSpec, ViewState, WindowFacts
from leaderboards.types import ShownWindow

if TYPE_CHECKING:
    from leaderboards.consumers.connection import Connection

_NO_RANK: Final = OwnRank(None, None)
_OWN_RANK_SECONDS: Final = 1.0
# Players whose ranks are asked for in one go; more would hold up the index for everybody.
_PLAYERS_AT_ONCE: Final = 200


class ViewReader(Protocol):
    """Where views come from; ``readers.StandingsReader`` is the one that reads standings."""

    async def read_view(self, window: ShownWindow, spec: ViewSpec) -> ViewState:
        """Return the view as it is now."""

    async def read_own_ranks(self, window: ShownWindow, user_ids: Sequence[str]) -> OwnRanks:
        """Return where these players stand now."""


class Announcer(Protocol):
    """How a frame of the default view reaches the other processes."""

    async def announce(self, window_id: UUID, frame: StreamFrame) -> None:
        """Pass ``frame`` on to all processes."""


class Feed:
    """All live views of one window in this process."""

    def __init__(
        self,
        window: ShownWindow,
        reader: ViewReader,
        announcer: Announcer,
        *,
        holder: str,
        tick: timedelta,
    ) -> None:
        self.window = window
        self.total_players = 0
        self._reader = reader
        self._views: dict[ViewSpec, LiveView] = {}
        self._players: defaultdict[str, set[Connection]] = defaultdict(set)
        self._own: dict[str, OwnRank] = {}
        self.stream = DefaultStream(self, announcer, holder=holder)
        self._tickers = (
            Ticker(self.stream.refresh, seconds=tick.total_seconds()),
            Ticker(self._refresh_views, seconds=tick.total_seconds()),
            Ticker(self._refresh_own_ranks, seconds=_OWN_RANK_SECONDS),
        )

    @property
    def facts(self) -> WindowFacts:
        """Return what messages say about the window."""
        window = self.window
        return WindowFacts(window.leaderboard_id, window.key, window.state, window.ends_at)

    @property
    def connections(self) -> list[Connection]:
        """Return everybody who looks at the window."""
        return [connection for group in self._players.values() for connection in group]

    @property
    def is_idle(self) -> bool:
        """Return whether nobody looks at the window or is about to."""
        views = [self.stream, *self._views.values()]
        return not self._players and all(view.is_idle for view in views)

    def poke(self) -> None:
        """Have everything looked at: something may have changed, unless the window is closed."""
        if self.window.is_history:
            return
        for ticker in self._tickers:
            ticker.poke()

    async def stop(self) -> None:
        """End the rhythm; another process may publish at once."""
        for ticker in self._tickers:
            await ticker.stop()
        await self.stream.resign()

    def view(self, spec: ViewSpec) -> LiveView:
        """Return the one view of ``spec``."""
        # What is closed never changes, so there is nothing that processes would have to share.
        if spec == live.DEFAULT_VIEW and not self.window.is_history:
            return self.stream
        if spec not in self._views:
            self._views[spec] = LiveView(self, spec)
        return self._views[spec]

    def add(self, connection: Connection) -> None:
        """Tell ``connection`` its player's rank from now on."""
        self._players[connection.user_id].add(connection)

    def remove(self, connection: Connection) -> None:
        """Let ``connection`` go."""
        group = self._players[connection.user_id]
        group.discard(connection)
        if not group:
            del self._players[connection.user_id]
            self._own.pop(connection.user_id, None)

    def drop_idle_views(self) -> None:
        """Forget the views that nobody shows any more."""
        for spec in [spec for spec, view in self._views.items() if view.is_idle]:
            del self._views[spec]

    def own_rank(self, user_id: str) -> OwnRank:
        """Return the player's rank as it was read last."""
        return self._own.get(user_id, _NO_RANK)

    async def read(self, spec: ViewSpec) -> ViewState:
        """Return the view as it is now."""
        state = await self._reader.read_view(self.window, spec)
        self.total_players = state.total_players
        return state

    async def read_own_ranks(self, user_ids: Sequence[str]) -> dict[str, OwnRank]:
        """Return where these players stand now."""
        ranks: dict[str, OwnRank] = {}
        for start in range(0, len(user_ids), _PLAYERS_AT_ONCE):
            asked = user_ids[start : start + _PLAYERS_AT_ONCE]
            found = await self._reader.read_own_ranks(self.window, asked)
            self.total_players = found.total_players
            ranks |= {name: found.ranks.get(name, _NO_RANK) for name in asked}
        return ranks

    def keep_own_rank(self, user_id: str, own: OwnRank) -> None:
        """Remember the rank of a player who joins; one who is here already has a newer one."""
        self._own.setdefault(user_id, own)

    async def _refresh_views(self) -> None:
        for view in list(self._views.values()):
            await view.refresh()

    async def _refresh_own_ranks(self) -> None:
        """Tell each player whose rank or score changed; the rhythm keeps it to once a second."""
        ranks = await self.read_own_ranks(list(self._players))
        self._own.update((name, own) for name, own in ranks.items() if name in self._players)
        now = asyncio.get_running_loop().time()
        for user_id, group in self._players.items():
            own = self.own_rank(user_id)
            for connection in group:
                if connection.own != own:
                    connection.push_own_rank(own, self.total_players, at=now)
