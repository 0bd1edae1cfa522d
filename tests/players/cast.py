"""Players for tests: made as the product makes them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ingestion.models import Event
from players.models import Player
from players.services.registration import ensure_players
from tenants.types import Actor

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OPS = Actor("staff", "staff:1", "ops")


def new_player(external_id: str = "ana", tenant_id: str = "tenant-a", **fields: Any) -> Player:
    """Return a new player whose row has ``fields``, past the services."""
    player_id = ensure_players([(tenant_id, external_id)], now=NOW)[tenant_id, external_id]
    Player.objects.filter(pk=player_id).update(**fields)
    return Player.objects.get(pk=player_id)


def logged(type_: str) -> list[dict[str, Any]]:
    """Return the ``attrs`` of the events of this type, oldest first, without the player's id."""
    found = Event.objects.filter(type=type_).order_by("pk").values_list("attrs", flat=True)
    return [{name: attrs[name] for name in attrs if name != "player_id"} for attrs in found]


def version_of(player_id: UUID) -> int:
    return Player.objects.values_list("version", flat=True).get(pk=player_id)
