"""The rows of grants and of their moves, written as sets."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from ingestion.types import EventInput
from phoenix_site.common.json import encode, rendered
from rewards.models import Badge, Grant, GrantMove, InventoryItem
from rewards.rules.grants import is_silent
from rewards.types.causes import Cause, child_event

__all__ = [
    "cause_of",
    "event_of",
    "insert_grants",
    "lock_grants",
    "lost_things",
    "store_moves",
    "update_grants",
]

_COLUMNS: Final = (
    *("id", "tenant_id", "player_id", "source_type", "source_id", "item_id", "ordinal"),
    *("snapshot", "status", "context", "group_id", "group_total", "rule_id", "rule_version"),
    *("firing_id", "cause_event_id", "depth", "cost", "claim_by", "activated_at", "ends_at"),
    *("note", "created_at", "updated_at"),
)
_TYPES: Final = (
    "id uuid, tenant_id text, player_id uuid, source_type text, source_id text, item_id uuid, "
    "ordinal int, snapshot jsonb, status text, context jsonb, group_id uuid, group_total int, "
    "rule_id uuid, rule_version int, firing_id uuid, cause_event_id text, depth smallint, "
    "cost numeric, claim_by timestamptz, activated_at timestamptz, ends_at timestamptz, "
    "note text, created_at timestamptz, updated_at timestamptz"
)
_INSERT: Final = f"""
INSERT INTO rewards_grant ({", ".join(_COLUMNS)})
SELECT {", ".join(_COLUMNS)} FROM jsonb_to_recordset(%(rows)s::jsonb) AS new ({_TYPES})
"""  # noqa: S608 - only constants are put into the text
_UPDATE: Final = """
UPDATE rewards_grant AS stored
SET status = new.status, context = new.context, note = new.note,
    claim_by = new.claim_by, updated_at = new.updated_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS new
    (id uuid, status text, context jsonb, note text, claim_by timestamptz, updated_at timestamptz)
WHERE stored.id = new.id
"""
_MOVES: Final = """
INSERT INTO rewards_grantmove (grant_id, from_status, to_status, at, actor, reason)
SELECT grant_id, from_status, to_status, at, actor, reason
FROM jsonb_to_recordset(%(rows)s::jsonb) AS new
    (n int, grant_id uuid, from_status text, to_status text, at timestamptz, actor text,
     reason text)
ORDER BY n
"""


def insert_grants(grants: Iterable[Grant]) -> None:
    """Insert new grants. Queries: 1."""
    _run(_INSERT, [{name: getattr(grant, name) for name in _COLUMNS} for grant in grants])


def update_grants(grants: Iterable[Grant], *, now: datetime) -> None:
    """Store status, context, note and end of the claim of grants that changed. Queries: 1."""
    names = ("id", "status", "context", "note", "claim_by")
    rows = [{name: getattr(grant, name) for name in names} for grant in grants]
    _run(_UPDATE, [{**row, "updated_at": now} for row in rows])


def store_moves(moves: Sequence[GrantMove]) -> None:
    """Insert the steps of grants, in the order made. Queries: 1."""
    names = ("grant_id", "from_status", "to_status", "at", "actor", "reason")
    rows = [{name: getattr(move, name) for name in names} for move in moves]
    _run(_MOVES, [{"n": place, **row} for place, row in enumerate(rows)])


def lock_grants(ids: Collection[UUID], **conditions: Any) -> list[Grant]:
    """Return grants in the order of their ids, locked until the transaction ends. Queries: 1."""
    found = Grant.objects.filter(pk__in=ids, **conditions).order_by("pk")
    return list(found.select_for_update(of=("self",)).select_related("player"))


def lost_things(grant_ids: Collection[UUID], *, now: datetime) -> None:
    """Note that players no longer have the badges and things of these grants. Queries: 2."""
    for model in (Badge, InventoryItem):
        rows = model.objects.filter(grant_id__in=grant_ids, revoked_at__isnull=True)
        rows.update(revoked_at=now)


def cause_of(grant: Grant, *, actor: str = "", reason: str = "") -> Cause:
    """Return the grant itself as the cause of what its delivery does."""
    return Cause(
        tenant_id=grant.tenant_id,
        source_type=grant.source_type,
        source_id=grant.source_id,
        kind="grant",
        id=str(grant.pk),
        event_id=grant.cause_event_id,
        depth=grant.depth,
        actor=actor,
        reason=reason,
    )


def event_of(grant: Grant, name: str, *, user_id: str, at: datetime) -> EventInput | None:
    """Return the event that tells of a move of the grant, unless it has to be silent (GRT-10)."""
    if is_silent(grant.cause_event_id, grant.depth):
        return None
    attrs = {
        "grant_id": str(grant.pk),
        "group_id": str(grant.group_id),
        "item_id": None if grant.item_id is None else str(grant.item_id),
        "reward_type": grant.snapshot["reward_type"],
        "source_type": grant.source_type,
        "source_id": grant.source_id,
    }
    event_id = f"{name}:{grant.pk}"
    cause = cause_of(grant)
    return child_event(cause, name, event_id=event_id, user_id=user_id, attrs=attrs, occurred_at=at)


def _run(statement: str, rows: Sequence[dict[str, Any]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"rows": encode(rendered(list(rows))).decode()})
