"""Counting an achievement anew, and what that gives or takes (ACH-4).

The recount takes the steps of play over stored events; only what is required is left aside, since
when it was there is not known. Nothing is given twice: unlocks that a player has count as given,
and whom staff took an unlock from is left alone.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from rewards.rules.achievements import (
    AchievementView,
    add_contribution,
    is_open,
    is_reached,
    take_unlock,
    takes_progress,
)
from rewards.rules.measures import add_amounts
from rewards.types.achievements import Held, Outcome, ProgressState, Recount
from rewards.types.measures import Contribution

__all__ = [
    "add_kept",
    "begin_recount",
    "hash_outcomes",
    "is_further",
    "new_state",
    "recount",
    "recount_number",
    "unlocks_due",
    "values_to_keep",
]

# More than anybody is owed for one achievement; a threshold of 1 on a sum of millions is a mistake.
MAX_UNLOCKS: Final = 1000


def begin_recount(view: AchievementView) -> Recount:
    """Return the recount of a player of whom nothing was counted yet."""
    return Recount(ProgressState(epoch=view.epoch))


def recount(
    view: AchievementView, counted: Recount, contribution: Contribution, now: datetime
) -> None:
    """Count what one more event of the player is; events come in the order of the log."""
    is_value = isinstance(contribution, bytes)
    if isinstance(contribution, bytes):
        if contribution not in counted.all_values:
            counted.all_values.add(contribution)
            counted.whole += 1
        if contribution in counted.values:
            return
    else:
        counted.whole = add_amounts(counted.whole, contribution)
    if not is_open(view, counted.state):
        return
    if is_value and isinstance(contribution, bytes):
        counted.values.add(contribution)
    add_contribution(counted.state, contribution)
    _unlock(view, counted, now)


def recount_number(
    view: AchievementView, best: Decimal, present: Decimal, now: datetime
) -> Recount:
    """Return what the number that the achievement looks at makes of a player.

    ``best`` is what it ever was, ``present`` what it is; of a streak they differ.
    """
    counted = Recount(ProgressState(epoch=view.epoch, current=best), whole=best)
    _unlock(view, counted, now)
    if best != present:
        counted.state.current = counted.whole = present
        counted.state.base = present // view.threshold * view.threshold
    return counted


def add_kept(view: AchievementView, counted: Recount, added: Decimal, now: datetime) -> None:
    """Count what rules added, which is in no event."""
    counted.state.added = added
    if added:
        recount(view, counted, added, now)


def _unlock(view: AchievementView, counted: Recount, now: datetime) -> None:
    while counted.state.times < MAX_UNLOCKS and is_reached(view, counted.state):
        run = counted.state.run
        take_unlock(view, counted.state, now)
        if counted.state.run != run:
            counted.values.clear()


def unlocks_due(view: AchievementView, counted: Recount, held: Held) -> int:
    """Return how many unlocks are to be given, below 0 how many would not have been reached."""
    earned = held.state.times - held.gifts
    if counted.state.times < earned:
        return counted.state.times - earned
    if not view.is_repeatable and held.state.times > 0:
        return 0
    return counted.state.times - earned


def new_state(
    view: AchievementView, counted: Recount, held: Held, *, owed: int, is_waiting: bool
) -> ProgressState:
    """Return the state to store: that of the recount, with the unlocks that the player has.

    While something required is missing, what was reached is kept to be unlocked then.
    """
    before, found = held.state, counted.state
    earned = max(before.times - held.gifts, 0)
    current, base = found.current, found.base
    if is_waiting:
        current = counted.whole
        base = view.threshold * earned
        if takes_progress(view.measure):
            current, base = max(current - base, Decimal(0)), Decimal(0)
    return ProgressState(
        epoch=view.epoch,
        current=current,
        base=base,
        added=found.added,
        run=before.run + 1,
        times=before.times,
        last_number=before.last_number,
        unlocked_at=before.unlocked_at,
        owed=owed,
    )


def values_to_keep(view: AchievementView, counted: Recount, *, is_waiting: bool) -> set[bytes]:
    """Return the values that must not count again."""
    if view.measure.type == "leaderboard_rank" or is_waiting:
        return counted.all_values
    return counted.values


def is_further(view: AchievementView, counted: Recount, held: Held) -> bool:
    """Whether the recount is at least as far as what is stored of the present criteria.

    Where events have been purged it is not; what they made of the player is kept then.
    """
    before = held.state
    if before.epoch != view.epoch:
        return True
    earned = before.times - held.gifts
    return (counted.state.times, counted.state.current) >= (earned, before.current)


def hash_outcomes(header: Iterable[Any], outcomes: Iterable[Outcome]) -> str:
    """Return what tells one result from another: 64 hex digits."""
    digest = hashlib.sha256("\t".join(map(str, header)).encode())
    for line in sorted(f"\n{each.user_id}\t{each.unlocks}" for each in outcomes):
        digest.update(line.encode())
    return digest.hexdigest()
