"""Why a rule gave something for an event, or did not: any (event, rule, player) (RUL-19).

What fired or was stopped has a row with its trace. What merely did not match is judged again from
the stored event and the version in force when it was received.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from ingestion import selectors as ingestion
from ingestion.models import QuarantineEntry
from ingestion.types import StoredEvent
from rewards.constants import REFUSALS_KEPT_DAYS, RULES
from rewards.models import Firing, Refusal, Rule
from rewards.rules.engine import find_miss
from rewards.rules.reasons import sentence
from rewards.rules.verdicts import stored_effects, trace_lines
from rewards.selectors import rules as selectors
from rewards.selectors.book import book_of
from rewards.selectors.rule_worlds import PresentWorld, facts_of
from rewards.types.rule_views import Outcome
from rewards.types.rules import CompiledRule, Reason

__all__ = ["event_effects", "explain", "outcome_documents"]

_AS_OF: Final = "received_at"


def explain(
    event: StoredEvent, *, user_id: str | None = None, rule: Rule | None = None, now: datetime
) -> list[Outcome]:
    """Return what became of the event under one rule, or all that looked at it.

    ``user_id`` is the player that is asked about, by default the event's own.
    """
    asked = user_id if user_id is not None else event.user_id
    rules = [rule] if rule is not None else _rules_looking_at(event)
    if asked is None or asked != event.user_id:
        text = "The event is about another player." if event.user_id else "It is about no player."
        return [_outcome(each, asked, "trigger_mismatch", text) for each in rules]
    known = {**_refused(event, rules), **_fired(event, rules)}
    missing = [each for each in rules if each.pk not in known]
    known |= dict(
        zip([each.pk for each in missing], _judge_again(event, missing, now), strict=True)
    )
    return [known[each.pk] for each in rules]


def _rules_looking_at(event: StoredEvent) -> list[Rule]:
    index = selectors.of(book_of(event.tenant_id)).at(event.received_at)
    of_type = index.of(event.type, is_internal=event.source == "internal")
    looking = () if of_type is None else of_type.rules
    judged = {*_judged_by(Firing, event), *_judged_by(Refusal, event)}
    found = Rule.objects.in_bulk({each.pk for each in looking} | judged)
    ordered = [each.pk for each in looking] + sorted(judged - {each.pk for each in looking})
    return [found[pk] for pk in ordered]


def _judged_by(model: type[Firing] | type[Refusal], event: StoredEvent) -> list[UUID]:
    rows = model.objects.filter(tenant_id=event.tenant_id, event_row=event.id)
    return list(rows.values_list("rule_id", flat=True))


def _fired(event: StoredEvent, rules: Sequence[Rule]) -> dict[UUID, Outcome]:
    rows = Firing.objects.filter(event_row=event.id, rule__in=rules)
    return {row.rule_id: _of_firing(row, event) for row in rows.select_related("rule")}


def _of_firing(row: Firing, event: StoredEvent) -> Outcome:
    text = "The rule fired."
    if row.clipped_from is not None:
        text += f" Its credits were clipped from {row.clipped_from.normalize():f}."
    return Outcome(
        rule_id=row.rule.rule_id,
        version=row.version,
        user_id=event.user_id,
        reason=None,
        text=text,
        firing_id=row.pk,
        as_of=_AS_OF,
        trace=tuple(row.trace),
        effects=tuple(stored_effects(row.effects)),
        is_granted=True,
    )


def _refused(event: StoredEvent, rules: Sequence[Rule]) -> dict[UUID, Outcome]:
    rows = Refusal.objects.filter(event_row=event.id, rule__in=rules).select_related("rule")
    return {
        row.rule_id: Outcome(
            rule_id=row.rule.rule_id,
            version=row.version,
            user_id=event.user_id,
            reason=row.reason,
            text=row.text,
            firing_id=None,
            as_of=_AS_OF,
            trace=tuple(row.trace),
            effects=(),
        )
        for row in rows
    }


def _judge_again(event: StoredEvent, rules: Sequence[Rule], now: datetime) -> list[Outcome]:
    """Return why rules left no row for the event."""
    if not rules:
        return []
    waiting = _waiting(event)
    if waiting is not None:
        return [_outcome(rule, event.user_id, waiting, sentence(waiting)) for rule in rules]
    book = book_of(event.tenant_id)
    history = selectors.of(book)
    versions = {rule.pk: history.version_at(rule.pk, event.received_at) for rule in rules}
    compiled = {
        rule.pk: selectors.compiled_version(rule, number)
        for rule in rules
        if (number := versions[rule.pk]) is not None
    }
    world = PresentWorld(facts_of(event, now), compiled.values(), book)
    return [_explain_miss(rule, compiled.get(rule.pk), event, world) for rule in rules]


def _waiting(event: StoredEvent) -> Reason | None:
    entries = QuarantineEntry.objects.filter(
        tenant_id=event.tenant_id, consumer=RULES, event_id=event.id
    )
    if entries.exclude(state=QuarantineEntry.State.REPLAYED).exists():
        return "quarantined"
    return None if ingestion.has_seen(RULES, event) else "not_processed_yet"


def _explain_miss(
    rule: Rule, compiled: CompiledRule | None, event: StoredEvent, world: PresentWorld
) -> Outcome:
    if compiled is None:
        return _outcome(rule, event.user_id, "not_active", sentence("not_active"))
    if event.source == "import":
        text = "The event is imported history, for which no rule fires."
        return _outcome(rule, event.user_id, "trigger_mismatch", text, compiled.version)
    miss = find_miss(compiled, event, event.root, world)
    if miss is None:
        text, reason = _forgotten(compiled)
        return _outcome(rule, event.user_id, reason, text, compiled.version)
    trace = trace_lines(miss)
    return _outcome(rule, event.user_id, miss.reason, miss.text, compiled.version, trace)


def _forgotten(compiled: CompiledRule) -> tuple[str, Reason | None]:
    """Return what can be said of a rule whose conditions hold, and of which there is no row."""
    if compiled.is_static:
        text = "It was stopped after its conditions held; the reason is kept for"
        return f"{text} {REFUSALS_KEPT_DAYS} days only.", None
    text = "They hold today, but what they read of the player was different then."
    return text, "conditions_not_met"


def _outcome(
    rule: Rule,
    user_id: str | None,
    reason: Reason | None,
    text: str,
    version: int | None = None,
    trace: tuple[Any, ...] = (),
) -> Outcome:
    return Outcome(rule.rule_id, version, user_id, reason, text, None, _AS_OF, trace, ())


def outcome_documents(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return outcomes as answers show them."""
    return [
        {
            "rule_id": each.rule_id,
            "version": each.version,
            "user_id": each.user_id,
            "verdict": "granted" if each.is_granted else "not_granted",
            "reason": each.reason,
            "text": each.text,
            "firing_id": each.firing_id,
            "as_of": each.as_of,
            "trace": list(each.trace),
            "effects": list(each.effects),
        }
        for each in outcomes
    ]


def event_effects(tenant_id: str, event: StoredEvent) -> list[dict[str, Any]]:
    """Return what the tenant's rules made of an event, for the log's own pages."""
    if event.user_id is None or tenant_id != event.tenant_id:
        return []
    found = explain(event, now=timezone.now())
    return [
        {
            "rule_id": each.rule_id,
            "version": each.version,
            "outcome": "granted" if each.is_granted else "not_granted",
            **({"reason": each.reason} if each.reason else {}),
        }
        for each in found
    ]
