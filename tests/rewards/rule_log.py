"""A tenant's currencies, items and rules, events in the log, and the consumer run over them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from ingestion.constants import N_SHARDS
from ingestion.models import Event
from players.models import Player
from rewards.models import Account, Currency, Firing, Grant, Refusal, RewardItem
from rewards.services import consumer, rule_changes, rules
from rewards.services.documents import bump
from rewards.types.rule_views import RuleView
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.ingestion import factories

BEFORE = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
_numbers = count(1)


def currency(tenant: Tenant, currency_id: str = "gold", **fields: Any) -> Currency:
    values = {"name": currency_id} | fields
    made = Currency.objects.create(tenant=tenant, currency_id=currency_id, **values)
    bump(tenant.pk)
    return made


def item(tenant: Tenant, name: str = "Sword", **fields: Any) -> RewardItem:
    values = {"reward_type": "badge", "payload": {"badge_id": name.lower()}} | fields
    made = RewardItem.objects.create(tenant=tenant, name=name, **values)
    bump(tenant.pk)
    return made


def document(**changes: Any) -> dict[str, Any]:
    return {
        "rule_id": "big-win",
        "name": "Big win",
        "trigger": {"type": "event", "names": ["game.completed"]},
        "effects": [credit(50)],
        "timezone": "UTC",
        **changes,
    }


def credit(amount: Any, currency_id: str = "gold") -> dict[str, Any]:
    amount = amount if isinstance(amount, dict) else {"type": "fixed", "amount": amount}
    return {"type": "credit", "currency_id": currency_id, "amount": amount}


def grant(item: RewardItem) -> dict[str, Any]:
    return {"type": "grant", "item_id": str(item.pk)}


def draft(tenant: Tenant, *, now: datetime = BEFORE, **changes: Any) -> RuleView:
    return rules.create_rule(tenant.pk, document(**changes), actor=SYSTEM, now=now)


def active(tenant: Tenant, *, now: datetime = BEFORE, **changes: Any) -> RuleView:
    made = draft(tenant, now=now, **changes)
    return activate(tenant, made.rule_id, now=now)


def activate(tenant: Tenant, rule_id: str = "big-win", **options: Any) -> RuleView:
    options.setdefault("now", BEFORE)
    options.setdefault("actor", SYSTEM)
    return rule_changes.activate_rule(tenant.pk, rule_id, **options)


def pause(tenant: Tenant, rule_id: str = "big-win", **options: Any) -> RuleView:
    options.setdefault("now", BEFORE)
    options.setdefault("actor", SYSTEM)
    return rule_changes.pause_rule(tenant.pk, rule_id, **options)


def send(
    tenant: Tenant,
    user_id: str | None = "ana",
    *,
    type: str = "game.completed",  # noqa: A002
    at: datetime = NOON,
    received_at: datetime | None = None,
    source: str = "api",
    depth: int = 0,
    **attrs: Any,
) -> Event:
    row = factories.log_row(
        f"e-{next(_numbers)}",
        tenant_id=tenant.pk,
        user_id=user_id,
        type=type,
        attrs=attrs,
        occurred_at=at,
    )
    fields = row._asdict() | {"metadata": {}, "attrs": attrs, "source": source, "depth": depth}
    return Event.objects.create(**fields, received_at=received_at or at + timedelta(seconds=1))


def process(*, now: datetime = NOON + timedelta(minutes=1), limit: int = 2000) -> int:
    """Process what waits in every shard, and what comes of that, until nothing is left."""
    total = 0
    while done := sum(
        consumer.apply_rules(shard, now=now, limit=limit) for shard in range(N_SHARDS)
    ):
        total += done
    return total


def balance(tenant: Tenant, user_id: str = "ana", currency_id: str = "gold") -> Decimal:
    wallet = Account.objects.filter(
        kind="wallet",
        player__external_id=user_id,
        player__tenant=tenant,
        currency__currency_id=currency_id,
    ).first()
    return Decimal(0) if wallet is None else wallet.balance


def firings(tenant: Tenant, rule_id: str = "big-win") -> list[Firing]:
    return list(Firing.objects.filter(tenant=tenant, rule__rule_id=rule_id).order_by("event_row"))


def refusals(tenant: Tenant, rule_id: str = "big-win") -> list[str]:
    rows = Refusal.objects.filter(tenant=tenant, rule__rule_id=rule_id).order_by("event_row")
    return list(rows.values_list("reason", flat=True))


def grants(tenant: Tenant, user_id: str = "ana") -> list[Grant]:
    return list(Grant.objects.filter(tenant=tenant, player__external_id=user_id).order_by("pk"))


def player(tenant: Tenant, user_id: str = "ana", **fields: Any) -> Player:
    return Player.objects.create(tenant=tenant, external_id=user_id, **fields)
