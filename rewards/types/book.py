"""What a tenant has configured, as one frozen copy that a whole batch works with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any, Final
from uuid import UUID

# As many digits as a column of amounts has, and some: the default of 28 would refuse large ones.
_EXACT: Final = Context(prec=80)


@dataclass(frozen=True, slots=True)
class CurrencyView:
    """A currency of a tenant; ``pk`` is its row, ``currency_id`` what the contracts call it."""

    pk: UUID
    tenant_id: str
    currency_id: str
    name: str
    symbol: str | None
    kind: str
    role: str | None
    is_spendable: bool
    decimal_places: int
    unit_cost: Decimal
    expiry_days: int | None
    is_active: bool
    has_wallets: bool = True

    def rounded(self, amount: Decimal) -> Decimal:
        """Return a computed amount in the currency's decimals, rounded toward zero (ADM-6)."""
        unit = Decimal(1).scaleb(-self.decimal_places)
        return amount.quantize(unit, rounding=ROUND_DOWN, context=_EXACT)

    def fits(self, amount: Decimal) -> bool:
        """Return whether a given amount has no more decimals than the currency (ADM-6).

        Of any amount, also one beyond all measure, which no context of ``Decimal`` could round.
        """
        _sign, digits, exponent = amount.as_tuple()
        if not isinstance(exponent, int):
            return False
        spare = len(digits) - len("".join(map(str, digits)).rstrip("0"))
        return not any(digits) or exponent + spare >= -self.decimal_places


@dataclass(frozen=True, slots=True)
class ItemView:
    """A reward item: what is given, as it is now. ``pk`` is ``None`` for one brought inline."""

    pk: UUID | None
    name: str
    reward_type: str
    payload: Mapping[str, Any]
    description: str = ""
    image_url: str | None = None
    unit_cost: Decimal = Decimal(0)
    claim: str = "automatic"
    claim_within_s: int | None = None
    activation: str = "automatic"
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class TierView:
    """One tier of a reward config.

    A leaderboard's has ranks from ``rank_min`` to ``rank_max`` (1-based, both included); the
    other types have one ``value``: a milestone, a threshold or a level.
    """

    name: str
    item_ids: tuple[UUID, ...]
    by_category: Mapping[str, tuple[UUID, ...]] = field(default_factory=dict)
    rank_min: int | None = None
    rank_max: int | None = None
    value: Decimal | None = None

    def items_of(self, category: str) -> tuple[UUID, ...]:
        """Return what a player of ``category`` gets: a list of its own replaces the common one."""
        return self.by_category.get(category, self.item_ids)


@dataclass(frozen=True, slots=True)
class ConfigView:
    """A reward config: when which items are given. ``config_type`` is what its tiers mean."""

    pk: UUID
    name: str
    config_type: str
    tiers: tuple[TierView, ...]
    is_active: bool


@dataclass(frozen=True, slots=True)
class Book:
    """All that one tenant has configured in rewards at one moment.

    ``stamp`` changes with every change of it. ``parts`` belong to the subjects, which read them
    through a function of their own selectors, such as ``achievements.of(book)``.
    """

    tenant_id: str
    stamp: int
    timezone: str
    currencies: Mapping[str, CurrencyView]
    items: Mapping[UUID, ItemView]
    configs: Mapping[UUID, ConfigView]
    currencies_by_pk: Mapping[UUID, CurrencyView]
    parts: Mapping[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> Any:
        """Return what the loader of this name made. Raises: ``KeyError`` without such a loader."""
        return self.parts[name]

    def currency_of_role(self, role: str) -> CurrencyView | None:
        """Return the tenant's active currency with the role ``xp`` or ``token``, if it has one."""
        return next(
            (each for each in self.currencies.values() if each.role == role and each.is_active),
            None,
        )

    @property
    def token_currency(self) -> CurrencyView | None:
        """Return the currency in which points are given."""
        return self.currency_of_role("token")

    @property
    def xp_currency(self) -> CurrencyView | None:
        """Return the currency on which levels stand by default."""
        return self.currency_of_role("xp")
