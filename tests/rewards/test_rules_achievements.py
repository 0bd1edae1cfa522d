from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.exceptions import DocumentError
from rewards.rules import recounts
from rewards.rules.achievement_documents import (
    find_cycle,
    parse_achievement,
    parse_criteria,
    stored_criteria,
)
from rewards.rules.achievement_words import criteria_in_words
from rewards.rules.achievements import (
    AchievementBook,
    AchievementView,
    add_contribution,
    is_open,
    is_reached,
    percentage_of,
    see_number,
    status_of,
    take_unlock,
)
from rewards.types.achievements import Held, Outcome, ProgressState

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
ONE, TWO, THREE, FOUR = (UUID(int=number) for number in range(1, 5))
SUM = {"type": "sum", "event_types": ["bet"], "field": "attrs.bet", "threshold": 10}


def view(criteria: dict[str, Any] | None = None, **fields: Any) -> AchievementView:
    found = parse_criteria(criteria or SUM)
    values: dict[str, Any] = {
        "pk": ONE,
        "name": "A",
        "description": "",
        "badge_url": None,
        "compiled": stored_criteria(found.full_form),
        "threshold": found.threshold,
        "reward_config_id": None,
        "reward_item_ids": (),
        "is_active": True,
        "is_repeatable": False,
        "is_hidden": False,
        "requires": (),
        "epoch": 0,
        "counts_from": None,
        "counts_until": None,
    }
    return AchievementView(**{**values, **fields})


def play(shown: AchievementView, amounts: list[Decimal]) -> ProgressState:
    state = ProgressState()
    for amount in amounts:
        if is_open(shown, state):
            add_contribution(state, amount)
        while is_reached(shown, state):
            take_unlock(shown, state, NOW)
    return state


@given(st.lists(st.decimals(0, 100, places=2), max_size=20))
def test_a_repeatable_sum_loses_nothing(amounts: list[Decimal]) -> None:
    shown = view(is_repeatable=True)

    state = play(shown, amounts)

    assert state.times * shown.threshold + state.current == sum(amounts)
    assert state.current < shown.threshold


@given(st.lists(st.decimals(-50, 100, places=2), max_size=20), st.booleans())
def test_counting_anew_takes_the_steps_of_play(amounts: list[Decimal], repeats: bool) -> None:
    shown = view(is_repeatable=repeats)
    counted = recounts.begin_recount(shown)
    for amount in amounts:
        recounts.recount(shown, counted, amount, NOW)

    played = play(shown, amounts)

    assert (counted.state.times, counted.state.current) == (played.times, played.current)
    assert counted.whole == sum(amounts)
    held = Held(replace(played))
    assert recounts.unlocks_due(shown, counted, held) == 0
    assert recounts.is_further(shown, counted, held)
    state = recounts.new_state(shown, counted, held, owed=0, is_waiting=False)
    assert (state.current, state.times) == (played.current, played.times)


@given(st.decimals(0, 30, places=3), st.integers(0, 2), st.booleans())
def test_a_percentage_is_never_100_while_locked(
    amount: Decimal,
    times: int,
    repeats: bool,
) -> None:
    shown = view(is_repeatable=repeats)
    state = ProgressState(current=amount, times=times)

    percentage = percentage_of(shown, state)

    assert 0 <= percentage <= 100
    assert percentage == round(percentage, 2)
    assert status_of(state) == "unlocked" or percentage < 100


def test_a_streak_that_begins_anew_is_told_from_one_that_was_healed() -> None:
    criteria = {"type": "streak_milestone", "streak_id": str(ONE), "threshold": 3}
    shown = view(criteria, is_repeatable=True)
    state, unlocked = ProgressState(), []
    for count in (1, 2, 3, 0, 1, 5, 6, 0, 1, 2, 3):
        see_number(shown, state, Decimal(count))
        while is_reached(shown, state):
            take_unlock(shown, state, NOW)
        unlocked.append(state.times)

    assert unlocked == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_a_book_finds_what_an_event_moves_and_what_hangs_together() -> None:
    wide = view({"type": "count", "event_types": ["game.*"], "threshold": 1}, pk=TWO)
    last = view(pk=THREE, requires=(ONE,))
    xp = view({"type": "cumulative", "metric": "xp", "threshold": 1}, pk=FOUR)
    book = AchievementBook([view(), wide, last, xp])

    assert [each.pk for each in book.of_type("bet")] == [ONE, THREE]
    assert [each.pk for each in book.of_type("game.won")] == [TWO]
    assert book.of_type("login") == ()
    assert [each.pk for each in book.of_currency("xp")] == [FOUR]
    assert book.of_streak("s") == []
    assert book.related([ONE]) == {ONE, THREE}
    assert book.related([THREE]) == {ONE, THREE}


def test_cycles_are_found_and_shared_requirements_are_none() -> None:
    assert find_cycle({ONE: [TWO], TWO: [THREE], THREE: [ONE]}, ONE)
    assert not find_cycle({ONE: [TWO, THREE], TWO: [FOUR], THREE: [FOUR]}, ONE)
    assert not find_cycle({ONE: [TWO], TWO: [THREE], THREE: [TWO]}, ONE)


def test_every_fault_is_found_at_once() -> None:
    with pytest.raises(DocumentError) as refused:
        parse_achievement(
            {
                "criteria": {"type": "count", "event_types": ["a b"], "threshold": "many"},
                "hidden": 1,
                "requires": ["x"],
                "reward_item_ids": "x",
                "sort": 1.5,
                "repeatable": "no",
            }
        )

    assert sorted(fault.path for fault in refused.value.faults) == [
        "criteria.event_types.0",
        "criteria.threshold",
        "hidden",
        "name",
        "repeatable",
        "requires.0",
        "reward_item_ids",
        "sort",
    ]


def test_the_hash_tells_results_apart_and_not_their_order() -> None:
    ana, ben = Outcome("ana", 1, Decimal(5)), Outcome("ben", -1, Decimal(2))

    assert recounts.hash_outcomes(["a"], [ana, ben]) == recounts.hash_outcomes(["a"], [ben, ana])
    assert recounts.hash_outcomes(["a"], [ana]) != recounts.hash_outcomes(["a"], [ben])
    assert recounts.hash_outcomes(["a"], [ana]) != recounts.hash_outcomes(["b"], [ana])


@pytest.mark.parametrize(
    ("criteria", "words"),
    [
        ({"type": "count", "event_types": ["a", "b"], "threshold": 1000}, "1,000 times a or b"),
        (SUM, "10 of attrs.bet in bet"),
        (SUM | {"type": "distinct"}, "10 different attrs.bet in bet"),
        ({"type": "cumulative", "metric": "xp", "threshold": 5}, "5 xp ever earned"),
        (
            {"type": "streak_milestone", "streak_id": "s", "threshold": 5},
            "5 in a row of a streak",
        ),
        (
            {"type": "leaderboard_rank", "leaderboard_id": "daily", "rank": 3},
            "rank 3 or better on daily, 1 times",
        ),
    ],
)
def test_criteria_are_said_in_words(criteria: dict[str, Any], words: str) -> None:
    assert criteria_in_words(parse_criteria(criteria).full_form) == words
