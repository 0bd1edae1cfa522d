"""Tunables of rewards."""

from typing import Final

# The consumer of the log that applies rules and counts goals.
RULES: Final = "rewards.rules"
RULES_BATCH_SIZE: Final = 2000

# Ids that tenants choose: of rules, ladders and ranks.
SLUG_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
# Words that stand in the same place of a path as an id.
RESERVED_IDS: Final = frozenset({"definitions", "user", "orders", "catalog", "history"})
CURRENCY_ID_PATTERN: Final = r"^([a-z][a-z0-9_]{0,39}|[A-Z]{3})$"
MAX_DECIMAL_PLACES: Final = 8
# What a column of amounts holds: 30 digits before the point are more than anything is worth.
AMOUNT_DIGITS: Final = 38

REFUSALS_KEPT_DAYS: Final = 90
DEFAULT_HOLD_HOURS: Final = 24

# --- Rules ---------------------------------------------------------------------------------------

MAX_TRIGGER_NAMES: Final = 20
MAX_EFFECTS: Final = 20
# Ids that would stand in the place of ``rules/explain`` and ``rules/dry-run``.
RESERVED_RULE_IDS: Final = frozenset({"dry-run", "explain"})
# An event so deep in a chain of events that cause each other fires no rule (RUL-4).
MAX_RULE_DEPTH: Final = 8
# Platform events that rules may be triggered by, and whether each is about a player (RUL-3).
PLATFORM_EVENTS: Final = {
    "leaderboard.window.closed": False,
    "leaderboard.placed": True,
    "achievement.unlocked": True,
    "streak.milestone": True,
    "streak.broken": True,
    "level.reached": True,
    "rank.reached": True,
    "level.lost": True,
    "rank.lost": True,
    "reward.granted": True,
    "reward.claimed": True,
    "reward.activated": True,
    "reward.expired": True,
    "coupon.redeemed": True,
    "gamification.opted_in": True,
    "gamification.opted_out": True,
}
# Those of parts of Phoenix that are not there yet: a rule on them would never fire.
UNBUILT_EVENTS: Final = frozenset(
    {
        *("tournament.placed", "mission.completed", "bundle.completed", "product.purchased"),
        *("order.updated", "wheel.spun", "referral.qualified"),
    }
)
# At these shares of a rule's budget staff are told, in percent (RUL-11).
BUDGET_SHARES: Final = (80, 100)
# Rules kept compiled in a process, and event types of which it knows the rules.
MAX_KEPT_RULES: Final = 20_000
MAX_INDEXED_TYPES: Final = 2_000
# A rule says which of its paths no recent event has; so many events are looked at.
PATH_SAMPLE: Final = 200

# Levels that give what levels stand on, and the like, follow each other so often in one go.
MAX_FOLLOW_ROUNDS: Final = 8

# --- Coupons -------------------------------------------------------------------------------------

# No sign that a path, a spreadsheet or a person reading aloud could take for something else.
COUPON_CODE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{2,63}$"
MAX_CODES: Final = 100_000
# More than so many codes or rows are a job.
MAX_CODES_AT_ONCE: Final = 1000
COUPON_BATCH_SIZE: Final = 5000
# So many failures of a player within so long, and every further attempt is refused (CPN-6).
COUPON_FAILURES: Final = 20
COUPON_FAILURE_SECONDS: Final = 600
