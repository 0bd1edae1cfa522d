"""Achievements given and taken by staff, with a reason."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import NotFoundError
from players.services.registration import ensure_player
from rewards.exceptions import PlayerBlockedError, StateConflictError
from rewards.models import AchievementUnlock, Grant
from rewards.rules.achievements import AchievementView, is_open
from rewards.selectors import achievements as selectors
from rewards.selectors.book import book_of
from rewards.services.achievement_desk import AchievementDesk
from rewards.services.granting import GrantDesk
from rewards.services.grants import check_reason
from rewards.services.pipe import settling
from rewards.services.settlement import Settlement
from rewards.types.causes import Cause
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["Taken", "grant_achievement", "revoke_achievement", "revoke_unlocks"]

_LASTING = frozenset({Grant.Status.EXPIRED, Grant.Status.REVOKED})


@dataclass(frozen=True, slots=True)
class Taken:
    """Who takes unlocks back and why; ``by_staff`` tells a person from a recompute."""

    label: str
    reason: str
    by_staff: bool


@transaction.atomic
def grant_achievement(
    tenant_id: str,
    achievement_id: UUID,
    *,
    user_id: str,
    reason: object,
    actor: Actor,
    now: datetime,
) -> bool:
    """Unlock the achievement for a player and give what it gives; return whether it was locked.

    Whatever was counted, or is required, does not matter and stays. A player who is not known yet
    is made. Audited.

    Raises: ``NotFoundError``, ``StateConflictError`` for an archived one, ``PlayerBlockedError``,
    ``DocumentError`` without a reason. Repeats: who has one that is not repeatable keeps it, and
    nothing is given again. Locks: the player.
    """
    why = check_reason(reason)
    view = _view(tenant_id, achievement_id)
    if not view.is_active:
        raise StateConflictError("The achievement is archived.")
    player_id = ensure_player(tenant_id, user_id, now=now)
    with settling([player_id], now=now) as settlement:
        _check_takes_part(settlement, player_id)
        desk = settlement.part(AchievementDesk)
        if not is_open(view, desk.state(player_id, view)):
            return False
        desk.give(player_id, view, _cause(tenant_id, view, actor, why))
    _record("granted", tenant_id, view, user_id, actor=actor, reason=why, now=now)
    return True


@transaction.atomic
def revoke_achievement(
    tenant_id: str,
    achievement_id: UUID,
    *,
    user_id: str,
    reason: object,
    actor: Actor,
    now: datetime,
) -> Decimal:
    """Take the achievement from a player, with every reward; return what of it was spent already.

    The way begins anew: what was counted so far counts no more. Audited.

    Raises: ``NotFoundError``, ``StateConflictError`` for a player who does not have it,
    ``DocumentError`` without a reason. Locks: the player.
    """
    why = check_reason(reason)
    view = _view(tenant_id, achievement_id)
    player_id = ensure_player(tenant_id, user_id, now=now)
    with settling([player_id], now=now) as settlement:
        state = settlement.part(AchievementDesk).state(player_id, view)
        if state.times == 0:
            raise StateConflictError("The player does not have the achievement.")
        taken = Taken(actor.label, why, by_staff=True)
        shortfall = revoke_unlocks(settlement, player_id, view, count=None, taken=taken)
    _record("revoked", tenant_id, view, user_id, actor=actor, reason=why, now=now)
    return shortfall


def revoke_unlocks(
    settlement: Settlement,
    player_id: UUID,
    view: AchievementView,
    *,
    count: int | None,
    taken: Taken,
) -> Decimal:
    """Take back the newest ``count`` unlocks with their rewards; return what was spent already.

    ``None`` takes all, and lets the player begin anew. Otherwise gifts of staff are left alone.
    Queries: 3, and those of ``GrantDesk.revoke``.
    """
    rows = AchievementUnlock.objects.filter(
        player=player_id, achievement=view.pk, revoked_at=None
    ).order_by("-number")
    held = list(rows)
    wanted = held
    if count is not None:
        wanted = [row for row in held if row.source != AchievementUnlock.Source.STAFF][:count]
    AchievementUnlock.objects.filter(pk__in=[row.pk for row in wanted]).update(
        revoked_at=settlement.now,
        revoked_by=taken.label[:255],
        revoke_reason=taken.reason[:500],
        is_revoked_by_staff=taken.by_staff,
    )
    left = [row for row in held if row not in wanted]
    desk = settlement.part(AchievementDesk)
    if count is None:
        desk.take_back(player_id, view)
    else:
        state = desk.change(player_id, view)
        state.times, state.owed = len(left), 0
        state.unlocked_at = left[0].unlocked_at if left else None
    return _revoke_grants(settlement, player_id, view, {row.number for row in wanted}, taken)


def _revoke_grants(
    settlement: Settlement,
    player_id: UUID,
    view: AchievementView,
    numbers: Collection[int],
    taken: Taken,
) -> Decimal:
    tenant_id = settlement.facts[player_id].tenant_id
    desk = settlement.part(GrantDesk)
    shortfall = Decimal(0)
    for grant in desk.grants_of((tenant_id, "achievement", str(view.pk), player_id)):
        if grant.ordinal in numbers and grant.status not in _LASTING:
            shortfall += desk.revoke(grant, actor=taken.label, reason=taken.reason, clip=True)
    return shortfall


def _view(tenant_id: str, achievement_id: UUID) -> AchievementView:
    selectors.get_achievement(tenant_id, achievement_id)
    view = selectors.of(book_of(tenant_id)).by_id.get(achievement_id)
    if view is None:
        raise NotFoundError("There is no such achievement.")
    return view


def _check_takes_part(settlement: Settlement, player_id: UUID) -> None:
    facts = settlement.facts[player_id]
    if facts.is_opted_out or facts.is_blocked("rewards"):
        raise PlayerBlockedError("The player gets no rewards.")


def _cause(tenant_id: str, view: AchievementView, actor: Actor, reason: str) -> Cause:
    return Cause(
        tenant_id=tenant_id,
        source_type="achievement",
        source_id=str(view.pk),
        kind="staff" if actor.kind == "staff" else "api_key",
        id=actor.id or actor.label,
        actor=actor.label,
        reason=reason,
    )


def _record(
    action: str,
    tenant_id: str,
    view: AchievementView,
    user_id: str,
    *,
    actor: Actor,
    reason: str,
    now: datetime,
) -> None:
    audit.record(
        f"achievement.{action}",
        actor=actor,
        now=now,
        tenant_id=tenant_id,
        change=AuditChange("achievement", str(view.pk), view.name, after={"user_id": user_id}),
        reason=reason,
    )
