from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.constants import MAX_SCALED_SCORE
from leaderboards.rules.ranking import (
    IndexMember,
    Page,
    ScoreBounds,
    decode_member,
    index_member,
    index_score,
    neighborhood_page,
    percentile,
    points_needed,
    rank,
    rank_for_score,
    score_bounds,
    sort_key,
    top_percent,
)
from leaderboards.types import Method, RankedEntry, Ranking, TiePolicy

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def entry(external_id: str, score: int, seconds: float = 0) -> RankedEntry:
    return RankedEntry(external_id, score, NOON + seconds * SECOND)


# Scores 50, 40, 40, 30, reached in the order a, b, c, d.
PRINTED = [entry("d", 30, 3), entry("c", 40, 2), entry("a", 50, 0), entry("b", 40, 1)]


@pytest.mark.parametrize(
    ("tie_policy", "ranks"),
    [("first_to_reach", [1, 2, 3, 4]), ("shared", [1, 2, 2, 4]), ("dense", [1, 2, 2, 3])],
)
def test_the_printed_tie_policies(tie_policy: TiePolicy, ranks: list[int]) -> None:
    standings = rank(PRINTED, "score_desc", tie_policy)

    assert [standing.rank for standing in standings] == ranks
    assert [standing.external_id for standing in standings] == ["a", "b", "c", "d"]


def test_under_score_asc_the_lowest_is_best_and_earlier_still_wins() -> None:
    standings = rank(PRINTED, "score_asc", "first_to_reach")

    assert [standing.external_id for standing in standings] == ["d", "b", "c", "a"]


def test_equal_scores_at_equal_times_are_in_order_of_utf8_bytes() -> None:
    # As UTF-16 the last two would change places.
    ids = ["Z", "a", "aa", "é", "\uffff", "\U0001f600"]

    standings = rank([entry(name, 5) for name in reversed(ids)], "score_desc", "first_to_reach")

    assert [standing.external_id for standing in standings] == ids


def test_scores_of_fifteen_digits_that_differ_by_one_have_different_ranks() -> None:
    first, second = entry("a", MAX_SCALED_SCORE - 1), entry("b", MAX_SCALED_SCORE)

    standings = rank([first, second], "score_desc", "shared")

    assert [(standing.rank, standing.score) for standing in standings] == [
        (1, MAX_SCALED_SCORE),
        (2, MAX_SCALED_SCORE - 1),
    ]


methods = st.sampled_from(get_args(Method))
tie_policies = st.sampled_from(get_args(TiePolicy))
external_ids = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/"),
    min_size=1,
    max_size=4,
)
scores = (
    st.integers(-3, 3)
    | st.integers(-MAX_SCALED_SCORE, MAX_SCALED_SCORE)
    | st.sampled_from([MAX_SCALED_SCORE, MAX_SCALED_SCORE - 1, -MAX_SCALED_SCORE])
)
times = st.integers(0, 3).map(lambda n: NOON + timedelta(microseconds=n)) | st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
    timezones=st.just(UTC),
)
boards = st.lists(
    st.builds(RankedEntry, external_ids, scores, times),
    max_size=30,
    unique_by=lambda e: e.external_id,
)


@given(boards, methods, tie_policies)
def test_a_rank_is_one_more_than_what_is_better(
    entries: list[RankedEntry], method: Method, tie_policy: TiePolicy
) -> None:
    sign = -1 if method == "score_desc" else 1
    for standing in rank(entries, method, tie_policy):
        mine = (sign * standing.score, standing.reached_at, standing.external_id.encode())
        better = [e for e in entries if sign * e.score < sign * standing.score]
        expected = {
            "shared": 1 + len(better),
            "dense": 1 + len({e.score for e in better}),
            "first_to_reach": 1
            + sum((sign * e.score, e.reached_at, e.external_id.encode()) < mine for e in entries),
        }
        assert standing.rank == expected[tie_policy]


@given(boards, methods)
def test_the_index_is_in_the_order_of_the_board(entries: list[RankedEntry], method: Method) -> None:
    # A sorted set orders by its floating-point score, then by the member's bytes.
    filed = sorted(
        (float(index_score(e.score, method)), index_member(e.reached_at, e.external_id))
        for e in entries
    )

    standings = rank(entries, method, "first_to_reach")

    assert [decode_member(member).external_id for _, member in filed] == [
        standing.external_id for standing in standings
    ]
    assert [int(score) for score, _ in filed] == [index_score(s.score, method) for s in standings]


@given(times, external_ids)
def test_a_member_holds_time_and_id_exactly(reached_at: datetime, external_id: str) -> None:
    member = index_member(reached_at, external_id)

    assert decode_member(member) == IndexMember(reached_at, external_id)


