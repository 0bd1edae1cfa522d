from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.rules.windows import (
    WEEKDAYS,
    WindowKey,
    free_key,
    is_window_key,
    next_window,
    parse_window_key,
    upcoming,
    window_at,
)
from leaderboards.types import Timeframe, TimeframeType, WindowSpan
from phoenix_site.common.zones import load_zone

ZONES = [
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "America/Nuuk",
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Asia/Gaza",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Antarctica/Troll",
    "Antarctica/Casey",
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at(timeframe: Timeframe, instant: datetime) -> WindowSpan:
    span = window_at(timeframe, instant)
    assert span is not None
    return span


def following(timeframe: Timeframe, after: datetime) -> WindowSpan:
    span = next_window(timeframe, after)
    assert span is not None
    return span


def end_of(span: WindowSpan) -> datetime:
    assert span.ends_at is not None
    return span.ends_at


def daily(zone: str, reset_time: time = time()) -> Timeframe:
    return Timeframe("daily", zone, reset_time=reset_time)


# The examples printed in the contract, every row of it.
PRINTED: list[tuple[Timeframe, str, str, str, str]] = [
    (
        daily("America/New_York", time(2, 30)),
        "2026-03-08T12:00",
        "2026-03-08",
        "2026-03-08T07:00",
        "2026-03-09T06:30",
    ),
    (
        daily("America/New_York", time(1, 30)),
        "2026-11-01T12:00",
        "2026-11-01",
        "2026-11-01T05:30",
        "2026-11-02T06:30",
    ),
    (
        Timeframe("hourly", "America/New_York"),
        "2026-11-01T05:59:59.999999",
        "2026-11-01T01",
        "2026-11-01T05:00",
        "2026-11-01T06:00",
    ),
    (
        Timeframe("hourly", "America/New_York"),
        "2026-11-01T06:00",
        "2026-11-01T01~2",
        "2026-11-01T06:00",
        "2026-11-01T07:00",
    ),
    (
        Timeframe("hourly", "America/New_York"),
        "2026-11-01T07:30",
        "2026-11-01T02",
        "2026-11-01T07:00",
        "2026-11-01T08:00",
    ),
    (
        Timeframe("hourly", "America/New_York"),
        "2026-03-08T06:30",
        "2026-03-08T01",
        "2026-03-08T06:00",
        "2026-03-08T07:00",
    ),
    (
        Timeframe("hourly", "America/New_York"),
        "2026-03-08T07:30",
        "2026-03-08T03",
        "2026-03-08T07:00",
        "2026-03-08T08:00",
    ),
    (
        Timeframe("hourly", "Australia/Lord_Howe"),
        "2026-04-04T15:15",
        "2026-04-05T01",
        "2026-04-04T14:00",
        "2026-04-04T15:30",
    ),
    (
        Timeframe("hourly", "Asia/Kolkata"),
        "2026-11-18T12:29",
        "2026-11-18T17",
        "2026-11-18T11:30",
        "2026-11-18T12:30",
    ),
    (
        Timeframe("weekly", "Europe/Berlin", reset_day="monday"),
        "2026-03-25T00:00",
        "2026-W13",
        "2026-03-22T23:00",
        "2026-03-29T22:00",
    ),
    (
        Timeframe("monthly", "Asia/Tokyo", reset_day=15, reset_time=time(9)),
        "2026-03-01T00:00",
        "2026-02",
        "2026-02-15T00:00",
        "2026-03-15T00:00",
    ),
    (
        Timeframe("hourly"),
        "2026-11-18T12:34:56",
        "2026-11-18T12",
        "2026-11-18T12:00",
        "2026-11-18T13:00",
    ),
    (daily("UTC"), "2026-11-18T12:00", "2026-11-18", "2026-11-18T00:00", "2026-11-19T00:00"),
    (
        Timeframe("weekly"),
        "2027-01-03T23:59:59.999999",
        "2026-W53",
        "2026-12-28T00:00",
        "2027-01-04T00:00",
    ),
    (Timeframe("weekly"), "2027-01-04T00:00", "2027-W01", "2027-01-04T00:00", "2027-01-11T00:00"),
    (Timeframe("monthly"), "2026-11-18T12:00", "2026-11", "2026-11-01T00:00", "2026-12-01T00:00"),
    (
        Timeframe("custom", start_at=utc("2026-01-01"), end_at=utc("2026-02-01")),
        "2026-01-31T23:59:59.999999",
        "custom_20260101T000000Z_20260201T000000Z",
        "2026-01-01T00:00",
        "2026-02-01T00:00",
    ),
]


@pytest.mark.parametrize(("timeframe", "instant", "key", "starts_at", "ends_at"), PRINTED)
def test_the_printed_examples(
    timeframe: Timeframe, instant: str, key: str, starts_at: str, ends_at: str
) -> None:
    expected = WindowSpan(utc(starts_at), utc(ends_at), key)

    assert window_at(timeframe, utc(instant)) == expected
    assert window_at(timeframe, expected.starts_at) == expected
    assert upcoming(timeframe, utc(instant), 1) == [expected]
    assert is_window_key(key)


def test_the_week_of_the_clock_change_in_berlin_has_167_hours() -> None:
    span = at(Timeframe("weekly", "Europe/Berlin"), utc("2026-03-25"))

    assert end_of(span) - span.starts_at == timedelta(hours=167)


def test_all_time_is_one_window_without_an_end() -> None:
    span = at(Timeframe("all_time"), utc("2026-11-18"))

    assert (span.key, span.ends_at) == ("all_time", None)
    assert span.starts_at <= utc("2000-01-01")
    assert upcoming(Timeframe("all_time"), utc("2026-11-18"), 5) == [span]


# Published clock changes outside the contract's examples.
@pytest.mark.parametrize(
    ("timeframe", "from_instant", "expected"),
    [
        pytest.param(
            daily("Pacific/Apia"),
            "2011-12-29T12:00",
            [("2011-12-29", 24), ("2011-12-31", 24), ("2012-01-01", 24)],
            id="Samoa skipped 30 December 2011",
        ),
        pytest.param(
            Timeframe("hourly", "Pacific/Apia"),
            "2011-12-30T09:30",
            [("2011-12-29T23", 1), ("2011-12-31T00", 1)],
            id="Samoa's last and first hour",
        ),
        pytest.param(
            Timeframe("hourly", "Australia/Lord_Howe"),
            "2025-10-04T14:30",
            [("2025-10-05T01", 1), ("2025-10-05T02", 0.5), ("2025-10-05T03", 1)],
            id="Lord Howe puts the clock forward by half an hour",
        ),
        pytest.param(
            Timeframe("hourly", "Antarctica/Troll"),
            "2025-10-25T23:30",
            [
                ("2025-10-26T01", 1),
                ("2025-10-26T02", 1),
                ("2025-10-26T01~2", 1),
                ("2025-10-26T02~2", 1),
            ],
            id="Troll puts the clock back by two hours",
        ),
        pytest.param(
            daily("America/Nuuk", time(23, 30)),
            "2025-03-29T12:00",
            [("2025-03-28", 23.5), ("2025-03-30", 23.5), ("2025-03-30~2", 24), ("2025-03-31", 24)],
            id="Nuuk jumps over 23:30 into the next day",
        ),
        pytest.param(
            daily("America/St_Johns"),
            "2010-11-06T12:00",
            [("2010-11-06", 24), ("2010-11-07", 25), ("2010-11-08", 24)],
            id="St. John's went back over midnight at 00:01",
        ),
        pytest.param(
            daily("America/Sao_Paulo"),
            "2018-11-03T12:00",
            [("2018-11-03", 24), ("2018-11-04", 23), ("2018-11-05", 24)],
            id="Brazil jumped over midnight",
        ),
        pytest.param(
            daily("Africa/Casablanca"),
            "2024-03-09T12:00",
            [("2024-03-09", 24), ("2024-03-10", 25), ("2024-03-11", 24)],
            id="Morocco's Ramadan clock",
        ),
    ],
)
def test_published_clock_changes(
    timeframe: Timeframe, from_instant: str, expected: list[tuple[str, float]]
) -> None:
    spans = upcoming(timeframe, utc(from_instant), len(expected))

    assert [
        (span.key, (end_of(span) - span.starts_at) / timedelta(hours=1)) for span in spans
    ] == expected


moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
# Half of the instants lie within two days of a clock change of their zone.
CHANGES = {
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],
    "Pacific/Apia": ["2011-12-30T10:00", "2011-09-24T14:00"],
    "America/St_Johns": ["2010-11-07T02:31", "2010-03-14T03:31"],
    "Antarctica/Troll": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "Africa/Casablanca": ["2024-03-10T02:00", "2024-04-14T02:00"],
    "Asia/Gaza": ["2024-04-20T00:00", "2024-10-25T23:00"],
    "America/Nuuk": ["2026-03-29T01:00", "2026-10-25T01:00"],
}


