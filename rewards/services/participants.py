"""The one lock in front of everything that a player has."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from phoenix_site.common.arrays import UuidArray
from rewards.services.statements import run

_MAKE: Final = """
INSERT INTO rewards_participant (player_id, tenant_id, created_at)
SELECT player.id, player.tenant_id, %(now)s
FROM unnest(%(ids)b) AS wanted (id)
JOIN players_player AS player USING (id)
WHERE NOT EXISTS (SELECT FROM rewards_participant AS known WHERE known.player_id = wanted.id)
ORDER BY player.id
ON CONFLICT (player_id) DO NOTHING
"""
_LOCK: Final = """
SELECT player_id, tenant_id FROM rewards_participant
WHERE player_id = ANY (%(ids)b) ORDER BY player_id FOR NO KEY UPDATE
"""


def lock_participants(player_ids: Collection[UUID], *, now: datetime) -> dict[UUID, str]:
    """Lock what the players have, until the transaction ends; return their tenants' ids.

    Rows that are missing are made, before any is locked: so everybody waits in the order of ids
    only. Locks: participants in id order. Repeats: safe. Queries: 2.
    """
    if not player_ids:
        return {}
    ids = UuidArray(sorted(set(player_ids)))
    run(_MAKE, {"ids": ids, "now": now})
    return dict(run(_LOCK, {"ids": ids}))
