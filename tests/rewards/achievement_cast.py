"""Achievements, and events that players send, for the tests of achievements."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Model

from ingestion.types import StoredEvent
from players.services.registration import ensure_players
from rewards.models import (
    Achievement,
    AchievementProgress,
    AchievementUnlock,
    Grant,
    RewardItem,
    Streak,
)
from rewards.selectors.player_achievements import player_achievement
from rewards.services import achievements
from rewards.services.achievement_desk import AchievementDesk
from rewards.services.pipe import settling
from rewards.types.achievements import PlayerAchievement
from rewards.types.causes import Cause
from tenants.models import Tenant
from tenants.services.audit import SYSTEM

BEFORE = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
WINS: dict[str, Any] = {"type": "count", "event_types": ["game.won"], "threshold": 3}

_rows = count(1)


def badge(tenant: Tenant, name: str = "Medal", **fields: Any) -> RewardItem:
    values = {"reward_type": "badge", "payload": {"badge_id": name.lower()}} | fields
    return RewardItem.objects.create(tenant=tenant, name=name, **values)


def make(tenant: Tenant, name: str = "Winner", **fields: Any) -> Achievement:
    document = {"name": name, "criteria": WINS} | fields
    return achievements.create_achievement(tenant.pk, document, actor=SYSTEM, now=BEFORE)


def event(user_id: str = "ana", type_: str = "game.won", **attrs: Any) -> StoredEvent:
    row = next(_rows)
    return StoredEvent(
        *(row, row, 0, "", f"e-{row}", type_, user_id, {}, attrs, NOW, NOW, "api", None, 0),
    )


def cause_of(event: StoredEvent) -> Cause:
    return Cause(
        tenant_id=event.tenant_id,
        source_type="rule",
        source_id="",
        kind="event",
        id=event.event_id,
        event_id=event.event_id,
        event_row=event.id,
        depth=event.depth,
        occurred_at=event.occurred_at,
    )


@transaction.atomic
def play(tenant: Tenant, *events: StoredEvent, now: datetime = NOW, prepare: bool = True) -> None:
    """Feed events as the consumer does: all in one settlement, each followed to its end."""
    sent = [each._replace(tenant_id=tenant.pk) for each in events]
    known = ensure_players({(tenant.pk, str(each.user_id)) for each in sent}, now=now)
    pairs = [(each, known[tenant.pk, str(each.user_id)]) for each in sent]
    with settling({player_id for _, player_id in pairs}, now=now) as settlement:
        desk = settlement.part(AchievementDesk)
        if prepare:
            desk.prepare(pairs)
        for each, player_id in pairs:
            desk.feed(each, player_id, cause_of(each))
            settlement.follow()


def streak_of(tenant: Tenant, name: str) -> str:
    return str(Streak.objects.create(tenant=tenant, name=name, config={}, status="archived").pk)


@transaction.atomic
def see_streak(tenant: Tenant, streak_id: str, *counts: int, user_id: str = "ana") -> None:
    player_id = player_of(tenant, user_id)
    for number in counts:
        with settling([player_id], now=NOW) as settlement:
            cause = cause_of(event(user_id)._replace(tenant_id=tenant.pk))
            settlement.part(AchievementDesk).see_streak(player_id, streak_id, number, cause)


@transaction.atomic
def add_progress(tenant: Tenant, achievement: Achievement, amount: str) -> None:
    player_id = player_of(tenant, "ana")
    with settling([player_id], now=NOW) as settlement:
        cause = cause_of(event()._replace(tenant_id=tenant.pk))
        desk = settlement.part(AchievementDesk)
        desk.add_progress(player_id, str(achievement.pk), Decimal(amount), cause)


def player_of(tenant: Tenant, user_id: str = "ana") -> UUID:
    return ensure_players([(tenant.pk, user_id)], now=NOW)[tenant.pk, user_id]


def shown(achievement: Achievement, user_id: str = "ana") -> PlayerAchievement:
    return player_achievement(str(achievement.tenant_id), user_id, achievement.pk)


def state(achievement: Achievement, user_id: str = "ana") -> tuple[str, Decimal | int, int]:
    """Return status, progress and times as the player sees them."""
    found = shown(achievement, user_id)
    return (found.status, found.current, found.times)


def grants_of(achievement: Achievement, user_id: str = "ana") -> Sequence[Grant]:
    rows = Grant.objects.filter(source_type="achievement", source_id=str(achievement.pk))
    return list(rows.filter(player__external_id=user_id).order_by("ordinal", "pk"))


def unlocks_of(achievement: Achievement, user_id: str = "ana") -> list[AchievementUnlock]:
    rows = AchievementUnlock.objects.filter(achievement=achievement)
    return list(rows.filter(player__external_id=user_id).order_by("number"))


def begun_achievement(tenant: Tenant, user_id: str) -> dict[type[Model], Model]:
    """Make one row of everything that achievements have, for the checks of who sees what."""
    achievement = make(tenant, f"Achievement of {user_id}")
    play(tenant, event(user_id))
    progress = AchievementProgress.objects.get(achievement=achievement)
    return {Achievement: achievement, AchievementProgress: progress}
