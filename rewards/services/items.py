"""Reward items: made, changed, copied and archived; each change is a version (ADM-3)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.documents import merge_patch
from phoenix_site.common.exceptions import NotFoundError
from rewards.models import RewardItem
from rewards.rules.items import ItemFields, Links, read_item
from rewards.selectors import coupons, streaks
from rewards.selectors import items as selectors
from rewards.selectors.book import book_of
from rewards.services import documents
from tenants.models import Tenant
from tenants.types import Actor

__all__ = [
    "KIND",
    "archive_item",
    "create_item",
    "duplicate_item",
    "links_of",
    "patch_item",
    "replace_item",
]

KIND: Final = "reward_item"


def links_of(tenant_id: str) -> Links:
    """Return what payloads of the tenant's items may name beside currencies."""
    return Links(coupon_ids=coupons.coupon_ids(tenant_id), streak_ids=streaks.streak_ids(tenant_id))


@transaction.atomic
def create_item(
    tenant_id: str,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> RewardItem:
    """Make a reward item of ``document``.

    Raises: ``DocumentError`` with every fault, ``NotFoundError`` without the tenant.
    """
    if not Tenant.objects.filter(pk=tenant_id).exists():
        raise NotFoundError("There is no such tenant.")
    fields = _read(tenant_id, document)
    row = RewardItem(tenant_id=tenant_id)
    _assign(row, fields)
    row.save()
    documents.note_change(
        row, kind=KIND, document=fields.document, before=None, actor=actor, now=now, reason=reason
    )
    return row


def replace_item(
    tenant_id: str,
    item_id: UUID,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> RewardItem:
    """Put ``document`` in the place of the item's fields; what it leaves out gets its default.

    Raises: ``NotFoundError``, ``DocumentError``, ``VersionConflictError``. Repeats: what changes
    nothing makes no version. Grants keep the item as it was when they were given (GRT-1).
    """
    return _change(
        tenant_id, item_id, document, document.get("version"), actor=actor, now=now, reason=reason
    )


def patch_item(
    tenant_id: str,
    item_id: UUID,
    patch: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> RewardItem:
    """Merge ``patch`` into the item (RFC 7396); another type needs its own payload whole.

    See ``replace_item``.
    """
    present = selectors.item_document(selectors.get_item(tenant_id, item_id))
    base = dict(present)
    if patch.get("reward_type", base["reward_type"]) != base["reward_type"]:
        base["payload"] = {}
    merged = merge_patch(base, patch)
    return _change(
        tenant_id, item_id, merged, patch.get("version"), actor=actor, now=now, reason=reason
    )


def archive_item(
    tenant_id: str, item_id: UUID, *, actor: Actor, now: datetime, reason: str = ""
) -> RewardItem:
    """Take the item out of the library; what refers to it still gives it. Repeats: harmless."""
    return patch_item(tenant_id, item_id, {"active": False}, actor=actor, now=now, reason=reason)


def duplicate_item(
    tenant_id: str, item_id: UUID, changes: Mapping[str, Any], *, actor: Actor, now: datetime
) -> RewardItem:
    """Make an active copy of the item, with ``changes`` merged into it. See ``create_item``."""
    original = selectors.item_document(selectors.get_item(tenant_id, item_id))
    copy = {**original, "name": f"{original['name'][:245]} (copy)", "active": True}
    return create_item(tenant_id, merge_patch(copy, changes), actor=actor, now=now)


def _read(tenant_id: str, document: Mapping[str, Any]) -> ItemFields:
    return read_item(document, book_of(tenant_id), links_of(tenant_id))


@transaction.atomic
def _change(
    tenant_id: str,
    item_id: UUID,
    document: Mapping[str, Any],
    version: object,
    *,
    actor: Actor,
    now: datetime,
    reason: str,
) -> RewardItem:
    row = RewardItem.objects.select_for_update().filter(tenant_id=tenant_id, pk=item_id).first()
    if row is None:
        raise NotFoundError("There is no such reward item.")
    documents.check_version(version, row.version)
    before = selectors.item_document(row)
    fields = _read(tenant_id, document)
    if fields.document == before:
        return row
    _assign(row, fields)
    row.version += 1
    row.save()
    documents.note_change(
        row, kind=KIND, document=fields.document, before=before, actor=actor, now=now, reason=reason
    )
    return row


def _assign(row: RewardItem, fields: ItemFields) -> None:
    values = fields.document
    row.is_active = values.pop("active")
    values["unit_cost"] = fields.unit_cost
    for name, value in values.items():
        setattr(row, name, value)
