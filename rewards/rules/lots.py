"""Which lots of a wallet pay, and which are over (LED-5)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from rewards.types.money import EXACT, ZERO, LotState

__all__ = ["Draw", "draw", "is_due", "total"]

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_NEW: Final = 2**63


class Draw(NamedTuple):
    """An amount taken from a lot."""

    lot: LotState
    amount: Decimal


def is_due(lot: LotState, now: datetime) -> bool:
    """Return whether what is left of a lot is no longer the player's."""
    return lot.expires_at is not None and lot.expires_at <= now and lot.remaining > 0


def total(lots: Iterable[LotState]) -> Decimal:
    """Return what is left in lots together."""
    sum_ = ZERO
    for lot in lots:
        sum_ = EXACT.add(sum_, lot.remaining)
    return sum_


def draw(
    lots: Iterable[LotState], amount: Decimal, *, first: Sequence[LotState] = ()
) -> list[Draw]:
    """Take ``amount`` out of lots and return from which: soonest expiry first, then the oldest.

    Lots in ``first`` are emptied before any other: a reversal takes back its own credit.

    Raises: ``ValueError`` when the lots hold less.
    """
    # Lots are told apart by identity: two new ones may be alike.
    chosen = {id(lot) for lot in first}
    order = [*first, *sorted((lot for lot in lots if id(lot) not in chosen), key=_order)]
    draws: list[Draw] = []
    missing = amount
    for lot in order:
        taken = min(lot.remaining, missing)
        if taken > 0:
            lot.remaining = EXACT.subtract(lot.remaining, taken)
            missing = EXACT.subtract(missing, taken)
            draws.append(Draw(lot, taken))
        if missing == 0:
            return draws
    raise ValueError(f"the lots hold {missing} less than {amount}")


def _order(lot: LotState) -> tuple[datetime, datetime, int]:
    return (lot.expires_at or _NEVER, lot.created_at, _NEW if lot.id is None else lot.id)
