"""Freezes that staff give to players."""

from datetime import datetime

from django.db import transaction

from phoenix_site.common.exceptions import InvalidInputError
from players.services.registration import ensure_players
from rewards.models import Streak
from rewards.services.freezes import FreezeDesk
from rewards.services.pipe import settling
from rewards.types.causes import Cause
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["add_freezes"]


@transaction.atomic
def add_freezes(
    streak: Streak,
    user_id: str,
    count: int,
    *,
    reason: str,
    actor: Actor,
    now: datetime,
) -> int:
    """Give a player freezes for ``streak`` and return how many were taken; audited.

    Raises: ``InvalidInputError`` for a streak without freezes.
    Locks: the player. Repeats: give more; the gateway's idempotency key prevents it.
    """
    if not (streak.config["freeze"] or {}).get("max_held"):
        raise InvalidInputError("The streak has no freezes.")
    player_id = ensure_players([(streak.tenant_id, user_id)], now=now)[(streak.tenant_id, user_id)]
    cause = Cause(
        tenant_id=streak.tenant_id,
        source_type="streak",
        source_id=str(streak.pk),
        kind="staff",
        id=actor.label,
        actor=actor.label,
        reason=reason,
    )
    with settling([player_id], now=now) as settlement:
        added = settlement.part(FreezeDesk).add(player_id, streak.pk, count, cause=cause)
    audit.record(
        "streak.freezes_given",
        actor=actor,
        now=now,
        tenant_id=streak.tenant_id,
        change=AuditChange("streak", str(streak.pk), streak.name, None, {"freezes": added}),
        reason=reason,
    )
    return added
