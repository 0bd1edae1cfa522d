"""Shapes of backtests: what is asked, who plays in it, what is known at its beginning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

from players.types import PlayerFacts
from rewards.types.rules import CompiledRule, Spent, Use

__all__ = ["BacktestQuestion", "Cast", "Opening", "OpeningWallet", "People", "Start"]

Start = Literal["empty", "as_of"]
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestQuestion:
    """Which version of a rule meets which events: those that occurred in ``[since, until)``.

    ``compare_to`` is the version that it is compared with; ``start`` says whether limits, budget
    and wallets begin with nothing or as they were at ``since``.
    """

    rule_id: str
    version: int
    compare_to: int | None
    since: datetime
    until: datetime
    start: Start = "empty"


class OpeningWallet(NamedTuple):
    """What a player has of a currency when a backtest begins."""

    available: Decimal = _ZERO
    lifetime: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class Opening:
    """Uses and budgets at the beginning: by rule id and bucket, then by user id; by rule id."""

    uses: Mapping[tuple[str, str], Mapping[str, Use]] = field(default_factory=dict)
    spent: Mapping[str, Spent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cast:
    """A version of a rule, and the other rules of its group, which may win against it.

    ``opening`` is what limits and budgets of them have behind them when it begins.
    """

    rule: CompiledRule
    mates: tuple[CompiledRule, ...] = ()
    opening: Opening = Opening()

    @property
    def rules(self) -> tuple[CompiledRule, ...]:
        """Return the rule and its mates."""
        return (self.rule, *self.mates)


class People(Protocol):
    """Players as a backtest reads them: by the id that their tenant has for them."""

    def prepare(self, user_ids: Sequence[str]) -> None:
        """Read at once what will be asked of these players."""

    def facts(self, user_id: str) -> PlayerFacts | None:
        """Return a prepared player's facts, ``None`` where there are none."""

    def wallet(self, user_id: str, currency_id: str) -> OpeningWallet:
        """Return a prepared player's wallet at the beginning."""
