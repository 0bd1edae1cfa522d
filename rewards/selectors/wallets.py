"""Wallets: balances now and at any instant, and the transactions behind them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from phoenix_site.common.exceptions import NotFoundError
from players.models import Player
from players.selectors import find_player
from rewards.models import Account, LedgerTransaction, Lot, Posting
from rewards.selectors.book import book_of
from rewards.types.book import CurrencyView
from rewards.types.listing import Listing
from rewards.types.money import EXACT, ZERO
from rewards.types.wallets import (
    AccountLine,
    Balance,
    Balances,
    ExpiringLot,
    TransactionFilter,
    TransactionView,
)

__all__ = [
    "WalletEntry",
    "admin_balances",
    "balances",
    "balances_as_of",
    "get_transaction",
    "transactions",
    "wallet_currencies",
    "wallet_entries",
]

# More would only fill the answer: what expires soonest is what matters.
_MAX_EXPIRING: Final = 100

_AS_OF: Final = """
SELECT account.currency_id, account.kind, sum(posting.amount)
FROM rewards_account AS account
JOIN rewards_posting AS posting ON posting.account_id = account.id
WHERE account.player_id = %(player)s AND posting.created_at <= %(at)s
GROUP BY account.currency_id, account.kind
"""
_LIFETIME_AS_OF: Final = """
SELECT account.currency_id, sum(posting.amount)
FROM rewards_account AS account
JOIN rewards_posting AS posting ON posting.account_id = account.id
JOIN rewards_ledgertransaction AS entry ON entry.id = posting.transaction_id
LEFT JOIN rewards_ledgertransaction AS origin ON origin.id = entry.reverses_id
WHERE account.player_id = %(player)s AND account.kind = 'wallet'
    AND posting.created_at <= %(at)s AND coalesce(origin.kind, entry.kind) IN ('credit', 'prize')
GROUP BY account.currency_id
"""
_EXPIRED_BY: Final = """
SELECT account.currency_id, sum(lot.remaining)
FROM rewards_account AS account
JOIN rewards_lot AS lot ON lot.account_id = account.id
WHERE account.player_id = %(player)s AND account.has_lots AND lot.remaining > 0
    AND lot.expires_at <= %(at)s
GROUP BY account.currency_id
"""


@dataclass(frozen=True, slots=True)
class WalletEntry:
    """One movement of a player's wallet, as players see it."""

    id: UUID
    currency_id: str
    amount: Decimal
    balance_after: Decimal
    source_type: str
    source_ref: str
    description: str | None
    created_at: datetime


def wallet_currencies(tenant_id: str) -> list[CurrencyView]:
    """Return the active currencies that wallets show, in the order of their ids."""
    found = book_of(tenant_id).currencies.values()
    return [each for each in found if each.is_active and each.has_wallets]


def balances(
    tenant_id: str, user_id: str, *, now: datetime, currency_id: str | None = None
) -> Balances:
    """Return a player's wallets in every active currency, zeros too; unknown players have zeros.

    What is due counts as gone, posted or not. Raises: ``NotFoundError`` for an unknown
    ``currency_id``. Queries: at most 4.
    """
    currencies = _chosen(tenant_id, currency_id)
    player = find_player(tenant_id, user_id)
    rows: dict[tuple[UUID, str], Account] = {}
    lots: Mapping[UUID, list[Lot]] = {}
    if player is not None:
        found = Account.objects.filter(player=player)
        rows = {(account.currency_id, account.kind): account for account in found}
        lots = _open_lots(rows.values())
    shown = [_balance(currency, rows, lots.get(currency.pk, ()), now) for currency in currencies]
    return Balances(tenant_id, user_id, shown)


def admin_balances(tenant_id: str, user_id: str, *, at: datetime | None, now: datetime) -> Balances:
    """Return a player's wallets now, or as they were at ``at``, with the last transaction."""
    if at is not None:
        return balances_as_of(tenant_id, user_id, at=at)
    found = balances(tenant_id, user_id, now=now)
    player = find_player(tenant_id, user_id)
    newest = None if player is None else _newest(player, now)
    return replace(found, as_of=now, last_transaction_id=newest)


