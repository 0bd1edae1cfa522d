import copy
import json
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.exceptions import ConfigError
from leaderboards.rules.configuration import normalized_document, parse_config
from leaderboards.types import (
    BoardConfig,
    Limits,
    Ranking,
    Scoring,
    ScoringRule,
    Snapshots,
    Timeframe,
)
from phoenix_site.common import json as exact_json

PRINTED: dict[str, Any] = {
    "scope": {
        "filters": {
            "actor.metadata.region": {"eq": "na-east"},
            "attrs.mode": {"in": ["ranked", "tournament"]},
        }
    },
    "timeframe": {
        "type": "weekly",
        "timezone": "UTC",
        "reset_day": "monday",
        "reset_time": "00:00",
        "grace_seconds": 300,
    },
    "scoring": {
        "rules": [
            {
                "event_type": "match.completed",
                "points_expression": "attrs.score",
                "conditions": {"attrs.victory": {"eq": True}},
            }
        ],
        "match": "all",
        "aggregation": "sum",
        "decimals": 0,
    },
    "ranking": {
        "method": "score_desc",
        "tie_policy": "first_to_reach",
        "size": 1000,
        "min_score": 0,
    },
    "snapshots": {"every_seconds": 3600, "top": 100},
}
RULES = [{"event_type": "match.completed", "points_expression": "attrs.score"}]


def config_with(**sections: Any) -> dict[str, Any]:
    """Return the smallest config, with whole sections replaced."""
    return {"timeframe": {"type": "daily"}, "scoring": {"rules": RULES}, **sections}


def faults_of(document: Any, path: str = "") -> dict[str, str]:
    with pytest.raises(ConfigError) as error:
        parse_config(document, path=path or "config")
    faults = {fault.path: fault.message for fault in error.value.faults}
    assert len(faults) == len(error.value.faults)
    assert [detail.field for detail in error.value.details] == list(faults)
    return faults


def test_the_printed_config() -> None:
    assert parse_config(PRINTED) == BoardConfig(
        timeframe=Timeframe("weekly", "UTC", "monday", time(0, 0), None, None, 300),
        scoring=Scoring(
            (ScoringRule("match.completed", "attrs.score", {"attrs.victory": {"eq": True}}),)
        ),
        ranking=Ranking(min_score=Decimal(0)),
        snapshots=Snapshots(3600, 100),
        filters=PRINTED["scope"]["filters"],
    )
    assert normalized_document(parse_config(PRINTED)) == PRINTED


def test_every_default_is_filled_in() -> None:
    assert normalized_document(parse_config(config_with())) == {
        "scope": {},
        "timeframe": {
            "type": "daily",
            "timezone": "UTC",
            "reset_time": "00:00",
            "grace_seconds": 300,
        },
        "scoring": {"rules": RULES, "match": "all", "aggregation": "sum", "decimals": 0},
        "ranking": {"method": "score_desc", "tie_policy": "first_to_reach", "size": 1000},
        "snapshots": {"every_seconds": 3600, "top": 100},
    }


@pytest.mark.parametrize(
    ("timeframe", "expected"),
    [
        ({"type": "hourly"}, Timeframe("hourly")),
        (
            {"type": "daily", "timezone": "Europe/Berlin", "reset_time": "23:59"},
            Timeframe("daily", "Europe/Berlin", reset_time=time(23, 59)),
        ),
        ({"type": "weekly"}, Timeframe("weekly", reset_day="monday", reset_time=time(0, 0))),
        (
            {"type": "weekly", "reset_day": "sunday"},
            Timeframe("weekly", reset_day="sunday", reset_time=time(0, 0)),
        ),
        ({"type": "monthly"}, Timeframe("monthly", reset_day=1, reset_time=time(0, 0))),
        (
            {"type": "monthly", "reset_day": 28, "grace_seconds": 0},
            Timeframe("monthly", reset_day=28, reset_time=time(0, 0), grace_seconds=0),
        ),
        (
            {
                "type": "custom",
                "start_at": "2026-01-01T01:00:00+01:00",
                "end_at": "2026-02-01T00:00:00Z",
                "grace_seconds": 604_800,
            },
            Timeframe(
                "custom",
                start_at=datetime(2026, 1, 1, tzinfo=UTC),
                end_at=datetime(2026, 2, 1, tzinfo=UTC),
                grace_seconds=604_800,
            ),
        ),
        (
            {"type": "all_time", "reset_day": None, "reset_time": None, "start_at": None},
            Timeframe("all_time"),
        ),
    ],
)
def test_timeframes(timeframe: dict[str, Any], expected: Timeframe) -> None:
    config = parse_config(config_with(timeframe=timeframe))

    assert config.timeframe == expected
    assert parse_config(normalized_document(config)) == config


