"""Verdicts, traces and effects in the words of support staff."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from phoenix_site.common.json import encode
from phoenix_site.common.paths import as_number
from phoenix_site.common.times import format_utc
from rewards.rules.meaning import OPERATOR_WORDS
from rewards.selectors.rule_trials import TrialRow
from rewards.types.meanings import Names

__all__ = ["REASON_WORDS", "effect_words", "plain", "trace_rows", "trial_document"]

REASON_WORDS: Final[Mapping[str, str]] = {
    "not_active": "Rule not active",
    "outside_dates": "Outside the dates",
    "trigger_mismatch": "Other event type",
    "conditions_not_met": "Conditions not met",
    "not_in_segment": "Not in the segment",
    "player_blocked": "Player blocked",
    "opted_out": "Player opted out",
    "limit_day": "Limit of the day",
    "limit_week": "Limit of the week",
    "limit_total": "Limit of the player",
    "amount_cap": "Cap reached",
    "group_lost": "Another rule of the group",
    "budget_exhausted": "Budget used up",
    "insufficient_balance": "Balance too small",
    "chain_too_deep": "Chain too deep",
    "quarantined": "In quarantine",
    "not_processed_yet": "Not processed yet",
}


# A number with more would fill the page.
_MOST_DIGITS: Final = 40


def trial_document(rows: Sequence[TrialRow], names: Names) -> dict[str, Any]:
    """Return what the builder shows of a trial."""
    if not rows:
        return {"rows": [], "note": "No events of these types have arrived lately."}
    fired = sum(row.is_fired for row in rows)
    note = (
        f"It would fire for {fired} of the last {len(rows)} events that came in, the newest first."
    )
    return {"rows": [_trial_row(row, names) for row in rows], "note": note}


def _trial_row(row: TrialRow, names: Names) -> dict[str, Any]:
    return {
        "event": row.event.type,
        "at": f"{row.event.occurred_at:%d %b, %H:%M:%S}",
        "player": row.event.user_id or "nobody",
        "tone": "good" if row.is_fired else "warn",
        "verdict": "Fires" if row.reason is None else REASON_WORDS.get(row.reason, row.reason),
        "text": row.text,
        "effects": [f"{effect_words(each, names)}." for each in row.effects],
        "trace": trace_rows(row.trace),
    }


def trace_rows(trace: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the comparisons of a trace: what was wanted, what was found, whether it was met."""
    return [
        {
            "field": line["field"],
            "expected": f"{OPERATOR_WORDS.get(line['op'], line['op'])} {plain(line['expected'])}",
            "actual": "not there" if line.get("note") == "path absent" else plain(line["actual"]),
            "note": "" if line.get("note") == "path absent" else line.get("note", ""),
            "result": bool(line["result"]),
        }
        for line in trace
    ]


def effect_words(effect: Mapping[str, Any], names: Names) -> str:
    """Return one effect of a firing, or what it would have been: ``Credits 50 Gold``."""
    kind = effect.get("type")
    if kind in ("credit", "debit"):
        currency = names.currencies.get(effect["currency_id"], effect["currency_id"])
        verb = "Credits" if kind == "credit" else "Debits"
        return f"{verb} {plain(effect['amount'])} {currency}"
    if kind == "grant":
        return f"Gives “{names.items.get(effect['item_id'], effect['item_id'])}”"
    if kind == "progress":
        goal = names.goals.get(effect["goal"], effect["goal"])
        return f"Adds {plain(effect['amount'])} to “{goal}”"
    if kind == "coupon":
        coupon = names.coupons.get(effect["coupon_id"], effect["coupon_id"])
        return f"Gives a code of “{coupon}”"
    return str(kind)


def plain(value: Any) -> str:
    """Return a JSON value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "nothing"
    if isinstance(value, datetime):
        return format_utc(value)
    number = as_number(value)
    if number is not None and abs(Decimal(number).adjusted()) <= _MOST_DIGITS:
        text = f"{Decimal(number):,f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return value if isinstance(value, str) else encode(value).decode()
