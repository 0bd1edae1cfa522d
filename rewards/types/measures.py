"""What goals count."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

MeasureType = Literal[
    "count", "sum", "distinct", "cumulative", "streak_milestone", "leaderboard_rank"
]
# What one event adds: a number, or the fingerprint of a value that counts once.
Contribution = Decimal | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a goal counts, checked. Only what its type reads is filled in.

    ``event_types`` may end in ``.*``; ``conditions`` is the tree as it was sent, ``None`` without
    one. ``metric`` is the id of a currency.
    """

    type: MeasureType
    event_types: tuple[str, ...] = ()
    conditions: Any = None
    field: str | None = None
    metric: str | None = None
    streak_id: str | None = None
    leaderboard_id: str | None = None
    rank: int | None = None
