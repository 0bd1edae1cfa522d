"""What time does to wallets: lots that are due expire, holds that nobody captured are released."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.logging import get_logger
from rewards.models import Hold, Lot
from rewards.services.holds import HoldDesk
from rewards.services.pipe import settling
from rewards.types.causes import Cause

__all__ = ["expire_lots", "release_expired_holds"]

log = get_logger(__name__)

# So many players are locked at a time.
_BATCH: Final = 200


def expire_lots(*, now: datetime, most: int = 5000) -> int:
    """Post due lots as expired, for at most ``most`` players; return how many players had some.

    A player whose rows somebody changed past the ledger is logged and left for a proof to show.

    Repeats: safe, also beside other workers: whoever settles a player first posts the lots.
    """
    done, left_out = 0, set[UUID]()
    while done < most:
        due = Lot.objects.filter(expires_at__lte=now, remaining__gt=0).order_by("expires_at")
        others = due.exclude(account__player__in=left_out) if left_out else due
        rows = others.values_list("account__player", flat=True)[: _BATCH * 4]
        players = list(dict.fromkeys(player for player in rows if player is not None))[:_BATCH]
        if not players:
            break
        failed = _one_by_one(players, lambda chosen: _settle(chosen, now))
        done += len(players) - len(failed)
        left_out |= failed or _still_due(players, now)
    return done


def release_expired_holds(*, now: datetime, most: int = 5000) -> int:
    """Release what is left of holds that are over; return how many holds were.

    Repeats, faults: as ``expire_lots``; a hold is looked at again under its player's lock.
    """
    done, left_out = 0, set[UUID]()
    while done < most:
        due = Hold.objects.filter(status=Hold.Status.OPEN, expires_at__lte=now)
        rows = due.exclude(player__in=left_out).order_by("expires_at")[:_BATCH]
        by_player: dict[UUID, list[Hold]] = defaultdict(list)
        for hold in rows:
            by_player[hold.player_id].append(hold)
        if not by_player:
            break
        failed = _one_by_one(
            list(by_player),
            lambda chosen, known=by_player: _release(  # type: ignore[misc]
                [hold for player in chosen for hold in known[player]], now
            ),
        )
        done += sum(len(held) for player, held in by_player.items() if player not in failed)
        left_out |= failed
    return done


def _one_by_one(players: Sequence[UUID], do: Callable[[Sequence[UUID]], None]) -> set[UUID]:
    """Do it for all players at once; if that fails, for each alone. Return who failed."""
    try:
        do(players)
    except DomainError:
        failed = set()
        for player in players:
            try:
                do([player])
            except DomainError:
                log.exception("wallet.sweep_failed", player_id=str(player))
                failed.add(player)
        return failed
    return set()


@transaction.atomic
def _settle(players: Sequence[UUID], now: datetime) -> None:
    with settling(players, now=now):
        pass


def _still_due(players: Sequence[UUID], now: datetime) -> set[UUID]:
    """Return whose lots could not be posted, because the wallet does not cover them."""
    due = Lot.objects.filter(account__player__in=players, expires_at__lte=now, remaining__gt=0)
    return {player for player in due.values_list("account__player", flat=True) if player}


@transaction.atomic
def _release(holds: Sequence[Hold], now: datetime) -> None:
    with settling({hold.player_id for hold in holds}, now=now) as at:
        desk = at.part(HoldDesk)
        desk.load([hold.pk for hold in holds])
        for hold in holds:
            if desk.get(hold.pk).remaining:
                cause = Cause(
                    tenant_id=hold.tenant_id,
                    source_type="expiry",
                    source_id=str(hold.pk),
                    kind="hold",
                    id=str(hold.pk),
                    reason="The hold has ended.",
                )
                desk.release(hold.pk, None, cause=cause, key=f"release:{hold.pk}:expired")
