"""Rules as they are written: checked, drafted, edited, copied; see ``rule_changes`` for the rest.

Only a draft is edited; to edit a published rule makes the next version beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from ingestion import selectors as ingestion
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from phoenix_site.common.logging import get_logger
from phoenix_site.common.paths import ABSENT, compile_reader, parse_path
from rewards.constants import PATH_SAMPLE
from rewards.exceptions import AlreadyExistsError, DocumentError, StateConflictError
from rewards.models import Achievement, Coupon, Rule, RuleVersion, Streak
from rewards.rules.achievements import LOOKING
from rewards.rules.rule_documents import READ_ONLY, ParsedRule, parse_rule
from rewards.selectors import rules as selectors
from rewards.selectors.book import book_of
from rewards.services.documents import check_version
from rewards.types.book import Book
from rewards.types.rule_views import RuleView
from rewards.types.rules import GroupMode, References
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = [
    "create_rule",
    "duplicate_rule",
    "lock_rule",
    "merged",
    "patch_rule",
    "record",
    "replace_rule",
    "validate",
]

log = get_logger(__name__)

Status = Rule.Status
_MAX_COPIES: Final = 1000


# --- Documents -----------------------------------------------------------------------------------


def validate(
    tenant_id: str, document: Mapping[str, Any], *, rule: Rule | None = None
) -> tuple[ParsedRule, list[str]]:
    """Return the rule that a document describes, and what is odd about it but allowed.

    ``rule`` is the one it belongs to, if that exists. Raises: ``DocumentError`` with every fault,
    ``NotFoundError`` without the tenant.
    """
    book = _book(tenant_id)
    parsed = parse_rule(document, book=book, references=_references(book, rule))
    if rule is not None:
        _check_fixed_fields(rule, parsed)
    return parsed, _warnings(tenant_id, parsed)


def _book(tenant_id: str) -> Book:
    try:
        return book_of(tenant_id)
    except KeyError as exc:
        raise NotFoundError("There is no such tenant.") from exc


def _references(book: Book, rule: Rule | None) -> References:
    tenant_id = book.tenant_id
    coupons = Coupon.objects.filter(tenant_id=tenant_id).exclude(status=Coupon.Status.ARCHIVED)
    gives = dict(coupons.values_list("pk", "item_id"))
    # What only looks at another number cannot be moved.
    achievements = Achievement.objects.filter(tenant_id=tenant_id, is_active=True).exclude(
        measure__type__in=sorted(LOOKING)
    )
    streaks = Streak.objects.filter(tenant_id=tenant_id).exclude(status="archived")
    by_text = {str(coupon_id): item_id for coupon_id, item_id in gives.items()}
    chains = {
        item_id: by_text[item.payload["coupon_id"]]
        for item_id, item in book.items.items()
        if item.reward_type == "coupon" and item.payload.get("coupon_id") in by_text
    }
    return References(
        coupon_ids=gives.keys(),
        achievement_ids=frozenset(achievements.values_list("pk", flat=True)),
        streak_ids=frozenset(streaks.values_list("pk", flat=True)),
        group_modes=_group_modes(tenant_id, rule),
        item_chains=chains,
    )


def _group_modes(tenant_id: str, rule: Rule | None) -> dict[str, GroupMode]:
    """Return the modes of the groups of all rules that may fire, but this one."""
    others = Rule.objects.filter(tenant_id=tenant_id, status__in=[Status.ACTIVE, Status.PAUSED])
    if rule is not None:
        others = others.exclude(pk=rule.pk)
    groups = [view.document.get("group") for view in selectors.views_of(others)]
    return {group["name"]: group["mode"] for group in groups if group}


def _check_fixed_fields(rule: Rule, parsed: ParsedRule) -> None:
    faults = [
        Fault(name, "cannot be changed")
        for name in ("rule_id", "kind")
        if parsed.document[name] != getattr(rule, name)
    ]
    if faults:
        raise DocumentError(faults)


def _warnings(tenant_id: str, parsed: ParsedRule) -> list[str]:
    """Return which paths no recent event of the rule's types has: probably misspelled."""
    trigger = parsed.compiled.trigger
    types = [name for name in trigger.names if not name.endswith("*")]
    if not types or not parsed.fields:
        return []
    events = ingestion.newest_events_of_types(tenant_id, types, limit=PATH_SAMPLE)
    roots = [event.root for event in events]
    readers = {path: compile_reader(parse_path(path)) for path in parsed.fields}
    return [
        f"{path} is in none of the last {len(roots)} events of {', '.join(types)}"
        for path, read in readers.items()
        if roots and all(read(root) is ABSENT for root in roots)
    ]


# --- Drafts --------------------------------------------------------------------------------------


