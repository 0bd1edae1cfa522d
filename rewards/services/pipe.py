"""The way in which everything that players are given or pay is settled."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

from players.types import PlayerFacts
from rewards.services import accounts, achievement_desk, ladders, ledger
from rewards.services.participants import lock_participants
from rewards.services.settlement import Follower, Settlement

__all__ = ["FOLLOWERS", "settling"]

# Who has to know when a player's ``lifetime_earned`` changes, in this order.
FOLLOWERS: Final[tuple[Follower, ...]] = (
    achievement_desk.follow_wallet,
    ladders.follow_wallet,
)


@contextmanager
def settling(
    player_ids: Collection[UUID],
    *,
    now: datetime,
    keys: Collection[tuple[str, str]] = (),
    facts: Mapping[UUID, PlayerFacts] | None = None,
) -> Iterator[Settlement]:
    """Open what one transaction changes of what players have; call it in a transaction.

    Locks the players, reads their wallets, posts lots that are due as expired. When the block
    ends without an exception, everything is written; with one, nothing is. ``keys`` are (tenant
    id, key) of the ledger that may have been posted before: the first movement is then given
    again. ``facts`` may be handed in by who has read them already.

    Locks: participants in id order, and pools as they are asked for.
    Queries: 3, and 4 when facts are asked for; with expiring currencies 2; to write about 4.
    """
    tenants = lock_participants(player_ids, now=now)
    settlement = Settlement(
        now=now,
        tenants=tenants,
        facts=facts,
        rows=accounts.read_wallets(player_ids),
        posted=ledger.posted_keys(keys),
        followers=FOLLOWERS,
    )
    settlement.expire_due()
    yield settlement
    settlement.write()
