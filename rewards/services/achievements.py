"""Achievements: their documents. What players have of them is the desk's, see there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.documents import merge_patch
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from phoenix_site.common.logging import get_logger
from rewards.exceptions import DocumentError
from rewards.models import Achievement, Currency, RewardConfig, RewardItem, Streak
from rewards.rules.achievement_documents import (
    AchievementDocument,
    find_cycle,
    measures_differ,
    parse_achievement,
)
from rewards.selectors import achievements as selectors
from rewards.services import documents
from rewards.services.consumer_hold import hold_consumer
from tenants.models import Tenant
from tenants.types import Actor

log = get_logger(__name__)

__all__ = [
    "archive_achievement",
    "create_achievement",
    "duplicate_achievement",
    "patch_achievement",
    "read_document",
    "replace_achievement",
]

# What an answer has beside the document, and what a change says about itself.
_READ_ONLY: Final = frozenset(
    {"id", "tenant_id", "measure", "version", "created_at", "updated_at", "apply", "reason"}
)
_APPLY: Final = ("from_now", "recompute")


def create_achievement(
    tenant_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Achievement:
    """Create an achievement; events received from now on count.

    Raises: ``DocumentError`` with every fault, ``NotFoundError`` without the tenant.
    Locks: all cursors of the consumer.
    """
    if not Tenant.objects.filter(pk=tenant_id).exists():
        raise NotFoundError("There is no such tenant.")
    parsed = parse_achievement(_content(document))
    with transaction.atomic():
        at = hold_consumer(now)
        row = Achievement(tenant_id=tenant_id)
        _check_references(row, parsed)
        _fill(row, parsed)
        row.counts_from = at
        row.counts_until = None if row.is_active else at
        row.save(force_insert=True)
        _note(row, before=None, actor=actor, now=now, document=document)
    log.info("achievement.created", achievement=row.pk.hex, tenant_id=tenant_id)
    return row


def replace_achievement(
    tenant_id: str, key: UUID, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Achievement:
    """Put ``document`` in the place of the achievement's; what it leaves out gets its default.

    A change of criteria names what it means for the past in ``apply`` (ACH-4). ``from_now``: only
    events received from now on count under them; if nothing but the threshold changes, what was
    counted so far stays. ``recompute`` is the same until a recompute is applied.

    Raises: ``NotFoundError``, ``VersionConflictError``, ``DocumentError``.
    Locks: all cursors of the consumer, then the achievement.
    """
    return _change(
        tenant_id, key, _Request(document, lambda _present: document), actor=actor, now=now
    )


def patch_achievement(
    tenant_id: str, key: UUID, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Achievement:
    """Merge ``document`` into the achievement's (RFC 7396); see ``replace_achievement``.

    Criteria of another type or form take the place of the old ones.
    """
    return _change(
        tenant_id,
        key,
        _Request(document, lambda present: _merged(present, document)),
        actor=actor,
        now=now,
    )


def archive_achievement(tenant_id: str, key: UUID, *, actor: Actor, now: datetime) -> Achievement:
    """Take the achievement out of use; what was unlocked stays. Repeats: harmless.

    Raises: ``NotFoundError``. Locks: as ``replace_achievement``.
    """
    return patch_achievement(tenant_id, key, {"active": False}, actor=actor, now=now)


def duplicate_achievement(
    tenant_id: str, key: UUID, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Achievement:
    """Create a copy; ``document`` has what is other than in the original, the name by default.

    Raises: as ``create_achievement``, and ``NotFoundError``.
    """
    row = selectors.get_achievement(tenant_id, key)
    present = _content(selectors.achievement_document(row))
    copy = {**_merged(present, document), "name": document.get("name", f"{row.name} (copy)"[:255])}
    return create_achievement(tenant_id, copy, actor=actor, now=now)


def read_document(
    tenant_id: str, document: Mapping[str, Any], key: UUID | None = None
) -> AchievementDocument:
    """Return a document checked as it is when it is saved, for the achievement ``key`` if given.

    Raises: ``DocumentError`` with every fault that was found.
    """
    parsed = parse_achievement(_content(document))
    row = Achievement(tenant_id=tenant_id)
    if key is not None:
        row = selectors.get_achievement(tenant_id, key)
        _check_apply(row, parsed, document.get("apply"))
    _check_references(row, parsed)
    return parsed


# --- Changes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Request:
    """A change as it was sent, and how it makes the new document of the present one."""

    sent: Mapping[str, Any]
    document: Callable[[Mapping[str, Any]], Mapping[str, Any]]


def _change(
    tenant_id: str, key: UUID, request: _Request, *, actor: Actor, now: datetime
) -> Achievement:
    with transaction.atomic():
        selectors.get_achievement(tenant_id, key)
        at = hold_consumer(now)
        row = Achievement.objects.select_for_update().get(tenant=tenant_id, pk=key)
        documents.check_version(request.sent.get("version"), row.version)
        before = selectors.achievement_document(row)
        parsed = parse_achievement(_content(request.document(_content(before))))
        _check_references(row, parsed)
        _check_apply(row, parsed, request.sent.get("apply"))
        _move_bounds(row, parsed, at=at)
        _fill(row, parsed)
        if _content(selectors.achievement_document(row)) != _content(before):
            row.version += 1
            row.save()
            _note(row, before=before, actor=actor, now=now, document=request.sent)
    return row


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _READ_ONLY}


def _merged(present: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = merge_patch(present, patch)
    criteria = patch.get("criteria")
    # Merged into criteria of another type, keys of the old one would be left over.
    if isinstance(criteria, Mapping) and ("type" in criteria or "condition" in criteria):
        merged["criteria"] = criteria
    return merged


def _check_apply(row: Achievement, parsed: AchievementDocument, apply: object) -> None:
    if apply is not None and apply not in _APPLY:
        raise DocumentError([Fault("apply", f"must be one of {', '.join(_APPLY)}")])
    if row.measure != parsed.criteria.full_form and apply is None:
        raise DocumentError(
            [Fault("apply", "is required for a change of criteria: from_now or recompute")]
        )


def _move_bounds(row: Achievement, parsed: AchievementDocument, *, at: datetime) -> None:
    """Say from and until when events count under the document to come."""
    if measures_differ(row.measure, parsed.criteria.full_form):
        row.epoch += 1
        row.counts_from = at
    if row.is_active and not parsed.is_active:
        row.counts_until = at
    elif parsed.is_active and not row.is_active:
        row.counts_from, row.counts_until = at, None


def _fill(row: Achievement, parsed: AchievementDocument) -> None:
    row.name = parsed.name
    row.description = parsed.description
    row.badge_url = parsed.badge_url
    row.criteria = dict(parsed.criteria.document)
    row.measure = parsed.criteria.full_form
    row.threshold = parsed.criteria.threshold
    row.reward_config_id = parsed.reward_config_id
    row.reward_item_ids = [str(item_id) for item_id in parsed.reward_item_ids]
    row.is_active = parsed.is_active
    row.is_repeatable = parsed.is_repeatable
    row.is_hidden = parsed.is_hidden
    row.requires = [str(pk) for pk in parsed.requires]
    row.sort = parsed.sort


def _note(
    row: Achievement,
    *,
    before: Mapping[str, Any] | None,
    actor: Actor,
    now: datetime,
    document: Mapping[str, Any],
) -> None:
    documents.note_change(
        row,
        kind=selectors.KIND,
        document=selectors.achievement_document(row),
        before=before,
        actor=actor,
        now=now,
        reason=str(document.get("reason") or ""),
    )


# --- References ----------------------------------------------------------------------------------


def _check_references(row: Achievement, parsed: AchievementDocument) -> None:
    """Refuse what names things that the tenant does not have. Raises: ``DocumentError``."""
    tenant_id = str(row.tenant_id)
    faults = [
        *_unknown_items(tenant_id, parsed),
        *_unknown_config(tenant_id, parsed),
        *_unknown_metric(tenant_id, parsed),
        *_unknown_streak(tenant_id, parsed),
        *_wrong_requirements(tenant_id, row.pk, parsed),
    ]
    if faults:
        raise DocumentError(faults)


def _unknown_items(tenant_id: str, parsed: AchievementDocument) -> list[Fault]:
    items = RewardItem.objects.filter(tenant=tenant_id, pk__in=parsed.reward_item_ids)
    known = set(items.values_list("pk", flat=True))
    return [
        Fault(f"reward_item_ids.{index}", "is not a reward item of the tenant")
        for index, pk in enumerate(parsed.reward_item_ids)
        if pk not in known
    ]


def _unknown_config(tenant_id: str, parsed: AchievementDocument) -> list[Fault]:
    if parsed.reward_config_id is None:
        return []
    wanted = RewardConfig.objects.filter(
        tenant=tenant_id,
        pk=parsed.reward_config_id,
        config_type=RewardConfig.ConfigType.ACHIEVEMENT,
    )
    if wanted.exists():
        return []
    return [Fault("reward_config_id", "is not a reward config of the tenant for achievements")]


def _unknown_metric(tenant_id: str, parsed: AchievementDocument) -> list[Fault]:
    metric = parsed.criteria.measure.metric
    if metric is None or Currency.objects.filter(tenant=tenant_id, currency_id=metric).exists():
        return []
    return [Fault("criteria.metric", "is not a currency of the tenant")]


def _unknown_streak(tenant_id: str, parsed: AchievementDocument) -> list[Fault]:
    streak_id = parsed.criteria.measure.streak_id
    if streak_id is None:
        return []
    known = Streak.objects.filter(tenant=tenant_id).values_list("pk", flat=True)
    if streak_id in map(str, known):
        return []
    return [Fault("criteria.streak_id", "is not a streak of the tenant")]


def _wrong_requirements(tenant_id: str, pk: UUID, parsed: AchievementDocument) -> list[Fault]:
    if not parsed.requires:
        return []
    rows = Achievement.objects.filter(tenant=tenant_id).values_list("pk", "requires")
    requires = {each: [UUID(text) for text in texts] for each, texts in rows}
    faults = [
        Fault(f"requires.{index}", "is not an achievement of the tenant")
        for index, each in enumerate(parsed.requires)
        if each not in requires
    ]
    if find_cycle({**requires, pk: parsed.requires}, pk):
        faults.append(Fault("requires", "would in the end require the achievement itself"))
    return faults
