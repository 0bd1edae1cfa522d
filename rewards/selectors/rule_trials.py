"""A rule that is still being written, tried on the last real events; nothing is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ingestion import selectors as ingestion
from ingestion.types import StoredEvent
from players.selectors import facts_for
from players.types import PlayerFacts
from rewards.exceptions import AmountRangeError
from rewards.rules.engine import find_miss, judge
from rewards.rules.event_fields import types_under
from rewards.rules.verdicts import effect_lines, trace_lines
from rewards.selectors.book import book_of
from rewards.selectors.event_fields import event_catalog
from rewards.selectors.rule_worlds import PresentWorld
from rewards.types.book import Book
from rewards.types.rules import CompiledRule, Spent, Verdict

__all__ = ["TRIED_EVENTS", "TrialRow", "try_rule"]

TRIED_EVENTS: Final = 20
# The newest events of the tenant among which those of the rule are looked for.
_AMONG: Final = 20_000


@dataclass(frozen=True, slots=True)
class TrialRow:
    """What a rule would make of one event; ``reason`` is ``None`` where it would fire."""

    event: StoredEvent
    reason: str | None
    text: str
    trace: Sequence[Mapping[str, Any]] = ()
    effects: Sequence[Mapping[str, Any]] = ()

    @property
    def is_fired(self) -> bool:
        """Whether the rule would fire."""
        return self.reason is None


class _TrialWorld(PresentWorld):
    """A player's world; what the rule spends is counted over the worlds of all players."""

    def __init__(
        self, facts: PlayerFacts | None, rule: CompiledRule, book: Book, total: dict[str, Spent]
    ) -> None:
        super().__init__(facts, [rule], book)
        self._total = total

    def spent(self, rule: CompiledRule) -> Spent:
        return self._total.get(rule.rule_id, Spent())

    def fire(self, verdict: Verdict) -> None:
        super().fire(verdict)
        spent = self.spent(verdict.rule)
        now = Spent(spent.firings + 1, spent.cost + verdict.cost)
        self._total[verdict.rule.rule_id] = now


def try_rule(
    tenant_id: str, rule: CompiledRule, *, now: datetime, limit: int = TRIED_EVENTS
) -> list[TrialRow]:
    """Return what ``rule`` would make of the newest events that it looks at, the newest first.

    They are judged in the order in which they came. A rule that was never saved has no uses, so
    its limits and budget count from zero over these very events; wallets and profiles are read as
    of now. Queries: 6, and 4 for each player.
    """
    events = _events_for(tenant_id, rule, now=now, limit=limit)
    keys = {(tenant_id, each.user_id) for each in events if each.user_id is not None}
    facts = facts_for(keys, now=now)
    book, total = book_of(tenant_id), dict[str, Spent]()
    worlds = {
        user_id: _TrialWorld(facts.get((tenant_id, user_id)), rule, book, total)
        for user_id in {each.user_id for each in events if each.user_id is not None}
    }
    rows = [
        _try(rule, event, facts.get((tenant_id, str(event.user_id))), worlds, book)
        for event in reversed(events)
    ]
    return rows[::-1]


def _events_for(
    tenant_id: str, rule: CompiledRule, *, now: datetime, limit: int
) -> list[StoredEvent]:
    names = rule.trigger.names
    known = [each.name for each in types_under(event_catalog(tenant_id, now=now), names)]
    types = {*known, *(name for name in names if not name.endswith("*"))}
    return ingestion.newest_events_of_types(tenant_id, types, limit=limit, among=_AMONG)


def _try(
    rule: CompiledRule,
    event: StoredEvent,
    facts: PlayerFacts | None,
    worlds: Mapping[str, _TrialWorld],
    book: Book,
) -> TrialRow:
    if event.user_id is None:
        return TrialRow(event, "trigger_mismatch", "The event is about no player.")
    world = worlds[event.user_id]
    miss = find_miss(rule, event, event.root, world)
    if miss is not None:
        return TrialRow(event, miss.reason, miss.text, trace_lines(miss))
    try:
        verdict = judge(event, event.root, [rule], facts, book, world)[0]
    except AmountRangeError as exc:
        return TrialRow(event, "quarantined", exc.message)
    return TrialRow(
        event,
        verdict.reason,
        verdict.text or "The rule would fire.",
        trace_lines(verdict),
        effect_lines(verdict, book, applied=False),
    )