def test_a_member_is_eight_bytes_of_time_and_the_id() -> None:
    member = index_member(datetime(1970, 1, 1, 0, 0, 1, 2, tzinfo=UTC), "Zoë")

    assert member == b"\x00\x00\x00\x00\x00\x0f\x42\x42Zo\xc3\xab"


@given(boards, scores, methods, tie_policies)
def test_the_rank_for_a_score_is_the_rank_it_would_take_if_reached_now(
    entries: list[RankedEntry], score: int, method: Method, tie_policy: TiePolicy
) -> None:
    others = [e for e in entries if e.external_id != "me"]
    now = datetime.max.replace(tzinfo=UTC)
    better = [e for e in others if index_score(e.score, method) < index_score(score, method)]

    answer = rank_for_score(
        tie_policy,
        better_players=len(better),
        tied_players=sum(e.score == score for e in others),
        better_scores=len({e.score for e in better}),
    )

    standings = rank([*others, RankedEntry("me", score, now)], method, tie_policy)
    assert [s.rank for s in standings if s.external_id == "me"] == [answer]


@pytest.mark.parametrize(
    ("tie_policy", "expected"), [("first_to_reach", 4), ("shared", 2), ("dense", 2)]
)
def test_the_printed_rank_for_a_score(tie_policy: TiePolicy, expected: int) -> None:
    assert rank_for_score(tie_policy, better_players=1, tied_players=2, better_scores=1) == expected


@given(scores, scores, methods)
def test_points_needed_is_the_smallest_change_that_overtakes(
    one: int, other: int, method: Method
) -> None:
    mine, theirs = sorted((one, other), reverse=method == "score_asc")
    unit = 1 if method == "score_desc" else -1
    now = NOON + SECOND

    change = points_needed(mine, theirs, method)

    above = sort_key(RankedEntry("them", theirs, NOON), method)
    assert sort_key(RankedEntry("me", mine + change, now), method) < above
    assert not sort_key(RankedEntry("me", mine + change - unit, now), method) < above


def test_the_printed_points_needed() -> None:
    assert points_needed(950, 980, "score_desc") == 31
    assert points_needed(50, 40, "score_asc") == -11


@pytest.mark.parametrize(
    ("ranking", "decimals", "expected"),
    [
        (Ranking(), 0, ScoreBounds(-MAX_SCALED_SCORE, MAX_SCALED_SCORE)),
        (Ranking(min_score=Decimal(0), max_score=Decimal(10)), 2, ScoreBounds(0, 1000)),
        (Ranking(min_score=Decimal("0.5"), max_score=Decimal("9.5")), 0, ScoreBounds(1, 9)),
        (Ranking(min_score=Decimal("-0.5"), max_score=Decimal("-0.1")), 0, ScoreBounds(0, -1)),
    ],
)
def test_bounds_are_inclusive(ranking: Ranking, decimals: int, expected: ScoreBounds) -> None:
    assert score_bounds(ranking, decimals) == expected


def test_a_score_on_a_bound_is_ranked() -> None:
    bounds = ScoreBounds(0, 10)

    assert [score for score in range(-2, 13) if bounds.hold(score)] == list(range(11))


@pytest.mark.parametrize(
    ("below", "total", "expected"),
    [(197, 200, "98.99"), (0, 1, "100"), (0, 2, "0"), (1, 2, "100"), (1, 3, "50"), (2, 7, "33.33")],
)
def test_percentile_is_rounded_down(below: int, total: int, expected: str) -> None:
    assert percentile(below, total) == Decimal(expected)


@pytest.mark.parametrize(
    ("number", "total", "expected"),
    [(3, 200, "1.5"), (1, 3, "33.34"), (3, 3, "100"), (1, 1_000_000, "0.01")],
)
def test_top_percent_is_rounded_up(number: int, total: int, expected: str) -> None:
    assert top_percent(number, total) == Decimal(expected)


@pytest.mark.parametrize(
    ("position", "limit", "total", "expected"),
    [
        (0, 5, 100, Page(0, 5)),
        (1, 5, 100, Page(0, 5)),
        (2, 5, 100, Page(0, 5)),
        (3, 5, 100, Page(1, 5)),
        (49, 5, 100, Page(47, 5)),
        (99, 5, 100, Page(95, 5)),
        (49, 4, 100, Page(48, 4)),
        (1, 11, 3, Page(0, 3)),
        (0, 1, 1, Page(0, 1)),
        (7, 1, 9, Page(7, 1)),
    ],
)
def test_neighborhoods(position: int, limit: int, total: int, expected: Page) -> None:
    assert neighborhood_page(position, limit=limit, total=total) == expected


@given(st.integers(1, 500), st.integers(1, 201), st.data())
def test_a_neighborhood_is_full_and_holds_the_player(
    total: int, limit: int, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, total - 1))

    page = neighborhood_page(position, limit=limit, total=total)

    assert page.size == min(limit, total)
    assert 0 <= page.offset <= total - page.size
    assert page.offset <= position < page.offset + page.size
