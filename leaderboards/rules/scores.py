"""Scaled scores: whole numbers of 10^-decimals with at most 15 digits, so never inexact."""

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from typing import Final

from leaderboards.constants import MAX_SCALED_SCORE

__all__ = ["ScoreRangeError", "format_scaled", "from_scaled", "to_scaled", "to_scaled_exactly"]

# Nothing here may round to a precision; only the scale is rounded, once.
_EXACT: Final = Context(
    prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation, Inexact]
)
_LARGEST_EXPONENT: Final = len(str(MAX_SCALED_SCORE))


class ScoreRangeError(ValueError):
    """The number is no score: too large, or with more decimals than the board has."""


def to_scaled(value: Decimal, decimals: int) -> int:
    """Return ``value`` in units of 10^-decimals, rounded half to even.

    Raises: ``ScoreRangeError`` beyond 15 digits.
    """
    # Before scaling: a number of a thousand digits must not be spelled out to be refused.
    if value.adjusted() > _LARGEST_EXPONENT:
        raise ScoreRangeError("has more than 15 digits")
    scaled = round(_EXACT.scaleb(value, decimals) if decimals else value)
    if not -MAX_SCALED_SCORE <= scaled <= MAX_SCALED_SCORE:
        raise ScoreRangeError("has more than 15 digits")
    return scaled


def to_scaled_exactly(value: Decimal, decimals: int) -> int:
    """Return ``value`` in units of 10^-decimals. Raises: ``ScoreRangeError`` if it is no score."""
    scaled = to_scaled(value, decimals)
    if from_scaled(scaled, decimals) != value:
        raise ScoreRangeError(f"has more than {decimals} decimals")
    return scaled


def from_scaled(scaled: int, decimals: int) -> Decimal:
    """Return a scaled score in units, with exactly ``decimals`` decimals."""
    return Decimal(scaled).scaleb(-decimals, _EXACT)


def format_scaled(scaled: int, decimals: int) -> str:
    """Return a scaled score as text with exactly ``decimals`` decimals and no exponent."""
    return f"{from_scaled(scaled, decimals):f}"
