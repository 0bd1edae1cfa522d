"""Paths into an event: ``attrs.items.0.price``, read by expressions and conditions alike."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, Final

__all__ = ["ABSENT", "Reader", "Roots", "as_number", "compile_reader", "format_path", "parse_path"]

MAX_PATH_LENGTH: Final = 500
MAX_PATH_STEPS: Final = 16  # an event nests no deeper

Reader = Callable[[Mapping[str, Any]], Any]


class Absent(Enum):
    """What a path that leads nowhere reads; ``None`` is a value that an event may hold."""

    ABSENT = "path absent"


ABSENT: Final = Absent.ABSENT

_PLAIN_STEP = r'[^.\[\]"\s]+'
_QUOTED_STEP = r'\["[^"]*"\]'
_is_path = re.compile(rf"{_PLAIN_STEP}(?:\.{_PLAIN_STEP}|{_QUOTED_STEP})*").fullmatch
_find_steps = re.compile(rf'{_PLAIN_STEP}|\["([^"]*)"\]').finditer
_needs_no_quotes = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+").fullmatch


def parse_path(text: str) -> tuple[str, ...]:
    """Return the steps of a path: names joined by dots, or ``["any text"]`` after a step.

    Raises: ``ValueError`` that says what is wrong.
    """
    if not isinstance(text, str):
        raise ValueError("must be a string")  # noqa: TRY004 - callers handle one kind of error
    if len(text) > MAX_PATH_LENGTH:
        raise ValueError(f"is longer than {MAX_PATH_LENGTH} characters")
    if _is_path(text) is None:
        raise ValueError("is not a path")
    steps = tuple(
        match.group() if match.group(1) is None else match.group(1) for match in _find_steps(text)
    )
    if len(steps) > MAX_PATH_STEPS:
        raise ValueError(f"has more than {MAX_PATH_STEPS} steps")
    return steps


class Roots:
    """Where paths may start: ``"attrs."`` allows all below ``attrs``, ``"type"`` only itself."""

    def __init__(self, roots: Collection[str]) -> None:
        self.in_words = ", ".join(sorted(roots))
        self._whole_paths = {parse_path(root) for root in roots if not root.endswith(".")}
        self._prefixes = [parse_path(root[:-1]) for root in roots if root.endswith(".")]

    def allow(self, steps: tuple[str, ...]) -> bool:
        """Whether a path of these steps exists."""
        return steps in self._whole_paths or any(
            len(steps) > len(prefix) and steps[: len(prefix)] == prefix for prefix in self._prefixes
        )


def format_path(steps: Sequence[str]) -> str:
    """Return the one way to write ``steps``, so that equal paths are equal texts."""
    first, *others = steps
    return first + "".join(
        f".{step}" if _needs_no_quotes(step) else f'["{step}"]' for step in others
    )


def compile_reader(steps: Sequence[str]) -> Reader:
    """Return a function that reads ``steps`` from a root and gives ``ABSENT`` where they end early.

    A step is a key of an object; one of digits is also an index into a list.
    """
    if len(steps) == 1:
        name = steps[0]
        return lambda root: root.get(name, ABSENT)
    if len(steps) == 2:
        return _compile_pair_reader(*steps)
    return _compile_long_reader(tuple(steps))


def _compile_pair_reader(first: str, second: str) -> Reader:
    index = _index_of(second)

    def read(root: Mapping[str, Any]) -> Any:
        container = root.get(first)
        if type(container) is dict:
            return container.get(second, ABSENT)
        return _read_step(container, second, index)

    return read


def _compile_long_reader(steps: tuple[str, ...]) -> Reader:
    indexed_steps = tuple((step, _index_of(step)) for step in steps)

    def read(root: Mapping[str, Any]) -> Any:
        value: Any = root
        for name, index in indexed_steps:
            value = (
                value.get(name, ABSENT) if type(value) is dict else _read_step(value, name, index)
            )
            if value is ABSENT:
                return ABSENT
        return value

    return read


def _index_of(step: str) -> int | None:
    return int(step) if step.isascii() and step.isdigit() else None


def _read_step(container: Any, name: str, index: int | None) -> Any:
    if isinstance(container, Mapping):
        return container.get(name, ABSENT)
    if index is not None and isinstance(container, list | tuple) and index < len(container):
        return container[index]
    return ABSENT


def as_number(value: Any) -> int | Decimal | None:
    """Return ``value`` as an exact number, ``None`` if it is none; a boolean or text never is."""
    kind = type(value)
    if kind is int:
        return value  # type: ignore[no-any-return]  # mypy does not narrow by type()
    if kind is Decimal:
        return value if value.is_finite() else None
    if kind is float and isfinite(value):
        # Through text: the shortest decimal that reads back as this float is what was written.
        return Decimal(str(value))
    return None
