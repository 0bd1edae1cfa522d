"""Streaks within one settlement: counted in memory, rewarded, written as sets at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final
from uuid import UUID

from ingestion.types import EventInput, StoredEvent
from phoenix_site.common.ids import uuid7
from phoenix_site.common.logging import get_logger
from phoenix_site.common.times import format_utc
from rewards.constants import MAX_RULE_DEPTH
from rewards.rules.configs import items_for_milestone
from rewards.rules.measures import event_root
from rewards.rules.streak_views import Edition, StreakBook, StreakView
from rewards.rules.streaks import Break, PastReaches, StreakRun, reached
from rewards.selectors import streaks as selectors
from rewards.selectors.streak_states import EARLIEST, Pair, StoredStreak, read_streaks
from rewards.services.achievement_desk import AchievementDesk
from rewards.services.freezes import FreezeDesk
from rewards.services.granting import GrantDesk, GrantLine
from rewards.services.settlement import Settlement
from rewards.services.streak_store import (
    NewMilestone,
    StreakState,
    write_milestones,
    write_notices,
    write_states,
    write_windows,
)
from rewards.types.book import Book, ItemView
from rewards.types.causes import Cause, child_event
from rewards.types.measures import Contribution
from rewards.types.streaks import Span

__all__ = ["BROKEN", "MILESTONE", "PlayerRun", "StreakDesk"]

log = get_logger(__name__)

MILESTONE: Final = "streak.milestone"
BROKEN: Final = "streak.broken"


@dataclass(slots=True)
class PlayerRun:
    """A player's streak while a settlement works on it; ``told`` is the count others know."""

    stored: StoredStreak
    view: StreakView
    run: StreakRun
    told: int
    is_changed: bool = False

    @property
    def id(self) -> UUID:
        """Return the row's id, also of one that is not made yet."""
        return self.stored.id


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that counts in a window: when it happened, when it came, and why."""

    contribution: Contribution
    occurred_at: datetime
    received_at: datetime
    cause: Cause
    edition: Edition


@dataclass(slots=True)
class _Arrivals:
    """What a batch brought: when each event was received, and the earliest of each player's.

    ``earliest`` are (occurred, received), each the earliest of its own.
    """

    received: dict[int, datetime] = field(default_factory=dict)
    earliest: dict[UUID, tuple[datetime, datetime]] = field(default_factory=dict)

    def note(self, event: StoredEvent, player_id: UUID) -> None:
        self.received[event.id] = event.received_at
        times = (event.occurred_at, event.received_at)
        occurred_at, received_at = self.earliest.get(player_id, times)
        self.earliest[player_id] = (min(occurred_at, times[0]), min(received_at, times[1]))

    def since(self, player_id: UUID, reach: timedelta, now: datetime) -> datetime:
        """Return from when on windows of a streak may be touched that takes events so late."""
        occurred_at, received_at = self.earliest.get(player_id, (EARLIEST, now))
        return max(occurred_at, received_at - reach, EARLIEST)


class StreakDesk:
    """What the players of a settlement have of their streaks, after everything so far."""

    order: ClassVar[int] = 40

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._runs: dict[Pair, PlayerRun] = {}
        self._arrivals = _Arrivals()
        self._milestones: list[NewMilestone] = []
        self._notices: list[tuple[UUID, Span, int]] = []
        self._thresholds: dict[UUID, Mapping[int, bool]] = {}

    # --- What moves them -------------------------------------------------------------------------

    def prepare(self, pairs: Sequence[tuple[StoredEvent, UUID]]) -> None:
        """Read at once what these events of players can move. Queries: at most 4."""
        wanted: dict[Pair, StreakView] = {}
        for event, player_id in pairs:
            self._arrivals.note(event, player_id)
            for view in self._book(player_id).of_type(event.type):
                wanted[player_id, view.pk] = view
        self.load(wanted)

    def feed(self, event: StoredEvent, player_id: UUID, cause: Cause) -> None:
        """Count one event of the player in its windows.

        It counts as the streak was when the event was received, and not at all while the streak
        was paused; of one that came later than ``late_seconds`` after its window nothing is kept.
        """
        views = self._book(player_id).of_type(event.type)
        if not views or event.depth > MAX_RULE_DEPTH or not self._takes_part(player_id):
            return
        root: dict[str, Any] | None = None
        for view in views:
            edition = view.edition_at(event.received_at)
            if edition is None or edition.status != "active":
                continue
            if not edition.compiled.types.hold(event.type):
                continue
            root = root or event_root(event)
            contribution = edition.compiled.contribution(root)
            if contribution is not None:
                step = _Step(contribution, event.occurred_at, event.received_at, cause, edition)
                self._count(player_id, view, step)

    def add_progress(
        self, player_id: UUID, goal_id: str | UUID, amount: Decimal, cause: Cause
    ) -> None:
        """Add what a rule gives to the window of its event; nothing to a streak that stands."""
        view = self._book(player_id).by_id.get(UUID(str(goal_id)))
        if view is None or amount <= 0 or not self._takes_part(player_id):
            return
        occurred_at = cause.occurred_at or self._settlement.now
        received_at = self._arrivals.received.get(cause.event_row or 0, self._settlement.now)
        edition = view.edition_at(received_at)
        if edition is not None and edition.status == "active":
            self._count(player_id, view, _Step(amount, occurred_at, received_at, cause, edition))

    def _count(self, player_id: UUID, view: StreakView, step: _Step) -> None:
        if step.occurred_at < step.received_at - view.reach:
            return
        held = self.state(player_id, view)
        run, until = held.run, min(step.occurred_at, step.received_at)
        if run.plan.is_paused_at(step.occurred_at):
            return
        if run.settled_until is None or until > run.settled_until:
            self.settle(held, until, step.cause)
        row = run.find(step.occurred_at)
        late = (step.received_at - row.ends_at).total_seconds()
        if late >= step.edition.config.late_seconds:
            return
        was_satisfied = row.is_satisfied
        row.add(step.contribution, target=step.edition.config.target, at=step.occurred_at)
        is_new = run.attach(row)
        last = held.stored.last_event_at
        held.stored.last_event_at = (
            step.occurred_at if last is None else max(last, step.occurred_at)
        )
        held.is_changed = True
        if is_new or row.is_satisfied != was_satisfied:
            self.settle(held, until, step.cause)

    # --- What follows ----------------------------------------------------------------------------

    def state(
        self, player_id: UUID, view: StreakView, *, since: datetime | None = None
    ) -> PlayerRun:
        """Return what the player has of the streak, with the windows from ``since`` on.

        The first question after a streak reads it for all players of the settlement. Queries: 3
        then, else 0.
        """
        held = self._runs.get((player_id, view.pk))
        if held is None:
            self.load({(known, view.pk): view for known in self._settlement.facts}, since=since)
            held = self._runs[player_id, view.pk]
        return held

    def load(self, wanted: Mapping[Pair, StreakView], *, since: datetime | None = None) -> None:
        """Read what is stored of these pairs, with the windows from ``since`` on. Queries: 3."""
        missing = {pair: view for pair, view in wanted.items() if pair not in self._runs}
        if not missing:
            return
        now, arrivals = self._settlement.now, self._arrivals
        horizons = {
            pair: since or arrivals.since(pair[0], view.reach, now)
            for pair, view in missing.items()
        }
        freezes = {view.pk: _frozen_in_row(view) for view in missing.values()}
        found = read_streaks(horizons, frozen_in_row=freezes)
        for pair, view in missing.items():
            stored = found.get(pair) or StoredStreak(uuid7(), *pair)
            self._runs[pair] = self._begin(stored, view)

    def settle(self, held: PlayerRun, until: datetime, cause: Cause) -> None:
        """Close what ended by ``until``, count anew, and let follow what comes of it."""
        before = held.run.settled_until
        changes = held.run.settle(until)
        held.is_changed |= held.run.settled_until != before
        player_id = held.stored.player_id
        for span in changes.frozen:
            freezes = self._settlement.part(FreezeDesk)
            freezes.note_used(player_id, held.view.pk, span.key)
        for broken in changes.broken:
            self._tell_broken(held, broken)
        if changes.risen:
            risen = max(row.count for row in changes.risen)
            held.stored.longest_count = max(held.stored.longest_count, risen)
            found = reached(
                held.run,
                changes,
                thresholds=self._thresholds_of(held.view),
                past=held.stored.past,
            )
            for threshold, row, newest in found:
                self._reach(held, threshold, row.key, newest, cause)
        self._show(held, cause)

    def close(self, player_id: UUID, view: StreakView, until: datetime) -> None:
        """Do what the clock does: close windows, tell of a run that is at risk, plan the next look.

        ``until`` is up to when every event was counted.
        """
        held = self.state(player_id, view, since=until)
        cause = Cause(
            tenant_id=view.tenant_id,
            source_type="streak",
            source_id=str(view.pk),
            kind="event",
            id=f"{BROKEN}:{held.id}",
        )
        self.settle(held, until, cause)
        held.is_changed = True
        span = held.run.next_unsatisfied(until)
        if span is not None and self._is_at_risk(held, span, until):
            held.stored.noticed_window_at = span.starts_at
            self._notices.append((held.id, span, held.run.count))
            log.debug("streak.at_risk", player_streak=held.id.hex, window=span.key)

    def write(self) -> None:
        """Store what changed. Queries: at most 4."""
        changed = [held for held in self._runs.values() if held.is_changed]
        write_states([self._state_of(held) for held in changed])
        rows = [(held.id, row) for held in changed for row in held.run.rows if row.is_changed]
        write_windows(rows)
        write_milestones(self._milestones, now=self._settlement.now)
        write_notices(self._notices, now=self._settlement.now)

    # --- Own -------------------------------------------------------------------------------------

    def _book(self, player_id: UUID) -> StreakBook:
        facts = self._settlement.facts[player_id]
        return selectors.of(self._settlement.book(facts.tenant_id))

    def _takes_part(self, player_id: UUID) -> bool:
        facts = self._settlement.facts[player_id]
        return not facts.is_opted_out and not facts.is_blocked("rewards")

    def _begin(self, stored: StoredStreak, view: StreakView) -> PlayerRun:
        run = selectors.run_of(stored, view, self._settlement.facts[stored.player_id])
        if view.config.freeze is not None:
            run.purse = self._settlement.part(FreezeDesk).purse(stored.player_id)
        return PlayerRun(stored, view, run, told=stored.current_count)

    def _thresholds_of(self, view: StreakView) -> Mapping[int, bool]:
        found = self._thresholds.get(view.pk)
        if found is None:
            book = self._settlement.book(view.tenant_id)
            found = self._thresholds[view.pk] = selectors.thresholds_of(book, view)
        return found

    def _reach(
        self, held: PlayerRun, threshold: int, key: str, newest: datetime, cause: Cause
    ) -> None:
        stored, view, settlement = held.stored, held.view, self._settlement
        past = stored.past.get(threshold, PastReaches())
        number = past.times + 1
        stored.past[threshold] = PastReaches(number, (*past.windows, newest))
        cause = replace(cause, source_type="streak", source_id=str(view.pk))
        event_id = cause.event_id or ""
        self._milestones.append(NewMilestone(held.id, threshold, number, newest, event_id))
        settlement.emit(
            child_event(
                cause,
                MILESTONE,
                event_id=f"{MILESTONE}:{held.id}:{threshold}:{number}",
                user_id=settlement.facts[stored.player_id].external_id,
                attrs={"streak_id": str(view.pk), "threshold": threshold, "count": held.run.count},
                occurred_at=settlement.now,
            )
        )
        items = items_of(settlement.book(view.tenant_id), view, threshold)
        if items:
            # Grants of one streak are told apart by how many milestones the player reached before.
            ordinal = sum(each.times for each in stored.past.values())
            settlement.part(GrantDesk).give(
                stored.player_id,
                items=[GrantLine(item) for item in items],
                cause=cause,
                context={"milestone": threshold, "window_key": key},
                ordinal=ordinal,
                is_new=True,
                group_name=str(ordinal),
            )

    def _tell_broken(self, held: PlayerRun, broken: Break) -> None:
        view, window = held.view, broken.window
        self._settlement.emit(
            EventInput(
                tenant_id=view.tenant_id,
                event_id=f"{BROKEN}:{held.id}:{format_utc(window.starts_at)}",
                type=BROKEN,
                user_id=self._settlement.facts[held.stored.player_id].external_id,
                occurred_at=window.ends_at,
                attrs={
                    "streak_id": str(view.pk),
                    "count": broken.count,
                    "window_key": window.key,
                },
            )
        )

    def _show(self, held: PlayerRun, cause: Cause) -> None:
        """Let achievements on the streak see its count, if that changed."""
        if held.told != held.run.count:
            held.told = held.run.count
            achievements = self._settlement.part(AchievementDesk)
            achievements.see_streak(held.stored.player_id, held.view.pk, held.told, cause)

    def _is_at_risk(self, held: PlayerRun, span: Span, now: datetime) -> bool:
        return (
            held.stored.noticed_window_at != span.starts_at
            and selectors.risk_begins_at(held.view, span) <= now < span.ends_at
        )

    def _state_of(self, held: PlayerRun) -> StreakState:
        stored, run = held.stored, held.run
        return StreakState(
            id=stored.id,
            player_id=stored.player_id,
            streak_id=stored.streak_id,
            current_count=run.count,
            longest_count=stored.longest_count,
            run_starts_at=run.run_starts_at,
            last_event_at=stored.last_event_at,
            settled_until=run.settled_until,
            due_at=_due_at(held),
            noticed_window_at=stored.noticed_window_at,
        )


def items_of(book: Book, view: StreakView, threshold: int) -> list[ItemView]:
    """Return what a milestone gives, each item once: its own items, then those of the config."""
    own = next((each for each in view.config.milestones if each.threshold == threshold), None)
    ids = dict.fromkeys(own.item_ids if own else ())
    config = selectors.config_of(book, view)
    if config is not None:
        ids |= dict.fromkeys(items_for_milestone(config, threshold))
    return [book.items[pk] for pk in ids if pk in book.items]


def _frozen_in_row(view: StreakView) -> int:
    return view.config.freeze.per_break if view.config.freeze else 0


def _due_at(held: PlayerRun) -> datetime | None:
    """Return when the clock has to look at the run again, ``None`` if only an event changes it."""
    run = held.run
    if run.settled_until is None:
        return None
    span = run.next_unsatisfied(run.settled_until)
    if span is None:
        return None
    if held.stored.noticed_window_at == span.starts_at:
        return span.ends_at
    return selectors.risk_begins_at(held.view, span)
