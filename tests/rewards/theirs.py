"""One of everything in rewards that belongs to tenant B, for the tests that tenant A gets none."""

from dataclasses import dataclass, field
from typing import Any, Final

from django.apps import apps
from django.db.models import Model
from django.utils import timezone

from phoenix_site.common.emptying import path_to_tenant
from phoenix_site.reference.operations import (
    achievements,
    backtests,
    coupons,
    grants,
    ladders,
    rules,
    streaks,
    wallets,
)
from phoenix_site.reference.types import Key, Operation
from rewards.models import (
    Currency,
    Grant,
    Ladder,
    Participant,
    RewardConfig,
    RewardItem,
    Rule,
)
from rewards.services import configs, items
from rewards.services import grants as giving
from rewards.services import rules as ruling
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.conftest import CLEO
from tests.rewards.api_cast import admin_api, player_api

# Every operation of rewards, by method and path.
OPERATIONS: Final[dict[Key, Operation]] = {
    key: operation
    for subject in (achievements, backtests, coupons, grants, ladders, rules, streaks, wallets)
    for key, operation in subject.OPERATIONS.items()
}
# Stands in the name of everything here, so that a page which shows it gives itself away.
SECRET = "Cleo's league"


@dataclass(slots=True)
class Theirs:
    """The ids of tenant B's objects by the names that paths have for them."""

    ids: dict[str, str] = field(default_factory=dict)


def make_theirs(tenant: Tenant) -> Theirs:
    """Make one of everything through the gateways of ``tenant``, and let Cleo have it."""
    admin, cleo, made = admin_api(tenant), player_api(tenant, CLEO), Theirs()

    def post(path: str, body: Any, status: int = 201) -> Any:
        answer = admin.post(path, body)
        assert answer.status_code == status, (path, answer.content)
        return answer.json()

    post("wallet/currencies", {"id": "theirs", "name": f"{SECRET} gold", "role": "token"})
    post(
        "wallet/currencies",
        {"id": "theirxp", "name": f"{SECRET} xp", "role": "xp", "is_spendable": False},
    )
    badge = {"badge_id": "cleos-badge", "tier": ""}
    item = post("reward-items", {"name": SECRET, "reward_type": "badge", "payload": badge})
    tiers = [{"rank_min": 1, "rank_max": 1, "item_ids": [item["item_id"]]}]
    config = post("reward-configs", {"name": SECRET, "type": "leaderboard", "tiers": tiers})
    levels = [{"level": 1, "xp_required": 0}, {"level": 2, "xp_required": 10}]
    post("levels", {"ladder_id": "theirs", "name": SECRET, "levels": levels})
    rule = {
        "rule_id": "theirs",
        "name": SECRET,
        "trigger": {"type": "event", "names": ["game.completed"]},
        "effects": [{"type": "grant", "item_id": item["item_id"]}],
    }
    post("rules", rule)
    post("rules/theirs/activate", {}, 200)
    earning = {
        "name": SECRET,
        "currency_id": "theirs",
        "event_type": "game.completed",
        "calculation": {"type": "fixed", "amount": 1},
    }
    post("wallet/earning-rules", earning)
    criteria = {"type": "count", "event_types": ["game.completed"], "threshold": 3}
    achievement = post("achievements", {"name": SECRET, "criteria": criteria})
    window = {"type": "calendar", "period": "daily", "timezone": "UTC"}
    streak = post(
        "streaks",
        {
            "name": "Cleos league",
            "config": {
                "event_types": ["game.completed"],
                "window": window,
                "condition": {"type": "count", "min": 1},
            },
        },
    )
    coupon = post(
        "coupons",
        {
            "name": SECRET,
            "config": {
                "reward_item_id": item["item_id"],
                "code_format": "custom",
                "custom_code": "CLEOSCODE",
                "usage_limit": {"limit_type": "unlimited"},
            },
        },
    )
    redeemed = cleo.post("coupons/redeem/CLEOSCODE", {})
    assert redeemed.status_code == 200, redeemed.content
    amount = {"user_id": CLEO, "currency_id": "theirs", "amount": 50}
    granted = post("wallet/grant", {**amount, "reason": SECRET})
    hold = post("wallet/holds", {**amount, "amount": 10, "reference": SECRET})
    grant = post("grants", {"user_id": CLEO, "item_id": item["item_id"], "reason": SECRET})
    proof = post("wallet/proofs", {}, 202)
    made.ids = {
        "item_id": item["item_id"],
        "config_id": config["id"],
        "currency_id": "theirs",
        "ladder_id": "theirs",
        "rule_id": "theirs",
        "achievement_id": achievement["id"],
        "streak_id": streak["id"],
        "definition_id": streak["id"],
        "coupon_id": coupon["id"],
        "code": "CLEOSCODE",
        "redemption_id": redeemed.json()["redemption_id"],
        "grant_id": grant["id"],
        "order_id": grant["id"],
        "group_id": grant["group_id"],
        "hold_id": hold["hold_id"],
        "transaction_id": granted["transaction_id"],
        "job_id": proof["job_id"],
    }
    return made


def rows_of(tenant: Tenant) -> dict[str, list[Any]]:
    """Return every row that rewards keep of the tenant."""
    found: dict[str, list[Any]] = {}
    for model in apps.get_app_config("rewards").get_models():
        path = path_to_tenant(model)
        if path:
            rows = model._default_manager.filter(**{path: tenant.pk})
            found[model.__name__] = list(rows.order_by("pk").values())
    return found


def plain_rows(tenant: Tenant, user_id: str) -> dict[type[Model], Model]:
    """Return a row for each page of staff that no cast of a single subject makes one for."""
    now = timezone.now()
    document = {"name": SECRET, "reward_type": "badge", "payload": {"badge_id": "b", "tier": ""}}
    item = items.create_item(tenant.pk, document, actor=SYSTEM, now=now)
    tiers = [{"rank_min": 1, "rank_max": 1, "item_ids": [str(item.pk)]}]
    config = configs.create_config(
        tenant.pk, {"name": SECRET, "type": "leaderboard", "tiers": tiers}, actor=SYSTEM, now=now
    )
    currency = Currency.objects.create(
        tenant=tenant, currency_id="theirxp", name=SECRET, is_spendable=False
    )
    ladder = Ladder.objects.create(
        tenant=tenant,
        ladder_id="theirs",
        name=SECRET,
        currency=currency,
        levels=[{"level": 1, "xp_required": 0, "item_ids": [], "by_category": {}, "benefits": {}}],
    )
    ruling.create_rule(
        tenant.pk,
        {
            "rule_id": "theirs",
            "name": SECRET,
            "trigger": {"type": "event", "names": ["game.completed"]},
            "effects": [{"type": "grant", "item_id": str(item.pk)}],
        },
        actor=SYSTEM,
        now=now,
    )
    giving.give_item(tenant.pk, user_id=user_id, item_id=item.pk, reason="x", actor=SYSTEM, now=now)
    grant = Grant.objects.get(tenant=tenant, item=item)
    return {
        RewardItem: item,
        RewardConfig: config,
        Ladder: ladder,
        Rule: Rule.objects.get(tenant=tenant, rule_id="theirs"),
        Grant: grant,
        Participant: Participant.objects.get(pk=grant.player_id),
    }