@pytest.mark.parametrize(
    ("timeframe", "paths"),
    [
        ({}, {"type"}),
        ({"type": "fortnightly"}, {"type"}),
        ({"type": ["daily"]}, {"type"}),
        ({"type": "daily", "reset_dya": 1}, {"reset_dya"}),
        ({"type": "daily", "reset_day": "monday"}, {"reset_day"}),
        ({"type": "weekly", "reset_day": 1}, {"reset_day"}),
        ({"type": "weekly", "reset_day": "Monday"}, {"reset_day"}),
        ({"type": "monthly", "reset_day": 0}, {"reset_day"}),
        ({"type": "monthly", "reset_day": 29}, {"reset_day"}),
        ({"type": "monthly", "reset_day": "monday"}, {"reset_day"}),
        ({"type": "monthly", "reset_day": True}, {"reset_day"}),
        ({"type": "daily", "reset_time": "24:00"}, {"reset_time"}),
        ({"type": "daily", "reset_time": "9:00"}, {"reset_time"}),
        ({"type": "daily", "reset_time": "09:00:00"}, {"reset_time"}),
        ({"type": "daily", "reset_time": 9}, {"reset_time"}),
        ({"type": "hourly", "reset_time": "00:00"}, {"reset_time"}),
        ({"type": "all_time", "reset_time": "00:00"}, {"reset_time"}),
        ({"type": "daily", "timezone": "Mars/One"}, {"timezone"}),
        ({"type": "daily", "timezone": "europe/berlin"}, {"timezone"}),
        ({"type": "daily", "timezone": "../../etc/passwd"}, {"timezone"}),
        ({"type": "daily", "timezone": ["UTC"]}, {"timezone"}),
        ({"type": "daily", "timezone": {"a": 1}}, {"timezone"}),
        ({"type": "daily", "grace_seconds": -1}, {"grace_seconds"}),
        ({"type": "daily", "grace_seconds": 604_801}, {"grace_seconds"}),
        ({"type": "daily", "grace_seconds": 1.5}, {"grace_seconds"}),
        ({"type": "daily", "grace_seconds": True}, {"grace_seconds"}),
        ({"type": "daily", "grace_seconds": None}, {"grace_seconds"}),
        ({"type": "daily", "start_at": "2026-01-01T00:00:00Z"}, {"start_at"}),
        ({"type": "custom"}, {"start_at", "end_at"}),
        (
            {"type": "custom", "start_at": "2026-01-01T00:00:00", "end_at": 5, "reset_day": 1},
            {"start_at", "end_at", "reset_day"},
        ),
        (
            {
                "type": "custom",
                "start_at": "2026-01-01T00:00:00Z",
                "end_at": "2026-01-01T01:00:00+01:00",
            },
            {"end_at"},
        ),
    ],
)
def test_refused_timeframes(timeframe: dict[str, Any], paths: set[str]) -> None:
    assert set(faults_of(config_with(timeframe=timeframe))) == {
        f"config.timeframe.{path}" for path in paths
    }


