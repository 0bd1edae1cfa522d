"""One hub per web process: every live connection, and what each needs from outside.

It joins one channel-layer group per window, however many connections show it, and tells the
window's feed what it hears. Messages may be lost, so it also looks regularly.
"""

import asyncio
import contextlib
import weakref
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from channels.layers import get_channel_layer
from django.conf import settings
from django.utils import timezone

from leaderboards import broadcasts
from leaderboards.consumers import watch
from leaderboards.consumers.connection import Connection
from leaderboards.consumers.feeds import Feed
from leaderboards.consumers.messages import CURRENT
from leaderboards.consumers.readers import StandingsReader
from leaderboards.consumers.tickers import Ticker
from leaderboards.rules import live
from leaderboards.rules.live import ResumePoint, StreamFrame, ViewSpec
from leaderboards.selectors import shown
from leaderboards.services import connections as seats
from leaderboards.services.connections import Seat
from leaderboards.types import ShownWindow
from phoenix_site.common import lifecycle
from phoenix_site.common.exceptions import NotFoundError, UnavailableError
from phoenix_site.common.ids import new_id
from phoenix_site.common.logging import get_logger
from phoenix_site.common.redis import RedisError

log = get_logger(__name__)

BOARD_GONE: Final = 4404
FRAME: Final = "standings.frame"

_LOOK_SECONDS: Final = 1.0
_PULSE_SECONDS: Final = 1.0
_ACCESS_SECONDS: Final = 3.0
# Every so many looks everything is read although nobody said that it changed.
_LOOKS_PER_POKE: Final = 2
_RETRY_SECONDS: Final = 1.0
_LEAVE_SECONDS: Final = 0.2
_LAYER_SECONDS: Final = 3.0
# After so many connections other work of the process gets its turn.
_CONNECTIONS_AT_ONCE: Final = 200
_OPENED_AT_ONCE: Final = 32

_hubs: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = weakref.WeakKeyDictionary()


