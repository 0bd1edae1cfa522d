"""One player's run of satisfied windows: counted from rows, healed by late ones, kept by freezes.

The rows of a streak are the windows in which something was: progress, a freeze, a break. Between
two rows whose count goes on there is no whole window, because whatever ended unsatisfied has a row
of its own; after a break there are none until the next event. So the count is the same however
often it is taken, and in whatever order the events of a run came.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final
from uuid import UUID

from rewards.rules.measures import add_amounts
from rewards.rules.streak_windows import WindowPlan
from rewards.types.measures import Contribution
from rewards.types.streaks import FreezePolicy, Span, WindowState

__all__ = ["Break", "Changes", "FreezePurse", "PastReaches", "StreakRun", "WindowRow", "reached"]

_TICK: Final = timedelta(microseconds=1)
# Longer than any window.
_FAR: Final = timedelta(days=400)
_FINGERPRINT_BYTES: Final = 16
_ZERO: Final = Decimal(0)


@dataclass(slots=True)
class WindowRow:
    """One window of a player's streak.

    ``count`` is how many windows the run has up to here, 0 when there is none; ``lost`` how many
    the run had that ended here. ``known`` are the fingerprints of values that count once.
    """

    starts_at: datetime
    ends_at: datetime
    key: str
    timezone: str = ""
    progress: Decimal = _ZERO
    known: bytes = b""
    satisfied_at: datetime | None = None
    repair_id: UUID | None = None
    state: WindowState = "open"
    count: int = 0
    run_starts_at: datetime | None = None
    lost: int = 0
    is_changed: bool = False

    @classmethod
    def of(cls, span: Span) -> "WindowRow":
        """Return the row of a window in which nothing was yet."""
        return cls(span.starts_at, span.ends_at, span.key, span.timezone)

    @property
    def span(self) -> Span:
        """Return where the window lies."""
        return Span(self.starts_at, self.ends_at, self.key, self.timezone)

    @property
    def is_satisfied(self) -> bool:
        """Return whether the window counts: by its events, or because staff repaired it."""
        return self.satisfied_at is not None or self.repair_id is not None

    def add(self, contribution: Contribution, *, target: Decimal, at: datetime) -> None:
        """Add what one event is, and note if that satisfies the window.

        Values that count once are remembered until then only.
        """
        amount = self._new_amount(contribution)
        if amount:
            self.progress = add_amounts(self.progress, amount)
            self.is_changed = True
        if self.satisfied_at is None and self.progress >= target:
            self.satisfied_at = at
            self.is_changed = True

    def _new_amount(self, contribution: Contribution) -> Decimal:
        if isinstance(contribution, Decimal):
            return contribution
        size = _FINGERPRINT_BYTES
        parts = (self.known[at : at + size] for at in range(0, len(self.known), size))
        if self.satisfied_at is not None or contribution in parts:
            return _ZERO
        self.known += contribution
        return Decimal(1)

    def put(self, state: WindowState, count: int, run_starts_at: datetime | None) -> None:
        """Set what the run makes of the window."""
        new = (state, count, run_starts_at if count else None)
        if new != (self.state, self.count, self.run_starts_at):
            self.state, self.count, self.run_starts_at = new
            self.is_changed = True


@dataclass(slots=True)
class FreezePurse:
    """The freezes of one player, by streak; those under ``None`` are good for any.

    ``used`` are the pockets from which some were taken, in order.
    """

    held: dict[UUID | None, int] = field(default_factory=dict)
    used: list[UUID | None] = field(default_factory=list)

    def count(self, streak_id: UUID) -> int:
        """Return how many could be used in the streak."""
        return self.held.get(streak_id, 0) + self.held.get(None, 0)

    def take(self, streak_id: UUID) -> bool:
        """Use one, the streak's own first; return whether there was one."""
        for pocket in (streak_id, None):
            if self.held.get(pocket, 0) > 0:
                self.held[pocket] -= 1
                self.used.append(pocket)
                return True
        return False


@dataclass(frozen=True, slots=True)
class Break:
    """A run of ``count`` windows ended because this one was not satisfied."""

    window: Span
    count: int


@dataclass(slots=True)
class Changes:
    """What a settling did: runs that ended, windows that froze, rows whose count rose."""

    broken: list[Break] = field(default_factory=list)
    frozen: list[Span] = field(default_factory=list)
    risen: list[WindowRow] = field(default_factory=list)


