"""The state of one distinct view, rendered once for all connections that show it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.utils import timezone

from leaderboards.rules import live
from leaderboards.rules.live import (
    ResumePoint,
    StreamFrame,
    Update,
    ViewSpec,
    ViewState,
    WindowFacts,
)
from phoenix_site.common.json import encode
from phoenix_site.common.wires import Frame

if TYPE_CHECKING:
    from leaderboards.consumers.connection import Connection
    from leaderboards.consumers.feeds import Feed


class LiveView:
    """A view of a window that this process renders for its own connections.

    All connections of a view stand at its state or are owed a snapshot. So whoever joins gets a
    snapshot of exactly this state, and the next update fits everybody.
    """

    def __init__(self, feed: Feed, spec: ViewSpec) -> None:
        self.feed = feed
        self.spec = spec
        self.connections: set[Connection] = set()
        self.state: ViewState | None = None
        self._visitors = 0
        self._loading = asyncio.Lock()
        self._shared: tuple[ViewState, WindowFacts, bytes] | None = None

    @property
    def is_idle(self) -> bool:
        """Return whether nobody shows this view or is about to."""
        return not self.connections and not self._visitors

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Keep the view alive for a connection that is about to join."""
        self._visitors += 1
        try:
            yield
        finally:
            self._visitors -= 1
            self._forget_if_idle()

    def add(self, connection: Connection) -> None:
        """Have ``connection`` follow the view."""
        self.connections.add(connection)

    def remove(self, connection: Connection) -> None:
        """Let ``connection`` go."""
        self.connections.discard(connection)
        self._forget_if_idle()

    async def load(self) -> None:
        """Make sure that there is a state; it is the same one until the caller waits again."""
        if self.state is None:
            async with self._loading:
                if self.state is None:
                    await self._begin()

    async def refresh(self) -> None:
        """Read the view and tell its connections what changed."""
        if self.state is None:
            return
        fresh = await self.feed.read(self.spec)
        state = self.state
        if state is not None and live.is_news(state, fresh):
            update = live.find_update(state, fresh)
            self.advance(fresh, self.update_text(update) if update else None)

    def update_text(self, update: Update) -> bytes:
        """Return the ``update`` message."""
        return encode(live.update_fields(self.feed.facts, self.spec, update, now=timezone.now()))

    def advance(self, fresh: ViewState, text: bytes | None) -> None:
        """Make ``fresh`` the state and say so: by an update's ``text``, without one by snapshots.

        Nobody waits for anybody.
        """
        self.state = fresh
        if text is None:
            for connection in self.connections:
                connection.push_snapshot()
            return
        frame = Frame(text)
        now = asyncio.get_running_loop().time()
        for connection in self.connections:
            connection.push(frame, at=now)

    def shared_text(self) -> bytes:
        """Return the ``snapshot`` message without what differs between connections."""
        state, facts = self.state, self.feed.facts
        if state is None:
            raise RuntimeError("A view without a state has no text.")
        kept = self._shared
        if kept is None or kept[0] is not state or kept[1] != facts:
            text = encode(live.view_fields("snapshot", facts, self.spec, state))
            kept = self._shared = (state, facts, text)
        return kept[2]

    async def missed_frames(self, since: ResumePoint) -> list[StreamFrame] | None:
        """Return what a client missed since then; only where nothing changed is that known."""
        state = self.state
        is_present = state is not None and (state.epoch, state.sequence) == since
        return [] if is_present else None

    async def _begin(self) -> None:
        self.state = await self.feed.read(self.spec)

    def _forget_if_idle(self) -> None:
        if self.is_idle:
            self.state = None
            self._shared = None
