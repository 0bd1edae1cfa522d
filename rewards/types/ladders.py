"""Ladders as the rules and the gateways see them."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class LevelStep:
    """One level: the lifetime amount it takes, what it gives and what it means to the game."""

    level: int
    xp_required: Decimal
    item_ids: tuple[UUID, ...]
    benefits: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RankGroup:
    """A named run of levels; ``weight`` orders ranks."""

    rank_id: str
    name: str
    image_url: str | None
    weight: int
    first_level: int
    last_level: int
    item_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """The levels 1 to n of a ladder, in order, and its ranks, lowest first."""

    steps: tuple[LevelStep, ...]
    ranks: tuple[RankGroup, ...]
    thresholds: tuple[Decimal, ...]

    def level_for(self, total: Decimal) -> int:
        """Return the highest level whose threshold ``total`` reaches, 1 at least."""
        return max(1, bisect_right(self.thresholds, total))

    def step(self, level: int) -> LevelStep:
        """Return the step of ``level``, the last one for a level above the curve."""
        return self.steps[min(level, len(self.steps)) - 1]

    def next_step(self, level: int) -> LevelStep | None:
        """Return the step above ``level``, ``None`` at the end."""
        return self.steps[level] if level < len(self.steps) else None

    def rank_at(self, level: int) -> RankGroup | None:
        """Return the rank that holds ``level``."""
        for rank in self.ranks:
            if rank.first_level <= level <= rank.last_level:
                return rank
        return None


@dataclass(frozen=True, slots=True)
class LadderView:
    """A ladder of the book."""

    pk: UUID
    ladder_id: str
    name: str
    currency_pk: UUID
    currency_id: str
    curve: Curve


@dataclass(frozen=True, slots=True)
class LadderBook:
    """The active ladders of a tenant."""

    by_id: Mapping[str, LadderView]
    by_currency: Mapping[UUID, tuple[LadderView, ...]]


@dataclass(frozen=True, slots=True)
class LevelPreview:
    """What a changed curve would do; ``cost`` in the tenant's base currency."""

    up: int
    down: int
    cost: Decimal
    result_hash: str


@dataclass(frozen=True, slots=True)
class PlayerStep:
    """Where a player stands on a ladder. The upper end of the ladder has ``None`` for the next."""

    user_id: str
    ladder_id: str
    level: int
    rank: RankGroup | None
    total: Decimal
    xp_for_level: Decimal
    xp_for_next: Decimal | None
    benefits: Mapping[str, Any]

    @property
    def missing(self) -> Decimal | None:
        """Return what the next level still takes."""
        return None if self.xp_for_next is None else max(Decimal(0), self.xp_for_next - self.total)

    @property
    def percentage(self) -> Decimal:
        """Return the way from this level to the next, 0 to 100, with at most two decimals."""
        if self.xp_for_next is None:
            return Decimal(100)
        way = self.xp_for_next - self.xp_for_level
        share = (self.total - self.xp_for_level) / way if way else Decimal(0)
        return min(max(share, Decimal(0)) * 100, Decimal("99.99")).quantize(Decimal("0.01"))
