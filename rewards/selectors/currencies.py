"""Currencies of a tenant, as a book keeps them."""

from uuid import UUID

from rewards.models import Currency
from rewards.types.book import CurrencyView

__all__ = ["currency_view", "load"]


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
