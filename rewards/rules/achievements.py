"""Achievements: what moves them, and what unlocks them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from rewards.rules.measures import CompiledMeasure, add_amounts
from rewards.types.achievements import ProgressState, ProgressStatus
from rewards.types.measures import Contribution, Measure

__all__ = [
    "LOOKING",
    "MAX_UNLOCKS_AT_ONCE",
    "AchievementBook",
    "AchievementView",
    "add_contribution",
    "add_extra",
    "begin_epoch",
    "is_open",
    "is_reached",
    "percentage_of",
    "see_number",
    "shown_amount",
    "status_of",
    "take_back",
    "take_unlock",
    "takes_progress",
]

# What one change may unlock; the rest is kept and goes on with the next one.
MAX_UNLOCKS_AT_ONCE: Final = 100
# These look at a number that is kept elsewhere.
LOOKING: Final = frozenset({"cumulative", "streak_milestone"})
_ZERO: Final = Decimal(0)
_HUNDRED: Final = Decimal(100)
_MOST_WHILE_LOCKED: Final = Decimal("99.99")
_HUNDREDTH: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class AchievementView:
    """An achievement as the consumer has it."""

    pk: UUID
    name: str
    description: str
    badge_url: str | None
    compiled: CompiledMeasure
    threshold: Decimal
    reward_config_id: UUID | None
    reward_item_ids: tuple[UUID, ...]
    is_active: bool
    is_repeatable: bool
    is_hidden: bool
    requires: tuple[UUID, ...]
    epoch: int
    counts_from: datetime | None
    counts_until: datetime | None

    @property
    def measure(self) -> Measure:
        """Return what it counts."""
        return self.compiled.measure

    def counts(self, received_at: datetime) -> bool:
        """Whether what was received then counts, however late it is looked at."""
        if self.counts_from is not None and received_at < self.counts_from:
            return False
        return self.counts_until is None or received_at < self.counts_until


class AchievementBook:
    """The achievements of a tenant, found by what moves them."""

    def __init__(self, views: Iterable[AchievementView]) -> None:
        self.views = tuple(views)
        self.by_id = {view.pk: view for view in self.views}
        self._by_type: dict[str, tuple[AchievementView, ...]] = {}
        self._counting = [view for view in self.views if not _is_empty(view)]
        names = {name for view in self._counting for name in view.compiled.types.names}
        self._has_patterns = any(view.compiled.types.prefixes for view in self._counting)
        for name in names:
            self._by_type[name] = self._moved_by(name)

    def of_type(self, event_type: str) -> tuple[AchievementView, ...]:
        """Return the achievements that events of this type can move."""
        found = self._by_type.get(event_type)
        if found is not None:
            return found
        return self._moved_by(event_type) if self._has_patterns else ()

    def of_currency(self, currency_id: str) -> list[AchievementView]:
        """Return those that look at what was ever earned of a currency."""
        return [view for view in self.views if view.measure.metric == currency_id]

    def of_streak(self, streak_id: str) -> list[AchievementView]:
        """Return those that look at a streak."""
        return [view for view in self.views if view.measure.streak_id == streak_id]

    def waiting_for(self, pk: UUID) -> list[AchievementView]:
        """Return those that cannot unlock without this one."""
        return [view for view in self.views if pk in view.requires]

    def related(self, pks: Iterable[UUID]) -> set[UUID]:
        """Return these, what they require, and what waits for any of those."""
        found: set[UUID] = set()
        open_ = list(pks)
        while open_:
            pk = open_.pop()
            if pk in found:
                continue
            found.add(pk)
            view = self.by_id.get(pk)
            # What is required is only looked at; what waits may move in its turn.
            open_ += [other.pk for other in self.waiting_for(pk)]
            found.update(view.requires if view is not None else ())
        return found

    def _moved_by(self, event_type: str) -> tuple[AchievementView, ...]:
        return tuple(view for view in self._counting if view.compiled.types.hold(event_type))


def _is_empty(view: AchievementView) -> bool:
    return not view.compiled.types.names and not view.compiled.types.prefixes


# --- Counting and unlocking ----------------------------------------------------------------------


def takes_progress(measure: Measure) -> bool:
    """Whether rules may add to it: what only looks at another number cannot be raised."""
    return measure.type not in LOOKING


def is_open(view: AchievementView, state: ProgressState) -> bool:
    """Whether there is anything left to reach."""
    return view.is_repeatable or state.times == 0


def add_contribution(state: ProgressState, contribution: Contribution) -> None:
    """Count what one event is; a fingerprint is one new value."""
    amount = Decimal(1) if isinstance(contribution, bytes) else contribution
    state.current = add_amounts(state.current, amount)


def add_extra(state: ProgressState, amount: Decimal) -> None:
    """Count what a rule added, which no event shows."""
    state.current = add_amounts(state.current, amount)
    state.added = add_amounts(state.added, amount)


def see_number(view: AchievementView, state: ProgressState, number: Decimal) -> None:
    """Take the present value of the number that the achievement looks at.

    A streak that falls below what its unlocks used up has begun anew; when it jumps by more than
    one window, a late event has healed the run before, and what that had used up counts again.
    """
    if view.measure.type == "streak_milestone":
        if number < state.base:
            state.earlier_base, state.base = state.base, _ZERO
        elif number > state.current + 1 and number >= state.earlier_base > state.base:
            state.base, state.earlier_base = state.earlier_base, _ZERO
    state.current = number


def is_reached(view: AchievementView, state: ProgressState) -> bool:
    """Whether the next unlock is due, if nothing that is required is missing."""
    return is_open(view, state) and state.current - state.base >= view.threshold


def take_unlock(
    view: AchievementView, state: ProgressState, now: datetime, *, is_gift: bool = False
) -> int:
    """Unlock once and return the number of the unlock, from 1.

    What was counted is used up, except by a gift. That of one that cannot be repeated too, in
    case it is made repeatable some day.
    """
    state.times += 1
    state.last_number += 1
    state.unlocked_at = now
    if not is_gift:
        _use_up(view, state)
    return state.last_number


def _use_up(view: AchievementView, state: ProgressState) -> None:
    measure_type = view.measure.type
    if measure_type in LOOKING:
        state.base += view.threshold
    elif measure_type == "distinct":
        state.current = _ZERO
        state.run += 1
    else:
        # Windows of a board stay known for ever: a corrected one must not count a second time.
        state.current -= view.threshold


def begin_epoch(view: AchievementView, state: ProgressState) -> None:
    """Forget what was counted under criteria that are no more; what was unlocked stays."""
    state.epoch = view.epoch
    state.current = state.base = state.earlier_base = state.added = _ZERO
    state.run += 1


def take_back(view: AchievementView, state: ProgressState) -> None:
    """Take every unlock back; the way begins again, with nothing counted.

    A number that is only looked at has to grow from where it is by what it takes.
    """
    number = state.current
    begin_epoch(view, state)
    state.times, state.unlocked_at = 0, None
    if not takes_progress(view.measure):
        state.current = state.base = number


def status_of(state: ProgressState) -> ProgressStatus:
    """Return the status that the player sees (ACH-5)."""
    if state.times > 0:
        return "unlocked"
    return "in_progress" if state.amount > 0 else "locked"


def shown_amount(view: AchievementView, state: ProgressState) -> Decimal:
    """Return the progress that the player sees: towards the next unlock, or the whole way."""
    if state.times == 0 or view.is_repeatable:
        return state.amount
    whole = state.amount if takes_progress(view.measure) else state.current
    return max(whole, view.threshold)


def percentage_of(view: AchievementView, state: ProgressState) -> Decimal:
    """Return 0 to 100 with at most two decimals, never 100 while locked."""
    if state.times > 0 and not view.is_repeatable:
        return _HUNDRED
    share = min(state.amount / view.threshold, Decimal(1)) * 100
    if state.times == 0:
        share = min(share, _MOST_WHILE_LOCKED)
    # 2 of 3 is 66.67, but whoever is not there yet is not shown to be.
    return min(share.quantize(_HUNDREDTH), _HUNDRED)
