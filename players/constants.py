"""Developers' tunables of players."""

from typing import Final

# The consumer that makes players, as ``PHOENIX_EVENT_CONSUMERS`` calls it.
REGISTRATION: Final = "players.registration"
REGISTRATION_BATCH_SIZE: Final = 2000

MAX_EXTERNAL_ID_CHARACTERS: Final = 128
MAX_TAGS_PER_PLAYER: Final = 200
MAX_TAG_VALUE_CHARACTERS: Final = 200
MAX_REASON_CHARACTERS: Final = 500
MAX_OPT_REASONS: Final = 20
MAX_ATTRIBUTES: Final = 100
MAX_ATTRIBUTE_CHARACTERS: Final = 1000
MAX_ATTRIBUTE_ITEMS: Final = 100

# The name of a tag or an attribute, for PostgreSQL and Python alike.
SLUG_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
# The same for an ISO 4217 or a crypto currency.
CURRENCY_PATTERN: Final = r"^[A-Z0-9]{3,12}$"

# When a player was last seen is rewritten at most this often.
LAST_SEEN_SECONDS: Final = 60

BAN_SCOPES: Final = ("all", "rewards", "leaderboards", "tournaments", "messages")
# An account in one of these states gets nothing and may claim nothing (03/RUL-7).
BLOCKING_STATUSES: Final = frozenset({"closed", "blocked", "self_excluded"})

# Fields that say who somebody is: events and audit entries name them and never hold their values.
PERSONAL_FIELDS: Final = frozenset(
    {
        "username",
        "first_name",
        "last_name",
        "email",
        "phone",
        "city",
        "birth_date",
        "gender",
        "at_risk_reason",
    }
)
