"""Scoring: from an event to points, and from points to the state of an entry.

Points and scores are scaled integers. A state holds all that is needed to add one more event, so
standings never need the earlier ones; except for limits and equal times under ``last`` the
result does not depend on the order in which events are added.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Final, NamedTuple

from leaderboards.constants import MAX_SCALED_SCORE
from leaderboards.rules.scores import ScoreRangeError, to_scaled, to_scaled_exactly
from leaderboards.types import (
    Aggregation,
    BoardConfig,
    EntryState,
    Event,
    LogPosition,
    Reason,
    Scoring,
    ScoringRule,
    Timeframe,
)
from phoenix_site.common.conditions import compile_condition
from phoenix_site.common.expressions import Expression, ExpressionFailure, compile_expression
from phoenix_site.common.paths import compile_reader, parse_path

__all__ = [
    "CompiledBoard",
    "NotScored",
    "Outcome",
    "Scored",
    "apply",
    "compile_board",
    "find_due_at",
    "score_arrival",
    "score_event",
]

# Wide enough to add what the rules of one event can make without rounding.
_EXACT: Final = Context(prec=10_000, Emin=-999_999, Emax=999_999)
_ZERO: Final = 0


# Whole numbers need no decimal arithmetic, and most points are whole.
Number = int | Decimal


class Scored(NamedTuple):
    """The event counts: its scaled points and the 0-based rules that gave them.

    This and the next two are named tuples for speed: one is made per event and board.
    """

    points: int
    rules: tuple[int, ...]


class NotScored(NamedTuple):
    """The event does not count on this board, and why."""

    reason: Reason


Outcome = Scored | NotScored

_INACTIVE: Final = NotScored("inactive")
_NO_WINDOW: Final = NotScored("no_window")
_SCOPE: Final = NotScored("scope")
_LATE: Final = NotScored("late")
_NO_RULE: Final = NotScored("no_rule")
_CONDITION: Final = NotScored("condition")
_OUT_OF_RANGE: Final = NotScored("out_of_range")
_LIMIT: Final = NotScored("limit")


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A scoring rule ready to run; ``matches`` is ``None`` when there is no condition."""

    matched: tuple[int, ...]
    matches: Callable[[Event], bool] | None
    evaluate: Callable[[Event], Number]


@dataclass(frozen=True, slots=True)
class CompiledBoard:
    """A config ready to score, compiled once for all its events; limits are scaled.

    ``event_types`` are the only types that can score: a caller may drop all others early.
    """

    config: BoardConfig
    event_types: frozenset[str]
    passes_scope: Callable[[Event], bool] | None
    rules_by_type: dict[str, tuple[CompiledRule, ...]]
    is_first_match: bool
    decimals: int
    aggregation: Aggregation
    fold: "Fold"
    unit: int
    max_points_per_event: int | None
    max_points_per_window: int | None
    max_events_per_window: int | None


def compile_board(config: BoardConfig) -> CompiledBoard:
    """Return ``config`` ready to score. It is valid, so nothing can fail but a mistake of ours."""
    scoring = config.scoring
    scope = compile_condition(config.filters)
    limits = scoring.limits
    rules_by_type = _compile_rules(scoring)
    return CompiledBoard(
        config=config,
        event_types=frozenset(rules_by_type),
        passes_scope=None if scope.is_always_true else scope.matches,
        rules_by_type=rules_by_type,
        is_first_match=scoring.match == "first",
        decimals=scoring.decimals,
        aggregation=scoring.aggregation,
        fold=_FOLDS[scoring.aggregation],
        unit=10**scoring.decimals,
        max_points_per_event=_scaled_limit(limits.max_points_per_event, scoring.decimals),
        max_points_per_window=_scaled_limit(limits.max_points_per_window, scoring.decimals),
        max_events_per_window=limits.max_events_per_window,
    )


def score_event(board: CompiledBoard, event: Event) -> Outcome:
    """Return what ``event`` is worth on ``board``, by its scope and rules alone.

    ``event`` has ``type``, ``occurred_at``, ``actor`` and ``attrs``, as conditions read them.
    """
    if board.passes_scope is not None and not board.passes_scope(event):
        return _SCOPE
    return _score_by_rules(board, event)


