"""What a firing would do: effects and amounts, cut to the limits of its rule (RUL-9, RUL-10)."""

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, cast
from uuid import UUID

from ingestion.types import StoredEvent
from rewards.constants import MAX_DECIMAL_PLACES
from rewards.exceptions import AmountRangeError
from rewards.rules import reasons
from rewards.rules.configs import (
    items_for_level,
    items_for_milestone,
    items_for_rank,
    items_for_threshold,
)
from rewards.rules.items import item_cost
from rewards.rules.periods import buckets_of
from rewards.rules.rule_effects import TIER_KEYS
from rewards.rules.worlds import World
from rewards.types.book import Book, ConfigView, CurrencyView
from rewards.types.money import EXACT, MAX_AMOUNT, ZERO
from rewards.types.rules import (
    AddProgress,
    CompiledRule,
    Effect,
    GrantConfig,
    GrantItem,
    Move,
    PlannedEffect,
    Reason,
    Root,
    Verdict,
)

__all__ = ["plain", "plan_firing", "refusal", "short"]

# Characters of a value in a sentence.
_SHOWN: Final = 40
_SMALLEST: Final = Decimal(1).scaleb(-MAX_DECIMAL_PLACES)


def refusal(rule: CompiledRule, reason: Reason, text: str) -> Verdict:
    """Return that the rule is stopped."""
    return Verdict(rule, reason, text)


def plan_firing(
    rule: CompiledRule, event: StoredEvent, root: Root, book: Book, world: World
) -> Verdict:
    """Return what the rule would do, cut to its caps, or which limit stops it."""
    effects = [_plan_effect(each, event, root, book) for each in rule.effects]
    if not rule.tracked and rule.amount_caps.event is None:
        return _verdict(rule, effects, uses=())
    found = buckets_of(rule.tracked, event.occurred_at, rule.zone)
    buckets = dict(zip(rule.tracked, found, strict=True))
    reached = _reached_limit(rule, buckets, world)
    if reached is not None:
        reason, text = reached
        return _verdict(rule, effects, uses=())._replace(reason=reason, text=text)
    return _clip(rule, effects, buckets, book, world)


def _plan_effect(effect: Effect, event: StoredEvent, root: Root, book: Book) -> PlannedEffect:
    if isinstance(effect, Move):
        return _plan_move(effect, root, book)
    if isinstance(effect, GrantItem):
        return _plan_items(effect, (effect.item_id,), book)
    if isinstance(effect, GrantConfig):
        config = book.configs.get(effect.config_id)
        items = () if config is None else items_of_config(config, event)
        return _plan_items(effect, items, book)
    if isinstance(effect, AddProgress):
        return PlannedEffect(effect, _in_range(effect.amount.evaluate(root)))
    return PlannedEffect(effect)


def _plan_move(effect: Move, root: Root, book: Book) -> PlannedEffect:
    currency = book.currencies.get(effect.currency_id)
    if currency is None:
        return PlannedEffect(effect)
    amount = currency.rounded(_in_range(effect.amount.evaluate(root)))
    cost = _money(amount, currency) if effect.type == "credit" else ZERO
    return PlannedEffect(effect, amount, (), cost)


def _money(amount: Decimal, currency: CurrencyView) -> Decimal:
    """Return what an amount costs the tenant, in the decimals of a column."""
    if not currency.unit_cost:
        return ZERO
    cost = EXACT.multiply(amount, currency.unit_cost)
    return cost.quantize(_SMALLEST, ROUND_HALF_EVEN, EXACT)


def _in_range(amount: Decimal) -> Decimal:
    if amount >= MAX_AMOUNT:
        raise AmountRangeError("An effect would be larger than any amount can be.")
    return amount


def _plan_items(effect: Effect, item_ids: Sequence[UUID], book: Book) -> PlannedEffect:
    known = tuple(item_id for item_id in item_ids if item_id in book.items)
    cost = sum((item_cost(book.items[item_id], book) for item_id in known), ZERO)
    return PlannedEffect(effect, ZERO, known, cost)


