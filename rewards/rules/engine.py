"""The rule engine: what the rules in force make of one event of one player (RUL-4 to RUL-12).

Pure: whoever runs it brings the event, the facts, the book and a ``World``, which remembers uses,
budgets and wallets and takes what fires. The consumer's world writes, that of a dry run and of a
backtest does not; the decisions are the same.

Gates in order: dates, conditions, chain, player, limits, group, budget, balance. Conditions of all
rules are asked before the first one fires, so they see the wallet as the event found it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, Protocol
from uuid import UUID

from ingestion.types import StoredEvent
from players.types import PlayerFacts
from rewards.constants import MAX_DECIMAL_PLACES, MAX_RULE_DEPTH
from rewards.exceptions import AmountRangeError
from rewards.rules import reasons
from rewards.rules.configs import (
    items_for_level,
    items_for_milestone,
    items_for_rank,
    items_for_threshold,
)
from rewards.rules.periods import bucket_of, buckets_of
from rewards.rules.reasons import sentence
from rewards.rules.rule_conditions import root_of
from rewards.rules.rule_effects import TIER_KEYS
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
    Spent,
    Use,
    Verdict,
)

__all__ = ["World", "judge", "meets_conditions", "rule_root", "was_in_dates"]

_SMALLEST: Final = Decimal(1).scaleb(-MAX_DECIMAL_PLACES)
_LIMIT_REASONS: Final[dict[str, Reason]] = {
    "day": "limit_day",
    "week": "limit_week",
    "total": "limit_total",
}


class World(Protocol):
    """What the engine asks and tells while it judges the events of one player after the other."""

    def use(self, rule: CompiledRule, bucket: str) -> Use:
        """Return how often the rule fired for the player in the bucket, and what it credited."""

    def spent(self, rule: CompiledRule) -> Spent:
        """Return what the rule has used of its budget."""

    def available(self, currency_id: str) -> Decimal:
        """Return what the player can spend of a currency."""

    def state(self, rule: CompiledRule) -> Mapping[str, Any]:
        """Return what the conditions of the rule read as ``player`` and ``wallet``."""

    def fire(self, verdict: Verdict) -> None:
        """Let the firing happen: its effects, uses and spending."""


def was_in_dates(rule: CompiledRule, event: StoredEvent) -> bool:
    """Whether the event occurred in ``[starts_at, ends_at)`` of the rule."""
    if rule.starts_at is not None and event.occurred_at < rule.starts_at:
        return False
    return rule.ends_at is None or event.occurred_at < rule.ends_at


def rule_root(rule: CompiledRule, event: StoredEvent, event_root: Root, world: World) -> Root:
    """Return what the rule's conditions read."""
    if not rule.needs:
        return event_root
    state = {} if rule.is_static else world.state(rule)
    return root_of(
        event_root, rule.needs, occurred_at=event.occurred_at, zone=rule.zone, state=state
    )


def meets_conditions(
    rule: CompiledRule, event: StoredEvent, event_root: Root, world: World
) -> bool:
    """Whether dates and conditions let the rule go on."""
    return was_in_dates(rule, event) and rule.condition.matches(
        rule_root(rule, event, event_root, world)
    )


def judge(
    event: StoredEvent,
    event_root: Root,
    rules: Iterable[CompiledRule],
    facts: PlayerFacts | None,
    book: Book,
    world: World,
) -> list[Verdict]:
    """Return a verdict for each of ``rules`` whose conditions hold, and let those fire that do.

    ``rules`` come in the order of ``CompiledRule.order`` and are triggered by the event. A rule
    whose conditions do not hold has no verdict: nothing is kept of those.

    Raises: ``AmountRangeError`` for an amount that no wallet can hold.
    """
    roots = [(rule, rule_root(rule, event, event_root, world)) for rule in rules]
    met = [
        (rule, root)
        for rule, root in roots
        if was_in_dates(rule, event) and rule.condition.matches(root)
    ]
    if not met:
        return []
    stopped = _stopped(event, facts)
    drafts = [
        _refusal(rule, stopped, sentence(stopped))
        if stopped is not None
        else _plan(rule, event, root, book, world)
        for rule, root in met
    ]
    _decide_groups(drafts)
    return [_settle(draft, root, book, world) for draft, (_, root) in zip(drafts, met, strict=True)]


def _stopped(event: StoredEvent, facts: PlayerFacts | None) -> Reason | None:
    if event.depth >= MAX_RULE_DEPTH:
        return "chain_too_deep"
    if facts is None:
        return None
    if facts.is_blocked("rewards"):
        return "player_blocked"
    return "opted_out" if facts.is_opted_out else None


def _refusal(rule: CompiledRule, reason: Reason, text: str) -> Verdict:
    return Verdict(rule, reason, text)


# --- Effects and limits --------------------------------------------------------------------------


def _plan(rule: CompiledRule, event: StoredEvent, root: Root, book: Book, world: World) -> Verdict:
    """Return what the rule would do, cut to its caps, or which limit stops it."""
    effects = [_plan_effect(each, event, root, book) for each in rule.effects]
    tracked = rule.tracked
    if not tracked and rule.amount_caps.event is None:
        return _verdict(rule, effects, clipped_from=None, uses=())
    uses = buckets_of(tracked, event.occurred_at, rule.zone)
    reached = _reached_limit(rule, event, world)
    if reached is not None:
        return reached._replace(effects=effects, cost=_cost(effects))
    return _clip(rule, event, effects, uses, book, world)


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
    cost = sum((book.items[item_id].unit_cost for item_id in known), ZERO)
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


