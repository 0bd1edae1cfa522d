"""Curves: what a document must be, and which level and rank an amount reaches."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.exceptions import DocumentError
from rewards.rules import ladders
from rewards.rules.ladders import parse_curve

ITEM = uuid4()


def level(number: int, xp: float | str, **more: Any) -> dict[str, Any]:
    return {"level": number, "xp_required": xp, **more}


def rank(rank_id: str, levels: list[int], **more: Any) -> dict[str, Any]:
    return {"rank_id": rank_id, "name": rank_id.title(), "levels": levels, **more}


THREE = [level(1, 0), level(2, 100, item_ids=[str(ITEM)]), level(3, 300)]


def faults_of(levels: Any, ranks: Any = None) -> dict[str, str]:
    with pytest.raises(DocumentError) as caught:
        parse_curve(levels, ranks)
    return {fault.path: fault.message for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("total", "expected"),
    [("0", 1), ("99.9", 1), ("100", 2), ("299", 2), ("300", 3), ("1000000", 3)],
)
def test_the_level_is_the_highest_whose_threshold_is_reached(total: str, expected: int) -> None:
    assert parse_curve(THREE, []).level_for(Decimal(total)) == expected


def test_ranges_that_touch_say_the_same_as_thresholds() -> None:
    ranges = [
        {"level": 1, "xp_range": {"start": 0, "end": 100}},
        {"level": 2, "xp_range": {"start": 100, "end": 300}},
        {"level": 3, "xp_range": {"start": 300, "end": 1000}},
    ]

    assert parse_curve(ranges, []).thresholds == parse_curve(THREE, []).thresholds


def test_ranges_with_a_gap_are_refused() -> None:
    ranges = [
        {"level": 1, "xp_range": {"start": 0, "end": 99}},
        {"level": 2, "xp_range": {"start": 100, "end": 300}},
    ]

    assert faults_of(ranges) == {
        "levels.1.xp_range.start": "must be where the level below ends",
    }


def test_every_fault_of_a_document_is_named_at_once() -> None:
    levels = [level(1, 5), level(3, 5, item_ids=["x"], by_category={"vip": []}), level(3, "a")]
    ranks = [rank("Gold!", [2]), rank("silver", [1, 3]), rank("bronze", [9])]

    faults = faults_of(levels, ranks)

    assert set(faults) == {
        "levels.0.xp_required",
        "levels.1.level",
        "levels.1.xp_required",
        "levels.1.by_category",
        "levels.1.item_ids.0",
        "levels.2.xp_required",
        "ranks.0.rank_id",
        "ranks.1.levels",
        "ranks.2.levels",
        "ranks",
    }
    assert faults["levels.1.by_category"] == "not supported yet"


@pytest.mark.parametrize("levels", [None, [], "levels", {"level": 1}])
def test_a_ladder_needs_levels(levels: Any) -> None:
    assert "levels" in faults_of(levels)


def test_two_ranks_never_share_a_level() -> None:
    assert faults_of(THREE, [rank("low", [1, 2]), rank("high", [2, 3])]) == {
        "ranks": "low and high share level 2"
    }


def test_a_climb_enters_every_rank_on_its_way_once() -> None:
    levels = [level(number, 10 * (number - 1)) for number in range(1, 8)]
    curve = parse_curve(levels, [rank("a", [1, 2]), rank("b", [3, 4]), rank("c", [6])])

    assert [entered.rank_id for entered in ladders.ranks_gained(curve, 1, 7)] == ["b", "c"]
    assert [entered.rank_id for entered in ladders.ranks_gained(curve, 3, 4)] == []
    assert [entered.rank_id for entered in ladders.ranks_gained(curve, 4, 5)] == []
    assert list(ladders.levels_gained(1, 4)) == [2, 3, 4]


def test_the_stored_form_reads_back_as_the_same_curve() -> None:
    curve = parse_curve(THREE, [rank("gold", [2, 3], weight=7)])

    again = parse_curve(ladders.levels_document(curve), ladders.ranks_document(curve))

    assert again == curve


@given(
    st.lists(st.integers(1, 10**6), min_size=0, max_size=40),
    st.integers(0, 10**8),
)
def test_a_level_never_falls_when_the_total_rises(steps: list[int], total: int) -> None:
    thresholds = [0]
    for step in steps:
        thresholds.append(thresholds[-1] + step)
    curve = parse_curve([level(n, xp) for n, xp in enumerate(thresholds, start=1)], [])

    reached = curve.level_for(Decimal(total))

    assert curve.step(reached).xp_required <= total
    above = curve.next_step(reached)
    assert above is None or above.xp_required > total
    assert curve.level_for(Decimal(total + 1)) >= reached
