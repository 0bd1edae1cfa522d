from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_site.common.conditions import (
    BOARD_ROOTS,
    ConditionError,
    TraceLine,
    compile_condition,
)

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
ROOT: dict[str, Any] = {
    "type": "match.completed",
    "occurred_at": NOON,
    "actor": {"user_id": "ana", "metadata": {"region": "na-east"}},
    "attrs": {
        "score": 50,
        "bet": Decimal("2.50"),
        "float": 0.1,
        "victory": True,
        "one": 1,
        "mode": "ranked",
        "day": "2026-11-18T13:00:00+01:00",
        "none": None,
        "tags": ["vip", 3, {"deep": [1]}],
        "box": {"a": 1, "b": [True]},
    },
}


def matches(document: Any, root: dict[str, Any] = ROOT) -> bool:
    return compile_condition(document).matches(root)


def holds(field: str, op: str, value: Any) -> bool:
    """Ask in all three dialects; they must agree."""
    answers = {
        matches({field: {op: value}}),
        matches({"condition": {"field": field, "operator": op, "value": value}}),
        matches({"op": op, "field": field, "value": value}),
    }
    assert len(answers) == 1
    return answers.pop()


def faults_of(document: Any, **options: Any) -> dict[str, str]:
    with pytest.raises(ConditionError) as error:
        compile_condition(document, **options)
    faults = {fault.path: fault.message for fault in error.value.faults}
    assert len(faults) == len(error.value.faults)
    return faults


@pytest.mark.parametrize("document", [None, {}, {"and": []}, {"op": "and", "conditions": []}])
def test_nothing_to_check_is_always_true(document: Any) -> None:
    condition = compile_condition(document)

    assert condition.is_always_true
    assert condition.matches(ROOT)
    assert condition.matches({})
    assert condition.trace(ROOT) == []
    assert condition.fields == ()


@pytest.mark.parametrize(
    ("field", "op", "value"),
    [
        ("type", "eq", "match.completed"),
        ("actor.user_id", "eq", "ana"),
        ("actor.metadata.region", "in", ["eu", "na-east"]),
        ("attrs.score", "eq", 50),
        ("attrs.score", "eq", 50.0),
        ("attrs.score", "eq", Decimal("50.000")),
        ("attrs.bet", "eq", 2.5),
        ("attrs.float", "eq", Decimal("0.1")),
        ("attrs.victory", "eq", True),
        ("attrs.none", "eq", None),
        ("attrs.box", "eq", {"b": [True], "a": 1.0}),
        ("attrs.tags", "eq", ["vip", 3, {"deep": [1]}]),
        ("attrs.score", "ne", 51),
        ("attrs.score", "ne", "50"),
        ("attrs.one", "ne", True),
        ("attrs.victory", "ne", 1),
        ("attrs.none", "ne", 0),
        ("attrs.score", "gt", 49.5),
        ("attrs.score", "gte", 50),
        ("attrs.score", "lt", 50.1),
        ("attrs.score", "lte", 50),
        ("attrs.mode", "gt", "Ranked"),
        ("attrs.mode", "lt", "ranked "),
        ("attrs.score", "in", ["50", 50]),
        ("attrs.bet", "in", [2.5]),
        ("attrs.box", "in", [1, {"a": 1, "b": [True]}]),
        ("attrs.none", "in", [None]),
        ("attrs.victory", "in", [True]),
        ("attrs.score", "nin", ["50", True, None]),
        ("attrs.score", "nin", []),
        ("attrs.mode", "not_in", ["casual"]),
        ("attrs.tags", "contains", "vip"),
        ("attrs.tags", "contains", 3.0),
        ("attrs.tags", "contains", {"deep": [1]}),
        ("attrs.mode", "contains", "ank"),
        ("attrs.mode", "contains", ""),
        ("attrs.mode", "starts_with", "ran"),
        ("attrs.none", "exists", True),
        ("attrs.tags.0", "eq", "vip"),
        ("attrs.tags.2.deep.0", "eq", 1),
        ("attrs.missing", "exists", False),
        ("attrs.tags.3", "exists", False),
    ],
)
def test_true_comparisons(field: str, op: str, value: Any) -> None:
    assert holds(field, op, value)


