"""The operators of conditions: each compiles an expected value to a test of an actual one.

A test takes what a path reads, ``ABSENT`` included, and is false for whatever it cannot compare.
Times inside an event are ``datetime``; a document names them as RFC 3339 text, and the two
compare as instants.
"""

import operator
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from phoenix_site.common.expressions import Expression, ExpressionFailure
from phoenix_site.common.paths import ABSENT, as_number
from phoenix_site.common.times import parse_rfc3339
from phoenix_site.common.values import are_equal

__all__ = ["EXPRESSION_OPERATORS", "OPERATORS", "compile_expression_test", "compile_test"]

MAX_LIST_LENGTH: Final = 1000
MAX_VALUE_NESTING: Final = 16

Test = Callable[[Any], bool]
Order = Callable[[Any, Any], bool]


def compile_test(op: str, expected: Any, *, is_instant: bool = False) -> Test:
    """Return the test of ``op``, a key of ``OPERATORS``, against ``expected``.

    ``is_instant`` says that the field always holds a time, so that anything else in the document
    is a mistake. Raises: ``ValueError`` that says what ``expected`` must be.
    """
    _check_value(expected)
    if is_instant and op != "exists":
        _check_instants(op, expected)
    return OPERATORS[op](expected)


def compile_expression_test(op: str, expression: Expression) -> Callable[[Any, Any], bool]:
    """Return a test of (actual value, root); an expression that fails makes it false."""
    compare = EXPRESSION_OPERATORS[op]

    def test(actual: Any, root: Mapping[str, Any]) -> bool:
        number = as_number(actual)
        if number is None:
            # A present value that is no number differs from every number.
            return op == "ne" and actual is not ABSENT and _has_value(expression, root)
        try:
            return compare(number, expression.evaluate(root))
        except ExpressionFailure:
            return False

    return test


def _has_value(expression: Expression, root: Mapping[str, Any]) -> bool:
    try:
        expression.evaluate(root)
    except ExpressionFailure:
        return False
    return True


def _check_value(value: Any, nesting: int = 0) -> None:
    if nesting > MAX_VALUE_NESTING:
        raise ValueError(f"nests deeper than {MAX_VALUE_NESTING} levels")
    if isinstance(value, list | tuple | Mapping):
        if len(value) > MAX_LIST_LENGTH:
            raise ValueError(f"has more than {MAX_LIST_LENGTH} values")
        for item in value.values() if isinstance(value, Mapping) else value:
            _check_value(item, nesting + 1)
    elif not isinstance(value, bool | str | None) and as_number(value) is None:
        raise ValueError("must be a JSON value, and a number must be finite")


def _check_instants(op: str, expected: Any) -> None:
    if op in ("contains", "starts_with"):
        raise ValueError(f"{op} cannot be used with a time")
    for value in (
        expected if op in ("in", "nin") and isinstance(expected, list | tuple) else [expected]
    ):
        try:
            parse_rfc3339(value)
        except ValueError as exc:
            raise ValueError(f"the time {exc}") from exc


def _as_instant(text: str) -> datetime | None:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


def _compile_eq(expected: Any) -> Test:
    if isinstance(expected, str):
        instant = _as_instant(expected)
        if instant is None:
            return lambda actual: bool(actual == expected)
        return lambda actual: actual in (expected, instant)
    if expected is None or isinstance(expected, bool):
        return lambda actual: actual is expected
    number = as_number(expected)
    if number is not None:
        return lambda actual: as_number(actual) == number
    return lambda actual: are_equal(actual, expected)


def _compile_ne(expected: Any) -> Test:
    is_equal = _compile_eq(expected)
    return lambda actual: actual is not ABSENT and not is_equal(actual)


def _compile_in(expected: Any) -> Test:
    if not isinstance(expected, list | tuple):
        raise ValueError("must be a list")  # noqa: TRY004 - a fault of the document, as all here
    texts = frozenset(value for value in expected if isinstance(value, str))
    instants = frozenset(map(_as_instant, texts))
    numbers = frozenset(number for value in expected if (number := as_number(value)) is not None)
    others = [
        value for value in expected if as_number(value) is None and not isinstance(value, str)
    ]

    def test(actual: Any) -> bool:
        if type(actual) is str:
            return actual in texts
        if type(actual) is datetime:
            return actual in instants
        number = as_number(actual)
        if number is not None:
            return number in numbers
        return any(are_equal(actual, other) for other in others)

    return test


def _compile_nin(expected: Any) -> Test:
    is_in = _compile_in(expected)
    return lambda actual: actual is not ABSENT and not is_in(actual)


def _compile_order(compare: Order) -> Callable[[Any], Test]:
    def compile_ordered(expected: Any) -> Test:
        if isinstance(expected, str):
            return _compile_text_order(compare, expected)
        number = as_number(expected)
        if number is None:
            raise ValueError("must be a number or a string")

        def test(actual: Any) -> bool:
            actual_number = as_number(actual)
            return actual_number is not None and compare(actual_number, number)

        return test

    return compile_ordered


def _compile_text_order(compare: Order, expected: str) -> Test:
    instant = _as_instant(expected)

    def test(actual: Any) -> bool:
        if type(actual) is str:
            return compare(actual, expected)
        return type(actual) is datetime and instant is not None and compare(actual, instant)

    return test


def _compile_contains(expected: Any) -> Test:
    is_equal = _compile_eq(expected)

    def test(actual: Any) -> bool:
        if type(actual) is str:
            return isinstance(expected, str) and expected in actual
        return isinstance(actual, list | tuple) and any(map(is_equal, actual))

    return test


def _compile_starts_with(expected: Any) -> Test:
    if not isinstance(expected, str):
        raise ValueError("must be a string")  # noqa: TRY004 - a fault of the document, as all here
    return lambda actual: type(actual) is str and actual.startswith(expected)


def _compile_exists(expected: Any) -> Test:
    if not isinstance(expected, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - a fault of the document
    return lambda actual: (actual is not ABSENT) is expected


OPERATORS: Final[dict[str, Callable[[Any], Test]]] = {
    "eq": _compile_eq,
    "ne": _compile_ne,
    "gt": _compile_order(operator.gt),
    "gte": _compile_order(operator.ge),
    "lt": _compile_order(operator.lt),
    "lte": _compile_order(operator.le),
    "in": _compile_in,
    "nin": _compile_nin,
    "contains": _compile_contains,
    "starts_with": _compile_starts_with,
    "exists": _compile_exists,
}
EXPRESSION_OPERATORS: Final[dict[str, Order]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
