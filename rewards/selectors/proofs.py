"""Proofs of ledgers."""

from collections.abc import Collection

from django.db.models import OuterRef, Subquery

from rewards.models import Proof
from rewards.types.listing import Listing
from tenants.models import Tenant

__all__ = ["last_proofs", "proof_page"]


def proof_page(tenant_id: str, *, limit: int, offset: int) -> Listing[Proof]:
    """Return a page of a tenant's proofs, newest first. Queries: 2."""
    rows = Proof.objects.filter(tenant=tenant_id)
    page = rows.order_by("-number")[offset : offset + limit]
    return Listing(list(page), rows.count())


def last_proofs(tenant_ids: Collection[str] | None) -> list[Proof]:
    """Return the last proof of each tenant that has one; ``None`` asks for all. Queries: 1."""
    tenants = Tenant.objects.all()
    if tenant_ids is not None:
        tenants = tenants.filter(pk__in=sorted(tenant_ids))
    newest = Proof.objects.filter(tenant=OuterRef("pk")).order_by("-number").values("pk")[:1]
    last = tenants.annotate(last=Subquery(newest)).values("last")
    # The two columns that may be long are not looked at.
    return list(Proof.objects.filter(pk__in=last).order_by("tenant").defer("counts", "differences"))