@dataclass(slots=True)
class StreakRun:
    """The windows of one player's streak, in order; ``settle`` brings them up to an instant.

    ``rows`` may be only the newest ones: with ``has_earlier`` the first is taken as it is and
    nothing is put before it. What is not over by ``settled_until`` is not closed, even if an event
    of a sender whose clock is fast already lies behind it.
    """

    streak_id: UUID
    plan: WindowPlan
    rows: list[WindowRow]
    has_earlier: bool = False
    settled_until: datetime | None = None
    freeze: FreezePolicy | None = None
    purse: FreezePurse = field(default_factory=FreezePurse)
    count: int = 0
    run_starts_at: datetime | None = None
    _frozen_in_row: int = 0

    # --- Finding windows -------------------------------------------------------------------------

    def find(self, instant: datetime) -> WindowRow:
        """Return the window that holds ``instant``, a new one if it has no row yet.

        A new one is not among ``rows`` before ``attach``.
        """
        index = bisect_right(self.rows, instant, key=lambda row: row.starts_at)
        before = self.rows[index - 1] if index else None
        if before is not None and instant < before.ends_at:
            return before
        after = self.rows[index] if index < len(self.rows) else None
        span = self._window_at(instant, before, after)
        starts_at = span.starts_at if before is None else max(span.starts_at, before.ends_at)
        ends_at = span.ends_at if after is None else min(span.ends_at, after.starts_at)
        return WindowRow.of(Span(starts_at, ends_at, span.key, span.timezone))

    def attach(self, row: WindowRow) -> bool:
        """Put a window that ``find`` made among the rows; return whether it was not there."""
        index = bisect_right(self.rows, row.starts_at, key=lambda other: other.starts_at)
        if index and self.rows[index - 1] is row:
            return False
        row.is_changed = True
        self.rows.insert(index, row)
        return True

    def window_at(self, now: datetime) -> WindowRow | None:
        """Return the present window; ``None`` for a rolling streak whose run is over.

        Call after ``settle``.
        """
        has_row = any(row.starts_at <= now < row.ends_at for row in self.rows)
        if not has_row and not self.count and not self.plan.opening(now).timezone:
            return None
        return self.find(now)

    def next_unsatisfied(self, now: datetime) -> Span | None:
        """Return the window that ends the run if nothing comes; ``None`` when nothing can.

        Call after ``settle``.
        """
        if not self.count or self.plan.is_paused_at(now):
            return None
        last = self.rows[-1]
        if last.ends_at > now and not last.is_satisfied:
            return last.span
        spans = self.plan.chain(last.span, until=max(now, last.ends_at) + _FAR)
        return next(self._unpaused(spans), None)

    def _unpaused(self, spans: Iterable[Span]) -> Iterator[Span]:
        return (span for span in spans if self.plan.pause_in(span) is None)

    def _window_at(
        self, instant: datetime, before: WindowRow | None, after: WindowRow | None
    ) -> Span:
        if before is not None and before.count:
            spans = self.plan.chain(before.span, until=instant + _TICK)
            return next(span for span in spans if instant < span.ends_at)
        if after is not None:
            # What comes late before the first window of a rolling run lies on its grid too.
            earlier = self.plan.preceding(after.span)
            if earlier is not None and earlier.starts_at <= instant:
                return earlier
        return self.plan.opening(instant)

    # --- Counting --------------------------------------------------------------------------------

    def settle(self, until: datetime) -> Changes:
        """Close what ended by ``until`` and count the run anew.

        Repeats: change nothing; an earlier time than the last is as that one.
        """
        until = until if self.settled_until is None else max(until, self.settled_until)
        self.settled_until = until
        changes = Changes()
        self.count, self.run_starts_at, self._frozen_in_row = 0, None, 0
        index = 0
        while index < len(self.rows):
            index += self._fill(index, min(self.rows[index].starts_at, until), changes)
            row = self.rows[index]
            if index == 0 and self.has_earlier:
                self.count, self.run_starts_at = row.count, row.run_starts_at
                self._frozen_in_row = int(row.state == "frozen")
            else:
                self._visit(row, until, changes)
            index += 1
        self._fill(index, until, changes)
        return changes

    def _visit(self, row: WindowRow, until: datetime, changes: Changes) -> None:
        if row.is_satisfied:
            self._raise_by(row, changes)
        elif row.ends_at <= until:
            self._close(row, changes)
        else:
            row.put("open", self.count, self.run_starts_at)

    def _raise_by(self, row: WindowRow, changes: Changes) -> None:
        if self.count == 0:
            self.run_starts_at = row.starts_at
        self.count += 1
        self._frozen_in_row = 0
        if self.count > row.count or row.state != "satisfied":
            changes.risen.append(row)
        row.put("satisfied", self.count, self.run_starts_at)

    def _close(self, row: WindowRow, changes: Changes) -> None:
        """Decide what becomes of a window that ended unsatisfied."""
        if row.state in ("frozen", "skipped"):
            self._frozen_in_row += row.state == "frozen"
            row.put(row.state, self.count, self.run_starts_at)
        elif not self.count or (row.state == "missed" and row.lost):
            # Nothing to lose, or lost already: a freeze that came later does not bring it back.
            self._break(row)
        elif self.plan.pause_in(row.span) is not None:
            row.put("skipped", self.count, self.run_starts_at)
        elif self._may_freeze():
            self._frozen_in_row += 1
            row.put("frozen", self.count, self.run_starts_at)
            changes.frozen.append(row.span)
        else:
            row.lost = self.count
            changes.broken.append(Break(row.span, self.count))
            self._break(row)

    def _may_freeze(self) -> bool:
        policy = self.freeze
        if policy is None or self._frozen_in_row >= policy.per_break:
            return False
        return self.purse.take(self.streak_id)

    def _break(self, row: WindowRow) -> None:
        self.count, self.run_starts_at = 0, None
        row.put("missed", 0, None)

    def _fill(self, index: int, until: datetime, changes: Changes) -> int:
        """Make rows of the whole windows between the row before ``index`` and ``until``.

        Returns how many were made: the last of them may be the end of the run.
        """
        made = 0
        if index == 0 or not self.count or self.rows[index - 1].ends_at >= until:
            return made
        for span in self.plan.chain(self.rows[index - 1].span, until=until):
            if span.ends_at > until or not self.count:
                break
            if self.plan.pause_in(span) is None:
                row = WindowRow.of(span)
                row.is_changed = True
                self.rows.insert(index + made, row)
                self._close(row, changes)
                made += 1
        return made

    def runs(self) -> dict[datetime, datetime]:
        """Return of each run among the rows when its first and its last window began."""
        found: dict[datetime, datetime] = {}
        for row in self.rows:
            if row.run_starts_at is not None:
                found[row.run_starts_at] = row.starts_at
        return found

    def is_well_formed(self) -> bool:
        """Return whether the rows are in order and do not overlap."""
        return all(left.ends_at <= right.starts_at for left, right in pairwise(self.rows))


