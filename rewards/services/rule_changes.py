"""The life of rules: published, paused, archived, at once or at a time to come.

What decides from which event on a version judges is a ``RuleChange``: an event is judged by the
last one at or before the instant it was received, so the consumer stands still while one is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from phoenix_site.common.faults import Fault
from phoenix_site.common.logging import get_logger
from rewards.exceptions import DocumentError, StateConflictError, VersionConflictError
from rewards.models import Rule, RuleBudget, RuleChange
from rewards.rules.budgets import share_of
from rewards.selectors import rules as selectors
from rewards.services import rule_uses, rules
from rewards.services.consumer_hold import hold_consumer
from rewards.services.documents import bump
from rewards.types.rule_views import RuleView
from rewards.types.rules import CompiledRule, Spent
from tenants.types import Actor

__all__ = ["activate_rule", "apply_planned", "archive_rule", "delete_rule", "pause_rule"]

log = get_logger(__name__)

Status = Rule.Status
_TICK: Final = timedelta(microseconds=1)
_MAX_REASON: Final = 500
# Which status may follow which; an active rule may be activated with another version.
TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    Status.DRAFT: frozenset({Status.ACTIVE, Status.ARCHIVED}),
    Status.ACTIVE: frozenset({Status.ACTIVE, Status.PAUSED, Status.ARCHIVED}),
    Status.PAUSED: frozenset({Status.ACTIVE, Status.ARCHIVED}),
    Status.ARCHIVED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class _Change:
    """A status to come, from ``at`` on (``None``: at once), and what is asked of the version."""

    status: str
    version: int | None
    at: datetime | None
    reason: str


def activate_rule(
    tenant_id: str,
    rule_id: str,
    *,
    version: int | None = None,
    at: datetime | None = None,
    reason: str = "",
    actor: Actor,
    now: datetime,
) -> RuleView:
    """Let a version judge the events received from now on, or from ``at``.

    Without ``version`` that is the newest, of a paused rule the one that was paused. It is
    published by that, and checked again first.

    Raises: ``StateConflictError`` for an archived rule or the version that is active already,
    ``DocumentError`` when what it names is no longer there or ``at`` is past, ``NotFoundError``.
    Locks: the consumer, then the rule.
    """
    wanted = _Change(Status.ACTIVE, version, at, reason)
    return _change(tenant_id, rule_id, wanted, actor=actor, now=now)


def pause_rule(
    tenant_id: str,
    rule_id: str,
    *,
    version: int | None = None,
    at: datetime | None = None,
    reason: str = "",
    actor: Actor,
    now: datetime,
) -> RuleView:
    """Let no version judge the events received from now on, or from ``at``: the kill switch.

    Raises: ``StateConflictError`` for a rule that is not active then, ``VersionConflictError``
    when ``version`` is not the one in force. Locks: the consumer, then the rule.
    """
    wanted = _Change(Status.PAUSED, version, at, reason)
    return _change(tenant_id, rule_id, wanted, actor=actor, now=now)


def archive_rule(
    tenant_id: str,
    rule_id: str,
    *,
    version: int | None = None,
    at: datetime | None = None,
    reason: str = "",
    actor: Actor,
    now: datetime,
) -> RuleView:
    """Take the rule out of use for ever, now or from ``at`` on.

    Raises and locks as ``pause_rule``.
    """
    wanted = _Change(Status.ARCHIVED, version, at, reason)
    return _change(tenant_id, rule_id, wanted, actor=actor, now=now)


def delete_rule(tenant_id: str, rule_id: str, *, actor: Actor, now: datetime) -> None:
    """Archive the rule. Repeats: harmless. Raises: ``NotFoundError``."""
    if selectors.get_rule(tenant_id, rule_id).status != Status.ARCHIVED:
        archive_rule(tenant_id, rule_id, actor=actor, now=now)


@transaction.atomic
def _change(
    tenant_id: str, rule_id: str, wanted: _Change, *, actor: Actor, now: datetime
) -> RuleView:
    """Make one change of a rule's status; those planned for later give way to it."""
    selectors.get_rule(tenant_id, rule_id)
    held_at = hold_consumer(now)
    rule = rules.lock_rule(tenant_id, rule_id)
    at = _instant(rule, wanted.at, held_at)
    number = _check_change(rule, wanted, at)
    rule.changes.filter(at__gte=at, applied_at=None).delete()
    change = RuleChange.objects.create(
        rule=rule,
        at=at,
        status=wanted.status,
        version=number,
        author=actor.label,
        reason=wanted.reason[:_MAX_REASON],
    )
    if number is not None:
        _publish(rule, number, reason=wanted.reason, now=now)
    if wanted.at is None:
        _apply(rule, change)
    bump(tenant_id)
    _record_status(rule, change, actor=actor, now=now)
    return selectors.view_of(rule)


