from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_site.common.times import (
    NaiveTimeError,
    format_utc,
    format_utc_microseconds,
    parse_rfc3339,
)

offsets = st.integers(min_value=-23 * 60, max_value=23 * 60).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)
instants = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=offsets,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-18T09:15:42Z", datetime(2026, 11, 18, 9, 15, 42, tzinfo=UTC)),
        ("2026-11-18t09:15:42z", datetime(2026, 11, 18, 9, 15, 42, tzinfo=UTC)),
        ("2026-11-18T09:15:42.5Z", datetime(2026, 11, 18, 9, 15, 42, 500_000, tzinfo=UTC)),
        ("2026-11-18T09:15:42.310+00:00", datetime(2026, 11, 18, 9, 15, 42, 310_000, tzinfo=UTC)),
        ("2025-10-28T12:00:00+01:00", datetime(2025, 10, 28, 11, tzinfo=UTC)),
        ("2025-12-31T23:30:00-05:30", datetime(2026, 1, 1, 5, tzinfo=UTC)),
        ("2025-10-28T12:00:00-00:00", datetime(2025, 10, 28, 12, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_time_with_an_offset_is_the_instant_it_names(text: str, expected: datetime) -> None:
    value = parse_rfc3339(text)

    assert value == expected
    assert value.tzinfo is UTC


def test_digits_after_the_microsecond_are_cut_not_rounded() -> None:
    assert parse_rfc3339("2026-11-18T09:15:42.1234569Z").microsecond == 123_456
    assert parse_rfc3339("2026-11-18T09:15:42.99999999999999999999+02:00").second == 42


@pytest.mark.parametrize("text", ["2026-11-18T09:15:42", "2026-11-18T09:15:42.5"])
def test_a_time_without_an_offset_is_refused_as_naive(text: str) -> None:
    with pytest.raises(NaiveTimeError):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-18",
        "2026-11-18T09:15Z",
        "2026-11-18 09:15:42Z",
        "2026-11-18T09:15:42,5Z",
        "2026-11-18T09:15:42.Z",
        "2026-11-18T09:15:60Z",
        "2026-11-18T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:00:00-05:00",
        "2026-11-18T09:15:42+24:00",
        "2026-11-18T09:15:42+05:60",
        "2026-11-18T09:15:42+0100",
        "20261118T091542Z",
        "2026-W47-3T09:15:42Z",
        "2026-11-18T09:15:42Z ",
        "2026-11-18T09:15:42Z\n",
        "٢٠٢٦-11-18T09:15:42Z",
        None,
        1_730_000_000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an RFC 3339 time"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    ("microsecond", "expected"),
    [
        (0, "2026-11-18T09:15:42Z"),
        (310_000, "2026-11-18T09:15:42.310Z"),
        (1000, "2026-11-18T09:15:42.001Z"),
        (1, "2026-11-18T09:15:42.000001Z"),
        (123_450, "2026-11-18T09:15:42.123450Z"),
    ],
)
def test_a_fraction_is_written_as_short_as_it_is_exact(microsecond: int, expected: str) -> None:
    assert format_utc(datetime(2026, 11, 18, 9, 15, 42, microsecond, tzinfo=UTC)) == expected


def test_the_hashed_form_always_has_six_decimals() -> None:
    value = datetime(2026, 11, 18, 10, 15, 42, tzinfo=timezone(timedelta(hours=1)))

    assert format_utc_microseconds(value) == "2026-11-18T09:15:42.000000Z"


def test_a_naive_time_is_never_written() -> None:
    with pytest.raises(NaiveTimeError):
        format_utc(datetime(2026, 11, 18))  # noqa: DTZ001 - the point of the test


@given(instants)
def test_what_is_written_reads_back_as_the_same_instant(value: datetime) -> None:
    assert parse_rfc3339(format_utc(value)) == value
    assert parse_rfc3339(format_utc_microseconds(value)) == value
    assert parse_rfc3339(value.isoformat()) == value


@given(st.text(alphabet="0123456789-+:.TtZz ", max_size=40))
def test_no_text_raises_anything_but_value_error(text: str) -> None:
    try:
        value = parse_rfc3339(text)
    except ValueError:
        return
    assert value.tzinfo is UTC
