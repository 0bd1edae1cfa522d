"""Where the windows of streaks lie: clocks that jump, players who move, pauses."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_site.common.zones import load_zone
from rewards.rules.streak_windows import (
    ZONE_REST,
    WindowPlan,
    around,
    counted_zones,
    next_clock_change,
    upcoming,
)
from rewards.types.streaks import PLAYER_ZONE, Span, WindowRule

NEW_YORK, TOKYO, LOS_ANGELES = "America/New_York", "Asia/Tokyo", "America/Los_Angeles"
ZONES = [
    "UTC",
    NEW_YORK,
    TOKYO,
    LOS_ANGELES,
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Cairo",
]
EARLY = datetime(2020, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=load_zone(zone)).astimezone(UTC)


def plan(rule: WindowRule, **fields: object) -> WindowPlan:
    return WindowPlan([(EARLY, rule)], **fields)  # type: ignore[arg-type]


def daily(zone: str, reset: time | None = None) -> WindowPlan:
    return plan(WindowRule("daily", zone, reset_time=reset))


# Local reset, an instant, and where its window begins and ends; from the tz database's rules.
DST_TABLE = [
    # The spring day of 23 hours, and the autumn day of 25.
    (daily(NEW_YORK), "2026-03-08T12:00", "2026-03-08T05:00", "2026-03-09T04:00", 23),
    (daily(NEW_YORK), "2026-11-01T12:00", "2026-11-01T04:00", "2026-11-02T05:00", 25),
    # 02:30 does not exist on 8 March: the first instant after the gap.
    (
        daily(NEW_YORK, time(2, 30)),
        "2026-03-08T12:00",
        "2026-03-08T07:00",
        "2026-03-09T06:30",
        23.5,
    ),
    # 01:30 occurs twice on 1 November: its first occurrence.
    (daily(NEW_YORK, time(1, 30)), "2026-11-01T12:00", "2026-11-01T05:30", "2026-11-02T06:30", 25),
    # Half an hour forward and back.
    (
        daily("Australia/Lord_Howe"),
        "2026-04-04T20:00",
        "2026-04-04T13:00",
        "2026-04-05T13:30",
        24.5,
    ),
    # Midnight itself is jumped over.
    (daily("Africa/Cairo"), "2026-04-24T12:00", "2026-04-23T22:00", "2026-04-24T21:00", 23),
    (
        plan(WindowRule("weekly", "Europe/Berlin", reset_day="monday")),
        "2026-03-25T00:00",
        "2026-03-22T23:00",
        "2026-03-29T22:00",
        167,
    ),
    (
        plan(WindowRule("monthly", "Asia/Tokyo", reset_day=15, reset_time=time(9))),
        "2026-03-01T00:00",
        "2026-02-15T00:00",
        "2026-03-15T00:00",
        28 * 24,
    ),
    (
        plan(WindowRule("hourly", NEW_YORK)),
        "2026-11-01T06:00",
        "2026-11-01T06:00",
        "2026-11-01T07:00",
        1,
    ),
    # A rolling day knows no clock.
    (
        plan(WindowRule(hours=24)),
        "2026-03-08T05:30",
        "2026-03-08T05:30",
        "2026-03-09T05:30",
        24,
    ),
]


@pytest.mark.parametrize(("windows", "instant", "starts_at", "ends_at", "hours"), DST_TABLE)
def test_a_window_runs_from_one_local_reset_time_to_the_next(
    windows: WindowPlan, instant: str, starts_at: str, ends_at: str, hours: float
) -> None:
    span = windows.opening(utc(instant))

    assert (span.starts_at, span.ends_at) == (utc(starts_at), utc(ends_at))
    assert span.ends_at - span.starts_at == timedelta(hours=hours)


def test_windows_are_named_by_their_local_date() -> None:
    spans = upcoming(daily(NEW_YORK), local("2026-03-07T23:30", NEW_YORK), 3)

    assert [span.key for span in spans] == ["2026-03-07", "2026-03-08", "2026-03-09"]


def test_an_hour_that_the_clock_shows_twice_has_two_keys() -> None:
    spans = upcoming(plan(WindowRule("hourly", NEW_YORK)), utc("2026-11-01T05:30"), 2)

    assert [span.key for span in spans] == ["2026-11-01T01", "2026-11-01T01~2"]


def test_rolling_windows_lie_on_a_grid_that_starts_with_the_first_event() -> None:
    spans = upcoming(plan(WindowRule(hours=36)), utc("2026-03-07T10:17"), 3)

    assert [span.starts_at for span in spans] == [
        utc("2026-03-07T10:17"),
        utc("2026-03-08T22:17"),
        utc("2026-03-10T10:17"),
    ]


# --- Zones of players ----------------------------------------------------------------------------


def moved(at: str, *, to: str, first: str = NEW_YORK) -> WindowPlan:
    rule = WindowRule("daily", PLAYER_ZONE)
    return plan(rule, first_zone=first, zones=counted_zones([(utc(at), to)]))


def test_a_new_zone_counts_from_the_next_window_on() -> None:
    windows = moved("2026-06-10T15:00", to=TOKYO)

    spans = [Span(utc("2026-06-10T04:00"), utc("2026-06-11T04:00"), "2026-06-10", NEW_YORK)]
    spans += [windows.following(spans[0])]

    assert spans[1].timezone == TOKYO


def test_a_window_after_a_move_east_is_never_shorter_than_the_old_one_would_have_been() -> None:
    windows = moved("2026-06-10T15:00", to=TOKYO)
    last = Span(utc("2026-06-10T04:00"), utc("2026-06-11T04:00"), "2026-06-10", NEW_YORK)

    first = windows.following(last)
    second = windows.following(first)

    assert first.starts_at == last.ends_at
    assert first.ends_at == local("2026-06-13T00:00", TOKYO)
    assert (first.key, second.key) == ("2026-06-12", "2026-06-13")
    assert second.ends_at == local("2026-06-14T00:00", TOKYO)


def test_a_window_after_a_move_west_lasts_to_the_new_midnight() -> None:
    windows = moved("2026-06-10T15:00", to=LOS_ANGELES)
    last = Span(utc("2026-06-10T04:00"), utc("2026-06-11T04:00"), "2026-06-10", NEW_YORK)

    first = windows.following(last)

    assert first.ends_at == local("2026-06-12T00:00", LOS_ANGELES)
    assert first.key == "2026-06-11"


def test_a_move_counts_at_most_once_in_24_hours() -> None:
    at = utc("2026-06-10T15:00")
    moves = [
        (at, TOKYO),
        (at + HOUR, LOS_ANGELES),
        (at + 2 * HOUR, "UTC"),
        (at + 40 * HOUR, NEW_YORK),
        (at + 49 * HOUR, TOKYO),
    ]

    counted = counted_zones(moves)

    # The second and third wait for a day; the third took over from the second by then.
    assert counted == [
        (at, TOKYO),
        (at + DAY, "UTC"),
        (at + 2 * DAY, NEW_YORK),
        (at + 3 * DAY, TOKYO),
    ]


MOVES = st.lists(
    st.tuples(st.integers(0, 60 * 24), st.sampled_from(ZONES)),
    max_size=12,
    unique_by=lambda m: m[0],
)
RULES = st.sampled_from(
    [
        WindowRule("daily", PLAYER_ZONE),
        WindowRule("daily", PLAYER_ZONE, reset_time=time(2, 30)),
        WindowRule("hourly", PLAYER_ZONE),
        WindowRule("weekly", PLAYER_ZONE, reset_day="sunday"),
        WindowRule("monthly", PLAYER_ZONE, reset_day=28),
        WindowRule(hours=7),
    ]
)


def _zones(moves: list[tuple[int, str]]) -> list[tuple[datetime, str]]:
    return counted_zones([(EARLY + hours * HOUR, zone) for hours, zone in sorted(moves)])


@given(MOVES)
def test_counted_moves_are_a_day_apart_and_none_counts_before_it_was_made(
    moves: list[tuple[int, str]],
) -> None:
    counted = _zones(moves)
    made = [(EARLY + hours * HOUR, zone) for hours, zone in sorted(moves)]

    assert all(later[0] - earlier[0] >= ZONE_REST for earlier, later in pairwise(counted))
    assert counted[-1:] == [] or counted[-1][1] == made[-1][1]
    for at, zone in counted:
        assert any(moment <= at and name == zone for moment, name in made)


@given(MOVES, RULES)
def test_whatever_would_have_satisfied_a_window_still_does_after_a_move(
    moves: list[tuple[int, str]], rule: WindowRule
) -> None:
    windows = plan(rule, first_zone=NEW_YORK, zones=_zones(moves))
    stayed = plan(rule, first_zone=NEW_YORK)

    spans = upcoming(windows, EARLY + HOUR, 40)

    for before, span in pairwise(spans):
        assert span.starts_at == before.ends_at
        zone_kept = WindowPlan(stayed.rules, first_zone=before.timezone or NEW_YORK)
        assert span.ends_at >= zone_kept.following(before).ends_at


# --- Pauses and changed configs ------------------------------------------------------------------


def test_a_long_pause_is_leapt_over() -> None:
    pauses = [(utc("2026-01-02T12:00"), utc("2026-12-02T12:00"))]
    windows = plan(WindowRule("hourly"), pauses=pauses)
    first = windows.opening(utc("2026-01-02T10:30"))

    spans = list(windows.chain(first, until=utc("2026-12-02T14:00")))

    assert [span.key for span in spans] == [
        "2026-01-02T11",
        "2026-12-02T11",
        "2026-12-02T12",
        "2026-12-02T13",
    ]
    assert [windows.pause_in(span) is not None for span in spans] == [False, True, False, False]


def test_a_pause_without_end_touches_all_that_follows() -> None:
    windows = plan(WindowRule("daily"), pauses=[(utc("2026-01-02T12:00"), None)])

    spans = list(
        windows.chain(windows.opening(utc("2026-01-01T10:00")), until=utc("2026-01-20T10:00"))
    )

    assert all(windows.pause_in(span) for span in spans)
    assert windows.is_paused_at(utc("2026-01-02T12:00"))
    assert not windows.is_paused_at(utc("2026-01-02T11:59"))


def test_a_rolling_grid_survives_a_pause() -> None:
    pauses = [(utc("2026-01-02T12:00"), utc("2026-02-02T11:00"))]
    windows = plan(WindowRule(hours=24), pauses=pauses)
    first = windows.opening(utc("2026-01-01T09:15"))

    last = list(windows.chain(first, until=utc("2026-02-03T00:00")))[-1]

    assert last.starts_at == utc("2026-02-02T09:15")


def test_a_changed_period_counts_from_the_next_window_on() -> None:
    rules = [(EARLY, WindowRule("weekly")), (utc("2026-06-10T12:00"), WindowRule("daily"))]
    windows = WindowPlan(rules)
    week = windows.opening(utc("2026-06-09T12:00"))

    first = windows.following(week)

    assert week.ends_at == first.starts_at == utc("2026-06-15T00:00")
    assert first.ends_at == utc("2026-06-16T00:00")


# --- The next change of the clock ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "after", "change"),
    [
        (NEW_YORK, "2026-01-15T00:00", "2026-03-08T07:00"),
        (NEW_YORK, "2026-03-08T07:00", "2026-11-01T06:00"),
        ("Australia/Lord_Howe", "2026-01-15T00:00", "2026-04-04T15:00"),
    ],
)
def test_the_next_change_of_a_clock_is_found(zone: str, after: str, change: str) -> None:
    assert next_clock_change(zone, utc(after)) == utc(change)


def test_a_clock_that_is_never_changed_has_no_next_change() -> None:
    assert next_clock_change(TOKYO, utc("2026-01-15T00:00")) is None


def test_windows_around_a_change_show_the_odd_one_in_their_middle() -> None:
    change = next_clock_change(NEW_YORK, utc("2026-01-15T00:00"))
    assert change is not None

    lengths = [span.ends_at - span.starts_at for span in around(daily(NEW_YORK), change)]

    assert [length / HOUR for length in lengths] == [24, 24, 23, 24, 24, 24]
