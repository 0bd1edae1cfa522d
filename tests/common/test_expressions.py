import operator
import time
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_site.common.expressions import (
    ExpressionError,
    ExpressionFailure,
    compile_expression,
)

ROOT: dict[str, Any] = {
    "type": "match.completed",
    "actor": {"user_id": "ana", "metadata": {"level": 7}},
    "attrs": {
        "score": 50,
        "exact": Decimal("0.1"),
        "float": 0.1,
        "text": "50",
        "yes": True,
        "none": None,
        "list": [1, {"points": 3}],
        "with space": 4,
        "zero": 0,
        "negative": Decimal("-2.5"),
        "wide": Decimal("12345678901234567890123456789012345678.5"),
        "nan": Decimal("NaN"),
    },
}


def evaluate(text: str, root: dict[str, Any] = ROOT) -> Decimal:
    return compile_expression(text).evaluate(root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1"),
        ("1.25", "1.25"),
        ("007", "7"),
        ("attrs.score", "50"),
        ("actor.metadata.level", "7"),
        ("attrs.list.0", "1"),
        ("attrs.list.1.points", "3"),
        ('attrs["with space"]', "4"),
        ('attrs . list [ "1" ] . points', "3"),
        ("1+2*3", "7"),
        ("(1+2)*3", "9"),
        ("10-4-3", "3"),
        ("24/4/3", "2"),
        ("2*-3", "-6"),
        ("-(1+2)", "-3"),
        ("-attrs.negative", "2.5"),
        ("1--1", "2"),
        ("\t1 \r\n+ 1 ", "2"),
        ("0.1+0.2", "0.3"),
        ("attrs.exact+attrs.float", "0.2"),
        ("1/3", "0.3333333333333333333333333333"),
        ("2/3", "0.6666666666666666666666666667"),
        ("min(3,1,2)", "1"),
        ("max(3,attrs.score,2)", "50"),
        ("min(5)", "5"),
        ("abs(attrs.negative)", "2.5"),
        ("floor(attrs.negative)", "-3"),
        ("ceil(attrs.negative)", "-2"),
        ("floor(2.999)", "2"),
        ("ceil(2.001)", "3"),
        ("round(2.5)", "2"),
        ("round(3.5)", "4"),
        ("round(-2.5)", "-2"),
        ("round(2.675, 2)", "2.68"),
        ("round(2.665, 2)", "2.66"),
        ("round(1, 9)", "1"),
        ("round(attrs.wide)", "12345678901234567890123456789012345678"),
        ("floor(attrs.wide)", "12345678901234567890123456789012345678"),
        ("attrs.wide", "12345678901234567890123456789012345678.5"),
        ("-abs(attrs.wide)", "-12345678901234567890123456789012345678.5"),
        ("attrs.wide + 0", "12345678901234567890123456790000000000"),
    ],
)
def test_an_expression_has_the_value_of_its_arithmetic(text: str, expected: str) -> None:
    assert evaluate(text) == Decimal(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("attrs.missing", "points_missing"),
        ("attrs.list.9", "points_missing"),
        ("attrs.score.deeper", "points_missing"),
        ("attrs.missing * 0", "points_missing"),
        ("max(1, attrs.missing)", "points_missing"),
        ("attrs.text", "points_not_a_number"),
        ("attrs.yes", "points_not_a_number"),
        ("attrs.none", "points_not_a_number"),
        ("attrs.list", "points_not_a_number"),
        ("attrs.nan", "points_not_a_number"),
        ("1/attrs.zero", "division_by_zero"),
        ("0/0", "division_by_zero"),
        ("attrs.score/(1-1)", "division_by_zero"),
        ("coalesce(attrs.missing, attrs.text)", "points_not_a_number"),
        ("coalesce(attrs.text, attrs.missing)", "points_missing"),
    ],
)
def test_an_expression_without_a_value_says_why(text: str, reason: str) -> None:
    with pytest.raises(ExpressionFailure) as failure:
        evaluate(text)

    assert failure.value.reason == reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("coalesce(attrs.score, 1)", 50),
        ("coalesce(attrs.missing, 1)", 1),
        ("coalesce(attrs.text, attrs.none, attrs.yes, attrs.score)", 50),
        ("coalesce(attrs.missing + 1, 2)", 2),
        ("coalesce(1/attrs.zero, 3)", 3),
        ("coalesce(attrs.zero, 1)", 0),
        ("coalesce(coalesce(attrs.missing, attrs.text), 4)", 4),
    ],
)
def test_coalesce_takes_the_first_argument_that_has_a_number(text: str, expected: int) -> None:
    assert evaluate(text) == expected


