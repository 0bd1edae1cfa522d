"""The effects of a rule as its document writes them."""

from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from phoenix_site.common.documents import Section
from phoenix_site.common.paths import as_number
from rewards.rules.amounts import NO_AMOUNT, fixed, read_amount
from rewards.types.book import Book, ConfigView, CurrencyView
from rewards.types.rules import (
    AddProgress,
    Amount,
    Effect,
    GiveCoupon,
    GoalKind,
    GrantConfig,
    GrantItem,
    Move,
    References,
    Trigger,
)

__all__ = ["EFFECT_KEYS", "TIER_KEYS", "Effects"]

EFFECT_KEYS: Final = {
    "grant": ("type", "item_id", "reward_config_id"),
    "credit": ("type", "currency_id", "amount"),
    "debit": ("type", "currency_id", "amount"),
    "progress": ("type", "goal", "amount"),
    "coupon": ("type", "coupon_id"),
}
_UNBUILT_TYPES: Final = frozenset({"message", "webhook"})
_UNBUILT_KEYS: Final = frozenset({"boostable"})
_NO_ID: Final = UUID(int=0)
# Which platform event names the tier of which type of config, and by which attribute.
TIER_KEYS: Final = {
    "leaderboard": ("leaderboard.placed", "rank"),
    "streak": ("streak.milestone", "threshold"),
    "achievement": ("achievement.unlocked", "times"),
    "level": ("level.reached", "level"),
}


class Effects:
    """Reads effects; with a ``book`` whatever they name must be in it or in ``references``."""

    def __init__(self, book: Book | None, references: References, trigger: Trigger | None) -> None:
        self._book = book
        self._references = references
        self._trigger = trigger

    def read(self, section: Section) -> Effect:
        """Return the effect of a section that was opened with the keys of its type."""
        return _READERS[section.raw("type")](self, section)

    def _read_grant(self, section: Section) -> Effect:
        given = [key for key in ("item_id", "reward_config_id") if section.has(key)]
        if len(given) != 1:
            section.refuse("item_id", "exactly one of item_id and reward_config_id is required")
            return GrantItem(_NO_ID)
        if given == ["item_id"]:
            return GrantItem(self._read_item(section))
        return GrantConfig(self._read_config(section))

    def _read_item(self, section: Section) -> UUID:
        item_id = read_uuid(section, "item_id")
        if self._book is None or item_id == _NO_ID:
            return item_id
        item = self._book.items.get(item_id)
        if item is None:
            section.refuse("item_id", "there is no such reward item")
        elif not item.is_active:
            section.refuse("item_id", "the reward item is not active")
        elif self._is_endless(item_id):
            section.refuse("item_id", "gives a coupon that gives the same item again")
        return item_id

    def _is_endless(self, item_id: UUID) -> bool:
        seen, following = {item_id}, self._references.item_chains.get(item_id)
        while following is not None:
            if following in seen:
                return True
            seen.add(following)
            following = self._references.item_chains.get(following)
        return False

    def _read_config(self, section: Section) -> UUID:
        config_id = read_uuid(section, "reward_config_id")
        if self._book is None or config_id == _NO_ID:
            return config_id
        config = self._book.configs.get(config_id)
        if config is None:
            section.refuse("reward_config_id", "there is no such reward config")
        elif not config.is_active:
            section.refuse("reward_config_id", "the reward config is not active")
        elif len(config.tiers) > 1 and not self._names_tier(config):
            trigger, _key = TIER_KEYS.get(config.config_type, ("", ""))
            section.refuse(
                "reward_config_id", f"has several tiers, which only {trigger} tells apart"
            )
        return config_id

    def _names_tier(self, config: ConfigView) -> bool:
        trigger, _key = TIER_KEYS.get(config.config_type, ("", ""))
        return self._trigger is not None and self._trigger.names == (trigger,)

    def _read_credit(self, section: Section) -> Effect:
        return self._read_move(section, "credit")

    def _read_debit(self, section: Section) -> Effect:
        return self._read_move(section, "debit")

    def _read_move(self, section: Section, type_: Literal["credit", "debit"]) -> Effect:
        currency_id = read_text(section, "currency_id")
        currency = self._find_currency(section, currency_id)
        if currency is not None and type_ == "debit" and not currency.is_spendable:
            section.refuse("currency_id", "is not spendable, so it cannot be debited")
        return Move(type_, currency_id, read_amount(section, "amount", currency))

    def _find_currency(self, section: Section, currency_id: str) -> CurrencyView | None:
        if self._book is None or not currency_id:
            return None
        currency = self._book.currencies.get(currency_id)
        if currency is None or not currency.is_active:
            section.refuse("currency_id", "there is no such active currency")
        elif currency.kind == "cash":
            section.refuse("currency_id", "is a cash currency, of which players hold none")
        return currency

    def _read_progress(self, section: Section) -> Effect:
        kind, goal_id = self._read_goal(section)
        return AddProgress(kind, goal_id, _read_progress_amount(section))

    def _read_goal(self, section: Section) -> tuple[GoalKind, UUID]:
        text = read_text(section, "goal")
        kind, _, id_text = text.partition(":")
        if kind == "mission":
            section.refuse("goal", "not supported yet")
        elif kind == "achievement":
            return "achievement", self._check_goal(
                section, id_text, self._references.achievement_ids
            )
        elif kind == "streak":
            return "streak", self._check_goal(section, id_text, self._references.streak_ids)
        elif text:
            section.refuse("goal", "must be achievement:{id} or streak:{id}")
        return "achievement", _NO_ID

    def _check_goal(self, section: Section, text: str, known: Any) -> UUID:
        goal_id = find_uuid(text)
        if goal_id is None or (self._book is not None and goal_id not in known):
            section.refuse("goal", "there is no such goal")
        return goal_id or _NO_ID

    def _read_coupon(self, section: Section) -> Effect:
        coupon_id = read_uuid(section, "coupon_id")
        is_checked = self._book is not None and coupon_id != _NO_ID
        if is_checked and coupon_id not in self._references.coupon_ids:
            section.refuse("coupon_id", "there is no such coupon")
        return GiveCoupon(coupon_id)


