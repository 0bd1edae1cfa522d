"""Documents of streaks: what is refused, by its path, and their one full form."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from rewards.exceptions import DocumentError
from rewards.rules.streak_documents import StreakLinks, read_streak, stored_config

ITEM, CONFIG = uuid4(), uuid4()
LINKS = StreakLinks({ITEM}, {CONFIG})
SENT: dict[str, Any] = {
    "name": "Daily login",
    "config": {
        "event_types": ["user.login"],
        "expression": None,
        "window": {
            "type": "calendar",
            "period": "daily",
            "timezone": "America/New_York",
            "reset_time": "00:00",
        },
        "condition": {"type": "count", "min": 1},
        "milestones": [{"threshold": 7, "reward_item_id": None, "repeatable": False}],
        "reward_config_id": None,
        "at_risk_seconds": 3600,
        "freeze": {"max_held": 2, "per_break": 1},
        "late_seconds": 86400,
    },
}


def with_config(**changes: Any) -> dict[str, Any]:
    return {**SENT, "config": {**SENT["config"], **changes}}


def with_window(**window: Any) -> dict[str, Any]:
    return with_config(window=window)


def faults(document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(DocumentError) as refused:
        read_streak(document, LINKS)
    return {fault.path: fault.message for fault in refused.value.faults}


def test_the_printed_example_is_its_own_full_form() -> None:
    fields = read_streak(SENT, LINKS)

    assert (fields.name, fields.status) == ("Daily login", "active")
    assert fields.config.document == SENT["config"]
    assert stored_config(fields.config.document)[0] == fields.config


def test_defaults_are_filled_in() -> None:
    config = {"event_types": ["user.*"], "window": {"type": "rolling", "hours": 24}}

    document = read_streak({"name": "x", "config": config}, LINKS).config.document

    assert document == {
        "event_types": ["user.*"],
        "expression": None,
        "window": {"type": "rolling", "hours": 24},
        "condition": {"type": "count", "min": 1},
        "milestones": [],
        "reward_config_id": None,
        "at_risk_seconds": 3600,
        "freeze": None,
        "late_seconds": 86400,
    }


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({**SENT, "name": "no/slash"}, "name"),
        ({**SENT, "name": ""}, "name"),
        ({**SENT, "name": "x" * 256}, "name"),
        ({"config": SENT["config"]}, "name"),
        ({"name": "x"}, "config"),
        ({**SENT, "status": "gone"}, "status"),
        ({**SENT, "nam": "x"}, "nam"),
        (with_config(event_types=[]), "config.event_types"),
        (with_config(event_types=["bad type"]), "config.event_types.0"),
        (with_config(expression={"op": "and"}), "config.expression.conditions"),
        (with_config(condition={"type": "count", "min": 0}), "config.condition.min"),
        (with_config(condition={"type": "count", "min": 1.5}), "config.condition.min"),
        (with_config(condition={"type": "max", "min": 1}), "config.condition.type"),
        (with_config(condition={"type": "sum", "min": 1}), "config.condition.field"),
        (with_config(condition={"type": "count", "min": 1, "most": 2}), "config.condition.most"),
        (with_config(window=None), "config.window"),
        (with_window(period="daily"), "config.window.type"),
        (with_window(type="calendar", period="yearly"), "config.window.period"),
        (
            with_window(type="calendar", period="daily", timezone="Mars/Base"),
            "config.window.timezone",
        ),
        (
            with_window(type="calendar", period="daily", reset_time="24:00"),
            "config.window.reset_time",
        ),
        (with_window(type="calendar", period="daily", reset_day=3), "config.window.reset_day"),
        (with_window(type="calendar", period="weekly", reset_day=3), "config.window.reset_day"),
        (with_window(type="calendar", period="monthly", reset_day=29), "config.window.reset_day"),
        (with_window(type="rolling"), "config.window.hours"),
        (with_window(type="rolling", hours=0), "config.window.hours"),
        (with_window(type="rolling", hours=24, timezone="UTC"), "config.window.timezone"),
        (with_config(milestones=[{"threshold": 0}]), "config.milestones.0.threshold"),
        (
            with_config(milestones=[{"threshold": 3}, {"threshold": 3}]),
            "config.milestones.1.threshold",
        ),
        (
            with_config(milestones=[{"threshold": 3, "reward_item_id": str(uuid4())}]),
            "config.milestones.0.reward_item_id",
        ),
        (with_config(reward_config_id=str(uuid4())), "config.reward_config_id"),
        (with_config(freeze={"max_held": -1}), "config.freeze.max_held"),
        (with_config(freeze={"per_break": 0}), "config.freeze.per_break"),
        (with_config(at_risk_seconds=-1), "config.at_risk_seconds"),
        (with_config(late_seconds=True), "config.late_seconds"),
        (with_config(surprise=1), "config.surprise"),
    ],
)
def test_a_fault_is_named_by_its_path(document: dict[str, Any], path: str) -> None:
    assert list(faults(document)) == [path]


def test_every_fault_is_told_at_once() -> None:
    document = with_config(event_types=[], condition={"min": -1}, milestones=[{"threshold": 0}])

    assert set(faults({**document, "name": "ü"})) == {
        "name",
        "config.event_types",
        "config.condition.min",
        "config.milestones.0.threshold",
    }


def test_a_milestone_may_name_one_item_or_several() -> None:
    other = UUID(int=5)
    links = StreakLinks({ITEM, other}, set())
    named = {"threshold": 3, "reward_item_id": str(ITEM), "reward_item_ids": [str(other)]}

    config = read_streak(with_config(milestones=[named]), links).config

    assert config.milestones[0].item_ids == (ITEM, other)
    assert config.document["milestones"][0]["reward_item_ids"] == [str(ITEM), str(other)]
