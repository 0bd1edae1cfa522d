"""Shapes that players hands to the apps above."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from players.constants import BLOCKING_STATUSES

# A player by the tenant's id and the tenant's own id of the player.
PlayerKey = tuple[str, str]


class PlayerFacts(NamedTuple):
    """What rules, claims and boards have to know of a player, as of one instant.

    ``timezone`` is an IANA name, the tenant's where the player has none. ``ban_scopes`` are those
    in force at that instant. ``document`` is what conditions read as ``player.*``; what is not
    known of a player is not in it. ``zone_changes`` are (since, IANA name), oldest first; before
    the first the player had the tenant's zone. A named tuple because consumers make thousands, and
    a frozen dataclass of this size takes four times as long.
    """

    player_id: UUID
    tenant_id: str
    external_id: str
    timezone: str = "UTC"
    status: str = "active"
    is_opted_out: bool = False
    ban_scopes: frozenset[str] = frozenset()
    registered_at: datetime | None = None
    document: Mapping[str, Any] = MappingProxyType({})
    tenant_timezone: str = "UTC"
    zone_changes: Sequence[tuple[datetime, str]] = ()

    def is_blocked(self, scope: str) -> bool:
        """Return whether a ban or the account's status keeps the player from ``scope``.

        ``scope`` is a scope of bans such as ``rewards``; a ban for ``all`` covers each. Whether
        the player opted out is ``is_opted_out``.
        """
        if self.status in BLOCKING_STATUSES:
            return True
        return bool(self.ban_scopes) and ("all" in self.ban_scopes or scope in self.ban_scopes)

    def zone_at(self, instant: datetime) -> str:
        """Return the IANA name of the zone in which the player lived at ``instant`` (PLR-10)."""
        if not self.zone_changes:
            return self.timezone
        index = bisect_right(self.zone_changes, instant, key=lambda change: change[0])
        return self.zone_changes[index - 1][1] if index else self.tenant_timezone


@dataclass(frozen=True, slots=True)
class TagInput:
    """A tag to set: without ``value`` it is only there, without ``expires_at`` it stays."""

    name: str
    value: str = ""
    expires_at: datetime | None = None