@pytest.mark.parametrize(
    ("field", "op", "value"),
    [
        ("attrs.one", "eq", True),
        ("attrs.victory", "eq", 1),
        ("attrs.score", "eq", "50"),
        ("attrs.none", "eq", False),
        ("attrs.box", "eq", {"a": True, "b": [True]}),
        ("attrs.box", "eq", {"a": 1}),
        ("attrs.score", "ne", 50.0),
        ("attrs.victory", "gt", 0),
        ("attrs.mode", "gt", 0),
        ("attrs.score", "gt", "0"),
        ("attrs.score", "gt", 50),
        ("attrs.none", "lte", 0),
        ("attrs.tags", "gt", 0),
        ("attrs.one", "in", [True]),
        ("attrs.victory", "in", [1]),
        ("attrs.victory", "in", ["true", False]),
        ("attrs.score", "in", []),
        ("attrs.score", "nin", [50]),
        ("attrs.mode", "contains", 1),
        ("attrs.tags", "contains", "vi"),
        ("attrs.tags", "contains", True),
        ("attrs.score", "contains", 5),
        ("attrs.box", "contains", "a"),
        ("attrs.tags", "starts_with", "vip"),
        ("attrs.score", "starts_with", "5"),
        ("attrs.none", "exists", False),
        ("attrs.missing", "exists", True),
    ],
)
def test_false_comparisons(field: str, op: str, value: Any) -> None:
    assert not holds(field, op, value)


@pytest.mark.parametrize(
    ("op", "value"),
    [
        ("eq", None),
        ("eq", 1),
        ("ne", 1),
        ("gt", 0),
        ("lte", "z"),
        ("in", [None]),
        ("nin", [1]),
        ("contains", "a"),
        ("starts_with", ""),
        ("exists", True),
    ],
)
@pytest.mark.parametrize("field", ["attrs.missing", "attrs.score.deeper", "actor.metadata.x.y"])
def test_an_absent_path_makes_every_operator_false(field: str, op: str, value: Any) -> None:
    assert not holds(field, op, value)


def test_text_is_ordered_by_code_point() -> None:
    root = {"attrs": {"name": "\uffff"}}

    # UTF-16 units would put the astral character first.
    assert matches({"attrs.name": {"lt": "\U00010000"}}, root)


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("eq", "2026-11-18T13:00:00+01:00", True),
        ("eq", "2026-11-18T12:00:00.000001Z", False),
        ("ne", "2026-11-18T12:00:00Z", False),
        ("gt", "2026-11-18T13:59:59+02:00", True),
        ("gte", "2026-11-18T12:00:00Z", True),
        ("lt", "2026-11-18T12:00:00Z", False),
        ("lte", "2026-11-18T12:00:00Z", True),
        ("in", ["2026-01-01T00:00:00Z", "2026-11-18T07:00:00-05:00"], True),
        ("nin", ["2026-11-18T07:00:00-05:00"], False),
        ("exists", True, True),
    ],
)
def test_occurred_at_compares_as_an_instant(op: str, value: Any, *, expected: bool) -> None:
    assert holds("occurred_at", op, value) is expected


def test_a_text_in_attrs_stays_text_even_if_it_looks_like_a_time() -> None:
    assert holds("attrs.day", "eq", "2026-11-18T13:00:00+01:00")
    assert not holds("attrs.day", "eq", "2026-11-18T12:00:00Z")


def test_any_time_of_another_root_compares_as_an_instant() -> None:
    roots = BOARD_ROOTS | {"player."}
    root = {**ROOT, "player": {"registered_at": NOON}}

    condition = compile_condition(
        {
            "player.registered_at": {
                "gte": "2026-11-18T13:00:00+01:00",
                "lt": "2026-11-18T12:00:01Z",
            }
        },
        roots=roots,
    )

    assert condition.matches(root)
    assert not condition.matches({**ROOT, "player": {"registered_at": NOON - timedelta(seconds=1)}})
    assert not compile_condition({"player.registered_at": {"gt": "a"}}, roots=roots).matches(root)