_READERS: Final = {
    "grant": Effects._read_grant,  # noqa: SLF001 - the table of this very class
    "credit": Effects._read_credit,  # noqa: SLF001
    "debit": Effects._read_debit,  # noqa: SLF001
    "progress": Effects._read_progress,  # noqa: SLF001
    "coupon": Effects._read_coupon,  # noqa: SLF001
}


def open_effect(document: Any, path: str, faults: list[Any]) -> Section | None:
    """Return the section of one effect, ``None`` when its type says nothing that is known."""
    kind = document.get("type") if isinstance(document, dict) else None
    kind = kind if isinstance(kind, str) else None
    if kind in _UNBUILT_TYPES:
        Section({"type": kind}, path, faults, keys=("type",)).refuse("type", "not supported yet")
        return None
    if isinstance(document, dict) and kind not in EFFECT_KEYS:
        section = Section({}, path, faults, keys=())
        section.refuse("type", f"must be one of {', '.join(EFFECT_KEYS)}")
        return None
    section = Section(
        document, path, faults, keys=EFFECT_KEYS.get(str(kind), ()), reserved=_UNBUILT_KEYS
    )
    return section if section.is_object else None


def _read_progress_amount(section: Section) -> Amount:
    """Return how much; a plain number stands for a fixed amount."""
    number = as_number(section.raw("amount"))
    if number is None:
        return read_amount(section, "amount")
    if number <= 0:
        section.refuse("amount", "must be greater than 0")
        return NO_AMOUNT
    return fixed(Decimal(number))


def find_uuid(value: Any) -> UUID | None:
    """Return the id that a text is, ``None`` for any other value."""
    if not isinstance(value, str):
        return None
    try:
        return UUID(value)
    except ValueError:
        return None


def read_uuid(section: Section, key: str) -> UUID:
    """Return the id at ``key``; all zeros where there is none, and a fault."""
    value = find_uuid(section.raw(key))
    if value is None:
        section.refuse(key, "must be the id of one" if section.has(key) else "is required")
    return value or _NO_ID


def read_text(section: Section, key: str) -> str:
    """Return the text at ``key``; empty where there is none, and a fault."""
    if not section.require(key):
        return ""
    value = section.raw(key)
    if not isinstance(value, str):
        section.refuse(key, "must be a string")
        return ""
    return value
