"""The streaks of a tenant as the consumer has them: all they ever were, ready to count."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from phoenix_site.common.periods import PeriodType
from players.types import PlayerFacts
from rewards.rules.measures import CompiledMeasure
from rewards.rules.streak_windows import Pause, WindowPlan, counted_zones
from rewards.types.streaks import PLAYER_ZONE, StreakConfig, StreakStatus, WindowRule

__all__ = ["Edition", "StreakBook", "StreakView"]

# No window is longer, whatever clocks and moves do to it.
_LONGEST: Final[Mapping[PeriodType, timedelta]] = {
    "hourly": timedelta(hours=4),
    "daily": timedelta(hours=75),
    "weekly": timedelta(days=16),
    "monthly": timedelta(days=65),
}


@dataclass(frozen=True, slots=True)
class Edition:
    """What a streak was from ``at`` on, until the next edition."""

    at: datetime
    status: StreakStatus
    config: StreakConfig
    compiled: CompiledMeasure


@dataclass(frozen=True, slots=True)
class StreakView:
    """A streak as the consumer has it; ``editions`` are all it ever was, oldest first."""

    pk: UUID
    tenant_id: str
    name: str
    description: str
    status: StreakStatus
    version: int
    created_at: datetime
    updated_at: datetime
    editions: tuple[Edition, ...]
    window_rules: tuple[tuple[datetime, WindowRule], ...] = field(init=False)
    pauses: tuple[Pause, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window_rules", _window_rules(self.editions))
        object.__setattr__(self, "pauses", _pauses(self.editions))

    @property
    def config(self) -> StreakConfig:
        """Return the newest config."""
        return self.editions[-1].config

    def edition_at(self, instant: datetime) -> Edition | None:
        """Return the edition in force at ``instant``; ``None`` before the streak was made."""
        for edition in reversed(self.editions):
            if edition.at <= instant:
                return edition
        return None

    def plan_for(self, facts: PlayerFacts | None) -> WindowPlan:
        """Return where a player's windows lie; ``None`` is somebody who lives in UTC."""
        if facts is None or not any(rule.timezone == PLAYER_ZONE for _, rule in self.window_rules):
            return WindowPlan(self.window_rules, pauses=self.pauses)
        if not facts.zone_changes:
            return WindowPlan(self.window_rules, facts.timezone, pauses=self.pauses)
        zones = counted_zones(facts.zone_changes)
        return WindowPlan(self.window_rules, facts.tenant_timezone, zones, self.pauses)

    @property
    def reach(self) -> timedelta:
        """Return how long before its reception an event may have occurred and still count."""
        return max(_reach(edition.config) for edition in self.editions)


def _window_rules(editions: Iterable[Edition]) -> tuple[tuple[datetime, WindowRule], ...]:
    found: list[tuple[datetime, WindowRule]] = []
    for edition in editions:
        if not found or found[-1][1] != edition.config.window:
            found.append((edition.at, edition.config.window))
    return tuple(found)


def _pauses(editions: Iterable[Edition]) -> tuple[Pause, ...]:
    found: list[Pause] = []
    since: datetime | None = None
    for edition in editions:
        if edition.status != "active":
            since = since or edition.at
        elif since is not None:
            found.append((since, edition.at))
            since = None
    return tuple(found if since is None else [*found, (since, None)])


def _reach(config: StreakConfig) -> timedelta:
    window = config.window
    length = timedelta(hours=window.hours) if window.period is None else _LONGEST[window.period]
    return length + timedelta(seconds=config.late_seconds)


class StreakBook:
    """The streaks of a tenant, archived ones too, found by what counts in them."""

    def __init__(self, views: Iterable[StreakView]) -> None:
        self.views = tuple(views)
        self.by_id = {view.pk: view for view in self.views}
        measures = [edition.compiled for view in self.views for edition in view.editions]
        self._has_patterns = any(each.types.prefixes for each in measures)
        names = {name for each in measures for name in each.types.names}
        self._by_type = {name: self._counting(name) for name in names}

    def of_type(self, event_type: str) -> tuple[StreakView, ...]:
        """Return the streaks in which events of this type count, or once did."""
        found = self._by_type.get(event_type)
        if found is not None:
            return found
        return self._counting(event_type) if self._has_patterns else ()

    @property
    def active(self) -> list[StreakView]:
        """Return what players see."""
        return [view for view in self.views if view.status == "active"]

    def most_freezes(self, streak_id: UUID | None) -> int:
        """Return how many freezes may be held for a streak; for any, the most of all of them."""
        views = self.active if streak_id is None else [self.by_id[streak_id]]
        return max((v.config.freeze.max_held for v in views if v.config.freeze), default=0)

    def _counting(self, event_type: str) -> tuple[StreakView, ...]:
        return tuple(
            view
            for view in self.views
            if any(edition.compiled.types.hold(event_type) for edition in view.editions)
        )