def test_other_roots_need_no_change_of_the_evaluator() -> None:
    roots = frozenset({"player.", "wallet.", "now.", "event.type", "event.attrs.", "segment"})
    root = {
        "player": {"country": "SE"},
        "wallet": {"gold-coins": {"available": Decimal("12.5")}},
        "now": {"hour": 9},
        "event": ROOT,
        "segment": "vip",
    }
    document = {
        "player.country": {"eq": "SE"},
        "wallet.gold-coins.available": {"gte": 12.5},
        "now.hour": {"in": [8, 9]},
        "event.type": {"starts_with": "match."},
        "event.attrs.score": {"gt": 1},
        "segment": {"ne": "whale"},
    }

    assert compile_condition(document, roots=roots).matches(root)
    assert set(faults_of({"attrs.score": {"eq": 1}, "player": {"eq": 1}}, roots=roots)) == {
        "attrs.score",
        "player",
    }


@pytest.mark.parametrize(
    ("op", "text", "expected"),
    [
        ("eq", "25 * 2", True),
        ("ne", "attrs.one", True),
        ("gte", "20 * attrs.bet", True),
        ("gt", "20 * attrs.bet", False),
        ("lt", "attrs.score + attrs.float", True),
        ("lte", "coalesce(attrs.missing, 50)", True),
        ("gt", "attrs.missing", False),
        ("ne", "attrs.missing", False),
        ("lt", "1/0", False),
        ("eq", "attrs.mode", False),
    ],
)
def test_a_number_compares_with_an_expression(op: str, text: str, *, expected: bool) -> None:
    leaf = {"field": "attrs.score", "value_expression": text}

    assert matches({"op": op, **leaf}) is expected
    assert matches({"condition": {"operator": op, **leaf}}) is expected


@pytest.mark.parametrize(
    ("field", "op", "expected"),
    [
        ("attrs.mode", "ne", True),
        ("attrs.mode", "eq", False),
        ("attrs.mode", "gt", False),
        ("attrs.missing", "ne", False),
    ],
)
def test_what_is_no_number_only_differs_from_an_expression(
    field: str, op: str, *, expected: bool
) -> None:
    assert matches({"op": op, "field": field, "value_expression": "1"}) is expected
    assert not matches({"op": op, "field": field, "value_expression": "attrs.missing"})


YES, NO = {"attrs.one": {"eq": 1}}, {"attrs.one": {"eq": 2}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"attrs.score": {"gte": 10, "lt": 99}, "attrs.victory": {"eq": True}}, True),
        ({"attrs.score": {"gte": 10, "lt": 50}, "attrs.victory": {"eq": True}}, False),
        ({"attrs.score": {"gte": 10}, "attrs.victory": {"eq": False}}, False),
        ({"and": [YES, YES]}, True),
        ({"all": [YES, NO]}, False),
        ({"or": [NO, YES]}, True),
        ({"any": [NO, NO]}, False),
        ({"not": NO}, True),
        ({"not": YES}, False),
        ({"not": {}}, False),
        ({"op": "and", "conditions": [YES, YES, NO]}, False),
        ({"op": "or", "conditions": [NO, NO, YES]}, True),
        ({"op": "not", "conditions": [NO]}, True),
        ({"and": [{"op": "or", "conditions": [NO, {"not": NO}]}, YES]}, True),
        ({"op": "not", "conditions": [{"any": [NO, {"all": [YES, NO]}]}]}, True),
        ({"or": [NO, {}]}, True),
        ({"and": [YES, None]}, True),
    ],
)
def test_combinations(document: Any, *, expected: bool) -> None:
    assert matches(document) is expected


def test_every_fault_is_told_at_once_with_its_place() -> None:
    faults = faults_of(
        {
            "and": [
                {"attrs.x": {"gtt": 1, "eq": 2}, "attrs.y": 5, "attrs.z": {}},
                {"op": "eq"},
                {"condition": 5},
                {"or": []},
                {"foo.bar": {"eq": 1}, "attrs": {"eq": 1}, "attrs..a": {"eq": 1}},
                {"any": [{}], "all": []},
                {"op": "in", "field": "attrs.x", "value": 3, "values": 1},
                {"op": "lt", "field": "attrs.b", "value_expression": "1+"},
                7,
                {"op": "and"},
                {"op": "not", "conditions": [YES, NO]},
                {"op": "or", "conditions": {}},
                {"condition": {"field": 5, "operator": ["eq"], "value": 1, "op": "eq"}},
                {"op": "eq", "field": "attrs.a", "value": 1, "value_expression": "1"},
                {"op": "contains", "field": "attrs.a", "value_expression": "1"},
                {"op": "gt", "field": "occurred_at", "value_expression": "1"},
                {"op": "eq", "field": "attrs.a", "value_expression": 5},
                {"not": 5},
            ]
        }
    )

    assert set(faults) == {
        "and.0.attrs.x.gtt",
        "and.0.attrs.y",
        "and.0.attrs.z",
        "and.1.field",
        "and.1.value",
        "and.2.condition",
        "and.3.or",
        "and.4.foo.bar",
        "and.4.attrs",
        "and.4.attrs..a",
        "and.5",
        "and.6.value",
        "and.6.values",
        "and.7.value_expression",
        "and.8",
        "and.9.conditions",
        "and.10.conditions",
        "and.11.conditions",
        "and.12.condition.field",
        "and.12.condition.operator",
        "and.12.condition.op",
        "and.13",
        "and.14.op",
        "and.15.value_expression",
        "and.16.value_expression",
        "and.17.not",
    }
    assert "character 3" in faults["and.7.value_expression"]


