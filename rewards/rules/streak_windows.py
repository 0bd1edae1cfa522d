"""The windows of one player's streak: when each begins and ends, in which zone, under which key.

A chain of windows has neither gap nor overlap. A zone or a config is read when a window opens and
holds to its end. The first window after a move ends where the new zone's period ends, but never
before the one of the old zone would have: so whatever would have satisfied it still does, and one
event lies in one window only (STR-3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from phoenix_site.common.periods import Period, boundaries_of
from phoenix_site.common.times import format_utc
from phoenix_site.common.zones import load_zone
from rewards.types.streaks import PLAYER_ZONE, Span, WindowRule

__all__ = ["Pause", "WindowPlan", "around", "counted_zones", "next_clock_change", "upcoming"]

# A move counts at most once in this time (STR-3).
ZONE_REST: Final = timedelta(hours=24)

_TICK: Final = timedelta(microseconds=1)
_REMEMBERED: Final = 8
_DAYS_AHEAD: Final = 370

# ``[from, to)``; ``None``: it goes on.
Pause = tuple[datetime, datetime | None]
# (since, IANA name), oldest first.
Zones = Sequence[tuple[datetime, str]]


def counted_zones(changes: Zones) -> list[tuple[datetime, str]]:
    """Return since when which zone counts for windows: one change per ``ZONE_REST`` at most.

    A change that comes too soon counts when the time is over, unless another came by then.
    """
    counted: list[tuple[datetime, str]] = []
    for at, zone in changes:
        if counted and counted[-1][0] > at:
            # The one before still waits for its turn: this one takes it over.
            counted[-1] = (counted[-1][0], zone)
        else:
            earliest = counted[-1][0] + ZONE_REST if counted else at
            counted.append((max(at, earliest), zone))
    return counted


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """All that decides where a player's windows lie.

    ``rules`` are (since, rule), oldest first, at least one: the first also holds before its time.
    ``zones`` are what ``counted_zones`` returned; before the first of them, ``first_zone`` holds.
    """

    rules: Sequence[tuple[datetime, WindowRule]]
    first_zone: str = "UTC"
    zones: Zones = ()
    pauses: Sequence[Pause] = ()

    def opening(self, instant: datetime) -> Span:
        """Return the window that opens for an event at ``instant`` when none is open.

        A rolling one begins with the event.
        """
        rule = self._rule_at(instant)
        if rule.is_rolling:
            return _rolling(instant.astimezone(UTC), rule.hours)
        return _calendar(self._zoned(rule, instant)).holding(instant)

    def following(self, span: Span) -> Span:
        """Return the window that begins where ``span`` ends."""
        starts_at = span.ends_at
        rule = self._rule_at(starts_at)
        if rule.is_rolling:
            return _rolling(starts_at, rule.hours)
        rule = self._zoned(rule, starts_at)
        if not span.timezone or span.timezone == rule.timezone:
            return _begun(_calendar(rule).holding(starts_at), starts_at)
        # The player moved: see above.
        stayed = _calendar(replace(rule, timezone=span.timezone)).holding(starts_at)
        return _begun(_calendar(rule).holding(stayed.ends_at - _TICK), starts_at)

    def preceding(self, span: Span) -> Span | None:
        """Return the rolling window that ends where ``span`` begins; ``None`` for calendars."""
        rule = self._rule_at(span.starts_at)
        if not rule.is_rolling or span.timezone:
            return None
        return _rolling(span.starts_at - timedelta(hours=rule.hours), rule.hours)

    def chain(self, span: Span, *, until: datetime) -> Iterator[Span]:
        """Yield the windows after ``span`` that begin before ``until``.

        Of those that a pause touches only the last is yielded, so that a long pause costs nothing.
        """
        span = self.following(span)
        while span.starts_at < until:
            pause = self.pause_in(span)
            if pause is not None:
                resumed_at = until if pause[1] is None else min(pause[1], until)
                if resumed_at > span.ends_at:
                    span = self._leap(span, resumed_at - _TICK)
            yield span
            span = self.following(span)

    def pause_in(self, span: Span) -> Pause | None:
        """Return the last pause that touches the window; such a window breaks no run (STR-8)."""
        for pause in reversed(self.pauses):
            from_at, to_at = pause
            if from_at < span.ends_at and (to_at is None or to_at > span.starts_at):
                return pause
        return None

    def is_paused_at(self, instant: datetime) -> bool:
        """Return whether the streak stood still then."""
        return any(
            from_at <= instant and (to_at is None or instant < to_at)
            for from_at, to_at in self.pauses
        )

    def zone_at(self, instant: datetime) -> str:
        """Return the player's zone that counts for a window opened then."""
        return next((zone for at, zone in reversed(self.zones) if at <= instant), self.first_zone)

    def _leap(self, span: Span, instant: datetime) -> Span:
        """Return the window of the chain that holds ``instant``, which lies behind ``span``."""
        rule = self._rule_at(span.ends_at)
        if rule.is_rolling:
            length = timedelta(hours=rule.hours)
            behind = (instant - span.ends_at) // length
            return _rolling(span.ends_at + behind * length, rule.hours)
        found = _calendar(self._zoned(rule, instant)).holding(instant)
        return _begun(found, max(found.starts_at, span.ends_at))

    def _rule_at(self, instant: datetime) -> WindowRule:
        for at, rule in reversed(self.rules):
            if at <= instant:
                return rule
        return self.rules[0][1]

    def _zoned(self, rule: WindowRule, instant: datetime) -> WindowRule:
        if rule.timezone == PLAYER_ZONE:
            return replace(rule, timezone=self.zone_at(instant))
        return rule


