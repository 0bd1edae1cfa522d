"""What the query gateway lets itself be asked: every wrong value is refused by name."""

from datetime import UTC, datetime

import pytest
from django.http import QueryDict

from leaderboards.api import questions
from phoenix_site.common.exceptions import InvalidInputError


@pytest.mark.parametrize(
    ("query", "limit", "offset"),
    [("", 100, 0), ("limit=1", 1, 0), ("limit=1000&offset=7", 1000, 7)],
)
def test_a_page_is_read_as_asked(query: str, limit: int, offset: int) -> None:
    question = questions.read_page(QueryDict(query))

    assert question == questions.PageQuestion(None, limit, offset)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=", "limit"),
        ("limit=ten", "limit"),
        ("limit=%EF%BC%91", "limit"),
        ("offset=-1", "offset"),
        ("offset=1.5", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("window_key=yesterday", "window_key"),
        ("window_key=", "window_key"),
        ("window_key=2026-W47%00", "window_key"),
    ],
)
def test_a_bad_page_is_refused_by_name(query: str, field: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        questions.read_page(QueryDict(query))

    assert refusal.value.details[0].field == field


@pytest.mark.parametrize("limit", [1, 201])
def test_a_neighborhood_has_1_to_201_places(limit: int) -> None:
    assert questions.read_neighborhood(QueryDict(f"limit={limit}")).limit == limit


def test_a_neighborhood_has_11_places_unless_said() -> None:
    assert questions.read_neighborhood(QueryDict("")).limit == 11


@pytest.mark.parametrize("limit", ["0", "202"])
def test_a_neighborhood_of_another_size_is_refused(limit: str) -> None:
    with pytest.raises(InvalidInputError):
        questions.read_neighborhood(QueryDict(f"limit={limit}"))


@pytest.mark.parametrize(
    "key",
    [
        "current",
        "2026-11-18T12",
        "2026-11-18",
        "2026-W47",
        "2026-11",
        "custom_20260101T000000Z_20260201T000000Z",
        "all_time",
        "2026-11-01T01~2",
    ],
)
def test_every_kind_of_window_key_is_read(key: str) -> None:
    assert questions.read_window_key(QueryDict(f"window_key={key}")) == key


@pytest.mark.parametrize(
    ("sent", "decimals", "scaled"),
    [
        ("40", 0, 40),
        ("-40", 0, -40),
        ("0", 0, 0),
        ("40.0", 0, 40),
        ("9.5", 2, 950),
        ("-0.05", 2, -5),
        ("999999999999999", 0, 999_999_999_999_999),
        ("999999999.999999", 6, 999_999_999_999_999),
        ("000000000000001", 0, 1),
    ],
)
def test_a_score_is_read_exactly(sent: str, decimals: int, scaled: int) -> None:
    assert questions.read_score(QueryDict(f"score={sent}"), decimals=decimals) == scaled


@pytest.mark.parametrize(
    ("query", "decimals"),
    [
        ("", 0),
        ("score=", 0),
        ("score=many", 0),
        ("score=1e3", 0),
        ("score=NaN", 0),
        ("score=Infinity", 0),
        ("score=1.5", 0),
        ("score=1.005", 2),
        ("score=1000000000000000", 0),
        ("score=10000000000000", 2),
        ("score=%D9%A3", 0),
        ("score=--1", 0),
    ],
)
def test_a_score_outside_the_exact_range_is_refused(query: str, decimals: int) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        questions.read_score(QueryDict(query), decimals=decimals)

    assert refusal.value.details[0].field == "score"


def test_players_are_asked_for_once_each_in_order() -> None:
    asked = questions.read_user_ids(QueryDict("user_id=ben&user_id=ana&user_id=ben"))

    assert asked == ["ben", "ana"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "&".join(f"user_id=player-{number}" for number in range(101)),
        "user_id=",
        "user_id=a/b",
        "user_id=a%00b",
        "user_id=%20a",
        f"user_id={'a' * 129}",
    ],
)
def test_none_too_many_or_impossible_players_are_refused(query: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        questions.read_user_ids(QueryDict(query))

    assert refusal.value.details[0].field == "user_id"


def test_a_period_is_read_in_utc() -> None:
    query = QueryDict("from=2026-11-18T12:00:00Z&to=2026-11-18T14:00:00%2B01:00&limit=5")

    noon = datetime(2026, 11, 18, 12, tzinfo=UTC)
    assert questions.read_period(query) == questions.PeriodQuestion(noon, noon.replace(hour=13), 5)


def test_a_plus_that_was_not_escaped_is_still_an_offset() -> None:
    period = questions.read_period(QueryDict("from=2026-11-18T14:00:00+01:00"))

    assert period.since == datetime(2026, 11, 18, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("to=2026-11-18T12:00:00", "to"),
        ("from=2026-11-19T00:00:00Z&to=2026-11-18T00:00:00Z", "from"),
        ("limit=0", "limit"),
    ],
)
def test_a_bad_period_is_refused_by_name(query: str, field: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        questions.read_period(QueryDict(query))

    assert refusal.value.details[0].field == field


@pytest.mark.parametrize("text", ["2026-11-18", "2026-11-18T12:00:00", "final", "%"])
def test_a_snapshot_time_must_be_an_instant(text: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        questions.read_snapshot_time(text)

    assert refusal.value.details[0].field == "snapshot_time"
