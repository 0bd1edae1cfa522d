"""Proofs of ledgers."""

from rewards.models import Proof
from rewards.types.listing import Listing

__all__ = ["failed_proofs", "proof_page"]


def proof_page(tenant_id: str, *, limit: int, offset: int) -> Listing[Proof]:
    """Return a page of a tenant's proofs, newest first. Queries: 2."""
    rows = Proof.objects.filter(tenant=tenant_id)
    page = rows.order_by("-number")[offset : offset + limit]
    return Listing(list(page), rows.count())


def failed_proofs(tenant_ids: list[str] | None) -> list[Proof]:
    """Return the last proof of each tenant whose last proof found differences. Queries: 1.

    ``None`` asks for all tenants.
    """
    rows = (
        Proof.objects.all() if tenant_ids is None else Proof.objects.filter(tenant__in=tenant_ids)
    )
    last = rows.order_by("tenant", "-number").distinct("tenant")
    return [proof for proof in last if proof.difference_count]
