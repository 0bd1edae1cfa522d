"""Shapes that the event log takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from phoenix_site.common.exceptions import Detail, DomainError
from tenants.types import TenantSettings

Source = Literal["api", "import", "internal"]
StoreStatus = Literal["accepted", "duplicate", "conflict"]
ReadyStatus = Literal["ready", "degraded", "not_ready"]
StoreOutcome = StoreStatus | DomainError


class StoredEvent(NamedTuple):
    """An event of the log as consumers see it; fractions are ``Decimal``.

    ``user_id`` is ``None`` for an internal event that is about no player. ``cause`` is the id of
    the event or job that led to this one, ``depth`` the length of that chain. A named tuple
    because consumers make thousands, and a frozen dataclass of this size takes four times as long.
    """

    id: int
    xid: int
    shard: int
    tenant_id: str
    event_id: str
    type: str
    user_id: str | None
    metadata: Mapping[str, Any]
    attrs: Mapping[str, Any]
    occurred_at: datetime
    received_at: datetime
    source: Source
    cause: str | None
    depth: int

    @property
    def position(self) -> tuple[int, int]:
        """Return the place in its shard's commit-safe order."""
        return (self.xid, self.id)

    @property
    def root(self) -> dict[str, Any]:
        """Return the mapping that conditions and expressions read."""
        return {
            "type": self.type,
            "occurred_at": self.occurred_at,
            "actor": {"user_id": self.user_id, "metadata": self.metadata},
            "attrs": self.attrs,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EventInput:
    """An event that Phoenix itself appends to the log.

    ``event_id`` must follow from the cause, so that a repeated job adds nothing.
    """

    tenant_id: str
    event_id: str
    type: str
    occurred_at: datetime
    attrs: Mapping[str, Any]
    user_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: Source = "internal"
    cause: str | None = None
    depth: int = 0
    request_id: str | None = None
    credential_id: str | None = None


class LogRow(NamedTuple):
    """An event as the storing statement takes it, in the order of its parameters.

    ``metadata`` and ``attrs`` are canonical JSON; ``credential_id`` is the text of a UUID.
    """

    tenant_id: str
    event_id: str
    type: str
    user_id: str | None
    metadata: str
    attrs: str
    occurred_at: datetime
    source: str
    request_id: str | None
    credential_id: str | None
    content_hash: bytes
    shard: int
    cause: str | None
    depth: int

    @property
    def key(self) -> tuple[str, str]:
        """Return what makes two events the same event."""
        return (self.tenant_id, self.event_id)


@dataclass(frozen=True, slots=True)
class StoreVerdict:
    """What became of one event: stored now, stored before with the same or with other content."""

    event_id: str
    status: StoreStatus


@dataclass(frozen=True, slots=True)
class EventRules:
    """What a tenant's settings say, at one moment, about the events it sends."""

    tenant_id: str
    accepts_older_shape: bool
    max_future_seconds: int
    retention_days: int
    max_event_bytes: int | None
    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class Payload:
    """The value of a request's body.

    ``has_escapes`` says that texts in it may hold what JSON allows and the log does not (a NUL,
    half of a surrogate pair), so that a body without any is not searched for them.
    """

    value: Any
    has_escapes: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """The events that a request brought, before any check of them; see ``Payload``."""

    items: list[Any]
    has_escapes: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose credential sent the events of a request."""

    tenant: TenantSettings
    credential_id: str | None
    request_id: str


# These are made for every event of a list: a named tuple costs a fifth of a frozen dataclass.
class CheckedEvent(NamedTuple):
    """The outcome of the checks: the normalized event, or every fault that was found.

    ``event_id`` is what the sender wrote, if it was text, for the answer of a bulk request.
    """

    event: "NormalizedEvent | None"
    event_id: str | None
    faults: tuple[Detail, ...] = ()
    warnings: tuple[str, ...] = ()


class NormalizedEvent(NamedTuple):
    """A valid event in the one form that is stored; ``metadata`` and ``attrs`` are JSON."""

    event_id: str
    type: str
    user_id: str
    metadata: str
    attrs: str
    occurred_at: datetime
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Intake:
    """The events of one request after their checks, in the order sent.

    ``rows`` are those to store: one for each item of ``checked`` without faults.
    """

    checked: list[CheckedEvent]
    rows: list[LogRow]


class ItemVerdict(NamedTuple):
    """What became of one event of a request; ``outcome`` is ``None`` when its checks failed."""

    checked: CheckedEvent
    outcome: StoreOutcome | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one shard after the consumer's cursor, in commit-safe order, cursor locked.

    ``has_cursor`` is false when another worker holds the shard; ``is_full`` says that more may
    follow at once.
    """

    consumer: str
    shard: int
    position: tuple[int, int]
    events: list[StoredEvent]
    has_cursor: bool = True
    is_full: bool = False

    @property
    def tenant_ids(self) -> frozenset[str]:
        """Return the tenants whose events the batch holds."""
        return frozenset(event.tenant_id for event in self.events)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that a consumer cannot process, for a lasting reason."""

    event: StoredEvent
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ShardLag:
    """How far a consumer is behind in one shard; ``seconds`` is the wait of the oldest event."""

    consumer: str
    shard: int
    events: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events newest first, and the opaque place where the next page begins."""

    events: list[StoredEvent]
    next: str | None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a search asks for; ``from`` bounds are included, ``to`` bounds are not."""

    user_id: str | None = None
    type: str | None = None
    source: str | None = None
    occurred_from: datetime | None = None
    occurred_to: datetime | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What a purge of one tenant removed, and what held the rest back."""

    tenant_id: str
    deleted_count: int
    held_because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this process may get traffic; the texts are those of the ``/ready`` answer."""

    status: ReadyStatus
    database: str
    message_queue: str
    is_draining: bool
    last_worker_heartbeat: datetime | None
    largest_lag_seconds: float | None
