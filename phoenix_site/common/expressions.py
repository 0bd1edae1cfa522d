"""Points expressions: a small arithmetic over the numbers of an event.

The text is read by a hand-written parser into closures; nothing ever reaches an interpreter.
The grammar and its bounds are documented for integrators under "Points expressions".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Any, Final, Literal

from phoenix_site.common.paths import ABSENT, as_number, compile_reader, format_path

__all__ = [
    "Expression",
    "ExpressionError",
    "ExpressionFailure",
    "FailureReason",
    "compile_expression",
]

MAX_LENGTH: Final = 500
MAX_NODES: Final = 64
MAX_NESTING: Final = 16
MAX_STEPS: Final = 8
MAX_DIGITS: Final = 15

_PATH_HINT: Final = "a path starts with attrs. or actor.metadata."

FailureReason = Literal["points_missing", "points_not_a_number", "division_by_zero", "out_of_range"]
Evaluator = Callable[[Mapping[str, Any]], Decimal]


def _context(digits: int) -> Context:
    return Context(
        prec=digits,
        rounding=ROUND_HALF_EVEN,
        Emin=-999_999,
        Emax=999_999,
        capitals=1,
        clamp=0,
        traps=[InvalidOperation, DivisionByZero, Overflow],
    )


_CONTEXT: Final = _context(28)
# Wide enough for every value that 64 nodes can make of event numbers, so that rounding to a
# number of decimals never also rounds to 28 digits.
_EXACT: Final = _context(10_000)


class ExpressionError(ValueError):
    """The text is not an expression; it stops being one at the 0-based ``position``."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class ExpressionFailure(Exception):  # noqa: N818 - the text is right, this event lacks something
    """The expression has no value for this event; ``reason`` says why."""

    def __init__(self, reason: FailureReason) -> None:
        super().__init__(reason)
        self.reason: FailureReason = reason


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; equal texts are equal expressions.

    ``evaluate(root)`` returns a finite ``Decimal`` or raises ``ExpressionFailure``. It is a field,
    not a method, because one call less counts on the path of every scored event.
    """

    text: str
    paths: tuple[str, ...] = field(compare=False)
    evaluate: Evaluator = field(compare=False, repr=False)


def compile_expression(text: str) -> Expression:
    """Return the compiled form of ``text``.

    Raises: ``ExpressionError``, and nothing else, whatever the text.
    """
    if not isinstance(text, str):
        raise ExpressionError("an expression is a string", 0)
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression has at most {MAX_LENGTH} characters", MAX_LENGTH)
    parser = _Parser(text)
    evaluate = parser.parse()
    return Expression(text, tuple(parser.paths), evaluate)


_SPACE: Final = " \t\r\n"
_match_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").match
_match_name_or_digits = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+").match
_match_digits = re.compile(r"[0-9]+").match
_match_number = re.compile(r"[0-9]+(?:\.[0-9]+)?").match
_match_quoted = re.compile(r'"([^"]*)"').match


class _Parser:
    """Recursive descent without a token list: whether ``.5`` is a step depends on the place."""

    def __init__(self, text: str) -> None:
        self.paths: dict[str, None] = {}
        self._text = text
        self._position = 0
        self._node_count = 0
        self._nesting = 0

    def parse(self) -> Evaluator:
        evaluate = self._parse_expression()
        if self._peek():
            raise self._unexpected()
        return evaluate

    def _parse_expression(self) -> Evaluator:
        left = self._parse_term()
        while (operator := self._peek()) in ("+", "-"):
            self._take_node()
            self._position += 1
            left = _OPERATORS[operator](left, self._parse_term())
        return left

    def _parse_term(self) -> Evaluator:
        left = self._parse_factor()
        while (operator := self._peek()) in ("*", "/"):
            self._take_node()
            self._position += 1
            left = _OPERATORS[operator](left, self._parse_factor())
        return left

    def _parse_factor(self) -> Evaluator:
        if self._peek() != "-":
            return self._parse_operand()
        self._take_node()
        self._position += 1
        return _negation(self._parse_operand())

    def _parse_operand(self) -> Evaluator:
        if self._peek() == "(":
            self._open()
            evaluate = self._parse_expression()
            self._close()
            return evaluate
        self._take_node()
        if (number := _match_number(self._text, self._position)) is not None:
            return self._parse_number(number.group())
        if (name := _match_name(self._text, self._position)) is not None:
            return self._parse_named(name.group())
        raise self._unexpected()

    def _parse_named(self, name: str) -> Evaluator:
        start = self._position
        self._position += len(name)
        if name in ("attrs", "actor"):
            return self._parse_path(name, start)
        if name == "round" or name in _FUNCTIONS:
            return self._parse_call(name)
        raise ExpressionError(f"unknown name {name!r}; {_PATH_HINT}", start)

    def _parse_number(self, text: str) -> Evaluator:
        if len(text.replace(".", "")) > MAX_DIGITS:
            raise ExpressionError(f"a number has at most {MAX_DIGITS} digits", self._position)
        self._position += len(text)
        value = Decimal(text)
        return lambda root: value

    def _parse_path(self, root_name: str, start: int) -> Evaluator:
        steps = [root_name]
        if root_name == "actor":
            steps.append("metadata")
            if self._parse_step() != "metadata":
                raise ExpressionError(_PATH_HINT, start)
        root_length = len(steps)
        while self._peek() in (".", "["):
            steps.append(self._parse_step())
            if len(steps) - root_length > MAX_STEPS:
                raise ExpressionError(f"a path has at most {MAX_STEPS} steps", start)
        if len(steps) == root_length:
            raise ExpressionError(f"{format_path(steps)} needs a step, as in attrs.score", start)
        self.paths[format_path(steps)] = None
        return _path_value(steps)

    def _parse_step(self) -> str:
        opening = self._peek()
        if opening not in (".", "["):
            raise self._unexpected()
        self._position += 1
        self._peek()
        if opening == ".":
            return self._take(_match_name_or_digits).group()
        name = self._take(_match_quoted).group(1)
        self._expect("]")
        return name

    def _take(self, match_at: Callable[[str, int], re.Match[str] | None]) -> re.Match[str]:
        match = match_at(self._text, self._position)
        if match is None:
            raise self._unexpected()
        self._position = match.end()
        return match

    def _parse_call(self, name: str) -> Evaluator:
        if self._peek() != "(":
            raise ExpressionError(f"{name} needs its arguments in parentheses", self._position)
        self._open()
        arguments = [self._parse_expression()]
        if name == "round":
            places = self._parse_places()
            self._close()
            return _rounding(arguments[0], places)
        while name in _VARIADIC and self._peek() == ",":
            self._position += 1
            arguments.append(self._parse_expression())
        self._close()
        return _FUNCTIONS[name](arguments)

    def _parse_places(self) -> int:
        if self._peek() != ",":
            return 0
        self._position += 1
        self._peek()
        match = _match_digits(self._text, self._position)
        if match is None or len(match.group()) != 1:
            raise ExpressionError(
                "round takes one digit, 0 to 9, as its second argument", self._position
            )
        self._position = match.end()
        return int(match.group())

    def _peek(self) -> str:
        """Skip white space and return the next character, empty at the end."""
        rest = self._text[self._position :].lstrip(_SPACE)
        self._position = len(self._text) - len(rest)
        return rest[:1]

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._unexpected(f"; {character!r} is missing")
        self._position += 1

    def _open(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise ExpressionError(f"at most {MAX_NESTING} levels of parentheses", self._position)
        self._position += 1

    def _close(self) -> None:
        self._expect(")")
        self._nesting -= 1

    def _take_node(self) -> None:
        self._node_count += 1
        if self._node_count > MAX_NODES:
            raise ExpressionError(
                f"at most {MAX_NODES} numbers, paths, operators and functions", self._position
            )

    def _unexpected(self, hint: str = "") -> ExpressionError:
        character = self._text[self._position : self._position + 1]
        what = f"unexpected {character!r}" if character else "the expression ends too early"
        return ExpressionError(what + hint, self._position)


def _path_value(steps: Sequence[str]) -> Evaluator:
    read = compile_reader(steps)

    def evaluate(root: Mapping[str, Any]) -> Decimal:
        value = read(root)
        if type(value) is int:
            return Decimal(value)
        number = as_number(value)
        if number is None:
            raise ExpressionFailure("points_missing" if value is ABSENT else "points_not_a_number")
        return number  # type: ignore[return-value]  # integers are gone by now

    return evaluate


def _arithmetic(operate: Callable[[Decimal, Decimal], Decimal]) -> Callable[..., Evaluator]:
    def compile_operation(left: Evaluator, right: Evaluator) -> Evaluator:
        def evaluate(root: Mapping[str, Any]) -> Decimal:
            try:
                return operate(left(root), right(root))
            except (Overflow, InvalidOperation) as exc:
                raise ExpressionFailure("out_of_range") from exc

        return evaluate

    return compile_operation


def _divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    if not divisor:
        raise ExpressionFailure("division_by_zero")
    return _CONTEXT.divide(dividend, divisor)


def _negation(operand: Evaluator) -> Evaluator:
    # Sign changes copy: the operators of Decimal would round to the thread's own context.
    return lambda root: operand(root).copy_negate()


def _absolute(arguments: list[Evaluator]) -> Evaluator:
    (operand,) = arguments
    return lambda root: operand(root).copy_abs()


def _floor(arguments: list[Evaluator]) -> Evaluator:
    (operand,) = arguments
    return lambda root: operand(root).to_integral_value(ROUND_FLOOR, _EXACT)


def _ceiling(arguments: list[Evaluator]) -> Evaluator:
    (operand,) = arguments
    return lambda root: operand(root).to_integral_value(ROUND_CEILING, _EXACT)


def _rounding(operand: Evaluator, places: int) -> Evaluator:
    unit = Decimal(1).scaleb(-places)
    return lambda root: operand(root).quantize(unit, ROUND_HALF_EVEN, _EXACT)


def _smallest(arguments: list[Evaluator]) -> Evaluator:
    return lambda root: min([argument(root) for argument in arguments])


def _largest(arguments: list[Evaluator]) -> Evaluator:
    return lambda root: max([argument(root) for argument in arguments])


def _coalesce(arguments: list[Evaluator]) -> Evaluator:
    """Compile to the first argument that has a number; one that fails in any way has none."""
    *firsts, last = arguments

    def evaluate(root: Mapping[str, Any]) -> Decimal:
        for argument in firsts:
            try:
                return argument(root)
            except ExpressionFailure:
                continue
        return last(root)

    return evaluate


_OPERATORS: Final[dict[str, Callable[..., Evaluator]]] = {
    "+": _arithmetic(_CONTEXT.add),
    "-": _arithmetic(_CONTEXT.subtract),
    "*": _arithmetic(_CONTEXT.multiply),
    "/": _arithmetic(_divide),
}
_VARIADIC: Final = frozenset({"min", "max", "coalesce"})
_FUNCTIONS: Final[dict[str, Callable[[list[Evaluator]], Evaluator]]] = {
    "min": _smallest,
    "max": _largest,
    "coalesce": _coalesce,
    "abs": _absolute,
    "floor": _floor,
    "ceil": _ceiling,
}
