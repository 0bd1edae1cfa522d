"""What developers tune about tenants, credentials and limits; units are in the names."""

from datetime import timedelta

# --- Credentials ---------------------------------------------------------------------------------

TENANT_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{1,62}$"
# An ISO 4217 or other code in capitals, or the id of a currency of one's own.
CURRENCY_PATTERN = r"^([A-Z][A-Z0-9]{2,11}|[a-z][a-z0-9_]{0,39})$"
OUTBOUND_PATH_PATTERN = r"^/([!-.0-~][!-~]*)?$"
ROTATION_OVERLAP = timedelta(hours=24)
# Leeway for tokens that others issued (spec 00 section 4); tokens of our own get none.
FOREIGN_TOKEN_LEEWAY_SECONDS = 30
ISSUED_AT_TOLERANCE_SECONDS = 300
TIMESTAMP_TOLERANCE_SECONDS = 300
# A token longer than this is refused before anything is decoded.
MAX_TOKEN_LENGTH = 8192

TENANT_SCOPES = {"events:write": "Send events", "query": "Read boards as a player"}
ADMIN_SCOPES = {
    "leaderboards:read": "Read leaderboards, windows and standings",
    "leaderboards:write": "Create, change and archive leaderboards",
    "events:read": "Read events and event types",
    "schemas:write": "Publish event schemas",
    "quarantine:write": "Replay and discard quarantined events",
    "integration:read": "Read the integration doctor",
    "wallet:read": "Read currencies, balances and transactions",
    "wallet:write": "Keep currencies, post and reverse transactions",
    "rewards:read": "Read rules, items, grants, goals, levels and coupons",
    "rewards:write": "Keep rules, items, goals, levels and coupons; give and revoke rewards",
}
# A key with this scope has all of them, also those of later releases.
EVERY_SCOPE = "*"
# What a staff member needs in the Django admin to hold the same right by token.
SCOPE_PERMISSIONS = {
    "leaderboards:read": "leaderboards.view_leaderboard",
    "leaderboards:write": "leaderboards.change_leaderboard",
    "events:read": "ingestion.view_event",
    "schemas:write": "ingestion.change_eventschema",
    "quarantine:write": "ingestion.change_quarantineentry",
    "integration:read": "tenants.view_credential",
    "wallet:read": "rewards.view_ledgertransaction",
    "wallet:write": "rewards.add_ledgertransaction",
    "rewards:read": "rewards.view_grant",
    "rewards:write": "rewards.change_grant",
}

# --- Caches of one process -----------------------------------------------------------------------

SNAPSHOT_SECONDS = 2.0
MAX_SNAPSHOTS = 10_000
MAX_VERIFIED_TOKENS = 20_000
LAST_USED_SECONDS = 60.0

# --- Failures ------------------------------------------------------------------------------------

FAILURE_WINDOW_SECONDS = 60
# One address may try many credentials, so it gets a limit of its own beside that of each pair.
FAILURES_PER_ADDRESS_FACTOR = 10

# --- Limits (spec 00 section 5) ------------------------------------------------------------------

INGESTION = "ingestion"
QUERY_PLAYER = "query_player"
QUERY_TENANT = "query_tenant"
ADMIN = "admin"
STAFF_LOGIN = "staff_login"
LIMITS_PER_MINUTE = {
    INGESTION: 60_000,
    QUERY_PLAYER: 600,
    QUERY_TENANT: 60_000,
    ADMIN: 600,
    STAFF_LOGIN: 60,
}
# What an administrator may set per tenant; the rest belongs to the whole installation.
TENANT_LIMIT_CLASSES = (INGESTION, QUERY_PLAYER, QUERY_TENANT, ADMIN)

LIMIT_WINDOW_SECONDS = 60
LEASE_SECONDS = 1.0
# A process may hold one in this many of a bucket's tokens, hence none of a bucket that is smaller.
LEASE_SHARE = 50
MAX_LEASE_TOKENS = 1000
# How long limits pass unchecked after Redis failed, so that its time-outs do not slow requests.
REDIS_PAUSE_SECONDS = 1.0

# --- Idempotency keys ----------------------------------------------------------------------------

IDEMPOTENCY_KEPT = timedelta(hours=24)
# A request that has not answered by then was lost with its process; its key may be used again.
IDEMPOTENCY_RUNNING = timedelta(minutes=5)
MAX_STORED_ANSWER_BYTES = 1024 * 1024
PURGE_BATCH = 5000

# --- Tickets and tokens --------------------------------------------------------------------------

TICKET_LIFETIME = timedelta(seconds=30)
ACCESS_LIFETIME = timedelta(seconds=900)
REFRESH_LIFETIME = timedelta(days=7)
PLAYER_TOKEN_LIFETIME = timedelta(hours=1)
SIGNING_KEY_LIFETIME = timedelta(days=90)
# A retired key verifies until the longest-lived token it signed is over.
SIGNING_KEY_OVERLAP = REFRESH_LIFETIME + timedelta(days=1)

# --- Sandbox (01/ING-60) -------------------------------------------------------------------------

SANDBOX_TENANT_ID = "test-tenant"
SANDBOX_TENANT_SECRET = "test_secret_key_12345"  # noqa: S105 - published in the contract
SANDBOX_API_KEY_ID = "00000000-0000-7000-8000-000000000001"
SANDBOX_API_KEY = "pk_sandbox_0123456789abcdef0123456789abcdef"
SANDBOX_PLAYER_ID = "user-123"

# --- Deliveries (04/WHK-5, 04/WHK-6) -------------------------------------------------------------

# Longer than any call may take, so that two senders never hold one delivery.
DELIVERY_LEASE = timedelta(seconds=60)
# A sender that was held up for longer lets go before it calls: its lease may be over soon.
DELIVERY_STALE_SECONDS = 30.0
DELIVERY_TIMEOUT_SECONDS = 10.0
# One slow operator must leave senders to the others.
MAX_DELIVERIES_IN_FLIGHT = 4
# A task sends for so long, then leaves the rest to the next one; a worker can end in between.
DELIVERY_TASK_SECONDS = 5.0
MAX_RETRY_AFTER = timedelta(hours=1)
RETRY_JITTER = 0.1
ANSWER_KEPT_BYTES = 4096
DELIVERIES_KEPT = timedelta(days=90)
