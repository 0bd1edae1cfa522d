"""One accepted connection, as the hub sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from leaderboards.consumers.outbox import Outbox
from leaderboards.rules import live
from leaderboards.rules.live import OwnRank, ResumePoint, StreamFrame, ViewSpec
from leaderboards.services.connections import Seat
from phoenix_site.common.json import encode
from phoenix_site.common.times import format_utc
from phoenix_site.common.wires import Frame, Wire
from tenants.types import Caller

if TYPE_CHECKING:
    from leaderboards.consumers.views import LiveView


class Connection:
    """A client, what it looks at, and what it was told last."""

    __slots__ = (
        "caller",
        "changing",
        "is_warned",
        "leaderboard_id",
        "life_due_at",
        "outbox",
        "owes_snapshot",
        "own",
        "seat",
        "stalled_at",
        "stalled_bytes",
        "view",
        "window_key",
        "wire",
    )

    def __init__(self, wire: Wire, caller: Caller, seat: Seat, leaderboard_id: str) -> None:
        self.wire = wire
        self.caller = caller
        self.seat = seat
        self.leaderboard_id = leaderboard_id
        self.outbox = Outbox(wire, self._pay_snapshot)
        # A fixed key, or ``current`` for whoever follows the board from window to window.
        self.window_key = ""
        self.view: LiveView | None = None
        self.own: OwnRank | None = None
        # Updates were dropped: the newest state comes as soon as the client takes messages again.
        self.owes_snapshot = False
        self.changing = asyncio.Lock()
        # What the watch over clients remembers (``consumers.watch``).
        self.is_warned = False
        self.life_due_at: float | None = None
        self.stalled_at: float | None = None
        self.stalled_bytes = 0

    @property
    def user_id(self) -> str:
        """Return the external id of the token's player."""
        return self.seat.user_id

    @property
    def spec(self) -> ViewSpec:
        """Return what the connection shows of its window."""
        return self.view.spec if self.view is not None else live.DEFAULT_VIEW

    def send(self, fields: dict[str, Any], *, answer_id: str | None = None) -> None:
        """Send a message that must arrive; ``answer_id`` is the one of the message it answers."""
        if answer_id is not None:
            fields = {**fields, "id": answer_id}
        self.outbox.send(Frame(encode(fields)), at=asyncio.get_running_loop().time())

    def push(self, frame: Frame, *, at: float) -> None:
        """Send an update of the view, unless a snapshot that is due will contain it."""
        if not self.owes_snapshot and not self.outbox.offer(frame, at=at):
            self.owes_snapshot = True

    def push_snapshot(self) -> None:
        """Send the view as it is now, at once or when the client has taken what waits."""
        self.owes_snapshot = True
        if self.outbox.is_clear:
            self._pay_snapshot()
        else:
            self.outbox.drop_updates()

    def push_own_rank(self, own: OwnRank, total_players: int, *, at: float) -> None:
        """Tell the player a new rank; a snapshot that is due will contain it."""
        previous, self.own = self.own, own
        if not self.owes_snapshot:
            fields = live.my_rank_fields(own, previous, total_players, now=timezone.now())
            self.push(Frame(encode(fields)), at=at)

    def move_to(self, view: LiveView) -> None:
        """Show ``view`` from now on; the caller sends its snapshot, or what was missed of it."""
        old, self.view = self.view, view
        view.add(self)
        view.feed.add(self)
        self.owes_snapshot = False
        self.outbox.drop_updates()
        if old is not None and old is not view:
            old.remove(self)
            if old.feed is not view.feed:
                old.feed.remove(self)

    def leave(self) -> None:
        """Show nothing."""
        if self.view is not None:
            self.view.remove(self)
            self.view.feed.remove(self)
            self.view = None

    def send_snapshot(self, *, answer_id: str | None = None) -> None:
        """Send the whole view as an answer."""
        self.owes_snapshot = False
        frame = Frame(self._snapshot_text(answer_id))
        self.outbox.send(frame, at=asyncio.get_running_loop().time())

    def send_missed(self, since: ResumePoint, missed: Iterable[StreamFrame]) -> None:
        """Go on where the client was; its own rank follows at the next look."""
        self.send({"type": "resumed", "epoch": since.epoch, "sequence": since.sequence})
        now = asyncio.get_running_loop().time()
        for frame in missed:
            self.push(Frame(frame.text), at=now)

    def close(self, code: int, reason: str = "") -> None:
        """End the connection behind what was already written."""
        self.outbox.close()
        self.wire.close(code, reason)

    def _pay_snapshot(self) -> None:
        if self.owes_snapshot and self.view is not None and self.view.state is not None:
            self.send_snapshot()

    def _snapshot_text(self, answer_id: str | None) -> bytes:
        """Complete the text that all clients of the view share: splicing, not encoding again."""
        view = self.view
        if view is None or view.state is None:
            raise RuntimeError("A connection without a loaded view has no snapshot.")
        own = live.own_rank_in(view.state, self.user_id) or view.feed.own_rank(self.user_id)
        self.own = own
        tail: dict[str, Any] = {
            "me": own.as_dict(view.feed.total_players),
            "timestamp": format_utc(timezone.now()),
        }
        if answer_id is not None:
            tail["id"] = answer_id
        return view.shared_text()[:-1] + b"," + encode(tail)[1:]
