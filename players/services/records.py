"""What every change of a player shares: the lock, the version, the event and the audit entry."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from ingestion.services.log import append_events
from ingestion.types import EventInput
from players.constants import PERSONAL_FIELDS
from players.exceptions import PlayerNotFoundError
from players.models import Player
from tenants.services import audit
from tenants.types import Actor, AuditChange


def lock_player(player_id: UUID) -> Player:
    """Return the player, locked until the transaction ends.

    Rows that only point at the player are made meanwhile. Raises: ``PlayerNotFoundError``.
    """
    player = Player.objects.select_for_update(no_key=True).filter(pk=player_id).first()
    if player is None:
        raise PlayerNotFoundError("There is no such player.")
    return player


def save(player: Player, values: Mapping[str, Any], *, now: datetime) -> None:
    """Write ``values`` and the next version to the row, and to ``player`` as well."""
    fresh = {**values, "version": player.version + 1, "updated_at": now}
    Player.objects.filter(pk=player.pk).update(**fresh)
    for name, value in fresh.items():
        setattr(player, name, value)


def append(
    type_: str, player: Player, attrs: Mapping[str, Any], *, mark: object, now: datetime
) -> None:
    """Log that something happened to the player; ``mark`` tells it from others of its type."""
    event = EventInput(
        tenant_id=player.tenant_id,
        event_id=f"{type_}:{mark}",
        type=type_,
        user_id=player.external_id,
        occurred_at=now,
        attrs={"player_id": str(player.pk), **attrs},
    )
    append_events([event])


def version_mark(player: Player) -> str:
    """Return what tells a change of the player's row from every other one."""
    return f"{player.pk}:{player.version}"


def record(
    action: str,
    player: Player,
    *,
    actor: Actor,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Write the audit entry of a change; personal values are masked."""
    about = AuditChange(
        "player", str(player.pk), player.external_id, _masked(before), _masked(after)
    )
    audit.record(
        action, actor=actor, now=now, tenant_id=player.tenant_id, change=about, reason=reason
    )


def _masked(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {
        name: audit.MASK if value and name in PERSONAL_FIELDS else value
        for name, value in values.items()
    }