def items_of_config(config: ConfigView, event: StoredEvent) -> tuple[UUID, ...]:
    """Return the items of the tier that the event names, else those of the only tier."""
    trigger, key = TIER_KEYS.get(config.config_type, ("", ""))
    number = event.attrs.get(key)
    if event.type == trigger and isinstance(number, int | Decimal):
        return _ITEMS_FOR[config.config_type](config, int(number))
    if event.type == trigger or len(config.tiers) != 1:
        return ()
    return config.tiers[0].items_of("default")


def _threshold(config: ConfigView, times: int) -> tuple[UUID, ...]:
    return items_for_threshold(config, Decimal(times))


_ITEMS_FOR: Final[dict[str, Callable[[ConfigView, int], tuple[UUID, ...]]]] = {
    "leaderboard": items_for_rank,
    "streak": items_for_milestone,
    "achievement": _threshold,
    "level": items_for_level,
}


def _verdict(
    rule: CompiledRule,
    effects: list[PlannedEffect],
    *,
    uses: Sequence[str],
    clipped_from: Decimal | None = None,
) -> Verdict:
    cost = credited = ZERO
    for planned in effects:
        cost += planned.cost
        if _is_credit(planned):
            credited += planned.amount
    return Verdict(rule, None, "", effects, cost, clipped_from, credited, uses)


def _is_credit(planned: PlannedEffect) -> bool:
    return isinstance(planned.effect, Move) and planned.effect.type == "credit"


# The bucket of each period in which the rule counts its uses.
Buckets = Mapping[str, str]


def _reached_limit(rule: CompiledRule, buckets: Buckets, world: World) -> tuple[Reason, str] | None:
    caps = rule.per_player
    for period, limit, reason in (
        ("day", caps.day, "limit_day"),
        ("week", caps.week, "limit_week"),
        ("total", caps.total, "limit_total"),
    ):
        if limit is None:
            continue
        bucket = buckets[period]
        used = world.use(rule, bucket).firings
        if used >= limit:
            text = reasons.firings_used(rule, period, used, int(limit), bucket[2:])
            return cast("Reason", reason), text
    return None


def _clip(
    rule: CompiledRule,
    effects: list[PlannedEffect],
    buckets: Buckets,
    book: Book,
    world: World,
) -> Verdict:
    """Cut the credits to what the caps leave of them; to nothing is a refusal."""
    uses = tuple(buckets.values())
    whole = _verdict(rule, effects, uses=uses)
    room = _room(rule, buckets, world) if whole.credited else None
    if room is None or whole.credited <= room:
        return whole
    cut: list[PlannedEffect] = []
    for each in effects:
        if _is_credit(each):
            each, room = _cut(each, room, book)
        cut.append(each)
    verdict = _verdict(rule, cut, clipped_from=whole.credited, uses=uses)
    if verdict.credited:
        return verdict
    return verdict._replace(reason="amount_cap", text=_cap_text(rule, whole.credited))


def _room(rule: CompiledRule, buckets: Buckets, world: World) -> Decimal | None:
    caps = rule.amount_caps
    rooms = [] if caps.event is None else [caps.event]
    for period, cap in (("day", caps.day), ("week", caps.week)):
        if cap is not None:
            rooms.append(max(cap - world.use(rule, buckets[period]).amount, ZERO))
    return min(rooms, default=None)


def _cut(planned: PlannedEffect, room: Decimal, book: Book) -> tuple[PlannedEffect, Decimal]:
    effect = planned.effect
    currency = book.currencies[effect.currency_id]  # type: ignore[union-attr]  # it is a credit
    amount = currency.rounded(min(planned.amount, room))
    return planned._replace(amount=amount, cost=_money(amount, currency)), room - amount


def _cap_text(rule: CompiledRule, wanted: Decimal) -> str:
    caps = rule.amount_caps
    named = [
        f"{plain(cap)} per {period}"
        for period, cap in (("event", caps.event), ("day", caps.day), ("week", caps.week))
        if cap is not None
    ]
    return f"Nothing was left of {plain(wanted)} under the caps {', '.join(named)}."


def short(value: Any) -> str:
    """Return a value of an event for a sentence, cut where it is long."""
    text = plain(value) if isinstance(value, Decimal) else str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def plain(number: Decimal) -> str:
    """Return a number for a sentence, without exponent and trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
