from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from leaderboards.rules.changes import ConfigChange, compare_configs, takes_effect
from leaderboards.types import (
    BoardConfig,
    Limits,
    Ranking,
    Scoring,
    ScoringRule,
    Snapshots,
    Timeframe,
)

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
RULE = ScoringRule("match.completed", "attrs.score", {"attrs.won": {"eq": True}})
OLD = BoardConfig(timeframe=Timeframe("weekly"), scoring=Scoring((RULE,)))


def day(number: int) -> datetime:
    return datetime(2026, 11, number, tzinfo=UTC)


CUSTOM = replace(OLD, timeframe=Timeframe("custom", start_at=day(1), end_at=day(20)))
ALL_TIME = replace(OLD, timeframe=Timeframe("all_time"))


def with_scoring(**changes: Any) -> BoardConfig:
    return replace(OLD, scoring=replace(OLD.scoring, **changes))


def with_end(number: int) -> BoardConfig:
    return replace(CUSTOM, timeframe=replace(CUSTOM.timeframe, end_at=day(number)))


@pytest.mark.parametrize(
    ("new", "paths"),
    [
        (replace(OLD, ranking=Ranking(size=10)), ("ranking.size",)),
        (replace(OLD, ranking=Ranking(min_score=Decimal(0))), ("ranking.min_score",)),
        (replace(OLD, ranking=Ranking(max_score=Decimal(9))), ("ranking.max_score",)),
        (
            replace(OLD, snapshots=Snapshots(0, 10)),
            ("snapshots.every_seconds", "snapshots.top"),
        ),
    ],
)
def test_what_only_shows_standings_holds_at_once(new: BoardConfig, paths: tuple[str, ...]) -> None:
    assert compare_configs(OLD, new, now=NOW) == ConfigChange(paths, ())
    assert takes_effect(OLD, new, now=NOW, has_entries=True) == "at_once"
    assert takes_effect(OLD, new, now=NOW, has_entries=True, recompute=True) == "at_once"


@pytest.mark.parametrize(
    ("new", "paths"),
    [
        (replace(OLD, filters={"attrs.a": {"eq": 1}}), ("scope.filters",)),
        (replace(OLD, timeframe=Timeframe("daily")), ("timeframe.type",)),
        (replace(OLD, timeframe=Timeframe("weekly", "Asia/Tokyo")), ("timeframe.timezone",)),
        (
            replace(OLD, timeframe=Timeframe("weekly", grace_seconds=0)),
            ("timeframe.grace_seconds",),
        ),
        (replace(OLD, ranking=Ranking(method="score_asc")), ("ranking.method",)),
        (replace(OLD, ranking=Ranking(tie_policy="dense")), ("ranking.tie_policy",)),
        (with_scoring(aggregation="max"), ("scoring.aggregation",)),
        (with_scoring(decimals=2), ("scoring.decimals",)),
        (with_scoring(match="first"), ("scoring.match",)),
        (with_scoring(limits=Limits(max_events_per_window=3)), ("scoring.limits",)),
        (with_scoring(rules=(RULE, RULE)), ("scoring.rules",)),
        # True and 1 are different conditions, however Python compares them.
        (
            with_scoring(rules=(replace(RULE, conditions={"attrs.won": {"eq": 1}}),)),
            ("scoring.rules",),
        ),
    ],
)
def test_what_decides_how_a_window_scores_waits_for_the_next(
    new: BoardConfig, paths: tuple[str, ...]
) -> None:
    assert compare_configs(OLD, new, now=NOW) == ConfigChange((), paths)
    assert takes_effect(OLD, new, now=NOW, has_entries=True) == "next_window"
    assert takes_effect(OLD, new, now=NOW, has_entries=False) == "at_once"
    assert takes_effect(OLD, new, now=NOW, has_entries=True, recompute=True) == "rebuild"


@pytest.mark.parametrize("old", [CUSTOM, ALL_TIME])
def test_boards_without_a_next_window_need_to_be_recomputed(old: BoardConfig) -> None:
    new = replace(old, scoring=replace(old.scoring, aggregation="max"))

    assert takes_effect(old, new, now=NOW, has_entries=True) == "needs_recompute"
    assert takes_effect(old, new, now=NOW, has_entries=True, recompute=True) == "rebuild"
    assert takes_effect(old, new, now=NOW, has_entries=False) == "at_once"


def test_an_end_that_lies_ahead_moves_to_another_time_ahead_at_once() -> None:
    assert compare_configs(CUSTOM, with_end(30), now=NOW) == ConfigChange(("timeframe.end_at",), ())
    assert takes_effect(CUSTOM, with_end(30), now=NOW, has_entries=True) == "at_once"


@pytest.mark.parametrize(("old", "new"), [(CUSTOM, with_end(18)), (with_end(18), CUSTOM)])
def test_an_end_in_the_past_does_not_move_freely(old: BoardConfig, new: BoardConfig) -> None:
    assert takes_effect(old, new, now=NOW, has_entries=True) == "needs_recompute"


def test_a_mixed_change_tells_both_parts() -> None:
    new = replace(with_scoring(decimals=1), ranking=Ranking(size=5))

    assert compare_configs(OLD, new, now=NOW) == ConfigChange(
        ("ranking.size",), ("scoring.decimals",)
    )
    assert takes_effect(OLD, new, now=NOW, has_entries=True) == "next_window"


def test_no_change_is_no_change() -> None:
    assert compare_configs(OLD, replace(OLD), now=NOW) == ConfigChange((), ())
    assert takes_effect(OLD, replace(OLD), now=NOW, has_entries=True) == "at_once"
