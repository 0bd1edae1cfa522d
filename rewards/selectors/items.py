"""Reward items and reward configs, as the library shows them and as a book keeps them."""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet

from phoenix_site.common.documents import plain_number
from phoenix_site.common.exceptions import NotFoundError
from rewards.models import DocumentVersion, RewardConfig, RewardItem
from rewards.rules.items import as_uuid
from rewards.selectors.documents import versions_of
from rewards.types.book import ConfigView, ItemView, TierView
from rewards.types.listing import Listing, ListQuestion

__all__ = [
    "board_configs_across_tenants",
    "config_document",
    "config_page",
    "config_versions",
    "config_view",
    "configs_of_tenant",
    "find_board_config_fault",
    "get_config",
    "get_item",
    "item_document",
    "item_page",
    "item_versions",
    "item_view",
    "items_of_tenant",
    "load_configs",
    "load_items",
]

Row = TypeVar("Row", RewardItem, RewardConfig)


def load_items(tenant_id: str) -> dict[UUID, ItemView]:
    """Return all items of a tenant, archived ones too: what refers to them still gives them."""
    return {row.pk: item_view(row) for row in RewardItem.objects.filter(tenant_id=tenant_id)}


def load_configs(tenant_id: str) -> dict[UUID, ConfigView]:
    """Return all reward configs of a tenant."""
    return {row.pk: config_view(row) for row in RewardConfig.objects.filter(tenant_id=tenant_id)}


def items_of_tenant(tenant_id: str) -> QuerySet[RewardItem]:
    """Return the tenant's items, newest first."""
    return RewardItem.objects.filter(tenant_id=tenant_id).order_by("-created_at", "-pk")


def configs_of_tenant(tenant_id: str) -> QuerySet[RewardConfig]:
    """Return the tenant's configs, newest first."""
    return RewardConfig.objects.filter(tenant_id=tenant_id).order_by("-created_at", "-pk")


def get_item(tenant_id: str, item_id: UUID) -> RewardItem:
    """Return an item of the tenant. Raises: ``NotFoundError``. Queries: 1."""
    row = RewardItem.objects.filter(tenant_id=tenant_id, pk=item_id).first()
    if row is None:
        raise NotFoundError("There is no such reward item.")
    return row


def get_config(tenant_id: str, config_id: UUID) -> RewardConfig:
    """Return a reward config of the tenant. Raises: ``NotFoundError``. Queries: 1."""
    row = RewardConfig.objects.filter(tenant_id=tenant_id, pk=config_id).first()
    if row is None:
        raise NotFoundError("There is no such reward config.")
    return row


def find_board_config_fault(tenant_id: str, config_id: str) -> str | None:
    """Return why a board of the tenant cannot pay by this config, ``None`` if it can. Queries: 1.

    An id that is none is no fault of this: who reads the document says so.
    """
    known = as_uuid(config_id)
    if known is None:
        return None
    row = RewardConfig.objects.filter(tenant_id=tenant_id, pk=known).first()
    if row is None:
        return "is not a reward config of the tenant"
    if row.config_type != RewardConfig.ConfigType.LEADERBOARD:
        return f"is a reward config of the type {row.config_type}, not leaderboard"
    return None if row.is_active else "is an archived reward config"


def board_configs_across_tenants(
    tenant_ids: Collection[str] | None, *, also: str | None = None
) -> list[RewardConfig]:
    """Return the configs that boards of these tenants (``None``: of all) can be paid by, by name.

    ``also`` is the id of one that is chosen already, whatever became of it. Queries: 1.
    """
    rows = RewardConfig.objects.filter(config_type=RewardConfig.ConfigType.LEADERBOARD)
    if tenant_ids is not None:
        rows = rows.filter(tenant_id__in=sorted(tenant_ids))
    chosen = as_uuid(also)
    return list(rows.filter(Q(is_active=True) | Q(pk=chosen)).order_by("tenant_id", "name", "pk"))


def item_page(tenant_id: str, asked: ListQuestion) -> Listing[RewardItem]:
    """Return a page of the library; the filter is ``reward_type``. Queries: 2."""
    rows = _asked(items_of_tenant(tenant_id), asked)
    if "reward_type" in asked.filters:
        rows = rows.filter(reward_type=asked.filters["reward_type"])
    return Listing(list(rows[asked.offset : asked.offset + asked.limit]), rows.count())


def config_page(tenant_id: str, asked: ListQuestion) -> Listing[RewardConfig]:
    """Return a page of the library; the filter is ``type``. Queries: 2."""
    rows = _asked(configs_of_tenant(tenant_id), asked)
    if "type" in asked.filters:
        rows = rows.filter(config_type=asked.filters["type"])
    return Listing(list(rows[asked.offset : asked.offset + asked.limit]), rows.count())


def item_versions(tenant_id: str, item_id: UUID) -> list[DocumentVersion]:
    """Return the item's versions, newest first. Raises: ``NotFoundError``. Queries: 2."""
    return versions_of("reward_item", get_item(tenant_id, item_id).pk)


def config_versions(tenant_id: str, config_id: UUID) -> list[DocumentVersion]:
    """Return the config's versions, newest first. Raises: ``NotFoundError``. Queries: 2."""
    return versions_of("reward_config", get_config(tenant_id, config_id).pk)


def item_document(row: RewardItem) -> dict[str, Any]:
    """Return the item's fields as its versions keep them."""
    return {
        "name": row.name,
        "description": row.description,
        "image_url": row.image_url,
        "reward_type": row.reward_type,
        "payload": row.payload,
        "unit_cost": plain_number(row.unit_cost),
        "claim": row.claim,
        "claim_within_s": row.claim_within_s,
        "activation": row.activation,
        "active": row.is_active,
    }


def config_document(row: RewardConfig) -> dict[str, Any]:
    """Return the config's fields as its versions keep them."""
    return {
        "name": row.name,
        "type": row.config_type,
        "tiers": row.tiers,
        "active": row.is_active,
    }


def item_view(row: RewardItem) -> ItemView:
    """Return the item as grants are made of it."""
    return ItemView(
        pk=row.pk,
        name=row.name,
        reward_type=row.reward_type,
        payload=row.payload,
        description=row.description,
        image_url=row.image_url,
        unit_cost=Decimal(row.unit_cost),
        claim=row.claim,
        claim_within_s=row.claim_within_s,
        activation=row.activation,
        is_active=row.is_active,
    )


def config_view(row: RewardConfig) -> ConfigView:
    """Return the config with its tiers read."""
    tiers = tuple(_tier(document) for document in row.tiers)
    return ConfigView(row.pk, row.name, row.config_type, tiers, row.is_active)


def _asked(rows: QuerySet[Row], asked: ListQuestion) -> QuerySet[Row]:
    if asked.status is not None:
        rows = rows.filter(is_active=asked.status == "active")
    return rows.filter(name__icontains=asked.search) if asked.search else rows


def _tier(document: Mapping[str, Any]) -> TierView:
    value = next(
        (document[key] for key in ("milestone", "threshold", "level") if key in document), None
    )
    return TierView(
        name=document.get("name", ""),
        item_ids=_ids(document.get("item_ids", ())),
        by_category={
            category: _ids(ids) for category, ids in document.get("by_category", {}).items()
        },
        rank_min=document.get("rank_min"),
        rank_max=document.get("rank_max"),
        value=None if value is None else Decimal(str(value)),
    )


def _ids(texts: Iterable[str]) -> tuple[UUID, ...]:
    return tuple(UUID(text) for text in texts)
