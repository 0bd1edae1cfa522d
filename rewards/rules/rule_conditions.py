"""What the conditions of rules may read, and how an event looks to them.

Beside the event itself, also as ``event.…``: ``player.…``, ``wallet.{currency}.available`` and
``.lifetime``, and ``now.hour``, ``now.weekday``, ``now.date``: the time at which the event
occurred, in the rule's zone, so that late work comes to the same answer.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime, tzinfo
from typing import Any, Final

from phoenix_site.common.conditions import (
    BOARD_ROOTS,
    Comparison,
    Condition,
    ConditionError,
    compile_condition,
)
from phoenix_site.common.faults import Fault
from phoenix_site.common.paths import parse_path
from rewards.types.ladders import LadderView

__all__ = [
    "WEEKDAYS",
    "compile_rule_condition",
    "needs_of",
    "player_document",
    "root_of",
    "wallets_of",
]

WEEKDAYS: Final = (*("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),)
RULE_ROOTS: Final = BOARD_ROOTS | {
    *(f"event.{root}" for root in BOARD_ROOTS),
    *("player.", "wallet.", "now.hour", "now.weekday", "now.date"),
}
_OTHER_ROOTS: Final = frozenset({"event", "player", "wallet", "now"})
_BALANCES: Final = ("available", "lifetime")
_is_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


def compile_rule_condition(document: Any, *, currency_ids: Collection[str] | None) -> Condition:
    """Return the compiled form; ``currency_ids`` are those that exist (``None``: do not ask).

    Raises: ``ConditionError`` with all faults at once.
    """
    condition = compile_condition(document, roots=RULE_ROOTS)
    faults = [fault for each in condition.comparisons for fault in _faults(each, currency_ids)]
    if faults:
        raise ConditionError(faults)
    return condition


def _faults(comparison: Comparison, currency_ids: Collection[str] | None) -> list[Fault]:
    steps = parse_path(comparison.field)
    check = _CHECKS.get(steps[0])
    message = None if check is None else check(steps, comparison, currency_ids)
    return [] if message is None else [Fault(comparison.path, message)]


def _check_wallet(
    steps: tuple[str, ...], _comparison: Comparison, currency_ids: Collection[str] | None
) -> str | None:
    if len(steps) != 3 or steps[2] not in _BALANCES:
        return "must be wallet.{currency_id}.available or wallet.{currency_id}.lifetime"
    if currency_ids is not None and steps[1] not in currency_ids:
        return f"there is no currency {steps[1]}"
    return None


def _check_player(
    steps: tuple[str, ...], _comparison: Comparison, _currency_ids: Collection[str] | None
) -> str | None:
    return "not supported yet" if steps[1] in ("category", "segments") else None


def _check_now(
    steps: tuple[str, ...], comparison: Comparison, _currency_ids: Collection[str] | None
) -> str | None:
    """Refuse what the clock never shows: a comparison with it would never hold, unnoticed."""
    if comparison.op == "exists" or comparison.expression is not None:
        return None
    expected = comparison.expected
    values = expected if isinstance(expected, list | tuple) else [expected]
    if steps[1] == "weekday" and not all(value in WEEKDAYS for value in values):
        return f"a weekday is one of {', '.join(WEEKDAYS)}"
    if steps[1] == "date" and not all(isinstance(v, str) and _is_date(v) for v in values):
        return "a date is written YYYY-MM-DD"
    if steps[1] == "hour" and not all(type(v) is int and 0 <= v <= 24 for v in values):
        return "an hour is a whole number from 0 to 24"
    return None


_CHECKS: Final = {"wallet": _check_wallet, "player": _check_player, "now": _check_now}


def needs_of(condition: Condition) -> frozenset[str]:
    """Return the roots beyond the event's own that the condition reads.

    ``standing`` is one more: the player's level and rank, which no profile has.
    """
    paths = [parse_path(path) for path in condition.fields]
    roots = frozenset(steps[0] for steps in paths) & _OTHER_ROOTS
    stands = any(steps[:2] in (("player", "level"), ("player", "rank")) for steps in paths)
    return roots | {"standing"} if stands else roots


def player_document(
    document: Mapping[str, Any], ladder: LadderView | None, level: int
) -> Mapping[str, Any]:
    """Return what ``player.…`` reads, with the level and rank on the tenant's default ladder."""
    if ladder is None:
        return document
    rank = ladder.curve.rank_at(level)
    standing = {"level": level} if rank is None else {"level": level, "rank": rank.rank_id}
    return {**document, **standing}


def wallets_of(condition: Condition) -> frozenset[str]:
    """Return the ids of the currencies whose balance the condition reads."""
    paths = map(parse_path, condition.fields)
    return frozenset(steps[1] for steps in paths if steps[0] == "wallet")


def root_of(
    event_root: Mapping[str, Any],
    needs: Collection[str],
    *,
    occurred_at: datetime,
    zone: tzinfo,
    state: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Return what a rule with these ``needs`` reads; ``state`` has ``player`` and ``wallet``."""
    if not needs:
        return event_root
    root = dict(event_root)
    if "event" in needs:
        root["event"] = event_root
    if "now" in needs:
        root["now"] = _clock(occurred_at.astimezone(zone))
    for name in ("player", "wallet"):
        if name in needs and name in state:
            root[name] = state[name]
    return root


def _clock(local: datetime) -> dict[str, Any]:
    return {
        "hour": local.hour,
        "weekday": WEEKDAYS[local.weekday()],
        "date": local.date().isoformat(),
    }
