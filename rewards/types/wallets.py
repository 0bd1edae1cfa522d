"""Shapes of wallets: what may be asked of them and what they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from rewards.types.book import CurrencyView

__all__ = [
    "AccountLine",
    "Balance",
    "Balances",
    "BulkResult",
    "ExpiringLot",
    "HoldInput",
    "MoveInput",
    "PaySource",
    "Reversed",
    "Target",
    "TransactionFilter",
    "TransactionView",
]


@dataclass(frozen=True, slots=True)
class MoveInput:
    """An amount that staff or the tenant's back office give to a player, or take.

    ``reference`` is the sender's own word for it, shown beside the transaction.
    """

    user_id: str
    currency_id: str
    amount: Decimal
    reason: str
    reference: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HoldInput:
    """An amount to be set aside."""

    user_id: str
    currency_id: str
    amount: Decimal
    reference: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of one item of a list; ``error`` says why it was rejected."""

    index: int
    status: Literal["posted", "duplicate", "rejected"]
    transaction_id: UUID | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """An account of the house: ``prize_pool`` (with a reference), ``fees``, ``issuer``…"""

    kind: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class PaySource:
    """Who pays from a floor above: ``source_type`` in the words of grants, and the id there."""

    source_type: str
    source_id: str
    reason: str = ""
    actor: str = ""
    event_id: str | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Reversed:
    """A reversal; ``shortfall`` is what could not be taken back any more."""

    transaction_id: UUID
    reverses: UUID
    shortfall: Decimal


@dataclass(frozen=True, slots=True)
class ExpiringLot:
    """Part of a balance that ends at an instant."""

    amount: Decimal
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """A player's wallet in one currency."""

    currency: CurrencyView
    available: Decimal
    held: Decimal
    lifetime_earned: Decimal
    expiring: Sequence[ExpiringLot] = ()


@dataclass(frozen=True, slots=True)
class Balances:
    """A player's wallets; with ``as_of``, as they were then, after ``last_transaction_id``."""

    tenant_id: str
    user_id: str
    balances: Sequence[Balance]
    as_of: datetime | None = None
    last_transaction_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AccountLine:
    """One posting as it is shown."""

    account_kind: str
    reference: str
    user_id: str | None
    currency_id: str
    amount: Decimal
    balance_after: Decimal | None


@dataclass(frozen=True, slots=True)
class TransactionView:
    """A transaction with its postings; ``reversed_by`` is the one that took it back."""

    id: UUID
    kind: str
    user_id: str | None
    source_type: str
    source_ref: str
    cause_kind: str
    cause_id: str
    event_id: str | None
    actor: str
    reason: str
    reverses: UUID | None
    reversed_by: UUID | None
    idempotency_key: str
    created_at: datetime
    postings: Sequence[AccountLine]


@dataclass(frozen=True, slots=True)
class TransactionFilter:
    """What a list of transactions is asked for; ``since`` is included, ``until`` is not.

    ``cause`` is ``kind:id``, or an id of any kind.
    """

    user_id: str | None = None
    currency_id: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    cause: str | None = None
