"""Currencies, players and movements for the tests of the ledger."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Model, Sum
from django.utils import timezone

from phoenix_site.common.ids import uuid7
from players.services.registration import ensure_players
from rewards.models import Account, Currency, Hold, LedgerTransaction, Posting
from rewards.selectors.currencies import currency_view
from rewards.services import payments
from rewards.services.documents import bump
from rewards.services.payments import Payment
from rewards.services.pipe import settling
from rewards.services.proofs import prove
from rewards.types.book import CurrencyView
from rewards.types.causes import Cause
from rewards.types.money import Movement
from rewards.types.wallets import PaySource
from tenants.models import Tenant

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


def make_currency(tenant: Tenant, currency_id: str = "gold", **fields: Any) -> CurrencyView:
    values = {"name": currency_id, **fields}
    made = Currency.objects.create(tenant=tenant, currency_id=currency_id, **values)
    bump(tenant.pk)
    return currency_view(made)


def player_of(tenant: Tenant, name: str = "ana", *, now: datetime = NOON) -> UUID:
    return ensure_players([(tenant.pk, name)], now=now)[tenant.pk, name]


def staff_cause(tenant_id: str, **fields: Any) -> Cause:
    values = {"source_type": "manual", "source_id": "", "kind": "staff", "id": "ops"} | fields
    return Cause(tenant_id=tenant_id, **values)


@transaction.atomic
def credit(
    player_id: UUID,
    currency: CurrencyView,
    amount: int | str | Decimal,
    *,
    now: datetime = NOON,
    key: str = "",
    **fields: Any,
) -> Movement:
    key = key or f"test:{uuid7()}"
    with settling([player_id], now=now, keys=[(currency.tenant_id, key)]) as settlement:
        return settlement.credit(
            player_id,
            currency,
            Decimal(amount),
            cause=staff_cause(currency.tenant_id),
            key=key,
            **fields,
        )


@transaction.atomic
def debit(
    player_id: UUID,
    currency: CurrencyView,
    amount: int | str | Decimal,
    *,
    now: datetime = NOON,
    key: str = "",
    **fields: Any,
) -> Movement:
    key = key or f"test:{uuid7()}"
    with settling([player_id], now=now, keys=[(currency.tenant_id, key)]) as settlement:
        return settlement.debit(
            player_id,
            currency,
            Decimal(amount),
            cause=staff_cause(currency.tenant_id),
            key=key,
            **fields,
        )


def balance_of(player_id: UUID, currency: CurrencyView, kind: str = "wallet") -> Decimal:
    found = Account.objects.filter(player=player_id, currency=currency.pk, kind=kind).first()
    return Decimal(0) if found is None else found.balance


def lifetime_of(player_id: UUID, currency: CurrencyView) -> Decimal:
    found = Account.objects.filter(player=player_id, currency=currency.pk, kind="wallet").first()
    return Decimal(0) if found is None else found.lifetime_earned


def posted_on(currency: CurrencyView, kind: str, reference: str = "") -> Decimal:
    """Return the sum of all postings on an account of the house."""
    accounts = Account.objects.filter(
        currency=currency.pk, kind=kind, reference=reference, player=None
    )
    rows = Posting.objects.filter(account__in=accounts)
    return rows.aggregate(total=Sum("amount"))["total"] or Decimal(0)


def kinds_of(player_id: UUID) -> Sequence[str]:
    rows = LedgerTransaction.objects.filter(player=player_id).order_by("created_at", "pk")
    return list(rows.values_list("kind", flat=True))


def filled_ledger(tenant: Tenant, user_id: str) -> dict[type[Model], Model]:
    """Return one row of every page of the ledger, all of a player of ``tenant``."""
    league = make_currency(tenant, "league", name="Cleo's league")
    player = player_of(tenant, user_id)
    credit(player, league, 50, now=timezone.now())
    wanted = Payment(
        player_id=player, currency_id="league", amount=Decimal(10), idempotency_key="h"
    )
    source = PaySource("tournament", "theirs")
    payments.hold(tenant.pk, wanted, source=source, reference="theirs", now=timezone.now())
    rows: tuple[Model | None, ...] = (
        Currency.objects.get(pk=league.pk),
        Account.objects.filter(player=player, kind="wallet").first(),
        LedgerTransaction.objects.filter(player=player).first(),
        Hold.objects.filter(player=player).first(),
        prove(tenant.pk, timezone.now()),
    )
    return {type(row): row for row in rows if row is not None}
