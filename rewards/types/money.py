"""Money of players while one transaction works on it."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal
from typing import Final, NamedTuple
from uuid import UUID

from rewards.types.book import CurrencyView
from rewards.types.causes import Cause

__all__ = [
    "EXACT",
    "MAX_AMOUNT",
    "ZERO",
    "AccountName",
    "AccountState",
    "Draft",
    "Line",
    "LotState",
    "Movement",
    "PostedKey",
    "WalletChange",
    "WalletState",
]

ZERO: Final = Decimal(0)
# The default context has 28 digits and would round balances that a column still holds.
EXACT: Final = Context(prec=80)
# One posting is smaller than this; so a column of amounts holds the sum of any number of them.
MAX_AMOUNT: Final = Decimal(10**18)


# Currency, kind, player, reference: what tells an account from every other one.
AccountName = tuple[UUID, str, UUID | None, str]


class Movement(NamedTuple):
    """One posted movement of a wallet; ``is_repeat`` when its key was posted before."""

    transaction_id: UUID
    balance_after: Decimal
    is_repeat: bool = False


@dataclass(slots=True)
class AccountState:
    """An account of the ledger; ``id`` is ``None`` until its row is made.

    ``balance`` is what it holds after everything so far, ``None`` where balances are summed;
    ``stored`` what its row says.
    """

    tenant_id: str
    currency_pk: UUID
    kind: str
    player_id: UUID | None = None
    reference: str = ""
    id: int | None = None
    balance: Decimal | None = None
    stored: Decimal = ZERO

    @property
    def name(self) -> AccountName:
        """Return what tells it from every other account."""
        return (self.currency_pk, self.kind, self.player_id, self.reference)


@dataclass(slots=True)
class WalletState:
    """A player's wallet in one currency, after everything so far. Only the settlement changes it.

    ``available`` can be spent, ``held`` is set aside, ``lifetime_earned`` is what was ever earned.
    ``stored_lifetime`` and ``stored_has_lots`` are what the row says.
    """

    player_id: UUID
    currency: CurrencyView
    wallet: AccountState
    escrow: AccountState
    lifetime_earned: Decimal = ZERO
    stored_lifetime: Decimal = ZERO
    has_lots: bool = False
    stored_has_lots: bool = False

    @property
    def available(self) -> Decimal:
        """Return what the player can spend; lots that are due are posted as expired already."""
        return self.wallet.balance or ZERO

    @property
    def held(self) -> Decimal:
        """Return what is set aside by open holds."""
        return self.escrow.balance or ZERO


class WalletChange(NamedTuple):
    """A change of what a player ever earned in a currency: values of ``lifetime_earned``."""

    player_id: UUID
    currency: CurrencyView
    before: Decimal
    after: Decimal
    cause: Cause


class Line(NamedTuple):
    """One posting to be written."""

    account: AccountState
    amount: Decimal
    balance_after: Decimal | None


@dataclass(slots=True)
class Draft:
    """A transaction to be written, with its postings. ``content_hash`` is 64 hex digits."""

    id: UUID
    kind: str
    key: str
    content_hash: str
    player_id: UUID | None
    cause: Cause
    lines: list[Line]
    created_at: datetime
    reverses: UUID | None = None


@dataclass(slots=True, eq=False)
class LotState:
    """What is left of one credit; ``id`` is ``None`` until its row is made.

    ``transaction_id`` is ``None`` for what a wallet held when its first lot was made, and
    ``stored`` what the row says is left.
    """

    player_id: UUID
    currency_pk: UUID
    amount: Decimal
    remaining: Decimal
    expires_at: datetime | None
    created_at: datetime
    transaction_id: UUID | None = None
    id: int | None = None
    stored: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class PostedKey:
    """What the ledger has under an idempotency key; ``balances`` are those it left behind."""

    transaction_id: UUID
    content_hash: str
    balances: dict[AccountName, Decimal | None] = field(default_factory=dict)
