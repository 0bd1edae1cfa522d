"""Reward items: their documents read and checked, payloads by type (GRT-1), and what they cost."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from phoenix_site.common.documents import Section, plain_json, plain_number
from phoenix_site.common.faults import Fault
from phoenix_site.common.paths import as_number
from rewards.exceptions import DocumentError
from rewards.types.book import Book, CurrencyView, ItemView
from rewards.types.money import MAX_AMOUNT

__all__ = [
    "FUTURE_TYPES",
    "MONEY_TYPES",
    "READ_ONLY",
    "ItemFields",
    "Links",
    "as_uuid",
    "item_cost",
    "money_of",
    "read_inline",
    "read_item",
]

MONEY_TYPES: Final = frozenset({"currency", "points"})
# Of the contract, and not built: refused, never half taken.
FUTURE_TYPES: Final = frozenset({"booster", "spin", "api"})
_KEYS: Final = (
    *("name", "description", "image_url", "reward_type", "payload", "unit_cost"),
    *("claim", "claim_within_s", "activation", "active"),
)
# What answers have beside the document; a caller may send it back.
READ_ONLY: Final = frozenset({"id", "item_id", "version", "created_at", "updated_at"})
_GIVING: Final = ("automatic", "player")
_MAX_NAME, _MAX_DESCRIPTION, _MAX_URL, _MAX_KEY, _MAX_TIER = 255, 2000, 1000, 200, 64
_MAX_SECONDS: Final = 2_147_483_647
_MAX_QUANTITY: Final = 1_000_000_000
_MAX_FREEZES: Final = 1000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]").search
_is_url = re.compile(r"https?://[^\s]+").fullmatch
_is_code = re.compile(r"[A-Z][A-Z0-9]{2,11}|[a-z][a-z0-9_]{0,39}").fullmatch


@dataclass(frozen=True, slots=True)
class Links:
    """What payloads may name beside currencies: the tenant's coupons and streaks, by id."""

    coupon_ids: Collection[UUID] = field(default=())
    streak_ids: Collection[UUID] = field(default=())


@dataclass(frozen=True, slots=True)
class ItemFields:
    """A valid item; ``payload`` is in its normal form, ready to be stored."""

    name: str
    description: str
    image_url: str | None
    reward_type: str
    payload: dict[str, Any]
    unit_cost: Decimal
    claim: str
    claim_within_s: int | None
    activation: str
    active: bool

    @property
    def document(self) -> dict[str, Any]:
        """Return the item as a version keeps it, every default filled in."""
        return {
            "name": self.name,
            "description": self.description,
            "image_url": self.image_url,
            "reward_type": self.reward_type,
            "payload": self.payload,
            "unit_cost": plain_number(self.unit_cost),
            "claim": self.claim,
            "claim_within_s": self.claim_within_s,
            "activation": self.activation,
            "active": self.active,
        }


def read_item(document: Any, book: Book, links: Links) -> ItemFields:
    """Return the item that ``document`` describes. Raises: ``DocumentError`` with every fault."""
    faults: list[Fault] = []
    sent = _without(document, READ_ONLY)
    section = Section(sent, "", faults, keys=_KEYS)
    fields = _read_fields(section, book, links)
    if faults:
        raise DocumentError(faults)
    return fields


def read_inline(document: Any, book: Book, links: Links) -> ItemView:
    """Return an item that a source brings itself (GRT-4): of a name, a type and a payload.

    Raises: ``DocumentError`` with every fault.
    """
    fields = read_item(document, book, links)
    return ItemView(
        pk=None,
        name=fields.name,
        reward_type=fields.reward_type,
        payload=fields.payload,
        description=fields.description,
        image_url=fields.image_url,
        unit_cost=fields.unit_cost,
        claim=fields.claim,
        claim_within_s=fields.claim_within_s,
    )


def money_of(item: ItemView, book: Book) -> tuple[CurrencyView, Decimal] | None:
    """Return what giving ``item`` posts; ``None`` for things and where the currency is gone."""
    if item.reward_type not in MONEY_TYPES:
        return None
    currency = (
        book.token_currency
        if item.reward_type == "points"
        else book.currencies.get(item.payload["currency_id"])
    )
    if currency is None:
        return None
    return currency, currency.rounded(Decimal(str(item.payload["amount"])))


def item_cost(item: ItemView, book: Book) -> Decimal:
    """Return what giving ``item`` costs the tenant, in its base currency (RUL-11).

    An item of money without a cost of its own costs what its currency costs; one that has both is
    not counted twice.
    """
    if item.unit_cost:
        return item.unit_cost
    money = money_of(item, book)
    return Decimal(0) if money is None else money[0].unit_cost * money[1]