def upcoming(plan: WindowPlan, instant: datetime, count: int) -> list[Span]:
    """Return ``count`` windows, the one that opens for an event at ``instant`` first."""
    spans = [plan.opening(instant)]
    while len(spans) < count:
        spans.append(plan.following(spans[-1]))
    return spans


def next_clock_change(zone_name: str, after: datetime) -> datetime | None:
    """Return when the zone's clock is next put forward or back; ``None``: not within a year."""
    zone = load_zone(zone_name)
    offset, low = after.astimezone(zone).utcoffset(), after
    for _day in range(_DAYS_AHEAD):
        high = low + timedelta(days=1)
        if high.astimezone(zone).utcoffset() != offset:
            while high - low > _TICK:
                middle = low + (high - low) / 2
                same = middle.astimezone(zone).utcoffset() == offset
                low, high = (middle, high) if same else (low, middle)
            return high
        low = high
    return None


def around(plan: WindowPlan, instant: datetime, *, before: int = 2, after: int = 3) -> list[Span]:
    """Return the window that holds ``instant``, and some before and after it."""
    first = plan.opening(instant)
    for _window in range(before):
        first = plan.opening(first.starts_at - _TICK)
    return upcoming(plan, first.starts_at, before + 1 + after)


class _Calendar:
    """The windows of one rule in one zone; remembers those it was asked for last.

    In a batch nearly all players are in the same few windows, and to compute one takes many
    questions to the zone.
    """

    def __init__(self, rule: WindowRule) -> None:
        if rule.period is None:
            raise ValueError("rolling windows lie on no calendar")
        self._boundaries = boundaries_of(
            Period(rule.period, rule.timezone, rule.reset_day, rule.reset_time)
        )
        self._recent: tuple[Span, ...] = ()

    def holding(self, instant: datetime) -> Span:
        """Return the window that holds ``instant``."""
        for span in self._recent:
            if span.starts_at <= instant < span.ends_at:
                return span
        span = self._compute(instant.astimezone(UTC))
        self._recent = (span, *self._recent[: _REMEMBERED - 1])
        return span

    def _compute(self, instant: datetime) -> Span:
        boundaries = self._boundaries
        starts_at = boundaries.latest(instant)
        key, number = boundaries.base_key(starts_at), boundaries.number_of(starts_at)
        return Span(
            starts_at,
            boundaries.next_after(instant),
            key if number == 1 else f"{key}~{number}",
            boundaries.zone.key,
        )


_calendar = lru_cache(maxsize=2048)(_Calendar)


def _begun(span: Span, starts_at: datetime) -> Span:
    """Return ``span`` with another beginning; its key stays that of the period it ends with."""
    return span if span.starts_at == starts_at else replace(span, starts_at=starts_at)


def _rolling(starts_at: datetime, hours: int) -> Span:
    return Span(starts_at, starts_at + timedelta(hours=hours), format_utc(starts_at))
