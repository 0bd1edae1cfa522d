"""Shapes of rules: what a document says, and what the engine decides."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from phoenix_site.common.conditions import Condition, TraceLine

# What conditions and amounts read.
Root = Mapping[str, Any]
RuleKind = Literal["reward", "earning"]
TriggerType = Literal["event", "platform"]
GroupMode = Literal["all", "first", "best"]
GoalKind = Literal["achievement", "streak"]
Reason = Literal[
    "not_active",
    "outside_dates",
    "trigger_mismatch",
    "conditions_not_met",
    "not_in_segment",
    "player_blocked",
    "opted_out",
    "limit_day",
    "limit_week",
    "limit_total",
    "amount_cap",
    "group_lost",
    "budget_exhausted",
    "insufficient_balance",
    "chain_too_deep",
    "quarantined",
    "not_processed_yet",
]
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Trigger:
    """Which events a rule looks at; of ``event`` names the last segment may be ``*``."""

    type: TriggerType
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much: ``evaluate(root)`` gives a finite number from 0, not rounded yet."""

    document: Any
    evaluate: Callable[[Root], Decimal] = field(compare=False, repr=False)
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GrantItem:
    """Give an item."""

    item_id: UUID


@dataclass(frozen=True, slots=True)
class GrantConfig:
    """Give the items of a reward config: of the tier that the event names, or of its only one."""

    config_id: UUID


@dataclass(frozen=True, slots=True)
class Move:
    """Credit or debit a currency."""

    type: Literal["credit", "debit"]
    currency_id: str
    amount: Amount


@dataclass(frozen=True, slots=True)
class AddProgress:
    """Add to a goal of the player."""

    goal_kind: GoalKind
    goal_id: UUID
    amount: Amount


@dataclass(frozen=True, slots=True)
class GiveCoupon:
    """Give a code of a coupon."""

    coupon_id: UUID


Effect = GrantItem | GrantConfig | Move | AddProgress | GiveCoupon


@dataclass(frozen=True, slots=True)
class PeriodCaps:
    """Limits by period; ``None`` is no limit. ``total`` is for firings, ``event`` for amounts."""

    event: Decimal | None = None
    day: Decimal | None = None
    week: Decimal | None = None
    total: Decimal | None = None

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return (self.event, self.day, self.week, self.total) != (None, None, None, None)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a rule may use over all players and all time; ``None`` is no limit."""

    firings: int | None = None
    cost: Decimal | None = None

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return self.firings is not None or self.cost is not None


@dataclass(frozen=True, slots=True)
class Group:
    """Rules of one name are in each other's way; ``mode`` says how."""

    name: str
    mode: GroupMode


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRule:
    """One version of a rule, ready to judge events.

    ``needs`` are the roots beyond the event's own that its conditions read: ``event``, ``player``,
    ``wallet``, ``now``; ``wallets`` the currencies of which it asks the balance.
    """

    pk: UUID
    version: int
    rule_id: str
    name: str
    kind: RuleKind
    trigger: Trigger
    condition: Condition
    needs: frozenset[str]
    wallets: frozenset[str]
    timezone: str
    zone: tzinfo
    starts_at: datetime | None
    ends_at: datetime | None
    effects: tuple[Effect, ...]
    per_player: PeriodCaps
    amount_caps: PeriodCaps
    budget: Budget
    priority: int
    group: Group | None
    # Periods of which other versions of the rule want uses to be counted.
    also_tracked: tuple[str, ...] = ()

    # The place among the rules of an event: higher priority first, then by id.
    order: tuple[int, str] = field(init=False)
    # Whether its conditions depend on the event alone, not on the state of the player.
    is_static: bool = field(init=False)
    # Whether it takes something from the player.
    has_debit: bool = field(init=False)
    # The periods in which its uses are counted: ``day``, ``total``, ``week``.
    tracked: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "order", (-self.priority, self.rule_id))
        set_field(self, "is_static", self.needs.isdisjoint(("player", "wallet")))
        set_field(self, "has_debit", any(map(_is_debit, self.effects)))
        set_field(self, "tracked", _tracked(self))

    def __hash__(self) -> int:
        return hash((self.pk, self.version))


def _is_debit(effect: Effect) -> bool:
    return isinstance(effect, Move) and effect.type == "debit"


def _tracked(rule: CompiledRule) -> tuple[str, ...]:
    firings, amounts = rule.per_player, rule.amount_caps
    caps = {
        "day": (firings.day, amounts.day),
        "total": (firings.total,),
        "week": (firings.week, amounts.week),
    }
    own = {name for name, each in caps.items() if any(cap is not None for cap in each)}
    return tuple(sorted(own.union(rule.also_tracked)))


@dataclass(frozen=True, slots=True)
class References:
    """What the documents of a tenant may name beside what its book has, and the rules beside."""

    coupon_ids: Collection[UUID] = frozenset()
    achievement_ids: Collection[UUID] = frozenset()
    streak_ids: Collection[UUID] = frozenset()
    # Mode of each group that other rules of the tenant have.
    group_modes: Mapping[str, GroupMode] = field(default_factory=dict)
    # From an item to what giving it leads to, where that is another item: through a coupon.
    item_chains: Mapping[UUID, UUID] = field(default_factory=dict)


class Use(NamedTuple):
    """How often a rule fired for a player in one period, and how much it credited."""

    firings: int = 0
    amount: Decimal = _ZERO


class Spent(NamedTuple):
    """What a rule has used of its budget."""

    firings: int = 0
    cost: Decimal = _ZERO


class PlannedEffect(NamedTuple):
    """What one effect does in a firing: its amount after caps, or its items."""

    effect: Effect
    amount: Decimal = _ZERO
    item_ids: tuple[UUID, ...] = ()
    cost: Decimal = _ZERO


class Verdict(NamedTuple):
    """What a rule makes of an event for a player; without a ``reason`` it fires.

    ``effects`` are what it does, or would have done; empty before they could be worked out.
    ``cost`` is in the tenant's base currency. ``clipped_from`` is what credits were before caps.
    ``uses`` are the buckets that the firing counts in.
    """

    rule: CompiledRule
    reason: Reason | None = None
    text: str = ""
    effects: Sequence[PlannedEffect] = ()
    cost: Decimal = _ZERO
    clipped_from: Decimal | None = None
    credited: Decimal = _ZERO
    uses: Sequence[str] = ()
    trace: Sequence[TraceLine] = ()

    @property
    def is_fired(self) -> bool:
        """Whether the rule fires."""
        return self.reason is None
