"""Freezes that staff give to players."""

from datetime import datetime
from typing import Final

from django.db import transaction

from phoenix_site.common.exceptions import Detail, InvalidInputError
from players.services.registration import ensure_players
from rewards.models import Streak
from rewards.services.freezes import FreezeDesk
from rewards.services.pipe import settling
from rewards.types.causes import Cause
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["add_freezes"]

MAX_AT_ONCE: Final = 1000


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

    Raises: ``InvalidInputError`` for a streak without freezes, a count below 1 or without reason.
    Locks: the player. Repeats: give more; the gateway's idempotency key prevents it.
    """
    _check(streak, count, reason)
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


def _check(streak: Streak, count: int, reason: str) -> None:
    policy = streak.config.get("freeze")
    faults: list[Detail] = []
    if not policy or not policy["max_held"]:
        raise InvalidInputError("The streak has no freezes.")
    if type(count) is not int or not 1 <= count <= MAX_AT_ONCE:
        faults.append(Detail("count", f"must be a whole number from 1 to {MAX_AT_ONCE}"))
    if not reason.strip():
        faults.append(Detail("reason", "is required"))
    if faults:
        raise InvalidInputError(f"{faults[0].field} {faults[0].message}.", details=faults)
