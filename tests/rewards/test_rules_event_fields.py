"""Which fields the builder offers, and the picture of a backtest."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from rewards.constants import PLATFORM_EVENTS
from rewards.rules.day_charts import WIDTH, day_chart
from rewards.rules.event_fields import (
    COMMON_FIELDS,
    PLATFORM_FIELDS,
    fields_for,
    fields_in,
    types_of,
    types_under,
)
from rewards.rules.meaning import EVENT_WORDS
from rewards.rules.rule_conditions import compile_rule_condition
from rewards.types.event_fields import EventCatalog
from tests.rewards.rule_cast import NOON, event


def catalog(*events: Any) -> EventCatalog:
    return EventCatalog(NOON, types_of([(each, 3) for each in events]))


def test_fields_have_their_kind_and_newest_value() -> None:
    attrs = {
        "bet": Decimal("2.5"),
        "mode": "ranked",
        "vip": True,
        "at": datetime(2026, 3, 5, tzinfo=NOON.tzinfo),
        "tags": [1, 2],
        "game": {"id": "dragon", "odd name": 1, 'quo"ted': 2},
        "none": None,
        "long": "x" * 99,
    }
    older = event(attrs={"bet": 1, "extra": 1})

    found = fields_in([event(attrs=attrs, metadata={"region": "eu"}), older])

    kinds = {path: (each.kind, each.example) for path, each in found.items()}
    assert kinds == {
        "attrs.bet": ("number", "2.5"),
        "attrs.mode": ("text", "ranked"),
        "attrs.vip": ("yes_no", "yes"),
        "attrs.at": ("time", "2026-03-05T00:00:00Z"),
        "attrs.tags": ("list", "a list of 2"),
        "attrs.game.id": ("text", "dragon"),
        'attrs.game["odd name"]': ("number", "1"),
        "attrs.none": ("text", "nothing"),
        "attrs.long": ("text", "x" * 40 + "…"),
        "actor.metadata.region": ("text", "eu"),
        "attrs.extra": ("number", "1"),
    }


def test_a_pattern_offers_the_fields_of_all_its_types() -> None:
    known = catalog(
        event("game.won", attrs={"a": 1}), event("game.lost", attrs={"b": 1}), event("other")
    )

    assert [each.name for each in types_under(known, ["game.*"])] == ["game.won", "game.lost"]
    assert {each.path for each in fields_for(known, ["game.*"])} == {"attrs.a", "attrs.b"}
    assert fields_for(known, ["game.won"])[0].path == "attrs.a"
    assert len(types_under(known, ["*"])) == 3
    assert fields_for(known, ["nothing"]) == []


def test_platform_events_have_fields_before_the_first_came() -> None:
    found = fields_for(catalog(), ["level.reached"])

    assert {"attrs.level", "attrs.ladder_id"} <= {each.path for each in found}


def test_every_platform_event_about_a_player_is_described() -> None:
    about_players = {name for name, has_player in PLATFORM_EVENTS.items() if has_player}

    assert set(PLATFORM_FIELDS) == about_players
    assert set(EVENT_WORDS) == about_players


@pytest.mark.parametrize("path", [path for path, _, _ in COMMON_FIELDS])
def test_what_is_offered_may_stand_in_a_condition(path: str) -> None:
    compile_rule_condition({path: {"exists": True}}, currency_ids=None)


# --- The picture ---------------------------------------------------------------------------------


def test_every_day_of_the_period_has_a_bar() -> None:
    first = date(2026, 3, 1)

    chart = day_chart({first: 4, date(2026, 3, 3): 8}, first, date(2026, 3, 4), unit="firings")

    assert chart is not None
    assert [bar.title for bar in chart.bars] == [
        "01 Mar 2026: 4 firings",
        "02 Mar 2026: 0 firings",
        "03 Mar 2026: 8 firings",
        "04 Mar 2026: 0 firings",
    ]
    heights = [bar.height for bar in chart.bars]
    assert heights[2] == 2 * heights[0]
    assert heights[1] == heights[3] == 0
    assert [mark.text for mark in chart.values] == ["0", "4", "8"]
    assert [mark.text for mark in chart.dates] == ["01 Mar", "02 Mar", "03 Mar", "04 Mar"]
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH for bar in chart.bars)


@pytest.mark.parametrize("top", [1, 3, 7, 9, 10, 99, 101, 12_345])
def test_no_bar_is_higher_than_the_picture(top: int) -> None:
    day = date(2026, 3, 1)

    chart = day_chart({day: top}, day, day, unit="firings")

    assert chart is not None
    [bar] = chart.bars
    assert bar.y >= 10
    assert bar.y + bar.height == pytest.approx(chart.base)


def test_a_period_without_days_or_with_too_many_has_no_picture() -> None:
    day = date(2026, 3, 1)

    assert day_chart({}, day, day - timedelta(days=1), unit="firings") is None
    assert day_chart({}, day, day + timedelta(days=500), unit="firings") is None
