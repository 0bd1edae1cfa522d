"""Equality of JSON values: numbers as decimals, no conversion between types, deep.

Python's own ``==`` takes ``True`` for ``1`` and compares floats with decimals bit by bit.
"""

from collections.abc import Mapping
from typing import Any

from phoenix_site.common.paths import as_number

__all__ = ["are_equal"]


def are_equal(left: Any, right: Any) -> bool:
    """Whether two JSON values (or times) are the same value."""
    number = as_number(left)
    if number is not None:
        return number == as_number(right)
    if isinstance(left, Mapping):
        return isinstance(right, Mapping) and _are_objects_equal(left, right)
    if isinstance(left, list | tuple):
        return isinstance(right, list | tuple) and _are_lists_equal(left, right)
    return type(left) is type(right) and bool(left == right)


def _are_objects_equal(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    return left.keys() == right.keys() and all(
        are_equal(value, right[key]) for key, value in left.items()
    )


def _are_lists_equal(left: list[Any] | tuple[Any, ...], right: list[Any] | tuple[Any, ...]) -> bool:
    return len(left) == len(right) and all(map(are_equal, left, right))
