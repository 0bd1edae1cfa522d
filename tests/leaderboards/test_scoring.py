from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.constants import MAX_SCALED_SCORE
from leaderboards.rules.scoring import (
    CompiledBoard,
    NotScored,
    Scored,
    apply,
    compile_board,
    find_due_at,
    score_arrival,
    score_event,
)
from leaderboards.types import (
    Aggregation,
    BoardConfig,
    EntryState,
    Limits,
    LogPosition,
    Scoring,
    ScoringRule,
    Timeframe,
)

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
PLAIN_RULE = ScoringRule("match.completed", "attrs.score")


def board_of(*rules: ScoringRule, filters: Any = None, **scoring: Any) -> CompiledBoard:
    return compile_board(
        BoardConfig(
            timeframe=Timeframe("weekly"),
            scoring=Scoring(rules=rules or (PLAIN_RULE,), **scoring),
            filters=filters,
        )
    )


def event_of(event_type: str = "match.completed", **attrs: Any) -> dict[str, Any]:
    return {
        "type": event_type,
        "occurred_at": NOON,
        "actor": {"user_id": "ana", "metadata": {"region": "na-east"}},
        "attrs": attrs,
    }


@dataclass(frozen=True)
class Hit:
    """A scored event as the fold sees it."""

    points: int
    minute: int
    position: LogPosition

    @property
    def occurred_at(self) -> datetime:
        return NOON + timedelta(minutes=self.minute)


def hits_of(*pairs: tuple[int, int]) -> list[Hit]:
    return [Hit(points, minute, LogPosition(1, n)) for n, (points, minute) in enumerate(pairs)]


def fold(board: CompiledBoard, hits: Iterable[Hit]) -> EntryState | None:
    state: EntryState | None = None
    for hit in hits:
        outcome = apply(
            board, state, hit.points, occurred_at=hit.occurred_at, position=hit.position
        )
        state = state if isinstance(outcome, NotScored) else outcome
    return state


def folded(board: CompiledBoard, *pairs: tuple[int, int]) -> tuple[int, int]:
    """Return the score and the minute at which it was reached."""
    state = fold(board, hits_of(*pairs))
    assert state is not None
    return state.score, round((state.reached_at - NOON) / timedelta(minutes=1))


# From events to points


def test_the_points_of_a_matching_rule_are_scaled() -> None:
    assert score_event(board_of(), event_of(score=50)) == Scored(50, (0,))
    assert score_event(board_of(decimals=2), event_of(score=Decimal("9.5"))) == Scored(950, (0,))


def test_points_are_rounded_half_to_even_once_per_event() -> None:
    rules = [ScoringRule("match.completed", "attrs.score"), ScoringRule("match.completed", "0.25")]

    # Rounded one by one they would be 0 + 0.
    assert score_event(board_of(*rules), event_of(score=Decimal("0.26"))) == Scored(1, (0, 1))
    assert score_event(board_of(*rules), event_of(score=Decimal("0.25"))) == Scored(0, (0, 1))


def test_points_of_very_different_sizes_are_added_exactly() -> None:
    rules = [
        ScoringRule("match.completed", "attrs.half"),
        ScoringRule("match.completed", "attrs.tiny"),
        ScoringRule("match.completed", "attrs.huge"),
        ScoringRule("match.completed", "-attrs.huge"),
    ]
    event = event_of(half=Decimal("0.5"), tiny=Decimal("1E-30"), huge=Decimal("1E+30"))

    assert score_event(board_of(*rules), event) == Scored(1, (0, 1, 2, 3))


def test_all_adds_the_matching_rules_and_first_takes_one() -> None:
    rules = [
        ScoringRule("match.completed", "100", {"attrs.mode": {"eq": "final"}}),
        ScoringRule("match.completed", "attrs.score"),
        ScoringRule("match.completed", "1"),
    ]

    assert score_event(board_of(*rules), event_of(score=5)) == Scored(6, (1, 2))
    assert score_event(board_of(*rules, match="first"), event_of(score=5)) == Scored(5, (1,))
    assert score_event(board_of(*rules, match="first"), event_of(mode="final")) == Scored(100, (0,))


