from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.constants import MAX_SCALED_SCORE
from leaderboards.rules.scores import (
    ScoreRangeError,
    format_scaled,
    from_scaled,
    to_scaled,
    to_scaled_exactly,
)

scaled_scores = st.integers(-MAX_SCALED_SCORE, MAX_SCALED_SCORE)
decimals_of_boards = st.integers(0, 6)


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        ("950", 0, 950),
        ("9.5", 2, 950),
        ("0.5", 0, 0),
        ("1.5", 0, 2),
        ("2.5", 0, 2),
        ("-2.5", 0, -2),
        ("-3.5", 0, -4),
        ("0.125", 2, 12),
        ("0.135", 2, 14),
        ("0.5000000000000000000000000000000000001", 0, 1),
        ("1E+3", 0, 1000),
        ("1E-2000", 6, 0),
        ("-0", 3, 0),
        ("999999999999999", 0, 999_999_999_999_999),
        ("999999999999999.4", 0, 999_999_999_999_999),
        ("-999999999.999999", 6, -999_999_999_999_999),
    ],
)
def test_a_score_is_rounded_half_to_even_once(value: str, decimals: int, expected: int) -> None:
    assert to_scaled(Decimal(value), decimals) == expected


@pytest.mark.parametrize(
    ("value", "decimals"),
    [
        ("1000000000000000", 0),
        ("-1000000000000000", 0),
        ("999999999999999.5", 0),
        ("1000000000", 6),
        ("1E+900000", 0),
    ],
)
def test_more_than_fifteen_digits_are_no_score(value: str, decimals: int) -> None:
    with pytest.raises(ScoreRangeError, match="15 digits"):
        to_scaled(Decimal(value), decimals)


def test_a_score_that_somebody_names_must_fit_the_decimals() -> None:
    assert to_scaled_exactly(Decimal("9.50"), 1) == 95

    with pytest.raises(ScoreRangeError, match="more than 1 decimals"):
        to_scaled_exactly(Decimal("9.55"), 1)


@pytest.mark.parametrize(
    ("scaled", "decimals", "expected"),
    [
        (950, 0, "950"),
        (950, 2, "9.50"),
        (-5, 2, "-0.05"),
        (0, 3, "0.000"),
        (0, 0, "0"),
        (999_999_999_999_999, 6, "999999999.999999"),
    ],
)
def test_a_score_is_written_with_exactly_its_decimals(
    scaled: int, decimals: int, expected: str
) -> None:
    assert format_scaled(scaled, decimals) == expected


@given(scaled_scores, decimals_of_boards)
def test_scaling_there_and_back_changes_nothing(scaled: int, decimals: int) -> None:
    assert to_scaled_exactly(from_scaled(scaled, decimals), decimals) == scaled
    assert to_scaled(Decimal(format_scaled(scaled, decimals)), decimals) == scaled


@given(scaled_scores, decimals_of_boards)
def test_a_javascript_client_reads_the_same_number(scaled: int, decimals: int) -> None:
    text = format_scaled(scaled, decimals)

    assert round(Decimal(repr(float(text))) * 10**decimals) == scaled


def test_the_callers_decimal_context_changes_nothing() -> None:
    with localcontext() as context:
        context.prec = 3

        assert to_scaled(Decimal("123456.789"), 2) == 12_345_679
        assert format_scaled(12_345_679, 2) == "123456.79"
