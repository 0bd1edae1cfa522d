"""Streaks: their documents, and when they stand still. Every change is an edition and a version.

An event counts by the edition that was in force when it was received. A changed window counts from
each player's next window on; the runs go on.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction

from phoenix_site.common.documents import merge_patch
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from phoenix_site.common.logging import get_logger
from rewards.exceptions import AlreadyExistsError, DocumentError, StateConflictError
from rewards.models import PlayerStreak, RewardConfig, RewardItem, Streak, StreakEdition
from rewards.rules.streak_documents import StreakFields, StreakLinks, read_streak
from rewards.selectors import streaks as selectors
from rewards.services import documents
from rewards.services.consumer_hold import hold_consumer
from tenants.models import Tenant
from tenants.types import Actor

__all__ = [
    "archive_streak",
    "check_document",
    "create_streak",
    "duplicate_streak",
    "patch_streak",
    "replace_streak",
    "set_status",
]

log = get_logger(__name__)

_COPIES: Final = 100
_NAME_LENGTH: Final = 255
# Objects whose keys depend on each other: a patch replaces them when it says what they are.
_WHOLE: Final = {"window": "type", "condition": "type"}


def check_document(tenant_id: str, document: Mapping[str, Any]) -> StreakFields:
    """Return what a document of a streak says. Raises: ``DocumentError`` with every fault."""
    # The service's own words: a key ``reason`` says why, ``tenant_id`` was checked by the gateway.
    sent = {key: value for key, value in document.items() if key not in ("reason", "tenant_id")}
    return read_streak(sent, _links(tenant_id))


def create_streak(
    tenant_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Streak:
    """Create a streak; events received from now on count.

    Raises: ``DocumentError`` with every fault, ``AlreadyExistsError`` for a name that is taken,
    ``NotFoundError`` without the tenant. Locks: all cursors of the consumer.
    """
    if not Tenant.objects.filter(pk=tenant_id).exists():
        raise NotFoundError("There is no such tenant.")
    fields = check_document(tenant_id, document)
    with transaction.atomic():
        at = hold_consumer(now)
        row = Streak(tenant_id=tenant_id)
        _save(row, fields)
        _note(row, at=at, before=None, actor=actor, now=now, reason=_reason(document))
    log.info("streak.created", streak=row.pk.hex, tenant_id=tenant_id)
    return row


def replace_streak(
    tenant_id: str, streak_id: UUID, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Streak:
    """Put ``document`` in the place of the streak's; what it leaves out gets its default.

    Raises: ``NotFoundError``, ``DocumentError``, ``VersionConflictError``, ``AlreadyExistsError``,
    ``StateConflictError`` for an archived one. Repeats: what changes nothing makes no version.
    Locks: all cursors of the consumer, then the streak.
    """
    return _change(tenant_id, streak_id, document, lambda _present: document, actor=actor, now=now)


def patch_streak(
    tenant_id: str, streak_id: UUID, patch: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Streak:
    """Merge ``patch`` into the streak's document (RFC 7396). See ``replace_streak``."""
    return _change(
        tenant_id,
        streak_id,
        patch,
        lambda present: _merged(present, patch),
        actor=actor,
        now=now,
    )


def set_status(
    tenant_id: str, streak_id: UUID, status: str, *, actor: Actor, now: datetime, reason: str = ""
) -> Streak:
    """Pause a streak, let it go on, or archive it for good. See ``replace_streak``."""
    patch = {"status": status, "reason": reason}
    return patch_streak(tenant_id, streak_id, patch, actor=actor, now=now)


def archive_streak(tenant_id: str, streak_id: UUID, *, actor: Actor, now: datetime) -> Streak:
    """Take the streak out of use for good; what was reached stays. Repeats: harmless.

    Raises: ``NotFoundError``. Locks: as ``replace_streak``.
    """
    row = selectors.get_streak(tenant_id, streak_id)
    if row.status == Streak.Status.ARCHIVED:
        return row
    return set_status(tenant_id, streak_id, Streak.Status.ARCHIVED, actor=actor, now=now)


