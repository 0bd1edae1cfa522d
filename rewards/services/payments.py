"""The door for floors above: entry fees, prizes and refunds of what they run.

Each call names its own idempotency key, unique in the tenant: repeated with the same content it
gives the first outcome, with another it is refused. All run in the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import InvalidInputError, NotFoundError
from rewards.models import Hold
from rewards.selectors.book import book_of
from rewards.services.holds import HoldDesk, HoldState
from rewards.services.pipe import settling
from rewards.services.wallets import house_account
from rewards.types.book import CurrencyView
from rewards.types.causes import Cause
from rewards.types.money import Movement
from rewards.types.wallets import PaySource, Target

__all__ = [
    "Payment",
    "capture",
    "hold",
    "pay",
    "pay_prize",
    "pay_prizes",
    "refund",
    "release",
    "transfer",
]

ISSUER: Final = Target("issuer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """An amount between a player's wallet and an account of the house."""

    player_id: UUID
    currency_id: str
    amount: Decimal
    idempotency_key: str
    account: Target = ISSUER


@transaction.atomic
def hold(
    tenant_id: str,
    payment: Payment,
    *,
    source: PaySource,
    reference: str,
    now: datetime,
    expires_at: datetime | None = None,
) -> HoldState:
    """Set an amount aside; ``expires_at`` (24 h) releases what is left of it.

    Raises: ``InsufficientBalanceError``, ``NotSpendableError``, ``InvalidInputError``,
    ``PostingConflictError``. Repeats: safe by key. Locks: the player.
    """
    currency, key = _currency(tenant_id, payment.currency_id), _key(payment.idempotency_key)
    with settling([payment.player_id], now=now, keys=[(tenant_id, key)]) as at:
        return at.part(HoldDesk).open(
            payment.player_id,
            currency,
            payment.amount,
            reference=reference,
            cause=_cause(tenant_id, source),
            key=key,
            expires_at=expires_at,
        )


@transaction.atomic
def capture(
    tenant_id: str,
    hold_id: UUID,
    amount: Decimal | None,
    *,
    to: Target,
    source: PaySource,
    idempotency_key: str,
    now: datetime,
) -> Movement:
    """Pay what a hold has set aside, or a part, to an account of the house.

    Raises: ``HoldClosedError``, ``HoldExceededError``, ``NotFoundError``,
    ``PostingConflictError``. Repeats: safe by key. Locks: the player, the pool.
    """
    key = _key(idempotency_key)
    with settling([_holder(tenant_id, hold_id)], now=now, keys=[(tenant_id, key)]) as at:
        desk = at.part(HoldDesk)
        account = house_account(at, desk.get(hold_id).currency, to)
        return desk.capture(hold_id, amount, account, cause=_cause(tenant_id, source), key=key)


@transaction.atomic
def release(
    tenant_id: str,
    hold_id: UUID,
    amount: Decimal | None,
    *,
    source: PaySource,
    idempotency_key: str,
    now: datetime,
) -> Movement:
    """Give what a hold has set aside, or a part, back. Raises, repeats: as ``capture``."""
    key = _key(idempotency_key)
    with settling([_holder(tenant_id, hold_id)], now=now, keys=[(tenant_id, key)]) as at:
        return at.part(HoldDesk).release(hold_id, amount, cause=_cause(tenant_id, source), key=key)


@transaction.atomic
def pay(tenant_id: str, payment: Payment, *, source: PaySource, now: datetime) -> Movement:
    """Let a player pay at once: from the wallet to ``payment.account`` (kind ``purchase``).

    Raises: ``InsufficientBalanceError``, ``NotSpendableError``, ``InvalidInputError``,
    ``PostingConflictError``. Repeats: safe by key. Locks: the player, the pool.
    """
    currency, key = _currency(tenant_id, payment.currency_id), _key(payment.idempotency_key)
    with settling([payment.player_id], now=now, keys=[(tenant_id, key)]) as at:
        return at.debit(
            payment.player_id,
            currency,
            payment.amount,
            cause=_cause(tenant_id, source),
            key=key,
            kind="purchase",
            target=house_account(at, currency, payment.account),
        )


def pay_prize(tenant_id: str, payment: Payment, *, source: PaySource, now: datetime) -> Movement:
    """Pay one prize; see ``pay_prizes``."""
    return pay_prizes(tenant_id, [payment], source=source, now=now)[0]