def test_a_rule_whose_expression_fails_does_not_match_but_the_others_do() -> None:
    rules = [ScoringRule("match.completed", "attrs.bonus"), PLAIN_RULE]

    assert score_event(board_of(*rules), event_of(score=5)) == Scored(5, (1,))
    assert score_event(board_of(*rules, match="first"), event_of(score=5)) == Scored(5, (1,))


@pytest.mark.parametrize(
    ("board", "event", "reason"),
    [
        (board_of(filters={"attrs.mode": {"eq": "ranked"}}), event_of(score=5), "scope"),
        (board_of(filters={"attrs.mode": {"eq": "ranked"}}), event_of("other"), "scope"),
        (board_of(), event_of("match.started", score=5), "no_rule"),
        (
            board_of(ScoringRule("match.completed", "attrs.score", {"attrs.won": {"eq": True}})),
            event_of(score=5, won=False),
            "condition",
        ),
        (board_of(), event_of(), "points_missing"),
        (board_of(), event_of(score="5"), "points_not_a_number"),
        (board_of(), event_of(score=True), "points_not_a_number"),
        (board_of(ScoringRule("match.completed", "1/attrs.n")), event_of(n=0), "division_by_zero"),
        (board_of(), event_of(score=10**15), "out_of_range"),
        (board_of(), event_of(score=Decimal("-1E+30")), "out_of_range"),
        (board_of(decimals=6), event_of(score=10**9), "out_of_range"),
        (
            # The rule that wanted the event and could not says more than the one that did not.
            board_of(
                ScoringRule("match.completed", "1", {"attrs.won": {"eq": True}}),
                ScoringRule("match.completed", "attrs.a"),
                ScoringRule("match.completed", "attrs.b"),
            ),
            event_of(b="text"),
            "points_missing",
        ),
    ],
)
def test_an_event_that_does_not_count_says_why(
    board: CompiledBoard, event: dict[str, Any], reason: str
) -> None:
    assert score_event(board, event) == NotScored(reason)  # type: ignore[arg-type]


def test_count_needs_no_expression() -> None:
    board = board_of(ScoringRule("match.completed"), aggregation="count")

    assert score_event(board, event_of()) == Scored(0, (0,))


def test_a_board_knows_the_types_that_can_score() -> None:
    board = board_of(PLAIN_RULE, ScoringRule("match.won", "1"), ScoringRule("match.won", "2"))

    assert board.event_types == {"match.completed", "match.won"}


# Arrival: status, window and grace


def arrive(board: CompiledBoard, event: dict[str, Any], **options: Any) -> Any:
    defaults = {"received_at": NOON, "due_at": NOON + timedelta(seconds=1), "is_active": True}
    return score_arrival(board, event, **{**defaults, **options})


def test_an_event_inside_the_grace_counts_and_the_next_microsecond_is_late() -> None:
    due_at = find_due_at(NOON, Timeframe("weekly", grace_seconds=300))
    assert due_at is not None
    just_in_time = due_at - timedelta(microseconds=1)

    assert arrive(board_of(), event_of(score=1), received_at=just_in_time, due_at=due_at) == Scored(
        1, (0,)
    )
    assert arrive(board_of(), event_of(score=1), received_at=due_at, due_at=due_at) == NotScored(
        "late"
    )


def test_a_window_without_an_end_is_never_late() -> None:
    assert find_due_at(None, Timeframe("all_time")) is None
    assert arrive(board_of(), event_of(score=1), due_at=None) == Scored(1, (0,))


def test_the_first_reason_in_the_order_of_the_contract_is_told() -> None:
    board = board_of(filters={"attrs.mode": {"eq": "ranked"}})
    everything = {"is_active": False, "has_window": False, "due_at": NOON}

    assert arrive(board, event_of("x"), **everything) == NotScored("inactive")
    assert arrive(board, event_of("x"), **{**everything, "is_active": True}) == NotScored(
        "no_window"
    )
    assert arrive(board, event_of("x"), due_at=NOON) == NotScored("scope")
    assert arrive(board, event_of("x", mode="ranked"), due_at=NOON) == NotScored("late")
    assert arrive(board, event_of("x", mode="ranked")) == NotScored("no_rule")


# From points to a score: the table of the contract