@pytest.mark.parametrize("root", [{}, {"attrs": None}, {"attrs": []}, {"attrs": 5}])
def test_an_event_without_attrs_has_no_points(root: dict[str, Any]) -> None:
    with pytest.raises(ExpressionFailure) as failure:
        evaluate("attrs.score", root)

    assert failure.value.reason == "points_missing"


def test_a_result_beyond_every_exponent_is_out_of_range() -> None:
    huge = {"attrs": {"n": Decimal("1E+900000")}}

    with pytest.raises(ExpressionFailure) as failure:
        evaluate("attrs.n * attrs.n", huge)

    assert failure.value.reason == "out_of_range"


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("   ", 3),
        ("1 2", 2),
        ("1 +", 3),
        ("+1", 0),
        ("--1", 1),
        ("- -1", 2),
        ("1.", 1),
        (".5", 0),
        ("1 .5", 2),
        ("1e5", 1),
        ("1_000", 1),
        ("0x10", 1),
        ("(1", 2),
        ("1)", 1),
        ("()", 1),
        ("2**3", 2),
        ("2//3", 2),
        ("2%3", 1),
        ("attrs", 0),
        ("attrs.", 6),
        ("attrs.a.", 8),
        ("attrs..a", 6),
        ("attrs.a-b.c", 8),
        ("attrs.über", 6),
        ("attrs[0]", 6),
        ("attrs['a']", 6),
        ('attrs["a"', 9),
        ('attrs["a', 6),
        ("attrs.²", 6),
        ("²", 0),
        ("actor.user_id", 0),
        ("actor", 5),
        ("actor + 1", 6),
        ("actor.metadata", 0),
        ("type", 0),
        ("score", 0),
        ("min", 3),
        ("min()", 4),
        ("min(1,)", 6),
        ("min(1 2)", 6),
        ("abs(1,2)", 5),
        ("floor()", 6),
        ("round(1,)", 8),
        ("round(1,12)", 8),
        ("round(1,-1)", 8),
        ("round(1,1+1)", 9),
        ("round(1,2,3)", 9),
        ("sqrt(4)", 0),
        ('__import__("os")', 0),
        ("attrs.__class__()", 15),
        ("lambda: 1", 0),
        ("1; 2", 1),
        ('"text"', 0),
        ("1 = 1", 2),
        ("attrs.a\u00a0+1", 7),
    ],
)
def test_what_is_not_in_the_grammar_is_refused_where_it_stops(text: str, position: int) -> None:
    with pytest.raises(ExpressionError) as error:
        compile_expression(text)

    assert error.value.position == position
    assert error.value.message


@pytest.mark.parametrize("value", [None, 5, b"1", ["1"]])
def test_only_a_string_is_an_expression(value: Any) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(value)


@pytest.mark.parametrize(
    ("longest", "too_long"),
    [
        ("1" + " " * 499, "1" + " " * 500),
        ("+".join(["1"] * 32), "+".join(["1"] * 33)),  # 32 numbers and 31 operators are 63 nodes
        ("-" + "+".join(["1"] * 32), "-1+" + "+-".join(["1"] * 22)),
        ("(" * 16 + "1" + ")" * 16, "(" * 17 + "1" + ")" * 17),
        ("abs(" * 16 + "1" + ")" * 16, "abs(" * 17 + "1" + ")" * 17),
        ("attrs" + ".a" * 8, "attrs" + ".a" * 9),
        ("actor.metadata" + ".a" * 8, "actor.metadata" + ".a" * 9),
        ("9" * 15, "9" * 16),
        ("1.23456789012345", "1.234567890123456"),
    ],
)
def test_every_bound_is_the_last_that_passes(longest: str, too_long: str) -> None:
    compile_expression(longest)

    with pytest.raises(ExpressionError):
        compile_expression(too_long)


