"""Earning rules: the short form of a rule with one credit (RUL-21)."""

from collections.abc import Mapping
from typing import Any, Final

from phoenix_site.common.documents import Section
from phoenix_site.common.faults import Fault
from rewards.exceptions import DocumentError

__all__ = ["READ_ONLY", "long_fault", "long_form", "short_form"]

_KEYS: Final = (
    *("name", "currency_id", "event_type", "event_filter", "calculation", "max_per_event"),
    *("max_per_day", "max_per_week", "priority", "active", "rule_id", "version"),
)
READ_ONLY: Final = frozenset(
    {"id", "tenant_id", "status", "warnings", "created_at", "updated_at", "rule_id"}
)
_CAPS: Final = {"event": "max_per_event", "day": "max_per_day", "week": "max_per_week"}
# Where the parts of the long form stand in the short one.
_PLACES: Final = {
    "effects.0.currency_id": "currency_id",
    "effects.0.amount": "calculation",
    "trigger.names": "event_type",
    "conditions": "event_filter",
    **{f"limits.amount.{period}": key for period, key in _CAPS.items()},
}


def long_form(document: Mapping[str, Any], *, rule_id: str) -> dict[str, Any]:
    """Return the document of the rule that a short form means; ``parse_rule`` checks the rest.

    Raises: ``DocumentError`` for unknown fields, or ``active`` that is no boolean.
    """
    faults: list[Fault] = []
    short = Section(document, "", faults, keys=_KEYS)
    if short.raw("active") is not None and not isinstance(short.raw("active"), bool):
        short.refuse("active", "must be true or false")
    if not short.has("event_type"):
        short.refuse("event_type", "is required")
    if faults:
        raise DocumentError(faults)
    made = {
        "rule_id": rule_id,
        "name": short.raw("name"),
        "kind": "earning",
        "trigger": {"type": "event", "names": [short.raw("event_type")]},
        "conditions": short.raw("event_filter"),
        "effects": [
            {
                "type": "credit",
                "currency_id": short.raw("currency_id"),
                "amount": short.raw("calculation"),
            }
        ],
        "limits": {"amount": {period: short.raw(key) for period, key in _CAPS.items()}},
    }
    return made if short.raw("priority") is None else {**made, "priority": short.raw("priority")}


def short_form(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the short form of an earning rule's document."""
    (effect,) = document["effects"]
    caps = document["limits"]["amount"]
    return {
        "name": document["name"],
        "currency_id": effect["currency_id"],
        "event_type": document["trigger"]["names"][0],
        "event_filter": document["conditions"] or None,
        "calculation": effect["amount"],
        **{key: caps[period] for period, key in _CAPS.items()},
        "priority": document["priority"],
    }


def long_fault(fault: Fault) -> Fault:
    """Return a fault of the long form at its place in the short one."""
    for long, short in _PLACES.items():
        if fault.path == long or fault.path.startswith(f"{long}."):
            rest = "" if short == "event_type" else fault.path[len(long) :]
            return Fault(short + rest, fault.message)
    return fault