@st.composite
def zones_and_instants(draw: st.DrawFn) -> tuple[str, datetime]:
    if draw(st.booleans()):
        return draw(st.sampled_from(ZONES)), draw(moments)
    zone = draw(st.sampled_from(sorted(CHANGES)))
    change = utc(draw(st.sampled_from(CHANGES[zone])))
    return zone, change + timedelta(
        microseconds=draw(st.integers(-172_800_000_000, 172_800_000_000))
    )


@st.composite
def timeframes(draw: st.DrawFn, zone: str) -> Timeframe:
    kind: TimeframeType = draw(st.sampled_from(["hourly", "daily", "weekly", "monthly"]))
    reset_day: Any = None
    if kind == "weekly":
        reset_day = draw(st.sampled_from(WEEKDAYS))
    elif kind == "monthly":
        reset_day = draw(st.integers(1, 28))
    minutes = draw(st.sampled_from([0, 30, 90, 120, 150, 1410, 1439]) | st.integers(0, 1439))
    reset_time = None if kind == "hourly" else time(minutes // 60, minutes % 60)
    return Timeframe(kind, zone, reset_day=reset_day, reset_time=reset_time)


@given(st.data(), zones_and_instants())
def test_windows_are_contiguous_never_empty_and_hold_their_instants(
    data: st.DataObject, place: tuple[str, datetime]
) -> None:
    zone, instant = place
    timeframe = data.draw(timeframes(zone))

    spans = upcoming(timeframe, instant, 4)

    assert spans[0].starts_at <= instant < end_of(spans[0])
    for span in spans:
        assert span.starts_at < end_of(span)
        assert window_at(timeframe, span.starts_at) == span
        assert window_at(timeframe, end_of(span) - timedelta(microseconds=1)) == span
        middle = span.starts_at + (end_of(span) - span.starts_at) / 2
        assert window_at(timeframe, middle) == span
        assert is_window_key(span.key)
    for earlier, later in pairwise(spans):
        assert end_of(earlier) == later.starts_at
        assert window_at(timeframe, end_of(earlier)) == later
    assert len({span.key for span in spans}) == len(spans)


@given(st.sampled_from(ZONES), st.dates(date(2000, 1, 3), date(2039, 12, 29)))
def test_the_hours_of_two_days_never_share_a_key(zone: str, day: date) -> None:
    start = datetime.combine(day, time(), tzinfo=UTC)

    spans = upcoming(Timeframe("hourly", zone), start, 48)

    assert len({span.key for span in spans}) == len(spans)


@given(zones_and_instants(), st.integers(0, 1439))
def test_a_daily_window_begins_when_the_clock_first_shows_its_time_or_later(
    place: tuple[str, datetime], minute: int
) -> None:
    zone_name, instant = place
    zone = load_zone(zone_name)
    reset_time = time(minute // 60, minute % 60)

    start = at(daily(zone_name, reset_time), instant).starts_at

    before = (start - timedelta(microseconds=1)).astimezone(zone).replace(tzinfo=None)
    after = start.astimezone(zone).replace(tzinfo=None)
    boundary = datetime.combine(after.date(), reset_time)
    assert before < boundary <= after or before < boundary - timedelta(days=1) <= after


@given(zones_and_instants())
def test_an_hourly_window_begins_where_the_clock_reaches_or_jumps_over_a_full_hour(
    place: tuple[str, datetime],
) -> None:
    zone_name, instant = place
    zone = load_zone(zone_name)

    span = at(Timeframe("hourly", zone_name), instant)

    walls = [
        (span.starts_at + timedelta(minutes=minutes)).astimezone(zone).replace(tzinfo=None)
        for minutes in range(int((end_of(span) - span.starts_at) / timedelta(minutes=1)))
    ]
    # Inside a window no minute but the first shows a full hour, and no jump passes one.
    for earlier, later in pairwise(walls):
        assert later.minute != 0
        assert later < earlier or (later.date(), later.hour) == (earlier.date(), earlier.hour)


def test_a_changed_timeframe_begins_where_the_old_window_ended() -> None:
    weekly = Timeframe("weekly")
    monthly = Timeframe("monthly", "America/New_York", reset_day=15)
    old_end = end_of(at(weekly, utc("2026-11-18")))

    assert old_end == utc("2026-11-23")
    assert next_window(monthly, old_end) == WindowSpan(old_end, utc("2026-12-15T05:00"), "2026-11")
    assert next_window(Timeframe("hourly"), old_end) == WindowSpan(
        old_end, utc("2026-11-23T01:00"), "2026-11-23T00"
    )
    assert next_window(daily("UTC", time(12)), old_end) == WindowSpan(
        old_end, utc("2026-11-23T12:00"), "2026-11-23"
    )
    assert next_window(Timeframe("all_time"), old_end) == WindowSpan(old_end, None, "all_time")


def test_a_custom_board_has_a_window_only_between_its_dates() -> None:
    custom = Timeframe("custom", start_at=utc("2026-01-10"), end_at=utc("2026-01-20"))
    whole = at(custom, utc("2026-01-10"))

    assert window_at(custom, utc("2026-01-09T23:59:59.999999")) is None
    assert window_at(custom, utc("2026-01-20")) is None
    assert upcoming(custom, utc("2025-12-01"), 3) == [whole]
    assert upcoming(custom, utc("2026-01-20"), 3) == []
    assert next_window(custom, utc("2026-01-01")) == whole
    assert next_window(custom, utc("2026-01-20")) is None


def test_a_custom_window_never_overlaps_the_window_before_it() -> None:
    custom = Timeframe("custom", start_at=utc("2026-01-10"), end_at=utc("2026-01-20"))

    assert next_window(custom, utc("2026-01-12")) == WindowSpan(
        utc("2026-01-12"), utc("2026-01-20"), "custom_20260112T000000Z_20260120T000000Z"
    )


def test_custom_dates_may_come_in_any_offset() -> None:
    custom = Timeframe(
        "custom",
        start_at=datetime.fromisoformat("2026-01-01T01:00:00+01:00"),
        end_at=datetime.fromisoformat("2026-01-31T19:00:00-05:00"),
    )

    assert at(custom, utc("2026-01-15")).key == "custom_20260101T000000Z_20260201T000000Z"


@pytest.mark.parametrize(
    "timeframe", [Timeframe("custom"), Timeframe("custom", end_at=utc("2026-01-01"))]
)
def test_a_custom_timeframe_without_dates_is_a_mistake_of_the_caller(timeframe: Timeframe) -> None:
    with pytest.raises(ValueError, match="start_at and end_at"):
        window_at(timeframe, utc("2026-01-01"))


def test_an_instant_may_come_in_any_offset() -> None:
    instant = datetime.fromisoformat("2026-11-18T23:30:00-05:00")

    span = at(daily("UTC"), instant)

    assert span.key == "2026-11-19"
    assert span.starts_at.tzinfo is UTC
    assert following(daily("UTC"), instant).starts_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("key", "taken", "expected"),
    [
        ("2026-11", set(), "2026-11"),
        ("2026-11", {"2026-11"}, "2026-11~2"),
        ("2026-11", {"2026-11", "2026-11~2", "2026-11~3"}, "2026-11~4"),
        ("2026-11-01T01~2", {"2026-11-01T01"}, "2026-11-01T01~2"),
        ("2026-11-01T01~2", {"2026-11-01T01", "2026-11-01T01~2"}, "2026-11-01T01~3"),
    ],
)
def test_a_key_that_the_board_has_used_gets_the_next_number(
    key: str, taken: set[str], expected: str
) -> None:
    assert free_key(key, taken) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-18T12", WindowKey("hourly", "2026-11-18T12", 1)),
        ("2026-11-01T01~2", WindowKey("hourly", "2026-11-01T01", 2)),
        ("2026-11-18", WindowKey("daily", "2026-11-18", 1)),
        ("2026-W53", WindowKey("weekly", "2026-W53", 1)),
        ("2026-11~12", WindowKey("monthly", "2026-11", 12)),
        (
            "custom_20260101T000000Z_20260201T000000Z",
            WindowKey("custom", "custom_20260101T000000Z_20260201T000000Z", 1),
        ),
        ("all_time", WindowKey("all_time", "all_time", 1)),
    ],
)
def test_a_key_has_parts(text: str, expected: WindowKey) -> None:
    assert parse_window_key(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "current",
        "2026",
        "2026-13",
        "2026-1",
        "2026-02-30",
        "2026-11-18T24",
        "2026-11-18T12:00",
        "2026-W00",
        "2026-W54",
        "2027-W53",
        "0000-01",
        "2026-11~1",
        "2026-11~0",
        "2026-11~02",
        "2026-11~",
        "2026-11 ",
        "2026-11\n",
        "٢٠٢٦-11",
        "ALL_TIME",
        "custom_20260201T000000Z_20260101T000000Z",
        "custom_20260101T000000Z_20260101T000000Z",
        "custom_20261301T000000Z_20270101T000000Z",
        "custom_20260101_20260201",
    ],
)
def test_anything_else_is_no_key(text: str) -> None:
    assert not is_window_key(text)


@given(st.text(max_size=30))
def test_no_text_raises_anything_but_value_error(text: str) -> None:
    is_window_key(text)
