"""Freezes of streaks: what keeps a run when a window was missed (STR-7)."""

from typing import ClassVar, Final
from uuid import UUID

from phoenix_site.common.arrays import IntegerArray, UuidArray
from phoenix_site.common.logging import get_logger
from rewards.models import FreezeMove
from rewards.rules.streaks import FreezePurse
from rewards.selectors import streak_states
from rewards.selectors import streaks as selectors
from rewards.services.settlement import Settlement
from rewards.services.statements import run
from rewards.types.causes import Cause

__all__ = ["FreezeDesk"]

log = get_logger(__name__)

_ANY: Final = UUID(int=0)
_REASON_LENGTH: Final = 500
_WRITE: Final = """
INSERT INTO rewards_streakfreeze (player_id, streak_id, held)
SELECT player_id, nullif(streak_id, %(any)s), held
FROM unnest(%(players)b, %(streaks)b, %(held)b) AS new (player_id, streak_id, held)
ON CONFLICT (player_id, streak_id) DO UPDATE SET held = excluded.held
"""


class FreezeDesk:
    """The freezes of the players of one settlement, after everything so far."""

    order: ClassVar[int] = 60

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._purses: dict[UUID, FreezePurse] | None = None
        self._changed: set[tuple[UUID, UUID | None]] = set()
        self._moves: list[FreezeMove] = []

    def purse(self, player_id: UUID) -> FreezePurse:
        """Return what the player holds; streaks take from it. Queries: 1 for all players, once."""
        if self._purses is None:
            held = streak_states.read_freezes(list(self._settlement.facts))
            self._purses = {
                known: FreezePurse(dict(held.get(known, {}))) for known in self._settlement.facts
            }
        return self._purses[player_id]

    def add(
        self,
        player_id: UUID,
        streak_id: UUID | None,
        count: int,
        *,
        cause: Cause,
        grant_id: UUID | None = None,
    ) -> int:
        """Give freezes for a streak, or for any, and return how many the player took.

        No more than ``max_held`` are held (STR-7): what is beyond is lost.
        Repeats: the caller's grant or request sees to that it happens once.
        """
        purse = self.purse(player_id)
        book = selectors.of(self._settlement.book(cause.tenant_id))
        most = 0
        if streak_id is None or streak_id in book.by_id:
            most = book.most_freezes(streak_id)
        holds = purse.held.get(None, 0) if streak_id is None else purse.count(streak_id)
        added = max(0, min(count, most - holds))
        if added < count:
            log.info("freezes.full", player=player_id.hex, given=count, taken=added)
        if added:
            kind = FreezeMove.Kind.STAFF if grant_id is None else FreezeMove.Kind.REWARD
            self._move(player_id, streak_id, added, kind=kind, cause=cause, grant_id=grant_id)
        return added

    def take_back(self, grant_id: UUID, *, cause: Cause) -> int:
        """Take back what a grant gave and return how many were still there; used ones stay used.

        Repeats: a grant is taken back once, see ``GrantDesk.revoke``. Queries: 1.
        """
        given = FreezeMove.objects.filter(grant_id=grant_id, kind=FreezeMove.Kind.REWARD).first()
        if given is None:
            return 0
        player_id, pocket = given.player_id, given.streak_id
        taken = min(given.amount, self.purse(player_id).held.get(pocket, 0))
        if taken:
            kind = FreezeMove.Kind.REVOKED
            self._move(player_id, pocket, -taken, kind=kind, cause=cause, grant_id=grant_id)
        return taken

    def note_used(self, player_id: UUID, streak_id: UUID, window_key: str) -> None:
        """Note that the streak took one from the player's purse for this window."""
        purse = self.purse(player_id)
        pocket = purse.used.pop(0)
        self._changed.add((player_id, pocket))
        self._moves.append(
            FreezeMove(
                player_id=player_id,
                streak_id=pocket,
                used_in_id=streak_id,
                kind=FreezeMove.Kind.USED,
                amount=-1,
                held_after=purse.held[pocket],
                window_key=window_key,
                at=self._settlement.now,
            )
        )

    def write(self) -> None:
        """Store what changed. Queries: 2, or 0."""
        changed = sorted(self._changed, key=str)
        if changed:
            parameters = {
                "players": UuidArray(player_id for player_id, _ in changed),
                "streaks": UuidArray(pocket or _ANY for _, pocket in changed),
                "held": IntegerArray(self.purse(one).held[pocket] for one, pocket in changed),
                "any": _ANY,
            }
            run(_WRITE, parameters)
        FreezeMove.objects.bulk_create(self._moves)

    def _move(
        self,
        player_id: UUID,
        pocket: UUID | None,
        amount: int,
        *,
        kind: FreezeMove.Kind,
        cause: Cause,
        grant_id: UUID | None,
    ) -> None:
        held = self.purse(player_id).held
        held[pocket] = held.get(pocket, 0) + amount
        self._changed.add((player_id, pocket))
        self._moves.append(
            FreezeMove(
                player_id=player_id,
                streak_id=pocket,
                kind=kind,
                amount=amount,
                held_after=held[pocket],
                grant_id=grant_id,
                actor=cause.actor[:255],
                reason=cause.reason[:_REASON_LENGTH],
                at=self._settlement.now,
            )
        )
