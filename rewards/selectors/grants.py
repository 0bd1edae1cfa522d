"""Grants as players, back offices and support see them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from phoenix_site.common.exceptions import NotFoundError
from rewards.models import Grant, GrantMove, LedgerTransaction
from rewards.types.listing import Listing
from tenants.models import Delivery

__all__ = [
    "GrantFilter",
    "deliveries_of",
    "due_grant_ids_across_tenants",
    "find_grant",
    "get_grant",
    "grants_of_group",
    "grants_page",
    "moves_of",
    "transactions_of",
]


@dataclass(frozen=True, slots=True)
class GrantFilter:
    """What a list of grants asks for; ``since`` is included, ``until`` is not."""

    user_id: str | None = None
    source_type: str | None = None
    source_id: str | None = None
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def grants_page(tenant_id: str, asked: GrantFilter, *, limit: int, offset: int) -> Listing[Grant]:
    """Return a page of the tenant's grants, newest first, with their players. Queries: 2."""
    rows = _chosen(tenant_id, asked).order_by("-created_at", "-pk")
    page = rows.select_related("player", "rule")[offset : offset + limit]
    return Listing(list(page), rows.count())


def _chosen(tenant_id: str, asked: GrantFilter) -> QuerySet[Grant]:
    given = {
        "player__external_id": asked.user_id,
        "source_type": asked.source_type,
        "source_id": asked.source_id,
        "status": asked.status,
        "created_at__gte": asked.since,
        "created_at__lt": asked.until,
    }
    conditions = {name: value for name, value in given.items() if value is not None}
    if asked.user_id is not None:
        conditions["player__tenant_id"] = tenant_id
    return Grant.objects.filter(tenant_id=tenant_id, **conditions)


def find_grant(tenant_id: str, grant_id: UUID, *, user_id: str | None = None) -> Grant | None:
    """Return a grant of the tenant, and of the player if one is named. Queries: 1."""
    rows = Grant.objects.filter(tenant_id=tenant_id, pk=grant_id)
    if user_id is not None:
        rows = rows.filter(player__external_id=user_id)
    return rows.select_related("player", "rule").first()


def get_grant(tenant_id: str, grant_id: UUID, *, user_id: str | None = None) -> Grant:
    """Return what ``find_grant`` does. Raises: ``NotFoundError``. Queries: 1."""
    grant = find_grant(tenant_id, grant_id, user_id=user_id)
    if grant is None:
        raise NotFoundError("There is no such grant.")
    return grant


def grants_of_group(tenant_id: str, group_id: UUID, *, user_id: str) -> list[Grant]:
    """Return a player's grants of a group, in the order made. Queries: 1."""
    rows = Grant.objects.filter(tenant_id=tenant_id, group_id=group_id, player__external_id=user_id)
    return list(rows.select_related("player", "rule").order_by("pk"))


def moves_of(grant: Grant) -> list[GrantMove]:
    """Return the steps of a grant, oldest first. Queries: 1."""
    return list(grant.moves.order_by("pk"))


def transactions_of(grant: Grant) -> list[LedgerTransaction]:
    """Return what the grant moved in the ledger, with postings, oldest first. Queries: 2."""
    rows = LedgerTransaction.objects.filter(
        tenant_id=grant.tenant_id, cause_kind="grant", cause_id=str(grant.pk)
    )
    return list(rows.order_by("pk").prefetch_related("postings__account__currency"))


def deliveries_of(grant: Grant) -> list[Delivery]:
    """Return the calls that the grant owes or owed, with their attempts. Queries: 2."""
    rows = Delivery.objects.filter(tenant_id=grant.tenant_id, reference=str(grant.pk))
    return list(rows.order_by("created_at").prefetch_related("attempts"))


def due_grant_ids_across_tenants(*, now: datetime, limit: int) -> Collection[UUID]:
    """Return grants whose time to be claimed or activated has passed. Queries: 1."""
    rows = Grant.objects.filter(
        status__in=[Grant.Status.UNCLAIMED, Grant.Status.PENDING_ACTIVATION], claim_by__lte=now
    )
    return list(rows.order_by("claim_by").values_list("pk", flat=True)[:limit])
