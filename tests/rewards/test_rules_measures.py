from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.types import StoredEvent
from phoenix_site.common.documents import Section
from phoenix_site.common.faults import Fault
from rewards.rules.event_types import compile_patterns
from rewards.rules.measures import (
    EVENT_MEASURES,
    MEASURE_KEYS,
    CompiledMeasure,
    compile_measure,
    fingerprint_of,
    measure_document,
    read_measure,
    tally_events,
)

AT = datetime(2026, 3, 5, 12, tzinfo=UTC)


def event(type_: str = "game.completed", **attrs: Any) -> StoredEvent:
    return StoredEvent(
        *(1, 1, 1, "acme", "e-1", type_, "ana", {}, attrs, AT, AT, "api", None, 0),
    )


def read(document: dict[str, Any], **options: Any) -> tuple[Any, list[Fault]]:
    faults: list[Fault] = []
    section = Section(document, "criteria", faults, keys=("type", *MEASURE_KEYS))
    return read_measure(section, **options), faults


def compiled(**document: Any) -> CompiledMeasure:
    measure, faults = read({"event_types": ["game.*"], **document})
    assert not faults
    return compile_measure(measure)


def test_count_counts_matching_events_only() -> None:
    measure = compiled(type="count", conditions={"event.attrs.win": {"eq": True}})
    events = [event(win=True), event(win=False), event("login", win=True), event(win=True)]

    assert tally_events(measure, events).amount == 2


def test_sum_adds_exact_numbers_and_leaves_out_what_is_none() -> None:
    measure = compiled(type="sum", field="attrs.bet")
    bets: list[Any] = [Decimal("0.1"), Decimal("0.2"), "5", None, True, 3, -1]

    assert tally_events(measure, [event(bet=bet) for bet in bets]).amount == Decimal("2.3")


def test_sum_cuts_what_is_finer_than_a_stored_amount_and_ignores_what_is_larger() -> None:
    measure = compiled(type="sum", field="attrs.bet")
    bets = [Decimal("0.123456789"), 10**30]

    tally = tally_events(measure, [event(bet=bet) for bet in bets])

    assert tally.amount == Decimal("0.12345678")


def test_distinct_counts_equal_values_once() -> None:
    measure = compiled(type="distinct", field="attrs.game")
    games: list[Any] = ["chess", "go", "chess", 1, Decimal("1.0"), "1", None, [1], {"a": 1}]

    assert tally_events(measure, [event(game=game) for game in games]).amount == 6


def test_a_window_of_a_board_counts_once_for_ranks_that_are_good_enough() -> None:
    measure, faults = read({"type": "leaderboard_rank", "leaderboard_id": "daily", "rank": 3})
    placements = [("daily", "d1", 3), ("daily", "d1", 2), ("daily", "d2", 4), ("other", "d3", 1)]
    events = [
        event("leaderboard.placed", leaderboard_id=board, window_key=key, rank=rank)
        for board, key, rank in placements
    ]

    assert not faults
    assert tally_events(compile_measure(measure), events).amount == 1


@pytest.mark.parametrize("type_", ["cumulative", "streak_milestone"])
def test_what_stands_on_another_number_counts_no_events(type_: str) -> None:
    key = "metric" if type_ == "cumulative" else "streak_id"
    measure, faults = read({"type": type_, key: "xp"})

    assert not faults
    assert not compile_measure(measure).types.hold("game.completed")


def test_a_pattern_holds_all_below_it_and_not_itself() -> None:
    patterns = compile_patterns(["game.*", "login"])

    held = [t for t in ("game.a", "game.a.b", "game", "games.a", "login") if patterns.hold(t)]

    assert held == ["game.a", "game.a.b", "login"]
    assert compile_patterns(["*"]).hold("anything")


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "criteria.type"),
        ({"type": "average"}, "criteria.type"),
        ({"type": "count"}, "criteria.event_types"),
        ({"type": "count", "event_types": []}, "criteria.event_types"),
        ({"type": "count", "event_types": ["a*"]}, "criteria.event_types.0"),
        ({"type": "count", "event_types": ["a"] * 21}, "criteria.event_types"),
        ({"type": "sum", "event_types": ["a"]}, "criteria.field"),
        ({"type": "sum", "event_types": ["a"], "field": "player.age"}, "criteria.field"),
        ({"type": "count", "event_types": ["a"], "field": "attrs.x"}, "criteria.field"),
        (
            {"type": "count", "event_types": ["a"], "conditions": {"attrs.x": {"is": 1}}},
            "criteria.conditions.attrs.x.is",
        ),
        ({"type": "cumulative"}, "criteria.metric"),
        ({"type": "streak_milestone"}, "criteria.streak_id"),
        ({"type": "leaderboard_rank", "leaderboard_id": "b"}, "criteria.rank"),
        ({"type": "leaderboard_rank", "leaderboard_id": "b", "rank": 0}, "criteria.rank"),
    ],
)
def test_a_fault_names_its_place(document: dict[str, Any], path: str) -> None:
    _, faults = read(document)

    assert [fault.path for fault in faults] == [path]


def test_a_caller_may_take_some_types_only() -> None:
    _, faults = read({"type": "cumulative", "metric": "xp"}, types=EVENT_MEASURES)

    assert [fault.path for fault in faults] == ["criteria.type"]


def test_the_full_form_reads_back_the_same() -> None:
    document = {"type": "sum", "event_types": ["a", "b.*"], "field": "attrs.x", "conditions": None}
    measure, _ = read(document)

    assert measure_document(measure) == document
    assert read(measure_document(measure)) == (measure, [])


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6) | st.integers())
def test_equal_numbers_share_a_fingerprint(number: Decimal | int) -> None:
    sign, digits, exponent = Decimal(number).as_tuple()
    longer = Decimal((sign, (*digits, 0, 0), int(exponent) - 2))

    assert fingerprint_of(number) == fingerprint_of(longer)
    assert fingerprint_of(number) != fingerprint_of(str(number))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)), max_size=20),
)
def test_counting_goes_on_where_it_stopped(values: list[tuple[int, int]]) -> None:
    measure = compiled(type="distinct", field="attrs.game")
    events = [event(game=game) for game, _ in values]

    whole = tally_events(measure, events)

    assert whole.amount == len({game for game, _ in values})
    assert whole.amount == len(whole.known)