@pytest.mark.parametrize(
    ("scoring", "paths"),
    [
        ({}, {"rules"}),
        ({"rules": []}, {"rules"}),
        ({"rules": RULES * 51}, {"rules"}),
        ({"rules": RULES[0]}, {"rules"}),
        ({"rules": ["attrs.score"]}, {"rules.0"}),
        ({"rules": [{}]}, {"rules.0.event_type", "rules.0.points_expression"}),
        ({"rules": [{**RULES[0], "event_type": "a b"}]}, {"rules.0.event_type"}),
        ({"rules": [{**RULES[0], "event_type": "a."}]}, {"rules.0.event_type"}),
        ({"rules": [{**RULES[0], "event_type": "a" * 101}]}, {"rules.0.event_type"}),
        ({"rules": [{**RULES[0], "event_type": 5}]}, {"rules.0.event_type"}),
        (
            {"rules": [*RULES, {**RULES[0], "points_expression": '__import__("os")'}]},
            {"rules.1.points_expression"},
        ),
        ({"rules": [{**RULES[0], "points_expression": "1" * 501}]}, {"rules.0.points_expression"}),
        ({"rules": [{**RULES[0], "points_expression": 5}]}, {"rules.0.points_expression"}),
        (
            {
                "rules": [
                    {**RULES[0], "conditions": {"attrs.a": {"gtt": 1}, "player.level": {"eq": 1}}}
                ]
            },
            {"rules.0.conditions.attrs.a.gtt", "rules.0.conditions.player.level"},
        ),
        ({"rules": [{**RULES[0], "conditions": 5}]}, {"rules.0.conditions"}),
        (
            {
                "rules": [
                    {
                        **RULES[0],
                        "conditions": {"attrs.a": {"eq": Decimal("0.1234567890123456789")}},
                    }
                ]
            },
            {"rules.0.conditions"},
        ),
        ({"rules": [{**RULES[0], "condition": {}}]}, {"rules.0.condition"}),
        ({"rules": RULES, "match": "any"}, {"match"}),
        ({"rules": RULES, "aggregation": "median"}, {"aggregation"}),
        ({"rules": RULES, "aggregation": ["sum"]}, {"aggregation"}),
        ({"rules": RULES, "decimals": 7}, {"decimals"}),
        ({"rules": RULES, "decimals": "2"}, {"decimals"}),
        ({"rules": RULES, "limits": 5}, {"limits"}),
        ({"rules": RULES, "limits": {"max_points": 5}}, {"limits.max_points"}),
        (
            {
                "rules": RULES,
                "limits": {
                    "max_points_per_event": 0,
                    "max_points_per_window": 10**15,
                    "max_events_per_window": 0,
                },
            },
            {
                "limits.max_points_per_event",
                "limits.max_points_per_window",
                "limits.max_events_per_window",
            },
        ),
        (
            {"rules": RULES, "limits": {"max_points_per_event": 0.5}},
            {"limits.max_points_per_event"},
        ),
        (
            {"rules": RULES, "limits": {"max_points_per_event": "5"}},
            {"limits.max_points_per_event"},
        ),
        (
            {"rules": RULES, "aggregation": "max", "limits": {"max_points_per_window": 5}},
            {"limits.max_points_per_window"},
        ),
        (
            {"rules": RULES, "aggregation": "count", "limits": {"max_points_per_event": 5}},
            {"limits.max_points_per_event"},
        ),
    ],
)
def test_refused_scoring(scoring: dict[str, Any], paths: set[str]) -> None:
    assert set(faults_of(config_with(scoring=scoring))) == {
        f"config.scoring.{path}" for path in paths
    }


def test_count_needs_no_points_expression() -> None:
    scoring = {"rules": [{"event_type": "match.completed"}], "aggregation": "count"}

    config = parse_config(config_with(scoring=scoring))

    assert config.scoring.rules == (ScoringRule("match.completed"),)
    assert parse_config(normalized_document(config)) == config


def test_limits_are_read_and_written() -> None:
    limits = {"max_points_per_event": 0.5, "max_points_per_window": 20, "max_events_per_window": 7}
    scoring = {"rules": RULES, "decimals": 1, "limits": limits}

    config = parse_config(config_with(scoring=scoring))

    assert config.scoring.limits == Limits(Decimal("0.5"), Decimal(20), 7)
    assert normalized_document(config)["scoring"]["limits"] == limits


@pytest.mark.parametrize(
    ("ranking", "paths"),
    [
        ({"method": "desc"}, {"method"}),
        ({"tie_policy": None}, {"tie_policy"}),
        ({"size": 0}, {"size"}),
        ({"size": 1_000_001}, {"size"}),
        ({"min_score": "0"}, {"min_score"}),
        ({"min_score": False}, {"min_score"}),
        ({"max_score": float("nan")}, {"max_score"}),
        ({"max_score": 10**15}, {"max_score"}),
        ({"max_score": Decimal("0.12345678901234567890")}, {"max_score"}),
        ({"min_score": 2, "max_score": 1}, {"max_score"}),
        ({"minimum": 2}, {"minimum"}),
    ],
)
def test_refused_rankings(ranking: dict[str, Any], paths: set[str]) -> None:
    assert set(faults_of(config_with(ranking=ranking))) == {
        f"config.ranking.{path}" for path in paths
    }


@pytest.mark.parametrize(
    ("snapshots", "paths"),
    [
        ({"every_seconds": 299}, {"every_seconds"}),
        ({"every_seconds": 86_401}, {"every_seconds"}),
        ({"every_seconds": -1, "top": 0}, {"every_seconds", "top"}),
        ({"top": 1001}, {"top"}),
        ({"every": 300}, {"every"}),
    ],
)
def test_refused_snapshots(snapshots: dict[str, Any], paths: set[str]) -> None:
    assert set(faults_of(config_with(snapshots=snapshots))) == {
        f"config.snapshots.{path}" for path in paths
    }


@pytest.mark.parametrize("snapshots", [{"every_seconds": 0}, {"every_seconds": 300, "top": 1000}])
def test_snapshots_may_be_off_or_within_their_bounds(snapshots: dict[str, int]) -> None:
    written = normalized_document(parse_config(config_with(snapshots=snapshots)))["snapshots"]

    assert {key: written[key] for key in snapshots} == snapshots


