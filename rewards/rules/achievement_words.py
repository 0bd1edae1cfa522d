"""Achievements in words, for people who look at lists."""

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["criteria_in_words"]


def criteria_in_words(measure: Mapping[str, Any]) -> str:
    """Return the full form of criteria as a phrase: "3 times game.won"."""
    return _PHRASES[measure["type"]](measure)


def _types(measure: Mapping[str, Any]) -> str:
    names = " or ".join(measure["event_types"])
    return f"{names}, under conditions" if measure.get("conditions") else names


def _number(measure: Mapping[str, Any]) -> str:
    return f"{measure['threshold']:,}"


_PHRASES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "count": lambda m: f"{_number(m)} times {_types(m)}",
    "sum": lambda m: f"{_number(m)} of {m['field']} in {_types(m)}",
    "distinct": lambda m: f"{_number(m)} different {m['field']} in {_types(m)}",
    "cumulative": lambda m: f"{_number(m)} {m['metric']} ever earned",
    "streak_milestone": lambda m: f"{_number(m)} in a row of a streak",
    "leaderboard_rank": lambda m: (
        f"rank {m['rank']} or better on {m['leaderboard_id']}, {_number(m)} times"
    ),
}
