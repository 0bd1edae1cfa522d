"""How players come into being: the first event, call or staff action that names them.

The consumer below makes the players of the log; whoever needs one earlier, in a transaction of
its own, calls ``ensure_players`` first.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import connection, transaction

from ingestion.services.log import append_events
from ingestion.types import EventInput, StoredEvent
from phoenix_site.common.arrays import TextArray, UuidArray, register
from phoenix_site.common.exceptions import InvalidInputError
from phoenix_site.common.ids import uuid7
from players.rules.identity import is_external_id
from players.types import PlayerKey
from tenants.services import audit
from tenants.types import Actor, AuditChange

_KNOWN: Final = """
SELECT player.tenant_id, player.external_id, player.id
FROM unnest(%b, %b) AS wanted (tenant_id, external_id)
JOIN players_player AS player USING (tenant_id, external_id)
"""
_MAKE: Final = """
INSERT INTO players_player (id, tenant_id, external_id, created_at, updated_at)
SELECT id, tenant_id, external_id, %s, %s
FROM unnest(%b, %b, %b) AS new (id, tenant_id, external_id)
ON CONFLICT (tenant_id, external_id) DO NOTHING
RETURNING tenant_id, external_id, id
"""
_NO_CAUSES: Final[Mapping[PlayerKey, StoredEvent]] = {}


def ensure_players(
    keys: Collection[PlayerKey],
    *,
    now: datetime,
    causes: Mapping[PlayerKey, StoredEvent] = _NO_CAUSES,
) -> dict[PlayerKey, UUID]:
    """Return the ids of the players (tenant id, external id); those that are missing are made.

    Each new one is logged as ``player.created``, caused by the event that ``causes`` has for it.
    Call it in the transaction that needs the players.

    Raises: ``InvalidInputError`` for a text that cannot be an external id; then nothing is made.
    Repeats: safe, also at the same time. Locks: new players in key order, until the transaction
    ends; another one that makes the same waits. Queries: 1; with new players 2, and those of
    ``append_events``, and one more when another transaction made some meanwhile.
    """
    wanted = set(keys)
    _check(wanted)
    found = _known(wanted)
    missing = wanted - found.keys()
    if missing:
        made = _make(sorted(missing), now)
        append_events([_created(key, made[key], causes.get(key), now) for key in sorted(made)])
        # A statement of its own: it sees what was committed while the one before waited.
        found |= made | _known(missing - made.keys())
    return found


def ensure_player(tenant_id: str, external_id: str, *, now: datetime) -> UUID:
    """Return the id of one player, who is made if missing; see ``ensure_players``."""
    key = (tenant_id, external_id)
    return ensure_players([key], now=now)[key]


@transaction.atomic
def create_player(tenant_id: str, external_id: str, *, actor: Actor, now: datetime) -> UUID:
    """Make a player by hand and return the id; one who is there already is left as they are.

    Raises: ``InvalidInputError``. Repeats: a player is made once, each call is in the audit log.
    """
    player_id = ensure_player(tenant_id, external_id, now=now)
    change = AuditChange("player", str(player_id), external_id)
    audit.record("player.created", actor=actor, now=now, tenant_id=tenant_id, change=change)
    return player_id


def _check(keys: Iterable[PlayerKey]) -> None:
    if not all(is_external_id(external_id) for _, external_id in keys):
        raise InvalidInputError(
            "A player's id has 1 to 128 characters, no control character, no slash, and no space "
            "at its ends."
        )


def _known(keys: Collection[PlayerKey]) -> dict[PlayerKey, UUID]:
    return _ids(_KNOWN, [], list(keys)) if keys else {}


def _make(keys: list[PlayerKey], now: datetime) -> dict[PlayerKey, UUID]:
    return _ids(_MAKE, [now, now, UuidArray(uuid7() for _ in keys)], keys)


def _ids(statement: str, before: list[Any], keys: list[PlayerKey]) -> dict[PlayerKey, UUID]:
    columns = [TextArray(tenant_id for tenant_id, _ in keys), TextArray(name for _, name in keys)]
    connection.ensure_connection()
    with psycopg.Cursor(connection.connection) as cursor:
        register(cursor)
        rows = cursor.execute(statement, [*before, *columns], binary=True).fetchall()
    return {(tenant_id, external_id): player_id for tenant_id, external_id, player_id in rows}


def _created(
    key: PlayerKey, player_id: UUID, cause: StoredEvent | None, now: datetime
) -> EventInput:
    tenant_id, external_id = key
    return EventInput(
        tenant_id=tenant_id,
        event_id=f"player.created:{player_id}",
        type="player.created",
        user_id=external_id,
        occurred_at=now,
        attrs={"player_id": str(player_id)},
        cause=None if cause is None else cause.event_id,
        depth=0 if cause is None else cause.depth + 1,
    )