def balances_as_of(tenant_id: str, user_id: str, *, at: datetime) -> Balances:
    """Return a player's wallets as they were at ``at``: the sums of the postings up to it (LED-8).

    A lot that was over by then and is not yet posted as expired counts as gone. Queries: at most 6.
    """
    currencies = _chosen(tenant_id, None)
    player = find_player(tenant_id, user_id)
    if player is None:
        return Balances(tenant_id, user_id, [_zero(each) for each in currencies], at)
    values = {"player": player.pk, "at": at}
    sums = {(currency, kind): total for currency, kind, total in _rows(_AS_OF, values)}
    lifetimes = dict(_rows(_LIFETIME_AS_OF, values))
    due = dict(_rows(_EXPIRED_BY, values))
    shown = [
        Balance(
            currency,
            EXACT.subtract(sums.get((currency.pk, "wallet"), ZERO), due.get(currency.pk, ZERO)),
            sums.get((currency.pk, "held"), ZERO),
            lifetimes.get(currency.pk, ZERO),
        )
        for currency in currencies
    ]
    return Balances(tenant_id, user_id, shown, at, _newest(player, at))


def _newest(player: Player, at: datetime) -> UUID | None:
    rows = LedgerTransaction.objects.filter(player=player, created_at__lte=at)
    return rows.order_by("-created_at", "-pk").values_list("pk", flat=True).first()


def _chosen(tenant_id: str, currency_id: str | None) -> list[CurrencyView]:
    currencies = wallet_currencies(tenant_id)
    if currency_id is None:
        return currencies
    chosen = [each for each in currencies if each.currency_id == currency_id]
    if not chosen:
        raise NotFoundError("There is no such currency.")
    return chosen


def _open_lots(accounts: Iterable[Account]) -> Mapping[UUID, list[Lot]]:
    with_lots = {account.pk: account.currency_id for account in accounts if account.has_lots}
    found: dict[UUID, list[Lot]] = defaultdict(list)
    if with_lots:
        rows = Lot.objects.filter(account__in=with_lots, remaining__gt=0, expires_at__isnull=False)
        for lot in rows.order_by("expires_at", "pk"):
            found[with_lots[lot.account_id]].append(lot)
    return found


def _balance(
    currency: CurrencyView,
    rows: Mapping[tuple[UUID, str], Account],
    lots: Sequence[Lot],
    now: datetime,
) -> Balance:
    wallet, escrow = rows.get((currency.pk, "wallet")), rows.get((currency.pk, "held"))
    if wallet is None:
        return _zero(currency)
    available = wallet.balance
    expiring: dict[datetime, Decimal] = {}
    for lot in lots:
        assert lot.expires_at is not None  # noqa: S101 - only those were read
        if lot.expires_at <= now:
            available = EXACT.subtract(available, lot.remaining)
        else:
            so_far = expiring.get(lot.expires_at, ZERO)
            expiring[lot.expires_at] = EXACT.add(so_far, lot.remaining)
    return Balance(
        currency,
        available,
        ZERO if escrow is None else escrow.balance,
        wallet.lifetime_earned,
        [ExpiringLot(amount, at) for at, amount in list(expiring.items())[:_MAX_EXPIRING]],
    )


def _zero(currency: CurrencyView) -> Balance:
    return Balance(currency, ZERO, ZERO, ZERO)


