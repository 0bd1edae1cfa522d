from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_site.common.values import are_equal

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, Decimal("1.00")),
        (0.1, Decimal("0.1")),
        ("a", "a"),
        (None, None),
        ([1, {"a": [2.0]}], [Decimal(1), {"a": [2]}]),
        ((1, 2), [1, 2]),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_equal_values(left: Any, right: Any) -> None:
    assert are_equal(left, right)
    assert are_equal(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        (0, None),
        ("1", 1),
        ("", None),
        ([], {}),
        ([1], [True]),
        ([1, 2], [1]),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 1}),
        (float("nan"), float("nan")),
    ],
)
def test_different_values(left: Any, right: Any) -> None:
    assert not are_equal(left, right)
    assert not are_equal(right, left)


@given(json_values)
def test_a_value_with_only_finite_numbers_equals_itself(value: Any) -> None:
    has_infinity = "inf" in repr(value)

    assert are_equal(value, value) or has_infinity
