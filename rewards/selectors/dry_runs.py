"""Dry runs: what rules would make of an event now, without any write (RUL-17)."""

from collections.abc import Sequence
from datetime import datetime

from ingestion.types import StoredEvent
from rewards.models import Rule
from rewards.rules.engine import find_miss, judge
from rewards.rules.verdicts import effect_lines, trace_lines
from rewards.selectors import rules as selectors
from rewards.selectors.book import book_of
from rewards.selectors.rule_worlds import PresentWorld, facts_of
from rewards.types.book import Book
from rewards.types.rule_views import Outcome
from rewards.types.rules import CompiledRule, Verdict

__all__ = ["dry_run"]


def dry_run(
    event: StoredEvent, *, rule: Rule | None = None, version: int | None = None, now: datetime
) -> list[Outcome]:
    """Return what the active rules, or one version of one rule, would make of ``event`` now.

    Of one rule that is the version in force, else the newest; drafts are judged like any other.
    Raises: ``NotFoundError`` without such a version.
    """
    book = book_of(event.tenant_id)
    if rule is None:
        rules: Sequence[CompiledRule] = selectors.of(book).at(now).rules
    else:
        number = version or rule.active_version or rule.version
        rules = [selectors.compiled_version(rule, number)]
    return [_outcome(verdict, event, book) for verdict in _verdicts(event, rules, book, now)]


def _verdicts(
    event: StoredEvent, rules: Sequence[CompiledRule], book: Book, now: datetime
) -> list[Verdict]:
    facts = facts_of(event, now)
    world = PresentWorld(facts, rules, book)
    misses = {rule.pk: find_miss(rule, event, event.root, world) for rule in rules}
    hits = [rule for rule in rules if misses[rule.pk] is None]
    judged = judge(event, event.root, hits, facts, book, world) if event.user_id else []
    found = {verdict.rule.pk: verdict for verdict in judged}
    verdicts = [misses[rule.pk] or found.get(rule.pk) for rule in rules]
    return [verdict for verdict in verdicts if verdict is not None]


def _outcome(verdict: Verdict, event: StoredEvent, book: Book) -> Outcome:
    return Outcome(
        rule_id=verdict.rule.rule_id,
        version=verdict.rule.version,
        user_id=event.user_id,
        reason=verdict.reason,
        text=verdict.text or "The rule would fire.",
        firing_id=None,
        as_of="now",
        trace=trace_lines(verdict),
        effects=tuple(effect_lines(verdict, book, applied=False)),
        is_granted=verdict.is_fired,
    )
