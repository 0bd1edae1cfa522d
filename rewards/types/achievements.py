"""Shapes of achievements that gateways and jobs see."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

ProgressStatus = Literal["locked", "in_progress", "unlocked"]
Apply = Literal["from_now", "recompute"]


@dataclass(slots=True)
class ProgressState:
    """How far a player is with one achievement; the columns of ``AchievementProgress``.

    What counts is ``current - base``: a counter is lowered when it unlocks something, a number
    that the achievement only looks at (a wallet's lifetime, a streak) raises ``base`` instead.
    """

    epoch: int = 0
    current: Decimal = Decimal(0)
    base: Decimal = Decimal(0)
    earlier_base: Decimal = Decimal(0)
    added: Decimal = Decimal(0)
    run: int = 0
    times: int = 0
    last_number: int = 0
    unlocked_at: datetime | None = None
    owed: int = 0

    @property
    def amount(self) -> Decimal:
        """Return what counts towards the next unlock, never below 0."""
        return max(self.current - self.base, Decimal(0))


@dataclass(frozen=True, slots=True)
class GrantedReward:
    """A grant of an achievement, as its player sees it beside it."""

    achievement_id: str
    grant_id: UUID
    item_id: UUID | None
    name: str
    reward_type: str
    status: str
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class PlayerAchievement:
    """An achievement as one player has it; ``percentage`` is 0 to 100 with two decimals at most."""

    id: UUID
    name: str
    description: str
    badge_url: str | None
    status: ProgressStatus
    current: Decimal
    threshold: Decimal
    percentage: Decimal
    unlocked_at: datetime | None
    times: int
    rewards: tuple[GrantedReward, ...] = ()


@dataclass(frozen=True, slots=True)
class PlayerAchievements:
    """A page of a player's achievements; ``total`` is of the asked status, the rest of all."""

    items: list[PlayerAchievement]
    total: int
    unlocked_count: int
    in_progress_count: int
    locked_count: int


@dataclass(slots=True)
class Recount:
    """What the stored events make of one player: the state as if counted from the beginning.

    ``state.times`` is how often it would have unlocked, ``whole`` what was counted in all;
    ``values`` are those of the present run, ``all_values`` every one.
    """

    state: ProgressState
    whole: Decimal = Decimal(0)
    values: set[bytes] = field(default_factory=set)
    all_values: set[bytes] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Held:
    """What a player has: the stored state, and how many of the unlocks are of which kind.

    ``gifts`` are those of staff that still hold, ``forfeited`` those that staff revoked.
    """

    state: ProgressState
    gifts: int = 0
    forfeited: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a recompute does to one player: unlocks to give, below 0 to take back."""

    user_id: str
    unlocks: int
    amount: Decimal

    def as_dict(self) -> dict[str, Any]:
        """Return the line of a preview."""
        return {
            "user_id": self.user_id,
            "change": "gain" if self.unlocks > 0 else "lose",
            "unlocks": abs(self.unlocks),
            "progress": self.amount,
        }
