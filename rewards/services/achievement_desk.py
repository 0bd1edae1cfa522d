"""Achievements within one settlement: counted in memory, unlocked, written as sets at its end."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, Final
from uuid import UUID

from ingestion.types import StoredEvent
from phoenix_site.common.ids import uuid7
from rewards.constants import MAX_RULE_DEPTH
from rewards.models import AchievementUnlock
from rewards.rules.achievements import (
    MAX_UNLOCKS_AT_ONCE,
    AchievementBook,
    AchievementView,
    add_contribution,
    add_extra,
    begin_epoch,
    is_open,
    is_reached,
    see_number,
    take_back,
    take_unlock,
    takes_progress,
)
from rewards.rules.configs import items_for_threshold
from rewards.rules.measures import event_root
from rewards.selectors import achievements
from rewards.services.achievement_store import (
    Key,
    NewUnlock,
    Value,
    read_states,
    read_values,
    write_states,
)
from rewards.services.granting import GrantDesk, GrantLine
from rewards.services.settlement import Settlement
from rewards.types.achievements import ProgressState
from rewards.types.book import Book, ItemView
from rewards.types.causes import Cause, child_event
from rewards.types.measures import Contribution
from rewards.types.money import WalletChange

__all__ = ["UNLOCKED", "AchievementDesk", "follow_wallet", "items_of"]

UNLOCKED: Final = "achievement.unlocked"
Source = AchievementUnlock.Source


class AchievementDesk:
    """What the players of a settlement have of their achievements, after everything so far."""

    order: ClassVar[int] = 50

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._states: dict[Key, ProgressState] = {}
        self._loaded: set[UUID] = set()
        self._stored: set[Key] = set()
        self._changed: dict[Key, None] = {}
        self._emptied: dict[Key, None] = {}
        self._contributions: dict[tuple[int, UUID], Contribution | None] = {}
        # What is known of values: those that counted, and those that were looked up at all.
        self._known: set[Value] = set()
        self._asked: set[Value] = set()
        self._new_values: dict[Value, None] = {}
        self._unlocks: list[NewUnlock] = []

    # --- What moves them -------------------------------------------------------------------------

    def prepare(self, pairs: Sequence[tuple[StoredEvent, UUID]]) -> None:
        """Read at once what these events of players can move. Queries: at most 2."""
        roots: dict[int, dict[str, Any]] = {}
        moved: set[UUID] = set()
        wanted: list[tuple[UUID, UUID, bytes]] = []
        for event, player_id in pairs:
            for view in self._counting(event, player_id):
                moved.add(view.pk)
                if event.id not in roots:
                    roots[event.id] = event_root(event)
                found = view.compiled.contribution(roots[event.id])
                self._contributions[event.id, view.pk] = found
                if isinstance(found, bytes):
                    wanted.append((player_id, view.pk, found))
        for book in self._books(player_id for _, player_id in pairs):
            looking = [view for view in book.views if not takes_progress(view.measure)]
            moved |= book.related([*moved & book.by_id.keys(), *(view.pk for view in looking)])
        self._load(moved)
        self._look_up(wanted)

    def feed(self, event: StoredEvent, player_id: UUID, cause: Cause) -> None:
        """Count one event of the player, and unlock what it reaches."""
        root: dict[str, Any] | None = None
        for view in self._counting(event, player_id):
            key = (event.id, view.pk)
            if key in self._contributions:
                contribution = self._contributions[key]
            else:
                root = root or event_root(event)
                contribution = view.compiled.contribution(root)
            if contribution is not None:
                self._count(player_id, view, contribution, cause)

    def see_streak(self, player_id: UUID, streak_id: str | UUID, count: int, cause: Cause) -> None:
        """Let achievements that stand on a streak see its present count."""
        book = self._book(player_id)
        self._see(player_id, book.of_streak(str(streak_id)), Decimal(count), cause)

    def see_wallet(self, change: WalletChange) -> None:
        """Let achievements that stand on a currency see what was ever earned of it."""
        book = self._book(change.player_id)
        views = book.of_currency(change.currency.currency_id)
        self._see(change.player_id, views, change.after, change.cause)

    def add_progress(
        self, player_id: UUID, goal_id: str | UUID, amount: Decimal, cause: Cause
    ) -> None:
        """Add what a rule gives; nothing happens to one that is archived or only looks."""
        view = self._book(player_id).by_id.get(UUID(str(goal_id)))
        if view is None or not view.is_active or not takes_progress(view.measure):
            return
        state = self.state(player_id, view)
        if amount > 0 and is_open(view, state) and self._takes_part(player_id):
            add_extra(state, amount)
            self._touch(player_id, view)
            self.unlock_reached(player_id, view, cause)

    # --- Unlocking -------------------------------------------------------------------------------

    def unlock_reached(self, player_id: UUID, view: AchievementView, cause: Cause) -> None:
        """Unlock as often as is due, and what waited for it.

        Where something required is missing, it waits (ACH-3).
        """
        count = 0
        while count < MAX_UNLOCKS_AT_ONCE and self._is_due(player_id, view):
            self._unlock(player_id, view, cause, Source.PLAY)
            count += 1
        if count:
            self._unlock_waiting(player_id, view, cause)

    def give(self, player_id: UUID, view: AchievementView, cause: Cause) -> None:
        """Unlock once as a gift of staff, whatever was counted or is required."""
        self.state(player_id, view)
        self._unlock(player_id, view, cause, Source.STAFF)
        self._unlock_waiting(player_id, view, cause)

    def pay_owed(self, player_id: UUID, view: AchievementView, cause: Cause) -> int:
        """Unlock what a recompute found; return how often. A blocked player gets nothing."""
        state = self.state(player_id, view)
        owed, state.owed = state.owed, 0
        self._touch(player_id, view)
        count = 0
        while count < owed and is_open(view, state) and self._may_have(player_id, view):
            self._unlock(player_id, view, cause, Source.RECOMPUTE)
            count += 1
        if count:
            self._unlock_waiting(player_id, view, cause)
        return count

    def state(self, player_id: UUID, view: AchievementView) -> ProgressState:
        """Return how far the player is after everything so far. Queries: 1 the first time."""
        if view.pk not in self._loaded:
            self._load(self._book(player_id).related([view.pk]))
        key = (player_id, view.pk)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = ProgressState(epoch=view.epoch)
        if state.epoch != view.epoch:
            begin_epoch(view, state)
            self._emptied[key] = None
        return state

    def take_back(self, player_id: UUID, view: AchievementView) -> None:
        """Let the player have it no more, and begin anew."""
        take_back(view, self.state(player_id, view))
        self._touch(player_id, view)
        self._emptied[player_id, view.pk] = None

    def change(self, player_id: UUID, view: AchievementView) -> ProgressState:
        """Return how far the player is, to be changed by the caller and stored."""
        self._touch(player_id, view)
        return self.state(player_id, view)

    def write(self) -> None:
        """Store what changed. Queries: at most 4."""
        write_states(
            {key: self._states[key] for key in self._changed},
            values=[each for each in self._new_values if each[2] == self._states[each[:2]].run],
            forget_runs=[key for key in self._emptied if key in self._changed],
            unlocks=self._unlocks,
            now=self._settlement.now,
        )

    # --- Own -------------------------------------------------------------------------------------

    def _book(self, player_id: UUID) -> AchievementBook:
        return achievements.of(self._settlement.book(self._settlement.tenants[player_id]))

    def _books(self, player_ids: Iterable[UUID]) -> list[AchievementBook]:
        tenants = sorted({self._settlement.tenants[player_id] for player_id in player_ids})
        return [achievements.of(self._settlement.book(tenant_id)) for tenant_id in tenants]

    def _takes_part(self, player_id: UUID) -> bool:
        facts = self._settlement.facts[player_id]
        return not facts.is_opted_out and not facts.is_blocked("rewards")

    def _counting(self, event: StoredEvent, player_id: UUID) -> list[AchievementView]:
        views = self._book(player_id).of_type(event.type)
        if not views or event.depth > MAX_RULE_DEPTH or not self._takes_part(player_id):
            return []
        return [view for view in views if view.counts(event.received_at)]

    def _load(self, achievement_ids: Collection[UUID]) -> None:
        missing = set(achievement_ids) - self._loaded
        if missing:
            self._loaded |= missing
            found = read_states(list(self._settlement.facts), list(missing))
            self._stored |= found.keys()
            self._states |= found

    def _look_up(self, wanted: Iterable[tuple[UUID, UUID, bytes]]) -> None:
        """Ask which values counted already in the present runs. Queries: 1, or 0."""
        asked = set()
        for player_id, achievement_id, fingerprint in wanted:
            key = (player_id, achievement_id)
            # Without a row nothing was ever counted.
            if key in self._stored:
                asked.add((*key, self._states[key].run, fingerprint))
        asked -= self._asked
        self._asked |= asked
        self._known |= read_values(asked)

    def _count(
        self, player_id: UUID, view: AchievementView, contribution: Contribution, cause: Cause
    ) -> None:
        state = self.state(player_id, view)
        if not is_open(view, state):
            return
        if isinstance(contribution, bytes) and not self._is_new(player_id, view, contribution):
            return
        add_contribution(state, contribution)
        self._touch(player_id, view)
        self.unlock_reached(player_id, view, cause)

    def _is_new(self, player_id: UUID, view: AchievementView, fingerprint: bytes) -> bool:
        """Note a value; return whether it had not counted yet in this run."""
        key = (player_id, view.pk)
        value = (*key, self._states[key].run, fingerprint)
        # A run that began in this settlement has no values in the database.
        if key not in self._emptied and value not in self._asked:
            self._look_up([(*key, fingerprint)])
        if value in self._known:
            return False
        self._known.add(value)
        self._new_values[value] = None
        return True

    def _see(
        self, player_id: UUID, views: Iterable[AchievementView], number: Decimal, cause: Cause
    ) -> None:
        for view in views:
            if not view.is_active or not self._takes_part(player_id):
                continue
            state = self.state(player_id, view)
            if state.current == number:
                continue
            see_number(view, state, number)
            self._touch(player_id, view)
            self.unlock_reached(player_id, view, cause)

    def _touch(self, player_id: UUID, view: AchievementView) -> None:
        self._changed[player_id, view.pk] = None

    def _is_due(self, player_id: UUID, view: AchievementView) -> bool:
        return is_reached(view, self.state(player_id, view)) and self._has_required(player_id, view)

    def _may_have(self, player_id: UUID, view: AchievementView) -> bool:
        return self._takes_part(player_id) and self._has_required(player_id, view)

    def _has_required(self, player_id: UUID, view: AchievementView) -> bool:
        return all(self._has(player_id, pk) for pk in view.requires)

    def _has(self, player_id: UUID, achievement_id: UUID) -> bool:
        # Of another epoch or archived: what was unlocked once is unlocked.
        state = self._states.get((player_id, achievement_id))
        return state is not None and state.times > 0

    def _unlock_waiting(self, player_id: UUID, view: AchievementView, cause: Cause) -> None:
        for other in self._book(player_id).waiting_for(view.pk):
            if other.is_active:
                self.unlock_reached(player_id, other, cause)

    def _unlock(self, player_id: UUID, view: AchievementView, cause: Cause, source: Source) -> None:
        settlement, state = self._settlement, self.state(player_id, view)
        run = state.run
        number = take_unlock(view, state, settlement.now, is_gift=source != Source.PLAY)
        if state.run != run:
            self._emptied[player_id, view.pk] = None
        self._touch(player_id, view)
        cause = replace(cause, source_type="achievement", source_id=str(view.pk))
        self._note(player_id, view, number, cause, source)
        attrs = {"achievement_id": str(view.pk), "times": state.times}
        settlement.emit(
            child_event(
                cause,
                UNLOCKED,
                event_id=f"{UNLOCKED}:{view.pk}:{player_id}:{number}",
                user_id=settlement.facts[player_id].external_id,
                attrs=attrs,
                occurred_at=cause.occurred_at or settlement.now,
            )
        )
        items = items_of(settlement.book(cause.tenant_id), view)
        if items:
            lines = [GrantLine(item) for item in items]
            settlement.part(GrantDesk).give(
                player_id,
                items=lines,
                cause=cause,
                context=attrs,
                ordinal=number,
                is_new=True,
                group_name=str(number),
            )

    def _note(
        self, player_id: UUID, view: AchievementView, number: int, cause: Cause, source: Source
    ) -> None:
        self._unlocks.append(
            NewUnlock(
                id=uuid7(),
                tenant_id=cause.tenant_id,
                achievement_id=view.pk,
                player_id=player_id,
                number=number,
                source=source.value,
                cause_event_id=cause.event_id,
                actor=cause.actor,
                reason=cause.reason,
            )
        )


def follow_wallet(settlement: Settlement, change: WalletChange) -> None:
    """Let achievements on a currency follow what was ever earned of it; see ``FOLLOWERS``."""
    settlement.part(AchievementDesk).see_wallet(change)


def items_of(book: Book, view: AchievementView) -> list[ItemView]:
    """Return what one unlock gives, each item once: its own items, then those of its config."""
    ids = dict.fromkeys(view.reward_item_ids)
    config = None
    if view.reward_config_id is not None:
        config = book.configs.get(view.reward_config_id)
    if config is not None and config.is_active:
        ids |= dict.fromkeys(items_for_threshold(config, view.threshold))
    return [book.items[pk] for pk in ids if pk in book.items]
