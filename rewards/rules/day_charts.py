"""A bar for each day of a period, laid out for a picture of a fixed size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

__all__ = ["Bar", "DayChart", "Mark", "day_chart"]

WIDTH: Final = 720
HEIGHT: Final = 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 24
_STEPS: Final = (1, 2, 4, 5, 6, 8, 10)
_MOST_DAYS: Final = 400
_LABELS: Final = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from ``y`` down over ``height``, with the sentence that it stands for."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A label on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class DayChart:
    """The picture: bars, lines with their values on the left, dates below."""

    bars: tuple[Bar, ...]
    values: tuple[Mark, ...]
    dates: tuple[Mark, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    base: int = HEIGHT - _BOTTOM


def day_chart(counts: Mapping[date, int], first: date, last: date, *, unit: str) -> DayChart | None:
    """Return the chart of ``first`` to ``last``, both included; days without a count are 0.

    ``None`` for a period without a day, or longer than 400 days: bars would be thinner than a line.
    """
    days = _days(first, last)
    if not days or len(days) > _MOST_DAYS:
        return None
    top = _round_up(max(2, max(counts.values(), default=0)))
    span = WIDTH - _LEFT - _RIGHT
    step, tall = span / len(days), HEIGHT - _TOP - _BOTTOM
    bars = [
        _bar(day, counts.get(day, 0), _LEFT + step * place, step, tall, top, unit)
        for place, day in enumerate(days)
    ]
    values = [Mark(_TOP + tall * (1 - part), f"{top * part:,g}") for part in (0, 0.5, 1)]
    return DayChart(tuple(bars), tuple(values), _dates(days, step))


def _days(first: date, last: date) -> list[date]:
    count = (last - first).days + 1
    return [first + timedelta(days=number) for number in range(max(0, min(count, 10_000)))]


def _bar(day: date, count: int, x: float, step: float, tall: float, top: int, unit: str) -> Bar:
    height = tall * count / top
    gap = min(2.0, step * 0.2)
    title = f"{day:%d %b %Y}: {count:,} {unit}"
    return Bar(
        round(x + gap / 2, 2),
        round(_TOP + tall - height, 2),
        round(step - gap, 2),
        round(height, 2),
        title,
    )


def _dates(days: Sequence[date], step: float) -> tuple[Mark, ...]:
    wanted = min(_LABELS, len(days))
    places = {round(number * (len(days) - 1) / max(1, wanted - 1)) for number in range(wanted)}
    return tuple(
        Mark(round(_LEFT + step * (place + 0.5), 2), f"{days[place]:%d %b}")
        for place in sorted(places)
    )


def _round_up(value: int) -> int:
    """Return a round number from ``value`` on, whose half is easily read too."""
    power = 1
    while power * 10 < value:
        power *= 10
    return next((step * power for step in _STEPS if step * power >= value), 10 * power)