@pytest.mark.parametrize("document", [[], "attrs.a", 5, True, [YES]])
def test_a_condition_is_an_object(document: Any) -> None:
    assert faults_of(document) == {"": "must be an object"}


@pytest.mark.parametrize(
    ("field", "op", "value"),
    [
        ("attrs.a", "in", "abc"),
        ("attrs.a", "nin", {"a": 1}),
        ("attrs.a", "gt", True),
        ("attrs.a", "lt", None),
        ("attrs.a", "gte", [1]),
        ("attrs.a", "starts_with", 5),
        ("attrs.a", "exists", 1),
        ("attrs.a", "exists", None),
        ("attrs.a", "eq", float("nan")),
        ("attrs.a", "in", [Decimal("Infinity")]),
        ("attrs.a", "eq", NOON),
        ("occurred_at", "eq", "yesterday"),
        ("occurred_at", "gt", "2026-11-18T12:00:00"),
        ("occurred_at", "lt", 1_730_000_000),
        ("occurred_at", "in", ["2026-11-18T12:00:00Z", "soon"]),
        ("occurred_at", "contains", "2026"),
        ("occurred_at", "starts_with", "2026"),
    ],
)
def test_a_value_that_never_makes_sense_is_refused(field: str, op: str, value: Any) -> None:
    assert set(faults_of({"op": op, "field": field, "value": value})) == {"value"}


@pytest.mark.parametrize(
    "field",
    ["attrs", "attrs.", "actor.metadata", "actor.name", "actor", "player.level", "typ", "all", ""],
)
def test_a_board_reads_only_the_event(field: str) -> None:
    assert set(faults_of({"op": "eq", "field": field, "value": 1})) == {"field"}


def nested(levels: int) -> Any:
    document: Any = YES
    for _ in range(levels):
        document = {"and": [document]}
    return document


def test_every_bound_is_the_last_that_passes() -> None:
    compile_condition({f"attrs.a{index}": {"eq": 1} for index in range(50)})
    compile_condition(nested(8))
    compile_condition({"attrs.a": {"in": list(range(1000))}})

    assert "50" in faults_of({f"attrs.a{index}": {"eq": 1} for index in range(51)})[""]
    assert len(faults_of(nested(9))) == 1
    assert set(faults_of({"attrs.a": {"in": list(range(1001))}})) == {"attrs.a.in"}


def test_a_document_of_any_depth_is_refused_without_running_out_of_stack() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]

    assert set(faults_of({"attrs.a": {"eq": value}})) == {"attrs.a.eq"}
    assert len(faults_of(nested(5000))) == 1


def test_a_trace_has_a_line_for_every_comparison() -> None:
    document = {
        "op": "and",
        "conditions": [
            {"op": "gte", "field": "attrs.score", "value": 60},
            {"condition": {"field": "attrs.missing", "operator": "eq", "value": 1}},
            {"attrs.mode": {"not_in": ["casual"]}},
            {"op": "gt", "field": "attrs.score", "value_expression": "10 * attrs.bet"},
            {"op": "gt", "field": "attrs.score", "value_expression": "attrs.missing"},
            {"not": {"attrs.gone": {"exists": False}}},
        ],
    }

    assert compile_condition(document).trace(ROOT) == [
        TraceLine("conditions.0", "attrs.score", "gte", 60, 50, result=False),
        TraceLine(
            "conditions.1.condition",
            "attrs.missing",
            "eq",
            1,
            None,
            result=False,
            note="path absent",
        ),
        TraceLine(
            "conditions.2.attrs.mode.not_in", "attrs.mode", "nin", ["casual"], "ranked", result=True
        ),
        TraceLine("conditions.3", "attrs.score", "gt", Decimal("25.00"), 50, result=True),
        TraceLine(
            "conditions.4", "attrs.score", "gt", None, 50, result=False, note="points_missing"
        ),
        TraceLine(
            "conditions.5.not.attrs.gone.exists",
            "attrs.gone",
            "exists",
            False,
            None,
            result=True,
            note="path absent",
        ),
    ]