def duplicate_streak(
    tenant_id: str, streak_id: UUID, changes: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Streak:
    """Create a copy; ``changes`` has what is other than in the original, the name by default.

    Raises: as ``create_streak``, and ``NotFoundError``.
    """
    original = selectors.get_streak(tenant_id, streak_id)
    copy = {**_content(original), "name": _free_name(original), "status": Streak.Status.ACTIVE}
    return create_streak(tenant_id, _merged(copy, changes), actor=actor, now=now)


# --- Changes -------------------------------------------------------------------------------------


@transaction.atomic
def _change(
    tenant_id: str,
    streak_id: UUID,
    sent: Mapping[str, Any],
    make: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    actor: Actor,
    now: datetime,
) -> Streak:
    selectors.get_streak(tenant_id, streak_id)
    at = hold_consumer(now)
    row = Streak.objects.select_for_update(no_key=True).get(pk=streak_id)
    documents.check_version(sent.get("version"), row.version)
    if row.status == Streak.Status.ARCHIVED:
        raise StateConflictError("An archived streak is not changed any more.")
    before = selectors.streak_document(row)
    fields = check_document(tenant_id, make(_content(row)))
    if (fields.name, fields.description, fields.status, fields.config.document) == (
        *(row.name, row.description, row.status),
        row.config,
    ):
        return row
    row.version += 1
    _save(row, fields)
    _note(row, at=at, before=before, actor=actor, now=now, reason=_reason(sent))
    # What the clock planned may come earlier now, or not at all any more.
    PlayerStreak.objects.filter(streak=row, current_count__gt=0).update(due_at=at)
    return row


def _content(row: Streak) -> dict[str, Any]:
    return {
        "name": row.name,
        "description": row.description,
        "status": row.status,
        "config": row.config,
    }


def _merged(present: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = merge_patch(present, patch)
    changes = patch.get("config")
    if isinstance(changes, Mapping) and isinstance(merged.get("config"), dict):
        for key, word in _WHOLE.items():
            new = changes.get(key)
            if isinstance(new, Mapping) and word in new:
                merged["config"][key] = dict(new)
    return merged


def _reason(sent: Mapping[str, Any]) -> str:
    return str(sent.get("reason") or "")


def _links(tenant_id: str) -> StreakLinks:
    items = RewardItem.objects.filter(tenant_id=tenant_id)
    configs = RewardConfig.objects.filter(
        tenant_id=tenant_id, config_type=RewardConfig.ConfigType.STREAK
    )
    return StreakLinks(
        frozenset(items.values_list("pk", flat=True)),
        frozenset(configs.values_list("pk", flat=True)),
    )


def _save(row: Streak, fields: StreakFields) -> None:
    """Store the fields. Raises: ``AlreadyExistsError`` for a name that is taken."""
    row.name, row.description, row.status = fields.name, fields.description, fields.status
    row.config = dict(fields.config.document)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as exc:
        raise AlreadyExistsError("The tenant has a streak of this name.") from exc


def _note(
    row: Streak,
    *,
    at: datetime,
    before: Mapping[str, Any] | None,
    actor: Actor,
    now: datetime,
    reason: str,
) -> None:
    newest = row.editions.order_by("-at").first()
    if newest is not None and newest.at >= at:
        # Two changes within one tick of the clock: the later one counts from then on.
        StreakEdition.objects.filter(pk=newest.pk).update(status=row.status, config=row.config)
    else:
        StreakEdition.objects.create(streak=row, at=at, status=row.status, config=row.config)
    documents.note_change(
        row,
        kind=selectors.KIND,
        document=selectors.streak_document(row),
        before=before,
        actor=actor,
        now=now,
        reason=reason,
    )


def _free_name(original: Streak) -> str:
    names = set(Streak.objects.filter(tenant_id=original.tenant_id).values_list("name", flat=True))
    for number in range(1, _COPIES):
        ending = " copy" if number == 1 else f" copy {number}"
        name = original.name[: _NAME_LENGTH - len(ending)] + ending
        if name not in names:
            return name
    raise DocumentError([Fault("name", "is required: there are too many copies already")])
