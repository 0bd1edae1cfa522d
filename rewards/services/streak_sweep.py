"""What the clock does to streaks: windows close, runs break, players are warned.

A window closes only when every event received before its end has been counted: otherwise a run
would break, or a freeze be used, because the consumer is a little behind.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction

from ingestion import selectors as ingestion
from ingestion.services import cursors
from phoenix_site.common.logging import get_logger
from rewards.constants import RULES
from rewards.models import PlayerStreak, StreakClock
from rewards.selectors import streaks as selectors
from rewards.services.pipe import settling
from rewards.services.streaks import StreakDesk

__all__ = ["close_due", "counted_until", "sweep_streaks"]

log = get_logger(__name__)

CHUNK: Final = 500
MAX_CHUNKS: Final = 200
# A mark is of a moment ago, when every transaction of then has probably ended.
_MARK_AGE: Final = timedelta(seconds=1)
# A player's streak that cannot be closed does not hold up the others.
_TRY_AGAIN_AFTER: Final = timedelta(hours=1)

# Of a player's streak: row, player, tenant, streak.
_Due = tuple[UUID, UUID, str, UUID]


def sweep_streaks(*, now: datetime) -> int:
    """Close what is due up to where the consumer is; return how many streaks were looked at.

    Repeats: safe, however many sweep.
    """
    until = counted_until(now=now)
    looked = 0
    if until is not None:
        for _chunk in range(MAX_CHUNKS):
            done = close_due(until, now=now)
            looked += done
            if done < CHUNK:
                break
    return looked


@transaction.atomic
def counted_until(*, now: datetime) -> datetime | None:
    """Return up to when every event received has been counted; ``None``: not known, or busy.

    It moves in steps: a mark is set, and when the consumer has passed it, it becomes the answer
    and the next one is set. Locks: the clock's row; does nothing while another sweep has it.
    """
    StreakClock.objects.get_or_create(pk=1)
    clock = StreakClock.objects.select_for_update(skip_locked=True).filter(pk=1).first()
    if clock is None:
        return None
    if clock.barrier is not None and ingestion.has_passed(RULES, clock.barrier):
        clock.passed_until, clock.barrier = clock.as_of, None
    if clock.barrier is None:
        clock.as_of = now - _MARK_AGE
        clock.barrier = cursors.freeze_barrier(clock.as_of)
    clock.save()
    return clock.passed_until


def close_due(until: datetime, *, now: datetime, limit: int = CHUNK) -> int:
    """Close windows that ended by ``until``, of at most ``limit`` players' streaks.

    Returns how many were looked at. Locks: the players. Queries: the same for 1 and for 500.
    """
    due = _due(until, limit)
    if not due:
        return 0
    try:
        _close(due, until, now)
    # The loop over all players: one that cannot be closed must not hold up the others.
    except Exception:
        log.exception("streak.chunk_not_closed", count=len(due))
        for one in due:
            _close_alone(one, until, now)
    return len(due)


def _due(until: datetime, limit: int) -> list[_Due]:
    rows = PlayerStreak.objects.filter(due_at__lte=until).order_by("due_at")
    return list(rows.values_list("pk", "player_id", "streak__tenant_id", "streak_id")[:limit])


def _close_alone(one: _Due, until: datetime, now: datetime) -> None:
    try:
        _close([one], until, now)
    except Exception:
        log.exception("streak.not_closed", player_streak=one[0].hex)
        PlayerStreak.objects.filter(pk=one[0]).update(due_at=until + _TRY_AGAIN_AFTER)


@transaction.atomic
def _close(due: Sequence[_Due], until: datetime, now: datetime) -> None:
    with settling({player_id for _, player_id, _, _ in due}, now=now) as settlement:
        desk = settlement.part(StreakDesk)
        views = {
            (player_id, streak_id): selectors.of(settlement.book(tenant_id)).by_id[streak_id]
            for _, player_id, tenant_id, streak_id in due
        }
        desk.load(views, since=until)
        for (player_id, _), view in views.items():
            desk.close(player_id, view, until)
