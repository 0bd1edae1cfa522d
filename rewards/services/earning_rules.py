"""Earning rules in their short form; what is posted and put is published at once (RUL-21)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction

from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.ids import new_id
from rewards.exceptions import DocumentError, StateConflictError
from rewards.models import Rule
from rewards.rules.earning_rules import READ_ONLY, long_fault, long_form, short_form
from rewards.selectors import rules as selectors
from rewards.services import rule_changes, rules
from rewards.services.consumer_hold import hold_consumer
from rewards.types.rule_views import RuleView
from tenants.types import Actor

__all__ = [
    "archive_earning_rule",
    "create_earning_rule",
    "duplicate_earning_rule",
    "patch_earning_rule",
    "replace_earning_rule",
]


@transaction.atomic
def create_earning_rule(
    tenant_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RuleView:
    """Make an earning rule that is active at once, or waits if ``active`` is false.

    Raises: as ``rules.create_rule``; faults name the fields of the short form.
    """
    hold_consumer(now)
    with _short_faults():
        wanted = long_form(document, rule_id=document.get("rule_id") or new_id())
        made = rules.create_rule(tenant_id, wanted, actor=actor, now=now)
        if document.get("active") is False:
            return made
        changed = rule_changes.activate_rule(tenant_id, made.rule_id, actor=actor, now=now)
    return _with_warnings(changed, made)


@transaction.atomic
def replace_earning_rule(
    tenant_id: str, rule_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RuleView:
    """Put ``document`` in the place of the rule, published at once; paused if not ``active``.

    Raises: as ``rules.replace_rule``; faults name the fields of the short form.
    """
    rule = get_earning_rule(tenant_id, rule_id)
    # Before anything is locked that a batch may wait for.
    hold_consumer(now)
    fields = {key: value for key, value in document.items() if key not in READ_ONLY}
    with _short_faults():
        wanted = long_form(fields, rule_id=rule.rule_id) | {"version": document.get("version")}
        made = rules.replace_rule(tenant_id, rule_id, wanted, actor=actor, now=now)
        if document.get("active") is not False:
            changed = rule_changes.activate_rule(
                tenant_id, rule_id, version=made.version, actor=actor, now=now
            )
            return _with_warnings(changed, made)
        if rule.status == Rule.Status.ACTIVE:
            rule_changes.pause_rule(tenant_id, rule_id, actor=actor, now=now)
    return _with_warnings(selectors.view_of(rule, made.version), made)


def patch_earning_rule(
    tenant_id: str, rule_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RuleView:
    """Merge ``document`` into the short form (RFC 7396). See ``replace_earning_rule``."""
    rule = get_earning_rule(tenant_id, rule_id)
    newest = short_form(selectors.get_version(rule, rule.version).document)
    present = {**newest, "active": rule.status == Rule.Status.ACTIVE}
    wanted = rules.merged(present, document)
    return replace_earning_rule(tenant_id, rule_id, wanted, actor=actor, now=now)


def duplicate_earning_rule(
    tenant_id: str, rule_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RuleView:
    """Make a copy with what ``document`` has otherwise; it waits unless ``active`` is said."""
    rule = get_earning_rule(tenant_id, rule_id)
    copied = short_form(selectors.view_of(rule).document)
    changes = {key: value for key, value in document.items() if key not in {"version", "id"}}
    wanted = {**copied, "name": f"{copied['name']} (copy)"[:255], "active": False, **changes}
    return create_earning_rule(tenant_id, wanted, actor=actor, now=now)


def archive_earning_rule(tenant_id: str, rule_id: str, *, actor: Actor, now: datetime) -> None:
    """Archive the rule. Repeats: harmless. Raises: ``NotFoundError``."""
    get_earning_rule(tenant_id, rule_id)
    rule_changes.delete_rule(tenant_id, rule_id, actor=actor, now=now)


def get_earning_rule(tenant_id: str, rule_id: str) -> Rule:
    """Return the earning rule. Raises: ``NotFoundError``, ``StateConflictError`` if it has more.

    The long form may say what the short one cannot; such a rule is changed there.
    """
    rule = selectors.get_rule(tenant_id, rule_id)
    if rule.kind != Rule.Kind.EARNING:
        raise NotFoundError("There is no such earning rule.")
    if not selectors.is_short(selectors.get_version(rule, rule.version).document):
        raise StateConflictError("The rule has more than its short form can say: see rules.")
    return rule


def _with_warnings(changed: RuleView, made: RuleView) -> RuleView:
    return selectors.with_warnings(changed, made.warnings)


@contextmanager
def _short_faults() -> Iterator[None]:
    """Name faults by the fields of the short form."""
    try:
        yield
    except DocumentError as exc:
        raise DocumentError([long_fault(fault) for fault in exc.faults]) from exc
