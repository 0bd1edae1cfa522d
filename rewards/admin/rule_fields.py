"""The document of a rule and the fields of its form: one from the other, both ways."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from phoenix_site.common.exceptions import Detail
from phoenix_site.common.paths import as_number
from phoenix_site.common.times import format_utc
from rewards.rules.condition_trees import are_same, tree_of

__all__ = ["FIELD_OF_PATH", "document_of", "field_of", "initial_of", "said_of"]

# Which field of the form shows a fault of which part of the document; the longest prefix counts.
FIELD_OF_PATH: Final[Mapping[str, str]] = {
    "rule_id": "rule_id",
    "name": "name",
    "kind": "kind",
    "trigger": "event_names",
    "trigger.type": "trigger_type",
    "conditions": "conditions",
    "effects": "effects",
    "timezone": "timezone",
    "starts_at": "starts_at",
    "ends_at": "ends_at",
    "priority": "priority",
    "group": "group_name",
    "group.mode": "group_mode",
    "limits.per_player.day": "per_player_day",
    "limits.per_player.week": "per_player_week",
    "limits.per_player.total": "per_player_total",
    "limits.amount.event": "amount_event",
    "limits.amount.day": "amount_day",
    "limits.amount.week": "amount_week",
    "limits.budget.firings": "budget_firings",
    "limits.budget.cost": "budget_cost",
}
LIMITS: Final = {
    "per_player": ("day", "week", "total"),
    "amount": ("event", "day", "week"),
    "budget": ("firings", "cost"),
}
_is_effect = re.compile(r"effects\.(?P<number>\d+)(?:\.(?P<part>.+))?").fullmatch
_PARTS: Final = {
    "item_id": "item",
    "reward_config_id": "reward config",
    "currency_id": "currency",
    "coupon_id": "coupon",
    "value_expression": "expression",
    "op": "operator",
}


def initial_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields' values for a document; what it has not stays empty."""
    trigger, group = _mapping(document.get("trigger")), _mapping(document.get("group"))
    limits = _mapping(document.get("limits"))
    is_platform = trigger.get("type") == "platform"
    names = _names(trigger)
    return {
        "rule_id": document.get("rule_id"),
        "name": document.get("name"),
        "kind": document.get("kind") or "reward",
        "trigger_type": "platform" if is_platform else "event",
        "event_names": [] if is_platform else names,
        "platform_names": names if is_platform else [],
        "conditions": _conditions(document.get("conditions")),
        "effects": document.get("effects") or [],
        **{
            f"{part}_{key}": _number(_mapping(limits.get(part)).get(key))
            for part, keys in LIMITS.items()
            for key in keys
        },
        "priority": document.get("priority") or 0,
        "group_name": group.get("name"),
        "group_mode": group.get("mode") or "all",
        "timezone": document.get("timezone"),
        "starts_at": _moment(document.get("starts_at")),
        "ends_at": _moment(document.get("ends_at")),
    }


def document_of(
    cleaned: Mapping[str, Any], *, stored: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the document that the fields describe; what is empty is left out.

    The conditions of ``stored`` stay as they were written where the tree still says the same.
    """
    document: dict[str, Any] = {
        "rule_id": cleaned.get("rule_id"),
        "name": cleaned.get("name"),
        "kind": cleaned.get("kind"),
        "trigger": _trigger(cleaned),
        "conditions": _kept_conditions(cleaned.get("conditions"), stored),
        "timezone": cleaned.get("timezone") or None,
        "starts_at": _time(cleaned.get("starts_at")),
        "ends_at": _time(cleaned.get("ends_at")),
        "effects": cleaned.get("effects"),
        "limits": {part: _limit(cleaned, part, keys) for part, keys in LIMITS.items()},
        "priority": cleaned.get("priority"),
    }
    if cleaned.get("group_name"):
        document["group"] = {
            "name": cleaned["group_name"],
            "mode": cleaned.get("group_mode") or "all",
        }
    document["limits"] = {part: limit for part, limit in document["limits"].items() if limit}
    return {key: value for key, value in document.items() if value is not None}


def field_of(path: str, *, is_platform: bool = False) -> str | None:
    """Return the form's field for a path of the document, or ``None``."""
    fitting = [known for known in FIELD_OF_PATH if path == known or path.startswith(f"{known}.")]
    if not fitting:
        return None
    name = FIELD_OF_PATH[max(fitting, key=len)]
    return "platform_names" if is_platform and name == "event_names" else name


def said_of(detail: Detail) -> str:
    """Return a fault as a sentence about the form, not about the document."""
    where = _place(detail.field)
    if where:
        return f"{where}: {detail.message.rstrip('.')}."
    message = f"{detail.message[:1].upper()}{detail.message[1:].rstrip('.')}."
    is_known = not detail.field or field_of(detail.field) is not None
    return message if is_known else f"{detail.field}: {detail.message}."


def _place(path: str) -> str:
    effect = _is_effect(path)
    if effect is not None:
        parts = [_PARTS.get(part, part) for part in (effect["part"] or "").split(".") if part]
        return ", ".join([f"Effect {int(effect['number']) + 1}", *parts])
    steps = path.split(".")
    if steps[0] != "conditions" or len(steps) == 1:
        return ""
    numbers = [str(int(step) + 1) for step in steps if step.isdecimal()]
    last = [] if steps[-1].isdecimal() else [_PARTS.get(steps[-1], steps[-1])]
    return ", ".join([f"Condition {'.'.join(numbers)}".rstrip(), *last])


# --- From a document -----------------------------------------------------------------------------


def _names(trigger: Mapping[str, Any]) -> list[str]:
    names = trigger.get("names", trigger.get("name"))
    return [names] if isinstance(names, str) else [str(each) for each in _sequence(names)]


def _conditions(document: Any) -> Any:
    """Return the tree that the editor shows; what is no condition is left for the JSON view."""
    tree = tree_of(document)
    return document if tree is None else tree


def _number(value: Any) -> Decimal | None:
    number = as_number(value)
    return None if number is None else Decimal(number)


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return value


# --- To a document -------------------------------------------------------------------------------


def _trigger(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    kind = cleaned.get("trigger_type") or "event"
    names = cleaned.get("platform_names" if kind == "platform" else "event_names")
    return {"type": kind, "names": [] if names is None else names}


def _kept_conditions(tree: Any, stored: Mapping[str, Any] | None) -> Any:
    before = None if stored is None else stored.get("conditions")
    if before is not None and are_same(tree, before):
        return before
    is_empty = isinstance(tree, Mapping) and tree.get("conditions") == [] and len(tree) == 2
    return {} if tree is None or is_empty else tree


def _limit(cleaned: Mapping[str, Any], part: str, keys: Sequence[str]) -> dict[str, Any]:
    values = {key: cleaned.get(f"{part}_{key}") for key in keys}
    return {key: _whole(value) for key, value in values.items() if value is not None}


def _whole(value: Any) -> Any:
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value


def _time(value: Any) -> str | None:
    return format_utc(value.astimezone(UTC)) if isinstance(value, datetime) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else []
