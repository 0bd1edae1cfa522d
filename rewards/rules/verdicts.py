"""Verdicts as support staff and callers read them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from phoenix_site.common.conditions import TraceLine
from phoenix_site.common.json import encode
from rewards.rules.items import item_cost
from rewards.types.book import Book
from rewards.types.rules import (
    AddProgress,
    GrantConfig,
    GrantItem,
    Move,
    PlannedEffect,
    Verdict,
)

__all__ = ["effect_lines", "stored_effects", "trace_line", "trace_lines"]

# What a trace shows of a value; the event itself has the rest.
_SHOWN_CHARACTERS = 200


def trace_lines(verdict: Verdict) -> tuple[Mapping[str, Any], ...]:
    """Return the comparisons of a verdict as answers show them."""
    return tuple(trace_line(line) for line in verdict.trace)


def trace_line(line: TraceLine) -> dict[str, Any]:
    """Return one comparison and what it saw; a long value is cut."""
    shown = {
        "path": line.path,
        "field": line.field,
        "op": line.op,
        "expected": line.expected,
        "actual": _shortened(line.actual),
        "result": line.result,
    }
    return shown | {"note": line.note} if line.note else shown


def _shortened(value: Any) -> Any:
    if not isinstance(value, str | list | tuple | Mapping):
        return value
    text = value if isinstance(value, str) else encode(value).decode()
    return value if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def effect_lines(verdict: Verdict, book: Book, *, applied: bool) -> list[dict[str, Any]]:
    """Return what the effects of a verdict are, or would have been."""
    lines = [line for planned in verdict.effects for line in _effect_lines(planned, book)]
    return [{**line, "applied": applied} for line in lines]


def _effect_lines(planned: PlannedEffect, book: Book) -> list[dict[str, Any]]:
    effect = planned.effect
    if isinstance(effect, Move):
        moved = {"type": effect.type, "currency_id": effect.currency_id, "amount": planned.amount}
        return [{**moved, "cost": planned.cost}]
    if isinstance(effect, GrantItem | GrantConfig):
        named: dict[str, Any] = {"type": "grant"}
        if isinstance(effect, GrantConfig):
            named["reward_config_id"] = str(effect.config_id)
        return [
            {**named, "item_id": str(item_id), "cost": item_cost(book.items[item_id], book)}
            for item_id in planned.item_ids
        ]
    if isinstance(effect, AddProgress):
        goal = f"{effect.goal_kind}:{effect.goal_id}"
        return [{"type": "progress", "goal": goal, "amount": planned.amount}]
    return [{"type": "coupon", "coupon_id": str(effect.coupon_id)}]


def stored_effects(effects: Any) -> list[dict[str, Any]]:
    """Return the effects of a stored firing, whose amounts are texts, as answers show them."""
    return [
        {**effect, **_as_number(effect, "amount"), **_as_number(effect, "cost"), "applied": True}
        for effect in effects
    ]


def _as_number(effect: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {key: Decimal(effect[key])} if key in effect else {}