@pytest.mark.parametrize(
    ("aggregation", "pairs", "expected"),
    [
        ("sum", [(10, 0), (-4, 1)], (6, 1)),
        ("sum", [(10, 5), (-4, 1)], (6, 5)),
        ("sum", [(10, 1), (0, 9)], (10, 1)),
        ("sum", [(0, 9), (10, 1)], (10, 1)),
        ("sum", [(0, 9), (0, 3), (0, 6)], (0, 3)),
        ("sum", [(5, 1), (-5, 2), (0, 3)], (0, 2)),
        ("count", [(10, 3), (0, 8), (-1, 5)], (3, 8)),
        ("avg", [(1, 1), (2, 7), (2, 3)], (2, 7)),
        ("avg", [(0, 1), (1, 2)], (0, 2)),
        ("avg", [(1, 1), (2, 2)], (2, 2)),
        ("avg", [(-1, 1), (-2, 2)], (-2, 2)),
        ("avg", [(-1, 1), (0, 2)], (0, 2)),
        ("max", [(5, 1), (9, 2), (7, 3)], (9, 2)),
        ("max", [(9, 5), (9, 2), (9, 7)], (9, 2)),
        ("max", [(-9, 5), (-3, 2)], (-3, 2)),
        ("min", [(5, 1), (3, 2), (7, 3)], (3, 2)),
        ("min", [(3, 5), (3, 2), (3, 7)], (3, 2)),
        ("last", [(5, 9), (7, 2)], (5, 9)),
        ("last", [(5, 2), (7, 9)], (7, 9)),
        ("last", [(5, 4), (7, 4)], (7, 4)),
    ],
)
def test_aggregations(
    aggregation: Aggregation, pairs: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    assert folded(board_of(aggregation=aggregation), *pairs) == expected


def test_an_average_is_rounded_once_from_the_exact_sum() -> None:
    board = board_of(aggregation="avg", decimals=2)

    assert folded(board, (100, 0), (200, 1), (200, 2))[0] == 167


def test_a_count_is_scaled_like_any_score() -> None:
    assert folded(board_of(aggregation="count", decimals=2), (0, 0), (0, 1)) == (200, 1)


def test_equal_times_under_last_are_settled_by_the_place_in_the_log() -> None:
    board = board_of(aggregation="last")
    earlier, later = Hit(1, 0, LogPosition(7, 900)), Hit(2, 0, LogPosition(8, 3))

    for order in ([earlier, later], [later, earlier]):
        state = fold(board, order)
        assert state is not None
        assert (state.score, state.last_position) == (2, later.position)


def test_an_event_with_no_points_makes_an_entry() -> None:
    assert fold(board_of(), hits_of((0, 4))) == EntryState(
        score=0,
        reached_at=NOON + timedelta(minutes=4),
        total=0,
        event_count=1,
        has_points=False,
        last_occurred_at=NOON + timedelta(minutes=4),
        last_position=LogPosition(1, 0),
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_an_event_that_would_leave_the_range_leaves_the_entry_as_it_was(sign: int) -> None:
    board = board_of()
    state = fold(board, hits_of((sign * MAX_SCALED_SCORE, 0)))

    refusal = apply(board, state, sign, occurred_at=NOON, position=LogPosition(2, 0))
    fitting = apply(board, state, -sign, occurred_at=NOON, position=LogPosition(2, 1))

    assert refusal == NotScored("out_of_range")
    assert isinstance(fitting, EntryState)
    assert fitting.score == sign * (MAX_SCALED_SCORE - 1)


def test_the_sum_of_an_average_may_leave_the_range_of_scores() -> None:
    board = board_of(aggregation="avg")
    state = fold(board, hits_of(*[(MAX_SCALED_SCORE, minute) for minute in range(20)]))

    assert state is not None
    assert state.score == MAX_SCALED_SCORE
    assert state.total == 20 * MAX_SCALED_SCORE


# Limits


def test_points_per_event_are_clipped() -> None:
    limits = Limits(max_points_per_event=Decimal("1.5"))

    assert folded(board_of(decimals=1, limits=limits), (99, 0), (10, 1), (-99, 2)) == (-74, 2)
    assert folded(board_of(decimals=1, limits=limits, aggregation="max"), (99, 3), (15, 1)) == (
        15,
        1,
    )


def test_points_per_window_are_clipped_in_log_order() -> None:
    board = board_of(limits=Limits(max_points_per_window=Decimal(100)))

    assert folded(board, (70, 0), (50, 1)) == (100, 1)
    assert folded(board, (150, 0), (50, 1)) == (100, 0)
    assert folded(board, (100, 0), (-30, 1), (50, 2)) == (100, 2)


def test_an_event_clipped_to_nothing_counts_as_an_event_without_points() -> None:
    board = board_of(limits=Limits(max_points_per_window=Decimal(100)))

    state = fold(board, hits_of((100, 0), (5, 1)))

    assert state is not None
    assert (state.event_count, state.reached_at) == (2, NOON)


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_events_beyond_the_limit_do_not_count(aggregation: Aggregation) -> None:
    board = board_of(aggregation=aggregation, limits=Limits(max_events_per_window=2))
    state = fold(board, hits_of((5, 0), (7, 1)))

    assert apply(board, state, 9, occurred_at=NOON, position=LogPosition(2, 0)) == NotScored(
        "limit"
    )
    assert fold(board, hits_of((5, 0), (7, 1), (900, 2), (-900, 3))) == state


# Against an oracle that has all events at hand


def expected_score(aggregation: Aggregation, hits: Sequence[Hit]) -> int:
    points = [hit.points for hit in hits]
    if aggregation == "avg":
        average = Fraction(sum(points), len(points))
        exact = Decimal(average.numerator) / Decimal(average.denominator)
        return int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))
    last = max(hits, key=lambda hit: (hit.occurred_at, hit.position))
    scores = {
        "sum": sum(points),
        "count": len(points),
        "max": max(points),
        "min": min(points),
        "last": last.points,
    }
    return scores[aggregation]


