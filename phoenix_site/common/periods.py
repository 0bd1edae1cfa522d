"""Calendar periods: hours, days, weeks and months of a time zone, as instants.

Boundaries are wall-clock times of a zone. Three rules turn them into instants: a wall time that
the clock jumps over is the first instant after the jump; one that occurs twice is its first
occurrence; an hour begins whenever the clock reaches or jumps over a full hour. So a day may last
23 or 25 hours, and there is neither gap nor overlap.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from phoenix_site.common.zones import load_zone

__all__ = ["KEY_FORMATS", "WEEKDAYS", "Boundaries", "Period", "PeriodType", "boundaries_of"]

PeriodType = Literal["hourly", "daily", "weekly", "monthly"]

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
KEY_FORMATS: Final[dict[PeriodType, str]] = {
    "hourly": "%Y-%m-%dT%H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-W%V",
    "monthly": "%Y-%m",
}

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta(microseconds=1)
# A clock never goes back by more than a day, so no older period shows the same local time.
_LOOK_BACK: Final = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Period:
    """How long and since when: ``reset_day`` is a weekday's English name, or 1-28 for months.

    ``timezone`` is an IANA name. Hours know neither ``reset_day`` nor ``reset_time``.
    """

    type: PeriodType
    timezone: str = "UTC"
    reset_day: str | int | None = None
    reset_time: time | None = None


class Boundaries(ABC):
    """The instants at which periods of one kind begin, and how their keys read."""

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
        """Return the key of a period that starts then, before any number."""
        return starts_at.astimezone(self.zone).strftime(self._key_format)

    def number_of(self, starts_at: datetime) -> int:
        """Return 1, or which of the periods with the same local time this one is."""
        base = self.base_key(starts_at)
        number = 1
        earlier = starts_at
        while earlier > starts_at - _LOOK_BACK:
            earlier = self.latest(earlier - _TICK)
            number += self.base_key(earlier) == base
        return number


class _CalendarBoundaries(Boundaries):
    """Daily, weekly and monthly boundaries: one wall time on some dates."""

    def __init__(self, period: Period, zone: ZoneInfo) -> None:
        super().__init__(zone, KEY_FORMATS[period.type])
        self._period = period
        self._reset_time = period.reset_time or time()

    def latest(self, instant: datetime) -> datetime:
        return max(boundary for boundary in self._around(instant) if boundary <= instant)

    def next_after(self, instant: datetime) -> datetime:
        return min(boundary for boundary in self._around(instant) if boundary > instant)

    def _around(self, instant: datetime) -> Iterator[datetime]:
        """Yield boundaries on both sides: the local date is at most a day off the right one."""
        for nominal in self._dates_around(instant.astimezone(self.zone).date()):
            yield _first_instant(datetime.combine(nominal, self._reset_time), self.zone)

    def _dates_around(self, day: date) -> Iterator[date]:
        if self._period.type == "daily":
            yield from (day + offset * _DAY for offset in range(-2, 4))
        elif self._period.type == "weekly":
            reset_day = WEEKDAYS.index(str(self._period.reset_day or "monday"))
            this_week = day - (day.weekday() - reset_day) % 7 * _DAY
            yield from (this_week + offset * 7 * _DAY for offset in range(-1, 3))
        else:
            months = day.year * 12 + day.month - 1
            for month in range(months - 1, months + 3):
                yield date(month // 12, month % 12 + 1, int(self._period.reset_day or 1))


class _HourlyBoundaries(Boundaries):
    """Every instant at which the local clock reaches, or jumps over, a full hour."""

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__(zone, KEY_FORMATS["hourly"])

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


def boundaries_of(period: Period) -> Boundaries:
    """Return where periods of this kind begin. Raises: ``UnknownZoneError``."""
    zone = load_zone(period.timezone)
    if period.type == "hourly":
        return _HourlyBoundaries(zone)
    return _CalendarBoundaries(period, zone)


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
