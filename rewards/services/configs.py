"""Reward configs: made, changed, copied and archived; each change is a version (ADM-3)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.documents import merge_patch
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from rewards.exceptions import DocumentError
from rewards.models import RewardConfig
from rewards.rules.configs import ConfigFields, read_config
from rewards.selectors import items as selectors
from rewards.selectors.book import book_of
from rewards.services import documents
from tenants.models import Tenant
from tenants.types import Actor

__all__ = [
    "KIND",
    "archive_config",
    "create_config",
    "duplicate_config",
    "patch_config",
    "replace_config",
]

KIND: Final = "reward_config"


@transaction.atomic
def create_config(
    tenant_id: str,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> RewardConfig:
    """Make a reward config of ``document``.

    Raises: ``DocumentError`` with every fault, ``NotFoundError`` without the tenant.
    """
    if not Tenant.objects.filter(pk=tenant_id).exists():
        raise NotFoundError("There is no such tenant.")
    fields = _read(tenant_id, document)
    row = RewardConfig(tenant_id=tenant_id)
    _assign(row, fields)
    row.save()
    documents.note_change(
        row, kind=KIND, document=fields.document, before=None, actor=actor, now=now, reason=reason
    )
    return row


def replace_config(
    tenant_id: str,
    config_id: UUID,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> RewardConfig:
    """Put ``document`` in the place of the config's fields. What was given stays given.

    Raises: ``NotFoundError``, ``DocumentError`` (the type cannot change), ``VersionConflictError``.
    Repeats: what changes nothing makes no version.
    """
    return _change(
        tenant_id, config_id, document, document.get("version"), actor=actor, now=now, reason=reason
    )


def patch_config(
    tenant_id: str,
    config_id: UUID,
    patch: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> RewardConfig:
    """Merge ``patch`` into the config (RFC 7396); its tiers are replaced as a whole.

    See ``replace_config``.
    """
    present = selectors.config_document(selectors.get_config(tenant_id, config_id))
    merged = merge_patch(present, patch)
    return _change(
        tenant_id, config_id, merged, patch.get("version"), actor=actor, now=now, reason=reason
    )


def archive_config(
    tenant_id: str, config_id: UUID, *, actor: Actor, now: datetime, reason: str = ""
) -> RewardConfig:
    """Take the config out of the library; what refers to it still uses it. Repeats: harmless."""
    return patch_config(
        tenant_id, config_id, {"active": False}, actor=actor, now=now, reason=reason
    )


def duplicate_config(
    tenant_id: str, config_id: UUID, changes: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RewardConfig:
    """Make an active copy of the config, with ``changes`` merged into it. See ``create_config``."""
    original = selectors.config_document(selectors.get_config(tenant_id, config_id))
    copy = {**original, "name": f"{original['name'][:245]} (copy)", "active": True}
    return create_config(tenant_id, merge_patch(copy, changes), actor=actor, now=now)


def _read(tenant_id: str, document: Mapping[str, Any]) -> ConfigFields:
    return read_config(document, book_of(tenant_id).items.keys())


@transaction.atomic
def _change(
    tenant_id: str,
    config_id: UUID,
    document: Mapping[str, Any],
    version: object,
    *,
    actor: Actor,
    now: datetime,
    reason: str,
) -> RewardConfig:
    rows = RewardConfig.objects.select_for_update()
    row = rows.filter(tenant_id=tenant_id, pk=config_id).first()
    if row is None:
        raise NotFoundError("There is no such reward config.")
    documents.check_version(version, row.version)
    before = selectors.config_document(row)
    fields = _read(tenant_id, document)
    if fields.config_type != row.config_type:
        # Boards and goals chose it for its type.
        raise DocumentError([Fault("type", "cannot be changed")])
    if fields.document == before:
        return row
    _assign(row, fields)
    row.version += 1
    row.save()
    documents.note_change(
        row, kind=KIND, document=fields.document, before=before, actor=actor, now=now, reason=reason
    )
    return row


def _assign(row: RewardConfig, fields: ConfigFields) -> None:
    row.name, row.config_type = fields.name, fields.config_type
    row.tiers, row.is_active = fields.tiers, fields.active
