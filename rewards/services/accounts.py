"""The rows behind wallets and pools: read set-wise, made when they are needed."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from phoenix_site.common.arrays import UuidArray
from rewards.exceptions import CurrencyChangedError
from rewards.models import Account, Currency
from rewards.selectors.currencies import currency_view
from rewards.services.ledger import make_accounts
from rewards.services.statements import run
from rewards.types.book import CurrencyView
from rewards.types.money import ZERO, AccountState, WalletState

__all__ = ["WalletRows", "confirm_currencies", "lock_pool", "read_wallets", "wallet_state"]

_READ: Final = """
SELECT player_id, currency_id, kind, id, balance, lifetime_earned, has_lots
FROM rewards_account WHERE player_id = ANY (%(players)b)
"""
_FIXED: Final = ("tenant_id", "currency_id", "decimal_places", "role", "is_spendable")


@dataclass(slots=True)
class WalletRows:
    """The rows of one wallet and its escrow, where they exist."""

    wallet_id: int | None = None
    escrow_id: int | None = None
    available: Decimal = ZERO
    held: Decimal = ZERO
    lifetime_earned: Decimal = ZERO
    has_lots: bool = False


def read_wallets(player_ids: Collection[UUID]) -> dict[tuple[UUID, UUID], WalletRows]:
    """Return the players' wallets by (player, currency); their rows are locked. Queries: 1."""
    found: dict[tuple[UUID, UUID], WalletRows] = {}
    for player_id, currency_pk, kind, row, balance, lifetime, has_lots in (
        run(_READ, {"players": UuidArray(player_ids)}) if player_ids else ()
    ):
        rows = found.setdefault((player_id, currency_pk), WalletRows())
        if kind == "held":
            rows.escrow_id, rows.held = row, balance
        else:
            rows.wallet_id, rows.available = row, balance
            rows.lifetime_earned, rows.has_lots = lifetime, has_lots
    return found


def wallet_state(player_id: UUID, currency: CurrencyView, rows: WalletRows | None) -> WalletState:
    """Return the wallet that rows describe, or an empty one."""
    rows = rows or WalletRows()
    wallet, escrow = (
        AccountState(
            currency.tenant_id,
            currency.pk,
            kind,
            player_id=player_id,
            id=row,
            balance=balance,
            stored=balance,
        )
        for kind, row, balance in (
            ("wallet", rows.wallet_id, rows.available),
            ("held", rows.escrow_id, rows.held),
        )
    )
    return WalletState(
        player_id,
        currency,
        wallet,
        escrow,
        lifetime_earned=rows.lifetime_earned,
        stored_lifetime=rows.lifetime_earned,
        has_lots=rows.has_lots,
        stored_has_lots=rows.has_lots,
    )


def lock_pool(account: AccountState) -> None:
    """Lock a pool and read what it holds; it is made if missing. Queries: 2 to 4."""
    make_accounts([account])
    row = Account.objects.select_for_update(no_key=True).get(pk=account.id or 0)
    account.balance = account.stored = row.balance


def confirm_currencies(currencies: Iterable[CurrencyView]) -> None:
    """Check, at the first posting in a currency, that it still is what it was read as.

    From then on what matters is fixed (LED-10); before, somebody may have changed it since it was
    read. The new account keeps its row from changing now.

    Raises: ``CurrencyChangedError``.
    """
    views = {view.pk: view for view in currencies}
    for row in Currency.objects.filter(pk__in=views):
        now, then = currency_view(row), views[row.pk]
        if any(getattr(now, name) != getattr(then, name) for name in _FIXED):
            raise CurrencyChangedError(f"{then.currency_id} was changed at this moment. Try again.")