def test_all_faults_of_all_sections_are_told_at_once() -> None:
    document = {
        "scope": {"filters": {"foo": {"eq": 1}}, "filter": {}},
        "timeframe": {"type": "weekly", "reset_dya": "monday", "timezone": "Mars/One"},
        "scoring": {"rules": [{"event_type": "a", "points_expression": "1+"}], "decimals": 9},
        "ranking": {"size": 0},
        "snapshots": {"top": 0},
        "rewards": {},
    }

    assert set(faults_of(document, path="body.config")) == {
        f"body.config.{path}"
        for path in (
            "scope.filters.foo",
            "scope.filter",
            "timeframe.reset_dya",
            "timeframe.timezone",
            "scoring.rules.0.points_expression",
            "scoring.decimals",
            "ranking.size",
            "snapshots.top",
            "rewards",
        )
    }


def test_a_misspelled_key_is_named_with_the_likely_one() -> None:
    faults = faults_of(config_with(timeframe={"type": "weekly", "reset_dya": "monday"}))

    assert faults == {"config.timeframe.reset_dya": "is not a known key; did you mean reset_day?"}


def test_the_error_says_the_first_fault_and_how_many_there_are() -> None:
    with pytest.raises(ConfigError) as error:
        parse_config({})

    assert error.value.code == "VAL_001"
    assert str(error.value) == "config.scoring: is required (and 1 more)"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (config_with(timeframe={"type": "cron", "expression": "* * * * *"}), "timeframe.type"),
        (config_with(timeframe={"type": "rolling", "seconds": 60}), "timeframe.type"),
        (
            config_with(scoring={"rules": RULES, "secondary_expression": "attrs.time"}),
            "scoring.secondary_expression",
        ),
        (config_with(partition_by="actor.metadata.country"), "partition_by"),
        (config_with(cohorts={}), "cohorts"),
        (config_with(leagues={}), "leagues"),
        (config_with(teams={}), "teams"),
    ],
)
def test_what_is_reserved_says_so(document: dict[str, Any], path: str) -> None:
    faults = faults_of(document)

    assert faults[f"config.{path}"] == "not supported yet"
    assert set(faults.values()) == {"not supported yet"}


@pytest.mark.parametrize("document", [None, [], "config", 5])
def test_a_config_is_an_object(document: Any) -> None:
    assert faults_of(document) == {"config": "must be an object"}


@pytest.mark.parametrize("section", ["scope", "ranking", "snapshots"])
def test_an_optional_section_may_be_null_and_nothing_else(section: str) -> None:
    assert parse_config(config_with(**{section: None})) == parse_config(config_with())
    assert set(faults_of(config_with(**{section: []}))) == {f"config.{section}"}


@pytest.mark.parametrize("section", ["timeframe", "scoring"])
def test_a_required_section_may_not_be_null(section: str) -> None:
    assert faults_of(config_with(**{section: None})) == {f"config.{section}": "is required"}


def test_conditions_are_kept_in_the_dialect_they_came_in() -> None:
    filters = {"any": [{"op": "eq", "field": "attrs.a", "value": 0.1}, {"attrs.b": {"gt": 2}}]}

    config = parse_config(config_with(scope={"filters": filters}))

    assert normalized_document(config)["scope"]["filters"] == filters


def test_a_document_of_exact_numbers_can_be_stored_by_any_json_library() -> None:
    body = exact_json.decode(
        '{"timeframe": {"type": "daily"}, "scope": {"filters": {"attrs.a": {"in": [0.1, 1.0, 7]}}},'
        '"scoring": {"rules": [{"event_type": "a", "points_expression": "1"}], "decimals": 2,'
        ' "limits": {"max_points_per_event": 0.25}}, "ranking": {"min_score": 1.50}}'
    )

    config = parse_config(body)
    stored = json.loads(json.dumps(normalized_document(config)))

    assert parse_config(stored) == config
    assert stored["scope"]["filters"] == {"attrs.a": {"in": [0.1, 1, 7]}}
    assert config.ranking.min_score == Decimal("1.5")
    assert config.scoring.limits.max_points_per_event == Decimal("0.25")


def test_the_senders_document_is_left_alone() -> None:
    document = copy.deepcopy(PRINTED)

    parse_config(document)

    assert document == PRINTED


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.data())
def test_no_document_raises_anything_but_config_error(data: st.DataObject) -> None:
    document = copy.deepcopy(PRINTED)
    section: Any = document[data.draw(st.sampled_from(sorted(document)))]
    if "rules" in section and data.draw(st.booleans()):
        section = section["rules"][0]
    section[data.draw(st.sampled_from(sorted(section)))] = data.draw(json_values)
    try:
        config = parse_config(document)
    except ConfigError as error:
        assert error.faults  # noqa: PT017 - both outcomes are right
        return
    assert parse_config(normalized_document(config)) == config