# --- Milestones ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PastReaches:
    """How often a milestone was reached, and the last windows of those runs at that time.

    ``windows`` are their beginnings: all from where the rows at hand begin, the newest of those
    before.
    """

    times: int = 0
    windows: tuple[datetime, ...] = ()


def reached(
    run: StreakRun,
    changes: Changes,
    *,
    thresholds: Mapping[int, bool],
    past: Mapping[int, PastReaches],
) -> list[tuple[int, WindowRow, datetime]]:
    """Return the milestones that the changes reached, in order of their windows.

    ``thresholds`` says of each whether it is repeatable. One element is the threshold, the window
    that reached it and the beginning of the run's newest window: a milestone was reached in a run
    if it was reached in any of its windows, so neither a heal nor a repair gives it again.
    """
    if not changes.risen:
        return []
    runs = run.runs()
    found: dict[tuple[int, datetime | None], tuple[int, WindowRow, datetime]] = {}
    for row in changes.risen:
        if row.count not in thresholds or row.run_starts_at is None:
            continue
        before, newest = past.get(row.count, PastReaches()), runs[row.run_starts_at]
        is_repeatable = thresholds[row.count]
        if before.times and not is_repeatable:
            continue
        if not any(row.run_starts_at <= at <= newest for at in before.windows):
            occasion = (row.count, row.run_starts_at if is_repeatable else None)
            found.setdefault(occasion, (row.count, row, newest))
    return list(found.values())
