"""Taking a transaction back: the opposite postings, once (LED-6)."""

from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import NotFoundError
from rewards.exceptions import (
    AlreadyReversedError,
    InsufficientBalanceError,
    StateConflictError,
)
from rewards.models import Account, LedgerTransaction, Posting
from rewards.services.pipe import settling
from rewards.services.settlement import EARNING, Settlement
from rewards.types.book import CurrencyView
from rewards.types.causes import Cause
from rewards.types.money import EXACT, ZERO, AccountState
from rewards.types.wallets import Reversed
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["reverse", "reverse_in"]

# What has a state of its own beside the postings is taken back by that state's own way.
_OTHER_WAYS: Final = {
    "hold": "Release the hold instead.",
    "capture": "Refund the payment instead.",
    "release": "Hold the amount again instead.",
    "expire": "Grant the amount again instead.",
    "reversal": "Post the amount again instead.",
}


class _Side(NamedTuple):
    account: AccountState
    # What the reversal moves there.
    amount: Decimal


def reverse_in(
    at: Settlement, transaction_id: UUID, *, clip: bool, cause: Cause, key: str = ""
) -> Reversed:
    """Reverse a transaction within a settlement that holds its player.

    With ``clip`` an account that has too little gives what it has; the rest is the shortfall.

    Raises: ``NotFoundError``, ``AlreadyReversedError``, ``StateConflictError`` for kinds that have
    another way back, ``InsufficientBalanceError`` (with ``clip``: when nothing is left at all).
    Locks: the transaction, pools. Queries: 3 or more.
    """
    row = _lock(cause.tenant_id, transaction_id)
    sides = _sides(at, row)
    amount = max(side.amount for side in sides)
    taken = _within_reach(sides, amount)
    if taken < amount and not (clip and taken > 0):
        raise InsufficientBalanceError("Too little is left to take it back.")
    shortfall = EXACT.subtract(amount, taken)
    lines = [(side.account, taken if side.amount > 0 else -taken) for side in sides]
    key = key or f"reverse:{row.pk}"
    for account, moved in lines:
        if account.player_id is not None and moved < 0:
            at.check_lots(account, -moved)
    draft = at.drafts.post(
        "reversal", lines, cause=cause, key=key, player_id=row.player_id, reverses=row.pk
    )
    for account, moved in lines:
        if account.player_id is not None:
            at.unwind(account, moved, draft, was_earned=row.kind in EARNING)
    return Reversed(draft.id, row.pk, shortfall)


@transaction.atomic
def reverse(
    tenant_id: str,
    transaction_id: UUID,
    *,
    clip: bool,
    reason: str,
    actor: Actor,
    now: datetime,
) -> Reversed:
    """Reverse a transaction for staff; raises as ``reverse_in``. Locks: its player."""
    found = LedgerTransaction.objects.filter(tenant=tenant_id, pk=transaction_id).first()
    if found is None:
        raise NotFoundError("There is no such transaction.")
    is_person = actor.kind == "staff"
    cause = Cause(
        tenant_id=tenant_id,
        source_type="manual" if is_person else "api",
        source_id=str(transaction_id),
        kind="transaction",
        id=str(transaction_id),
        actor=actor.label[:255],
        reason=reason,
    )
    players = [found.player_id] if found.player_id else []
    with settling(players, now=now) as at:
        outcome = reverse_in(at, transaction_id, clip=clip, cause=cause)
    about = AuditChange(
        "ledger_transaction",
        str(transaction_id),
        found.kind,
        None,
        {"reversal": str(outcome.transaction_id), "shortfall": str(outcome.shortfall)},
    )
    audit.record(
        "wallet.reversed", actor=actor, now=now, tenant_id=tenant_id, change=about, reason=reason
    )
    return outcome


def _lock(tenant_id: str, transaction_id: UUID) -> LedgerTransaction:
    """Return the transaction; of two that reverse it at once, the second waits here and sees."""
    rows = LedgerTransaction.objects.select_for_update(no_key=True)
    row = rows.filter(tenant=tenant_id, pk=transaction_id).first()
    if row is None:
        raise NotFoundError("There is no such transaction.")
    if row.kind in _OTHER_WAYS:
        raise StateConflictError(f"A {row.kind} is not reversed. {_OTHER_WAYS[row.kind]}")
    if LedgerTransaction.objects.filter(reverses=row.pk).exists():
        raise AlreadyReversedError("The transaction was reversed already.")
    return row


def _sides(at: Settlement, row: LedgerTransaction) -> list[_Side]:
    postings = Posting.objects.filter(transaction=row.pk).select_related("account")
    currencies = at.book(row.tenant_id).currencies_by_pk
    sides = []
    # Pools in the order in which everybody locks them.
    for posting in sorted(postings, key=lambda each: (each.account.kind, each.account.reference)):
        account = posting.account
        currency = currencies[account.currency_id]
        sides.append(_Side(_state(at, currency, account), -posting.amount))
    return sides


def _state(at: Settlement, currency: CurrencyView, account: Account) -> AccountState:
    if account.player_id is not None:
        return at.wallet(account.player_id, currency).wallet
    return at.house(currency, account.kind, account.reference)


def _within_reach(sides: list[_Side], amount: Decimal) -> Decimal:
    for side in sides:
        if side.amount < 0 and side.account.balance is not None:
            amount = min(amount, side.account.balance)
    return max(amount, ZERO)