def pay_prizes(
    tenant_id: str, payments: Sequence[Payment], *, source: PaySource, now: datetime
) -> list[Movement]:
    """Pay prizes, all or none, from their accounts; they count as earned.

    Raises: ``InsufficientBalanceError`` when a pool holds less, ``InvalidInputError``,
    ``PostingConflictError``. Repeats: safe by keys. Locks: the players in id order, the pools.
    """
    return _credit(tenant_id, payments, kind="prize", source=source, now=now)


def refund(tenant_id: str, payment: Payment, *, source: PaySource, now: datetime) -> Movement:
    """Give back what a player paid, from where it lies now; it does not count as earned.

    Raises, repeats, locks: as ``pay_prizes``.
    """
    return _credit(tenant_id, [payment], kind="refund", source=source, now=now)[0]


@transaction.atomic
def transfer(
    tenant_id: str,
    currency_id: str,
    amount: Decimal,
    *,
    origin: Target,
    to: Target,
    source: PaySource,
    idempotency_key: str,
    now: datetime,
) -> UUID:
    """Move an amount between accounts of the house: a guaranteed prize, the rake.

    Returns the transaction. Raises: ``InsufficientBalanceError`` when a pool holds less,
    ``InvalidInputError``, ``PostingConflictError``. Repeats: safe by key. Locks: pools by name.
    """
    if origin == to:
        raise InvalidInputError("An amount moves from one account to another.")
    currency, key = _currency(tenant_id, currency_id), _key(idempotency_key)
    with settling([], now=now, keys=[(tenant_id, key)]) as at:
        at.check_amount(currency, amount)
        # Of two transfers in opposite directions neither holds what the other waits for.
        for target in sorted((origin, to), key=lambda each: (each.kind, each.reference)):
            house_account(at, currency, target)
        giver, taker = (house_account(at, currency, target) for target in (origin, to))
        lines = [(giver, -amount), (taker, amount)]
        first = at.drafts.repeated(key, "transfer", lines, giver, tenant_id=tenant_id)
        if first is not None:
            return first.transaction_id
        return at.drafts.post("transfer", lines, cause=_cause(tenant_id, source), key=key).id


@transaction.atomic
def _credit(
    tenant_id: str,
    payments: Sequence[Payment],
    *,
    kind: str,
    source: PaySource,
    now: datetime,
) -> list[Movement]:
    keys = [(tenant_id, _key(payment.idempotency_key)) for payment in payments]
    players = {payment.player_id for payment in payments}
    currencies = {
        payment.currency_id: _currency(tenant_id, payment.currency_id) for payment in payments
    }
    cause = _cause(tenant_id, source)
    with settling(players, now=now, keys=keys) as at:
        for account, currency_id in sorted(
            {(payment.account, payment.currency_id) for payment in payments},
            key=lambda each: (each[1], each[0].kind, each[0].reference),
        ):
            house_account(at, currencies[currency_id], account)
        return [
            at.credit(
                payment.player_id,
                currencies[payment.currency_id],
                payment.amount,
                cause=cause,
                key=key,
                kind=kind,
                source=house_account(at, currencies[payment.currency_id], payment.account),
            )
            for payment, (_, key) in zip(payments, keys, strict=True)
        ]


def _key(idempotency_key: str) -> str:
    return f"payment:{idempotency_key}"


def _cause(tenant_id: str, source: PaySource) -> Cause:
    return Cause(
        tenant_id=tenant_id,
        source_type=source.source_type,
        source_id=source.source_id,
        kind="order",
        id=source.source_id,
        event_id=source.event_id,
        depth=source.depth,
        actor=source.actor,
        reason=source.reason,
    )


def _currency(tenant_id: str, currency_id: str) -> CurrencyView:
    currency = book_of(tenant_id).currencies.get(currency_id)
    if currency is None:
        raise InvalidInputError(f"The tenant has no currency {currency_id}.")
    return currency


def _holder(tenant_id: str, hold_id: UUID) -> UUID:
    player_id = (
        Hold.objects.filter(tenant=tenant_id, pk=hold_id).values_list("player", flat=True).first()
    )
    if player_id is None:
        raise NotFoundError("There is no such hold.")
    return player_id
