"""Why a rule gave nothing, in sentences for support staff (RUL-20)."""

from typing import Final

from rewards.types.rules import CompiledRule, Reason

__all__ = ["REASONS", "STORED_REASONS", "sentence"]

REASONS: Final[dict[Reason, str]] = {
    "not_active": "The rule was not active when the event was received.",
    "outside_dates": "The event occurred outside the dates of the rule.",
    "trigger_mismatch": "The rule does not look at events of this type.",
    "conditions_not_met": "The event does not meet the conditions of the rule.",
    "not_in_segment": "The player was not in the segment of the rule.",
    "player_blocked": "The player is banned from rewards, or the account is closed.",
    "opted_out": "The player has opted out of gamification.",
    "limit_day": "The player reached the limit of the day.",
    "limit_week": "The player reached the limit of the week.",
    "limit_total": "The player reached the limit of the rule.",
    "amount_cap": "The player reached the largest amount that the rule credits.",
    "group_lost": "Another rule of the group fired.",
    "budget_exhausted": "The budget of the rule has no room for this.",
    "insufficient_balance": "The player's balance does not cover the debit.",
    "chain_too_deep": "The event is too deep in a chain of events that cause each other.",
    "quarantined": "The event is in quarantine: processing it failed.",
    "not_processed_yet": "The event has not been processed yet.",
}
# What stopped a rule whose conditions held; kept as a row for 90 days.
STORED_REASONS: Final[frozenset[Reason]] = frozenset(
    {
        *("not_in_segment", "player_blocked", "opted_out", "limit_day", "limit_week"),
        *("limit_total", "amount_cap", "group_lost", "budget_exhausted", "insufficient_balance"),
        "chain_too_deep",
    }
)


def sentence(reason: Reason) -> str:
    """Return the sentence of a reason about which nothing more is known."""
    return REASONS[reason]


def firings_used(rule: CompiledRule, period: str, used: int, limit: int, when: str) -> str:
    """Return that the player had the rule as often as may be."""
    if period == "total":
        return f"Already granted {used} of {limit}."
    word = "on" if period == "day" else "in the week of"
    return f"Already granted {used} of {limit} {word} {when} ({rule.timezone})."