def score_arrival(
    board: CompiledBoard,
    event: Event,
    *,
    received_at: datetime,
    due_at: datetime | None,
    is_active: bool,
    has_window: bool = True,
) -> Outcome:
    """Return what ``event`` is worth, given when it came and when its window is due.

    ``is_active`` is the board's status at ``received_at``. ``due_at`` is the window's end plus
    grace, ``None`` if it never closes. These are stored times, so the answer is the same however
    late the event is processed.
    """
    if not is_active:
        return _INACTIVE
    if not has_window:
        return _NO_WINDOW
    if board.passes_scope is not None and not board.passes_scope(event):
        return _SCOPE
    if due_at is not None and received_at >= due_at:
        return _LATE
    return _score_by_rules(board, event)


def find_due_at(ends_at: datetime | None, timeframe: Timeframe) -> datetime | None:
    """Return when a window that ends at ``ends_at`` takes no more events; ``None``: never."""
    return None if ends_at is None else ends_at + timedelta(seconds=timeframe.grace_seconds)


def _score_by_rules(board: CompiledBoard, event: Event) -> Outcome:
    rules = board.rules_by_type.get(event["type"])
    if rules is None:
        return _NO_RULE
    refusal = _CONDITION
    total: Number | None = None
    matched: tuple[int, ...] = ()
    for rule in rules:
        if rule.matches is not None and not rule.matches(event):
            continue
        try:
            points = rule.evaluate(event)
        except ExpressionFailure as failure:
            # The first failure is the one to show: that rule wanted the event and could not.
            refusal = NotScored(failure.reason) if refusal is _CONDITION else refusal
            continue
        total = points if total is None else _add(total, points)
        matched = matched + rule.matched if matched else rule.matched
        if board.is_first_match:
            break
    return refusal if total is None else _scored(board, total, matched)


def _add(left: Number, right: Number) -> Number:
    if type(left) is int and type(right) is int:
        return left + right
    return _EXACT.add(Decimal(left), Decimal(right))


def _scored(board: CompiledBoard, points: Number, matched: tuple[int, ...]) -> Outcome:
    if type(points) is int:
        scaled = points * board.unit
        is_score = -MAX_SCALED_SCORE <= scaled <= MAX_SCALED_SCORE
        return Scored(scaled, matched) if is_score else _OUT_OF_RANGE
    try:
        return Scored(to_scaled(Decimal(points), board.decimals), matched)
    except ScoreRangeError:
        return _OUT_OF_RANGE


def apply(
    board: CompiledBoard,
    state: EntryState | None,
    points: int,
    *,
    occurred_at: datetime,
    position: LogPosition,
) -> EntryState | NotScored:
    """Return the state after one more scored event, or why that event does not count after all.

    ``state`` is ``None`` for a player without an entry. A refusal leaves the entry as it was.
    """
    if state is None:
        points = _clip(board, points, total=0)
        score = board.unit if board.aggregation == "count" else points
        return EntryState(score, occurred_at, points, 1, points != 0, occurred_at, position)
    if board.max_events_per_window is not None and state.event_count >= board.max_events_per_window:
        return _LIMIT
    points = _clip(board, points, total=state.total)
    is_last = (occurred_at, position) > (state.last_occurred_at, state.last_position)
    score, reached_at = board.fold(board, state, _Addition(points, occurred_at, is_last))
    if not -MAX_SCALED_SCORE <= score <= MAX_SCALED_SCORE:
        return _OUT_OF_RANGE
    return EntryState(
        score,
        reached_at,
        state.total + points,
        state.event_count + 1,
        state.has_points or points != 0,
        occurred_at if is_last else state.last_occurred_at,
        position if is_last else state.last_position,
    )


def _clip(board: CompiledBoard, points: int, *, total: int) -> int:
    if board.max_points_per_event is not None:
        points = min(points, board.max_points_per_event)
    if board.max_points_per_window is not None and points > 0:
        points = min(points, max(board.max_points_per_window - total, 0))
    return points


