"""Shapes of streaks: what one is configured to be, its windows, and what a player has of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from phoenix_site.common.periods import PeriodType
from rewards.types.measures import Measure

PLAYER_ZONE: Final = "player"

StreakStatus = Literal["active", "paused", "archived"]
WindowState = Literal["open", "satisfied", "frozen", "missed", "skipped"]


@dataclass(frozen=True, slots=True)
class WindowRule:
    """How windows lie: periods of a calendar, or ``hours`` since the first counted event.

    ``timezone`` is an IANA name or ``player``. ``period`` is ``None`` for rolling windows, which
    know no zone; ``hours`` is 0 for calendars.
    """

    period: PeriodType | None = None
    timezone: str = "UTC"
    reset_day: str | int | None = None
    reset_time: time | None = None
    hours: int = 0

    @property
    def is_rolling(self) -> bool:
        """Return whether windows begin with the player's first event, not with a calendar."""
        return self.period is None


@dataclass(frozen=True, slots=True)
class Span:
    """A window ``[starts_at, ends_at)``: its key, and the zone it was opened in (``""``: none)."""

    starts_at: datetime
    ends_at: datetime
    key: str
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class Milestone:
    """What is given when a run has ``threshold`` satisfied windows; see STR-6."""

    threshold: int
    item_ids: tuple[UUID, ...] = ()
    is_repeatable: bool = False


@dataclass(frozen=True, slots=True)
class FreezePolicy:
    """How many freezes a player may hold, and how many in a row keep one run."""

    max_held: int
    per_break: int


@dataclass(frozen=True, slots=True)
class StreakConfig:
    """A checked config. ``document`` is its full form, as answered and stored."""

    window: WindowRule
    measure: Measure
    target: Decimal
    milestones: tuple[Milestone, ...] = ()
    reward_config_id: UUID | None = None
    at_risk_seconds: int = 0
    freeze: FreezePolicy | None = None
    late_seconds: int = 0
    document: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class ReachedMilestone:
    """A milestone as its player sees it; ``reached_at`` is when it was reached last."""

    threshold: int
    reached_at: datetime | None


@dataclass(frozen=True, slots=True)
class UserStreak:
    """What a player has of one streak at one moment; ``id`` is ``None`` before the first event."""

    id: UUID | None
    definition_id: UUID
    definition_name: str
    user_id: str
    current_count: int
    longest_count: int
    window_progress: Decimal
    window_target: Decimal
    window_satisfied: bool
    current_window_start: datetime | None
    current_window_end: datetime | None
    at_risk: bool
    freezes_held: int
    milestones: tuple[ReachedMilestone, ...]
    last_event_at: datetime | None