def _cost(effects: Sequence[PlannedEffect]) -> Decimal:
    return sum((each.cost for each in effects), ZERO)


def _verdict(
    rule: CompiledRule,
    effects: list[PlannedEffect],
    *,
    clipped_from: Decimal | None,
    uses: Sequence[str],
) -> Verdict:
    credited = sum((each.amount for each in effects if _is_credit(each)), ZERO)
    return Verdict(rule, None, "", effects, _cost(effects), clipped_from, credited, uses)


def _is_credit(planned: PlannedEffect) -> bool:
    return isinstance(planned.effect, Move) and planned.effect.type == "credit"


def _reached_limit(rule: CompiledRule, event: StoredEvent, world: World) -> Verdict | None:
    for period, reason in _LIMIT_REASONS.items():
        limit = getattr(rule.per_player, period)
        if limit is None:
            continue
        bucket = bucket_of(period, event.occurred_at, rule.zone)
        used = world.use(rule, bucket).firings
        if used >= limit:
            text = reasons.firings_used(rule, period, used, int(limit), bucket[2:])
            return _refusal(rule, reason, text)
    return None


def _clip(
    rule: CompiledRule,
    event: StoredEvent,
    effects: list[PlannedEffect],
    uses: Sequence[str],
    book: Book,
    world: World,
) -> Verdict:
    """Cut the credits to what the caps leave of them; to nothing is a refusal."""
    wanted = sum((each.amount for each in effects if _is_credit(each)), ZERO)
    room = _room(rule, event, world) if wanted else None
    if room is None or wanted <= room:
        return _verdict(rule, effects, clipped_from=None, uses=uses)
    cut: list[PlannedEffect] = []
    for each in effects:
        if _is_credit(each):
            each, room = _cut(each, room, book)
        cut.append(each)
    verdict = _verdict(rule, cut, clipped_from=wanted, uses=uses)
    if verdict.credited:
        return verdict
    return verdict._replace(reason="amount_cap", text=_cap_text(rule, wanted))


def _room(rule: CompiledRule, event: StoredEvent, world: World) -> Decimal | None:
    caps = rule.amount_caps
    rooms = [] if caps.event is None else [caps.event]
    for period, cap in (("day", caps.day), ("week", caps.week)):
        if cap is not None:
            used = world.use(rule, bucket_of(period, event.occurred_at, rule.zone)).amount
            rooms.append(max(cap - used, ZERO))
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


def plain(number: Decimal) -> str:
    """Return a number for a sentence, without exponent and trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- Groups, budgets, balances -------------------------------------------------------------------


def _decide_groups(drafts: list[Verdict]) -> None:
    """Refuse the rules that lose to another one of their group, in place."""
    groups: dict[str, list[int]] = {}
    for place, draft in enumerate(drafts):
        if draft.is_fired and draft.rule.group is not None:
            groups.setdefault(draft.rule.group.name, []).append(place)
    for places in groups.values():
        first = drafts[places[0]]
        mode = first.rule.group.mode if first.rule.group is not None else "all"
        if mode == "all" or len(places) == 1:
            continue
        # Places are in order already, and max() keeps the first of equals.
        best = places[0] if mode == "first" else max(places, key=lambda each: drafts[each].cost)
        winner = drafts[best].rule
        for place in places:
            if place != best:
                text = f"The rule {winner.rule_id} fired instead, by the group {_name(winner)}."
                drafts[place] = drafts[place]._replace(reason="group_lost", text=text)


def _name(rule: CompiledRule) -> str:
    return "" if rule.group is None else rule.group.name


def _settle(draft: Verdict, root: Root, book: Book, world: World) -> Verdict:
    """Ask budget and balance, add the trace, and let it fire if nothing is in the way."""
    verdict = draft
    if draft.is_fired:
        verdict = (
            _refused_by_budget(draft, world) or _refused_by_balance(draft, book, world) or draft
        )
    verdict = verdict._replace(trace=verdict.rule.condition.trace(root))
    if verdict.is_fired:
        world.fire(verdict)
    return verdict


def _refused_by_budget(draft: Verdict, world: World) -> Verdict | None:
    budget = draft.rule.budget
    if not budget:
        return None
    spent = world.spent(draft.rule)
    if budget.firings is not None and spent.firings >= budget.firings:
        text = f"All {budget.firings} firings of the budget are used."
    elif budget.cost is not None and spent.cost + draft.cost > budget.cost:
        left = max(budget.cost - spent.cost, ZERO)
        text = f"It costs {plain(draft.cost)}; of the budget {plain(left)} is left."
    else:
        return None
    return draft._replace(reason="budget_exhausted", text=text)


def _refused_by_balance(draft: Verdict, book: Book, world: World) -> Verdict | None:
    """Go through the moves in their order: a credit may pay for a later debit."""
    left: dict[str, Decimal] = {}
    for planned in draft.effects:
        effect = planned.effect
        if not isinstance(effect, Move) or not planned.amount:
            continue
        now = left.get(effect.currency_id)
        if effect.type == "credit":
            left[effect.currency_id] = (now or ZERO) + planned.amount
            continue
        if now is None:
            now = ZERO
        has = now + world.available(effect.currency_id)
        if planned.amount > has or not book.currencies[effect.currency_id].is_spendable:
            text = f"A debit of {plain(planned.amount)} {effect.currency_id} met {plain(has)}."
            return draft._replace(reason="insufficient_balance", text=text)
        left[effect.currency_id] = now - planned.amount
    return None
