"""What is given."""

from dataclasses import dataclass
from decimal import Decimal

from rewards.types.book import ItemView

__all__ = ["GrantLine"]


@dataclass(frozen=True, slots=True)
class GrantLine:
    """One item to be given; ``cost`` is what it costs, by default what the item says."""

    item: ItemView
    cost: Decimal | None = None