class Hub:
    """All live connections of one process."""

    def __init__(self) -> None:
        self._id = new_id()
        self._tick = timedelta(seconds=1 / settings.PHOENIX_LIVE_UPDATES_PER_SECOND)
        self._reader = StandingsReader()
        self._feeds: dict[UUID, Feed] = {}
        self._unjoined: set[UUID] = set()
        self._connections: set[Connection] = set()
        self._opening = asyncio.Lock()
        # How many connections are being opened at a time; a stampede waits here, not in pools.
        self.door = asyncio.Semaphore(_OPENED_AT_ONCE)
        self._left_seats: list[Seat] = []
        self._seat_ticker = Ticker(self._leave_seats, seconds=_LEAVE_SECONDS)
        self._layer: Any = get_channel_layer()
        self._channel: str | None = None
        self._naming = asyncio.Lock()
        work = (self._listen, self._look_regularly, self._feel_pulses, self._check_accesses)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._go_on(each)) for each in (*work, self._keep_seats)]

    async def stop(self) -> None:
        """End; connections are the server's to close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._seat_ticker.stop()
        await self._leave_seats()
        for feed in self._feeds.values():
            await feed.stop()
        self._feeds.clear()

    def enter(self, connection: Connection) -> None:
        """Take charge of an accepted connection."""
        self._connections.add(connection)

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is over."""
        self._connections.discard(connection)
        connection.leave()
        connection.outbox.close()

    def give_up(self, seat: Seat) -> None:
        """Count a connection out soon, together with others that end now."""
        self._left_seats.append(seat)
        self._seat_ticker.poke()

    async def show(
        self,
        connection: Connection,
        window: ShownWindow,
        spec: ViewSpec,
        *,
        since: ResumePoint | None = None,
        answer_id: str | None = None,
    ) -> None:
        """Show a view, beginning with a snapshot, or with what was missed since then.

        Raises: ``UnavailableError``, ``NotFoundError``.
        """
        feed = await self._feed(window)
        view = feed.view(spec)
        with view.visit():
            await view.load()
            ranks = await feed.read_own_ranks([connection.user_id])
            missed = await view.missed_frames(since) if since is not None else None
            # From here on nothing waits, so no update can fall between state and joining.
            connection.move_to(view)
            feed.keep_own_rank(connection.user_id, ranks[connection.user_id])
            if since is None or missed is None:
                connection.send_snapshot(answer_id=answer_id)
            else:
                connection.send_missed(since, missed)

    async def announce(self, window_id: UUID, frame: StreamFrame) -> None:
        """Pass a frame of the default view on to all processes; what is lost shows at a look."""
        group = broadcasts.standings_group(window_id)
        message = {"type": FRAME, "window": window_id.hex, "frame": list(frame)}
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_LAYER_SECONDS):
                await self._layer.group_send(group, message)

    # --- Feeds and their groups ------------------------------------------------------------------

    async def _feed(self, window: ShownWindow) -> Feed:
        """Return the window's feed; a new one has joined its group before it is read."""
        feed = self._feeds.get(window.id)
        if feed is not None:
            return feed
        async with self._opening:
            feed = self._feeds.get(window.id)
            if feed is None:
                feed = Feed(window, self._reader, self, holder=self._id, tick=self._tick)
                if not window.is_history:
                    await self._join(window.id)
                self._feeds[window.id] = feed
            return feed

    async def _join(self, window_id: UUID) -> None:
        self._unjoined.add(window_id)
        try:
            async with asyncio.timeout(_LAYER_SECONDS):
                group = broadcasts.standings_group(window_id)
                await self._layer.group_add(group, await self._own_channel())
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("live.not_joined", window=str(window_id), error=type(exc).__name__)
        else:
            self._unjoined.discard(window_id)

    async def _drop_idle_feeds(self) -> None:
        for window_id, feed in list(self._feeds.items()):
            feed.drop_idle_views()
            if not feed.is_idle:
                continue
            async with self._opening:
                if feed.is_idle:
                    del self._feeds[window_id]
                    await self._discard(window_id)
                    await feed.stop()

    async def _discard(self, window_id: UUID) -> None:
        self._unjoined.discard(window_id)
        self._reader.forget(window_id)
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_LAYER_SECONDS):
                group = broadcasts.standings_group(window_id)
                await self._layer.group_discard(group, await self._own_channel())

    # --- Hearing ---------------------------------------------------------------------------------

    async def _own_channel(self) -> str:
        """Return the one channel through which this process hears of all its windows."""
        async with self._naming:
            if self._channel is None:
                self._channel = await self._layer.new_channel("hub.")
            return self._channel

    async def _listen(self) -> None:
        await self._hear(await self._layer.receive(await self._own_channel()))

    async def _hear(self, message: dict[str, Any]) -> None:
        feed = self._feeds.get(UUID(hex=message["window"]))
        if feed is None:
            return
        if message["type"] == FRAME:
            await feed.stream.follow(StreamFrame(*message["frame"]))
        elif message["type"] == broadcasts.DIRTY:
            feed.poke()

    # --- Looking ---------------------------------------------------------------------------------

    async def _look_regularly(self) -> None:
        for number in range(_LOOKS_PER_POKE):
            for window_id in list(self._unjoined):
                await self._join(window_id)
            await self._drop_idle_feeds()
            for feed in list(self._feeds.values()):
                await self._look_at(feed)
                if number == 0:
                    feed.poke()
            await asyncio.sleep(self._seconds_to_next_look())

    def _seconds_to_next_look(self) -> float:
        """Return a second, or less when a window ends before."""
        now = timezone.now()
        ends = [feed.window.ends_at for feed in self._feeds.values() if feed.window.ends_at]
        waits = [(end - now).total_seconds() for end in ends if end > now]
        return min([_LOOK_SECONDS, *waits]) + 0.01

    async def _look_at(self, feed: Feed) -> None:
        """See whether the window is still the current one, and whether it is closed by now."""
        now = timezone.now()
        with contextlib.suppress(UnavailableError):
            followers = [each for each in feed.connections if each.window_key == CURRENT]
            if followers and await self._lead(followers, feed, now):
                return
            if not feed.window.is_history:
                await self._look_at_end(feed, now)

    async def _lead(self, followers: list[Connection], feed: Feed, now: datetime) -> bool:
        """Lead those who follow the board to its present window; true while that is this one."""
        old = feed.window
        current = await _find(old, CURRENT, now)
        if current is not None and current.id == old.id:
            feed.window = current
            return True
        if current is not None:
            await self._move(followers, current)
        elif old.ends_at is None or old.ends_at > now:
            _close(followers, BOARD_GONE, "board no longer active")
        return False

    async def _move(self, followers: list[Connection], window: ShownWindow) -> None:
        """Show the board's new window; the old one told nothing but its updates so far."""
        feed = await self._feed(window)
        ranks = await feed.read_own_ranks(list({each.user_id for each in followers}))
        for connection in followers:
            async with connection.changing:
                view = connection.view
                if view is None or view.feed is feed or connection.window_key != CURRENT:
                    continue
                new = feed.view(view.spec)
                with new.visit():
                    await new.load()
                    old_key = view.feed.window.key
                    connection.move_to(new)
                    feed.keep_own_rank(connection.user_id, ranks[connection.user_id])
                    connection.send(
                        live.window_changed_fields(old_key, window.key, now=timezone.now())
                    )
                    connection.send_snapshot()

    async def _look_at_end(self, feed: Feed, now: datetime) -> None:
        window = await _find(feed.window, feed.window.key, now)
        if window is None or window.state == "void":
            _close(feed.connections, BOARD_GONE, "board no longer active")
            return
        feed.window = window
        if window.is_history:
            fields = live.window_closed_fields(
                window.key, proof=window.hash, revision=window.revision, now=now
            )
            for connection in feed.connections:
                connection.send(fields)

    # --- Watching over connections ---------------------------------------------------------------

    async def _feel_pulses(self) -> None:
        await asyncio.sleep(_PULSE_SECONDS)
        now, at = timezone.now(), asyncio.get_running_loop().time()
        for connection in list(self._connections):
            watch.check_pulse(connection, at=at, now=now)
            watch.warn_of_expiry(connection, now=now)
            expires_at = connection.caller.expires_at
            if expires_at is not None and expires_at <= now:
                await watch.check_access(connection, now=now)

    async def _check_accesses(self) -> None:
        await asyncio.sleep(_ACCESS_SECONDS)
        for number, connection in enumerate(list(self._connections), start=1):
            await watch.check_access(connection, now=timezone.now())
            if number % _CONNECTIONS_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _leave_seats(self) -> None:
        left, self._left_seats = self._left_seats, []
        await seats.leave_seats(left)

    async def _keep_seats(self) -> None:
        await asyncio.sleep(seats.RENEW_SECONDS)
        await seats.renew_seats([connection.seat for connection in self._connections])

    async def _go_on(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` again and again, whatever becomes of it."""
        while True:
            try:
                await work()
            except (RedisError, OSError, TimeoutError) as exc:
                log.warning("live.interrupted", work=work.__name__, error=type(exc).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                log.exception("live.failed", work=work.__name__)
                await asyncio.sleep(_RETRY_SECONDS)


async def _find(like: ShownWindow, window_key: str, now: datetime) -> ShownWindow | None:
    try:
        return await shown.aget_shown(like.tenant_id, like.leaderboard_id, window_key, now=now)
    except NotFoundError:
        return None


def _close(connections: Iterable[Connection], code: int, reason: str) -> None:
    for connection in connections:
        connection.close(code, reason)


def get_hub() -> Hub:
    """Return the hub of the running event loop, started at first use."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub()
        lifecycle.on_shutdown(stop_hub)
    return hub


async def stop_hub() -> None:
    """Stop the hub of the running event loop, if it has one."""
    hub = _hubs.pop(asyncio.get_running_loop(), None)
    if hub is not None:
        await hub.stop()
