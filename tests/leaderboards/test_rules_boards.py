from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.exceptions import ConfigError
from leaderboards.rules.boards import (
    find_id_faults,
    find_value_faults,
    merge_board,
    read_board,
)
from phoenix_site.common.differences import differences

CONFIG: dict[str, Any] = {
    "timeframe": {"type": "weekly"},
    "scoring": {"rules": [{"event_type": "a", "points_expression": "1"}]},
}
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abc"), documents, max_size=3)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patches_merge_as_rfc_7396_shows(
    target: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]
) -> None:
    """The examples of RFC 7396 appendix A whose documents are objects."""
    assert merge_board(target, patch) == result


@given(objects, objects)
def test_merging_a_patch_twice_changes_nothing_more(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    once = merge_board(target, patch)

    assert merge_board(once, patch) == once


@given(objects, objects)
def test_merging_leaves_both_documents_as_they_were(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = (repr(target), repr(patch))

    merge_board(target, patch)

    assert (repr(target), repr(patch)) == before


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        (
            {"type": "weekly", "reset_day": "monday", "reset_time": "00:00"},
            {"type": "daily"},
            {"type": "daily", "reset_time": "00:00"},
        ),
        (
            {"type": "weekly", "reset_day": "monday", "reset_time": "00:00"},
            {"type": "monthly"},
            {"type": "monthly", "reset_time": "00:00"},
        ),
        (
            {"type": "weekly", "reset_day": "monday"},
            {"type": "monthly", "reset_day": 3},
            {"type": "monthly", "reset_day": 3},
        ),
        (
            {"type": "custom", "start_at": "a", "end_at": "b"},
            {"type": "all_time"},
            {"type": "all_time"},
        ),
        (
            {"type": "weekly", "reset_day": "friday"},
            {"type": "weekly"},
            {"type": "weekly", "reset_day": "friday"},
        ),
        (
            {"type": "weekly", "reset_day": "friday"},
            {"type": "rolling"},
            {"type": "rolling", "reset_day": "friday"},
        ),
    ],
)
def test_another_type_drops_what_it_does_not_have(
    old: dict[str, Any], new: dict[str, Any], merged: dict[str, Any]
) -> None:
    result = merge_board({"config": {"timeframe": old}}, {"config": {"timeframe": new}})

    assert result == {"config": {"timeframe": merged}}


def test_differences_name_paths_and_compare_values_not_spellings() -> None:
    before = {"name": "a", "config": {"x": {"y": 1, "z": [1]}, "gone": True}}
    after = {"name": "b", "config": {"x": {"y": 1.0, "z": [1, 2]}, "new": {}}}

    assert [tuple(each) for each in differences(before, after)] == [
        ("config.gone", True, None),
        ("config.new", None, {}),
        ("config.x.z", [1], [1, 2]),
        ("name", "a", "b"),
    ]


def test_a_board_is_read_with_its_defaults() -> None:
    fields = read_board({"name": "X", "config": CONFIG, "unknown": 1})

    assert (fields.name, fields.description, fields.reward_config_id) == ("X", "", None)
    assert read_board(fields.document) == fields


@pytest.mark.parametrize(
    "document", [{}, {"name": None}, {"name": 1}, {"config": []}, {"config": 3}, {"name": "\x01"}]
)
def test_a_board_that_is_none_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        read_board(document)


@pytest.mark.parametrize("board_id", ["a", "A-_9", "0" * 64, "xp-weekly-global"])
def test_ids_that_fit(board_id: str) -> None:
    assert find_id_faults({"leaderboard_id": board_id}) == []


@pytest.mark.parametrize(
    "board_id", [None, 1, "", "-a", "_a", "a\n", "a b", "é", "0" * 65, "backtests"]
)
def test_ids_that_do_not_fit(board_id: Any) -> None:
    assert [fault.path for fault in find_id_faults({"leaderboard_id": board_id})] == [
        "leaderboard_id"
    ]


def test_nesting_without_end_is_one_fault() -> None:
    document: dict[str, Any] = {"config": {}}
    inner = document["config"]
    for _ in range(5000):
        inner["a"] = inner = {}

    assert [fault.path for fault in find_value_faults(document)] == ["config"]


def test_texts_that_no_database_takes_are_named() -> None:
    document = {"name": "a\x00", "config": {"a": ["\ud800"], "b\x00": 1}, "other": "\x00"}

    paths = sorted(fault.path for fault in find_value_faults(document))

    assert paths == ["config", "config.a.0", "name"]
