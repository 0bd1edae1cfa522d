"""What time does to wallets: lots that are due expire, holds that nobody captured are released."""

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from rewards.models import Hold, Lot
from rewards.services.holds import HoldDesk
from rewards.services.pipe import settling
from rewards.types.causes import Cause

__all__ = ["expire_lots", "release_expired_holds"]

# So many players are locked at a time.
_BATCH: Final = 200


def expire_lots(*, now: datetime, most: int = 5000) -> int:
    """Post due lots as expired, for at most ``most`` players; return how many players had some.

    Repeats: safe, also beside other workers: whoever settles a player first posts the lots.
    """
    done = 0
    while done < most:
        due = Lot.objects.filter(expires_at__lte=now, remaining__gt=0).order_by("expires_at")
        rows = due.values_list("account__player", flat=True)[: _BATCH * 4]
        players = list(dict.fromkeys(player for player in rows if player is not None))[:_BATCH]
        if not players:
            break
        with transaction.atomic(), settling(players, now=now):
            pass
        done += len(players)
    return done


def release_expired_holds(*, now: datetime, most: int = 5000) -> int:
    """Release what is left of holds that are over; return how many holds were.

    Repeats: safe, also beside other workers: a hold is looked at again under its player's lock.
    """
    done = 0
    while done < most:
        due = Hold.objects.filter(status=Hold.Status.OPEN, expires_at__lte=now)
        rows = list(due.order_by("expires_at").values_list("pk", "player", "tenant")[:_BATCH])
        if not rows:
            break
        done += _release(rows, now)
    return done


@transaction.atomic
def _release(rows: list[tuple[UUID, UUID, str]], now: datetime) -> int:
    with settling({player_id for _, player_id, _ in rows}, now=now) as at:
        desk = at.part(HoldDesk)
        desk.load([hold_id for hold_id, _, _ in rows])
        for hold_id, _, tenant_id in rows:
            if desk.get(hold_id).remaining:
                cause = Cause(
                    tenant_id=tenant_id,
                    source_type="expiry",
                    source_id=str(hold_id),
                    kind="hold",
                    id=str(hold_id),
                    reason="The hold has ended.",
                )
                desk.release(hold_id, None, cause=cause, key=f"release:{hold_id}:expired")
    return len(rows)
