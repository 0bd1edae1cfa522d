"""Currencies of a tenant: as a book keeps them, as the library shows them, as money in sum."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from phoenix_site.common.exceptions import NotFoundError
from rewards.models import Account, Currency, DocumentVersion
from rewards.rules.currencies import CurrencyFields
from rewards.types.book import CurrencyView
from rewards.types.listing import Listing, ListQuestion

__all__ = [
    "Circulation",
    "circulation",
    "currency_document",
    "currency_page",
    "currency_versions",
    "currency_view",
    "expiry_forecast",
    "get_currency",
    "is_used",
    "load",
    "used_currencies",
]

_CIRCULATION: Final = """
SELECT account.kind, sum(CASE WHEN account.kind IN ('wallet', 'held', 'prize_pool')
        THEN account.balance ELSE posted.total END), count(*)
FROM rewards_account AS account
LEFT JOIN LATERAL (
    SELECT coalesce(sum(posting.amount), 0) AS total FROM rewards_posting AS posting
    WHERE posting.account_id = account.id
        AND account.kind NOT IN ('wallet', 'held', 'prize_pool')
) AS posted ON true
WHERE account.currency_id = %(currency)s
GROUP BY account.kind
"""
_FORECAST: Final = """
SELECT (lot.expires_at AT TIME ZONE 'UTC')::date AS day, sum(lot.remaining)
FROM rewards_lot AS lot JOIN rewards_account AS account ON account.id = lot.account_id
WHERE account.currency_id = %(currency)s AND lot.remaining > 0 AND lot.expires_at < %(until)s
GROUP BY day ORDER BY day
"""


@dataclass(frozen=True, slots=True)
class Circulation:
    """How much of a currency there is, and where.

    ``circulating`` is what the house owes: in wallets, in holds and in prize pools. ``liability``
    is what that costs, in the tenant's base currency. ``issued`` is the same from the other side.
    """

    wallets: Decimal
    held: Decimal
    prize_pools: Decimal
    expired: Decimal
    fees: Decimal
    clearing: Decimal
    issued: Decimal
    circulating: Decimal
    liability: Decimal
    wallet_count: int


def load(tenant_id: str) -> dict[UUID, CurrencyView]:
    """Return all currencies of a tenant by their rows, in the order of their ids. Queries: 1."""
    rows = Currency.objects.filter(tenant_id=tenant_id).order_by("currency_id")
    return {row.pk: currency_view(row) for row in rows}


def currency_view(row: Currency) -> CurrencyView:
    """Return the currency as everything but its own page knows it."""
    return CurrencyView(
        pk=row.pk,
        tenant_id=row.tenant_id,
        currency_id=row.currency_id,
        name=row.name,
        symbol=row.symbol,
        kind=row.kind,
        role=row.role,
        is_spendable=row.is_spendable,
        decimal_places=row.decimal_places,
        unit_cost=row.unit_cost,
        expiry_days=row.expiry_days,
        is_active=row.is_active,
        has_wallets=row.has_wallets,
    )


def get_currency(tenant_id: str, currency_id: str) -> Currency:
    """Return a currency of the tenant. Raises: ``NotFoundError``. Queries: 1."""
    row = Currency.objects.filter(tenant=tenant_id, currency_id=currency_id).first()
    if row is None:
        raise NotFoundError("There is no such currency.")
    return row


def currency_page(tenant_id: str, asked: ListQuestion) -> Listing[Currency]:
    """Return a page of the tenant's currencies in the order of their ids. Queries: 2."""
    rows: QuerySet[Currency] = Currency.objects.filter(tenant=tenant_id)
    if asked.status is not None:
        rows = rows.filter(is_active=asked.status == "active")
    if asked.search:
        rows = rows.filter(Q(name__icontains=asked.search) | Q(currency_id__icontains=asked.search))
    page = rows.order_by("currency_id")[asked.offset : asked.offset + asked.limit]
    return Listing(list(page), rows.count())


def currency_document(row: Currency) -> dict[str, Any]:
    """Return the currency as its versions keep it."""
    return CurrencyFields(
        currency_id=row.currency_id,
        name=row.name,
        symbol=row.symbol,
        kind=row.kind,
        role=row.role,
        is_spendable=row.is_spendable,
        decimal_places=row.decimal_places,
        unit_cost=row.unit_cost,
        expiry_days=row.expiry_days,
        has_wallets=row.has_wallets,
        is_active=row.is_active,
        opening_expires_at=None,
    ).document


def currency_versions(tenant_id: str, currency_id: str) -> Sequence[DocumentVersion]:
    """Return what a currency was, newest first. Raises: ``NotFoundError``. Queries: 2."""
    row = get_currency(tenant_id, currency_id)
    versions = DocumentVersion.objects.filter(kind="currency", object_id=row.pk)
    return list(versions.order_by("-version"))


def is_used(currency_pk: UUID) -> bool:
    """Return whether anything was ever posted in the currency. Queries: 1."""
    return bool(used_currencies([currency_pk]))


def used_currencies(currency_pks: Collection[UUID]) -> set[UUID]:
    """Return those in which anything was ever posted: accounts are made by postings only."""
    accounts = Account.objects.filter(currency=OuterRef("pk"))
    used = Currency.objects.filter(Exists(accounts), pk__in=currency_pks)
    return set(used.values_list("pk", flat=True))


def circulation(currency: CurrencyView) -> Circulation:
    """Return how much of a currency there is, and where. Reads every wallet of it. Queries: 1."""
    with connection.cursor() as cursor:
        cursor.execute(_CIRCULATION, {"currency": currency.pk})
        found = {kind: (total, count) for kind, total, count in cursor.fetchall()}
    sums = {kind: total for kind, (total, _count) in found.items()}
    zero = Decimal(0)
    circulating = sum((sums.get(kind, zero) for kind in ("wallet", "held", "prize_pool")), zero)
    return Circulation(
        wallets=sums.get("wallet", zero),
        held=sums.get("held", zero),
        prize_pools=sums.get("prize_pool", zero),
        expired=sums.get("expired", zero),
        fees=sums.get("fees", zero),
        clearing=sums.get("clearing", zero),
        issued=-sums.get("issuer", zero),
        circulating=circulating,
        liability=circulating * currency.unit_cost,
        wallet_count=found.get("wallet", (zero, 0))[1],
    )


def expiry_forecast(
    currency: CurrencyView, *, now: datetime, days: int = 90
) -> list[tuple[date, Decimal]]:
    """Return what would expire on each day (UTC) of the next ``days`` if nobody spent anything.

    What is due already and not yet posted stands at its own day. Queries: 1.
    """
    until = now + timedelta(days=days)
    with connection.cursor() as cursor:
        cursor.execute(_FORECAST, {"currency": currency.pk, "until": until})
        found: list[tuple[date, Decimal]] = cursor.fetchall()
        return found
