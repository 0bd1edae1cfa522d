from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_site.common.paths import (
    ABSENT,
    Roots,
    as_number,
    compile_reader,
    format_path,
    parse_path,
)

ROOT = {
    "type": "match.completed",
    "actor": {"user_id": "ana", "metadata": {"region": "na-east"}},
    "attrs": {"items": [{"price": 5}, [1, 2]], "a b": {"c.d": 1}, "none": None, "0": "zero"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("type", "match.completed"),
        ("actor.user_id", "ana"),
        ("actor.metadata.region", "na-east"),
        ("attrs.items.0.price", 5),
        ("attrs.items.1.1", 2),
        ("attrs.0", "zero"),
        ('attrs["a b"]["c.d"]', 1),
        ("attrs.none", None),
        ("attrs.missing", ABSENT),
        ("attrs.none.deeper", ABSENT),
        ("attrs.items.2", ABSENT),
        ("attrs.items.-1", ABSENT),
        ("attrs.items.price", ABSENT),
        ("attrs.items.0.price.0", ABSENT),
        ("actor.user_id.0", ABSENT),
        ("type.0", ABSENT),
        ("nothing", ABSENT),
        ("nothing.at.all", ABSENT),
    ],
)
def test_a_path_reads_keys_and_list_elements(text: str, value: Any) -> None:
    assert compile_reader(parse_path(text))(ROOT) == value


def test_any_mapping_is_an_object() -> None:
    root = MappingProxyType({"attrs": MappingProxyType({"a": MappingProxyType({"b": 1})})})

    assert compile_reader(("attrs", "a", "b"))(root) == 1
    assert compile_reader(("attrs", "b"))(root) is ABSENT


@pytest.mark.parametrize(
    "text",
    ["", ".", "attrs.", ".attrs", "attrs..a", "a b", '["a"]', 'attrs.["a"]', "attrs[0]", 'a["b', 5],
)
def test_what_is_no_path_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a path|must be a string"):
        parse_path(text)


def test_a_path_has_bounds() -> None:
    with pytest.raises(ValueError, match="16 steps"):
        parse_path(".".join("a" * 17))
    with pytest.raises(ValueError, match="500 characters"):
        parse_path("a" * 501)


def test_equal_paths_have_one_spelling() -> None:
    assert format_path(parse_path('attrs["score"].0["a b"]')) == 'attrs.score.0["a b"]'


quoted = st.text(st.characters(exclude_characters='"', codec="utf-8"), max_size=8)


@given(st.lists(quoted, max_size=6))
def test_a_spelled_path_reads_back(steps: list[str]) -> None:
    assert parse_path(format_path(["attrs", *steps])) == ("attrs", *steps)


def test_roots_with_a_dot_need_a_step_and_others_are_whole() -> None:
    roots = Roots({"type", "attrs.", "actor.metadata."})

    assert roots.allow(("type",))
    assert roots.allow(("attrs", "a", "b"))
    assert roots.allow(("actor", "metadata", "region"))
    for steps in [("attrs",), ("type", "a"), ("actor", "metadata"), ("actor", "user_id")]:
        assert not roots.allow(steps)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        (Decimal("1.50"), Decimal("1.5")),
        (0.1, Decimal("0.1")),
        (True, None),
        ("5", None),
        (None, None),
        ([1], None),
        (float("nan"), None),
        (float("inf"), None),
        (Decimal("NaN"), None),
        (Decimal("sNaN"), None),
        (Decimal("-Infinity"), None),
    ],
)
def test_only_finite_numbers_are_numbers(value: Any, expected: Any) -> None:
    assert as_number(value) == expected
