"""Shapes that tenants hands to every other app: requests as facts, callers, verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Gateway = Literal["ingestion", "query"]
CallerKind = Literal["tenant_jwt", "tenant_hmac", "api_key", "admin_jwt", "staff"]


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What authentication needs to know of a request, whichever entrance it came through.

    ``raw_path`` is the path exactly as received, without the query string; header names are lower
    case; ``address`` is the client's, behind trusted proxies.
    """

    method: str
    raw_path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    address: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request and what that credential may do.

    ``tenant_id`` is set for tenant credentials. ``tenant_ids`` are the tenants within reach,
    ``None`` meaning every tenant; ``scopes`` likewise, ``None`` meaning every scope of the gateway.
    ``expires_at`` is the end of the token (without leeway), if it has one.
    """

    kind: CallerKind
    tenant_id: str | None
    tenant_ids: frozenset[str] | None
    user_id: str | None
    credential_id: str | None
    secret_id: str | None
    scopes: frozenset[str] | None
    expires_at: datetime | None
    staff_user_id: int | None = None
    label: str = ""

    @property
    def actor_id(self) -> str:
        """Return one text that names the credential: what limits, keys and audit count by."""
        if self.staff_user_id is not None:
            return f"staff:{self.staff_user_id}"
        return self.credential_id or ""


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """A tenant as the hot paths see it; at most two seconds old."""

    id: str
    operator_code: str
    environment: str
    name: str
    suspended_at: datetime | None
    hmac_enabled: bool
    ingestion_needs_scope: bool
    accepts_older_shape: bool
    max_future_seconds: int
    retention_days: int
    max_event_bytes: int | None
    allowed_origins: tuple[str, ...]
    public_player_fields: tuple[str, ...]
    limits: Mapping[str, int]
    max_sockets: int
    snapshot_retention_days: int


@dataclass(frozen=True, slots=True)
class LiveSecret:
    """A secret that was not revoked, with what its credential says; ``expires_at`` is the earlier.

    ``is_barred`` marks the published sandbox secrets where production forbids them.
    """

    secret_id: str
    credential_id: str
    value: str = field(repr=False)
    digest: bytes = field(repr=False)
    expires_at: datetime | None
    allowed_cidrs: tuple[str, ...]
    scopes: frozenset[str] | None
    label: str
    is_barred: bool

    def is_live(self, now: datetime) -> bool:
        """Return whether the secret may still be used at ``now``."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class TenantSnapshot:
    """A tenant and its live HMAC secrets."""

    settings: TenantSettings
    secrets: tuple[LiveSecret, ...]


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """An API key: its live secrets and the tenants it reaches."""

    credential_id: str
    tenant_ids: frozenset[str]
    secrets: tuple[LiveSecret, ...]


@dataclass(frozen=True, slots=True)
class StaffSnapshot:
    """A staff member: may sign in, which tenants and scopes, which token families live.

    ``loaded_at`` lets a reader tell a family that was revoked from one that is newer.
    """

    user_id: int
    username: str
    is_allowed: bool
    tenant_ids: frozenset[str] | None
    scopes: frozenset[str] | None
    password_mark: str
    families: frozenset[str]
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """A foreign JWT whose shape was checked and whose signature was not.

    ``user_id`` is the ``sub``: of a tenant token only if it can be a player's id.
    """

    token: str = field(repr=False)
    subject_id: str
    user_id: str | None
    issued_at: float | None
    not_before: float | None
    expires_at: float
    scopes: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class LimitVerdict:
    """The answer of a token bucket.

    ``limit`` and ``remaining`` count tokens; ``reset_at`` is the Unix second at which the bucket is
    full again; ``retry_after`` is in whole seconds and 0 when the request is allowed.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_at: int
    retry_after: int


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret that exists in clear text only here: it is shown once."""

    credential_id: str
    secret_id: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A single-use ticket for opening one connection."""

    value: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StaffTokens:
    """A pair of staff tokens; ``expires_in`` is the access token's life in seconds."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer kept for an idempotency key."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class IdempotencyScope:
    """Whom and what an idempotency key belongs to."""

    tenant_id: str | None
    credential: str
    method: str
    path: str
    key: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something, for the audit log."""

    kind: Literal["staff", "api_key", "admin_jwt", "system"]
    id: str
    label: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class AuditChange:
    """What an audit entry is about, with the values before and after (secrets are masked)."""

    object_type: str
    object_id: str
    object_label: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
