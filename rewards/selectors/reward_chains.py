"""From a firing or a grant to what a player has of it: moves, postings and calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rewards.models import Firing, Grant, GrantMove
from rewards.selectors import grants as grant_selectors
from rewards.selectors import wallets
from rewards.types.wallets import TransactionFilter, TransactionView
from tenants.models import Delivery

__all__ = ["FiringChain", "GrantChain", "chain_of_firing", "chain_of_grant"]

_MOST: Final = 50


@dataclass(frozen=True, slots=True)
class GrantChain:
    """A grant, its steps, what it moved in the ledger, and the calls that it owes or owed."""

    grant: Grant
    moves: Sequence[GrantMove]
    transactions: Sequence[TransactionView]
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class FiringChain:
    """A firing with its own transactions and its grants."""

    firing: Firing
    transactions: Sequence[TransactionView]
    grants: Sequence[GrantChain]


def chain_of_grant(grant: Grant) -> GrantChain:
    """Return what came of a grant. Queries: 6."""
    return GrantChain(
        grant,
        grant_selectors.moves_of(grant),
        _caused_by(grant.tenant_id, f"grant:{grant.pk}"),
        grant_selectors.deliveries_of(grant),
    )


def chain_of_firing(firing: Firing, *, only: Grant | None = None) -> FiringChain:
    """Return what came of a firing, or of one grant of it. Queries: 4, and 6 for each grant."""
    if only is not None:
        return FiringChain(firing, [], [chain_of_grant(only)])
    grants = Grant.objects.filter(firing=firing).select_related("player", "rule").order_by("pk")
    return FiringChain(
        firing,
        _caused_by(firing.tenant_id, f"firing:{firing.pk}"),
        [chain_of_grant(grant) for grant in grants[:_MOST]],
    )


def _caused_by(tenant_id: str, cause: str) -> Sequence[TransactionView]:
    asked = TransactionFilter(cause=cause)
    return wallets.transactions(tenant_id, asked, limit=_MOST, offset=0).items
