"""The consumer that makes players: whoever an event is about exists soon after (01/ING-13).

A batch is one transaction: its new players, their ``player.created``, when those that were there
were last seen, and the cursor commit together.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg
from django.db import DataError, IntegrityError, connection, transaction

from ingestion.services import cursors
from ingestion.types import Batch, Refusal, StoredEvent
from phoenix_site.common.arrays import TimeArray, UuidArray, register
from phoenix_site.common.logging import get_logger
from players.constants import LAST_SEEN_SECONDS, REGISTRATION, REGISTRATION_BATCH_SIZE
from players.rules.identity import is_external_id
from players.services import registration
from players.types import PlayerKey

log = get_logger(__name__)

# A shard with a backlog gives the others a turn after so long.
_TURN_SECONDS: Final = 2.0
_SEEN: Final = """
UPDATE players_player AS player SET last_seen_at = seen.at
FROM unnest(%b, %b) AS seen (id, at)
WHERE player.id = seen.id
  AND (player.last_seen_at IS NULL OR player.last_seen_at <= seen.at - %s * interval '1 second')
"""


def drain_shard(shard: int, *, clock: Callable[[], datetime]) -> bool:
    """Make the players of what waits in ``shard``; return whether it needs another turn.

    Events that come in meanwhile, or that a running transaction hides, wait for the next one.
    """
    ends_at = time.monotonic() + _TURN_SECONDS
    while _register_next(shard, REGISTRATION_BATCH_SIZE, now=clock()).is_full:
        if time.monotonic() > ends_at:
            return True
    return False


def register_players(shard: int, *, now: datetime, limit: int = REGISTRATION_BATCH_SIZE) -> int:
    """Make the players of one batch of ``shard`` and return how many events it held.

    Repeats: safe, effects and cursor commit together. Locks: the cursor (an empty batch when
    another worker has it), then players. Queries: 5; with new players those of ``ensure_players``.
    """
    return len(_register_next(shard, limit, now=now).events)


@transaction.atomic
def replay_event(event: StoredEvent, *, now: datetime) -> None:
    """Make the player of an event that was quarantined.

    In the transaction that closes its entry, which has the cursor of its shard locked.

    Raises: ``InvalidInputError`` when nobody can be called so. Repeats: a player is made once.
    """
    _register([event], now)


def _register_next(shard: int, limit: int, *, now: datetime) -> Batch:
    try:
        return _register_batch(shard, limit, now)
    except (DataError, IntegrityError) as exc:
        # Smaller batches leave the event alone that the database will never take.
        log.warning("batch.refused", shard=shard, limit=limit, error=type(exc).__name__)
        if limit > 1:
            return _register_next(shard, limit // 2, now=now)
        return _set_aside(shard, exc)


@transaction.atomic
def _register_batch(shard: int, limit: int, now: datetime) -> Batch:
    batch = cursors.lock_batch(consumer=REGISTRATION, shard=shard, limit=limit)
    usable: list[StoredEvent] = []
    refusals: list[Refusal] = []
    for event in batch.events:
        if event.user_id is None:
            continue
        if is_external_id(event.user_id):
            usable.append(event)
        else:
            refusals.append(Refusal(event, "invalid_player", "Nobody can have its user_id."))
    _register(usable, now)
    cursors.advance_cursor(batch, quarantine=refusals)
    return batch


@transaction.atomic
def _set_aside(shard: int, error: Exception) -> Batch:
    batch = cursors.lock_batch(consumer=REGISTRATION, shard=shard, limit=1)
    message = f"The database refused its player: {type(error).__name__}."
    refusals = [Refusal(event, "refused_by_database", message) for event in batch.events]
    cursors.advance_cursor(batch, quarantine=refusals)
    return batch


def _register(events: Sequence[StoredEvent], now: datetime) -> None:
    first: dict[PlayerKey, StoredEvent] = {}
    for event in events:
        first.setdefault(_key(event), event)
    if first:
        _note_seen(events, registration.ensure_players(first, now=now, causes=first))


def _key(event: StoredEvent) -> PlayerKey:
    return (event.tenant_id, str(event.user_id))


def _note_seen(events: Iterable[StoredEvent], ids: dict[PlayerKey, UUID]) -> None:
    """Note when senders last saw the players; history and Phoenix's own events are no sign."""
    seen: dict[UUID, datetime] = {}
    for event in events:
        if event.source == "api":
            player_id = ids[_key(event)]
            # A sender's clock may be ahead.
            at = min(event.occurred_at, event.received_at)
            if player_id not in seen or seen[player_id] < at:
                seen[player_id] = at
    if seen:
        chosen = sorted(seen)
        columns = [UuidArray(chosen), TimeArray(seen[player_id] for player_id in chosen)]
        with psycopg.Cursor(connection.connection) as cursor:
            register(cursor)
            cursor.execute(_SEEN, [*columns, LAST_SEEN_SECONDS])