def test_fields_are_listed_once_with_those_of_expressions() -> None:
    condition = compile_condition(
        {
            "and": [
                {"attrs.a": {"gt": 1, "lt": 9}},
                {"op": "eq", "field": 'attrs["a"]', "value_expression": "attrs.b + attrs.a"},
            ]
        }
    )

    assert condition.fields == ("attrs.a", "attrs.b")


def test_the_document_is_kept_as_it_was_sent() -> None:
    document = {"any": [YES]}

    assert compile_condition(document).document is document


fields = st.sampled_from(["attrs.score", "attrs.mode", "attrs.tags.0", "attrs.missing", "type"])
scalars = st.sampled_from([1, 50, Decimal("2.5"), "ranked", "vip", True, None, ""])
leaves = st.one_of(
    st.tuples(fields, st.sampled_from(["eq", "ne", "contains"]), scalars),
    st.tuples(fields, st.sampled_from(["gt", "gte", "lt", "lte"]), st.sampled_from([1, 50, "r"])),
    st.tuples(fields, st.sampled_from(["in", "nin", "not_in"]), st.lists(scalars, max_size=3)),
    st.tuples(fields, st.just("exists"), st.booleans()),
    st.tuples(fields, st.just("starts_with"), st.sampled_from(["", "ran", "x"])),
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3))
        | inner.map(lambda member: ("not", [member]))
    ),
    max_leaves=8,
)


def as_b(tree: Any) -> Any:
    if len(tree) == 3:
        return {"condition": {"field": tree[0], "operator": tree[1], "value": tree[2]}}
    kind, members = tree
    return {"not": as_b(members[0])} if kind == "not" else {kind: [as_b(m) for m in members]}


def as_c(tree: Any) -> Any:
    if len(tree) == 3:
        return {"op": tree[1], "field": tree[0], "value": tree[2]}
    return {"op": tree[0], "conditions": [as_c(member) for member in tree[1]]}


def as_mixture(tree: Any, *, depth: int = 0) -> Any:
    if len(tree) == 3:
        return {tree[0]: {tree[1]: tree[2]}}
    kind, members = tree
    inner = [as_mixture(member, depth=depth + 1) for member in members]
    if depth % 2:
        return {"op": kind, "conditions": inner}
    words = {"and": "all", "or": "any"}
    return {"not": inner[0]} if kind == "not" else {words[kind]: inner}


def truth(tree: Any) -> bool:
    if len(tree) == 3:
        return matches({tree[0]: {tree[1]: tree[2]}})
    kind, members = tree
    answers = [truth(member) for member in members]
    return {"and": all(answers), "or": any(answers), "not": not answers[0]}[kind]


@given(trees)
def test_the_three_dialects_and_their_mixtures_are_equivalent(tree: Any) -> None:
    documents = [as_b(tree), as_c(tree), as_mixture(tree)]
    try:
        answers = {matches(document) for document in documents}
    except ConditionError as error:
        assert "nests deeper" in str(error)  # noqa: PT017 - only the bound may refuse it
        return

    assert answers == {truth(tree)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["op", "and", "not", "any", "condition", "conditions", "field", "value"]
            )
            | st.sampled_from(["operator", "attrs.a", "eq", "in", "value_expression", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_document_does_anything_but_compile_or_raise_condition_error(document: Any) -> None:
    try:
        condition = compile_condition(document)
    except ConditionError as error:
        assert error.faults  # noqa: PT017 - both outcomes are right
        return
    assert isinstance(condition.matches(ROOT), bool)
    assert isinstance(condition.matches({}), bool)
    condition.trace(ROOT)


@given(leaves)
def test_a_trace_line_says_what_matches_says(leaf: Any) -> None:
    condition = compile_condition(as_c(leaf))

    assert condition.trace(ROOT)[0].result is condition.matches(ROOT)
