"""Tunables of the event log, and the event types that Phoenix itself emits."""

# One player's events stay in one shard, so this number is part of the stored data: changing it
# means moving every cursor.
N_SHARDS = 8

MAX_EVENT_ID_CHARACTERS = 128
MAX_TYPE_CHARACTERS = 100
MAX_USER_ID_CHARACTERS = 128
MAX_KEY_CHARACTERS = 128
MAX_NESTING = 16
MAX_MEMBERS = 10_000
# An answer names this many faults of the documents at most.
MAX_DOCUMENT_FAULTS = 100
MAX_NUMBER_DIGITS = 38
MAX_NUMBER_EXPONENT = 30
EARLIEST_YEAR = 2000
MAX_BULK_EVENTS = 100

# A chain of events that cause each other is cut below this depth.
MAX_CAUSE_DEPTH = 8

# Rows that one shared INSERT holds at most; more would only make its callers wait longer.
MAX_ROWS_PER_STATEMENT = 1000
# Rows that wait in one process for the next commit; beyond it callers are asked to come back.
MAX_QUEUED_ROWS = 20_000
# Two overlap: one batch is being committed while the other is being built.
WRITERS_PER_PROCESS = 2
WRITER_LOCK_TIMEOUT_MILLISECONDS = 2_000
WRITER_STATEMENT_TIMEOUT_MILLISECONDS = 10_000
# The server ends a statement by itself before; one that hangs does not.
WRITER_PATIENCE_SECONDS = 12.0
RETRY_AFTER_SECONDS = 2

BATCH_SIZE = 2000
PURGE_BATCH_SIZE = 2000
PURGE_BATCHES_PER_RUN = 50
# Clocks differ a little: an event is gone only when every process already refuses it as too old.
PURGE_MARGIN_SECONDS = 3600
READY_PROBE_SECONDS = 2.0
# Six signs of life that did not come: the workers are gone, or far behind.
WORKERS_SILENT_SECONDS = 30.0
# A transaction shows up among the running ones a moment after its clock was read.
FREEZE_MARGIN_MILLISECONDS = 250

# What Phoenix emits itself; nobody else may send these. The types that the reactive API of the
# platform gateway makes are missing on purpose: a tenant may send those through /v1/events too.
LEADERBOARD_EVENT_TYPES = frozenset(
    {"leaderboard.window.closed", "leaderboard.placed", "leaderboard.corrected"}
)
REWARD_EVENT_TYPES = frozenset(
    {
        "achievement.unlocked",
        "bundle.completed",
        "coupon.redeemed",
        "ledger.proof.failed",
        "gamification.opted_in",
        "gamification.opted_out",
        "level.lost",
        "level.reached",
        "mission.completed",
        "order.created",
        "order.fulfilled",
        "order.updated",
        "product.purchased",
        "rank.lost",
        "rank.reached",
        "referral.qualified",
        "reward.activated",
        "reward.claimed",
        "reward.expired",
        "reward.granted",
        "streak.broken",
        "streak.milestone",
        "wheel.spun",
    }
)
PLAYER_EVENT_TYPES = frozenset(
    {
        "campaign.grant_requested",
        "campaign.sent",
        "notification.clicked",
        "player.banned",
        "player.created",
        "player.erased",
        "player.merged",
        "player.migrated",
        "player.unbanned",
        "player.updated",
        "rx.ignored",
        "segment.entered",
        "segment.left",
    }
)
TOURNAMENT_EVENT_TYPES = frozenset(
    {
        "tournament.cancelled",
        "tournament.completed",
        "tournament.created",
        "tournament.opened",
        "tournament.placed",
        "tournament.player.eliminated",
        "tournament.player.rebuy",
        "tournament.player.refunded",
        "tournament.player.registered",
        "tournament.player.removed",
        "tournament.started",
        "tournament.updated",
    }
)
INTERNAL_EVENT_TYPES = (
    LEADERBOARD_EVENT_TYPES | REWARD_EVENT_TYPES | PLAYER_EVENT_TYPES | TOURNAMENT_EVENT_TYPES
)
