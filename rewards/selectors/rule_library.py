"""What a tenant has that rules may give, count towards or ask about."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from rewards.models import Achievement, Coupon, Streak
from rewards.selectors.book import book_of
from rewards.types.book import Book, ConfigView, CurrencyView, ItemView
from rewards.types.meanings import Names
from rewards.types.rule_library import Choice, RuleLibrary
from tenants.models import Tenant

__all__ = ["library_of", "names_of"]

# A select with more than so many entries helps nobody; ids can always be written in the JSON.
_MOST: Final = 500


def library_of(tenant_id: str) -> RuleLibrary:
    """Return what the tenant's rules may name; archived things have a name and are no choice.

    Raises: ``KeyError`` without the tenant. Queries: 5, more after a change of the library.
    """
    book = book_of(tenant_id)
    goals = _goals(tenant_id)
    coupons = Coupon.objects.filter(tenant_id=tenant_id).order_by("name")[:_MOST]
    coupon_rows = list(coupons.values_list("pk", "name", "status"))
    base = Tenant.objects.values_list("base_currency", flat=True).get(pk=tenant_id)
    names = replace(
        names_of(book),
        goals={choice.value: choice.label for choice, _ in goals},
        coupons={str(pk): name for pk, name, _ in coupon_rows},
        base_currency=base,
    )
    return RuleLibrary(
        items=_sorted(_item(each, base) for each in book.items.values() if each.is_active),
        configs=_sorted(_config(each) for each in book.configs.values() if each.is_active),
        currencies=_currencies(book),
        goals=_sorted(choice for choice, is_active in goals if is_active),
        coupons=_sorted(
            Choice(str(pk), name)
            for pk, name, status in coupon_rows
            if status != Coupon.Status.ARCHIVED
        ),
        names=names,
    )


def names_of(book: Book) -> Names:
    """Return what a book itself knows the names of: all but goals and coupons. Queries: 0."""
    return Names(
        items={str(pk): item.name for pk, item in book.items.items()},
        configs={str(pk): config.name for pk, config in book.configs.items()},
        currencies={each.currency_id: each.name for each in book.currencies.values()},
        decimals={each.currency_id: each.decimal_places for each in book.currencies.values()},
        timezone=book.timezone,
    )


def _goals(tenant_id: str) -> list[tuple[Choice, bool]]:
    achievements = Achievement.objects.filter(tenant_id=tenant_id).order_by("name")[:_MOST]
    streaks = Streak.objects.filter(tenant_id=tenant_id).order_by("name")[:_MOST]
    found = [
        (Choice(f"achievement:{pk}", name, "achievement"), is_active)
        for pk, name, is_active in achievements.values_list("pk", "name", "is_active")
    ]
    found += [
        (Choice(f"streak:{pk}", name, "streak"), status != Streak.Status.ARCHIVED)
        for pk, name, status in streaks.values_list("pk", "name", "status")
    ]
    return found


def _item(item: ItemView, base: str) -> Choice:
    cost = f", costs {_plain(item.unit_cost)} {base}" if item.unit_cost else ""
    return Choice(str(item.pk), item.name, f"{item.reward_type.replace('_', ' ')}{cost}")


def _config(config: ConfigView) -> Choice:
    tiers = f"{len(config.tiers)} tier{'' if len(config.tiers) == 1 else 's'}"
    return Choice(str(config.pk), config.name, f"{config.config_type}, {tiers}")


def _currencies(book: Book) -> tuple[Choice, ...]:
    """Return what players can hold; which of them can be debited stands in the hint."""
    return _sorted(
        Choice(each.currency_id, each.name, _currency_hint(each))
        for each in book.currencies.values()
        if each.is_active and each.kind != "cash"
    )


def _currency_hint(currency: CurrencyView) -> str:
    places = currency.decimal_places
    decimals = "whole numbers" if places == 0 else f"{places} decimals"
    return decimals if currency.is_spendable else f"{decimals}, not spendable"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _sorted(choices: Iterable[Choice]) -> tuple[Choice, ...]:
    return tuple(sorted(choices, key=lambda each: (each.label.lower(), each.value))[:_MOST])
