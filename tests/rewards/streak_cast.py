"""Streaks, logins that reach the consumer through the log, and the clock that closes windows."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Model

from ingestion import selectors as ingestion
from ingestion.models import Event
from phoenix_site.common.zones import load_zone
from players.models import Player, ZoneChange
from rewards.models import (
    FreezeMove,
    Grant,
    PlayerStreak,
    RewardItem,
    Streak,
    StreakMilestone,
    StreakWindow,
)
from rewards.selectors.player_streaks import user_streak
from rewards.services import (
    consumer,
    freeze_gifts,
    streak_definitions,
    streak_repairs,
    streak_sweep,
)
from rewards.services.documents import bump
from rewards.types.streaks import UserStreak
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.rewards import rule_log

NEW_YORK = "America/New_York"
MADE = datetime(2026, 1, 1, tzinfo=UTC)
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DAILY: dict[str, Any] = {"type": "calendar", "period": "daily", "timezone": "UTC"}


def day(number: int, hour: float = 12) -> datetime:
    return START + number * DAY + hour * HOUR


def local(text: str, zone: str = NEW_YORK) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=load_zone(zone)).astimezone(UTC)


def config(**changes: Any) -> dict[str, Any]:
    return {
        "event_types": ["user.login"],
        "window": DAILY,
        "condition": {"type": "count", "min": 1},
        **changes,
    }


def make(tenant: Tenant, name: str = "Daily login", **changes: Any) -> Streak:
    document = {"name": name, "config": config(**changes)}
    return streak_definitions.create_streak(tenant.pk, document, actor=SYSTEM, now=MADE)


def change(streak: Streak, *, now: datetime, **patch: Any) -> Streak:
    return streak_definitions.patch_streak(
        streak.tenant_id, streak.pk, patch, actor=SYSTEM, now=now
    )


def milestone(threshold: int, *items: RewardItem, repeatable: bool = False) -> dict[str, Any]:
    named = [str(item.pk) for item in items]
    return {"threshold": threshold, "reward_item_ids": named, "repeatable": repeatable}


def send(
    tenant: Tenant,
    at: datetime,
    *,
    user_id: str = "ana",
    received_at: datetime | None = None,
    **attrs: Any,
) -> Event:
    """Put a login into the log."""
    return rule_log.send(
        tenant, user_id, type="user.login", at=at, received_at=received_at or at, **attrs
    )


@transaction.atomic
def read(*events: Event, now: datetime) -> None:
    """Let the consumer work through these events as one batch."""
    found = ingestion.events_by_row_id_across_tenants([event.pk for event in events])
    consumer._process([found[event.pk] for event in events], now)


def login(
    tenant: Tenant,
    *instants: datetime,
    user_id: str = "ana",
    received_at: datetime | None = None,
    **attrs: Any,
) -> None:
    """Let the player log in at these times, one after the other, each seen at once."""
    for instant in instants:
        event = send(tenant, instant, user_id=user_id, received_at=received_at, **attrs)
        read(event, now=received_at or instant)


def clock(now: datetime) -> int:
    """Let the clock do what is due by ``now``, until it has nothing more to do."""
    looked = total = streak_sweep.close_due(now, now=now)
    while looked and total < 100:
        looked = streak_sweep.close_due(now, now=now)
        total += looked
    return total


def shown(streak: Streak, *, now: datetime, user_id: str = "ana") -> UserStreak:
    return user_streak(streak.tenant_id, user_id, streak.pk, now=now, any_status=True)


def count(streak: Streak, *, now: datetime, user_id: str = "ana") -> int:
    return shown(streak, now=now, user_id=user_id).current_count


def windows(streak: Streak, user_id: str = "ana") -> list[tuple[str, str, int]]:
    rows = StreakWindow.objects.filter(
        player_streak__streak=streak, player_streak__player__external_id=user_id
    )
    return list(rows.order_by("starts_at").values_list("key", "state", "count"))


def milestones(streak: Streak) -> list[tuple[int, int]]:
    rows = StreakMilestone.objects.filter(player_streak__streak=streak).order_by("id")
    return list(rows.values_list("threshold", "number"))


def grants(streak: Streak) -> list[tuple[str, int]]:
    """Return the name of each thing that the streak gave, and for which milestone."""
    rows = Grant.objects.filter(source_type="streak", source_id=str(streak.pk)).order_by("pk")
    return [(grant.snapshot["name"], grant.context["milestone"]) for grant in rows]


def freeze_moves(user_id: str = "ana") -> list[tuple[str, int, int]]:
    rows = FreezeMove.objects.filter(player__external_id=user_id).order_by("id")
    return list(rows.values_list("kind", "amount", "held_after"))


def give_freezes(
    streak: Streak, number: int = 1, *, now: datetime = START, user_id: str = "ana"
) -> int:
    return freeze_gifts.add_freezes(streak, user_id, number, reason="sorry", actor=SYSTEM, now=now)


def repair(streak: Streak, *keys: str, now: datetime, user_id: str = "ana") -> Any:
    return streak_repairs.repair(streak, user_id, keys, reason="outage", actor=SYSTEM, now=now)


def player(tenant: Tenant, user_id: str = "ana", *, zone: str = "", **fields: Any) -> Player:
    found = Player.objects.create(tenant=tenant, external_id=user_id, timezone=zone, **fields)
    if zone:
        ZoneChange.objects.create(player=found, timezone=zone, from_at=MADE)
    return found


def move(found: Player, zone: str, *, at: datetime) -> None:
    ZoneChange.objects.create(player=found, timezone=zone, from_at=at)
    Player.objects.filter(pk=found.pk).update(timezone=zone)


def reward(tenant: Tenant, name: str = "Sword", **fields: Any) -> RewardItem:
    values = {"reward_type": "badge", "payload": {"badge_id": name.lower()}} | fields
    item = RewardItem.objects.create(tenant=tenant, name=name, **values)
    bump(tenant.pk)
    return item


def kept_streak(tenant: Tenant, user_id: str) -> dict[type[Model], Model]:
    """Return a streak and what a player has of it: rows that only their tenant may see."""
    streak = make(tenant, "theirs", freeze={"max_held": 2, "per_break": 1})
    login(tenant, day(0), user_id=user_id)
    give_freezes(streak, user_id=user_id)
    repair(streak, "2026-02-28", now=day(0, 13), user_id=user_id)
    return {Streak: streak, PlayerStreak: PlayerStreak.objects.get(streak=streak)}
