"""Currencies, items and configs for the tests of items, configs and grants."""

from typing import Any
from uuid import UUID

from rewards.models import Grant, RewardConfig, RewardItem
from rewards.services import configs, items
from rewards.services.documents import bump
from rewards.types.book import CurrencyView
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.rewards.ledger_cast import NOON, make_currency


def new_currency(tenant: Tenant, currency_id: str = "gold", **fields: Any) -> CurrencyView:
    made = make_currency(tenant, currency_id, **fields)
    bump(tenant.pk)
    return made


def item_document(**changes: Any) -> dict[str, Any]:
    return {
        "name": "500 gold",
        "reward_type": "currency",
        "payload": {"currency_id": "gold", "amount": 500},
        **changes,
    }


def badge(name: str = "Star", **changes: Any) -> dict[str, Any]:
    return item_document(
        name=name, reward_type="badge", payload={"badge_id": name.lower()}, **changes
    )


def new_item(tenant: Tenant, document: dict[str, Any] | None = None) -> RewardItem:
    return items.create_item(tenant.pk, document or item_document(), actor=SYSTEM, now=NOON)


def tier(low: int, high: int, *given: RewardItem) -> dict[str, Any]:
    return {"rank_min": low, "rank_max": high, "item_ids": [each.id_text for each in given]}


def new_config(
    tenant: Tenant, *tiers: dict[str, Any], config_type: str = "leaderboard"
) -> RewardConfig:
    document = {"name": "Prizes", "type": config_type, "tiers": list(tiers)}
    return configs.create_config(tenant.pk, document, actor=SYSTEM, now=NOON)


def statuses(grant_id: UUID | str) -> list[str]:
    """Return the statuses that a grant went through, in order."""
    grant = Grant.objects.get(pk=grant_id)
    return [move.to_status for move in grant.moves.order_by("pk")]