def test_parentheses_side_by_side_do_not_nest() -> None:
    assert evaluate("+".join(["(1)"] * 30)) == 30


def test_paths_are_listed_once_in_one_spelling() -> None:
    expression = compile_expression(
        'attrs.a + attrs["a"] * max(actor . metadata.b, attrs["x y"].0)'
    )

    assert expression.paths == ("attrs.a", "actor.metadata.b", 'attrs["x y"].0')


def test_equal_texts_are_equal_expressions() -> None:
    assert compile_expression("attrs.a") == compile_expression("attrs.a")
    assert compile_expression("attrs.a") != compile_expression("attrs.b")


def test_the_callers_decimal_context_changes_nothing() -> None:
    with localcontext() as context:
        context.prec = 3

        assert evaluate("1/3") == Decimal("0.3333333333333333333333333333")
        assert evaluate("-attrs.wide") == Decimal("-12345678901234567890123456789012345678.5")
        assert evaluate("round(123456.5)") == 123_456


OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}


def _combine(
    inner: st.SearchStrategy[tuple[str, int]],
) -> st.SearchStrategy[tuple[str, int]]:
    def binary(parts: tuple[tuple[str, int], str, tuple[str, int]]) -> tuple[str, int]:
        (left, left_value), symbol, (right, right_value) = parts
        return f"({left}) {symbol}({right})", OPERATIONS[symbol](left_value, right_value)

    def call(parts: tuple[str, list[tuple[str, int]]]) -> tuple[str, int]:
        name, arguments = parts
        choose = min if name == "min" else max
        text = ", ".join(argument for argument, _ in arguments)
        return f"{name}({text})", choose(value for _, value in arguments)

    return (
        st.tuples(inner, st.sampled_from("+-*"), inner).map(binary)
        | st.tuples(st.sampled_from(["min", "max"]), st.lists(inner, min_size=1, max_size=3)).map(
            call
        )
        | inner.map(lambda part: (f"abs({part[0]})", abs(part[1])))
        | inner.map(lambda part: (f"-({part[0]})", -part[1]))
        | inner.map(lambda part: (f"floor({part[0]})", part[1]))
    )


terms = st.recursive(
    st.integers(0, 999).map(lambda number: (str(number), number)) | st.just(("attrs.score", 50)),
    _combine,
    max_leaves=6,
)


@given(terms)
def test_whole_numbers_agree_with_exact_arithmetic(term: tuple[str, int]) -> None:
    text, value = term
    try:
        expression = compile_expression(text)
    except ExpressionError as error:
        assert "at most" in error.message  # noqa: PT017 - only a bound may refuse it
        return

    assert expression.evaluate(ROOT) == value


symbols = st.sampled_from(".[](),+-*/ \"\n'é")
words = st.sampled_from(["attrs", "actor", "metadata", "score", "min", "coalesce", "round", "12.5"])
tokens = symbols | words | st.sampled_from(["abs", "1", "0", '"a"', "__import__"])


@given(st.text(max_size=60) | st.lists(tokens, max_size=40).map("".join))
def test_no_text_does_anything_but_compile_or_raise_expression_error(text: str) -> None:
    try:
        expression = compile_expression(text)
    except ExpressionError as error:
        assert 0 <= error.position <= len(text)  # noqa: PT017 - both outcomes are right
        return
    try:
        value = expression.evaluate(ROOT)
    except ExpressionFailure:
        return
    assert value.is_finite()


def test_the_largest_expression_compiles_and_runs_in_no_time() -> None:
    text = "*".join(["attrs.wide"] * 32)
    started = time.perf_counter()

    expression = compile_expression(text)
    for _ in range(100):
        expression.evaluate(ROOT)

    assert time.perf_counter() - started < 1
