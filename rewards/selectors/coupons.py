"""Reads of coupons' definitions, and the part of the book."""

from collections.abc import Mapping
from typing import Any, Final, cast
from uuid import UUID

from phoenix_site.common.exceptions import NotFoundError
from rewards.models import Coupon, CouponCode, DocumentVersion
from rewards.types.book import Book, ItemView
from rewards.types.coupons import CouponView
from rewards.types.listing import Listing, ListQuestion

KIND: Final = "coupon"


def load(tenant_id: str) -> dict[UUID, CouponView]:
    """Return all coupons of a tenant, archived ones too, for its book. Queries: 2."""
    shared = dict(
        CouponCode.objects.filter(tenant=tenant_id, is_shared=True).values_list("coupon_id", "pk")
    )
    rows = Coupon.objects.filter(tenant=tenant_id)
    return {row.pk: coupon_view(row, shared.get(row.pk)) for row in rows}


def of(book: Book) -> Mapping[UUID, CouponView]:
    """Return the coupons of a book."""
    return cast("Mapping[UUID, CouponView]", book.part("coupons"))


def coupon_ids(tenant_id: str) -> frozenset[UUID]:
    """Return the coupons that items and rules may name. Queries: 1."""
    rows = Coupon.objects.filter(tenant=tenant_id).exclude(status=Coupon.Status.ARCHIVED)
    return frozenset(rows.values_list("pk", flat=True))


def coupon_view(row: Coupon, shared_code_id: UUID | None) -> CouponView:
    """Return what a book keeps of a coupon."""
    return CouponView(
        pk=row.pk,
        name=row.name,
        status=row.status,
        item_id=row.item_id,
        code_prefix=row.code_prefix,
        code_length=row.code_length,
        is_case_sensitive=row.is_case_sensitive,
        expires_at=row.expires_at,
        custom_code=row.custom_code,
        shared_code_id=shared_code_id,
    )


def get_coupon(tenant_id: str, coupon_id: UUID) -> Coupon:
    """Return the tenant's coupon. Raises: ``NotFoundError``. Queries: 1."""
    row = Coupon.objects.filter(tenant=tenant_id, pk=coupon_id).first()
    if row is None:
        raise NotFoundError("There is no such coupon.")
    return row


def coupon_page(tenant_id: str, asked: ListQuestion) -> Listing[Coupon]:
    """Return a page of the tenant's coupons, newest first. Queries: 2."""
    rows = Coupon.objects.filter(tenant=tenant_id)
    if asked.status is not None:
        rows = rows.filter(status=asked.status)
    if asked.search:
        rows = rows.filter(name__icontains=asked.search)
    page = rows.order_by("-created_at", "-pk")[asked.offset : asked.offset + asked.limit]
    return Listing(list(page), rows.count())


def versions_of(tenant_id: str, coupon_id: UUID) -> list[DocumentVersion]:
    """Return what the coupon was, newest first. Raises: ``NotFoundError``. Queries: 2."""
    row = get_coupon(tenant_id, coupon_id)
    found = DocumentVersion.objects.filter(kind=KIND, object_id=row.pk)
    return list(found.order_by("-version"))


def coupon_document(row: Coupon) -> dict[str, Any]:
    """Return the definition as contracts show it (CPN-1)."""
    return {
        "id": row.id_text,
        "tenant_id": row.tenant_id,
        **coupon_input(row),
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def coupon_input(row: Coupon) -> dict[str, Any]:
    """Return the part of the definition that somebody may send."""
    return {
        "name": row.name,
        "description": row.description,
        "status": row.status,
        "config": {
            "reward_item_id": str(row.item_id),
            "code_format": row.code_format,
            "code_prefix": row.code_prefix,
            "code_length": row.code_length,
            "custom_code": row.custom_code or None,
            "case_sensitive": row.is_case_sensitive,
            "starts_at": row.starts_at,
            "expires_at": row.expires_at,
            "usage_limit": row.usage_limit,
        },
    }


def shown_item(item: ItemView) -> dict[str, Any]:
    """Return a reward item as players see it in a coupon."""
    return {
        "item_id": None if item.pk is None else str(item.pk),
        "name": item.name,
        "description": item.description,
        "reward_type": item.reward_type,
        "payload": dict(item.payload),
    }
