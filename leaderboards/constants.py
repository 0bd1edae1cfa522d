"""Bounds of boards that developers, not operations staff, may change."""

from datetime import UTC, datetime, timedelta
from typing import Final

BOARD_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
# Words that stand where a board's id would in the admin gateway's paths.
RESERVED_BOARD_IDS: Final = frozenset({"backtests"})

MAX_NAME_LENGTH: Final = 255
MAX_DESCRIPTION_LENGTH: Final = 2000

# 15 significant digits: the same number in a bigint, a float index and a JavaScript client.
MAX_SCALED_SCORE: Final = 999_999_999_999_999
MAX_DECIMALS: Final = 6

# Events are never older than this, so a window over all time can have a start like any other.
ALL_TIME_STARTS_AT: Final = datetime(2000, 1, 1, tzinfo=UTC)

MAX_RULES: Final = 50
MAX_LIST_SIZE: Final = 1_000_000
DEFAULT_LIST_SIZE: Final = 1000
MAX_GRACE_SECONDS: Final = 604_800
DEFAULT_GRACE_SECONDS: Final = 300
MIN_SNAPSHOT_SECONDS: Final = 300
MAX_SNAPSHOT_SECONDS: Final = 86_400
DEFAULT_SNAPSHOT_SECONDS: Final = 3600
MAX_SNAPSHOT_TOP: Final = 1000
DEFAULT_SNAPSHOT_TOP: Final = 100

# The consumer that scores, as ``PHOENIX_EVENT_CONSUMERS`` calls it.
SCORING: Final = "leaderboards.scoring"
SCORING_BATCH_SIZE: Final = 4000

# Entries that go into the rank index at once: more would keep others waiting for too long.
INDEX_STEP: Final = 1000

# Compiled configs that a process keeps, the ones used last.
MAX_KEPT_CONFIGS: Final = 10_000
# How far ahead of its arrival an event may say it occurred, at most (a tenant setting, 01 ING-11).
EARLY_EVENTS: Final = timedelta(days=1)
# The sweep opens a window this long before it starts, so that its readers never find none.
OPEN_AHEAD_SECONDS: Final = 10
# How many windows one sweep hands to the closing task, and one task run closes of one board.
MAX_WINDOWS_PER_SWEEP: Final = 200
MAX_WINDOWS_PER_CLOSING: Final = 50
# Events that a closing window appends at once.
EVENTS_PER_APPEND: Final = 5000
# A snapshot says that it is of one instant; later than this it is not taken any more.
SNAPSHOT_LATENESS: Final = timedelta(seconds=60)
SNAPSHOTS_PER_RUN: Final = 500
SNAPSHOTS_PER_PURGE: Final = 5000
