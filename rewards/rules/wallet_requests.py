"""What callers ask of wallets, read and checked with every fault at once."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from phoenix_site.common.documents import Section, find_value_faults
from phoenix_site.common.exceptions import BulkSizeError, DomainError
from phoenix_site.common.faults import Fault
from rewards.exceptions import DocumentError
from rewards.types.money import MAX_AMOUNT
from rewards.types.wallets import HoldInput, MoveInput, Target

__all__ = [
    "MAX_BULK",
    "read_bulk",
    "read_capture",
    "read_hold",
    "read_move",
    "read_release",
    "read_reversal",
    "read_target",
]

MAX_BULK: Final = 1000
_MAX_USER, _MAX_CURRENCY, _MAX_REASON, _MAX_REFERENCE = 128, 40, 500, 200
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]").search
_is_target = re.compile(r"(prize_pool|fees|issuer)(?::([!-~]{1,180}))?").fullmatch


def read_move(sent: Mapping[str, Any]) -> MoveInput:
    """Return what is to be granted or deducted. Raises: ``DocumentError``."""
    section = _section(sent)
    move = MoveInput(
        user_id=_text(section, "user_id", _MAX_USER, is_required=True),
        currency_id=_text(section, "currency_id", _MAX_CURRENCY, is_required=True),
        amount=_amount(section, is_required=True) or Decimal(0),
        reason=_text(section, "reason", _MAX_REASON, is_required=True),
        reference=_text(section, "reference", _MAX_REFERENCE),
        expires_at=section.instant("expires_at"),
    )
    _refuse(section)
    return move


def read_bulk(sent: Mapping[str, Any]) -> list[MoveInput | DomainError]:
    """Return the items of a list; what is wrong with one stands in its place.

    Raises: ``DocumentError`` without a list, ``BulkSizeError`` for an empty or too long one.
    """
    items = sent.get("items")
    if not isinstance(items, list):
        raise DocumentError([Fault("items", "must be a list")])
    if not 1 <= len(items) <= MAX_BULK:
        raise BulkSizeError(f"items must have 1 to {MAX_BULK} elements.")
    return [_item(item) for item in items]


def _item(item: Any) -> MoveInput | DomainError:
    if not isinstance(item, Mapping):
        return DocumentError([Fault("", "must be an object")])
    try:
        return read_move(item)
    except DocumentError as exc:
        return exc


def read_hold(sent: Mapping[str, Any]) -> HoldInput:
    """Return what is to be set aside. Raises: ``DocumentError``."""
    section = _section(sent)
    wanted = HoldInput(
        user_id=_text(section, "user_id", _MAX_USER, is_required=True),
        currency_id=_text(section, "currency_id", _MAX_CURRENCY, is_required=True),
        amount=_amount(section, is_required=True) or Decimal(0),
        reference=_text(section, "reference", _MAX_REFERENCE, is_required=True),
        expires_at=section.instant("expires_at"),
    )
    _refuse(section)
    return wanted


def read_capture(sent: Mapping[str, Any]) -> tuple[Decimal | None, Target, str]:
    """Return how much of a hold (``None``: the rest) is paid to whom, and why.

    Raises: ``DocumentError``.
    """
    section = _section(sent)
    amount, reason = _amount(section), _text(section, "reason", _MAX_REASON)
    target = read_target(section.raw("to")) if section.require("to") else Target("issuer")
    if target is None:
        section.refuse("to", "must be prize_pool:{reference}, fees, fees:{reference} or issuer")
    _refuse(section)
    return amount, target or Target("issuer"), reason


def read_target(text: Any) -> Target | None:
    """Return the account that a text names, ``None`` if it names none."""
    match = _is_target(text) if isinstance(text, str) else None
    if match is None:
        return None
    kind, reference = match[1], match[2] or ""
    is_named = {"prize_pool": bool(reference), "issuer": not reference, "fees": True}[kind]
    return Target(kind, reference) if is_named else None


def read_release(sent: Mapping[str, Any]) -> tuple[Decimal | None, str]:
    """Return how much of a hold (``None``: the rest) goes back, and why. Raises: as others."""
    section = _section(sent)
    amount, reason = _amount(section), _text(section, "reason", _MAX_REASON)
    _refuse(section)
    return amount, reason


def read_reversal(sent: Mapping[str, Any]) -> tuple[str, bool]:
    """Return why a transaction is reversed, and whether as far as possible. Raises: as others."""
    section = _section(sent)
    reason = _text(section, "reason", _MAX_REASON, is_required=True)
    clip = section.raw("clip")
    if not isinstance(clip, bool | None):
        section.refuse("clip", "must be true or false")
    _refuse(section)
    return reason, bool(clip)


# --- Parts ---------------------------------------------------------------------------------------


def _section(sent: Mapping[str, Any]) -> Section:
    # Requests, unlike documents, may have fields that nobody knows.
    return Section(sent, "", find_value_faults(sent), keys=sent.keys())


def _refuse(section: Section) -> None:
    if section.faults:
        raise DocumentError(section.faults)


def _text(section: Section, key: str, most: int, *, is_required: bool = False) -> str:
    value = section.raw(key)
    if value is None and not is_required:
        return ""
    least = 1 if is_required else 0
    if not isinstance(value, str) or not least <= len(value.strip()) <= most or _CONTROL(value):
        section.refuse(key, f"must be a text of {least} to {most} characters")
        return ""
    return value


def _amount(section: Section, *, is_required: bool = False) -> Decimal | None:
    if is_required:
        section.require("amount")
    amount = section.number("amount")
    if amount is not None and not 0 < amount < MAX_AMOUNT:
        section.refuse("amount", "must be greater than 0 and less than 10^18")
    return amount