@transaction.atomic
def create_rule(
    tenant_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RuleView:
    """Make a rule; version 1 is a draft.

    Raises: ``DocumentError`` with every fault, ``AlreadyExistsError``, ``NotFoundError`` without
    the tenant. Repeats: a second one with the id is refused, also at the same time.
    """
    parsed, warnings = validate(tenant_id, document)
    fields = {"kind": parsed.compiled.kind, "name": parsed.compiled.name}
    rule, is_new = Rule.objects.get_or_create(
        tenant_id=tenant_id, rule_id=parsed.compiled.rule_id, defaults=fields
    )
    if not is_new:
        raise AlreadyExistsError(f"The rule {rule.rule_id} exists already.")
    _add_version(rule, 1, parsed, actor=actor, now=now)
    record("rule.created", rule, None, parsed.document, actor=actor, now=now)
    return selectors.view_of(rule, warnings=warnings)


def replace_rule(
    tenant_id: str, rule_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RuleView:
    """Put ``document`` in the place of the draft's, or into a new draft beside what is published.

    Raises: ``DocumentError``, ``NotFoundError``, ``VersionConflictError`` when ``version`` is not
    the newest, ``StateConflictError`` for an archived rule.
    """
    return _edit(tenant_id, rule_id, document, lambda _newest: document, actor=actor, now=now)


def patch_rule(
    tenant_id: str, rule_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RuleView:
    """Merge ``document`` into the newest version's (RFC 7396). See ``replace_rule``."""
    return _edit(
        tenant_id, rule_id, document, lambda newest: merged(newest, document), actor=actor, now=now
    )


@transaction.atomic
def _edit(
    tenant_id: str,
    rule_id: str,
    sent: Mapping[str, Any],
    make: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    actor: Actor,
    now: datetime,
) -> RuleView:
    rule = lock_rule(tenant_id, rule_id)
    if rule.status == Status.ARCHIVED:
        raise StateConflictError("The rule is archived: that is final.")
    check_version(sent.get("version"), rule.version)
    newest = selectors.get_version(rule, rule.version)
    wanted = {"rule_id": rule.rule_id, "kind": rule.kind, **make(newest.document)}
    parsed, warnings = validate(tenant_id, wanted, rule=rule)
    before = newest.document
    if newest.published_at is None:
        newest.document, newest.author, newest.created_at = parsed.document, actor.label, now
        newest.save(update_fields=["document", "author", "created_at"])
    else:
        rule.version += 1
        _add_version(rule, rule.version, parsed, actor=actor, now=now)
    rule.name = parsed.compiled.name
    rule.save(update_fields=["name", "version", "updated_at"])
    record("rule.changed", rule, before, parsed.document, actor=actor, now=now)
    return selectors.view_of(rule, rule.version, warnings=warnings)


def merged(target: Any, patch: Any) -> Any:
    """Return ``target`` with ``patch`` merged into it (RFC 7396)."""
    if not isinstance(patch, Mapping):
        return patch
    found = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def duplicate_rule(
    tenant_id: str, rule_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RuleView:
    """Make a draft like the rule shown, with what ``document`` has otherwise.

    Without an id of its own the copy is ``{rule_id}-copy``, or with a number behind it.
    Raises: as ``create_rule``.
    """
    original = selectors.view_of(selectors.get_rule(tenant_id, rule_id))
    copied = {**original.document, "name": f"{original.document['name']} (copy)"[:255]}
    changes = {key: value for key, value in document.items() if key not in READ_ONLY}
    wanted = {**copied, "rule_id": _free_id(tenant_id, rule_id), **changes}
    return create_rule(tenant_id, wanted, actor=actor, now=now)


def _free_id(tenant_id: str, rule_id: str) -> str:
    stem = f"{rule_id[:56]}-copy"
    taken = set(
        Rule.objects.filter(tenant_id=tenant_id, rule_id__startswith=stem).values_list(
            "rule_id", flat=True
        )
    )
    numbered = (f"{stem}-{number}" for number in range(2, _MAX_COPIES))
    return next((name for name in (stem, *numbered) if name not in taken), stem)


def _add_version(
    rule: Rule, number: int, parsed: ParsedRule, *, actor: Actor, now: datetime
) -> None:
    RuleVersion.objects.create(
        rule=rule,
        number=number,
        document=parsed.document,
        author=actor.label,
        created_at=now,
    )


def lock_rule(tenant_id: str, rule_id: str) -> Rule:
    """Return the tenant's rule, locked. Raises: ``NotFoundError``.

    Firings that refer to it are written meanwhile: only its own columns change.
    """
    locked = Rule.objects.select_for_update(no_key=True)
    found = locked.filter(tenant_id=tenant_id, rule_id=rule_id).first()
    if found is None:
        raise NotFoundError("There is no such rule.")
    return found


# --- Audit ---------------------------------------------------------------------------------------


def record(
    action: str,
    rule: Rule,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> None:
    """Write the audit entry of a change; ``before`` is ``None`` for what is new."""
    sides: Sequence[dict[str, Any] | None] = (
        (None, dict(after)) if before is None else audit.changes(before, after)
    )
    change = AuditChange("rule", str(rule.pk), f"{rule.name} ({rule.rule_id})", *sides)
    audit.record(
        action, actor=actor, now=now, tenant_id=rule.tenant_id, change=change, reason=reason
    )
    log.info(action, tenant_id=rule.tenant_id, rule=rule.rule_id, version=rule.version)
