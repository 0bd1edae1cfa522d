"""Windows: from a timeframe and an instant to ``[starts_at, ends_at)`` and a key.

Boundaries are wall-clock times of the board's zone. Four rules turn them into instants: a wall
time that the clock jumps over is the first instant after the jump; one that occurs twice is its
first occurrence; an hourly window begins whenever the clock reaches or jumps over a full hour;
a window of length zero does not exist. Everything here is arithmetic: which windows exist, and
that a boundary once fixed stays, is the services' business.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from leaderboards.constants import ALL_TIME_STARTS_AT
from leaderboards.types import Timeframe, TimeframeType, WindowSpan
from phoenix_site.common.zones import load_zone

__all__ = [
    "WindowKey",
    "free_key",
    "is_window_key",
    "next_window",
    "parse_window_key",
    "upcoming",
    "window_at",
]

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta(microseconds=1)
# A clock never goes back by more than a day, so no older window shows the same local time.
_LOOK_BACK: Final = timedelta(hours=26)

_KEY_PATTERNS: Final[dict[TimeframeType, str]] = {
    "hourly": "%Y-%m-%dT%H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-W%V",
    "monthly": "%Y-%m",
}
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


class _Boundaries(ABC):
    """The instants at which windows of one timeframe begin, and how their keys read."""

    def __init__(self, zone: ZoneInfo, key_format: str) -> None:
        self.zone = zone
        self._key_format = key_format

    @abstractmethod
    def latest(self, instant: datetime) -> datetime:
        """Return the latest boundary that is not after ``instant``."""

    @abstractmethod
    def next_after(self, instant: datetime) -> datetime:
        """Return the first boundary after ``instant``."""

    def base_key(self, starts_at: datetime) -> str:
        """Return the key of a window that starts then, before any number."""
        return starts_at.astimezone(self.zone).strftime(self._key_format)


class _CalendarBoundaries(_Boundaries):
    """Daily, weekly and monthly boundaries: one wall time on some dates."""

    def __init__(self, timeframe: Timeframe, zone: ZoneInfo) -> None:
        super().__init__(zone, _KEY_PATTERNS[timeframe.type])
        self._timeframe = timeframe
        self._reset_time = timeframe.reset_time or time()

    def latest(self, instant: datetime) -> datetime:
        return max(boundary for boundary in self._around(instant) if boundary <= instant)

    def next_after(self, instant: datetime) -> datetime:
        return min(boundary for boundary in self._around(instant) if boundary > instant)

    def _around(self, instant: datetime) -> Iterator[datetime]:
        """Yield boundaries on both sides: the local date is at most a day off the right one."""
        for nominal in self._dates_around(instant.astimezone(self.zone).date()):
            yield _first_instant(datetime.combine(nominal, self._reset_time), self.zone)

    def _dates_around(self, day: date) -> Iterator[date]:
        if self._timeframe.type == "daily":
            yield from (day + offset * _DAY for offset in range(-2, 4))
        elif self._timeframe.type == "weekly":
            reset_day = WEEKDAYS.index(str(self._timeframe.reset_day or "monday"))
            this_week = day - (day.weekday() - reset_day) % 7 * _DAY
            yield from (this_week + offset * 7 * _DAY for offset in range(-1, 3))
        else:
            months = day.year * 12 + day.month - 1
            for month in range(months - 1, months + 3):
                yield date(month // 12, month % 12 + 1, int(self._timeframe.reset_day or 1))


class _HourlyBoundaries(_Boundaries):
    """Every instant at which the local clock reaches, or jumps over, a full hour."""

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__(zone, _KEY_PATTERNS["hourly"])

    def latest(self, instant: datetime) -> datetime:
        while True:
            local = instant.astimezone(self.zone)
            candidate = instant - (local - local.replace(minute=0, second=0, microsecond=0))
            if _offset(candidate, self.zone) == local.utcoffset():
                return candidate
            change = _change_between(candidate, instant, self.zone)
            if self._is_boundary(change):
                return change
            instant = change - _TICK

    def next_after(self, instant: datetime) -> datetime:
        while True:
            local = instant.astimezone(self.zone)
            full_hour = local.replace(minute=0, second=0, microsecond=0)
            candidate = instant + (_HOUR - (local - full_hour))
            if _offset(candidate, self.zone) == local.utcoffset():
                return candidate
            change = _change_between(instant, candidate, self.zone)
            if self._is_boundary(change):
                return change
            instant = change

    def _is_boundary(self, change: datetime) -> bool:
        """Whether the clock reaches or jumps over a full hour where it is put forward or back."""
        before = _wall(change - _TICK, self.zone) + _TICK
        after = _wall(change, self.zone)
        full_hour = after.replace(minute=0, second=0, microsecond=0)
        return full_hour == after or before <= full_hour


def _boundaries_of(timeframe: Timeframe) -> _Boundaries:
    zone = load_zone(timeframe.timezone)
    if timeframe.type == "hourly":
        return _HourlyBoundaries(zone)
    return _CalendarBoundaries(timeframe, zone)


def _first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant at which the clock of ``zone`` shows ``wall`` or later."""
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall(instant, zone) == wall:
        return instant
    # In a gap zoneinfo takes the offset before the jump for fold 0, the one after it for fold 1.
    return _change_between(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant, zone)


def _change_between(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant after ``earlier`` and not after ``later`` at which the offset changes."""
    offset = _offset(earlier, zone)
    low, high = earlier, later
    while high - low > _TICK:
        middle = low + (high - low) / 2
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


def _numbered_key(boundaries: _Boundaries, starts_at: datetime) -> str:
    base = boundaries.base_key(starts_at)
    number = 1
    earlier = starts_at
    while earlier > starts_at - _LOOK_BACK:
        earlier = boundaries.latest(earlier - _TICK)
        number += boundaries.base_key(earlier) == base
    return _with_number(base, number)


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