def _rows(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


# --- Transactions --------------------------------------------------------------------------------


def wallet_entries(
    tenant_id: str, user_id: str, *, currency_id: str | None, limit: int, offset: int
) -> Listing[WalletEntry]:
    """Return what moved a player's wallets, newest first. Queries: at most 5.

    Raises: ``NotFoundError`` for an unknown ``currency_id``.
    """
    currencies = {each.pk: each.currency_id for each in _chosen(tenant_id, currency_id)}
    player = find_player(tenant_id, user_id)
    if player is None:
        return Listing([], 0)
    accounts = Account.objects.filter(player=player, kind="wallet", currency__in=currencies)
    names = {account.pk: currencies[account.currency_id] for account in accounts}
    postings = Posting.objects.filter(account__in=names)
    newest = postings.select_related("transaction").order_by("-created_at", "-pk")
    return Listing(
        [_entry(posting, names) for posting in newest[offset : offset + limit]], postings.count()
    )


def _entry(posting: Posting, names: Mapping[int, str]) -> WalletEntry:
    entry = posting.transaction
    return WalletEntry(
        id=entry.pk,
        currency_id=names[posting.account_id],
        amount=posting.amount,
        balance_after=posting.balance_after or ZERO,
        source_type=entry.source_type,
        source_ref=entry.source_ref,
        description=entry.reason or None,
        created_at=posting.created_at,
    )


def transactions(
    tenant_id: str, asked: TransactionFilter, *, limit: int, offset: int
) -> Listing[TransactionView]:
    """Return transactions of a tenant, newest first, with their postings. Queries: 3 or 4."""
    rows = _filtered(tenant_id, asked)
    if rows is None:
        return Listing([], 0)
    page = list(_shown(rows).order_by("-created_at", "-pk")[offset : offset + limit])
    return Listing(_views(page), rows.count())


def get_transaction(tenant_id: str, transaction_id: UUID) -> TransactionView:
    """Return one transaction. Raises: ``NotFoundError``. Queries: 2."""
    rows = _shown(LedgerTransaction.objects.filter(tenant=tenant_id, pk=transaction_id))
    found = _views(list(rows))
    if not found:
        raise NotFoundError("There is no such transaction.")
    return found[0]


def _filtered(tenant_id: str, asked: TransactionFilter) -> QuerySet[LedgerTransaction] | None:
    """Return the rows asked for; ``None`` where the player or currency does not exist."""
    rows = LedgerTransaction.objects.filter(tenant=tenant_id)
    if asked.user_id is not None:
        player = find_player(tenant_id, asked.user_id)
        if player is None:
            return None
        rows = rows.filter(player=player)
    if asked.currency_id is not None:
        currency = book_of(tenant_id).currencies.get(asked.currency_id)
        if currency is None:
            return None
        own = Posting.objects.filter(transaction=OuterRef("pk"), account__currency=currency.pk)
        rows = rows.filter(Exists(own))
    return rows.filter(_conditions(asked))


def _conditions(asked: TransactionFilter) -> Q:
    conditions = Q()
    if asked.kind is not None:
        conditions &= Q(kind=asked.kind)
    if asked.since is not None:
        conditions &= Q(created_at__gte=asked.since)
    if asked.until is not None:
        conditions &= Q(created_at__lt=asked.until)
    if asked.cause is not None:
        conditions &= _caused_by(asked.cause)
    return conditions


def _caused_by(text: str) -> Q:
    kind, colon, cause_id = text.partition(":")
    known = ("event", "firing", "grant", "order", "hold", "staff", "api_key", "transaction", "lot")
    if colon and kind in known:
        return Q(cause_kind=kind, cause_id=cause_id)
    return Q(cause_kind__in=known, cause_id=text)


def _shown(rows: QuerySet[LedgerTransaction]) -> QuerySet[LedgerTransaction, Any]:
    reversal = LedgerTransaction.objects.filter(reverses=OuterRef("pk")).values("pk")
    return rows.values(
        "id",
        "kind",
        "source_type",
        "source_ref",
        "cause_kind",
        "cause_id",
        "event_id",
        "actor",
        "reason",
        "idempotency_key",
        "created_at",
        user_id=F("player__external_id"),
        reverses_row=F("reverses"),
        reversed_by=Subquery(reversal),
    )


def _views(rows: Sequence[Mapping[str, Any]]) -> list[TransactionView]:
    lines = _lines([row["id"] for row in rows])
    return [
        TransactionView(
            **{name: value for name, value in row.items() if name != "reverses_row"},
            reverses=row["reverses_row"],
            postings=lines[row["id"]],
        )
        for row in rows
    ]


def _lines(ids: Sequence[UUID]) -> Mapping[UUID, list[AccountLine]]:
    found: dict[UUID, list[AccountLine]] = defaultdict(list)
    if not ids:
        return found
    rows = Posting.objects.filter(transaction__in=ids).order_by("pk")
    line: Any
    for transaction_id, *line in rows.values_list(
        "transaction",
        "account__kind",
        "account__reference",
        "account__player__external_id",
        "account__currency__currency_id",
        "amount",
        "balance_after",
    ):
        found[transaction_id].append(AccountLine(*line))
    return found
