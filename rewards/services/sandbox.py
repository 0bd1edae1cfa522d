"""What a sandbox tenant begins with, so that its first event already earns something."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from phoenix_site.common.emptying import empty_app
from rewards.models import Currency, Ladder, RewardItem, Rule
from rewards.services import currencies, items, ladders, rule_changes, rules
from rewards.services.consumer_hold import hold_consumer
from tenants.types import Actor

CURRENCIES: Final[tuple[Mapping[str, Any], ...]] = (
    {"id": "xp", "name": "Experience", "symbol": "XP", "is_spendable": False, "role": "xp"},
    {"id": "gold", "name": "Gold", "symbol": "G", "role": "token", "unit_cost": 0.01},
)
LADDER: Final[Mapping[str, Any]] = {
    "ladder_id": "levels",
    "name": "Levels",
    "currency_id": "xp",
    "levels": [
        {"level": number, "xp_required": required}
        for number, required in enumerate((0, 100, 300, 1000, 2500), start=1)
    ],
    "ranks": [
        {"rank_id": "rookie", "name": "Rookie", "levels": [1, 2]},
        {"rank_id": "regular", "name": "Regular", "levels": [3, 4]},
        {"rank_id": "veteran", "name": "Veteran", "levels": [5]},
    ],
}
ITEM: Final[Mapping[str, Any]] = {
    "name": "Gold for a good game",
    "description": "Five gold, straight into the wallet.",
    "reward_type": "currency",
    "payload": {"currency_id": "gold", "amount": 5},
}
EARNING_RULE: Final[Mapping[str, Any]] = {
    "rule_id": "xp-per-game",
    "name": "XP for every game",
    "kind": "earning",
    "trigger": {"type": "event", "names": ["game.completed"]},
    "effects": [
        {
            "type": "credit",
            "currency_id": "xp",
            "amount": {"type": "step", "field": "attrs.score_delta", "per": 5, "amount": 1},
        }
    ],
}
REWARD_RULE_ID: Final = "good-game"


def empty_tenant(tenant_id: str) -> None:
    """Delete everything that rewards keep of a sandbox tenant.

    Raises: ``NotAllowedError`` in production and without the rights. Locks: all cursors of the
    consumer of rules.
    """
    with transaction.atomic():
        hold_consumer()
        empty_app("rewards", tenant_id)


@transaction.atomic
def repair_sandbox(tenant_id: str, *, actor: Actor, now: datetime) -> None:
    """Make what the sandbox begins with, as far as it is missing. Repeats: safe."""
    # Before anything else is locked, as whoever changes rules does.
    hold_consumer(now)
    for document in CURRENCIES:
        if not Currency.objects.filter(tenant=tenant_id, currency_id=document["id"]).exists():
            currencies.create_currency(tenant_id, document, actor=actor, now=now)
    if not Ladder.objects.filter(tenant=tenant_id).exists():
        ladders.create_ladder(tenant_id, LADDER, actor=actor, now=now)
    item = RewardItem.objects.filter(tenant=tenant_id, name=ITEM["name"]).first()
    if item is None:
        item = items.create_item(tenant_id, ITEM, actor=actor, now=now)
    for document in (EARNING_RULE, _reward_rule(item)):
        _repair_rule(tenant_id, document, actor=actor, now=now)


def _reward_rule(item: RewardItem) -> Mapping[str, Any]:
    return {
        "rule_id": REWARD_RULE_ID,
        "name": "Gold for a good game",
        "trigger": {"type": "event", "names": ["game.completed"]},
        "conditions": {"op": "gte", "field": "attrs.score_delta", "value": 50},
        "effects": [{"type": "grant", "item_id": str(item.pk)}],
    }


def _repair_rule(
    tenant_id: str, document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> None:
    """Make and activate a rule; one that somebody paused or archived stays as it is."""
    if Rule.objects.filter(tenant=tenant_id, rule_id=document["rule_id"]).exists():
        return
    rules.create_rule(tenant_id, document, actor=actor, now=now)
    rule_changes.activate_rule(tenant_id, document["rule_id"], actor=actor, now=now)
