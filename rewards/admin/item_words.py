"""Reward items in words: what giving one means to a player."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from rewards.selectors.uses import Use

__all__ = ["amount_text", "payload_text", "use_list"]


def payload_text(reward_type: str, payload: Mapping[str, Any]) -> str:
    """Return what a payload gives, such as "500 gold"."""
    word = _WORDS.get(reward_type)
    return reward_type if word is None else word(payload)


def amount_text(value: Any) -> str:
    """Return a number for people."""
    return f"{Decimal(str(value)):,f}"


def use_list(uses: Sequence[Use]) -> SafeString | str:
    """Return links to what uses an object."""
    if not uses:
        return "Nothing."
    rows = ((use.kind.capitalize(), _link(use)) for use in uses)
    return format_html("<ul>{}</ul>", format_html_join("", "<li>{}: {}</li>", rows))


def _link(use: Use) -> SafeString | str:
    meta = use.model._meta
    try:
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[use.pk])
    except NoReverseMatch:
        return use.name
    return format_html('<a class="phoenix-back" href="{}">{}</a>', url, use.name)


def _badge(payload: Mapping[str, Any]) -> str:
    tier = payload.get("tier")
    return f"Badge {payload['badge_id']}" + (f" ({tier})" if tier else "")


def _bonus(payload: Mapping[str, Any]) -> str:
    amount, currency = payload.get("amount"), payload.get("currency") or ""
    worth = f", {amount_text(amount)} {currency}".rstrip() if amount is not None else ""
    return f"Bonus offer {payload['bonus_offer_id']}{worth}"


def _money(payload: Mapping[str, Any]) -> str:
    return f"{amount_text(payload['amount'])} {payload.get('currency_id', 'points')}"


_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "currency": _money,
    "points": _money,
    "badge": _badge,
    "item": lambda payload: f"{payload.get('quantity', 1)} of {payload['item_id']}",
    "physical_item": lambda _payload: "A physical item, sent by staff",
    "bonus_offer": _bonus,
    "coupon": lambda _payload: "A code of a coupon",
    "streak_freeze": lambda payload: f"Streak freeze, {payload.get('count', 1)} of it",
}