def _instant(rule: Rule, asked: datetime | None, held_at: datetime) -> datetime:
    """Return from when on the change holds; no two of a rule share an instant."""
    if asked is None:
        past = rule.changes.filter(Q(at__lte=held_at) | Q(applied_at__isnull=False))
        latest = past.order_by("-at").first()
        return held_at if latest is None else max(held_at, latest.at + _TICK)
    if asked <= held_at:
        raise DocumentError([Fault("at", "must lie in the future, or be left out")])
    return asked


def _check_change(rule: Rule, wanted: _Change, at: datetime) -> int | None:
    """Return the version that will judge, ``None`` for none. Raises: as the callers say."""
    last = rule.changes.filter(at__lt=at).order_by("-at").first()
    status = Status.DRAFT.value if last is None else last.status
    if rule.status == Status.ARCHIVED or wanted.status not in TRANSITIONS[status]:
        raise StateConflictError(f"A rule that is {status} cannot be {wanted.status}.")
    if wanted.status != Status.ACTIVE:
        if wanted.version not in (None, rule.version, rule.active_version):
            raise VersionConflictError(f"The rule is at version {rule.active_version}.")
        return None
    number = wanted.version or _resumed(rule, status)
    if last is not None and last.version == number:
        raise StateConflictError(f"Version {number} is active already.")
    return number


def _resumed(rule: Rule, status: str) -> int:
    is_paused = status == Status.PAUSED and rule.active_version is not None
    return (rule.active_version if is_paused else rule.version) or rule.version


def _publish(rule: Rule, number: int, *, reason: str, now: datetime) -> None:
    """Make the version fit to judge: checked, immutable, its uses and budget counted."""
    version = selectors.get_version(rule, number)
    parsed, _warnings_of_it = rules.validate(rule.tenant_id, version.document, rule=rule)
    if version.published_at is None:
        version.published_at, version.reason = now, reason[:_MAX_REASON]
        version.save(update_fields=["published_at", "reason"])
    compiled = selectors.compiled_version(rule, number)
    missing = set(parsed.compiled.tracked) - set(rule.tracked_periods)
    if missing:
        rule_uses.recount(compiled, missing, is_new_zone=False)
        rule.tracked_periods = sorted({*rule.tracked_periods, *missing})
        rule.save(update_fields=["tracked_periods"])
    if compiled.budget:
        RuleBudget.objects.get_or_create(rule=rule)


def _apply(rule: Rule, change: RuleChange) -> None:
    """Let the rule itself show a change that is due."""
    before = rule.active_version
    rule.status = change.status
    if change.version is not None:
        rule.active_version = change.version
    rule.save(update_fields=["status", "active_version", "updated_at"])
    change.applied_at = change.at
    change.save(update_fields=["applied_at"])
    if change.version is not None and change.version != before:
        _take_over(rule, before, change.version)


def _take_over(rule: Rule, before: int | None, number: int) -> None:
    """Carry over what counts for all versions: uses in a new zone, told shares of the budget."""
    new = selectors.compiled_version(rule, number)
    old = None if before is None else selectors.compiled_version(rule, before)
    if old is not None and old.timezone != new.timezone and rule.tracked_periods:
        rule_uses.recount(new, rule.tracked_periods, is_new_zone=True)
    if new.budget and (old is None or old.budget != new.budget):
        _untell(rule, new)


def _untell(rule: Rule, compiled: CompiledRule) -> None:
    """Let staff be told again of shares that a larger budget has not reached yet."""
    row = RuleBudget.objects.select_for_update().get(rule=rule)
    share = share_of(compiled.budget, Spent(row.firings, row.cost))
    row.told_80_at = row.told_80_at if share >= 80 else None
    row.told_100_at = row.told_100_at if share >= 100 else None
    row.save(update_fields=["told_80_at", "told_100_at"])


@transaction.atomic
def apply_planned(*, now: datetime) -> int:
    """Let rules show the planned changes that are due, and return how many there were.

    Events received since are judged by them already. Repeats: safe. Locks: the consumer, then
    the rules, only when something is due.
    """
    due = RuleChange.objects.filter(applied_at=None, at__lte=now)
    if not due.exists():
        return 0
    hold_consumer(now)
    count = 0
    for change in due.order_by("rule_id", "at"):
        rule = Rule.objects.select_for_update(no_key=True).get(pk=change.rule_id)
        _apply(rule, change)
        bump(rule.tenant_id)
        log.info("rule.change_due", rule=rule.rule_id, status=change.status)
        count += 1
    return count


def _record_status(rule: Rule, change: RuleChange, *, actor: Actor, now: datetime) -> None:
    action = "rule.status_changed" if change.applied_at else "rule.change_planned"
    after = {"status": change.status, "version": change.version, "at": change.at}
    rules.record(action, rule, {}, after, actor=actor, now=now, reason=change.reason)