def expected_time(aggregation: Aggregation, hits: Sequence[Hit]) -> datetime:
    times = [hit.occurred_at for hit in hits]
    if aggregation == "sum":
        with_points = [hit.occurred_at for hit in hits if hit.points]
        return max(with_points) if with_points else min(times)
    if aggregation in ("max", "min"):
        best = expected_score(aggregation, hits)
        return min(hit.occurred_at for hit in hits if hit.points == best)
    return max(times)


hit_lists = st.lists(
    st.tuples(st.integers(-3, 3) | st.integers(-100_000, 100_000), st.integers(0, 5)),
    min_size=1,
    max_size=12,
).map(lambda pairs: hits_of(*pairs))
aggregations = st.sampled_from(get_args(Aggregation))


@given(aggregations, hit_lists, st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_score_and_time_of_the_contract(
    aggregation: Aggregation, hits: list[Hit], random: Any
) -> None:
    board = board_of(aggregation=aggregation)
    shuffled = random.sample(hits, len(hits))

    state = fold(board, shuffled)

    assert state is not None
    assert state == fold(board, hits)
    assert state.score == expected_score(aggregation, hits)
    assert state.reached_at == expected_time(aggregation, hits)
    assert state.total == sum(hit.points for hit in hits)
    assert state.event_count == len(hits)


@given(aggregations, hit_lists)
def test_a_state_continues_after_any_pause(aggregation: Aggregation, hits: list[Hit]) -> None:
    """Stored and loaded between any two events, a state is all that the next one needs."""
    board = board_of(aggregation=aggregation)
    state: EntryState | None = None

    for hit in hits:
        outcome = apply(
            compile_board(replace(board.config)),
            None if state is None else EntryState(**state._asdict()),
            hit.points,
            occurred_at=hit.occurred_at,
            position=hit.position,
        )
        assert isinstance(outcome, EntryState)
        state = outcome

    assert state == fold(board, hits)


@given(hit_lists, st.integers(1, 50))
def test_a_window_never_holds_more_points_than_its_limit(hits: list[Hit], limit: int) -> None:
    board = board_of(limits=Limits(max_points_per_window=Decimal(limit)))
    state = None
    for hit in hits:
        outcome = apply(
            board, state, hit.points, occurred_at=hit.occurred_at, position=hit.position
        )
        assert isinstance(outcome, EntryState)
        state = outcome
        assert state.score == state.total <= limit
