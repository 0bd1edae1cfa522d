"""Why something was given or taken: carried from the event to grant, posting and next event."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ingestion.types import EventInput

__all__ = ["Cause", "CauseKind", "RuleRef", "child_event"]

CauseKind = Literal[
    "event",
    "firing",
    "grant",
    "order",
    "hold",
    "staff",
    "api_key",
    "transaction",
    "lot",
    "redemption",
]


@dataclass(frozen=True, slots=True)
class RuleRef:
    """The rule that decided: its row, the tenant's name of it, the version, the firing."""

    pk: UUID
    rule_id: str
    version: int
    firing_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What brought something about.

    ``source_type`` and ``source_id`` are the words that grants and wallets show; ``kind`` and
    ``id`` name the row that caused it. ``event_id`` is the event at the beginning (with
    ``event_row`` its row and ``occurred_at`` its time), ``depth`` the length of the chain to it.
    """

    tenant_id: str
    source_type: str
    source_id: str
    kind: CauseKind
    id: str
    event_id: str | None = None
    event_row: int | None = None
    depth: int = 0
    occurred_at: datetime | None = None
    actor: str = ""
    reason: str = ""
    rule: RuleRef | None = None


def child_event(
    cause: Cause,
    type: str,  # noqa: A002 - the log's own word
    *,
    event_id: str,
    user_id: str | None,
    attrs: Mapping[str, Any],
    occurred_at: datetime,
) -> EventInput:
    """Return a platform event that ``cause`` led to, one deeper in the chain.

    ``event_id`` must follow from the thing that happened (``reward.granted:{grant_id}``), so that
    a repeat adds nothing. ``user_id`` is the player's external id.
    """
    return EventInput(
        tenant_id=cause.tenant_id,
        event_id=event_id,
        type=type,
        user_id=user_id,
        occurred_at=occurred_at,
        attrs=attrs,
        cause=cause.event_id or f"{cause.kind}:{cause.id}",
        depth=cause.depth + 1,
    )
