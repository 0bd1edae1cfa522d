"""Windows: from a timeframe and an instant to ``[starts_at, ends_at)`` and a key.

Boundaries are wall-clock times of the board's zone, turned into instants by the rules of
``phoenix_site.common.periods``; a window of length zero does not exist. Everything here is
arithmetic: which windows exist, and that a boundary once fixed stays, is the services' business.
"""

import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from leaderboards.constants import ALL_TIME_STARTS_AT
from leaderboards.types import Timeframe, TimeframeType, WindowSpan
from phoenix_site.common.periods import WEEKDAYS, Boundaries, Period, boundaries_of

__all__ = [
    "WEEKDAYS",
    "WindowKey",
    "free_key",
    "is_window_key",
    "next_window",
    "parse_window_key",
    "upcoming",
    "window_at",
]

_match_key = re.compile(
    r"(?:(?P<hourly>\d{4}-\d\d-\d\dT\d\d)|(?P<daily>\d{4}-\d\d-\d\d)|(?P<weekly>\d{4}-W\d\d)"
    r"|(?P<monthly>\d{4}-\d\d)|(?P<custom>custom_\d{8}T\d{6}Z_\d{8}T\d{6}Z)|(?P<all_time>all_time))"
    r"(?:~(?P<number>[2-9]|[1-9]\d{1,5}))?",
    re.ASCII,
).fullmatch


def window_at(timeframe: Timeframe, instant: datetime) -> WindowSpan | None:
    """Return the window that holds ``instant``; ``None`` outside the dates of a custom board."""
    if timeframe.type == "all_time":
        return WindowSpan(ALL_TIME_STARTS_AT, None, "all_time")
    if timeframe.type == "custom":
        starts_at, ends_at = _custom_dates(timeframe)
        return _custom_window(starts_at, ends_at) if starts_at <= instant < ends_at else None
    boundaries = _boundaries_of(timeframe)
    instant = instant.astimezone(UTC)
    starts_at = boundaries.latest(instant)
    ends_at = boundaries.next_after(instant)
    return WindowSpan(starts_at, ends_at, _numbered_key(boundaries, starts_at))


def next_window(timeframe: Timeframe, after: datetime) -> WindowSpan | None:
    """Return the window that begins at ``after``, where the last one of the board ended.

    It lasts to the first boundary after that, so a changed timeframe or newer zone data leaves
    neither gap nor overlap. ``None`` when a custom board's end has come by then.
    """
    after = after.astimezone(UTC)
    if timeframe.type == "all_time":
        return WindowSpan(after, None, "all_time")
    if timeframe.type == "custom":
        starts_at, ends_at = _custom_dates(timeframe)
        return _custom_window(max(starts_at, after), ends_at) if after < ends_at else None
    boundaries = _boundaries_of(timeframe)
    ends_at = boundaries.next_after(after)
    if boundaries.latest(after) != after:
        # The timeframe changed in the middle of one of its windows, which the board never had.
        return WindowSpan(after, ends_at, boundaries.base_key(after))
    return WindowSpan(after, ends_at, _numbered_key(boundaries, after))


def upcoming(timeframe: Timeframe, instant: datetime, count: int) -> list[WindowSpan]:
    """Return up to ``count`` windows that end after ``instant``, the current one first."""
    if timeframe.type == "custom":
        starts_at, ends_at = _custom_dates(timeframe)
        return [_custom_window(starts_at, ends_at)][:count] if instant < ends_at else []
    spans: list[WindowSpan] = []
    span = window_at(timeframe, instant)
    while span is not None and len(spans) < count:
        spans.append(span)
        span = None if span.ends_at is None else next_window(timeframe, span.ends_at)
    return spans


def free_key(key: str, taken: Container[str]) -> str:
    """Return ``key``, or with the next number (``~2``, ``~3``…) that the board has not used."""
    base, _, number_text = key.partition("~")
    number = int(number_text or 1)
    while (candidate := _with_number(base, number)) in taken:
        number += 1
    return candidate


@dataclass(frozen=True, slots=True)
class WindowKey:
    """The parts of a key; ``number`` is 1 without a suffix."""

    type: TimeframeType
    base: str
    number: int


def parse_window_key(text: str) -> WindowKey:
    """Return the parts of ``text``. Raises: ``ValueError`` when no window can have this key."""
    match = _match_key(text)
    if match is None:
        raise ValueError("is not a window key")
    number = int(match["number"] or 1)
    timeframe_type, base = next(
        (name, base) for name in _KEY_CHECKS if (base := match[name]) is not None
    )
    try:
        _KEY_CHECKS[timeframe_type](base)
    except ValueError as exc:
        raise ValueError("is not a window key") from exc
    return WindowKey(timeframe_type, base, number)


def is_window_key(text: str) -> bool:
    """Whether some window may have this key (``current`` is a word for callers, not a key)."""
    try:
        parse_window_key(text)
    except ValueError:
        return False
    return True


def _boundaries_of(timeframe: Timeframe) -> Boundaries:
    if timeframe.type == "custom" or timeframe.type == "all_time":
        raise ValueError(f"{timeframe.type} windows have no boundaries")
    return boundaries_of(
        Period(timeframe.type, timeframe.timezone, timeframe.reset_day, timeframe.reset_time)
    )


def _numbered_key(boundaries: Boundaries, starts_at: datetime) -> str:
    return _with_number(boundaries.base_key(starts_at), boundaries.number_of(starts_at))


def _with_number(base: str, number: int) -> str:
    return base if number == 1 else f"{base}~{number}"


def _custom_dates(timeframe: Timeframe) -> tuple[datetime, datetime]:
    if timeframe.start_at is None or timeframe.end_at is None:
        raise ValueError("a custom timeframe has start_at and end_at")
    return timeframe.start_at.astimezone(UTC), timeframe.end_at.astimezone(UTC)


def _custom_window(starts_at: datetime, ends_at: datetime) -> WindowSpan:
    key = f"custom_{starts_at:%Y%m%dT%H%M%SZ}_{ends_at:%Y%m%dT%H%M%SZ}"
    return WindowSpan(starts_at, ends_at, key)


def _check_custom_key(base: str) -> None:
    _, start, end = base.split("_")
    if datetime.fromisoformat(start) >= datetime.fromisoformat(end):
        raise ValueError("ends before it starts")


# Each raises ValueError for a text of the right shape that names no such time.
_KEY_CHECKS: Final[dict[TimeframeType, Callable[[str], object]]] = {
    "hourly": datetime.fromisoformat,
    "daily": date.fromisoformat,
    "weekly": lambda base: date.fromisocalendar(int(base[:4]), int(base[6:]), 1),
    "monthly": lambda base: date.fromisoformat(f"{base}-01"),
    "custom": _check_custom_key,
    "all_time": str,
}
