"""What documents of rules mean in sentences, and conditions as the tree that people edit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_site.common.conditions import compile_condition
from rewards.rules.condition_trees import are_same, comparisons_in, is_group, tree_of
from rewards.rules.meaning import meaning_of, summary_of, times_words
from rewards.types.meanings import Names

NAMES = Names(
    items={"i-1": "Sword"},
    configs={"c-1": "Prizes"},
    currencies={"gold": "Gold", "xp": "Experience"},
    decimals={"gold": 0, "xp": 2},
    goals={"achievement:a-1": "Ten wins"},
    coupons={"k-1": "Welcome"},
    base_currency="EUR",
    timezone="Europe/Stockholm",
)


def said(**document: Any) -> dict[str, list[str]]:
    """Return the sentences of a document by their headings; depth is shown by dots."""
    parts = meaning_of(document, NAMES)
    return {part.title: [f"{'.' * line.depth}{line.text}" for line in part.lines] for part in parts}


# --- When and if ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "sentence"),
    [
        ({"type": "event", "names": ["game.won"]}, "A player's event game.won comes in."),
        (
            {"type": "event", "names": ["a", "game.*"]},
            "A player's event a or of any type below game comes in.",
        ),
        ({"type": "event", "names": ["*"]}, "A player's event of any type comes in."),
        (
            {"type": "platform", "names": ["level.reached"]},
            "Phoenix itself reports level.reached (a level reached) of a player.",
        ),
        ({"type": "event", "names": []}, "A player's event … comes in."),
        (None, "A player's event … comes in."),
    ],
)
def test_the_trigger_is_a_sentence(trigger: Any, sentence: str) -> None:
    assert said(trigger=trigger)["When"] == [sentence]


def test_a_nested_condition_reads_as_a_list() -> None:
    conditions = {
        "op": "and",
        "conditions": [
            {"op": "gte", "field": "attrs.bet", "value": 20},
            {
                "op": "or",
                "conditions": [
                    {"op": "eq", "field": "player.country", "value": "SE"},
                    {"op": "gte", "field": "attrs.win", "value_expression": "10 * attrs.bet"},
                    {
                        "op": "not",
                        "conditions": [{"op": "in", "field": "now.weekday", "value": ["a", "b"]}],
                    },
                ],
            },
        ],
    }

    assert said(conditions=conditions)["If"] == [
        "All of these hold:",
        ".attrs.bet is at least 20",
        ".at least one of these holds:",
        "..the player's country is SE",
        "..attrs.win is at least 10 * attrs.bet",
        "..this does not hold:",
        "...the weekday in Europe/Stockholm is one of a or b",
    ]


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ({"attrs.vip": {"eq": True}}, "attrs.vip is yes"),
        ({"attrs.vip": {"exists": False}}, "attrs.vip is not there"),
        ({"attrs.vip": {"exists": True}}, "attrs.vip is there"),
        ({"attrs.code": {"eq": None}}, "attrs.code is nothing"),
        (
            {"wallet.gold.available": {"lt": 1000.5}},
            "the player's Gold to spend is less than 1,000.5",
        ),
        ({"wallet.xp.lifetime": {"gt": 1}}, "the player's Experience ever earned is more than 1"),
        ({"event.attrs.bet": {"ne": 1}}, "attrs.bet is not 1"),
        ({"player.registered_at": {"gt": "2026"}}, "the player's registered at is more than 2026"),
        ({"type": {"starts_with": "game"}}, "the event's type starts with game"),
        (
            {"condition": {"field": "a", "operator": "not_in", "value": [1, 2]}},
            "a is none of 1 or 2",
        ),
    ],
)
def test_a_comparison_is_a_sentence(condition: Any, sentence: str) -> None:
    if "condition" in condition:
        condition = {"and": [condition]}

    assert said(conditions=condition)["If"] == [sentence]


def test_no_condition_and_none_that_can_be_read() -> None:
    assert said(conditions={})["If"] == ["Always: there are no conditions."]
    assert said(conditions=None)["If"] == ["Always: there are no conditions."]
    assert said(conditions=[1])["If"] == ["The conditions cannot be read."]


def test_none_of_these_is_one_line() -> None:
    members = [{"op": "eq", "field": "attrs.a", "value": 1}, {"op": "eq", "field": "attrs.b"}]
    document = {"op": "not", "conditions": [{"op": "or", "conditions": members}]}

    assert said(conditions=document)["If"] == [
        "None of these holds:",
        ".attrs.a is 1",
        ".attrs.b is …",
    ]


# --- Then ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "sentence"),
    [
        ({"type": "grant", "item_id": "i-1"}, "Give the item “Sword”."),
        ({"type": "grant", "item_id": "i-9"}, "Give the item “i-9”."),
        (
            {"type": "grant", "reward_config_id": "c-1"},
            "Give what the reward config “Prizes” has for it.",
        ),
        ({"type": "coupon", "coupon_id": "k-1"}, "Give a code of the coupon “Welcome”."),
        (
            {"type": "progress", "goal": "achievement:a-1", "amount": 2},
            "Add 2 to the progress of “Ten wins”.",
        ),
        (
            {
                "type": "progress",
                "goal": "achievement:a-1",
                "amount": {"type": "multiplier", "field": "attrs.n", "factor": 2},
            },
            "Add 2 times attrs.n to the progress of “Ten wins”.",
        ),
        ({"type": "message"}, "message: no effect that Phoenix knows."),
        ({}, "…: no effect that Phoenix knows."),
    ],
)
def test_an_effect_is_a_sentence(effect: Any, sentence: str) -> None:
    assert said(effects=[effect])["Then"] == [sentence]


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ({"type": "fixed", "amount": 1500}, "Credit 1,500 Gold."),
        (
            {"type": "multiplier", "field": "attrs.bet", "factor": 0.5},
            "Credit 0.5 times attrs.bet Gold, rounded down to whole numbers.",
        ),
        (
            {"type": "step", "field": "attrs.amount", "per": 10, "amount": 1},
            "Credit 1 Gold for each full 10 of attrs.amount.",
        ),
        (
            {"type": "expression", "expression": "attrs.a + 1"},
            "Credit attrs.a + 1 Gold, rounded down to whole numbers.",
        ),
        ({"type": "fixed"}, "Credit … Gold."),
        (None, "Credit … Gold."),
    ],
)
def test_an_amount_is_told(amount: Any, words: str) -> None:
    effect = {"type": "credit", "currency_id": "gold", "amount": amount}

    assert said(effects=[effect])["Then"] == [words]


def test_a_debit_says_what_it_takes() -> None:
    effect = {"type": "debit", "currency_id": "xp", "amount": {"type": "fixed", "amount": 1.5}}

    assert said(effects=[effect])["Then"] == [
        "Debit 1.5 Experience; without enough of it, nothing happens at all."
    ]


def test_lists_show_one_line() -> None:
    effects = [{"type": "grant", "item_id": "i-1"}] * 3

    assert summary_of({"effects": effects[:1]}, NAMES) == "Give the item “Sword”"
    assert summary_of({"effects": effects}, NAMES) == "Give the item “Sword”, and 2 more"
    assert summary_of({}, NAMES) == "Nothing yet …"


# --- Limits, dates, other rules ------------------------------------------------------------------


def test_limits_are_sentences() -> None:
    limits = {
        "per_player": {"day": 1, "week": 2, "total": 10},
        "amount": {"event": 200, "day": 1000.5, "week": None},
        "budget": {"firings": 10000, "cost": 2500},
    }

    assert said(limits=limits, timezone="Asia/Tokyo")["At most"] == [
        "Once a day, twice a week and 10 times ever for each player.",
        "Credits of 200 for one event and 1,000.5 a day for each player; more is cut.",
        "Days and weeks (from Monday) are those of Asia/Tokyo.",
        "10,000 firings and a cost of 2,500 EUR for all players together; then it stops.",
    ]


def test_what_is_not_limited_is_not_told() -> None:
    assert "At most" not in said(limits={})
    assert "At most" not in said(limits={"per_player": {"day": None}, "budget": {}})
    assert said(limits={"per_player": {"total": 3}})["At most"] == ["3 times ever for each player."]


@pytest.mark.parametrize(
    ("dates", "sentence"),
    [
        (
            {"starts_at": "2026-03-01T00:00:00Z", "ends_at": "2026-04-01T12:30:00Z"},
            "What occurs from 01 Mar 2026, 00:00 until 01 Apr 2026, 12:30 (UTC).",
        ),
        ({"starts_at": "2026-03-01T00:00:00Z"}, "What occurs from 01 Mar 2026, 00:00 (UTC) on."),
        ({"ends_at": "2026-03-01T00:00:00Z"}, "What occurs before 01 Mar 2026, 00:00 (UTC)."),
        ({"ends_at": "soon"}, "What occurs before … (UTC)."),
    ],
)
def test_dates_are_a_sentence(dates: dict[str, str], sentence: str) -> None:
    assert said(**dates)["Only"] == [sentence]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("all", "all rules that pass fire"),
        ("first", "only the rule with the highest priority that passes fires"),
        ("best", "only the rule that passes and costs most fires"),
    ],
)
def test_groups_and_priority_are_told(mode: str, words: str) -> None:
    assert said(group={"name": "wins", "mode": mode}, priority=7)["Among other rules"] == [
        f"Of the group “wins”, {words}.",
        "Priority 7; higher ones are asked first.",
    ]


@pytest.mark.parametrize(("count", "words"), [(1, "once"), (2, "twice"), (3, "3 times")])
def test_counts_are_words(count: int, words: str) -> None:
    assert times_words(count) == words
    assert times_words("many") == "… times"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["op", "conditions", "field", "value", "type", "names", "and", "amount"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KEYS = ("trigger", "conditions", "effects", "limits", "group", "priority", "starts_at", "timezone")


@given(st.dictionaries(st.sampled_from(KEYS), anything))
def test_whatever_is_typed_has_a_meaning(document: dict[str, Any]) -> None:
    for part in meaning_of(document, NAMES):
        assert all(line.text for line in part.lines)


# --- Trees ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"attrs.score": {"gte": 10, "lt": 99}, "attrs.mode": {"eq": "ranked"}},
        {"and": [{"condition": {"field": "attrs.a", "operator": "eq", "value": 1}}]},
        {"any": [{"attrs.a": {"eq": 1}}, {"not": {"attrs.b": {"exists": True}}}]},
        {"op": "not", "conditions": [{"op": "eq", "field": "attrs.a", "value": 1}]},
        {"op": "gte", "field": "attrs.win", "value_expression": "10 * attrs.bet"},
        {"condition": {"field": "attrs.a", "operator": "not_in", "value": ["x"]}},
        {"op": "or", "conditions": [{"attrs.a": {"in": [1, 2]}}, {"and": []}]},
    ],
)
@pytest.mark.parametrize(
    "attrs", [{}, {"a": 1, "b": 2}, {"score": 50, "mode": "ranked"}, {"win": 100, "bet": 10}]
)
def test_a_tree_is_the_same_condition(document: Any, attrs: dict[str, Any]) -> None:
    tree = tree_of(document)

    assert tree is not None
    assert is_group(tree)
    root = {"attrs": attrs, "type": "t", "actor": {}}
    assert compile_condition(tree).matches(root) == compile_condition(document).matches(root)
    assert tree_of(tree) == tree
    assert are_same(document, tree)
    assert len(list(comparisons_in(tree))) == len(compile_condition(document).comparisons)


@pytest.mark.parametrize(
    "document",
    [
        [1],
        "text",
        {"op": "and", "conditions": 1},
        {"op": 5, "field": "a"},
        {"and": [], "or": []},
        {"condition": 1},
        {"attrs.a": 1},
        {"attrs.a": {}},
        {"op": "eq", "field": 1},
    ],
)
def test_what_is_no_condition_has_no_tree(document: Any) -> None:
    assert tree_of(document) is None
    assert not are_same(document, document)