class _Addition(NamedTuple):
    """What a fold sees of the event that is added."""

    points: int
    occurred_at: datetime
    is_last: bool


Fold = Callable[[CompiledBoard, EntryState, _Addition], tuple[int, datetime]]


def _fold_sum(board: CompiledBoard, state: EntryState, new: _Addition) -> tuple[int, datetime]:
    if new.points:
        is_later = not state.has_points or new.occurred_at > state.reached_at
        return state.score + new.points, new.occurred_at if is_later else state.reached_at
    if state.has_points:
        return state.score, state.reached_at
    return state.score, min(state.reached_at, new.occurred_at)


def _fold_count(board: CompiledBoard, state: EntryState, new: _Addition) -> tuple[int, datetime]:
    return (state.event_count + 1) * board.unit, max(state.reached_at, new.occurred_at)


def _fold_avg(board: CompiledBoard, state: EntryState, new: _Addition) -> tuple[int, datetime]:
    average = _divide_half_even(state.total + new.points, state.event_count + 1)
    return average, max(state.reached_at, new.occurred_at)


def _fold_max(board: CompiledBoard, state: EntryState, new: _Addition) -> tuple[int, datetime]:
    if new.points > state.score:
        return new.points, new.occurred_at
    return _with_earliest(state, new)


def _fold_min(board: CompiledBoard, state: EntryState, new: _Addition) -> tuple[int, datetime]:
    if new.points < state.score:
        return new.points, new.occurred_at
    return _with_earliest(state, new)


def _with_earliest(state: EntryState, new: _Addition) -> tuple[int, datetime]:
    if new.points == state.score:
        return state.score, min(state.reached_at, new.occurred_at)
    return state.score, state.reached_at


def _fold_last(board: CompiledBoard, state: EntryState, new: _Addition) -> tuple[int, datetime]:
    if new.is_last:
        return new.points, new.occurred_at
    return state.score, state.reached_at


_FOLDS: Final[dict[Aggregation, Fold]] = {
    "sum": _fold_sum,
    "count": _fold_count,
    "avg": _fold_avg,
    "max": _fold_max,
    "min": _fold_min,
    "last": _fold_last,
}


def _divide_half_even(dividend: int, divisor: int) -> int:
    quotient, remainder = divmod(dividend, divisor)
    is_above_half = 2 * remainder > divisor
    is_odd_half = 2 * remainder == divisor and quotient % 2 == 1
    return quotient + (is_above_half or is_odd_half)


def _compile_rules(scoring: Scoring) -> dict[str, tuple[CompiledRule, ...]]:
    rules_by_type: dict[str, tuple[CompiledRule, ...]] = {}
    for index, rule in enumerate(scoring.rules):
        compiled = _compile_rule(index, rule)
        rules_by_type[rule.event_type] = (*rules_by_type.get(rule.event_type, ()), compiled)
    return rules_by_type


def _compile_rule(index: int, rule: ScoringRule) -> CompiledRule:
    condition = compile_condition(rule.conditions)
    return CompiledRule(
        matched=(index,),
        matches=None if condition.is_always_true else condition.matches,
        evaluate=_compile_points(rule.points_expression),
    )


def _compile_points(text: str | None) -> Callable[[Event], Number]:
    if text is None:  # only under count, which does not look at the points
        return lambda event: _ZERO
    expression = compile_expression(text)
    if expression.paths == (expression.text,):
        return _compile_path(expression)
    return expression.evaluate


def _compile_path(expression: Expression) -> Callable[[Event], Number]:
    """Return the value at a lone path; only what is no whole number goes through the expression."""
    read = compile_reader(parse_path(expression.text))
    evaluate = expression.evaluate

    def points(event: Event) -> Number:
        value = read(event)
        return value if type(value) is int else evaluate(event)

    return points


def _scaled_limit(limit: Decimal | None, decimals: int) -> int | None:
    return None if limit is None else to_scaled_exactly(limit, decimals)