def as_uuid(value: Any) -> UUID | None:
    """Return the id that a text in its usual form is, else ``None``."""
    if not isinstance(value, str):
        return None
    try:
        found = UUID(value)
    except ValueError:
        return None
    return found if str(found) == value.lower() else None


# --- Fields --------------------------------------------------------------------------------------


def _without(document: Any, keys: Collection[str]) -> Any:
    if not isinstance(document, Mapping):
        return document
    return {key: value for key, value in document.items() if key not in keys}


def _read_fields(section: Section, book: Book, links: Links) -> ItemFields:
    section.require("name")
    reward_type = _read_type(section)
    return ItemFields(
        name=_read_text(section, "name", low=1, high=_MAX_NAME),
        description=_read_text(section, "description", high=_MAX_DESCRIPTION),
        image_url=_read_url(section),
        reward_type=reward_type,
        payload=_read_payload(section, reward_type, book, links),
        unit_cost=_read_cost(section),
        claim=section.choice("claim", _GIVING, "automatic"),
        claim_within_s=_read_seconds(section),
        activation=_read_activation(section),
        active=_read_switch(section, "active"),
    )


def _read_text(section: Section, key: str, *, high: int, low: int = 0) -> str:
    value = section.raw(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not low <= len(value.strip()) <= high or _CONTROL(value):
        length = f"at most {high}" if low == 0 else f"{low} to {high}"
        section.refuse(key, f"must be a text of {length} characters")
        return ""
    return value.strip()


def _read_url(section: Section) -> str | None:
    url = _read_text(section, "image_url", high=_MAX_URL)
    if url and not _is_url(url):
        section.refuse("image_url", "must be an address that begins with http:// or https://")
    return url or None


def _read_type(section: Section) -> str:
    if not section.require("reward_type"):
        return ""
    value = section.raw("reward_type")
    if isinstance(value, str) and value in FUTURE_TYPES:
        section.refuse("reward_type", "not supported yet")
    elif not isinstance(value, str) or value not in _PAYLOADS:
        section.refuse("reward_type", f"must be one of {', '.join(_PAYLOADS)}")
    else:
        return value
    return ""


def _read_cost(section: Section) -> Decimal:
    value = section.number("unit_cost")
    if value is None:
        return Decimal(0)
    if not 0 <= value < MAX_AMOUNT or not _fits(value, 8):
        section.refuse("unit_cost", "must be a number from 0 with at most 8 decimals")
        return Decimal(0)
    return _stored(section, "unit_cost", value)


def _read_seconds(section: Section) -> int | None:
    if not section.has("claim_within_s"):
        return None
    return section.integer("claim_within_s", 1, low=1, high=_MAX_SECONDS)


def _read_activation(section: Section) -> str:
    activation = section.choice("activation", _GIVING, "automatic")
    if activation == "player":
        # Nothing of this release runs for a time once it is activated.
        section.refuse("activation", "not supported yet")
    return activation


def _read_switch(section: Section, key: str, *, default: bool = True) -> bool:
    value = section.raw(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        section.refuse(key, "must be true or false")
        return default
    return value


# --- Payloads ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Context:
    book: Book
    links: Links


def _read_payload(section: Section, reward_type: str, book: Book, links: Links) -> dict[str, Any]:
    document = section.raw("payload")
    if not reward_type:
        return {}
    keys, read = _PAYLOADS[reward_type]
    if document is None:
        document = {}
    if keys is None:
        return _read_free(section, document)
    payload = Section(document, section.path_of("payload"), section.faults, keys=keys)
    return read(payload, _Context(book, links)) if payload.is_object else {}


def _read_free(section: Section, document: Any) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        section.refuse("payload", "must be an object")
        return {}
    if not isinstance(document.get("shipping_required", False), bool):
        section.faults.append(Fault("payload.shipping_required", "must be true or false"))
    try:
        free: dict[str, Any] = plain_json(document)
    except ValueError as exc:
        section.refuse("payload", str(exc))
        return {}
    return free


def _read_currency(payload: Section, context: _Context) -> dict[str, Any]:
    key = "currency_id" if payload.has("currency_id") else "currency"
    if not payload.has(key):
        payload.refuse("currency_id", "is required")
        return {"currency_id": None, "amount": _read_amount(payload, None)}
    if payload.has("currency") and payload.raw("currency") != payload.raw(key):
        payload.refuse("currency", "is not the same as currency_id")
    name = payload.raw(key)
    currency = context.book.currencies.get(name) if isinstance(name, str) else None
    if currency is None or not currency.is_active:
        payload.refuse(key, "is not a currency of the tenant")
    elif not currency.has_wallets:
        payload.refuse(key, "is a currency that no player holds")
    amount = _read_amount(payload, currency)
    return {"currency_id": name, "amount": amount}


def _read_points(payload: Section, context: _Context) -> dict[str, Any]:
    currency = context.book.token_currency
    if currency is None:
        payload.refuse("amount", "the tenant has no currency with the role token")
    return {"amount": _read_amount(payload, currency)}


def _read_amount(payload: Section, currency: CurrencyView | None) -> int | float:
    payload.require("amount")
    amount = payload.number("amount")
    if amount is None:
        return 0
    if not 0 < amount < MAX_AMOUNT:
        payload.refuse("amount", "must be greater than 0 and less than 10^18")
    elif currency is not None and not currency.fits(amount):
        payload.refuse("amount", f"has more than {currency.decimal_places} decimals")
    else:
        return plain_number(_stored(payload, "amount", amount))
    return 0


def _read_badge(payload: Section, _context: _Context) -> dict[str, Any]:
    payload.require("badge_id")
    badge_id = _read_text(payload, "badge_id", low=1, high=_MAX_KEY)
    tier = _read_text(payload, "tier", high=_MAX_TIER)
    return {"badge_id": badge_id, "tier": tier or None}


def _read_thing(payload: Section, _context: _Context) -> dict[str, Any]:
    payload.require("item_id")
    item_id = _read_text(payload, "item_id", low=1, high=_MAX_KEY)
    quantity = 1
    if payload.has("quantity"):
        quantity = payload.integer("quantity", 1, low=1, high=_MAX_QUANTITY)
    return {"item_id": item_id, "quantity": quantity}


def _read_offer(payload: Section, _context: _Context) -> dict[str, Any]:
    payload.require("bonus_offer_id")
    offer: dict[str, Any] = {
        "bonus_offer_id": _read_text(payload, "bonus_offer_id", low=1, high=_MAX_KEY)
    }
    if payload.has("amount"):
        amount = payload.number("amount")
        if amount is not None and not (0 < amount < MAX_AMOUNT and _fits(amount, 8)):
            payload.refuse("amount", "must be greater than 0, with at most 8 decimals")
        elif amount is not None:
            offer["amount"] = plain_number(_stored(payload, "amount", amount))
    if payload.has("currency"):
        code = payload.raw("currency")
        if not isinstance(code, str) or not _is_code(code):
            payload.refuse("currency", "must be the code of a currency, such as EUR")
        offer["currency"] = code
    return offer


def _read_coupon(payload: Section, context: _Context) -> dict[str, Any]:
    payload.require("coupon_id")
    coupon_id = as_uuid(payload.raw("coupon_id"))
    if payload.has("coupon_id") and coupon_id not in context.links.coupon_ids:
        payload.refuse("coupon_id", "is not a coupon of the tenant")
    return {"coupon_id": None if coupon_id is None else str(coupon_id)}


def _read_freeze(payload: Section, context: _Context) -> dict[str, Any]:
    streak_id = as_uuid(payload.raw("streak_id"))
    if payload.has("streak_id") and streak_id not in context.links.streak_ids:
        payload.refuse("streak_id", "is not a streak of the tenant")
    count = 1
    if payload.has("count"):
        count = payload.integer("count", 1, low=1, high=_MAX_FREEZES)
    return {"streak_id": None if streak_id is None else str(streak_id), "count": count}


_Reader = Callable[[Section, _Context], dict[str, Any]]
# The payload's keys, ``None`` for a free object, and who reads it.
_PAYLOADS: Final[Mapping[str, tuple[tuple[str, ...] | None, _Reader]]] = {
    "currency": (("currency_id", "currency", "amount"), _read_currency),
    "points": (("amount",), _read_points),
    "badge": (("badge_id", "tier"), _read_badge),
    "item": (("item_id", "quantity"), _read_thing),
    "physical_item": (None, lambda _payload, _context: {}),
    "bonus_offer": (("bonus_offer_id", "amount", "currency"), _read_offer),
    "coupon": (("coupon_id",), _read_coupon),
    "streak_freeze": (("streak_id", "count"), _read_freeze),
}


def _fits(value: Decimal, decimals: int) -> bool:
    number = as_number(value)
    exponent = Decimal(number or 0).normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -decimals


def _stored(section: Section, key: str, value: Decimal) -> Decimal:
    """Return ``value`` if JSON gives it back unchanged, else note a fault."""
    try:
        plain_number(value)
    except ValueError:
        section.refuse(key, "has too many digits")
        return Decimal(0)
    return value
