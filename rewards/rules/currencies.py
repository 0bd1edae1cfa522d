"""Documents of currencies (LED-10): read, checked, and compared with what is fixed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from phoenix_site.common.documents import Section, plain_number
from phoenix_site.common.faults import Fault
from rewards.constants import MAX_DECIMAL_PLACES, RESERVED_IDS
from rewards.exceptions import DocumentError
from rewards.types.money import MAX_AMOUNT

__all__ = ["FIXED", "CurrencyFields", "read_currency"]

# What postings have a meaning by: it does not change once there is one.
FIXED: Final = ("id", "kind", "decimal_places", "role", "is_spendable")
READ_ONLY: Final = frozenset({"tenant_id", "version", "created_at", "updated_at", "in_use"})

_KEYS: Final = (
    *("id", "name", "symbol", "kind", "role", "is_spendable", "decimal_places", "unit_cost"),
    *("expiry", "player_wallets", "active", "opening_lots_expire_at"),
)
_KINDS: Final = ("points", "cash")
_ROLES: Final = ("xp", "token")
_MAX_NAME, _MAX_SYMBOL, _MAX_DAYS = 120, 16, 36_500
_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search
_is_slug = re.compile(r"[a-z][a-z0-9_]{0,39}").fullmatch
_is_iso_code = re.compile(r"[A-Z]{3}").fullmatch


@dataclass(frozen=True, slots=True)
class CurrencyFields:
    """A valid currency. ``expiry_days`` of ``None`` means that credits never expire.

    ``opening_expires_at`` is when what wallets hold already ends, if expiry is switched on now.
    """

    currency_id: str
    name: str
    symbol: str | None
    kind: str
    role: str | None
    is_spendable: bool
    decimal_places: int
    unit_cost: Decimal
    expiry_days: int | None
    has_wallets: bool
    is_active: bool
    opening_expires_at: datetime | None

    @property
    def document(self) -> dict[str, Any]:
        """Return the currency as a version keeps it, every default filled in."""
        expiry = None if self.expiry_days is None else {"type": "after", "days": self.expiry_days}
        return {
            "id": self.currency_id,
            "name": self.name,
            "symbol": self.symbol,
            "kind": self.kind,
            "role": self.role,
            "is_spendable": self.is_spendable,
            "decimal_places": self.decimal_places,
            "unit_cost": plain_number(self.unit_cost),
            "expiry": expiry,
            "player_wallets": self.has_wallets,
            "active": self.is_active,
        }


def read_currency(document: Any) -> CurrencyFields:
    """Return the currency that ``document`` describes. Raises: ``DocumentError`` with all."""
    faults: list[Fault] = []
    if isinstance(document, Mapping):
        document = {key: value for key, value in document.items() if key not in READ_ONLY}
    section = Section(document, "", faults, keys=_KEYS)
    kind = section.choice("kind", _KINDS, "points")
    fields = CurrencyFields(
        currency_id=_read_id(section, kind),
        name=_read_name(section),
        symbol=_read_text(section, "symbol", _MAX_SYMBOL) or None,
        kind=kind,
        role=section.choice("role", _ROLES, "") if section.has("role") else None,
        is_spendable=_read_switch(section, "is_spendable", default=True),
        decimal_places=_read_whole(section, "decimal_places", 0, high=MAX_DECIMAL_PLACES),
        unit_cost=_read_cost(section),
        expiry_days=_read_expiry(section),
        has_wallets=_read_switch(section, "player_wallets", default=kind == "points"),
        is_active=_read_switch(section, "active", default=True),
        opening_expires_at=section.instant("opening_lots_expire_at"),
    )
    if faults:
        raise DocumentError(faults)
    return fields


def _read_id(section: Section, kind: str) -> str:
    if not section.require("id"):
        return ""
    value = section.raw("id")
    if kind == "cash":
        is_valid, shape = isinstance(value, str) and bool(_is_iso_code(value)), "an ISO 4217 code"
    else:
        is_valid = isinstance(value, str) and bool(_is_slug(value)) and value not in RESERVED_IDS
        shape = "a small letter and then up to 39 of a-z, 0-9 and _"
    if not is_valid:
        section.refuse("id", f"must be {shape}")
        return ""
    return str(value)


def _read_name(section: Section) -> str:
    section.require("name")
    name = _read_text(section, "name", _MAX_NAME)
    if section.has("name") and not name:
        section.refuse("name", f"must be a text of 1 to {_MAX_NAME} characters")
    return name


def _read_text(section: Section, key: str, most: int) -> str:
    value = section.raw(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value.strip()) > most or _CONTROL(value):
        section.refuse(key, f"must be a text of at most {most} characters")
        return "?"
    return value.strip()


def _read_switch(section: Section, key: str, *, default: bool) -> bool:
    value = section.raw(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        section.refuse(key, "must be true or false")
        return default
    return value


def _read_whole(section: Section, key: str, default: int, *, high: int) -> int:
    if not section.has(key):
        return default
    return section.integer(key, default, low=0, high=high)


def _read_cost(section: Section) -> Decimal:
    value = section.number("unit_cost")
    if value is None:
        return Decimal(0)
    try:
        if 0 <= value < MAX_AMOUNT and value == round(value, MAX_DECIMAL_PLACES):
            plain_number(value)
            return value
    except (ValueError, ArithmeticError):
        pass
    section.refuse("unit_cost", "must be a number from 0 with at most 8 decimals")
    return Decimal(0)


def _read_expiry(section: Section) -> int | None:
    if not section.has("expiry"):
        return None
    expiry = section.section("expiry", keys=("type", "days"))
    expiry.choice("type", ("after",), "after")
    expiry.require("days")
    return expiry.integer("days", 1, low=1, high=_MAX_DAYS) if expiry.has("days") else None
