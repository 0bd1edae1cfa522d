"""The default view of a window: one process renders it, all processes forward the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leaderboards.consumers.views import LiveView
from leaderboards.rules import live
from leaderboards.rules.live import ResumePoint, StreamFrame, Update, ViewState
from leaderboards.services import live_stream
from leaderboards.services.live_stream import Lease
from phoenix_site.common.json import decode, encode
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError

if TYPE_CHECKING:
    from leaderboards.consumers.feeds import Announcer, Feed

log = get_logger(__name__)


class DefaultStream(LiveView):
    """Follows the frames of the process that publishes, or is that process.

    Every process works each update into its own copy of the view, exactly as clients do; where one
    does not fit, it fetches the state anew and its clients get a snapshot. Without Redis the
    process goes on alone from the database and rejoins the stream when Redis is back.
    """

    def __init__(self, feed: Feed, announcer: Announcer, *, holder: str) -> None:
        super().__init__(feed, live.DEFAULT_VIEW)
        self._announcer = announcer
        self._holder = holder
        # Where this process stood when it last saw that the stream was ahead.
        self._behind_at: tuple[str, int] | None = None

    async def refresh(self) -> None:
        """Publish what changed if it is this process's turn, else see whether a frame was lost."""
        async with self._loading:
            if self.is_idle or self.state is None:
                return
            try:
                lease = await live_stream.hold_lease(self.feed.window.id, holder=self._holder)
                if lease.is_held:
                    await self._publish(lease)
                else:
                    await self._notice_lost_frame(lease)
            except RedisError:
                await super().refresh()

    async def follow(self, frame: StreamFrame) -> None:
        """Forward a frame that some process published."""
        state = self.state
        if state is None or _is_known(frame, state):
            return
        if frame.previous_sequence is None:
            self._catch_up(live.read_state(decode(frame.text)))
        elif (state.epoch, state.sequence) == (frame.epoch, frame.previous_sequence):
            update = live.read_update(decode(frame.text), total_players=frame.total_players)
            self.advance(live.apply_update(state, update), frame.text)
        else:
            await self._rejoin()

    async def missed_frames(self, since: ResumePoint) -> list[StreamFrame] | None:
        """Return what a client missed since then, up to the present state; ``None``: unknown."""
        try:
            kept = await live_stream.kept_frames(self.feed.window.id)
        except RedisError:
            return None
        state = self.state
        if state is None or state.epoch != since.epoch:
            return None
        return live.missed_frames(kept, since, until=state.sequence)

    async def resign(self) -> None:
        """Let another process publish at once."""
        try:
            await live_stream.release_lease(self.feed.window.id, holder=self._holder)
        except RedisError:
            log.info("live.lease_lapses", window=str(self.feed.window.id))

    async def _begin(self) -> None:
        """Start where the stream is; start the stream if there is none."""
        try:
            lease = await live_stream.hold_lease(self.feed.window.id, holder=self._holder)
            self.state = await live_stream.find_state(self.feed.window.id)
            if lease.is_held:
                await self._publish(lease)
        except RedisError:
            log.info("live.without_redis", window=str(self.feed.window.id))
        if self.state is None:
            # No stream within reach: show the standings as they are, and rejoin later.
            self.state = await self.feed.read(self.spec)

    async def _publish(self, lease: Lease) -> None:
        """Bring the stream, and then this process, from where they are to the standings of now."""
        base = await self._published(lease)
        fresh = await self.feed.read(self.spec)
        is_news = base is None or live.is_news(base, fresh)
        if base is not None and not is_news and lease.epoch:
            self._catch_up(base)
            return
        update = live.find_update(base, fresh) if base is not None and is_news else None
        frame = self._frame(fresh, update)
        window_id = self.feed.window.id
        if not await live_stream.append_frame(window_id, frame, fresh, holder=self._holder):
            return
        if is_news and not self.is_idle:
            self.advance(fresh, frame.text if update and self.state == base else None)
        await self._announcer.announce(window_id, frame)

    async def _published(self, lease: Lease) -> ViewState | None:
        """Return the state that everybody has; a stream that was lost goes on where we are."""
        state = self.state
        if not lease.epoch:
            return state
        if state is not None and (lease.epoch, lease.sequence) == (state.epoch, state.sequence):
            return state
        return await live_stream.find_state(self.feed.window.id)

    def _frame(self, fresh: ViewState, update: Update | None) -> StreamFrame:
        return StreamFrame(
            epoch=fresh.epoch,
            previous_sequence=update.previous_sequence if update else None,
            sequence=fresh.sequence,
            total_players=fresh.total_players,
            text=self.update_text(update) if update else encode(live.state_fields(fresh)),
        )

    async def _notice_lost_frame(self, lease: Lease) -> None:
        """Rejoin when the stream is ahead at two looks in a row; once, the frame is on its way."""
        state = self.state
        place = (state.epoch, state.sequence) if state is not None else ("", 0)
        if not lease.epoch or (lease.epoch, lease.sequence) == place:
            self._behind_at = None
        elif self._behind_at == place:
            await self._rejoin()
        else:
            self._behind_at = place

    async def _rejoin(self) -> None:
        """Take the published state over."""
        self._behind_at = None
        stored = await live_stream.find_state(self.feed.window.id)
        if stored is not None:
            self._catch_up(stored)

    def _catch_up(self, published: ViewState) -> None:
        """Show the published state; it has no way from ours, so everybody gets a snapshot."""
        if self.state is not None and live.is_news(self.state, published):
            self.advance(published, None)


def _is_known(frame: StreamFrame, state: ViewState) -> bool:
    """Return whether ``state`` has the frame; a break may change what a sequence looks like."""
    if frame.epoch != state.epoch:
        return False
    if frame.previous_sequence is None:
        return frame.sequence < state.sequence
    return frame.sequence <= state.sequence
