from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.rules.rule_index import RuleIndex, demands_of
from rewards.types.rules import CompiledRule
from tests.rewards.rule_cast import document, event, rule


def named(*names: str, type_: str = "event") -> dict[str, Any]:
    return {"type": type_, "names": list(names)}


def found(index: RuleIndex, happened: Any) -> list[str]:
    of_type = index.of(happened.type, is_internal=happened.source == "internal")
    return [] if of_type is None else [each.rule_id for each in of_type.candidates(happened.root)]


def test_rules_are_found_by_type_wildcard_and_origin() -> None:
    index = RuleIndex(
        [
            rule(rule_id="exact", trigger=named("game.completed")),
            rule(rule_id="family", trigger=named("game.*"), priority=5),
            rule(rule_id="any", trigger=named("*"), priority=9),
            rule(rule_id="level", trigger=named("level.reached", type_="platform")),
        ]
    )

    assert found(index, event("game.completed")) == ["any", "family", "exact"]
    assert found(index, event("game.round.ended")) == ["any", "family"]
    assert found(index, event("gamecompleted")) == ["any"]
    assert found(index, event("level.reached", source="internal")) == ["level"]
    assert index.of("reward.granted", is_internal=True) is None


def test_a_rule_named_twice_by_a_type_is_asked_once() -> None:
    index = RuleIndex([rule(trigger=named("game.completed", "game.*"))])

    assert found(index, event()) == ["big-win"]


def games(count: int) -> list[CompiledRule]:
    return [
        rule(rule_id=f"game-{number:03}", conditions={"attrs.game": {"eq": f"slot-{number}"}})
        for number in range(count)
    ]


def test_of_a_hundred_rules_an_event_asks_only_those_of_its_own_value() -> None:
    index = RuleIndex([*games(100), rule(rule_id="always")])

    assert found(index, event(attrs={"game": "slot-7"})) == ["always", "game-007"]
    assert found(index, event(attrs={"game": 7})) == ["always"]
    assert found(index, event()) == ["always"]


@pytest.mark.parametrize(
    ("conditions", "demands"),
    [
        ({}, {}),
        ({"attrs.a": {"eq": "x", "exists": True}}, {"attrs": {"x"}}),
        (
            {"op": "and", "conditions": [{"op": "in", "field": "attrs.a", "value": ["x", "y"]}]},
            {"attrs": {"x", "y"}},
        ),
        (
            {"all": [{"condition": {"field": "event.attrs.a", "operator": "eq", "value": "x"}}]},
            {"attrs": {"x"}},
        ),
        ({"or": [{"attrs.a": {"eq": "x"}}]}, {}),
        ({"op": "or", "conditions": [{"attrs.a": {"eq": "x"}}]}, {}),
        ({"not": {"attrs.a": {"eq": "x"}}}, {}),
        ({"attrs.a": {"eq": None}}, {}),
        ({"attrs.a": {"in": ["x", [1]]}}, {}),
        ({"attrs.a": {"ne": "x"}}, {}),
        ({"type": {"eq": "x"}}, {}),
        ({"player.country": {"eq": "SE"}}, {}),
        ({"op": "eq", "field": "attrs.a", "value_expression": "1"}, {}),
    ],
)
def test_only_what_must_hold_is_demanded(conditions: Any, demands: dict[str, set[str]]) -> None:
    demanded = demands_of(rule(conditions=conditions))

    assert [set(keys) for keys in demanded.values()] == list(demands.values())


VALUES = st.one_of(
    st.integers(-2, 2), st.booleans(), st.sampled_from(["a", "b", "1", ""]), st.none(),
    st.decimals(-2, 2, places=1), st.lists(st.integers(0, 1), max_size=2),
)  # fmt: skip
LEAVES = st.builds(
    lambda field, op, value: {
        "op": op,
        "field": field,
        "value": [value] if op == "in" else value,
    },
    st.sampled_from(["attrs.a", "attrs.b", "attrs.deep.c", "actor.metadata.a"]),
    st.sampled_from(["eq", "ne", "in"]),
    VALUES,
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda op, members: {"op": op, "conditions": members if op != "not" else members[:1]},
        st.sampled_from(["and", "and", "or", "not"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)


@given(
    st.lists(CONDITIONS, min_size=1, max_size=6),
    st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES, "deep": st.just({"c": 1})}),
    VALUES,
)
def test_the_index_never_leaves_out_a_rule_that_matches(
    conditions: list[Any], attrs: dict[str, Any], meta: Any
) -> None:
    rules = [
        rule(rule_id=f"rule-{number}", conditions=each) for number, each in enumerate(conditions)
    ]
    happened = event(attrs=attrs, metadata={"a": meta})
    matching = [each.rule_id for each in rules if each.condition.matches(happened.root)]

    candidates = found(RuleIndex(rules), happened)

    assert set(matching) <= set(candidates)
    assert candidates == sorted(candidates)


def test_the_document_of_the_cast_is_valid() -> None:
    assert rule(**document()).rule_id == "big-win"
