"""The rule engine: what the rules in force make of one event of one player (RUL-4 to RUL-12).

Pure: whoever runs it brings the event, the facts, the book and a ``World``, which remembers uses,
budgets and wallets and takes what fires. The consumer's world writes, that of a dry run and of a
backtest does not; the decisions are the same.

Gates in order: dates, conditions, chain, player, limits, group, budget, balance. Conditions of all
rules are asked before the first one fires, so they see the wallet as the event found it.
"""

from collections.abc import Iterable
from decimal import Decimal

from ingestion.types import StoredEvent
from players.types import PlayerFacts
from rewards.constants import MAX_RULE_DEPTH
from rewards.rules.plans import plain, plan_firing, refusal, short
from rewards.rules.reasons import sentence
from rewards.rules.rule_conditions import root_of
from rewards.rules.rule_index import is_triggered
from rewards.rules.worlds import World
from rewards.types.book import Book
from rewards.types.money import ZERO
from rewards.types.rules import CompiledRule, Move, Reason, Root, Verdict

__all__ = ["find_miss", "judge", "was_in_dates"]


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


def find_miss(
    rule: CompiledRule, event: StoredEvent, event_root: Root, world: World
) -> Verdict | None:
    """Return why the event passes the rule by, which leaves no row; ``None`` if it does not."""
    if not is_triggered(rule, event.type, is_internal=event.source == "internal"):
        return refusal(rule, "trigger_mismatch", sentence("trigger_mismatch"))
    if not was_in_dates(rule, event):
        return refusal(rule, "outside_dates", sentence("outside_dates"))
    root = rule_root(rule, event, event_root, world)
    if rule.condition.matches(root):
        return None
    trace = rule.condition.trace(root)
    missed = [line for line in trace if not line.result]
    seen = [f"{line.field} ({line.note or short(line.actual)})" for line in missed]
    text = sentence("conditions_not_met")
    if seen:
        text += f" Not met: {', '.join(seen[:5])}."
    return Verdict(rule, "conditions_not_met", text, trace=trace)


def judge(
    event: StoredEvent,
    event_root: Root,
    rules: Iterable[CompiledRule],
    facts: PlayerFacts | None,
    book: Book,
    world: World,
    *,
    has_traces: bool = True,
) -> list[Verdict]:
    """Return a verdict for each of ``rules`` whose conditions hold, and let those fire that do.

    ``rules`` come in the order of ``CompiledRule.order`` and are triggered by the event. A rule
    whose conditions do not hold has no verdict: nothing is kept of those. Verdicts have no traces
    where nobody would look at them.

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
        refusal(rule, stopped, sentence(stopped))
        if stopped is not None
        else plan_firing(rule, event, root, book, world)
        for rule, root in met
    ]
    _decide_groups(drafts)
    if has_traces:
        for place, (rule, root) in enumerate(met):
            if rule.condition.comparisons:
                trace = rule.condition.trace(root)
                drafts[place] = drafts[place]._replace(trace=trace)
    return [_settle(draft, book, world) for draft in drafts]


def _stopped(event: StoredEvent, facts: PlayerFacts | None) -> Reason | None:
    if event.depth >= MAX_RULE_DEPTH:
        return "chain_too_deep"
    if facts is None:
        return None
    if facts.is_blocked("rewards"):
        return "player_blocked"
    return "opted_out" if facts.is_opted_out else None


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


def _settle(draft: Verdict, book: Book, world: World) -> Verdict:
    """Ask budget and balance, and let it fire if nothing is in the way."""
    verdict = draft
    if draft.is_fired:
        verdict = (
            _refused_by_budget(draft, world) or _refused_by_balance(draft, book, world) or draft
        )
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
    if not draft.rule.has_debit:
        return None
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
