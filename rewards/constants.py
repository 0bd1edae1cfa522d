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
