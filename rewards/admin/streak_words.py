"""Streaks in words and tables, for their pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from phoenix_site.common.differences import differences
from phoenix_site.common.json import encode
from phoenix_site.common.zones import load_zone
from rewards.models import DocumentVersion
from rewards.rules.streak_documents import stored_config
from rewards.rules.streak_windows import WindowPlan, around, next_clock_change, upcoming
from rewards.types.streaks import PLAYER_ZONE, Span

__all__ = ["VersionRow", "WindowTable", "version_rows", "window_rows", "words_of_streak"]

PERIODS: Final = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}
_SHOWN: Final = 5
_MOMENT: Final = "%a %d %b %Y, %H:%M %Z"


def words_of_streak(config: Mapping[str, Any]) -> str:
    """Return what has to be done in which windows: "1 user.login every day (UTC)"."""
    condition, window = config["condition"], config["window"]
    events = " or ".join(config["event_types"])
    amount = {
        "count": f"{condition['min']} {events}",
        "sum": f"{condition['min']} of {condition.get('field')} in {events}",
        "distinct": f"{condition['min']} different {condition.get('field')} in {events}",
    }[condition["type"]]
    if window["type"] == "rolling":
        return f"{amount} every {window['hours']} hours"
    zone = "the zone of each player" if window["timezone"] == PLAYER_ZONE else window["timezone"]
    return f"{amount} every {PERIODS[window['period']]} ({zone})"


# --- Windows -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WindowTable:
    """Windows under a heading: (key, from, to, hours) with local times."""

    title: str
    rows: list[tuple[str, str, str, str]]


def window_rows(config: Mapping[str, Any], zone: str, *, now: datetime) -> list[WindowTable]:
    """Return the next windows, and those around the next change of the clock.

    ``zone`` is that of a player, for streaks that follow it.
    """
    rule = stored_config(config)[0].window
    plan = WindowPlan([(now, rule)], first_zone=zone)
    tables = [WindowTable("Next windows", [_row(span) for span in upcoming(plan, now, _SHOWN)])]
    named = zone if rule.timezone == PLAYER_ZONE else rule.timezone
    change = None if rule.is_rolling else next_clock_change(named, now)
    if change is not None:
        title = f"When the clock changes on {change.astimezone(load_zone(named)):%d %B %Y}"
        tables.append(WindowTable(title, [_row(span) for span in around(plan, change)]))
    return tables


def _row(span: Span) -> tuple[str, str, str, str]:
    zone = load_zone(span.timezone or "UTC")
    hours = (span.ends_at - span.starts_at).total_seconds() / 3600
    times = [
        f"{at.astimezone(zone):%a %d %b %Y, %H:%M %Z}" for at in (span.starts_at, span.ends_at)
    ]
    return span.key, times[0], times[1], f"{hours:g}"


# --- Versions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version for people; ``changes`` are (setting, before, after), none for the first one."""

    number: int
    author: str
    created_at: datetime
    effect: str
    changes: list[tuple[str, str, str]]


def version_rows(versions: Sequence[DocumentVersion]) -> list[VersionRow]:
    """Return ``versions`` (newest first) with their differences to the ones before."""
    earlier: list[Any] = [version.document for version in versions[1:]]
    return [
        VersionRow(
            version.version,
            version.author,
            version.created_at,
            version.reason,
            _changes(before, version.document) if before else [],
        )
        for version, before in zip(versions, [*earlier, None], strict=True)
    ]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    told = ("version", "updated_at")
    return [
        (each.path.removeprefix("config."), _text(each.before), _text(each.after))
        for each in differences(before, after)
        if each.path not in told
    ]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else encode(value).decode()
