"""Coupons: their definitions, made and changed by staff."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from phoenix_site.common.documents import find_value_faults, merge_patch, plain_json
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from phoenix_site.common.json import rendered
from rewards.exceptions import AlreadyExistsError, DocumentError, InUseError, StateConflictError
from rewards.models import Coupon, CouponCode, CouponRedemption, CouponTally, RewardItem
from rewards.rules import coupons as rules
from rewards.selectors.coupons import KIND, coupon_input
from rewards.services import documents
from rewards.types.coupons import CouponFields
from tenants.types import Actor

__all__ = [
    "archive_coupon",
    "create_coupon",
    "duplicate_coupon",
    "patch_coupon",
    "replace_coupon",
]

_COPY_ENDING = " (copy)"


@transaction.atomic
def create_coupon(
    tenant_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = ""
) -> Coupon:
    """Make a coupon of its definition (CPN-1).

    Raises: ``DocumentError`` with every fault; ``AlreadyExistsError`` when the tenant has a code
    like the custom one.
    """
    fields = _read(document)
    _check_item(tenant_id, fields.item_id)
    row = Coupon(tenant_id=tenant_id)
    _fill(row, fields)
    row.save(force_insert=True)
    CouponTally.objects.create(coupon=row)
    _keep_shared_code(row, now)
    shown = _version_document(row)
    documents.note_change(
        row, kind=KIND, document=shown, before=None, actor=actor, now=now, reason=reason
    )
    return row


def replace_coupon(
    tenant_id: str,
    coupon_id: UUID,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> Coupon:
    """Replace a coupon's definition. Its codes keep what they are; limits and times hold at once.

    Raises: ``NotFoundError``, ``VersionConflictError``, ``DocumentError``; ``InUseError`` when
    the form of codes that are in use would change; ``StateConflictError`` of an archived one.
    Locks: the coupon.
    """
    with transaction.atomic():
        row = _lock(tenant_id, coupon_id)
        return _change(row, document, actor=actor, now=now, reason=reason)


def patch_coupon(
    tenant_id: str,
    coupon_id: UUID,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
) -> Coupon:
    """Merge fields into a coupon's definition (RFC 7396). Raises, locks: as ``replace_coupon``."""
    with transaction.atomic():
        row = _lock(tenant_id, coupon_id)
        merged = merge_patch(_version_document(row), document)
        return _change(row, merged, actor=actor, now=now)


def archive_coupon(
    tenant_id: str, coupon_id: UUID, *, actor: Actor, now: datetime, reason: str = ""
) -> None:
    """End a coupon for good: no code of it is redeemed any more. Repeats: harmless."""
    with transaction.atomic():
        row = _lock(tenant_id, coupon_id)
        if row.status != Coupon.Status.ARCHIVED:
            document = _version_document(row) | {"status": Coupon.Status.ARCHIVED.value}
            _change(row, document, actor=actor, now=now, reason=reason)


@transaction.atomic
def duplicate_coupon(
    tenant_id: str,
    coupon_id: UUID,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
) -> Coupon:
    """Make a coupon like another one; ``document`` has what is to be different.

    A custom coupon needs another ``custom_code``. Raises: as ``create_coupon``.
    """
    row = _lock(tenant_id, coupon_id)
    copied = _version_document(row) | {"name": row.name[: 255 - len(_COPY_ENDING)] + _COPY_ENDING}
    if row.status == Coupon.Status.ARCHIVED:
        copied["status"] = Coupon.Status.ACTIVE.value
    return create_coupon(tenant_id, merge_patch(copied, document), actor=actor, now=now)


def _change(
    row: Coupon, document: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = ""
) -> Coupon:
    documents.check_version(document.get("version"), row.version)
    if row.status == Coupon.Status.ARCHIVED:
        raise StateConflictError("The coupon is archived.")
    fields = _read(document)
    before = _version_document(row)
    if fields.item_id != row.item_id:
        _check_item(row.tenant_id, fields.item_id)
    _check_form(row, fields)
    _fill(row, fields)
    row.version += 1
    row.save()
    _keep_shared_code(row, now)
    after = _version_document(row)
    documents.note_change(
        row, kind=KIND, document=after, before=before, actor=actor, now=now, reason=reason
    )
    return row


def _lock(tenant_id: str, coupon_id: UUID) -> Coupon:
    row = Coupon.objects.select_for_update().filter(tenant=tenant_id, pk=coupon_id).first()
    if row is None:
        raise NotFoundError("There is no such coupon.")
    return row


def _read(document: Mapping[str, Any]) -> CouponFields:
    faults = find_value_faults(document)
    if faults:
        raise DocumentError(faults)
    return rules.read_coupon(document)


def _check_item(tenant_id: str, item_id: UUID) -> None:
    if not RewardItem.objects.filter(tenant=tenant_id, pk=item_id, is_active=True).exists():
        message = "is not an active reward item of the tenant"
        raise DocumentError([Fault("config.reward_item_id", message)])


def _check_form(row: Coupon, fields: CouponFields) -> None:
    """Refuse another form of codes where there are codes that people have."""
    before = (row.code_format, row.custom_code, row.is_case_sensitive)
    if before == (fields.code_format, fields.custom_code, fields.is_case_sensitive):
        return
    has_codes = row.codes.filter(is_shared=False).exists()
    if has_codes or CouponRedemption.objects.filter(coupon=row).exists():
        raise InUseError("The coupon has codes in use: their form can no longer be changed.")


def _fill(row: Coupon, fields: CouponFields) -> None:
    row.name, row.description, row.status = fields.name, fields.description, fields.status
    row.item_id = fields.item_id
    row.code_format, row.custom_code = fields.code_format, fields.custom_code
    row.code_prefix, row.code_length = fields.code_prefix, fields.code_length
    row.is_case_sensitive = fields.is_case_sensitive
    row.starts_at, row.expires_at = fields.starts_at, fields.expires_at
    row.per_user_limit, row.total_limit = fields.limits.per_user, fields.limits.total
    row.usage_limit = plain_json(fields.usage_limit)


def _keep_shared_code(row: Coupon, now: datetime) -> None:
    """Have the one code of a custom coupon be what its definition says, and none of another."""
    shared = row.codes.filter(is_shared=True)
    if row.code_format != Coupon.CodeFormat.CUSTOM:
        shared.delete()
        return
    if shared.filter(code=row.custom_code, is_case_sensitive=row.is_case_sensitive).exists():
        return
    # Nobody has redeemed it; see _check_form.
    shared.delete()
    try:
        with transaction.atomic():
            CouponCode.objects.create(
                tenant_id=row.tenant_id,
                coupon=row,
                code=row.custom_code,
                is_case_sensitive=row.is_case_sensitive,
                is_shared=True,
                created_at=now,
            )
    except IntegrityError as exc:
        raise AlreadyExistsError(f"There is a code {row.custom_code} already.") from exc


def _version_document(row: Coupon) -> dict[str, Any]:
    """Return the definition as a version keeps it: ready for JSON, without what changes alone."""
    document: dict[str, Any] = rendered(coupon_input(row))
    return document
