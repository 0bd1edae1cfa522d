"""What the engine asks and tells while it judges."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

from rewards.types.rules import CompiledRule, Spent, Use, Verdict

__all__ = ["World"]


class World(Protocol):
    """What the engine asks and tells while it judges the events of one player after the other."""

    def use(self, rule: CompiledRule, bucket: str) -> Use:
        """Return how often the rule fired for the player in the bucket, and what it credited."""

    def spent(self, rule: CompiledRule) -> Spent:
        """Return what the rule has used of its budget."""

    def available(self, currency_id: str) -> Decimal:
        """Return what the player can spend of a currency."""

    def state(self, rule: CompiledRule) -> Mapping[str, Any]:
        """Return what the conditions of the rule read as ``player`` and ``wallet``."""

    def fire(self, verdict: Verdict) -> None:
        """Let the firing happen: its effects, uses and spending."""
