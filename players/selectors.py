"""Reads of players: the facts that rules and boards need by the thousand, and single ones."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import connection
from django.db.models import Q

from phoenix_site.common.arrays import TextArray, UuidArray, register
from phoenix_site.common.json import decode
from players.exceptions import PlayerNotFoundError
from players.models import Ban, Player
from players.types import PlayerFacts, PlayerKey

# Columns that stand in the document as they are, unless they are empty.
_PLAIN: Final = (
    *("username", "first_name", "last_name", "email", "phone", "country", "city", "language"),
    *("gender", "currency", "status", "kyc_status", "activated_at", "verified_at"),
    *("registered_at", "registration_device", "last_login_at", "last_seen_at", "at_risk_reason"),
)
# Where the columns after those begin, and where those that have to be converted.
_ID: Final = len(_PLAIN)
_REST: Final = _ID + 6
_STATUS: Final = _PLAIN.index("status")
_REGISTERED_AT: Final = _PLAIN.index("registered_at")
_COLUMNS: Final = f"""
{", ".join(f"player.{name}" for name in _PLAIN)},
player.id, player.tenant_id, player.external_id, player.timezone, tenant.timezone,
player.is_opted_out, player.is_at_risk, player.birth_date::text,
nullif(player.attributes, '{{}}')::text, nullif(player.counters, '{{}}')::text,
player.balances::text
"""
_BY_KEY: Final = f"""
SELECT {_COLUMNS}
FROM unnest(%b, %b) AS wanted (tenant_id, external_id)
JOIN players_player AS player USING (tenant_id, external_id)
JOIN tenants_tenant AS tenant ON tenant.id = player.tenant_id
"""  # noqa: S608 - only constants are put into the text
_BY_ID: Final = f"""
SELECT {_COLUMNS}
FROM players_player AS player
JOIN tenants_tenant AS tenant ON tenant.id = player.tenant_id
WHERE player.id = ANY (%b)
"""  # noqa: S608
_TAGS: Final = """
SELECT player_id, name, value FROM players_playertag
WHERE player_id = ANY (%b) AND (expires_at IS NULL OR expires_at > %s)
"""
_BANS: Final = """
SELECT player_id, scopes FROM players_ban
WHERE player_id = ANY (%b) AND lifted_at IS NULL AND created_at <= %s
  AND (until IS NULL OR until > %s)
"""
_ZONES: Final = """
SELECT player_id, from_at, timezone FROM players_zonechange
WHERE player_id = ANY (%b) ORDER BY player_id, from_at
"""
_NO_SCOPES: Final[frozenset[str]] = frozenset()
_IN: Final = {"enabled": True}
_OUT: Final = {"enabled": False}


class _Satellites:
    """What the tables around the players' own say of those of a batch."""

    def __init__(self, ids: Collection[UUID], now: datetime) -> None:
        wanted = UuidArray(ids)
        self.tags: dict[UUID, dict[str, Any]] = defaultdict(dict)
        for player_id, name, value in _rows(_TAGS, [wanted, now]):
            self.tags[player_id][name] = value or True
        self.scopes: dict[UUID, frozenset[str]] = {}
        for player_id, scopes in _rows(_BANS, [wanted, now, now]):
            self.scopes[player_id] = self.scopes.get(player_id, frozenset()).union(scopes)
        self.zones: dict[UUID, list[tuple[datetime, str]]] = defaultdict(list)
        for player_id, from_at, timezone in _rows(_ZONES, [wanted]):
            self.zones[player_id].append((from_at, timezone))


def facts_for(keys: Collection[PlayerKey], *, now: datetime) -> dict[PlayerKey, PlayerFacts]:
    """Return the facts of the players (tenant id, external id) that exist. Queries: 4."""
    wanted = set(keys)
    if not wanted:
        return {}
    columns = [
        TextArray(tenant_id for tenant_id, _ in wanted),
        TextArray(name for _, name in wanted),
    ]
    found = _facts(_rows(_BY_KEY, columns), now)
    return {(facts.tenant_id, facts.external_id): facts for facts in found}


def facts_of_players(ids: Collection[UUID], *, now: datetime) -> dict[UUID, PlayerFacts]:
    """Return the facts of the players that exist. Queries: 4."""
    if not ids:
        return {}
    found = _facts(_rows(_BY_ID, [UuidArray(set(ids))]), now)
    return {facts.player_id: facts for facts in found}


def _rows(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement past Django's slower conversions."""
    connection.ensure_connection()
    with psycopg.Cursor(connection.connection) as cursor:
        register(cursor)
        return cursor.execute(statement, parameters, binary=True).fetchall()


def _facts(rows: Sequence[tuple[Any, ...]], now: datetime) -> list[PlayerFacts]:
    if not rows:
        return []
    around = _Satellites([row[_ID] for row in rows], now)
    return [_facts_of(row, around) for row in rows]


def _facts_of(row: tuple[Any, ...], around: _Satellites) -> PlayerFacts:
    player_id, tenant_id, external_id, own_zone, tenant_zone, is_opted_out = row[_ID:_REST]
    zone = own_zone or tenant_zone
    # None and "" are what is not known; no column among these holds a number or False.
    document = {name: value for name, value in zip(_PLAIN, row, strict=False) if value}
    document["player_id"] = external_id
    document["timezone"] = zone
    document["gamification"] = _OUT if is_opted_out else _IN
    document["tags"] = around.tags.get(player_id) or {}
    _add_rest(document, row[_REST:])
    changes = around.zones.get(player_id, ())
    return PlayerFacts(
        player_id,
        tenant_id,
        external_id,
        zone,
        row[_STATUS],
        is_opted_out,
        around.scopes.get(player_id, _NO_SCOPES),
        row[_REGISTERED_AT],
        document,
        tenant_zone,
        [(from_at, name or tenant_zone) for from_at, name in changes] if changes else (),
    )


def _add_rest(document: dict[str, Any], rest: Sequence[Any]) -> None:
    """Add what stands in the row in another form than conditions read it in."""
    is_at_risk, birth_date, attributes, counters, balances = rest
    document["at_risk"] = is_at_risk
    document["attributes"] = decode(attributes) if attributes else {}
    document["counters"] = decode(counters) if counters else {}
    if birth_date:
        document["birth_date"] = birth_date
    if balances:
        document["balances"] = decode(balances)


def find_player(tenant_id: str, external_id: str) -> Player | None:
    """Return the tenant's player of that id, or ``None``. Queries: 1."""
    if "\0" in external_id:  # a path may hold it, the database's texts cannot
        return None
    return Player.objects.for_tenant(tenant_id).filter(external_id=external_id).first()


def get_player(tenant_id: str, external_id: str) -> Player:
    """Return the tenant's player of that id. Raises: ``PlayerNotFoundError``. Queries: 1."""
    player = find_player(tenant_id, external_id)
    if player is None:
        raise PlayerNotFoundError("There is no such player.")
    return player


def external_ids(ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return what their tenants call the players that exist. Queries: 1."""
    found = Player.objects.filter(pk__in=set(ids)).values_list("pk", "external_id")
    return dict(found)


def bans_in_force(player_id: UUID, *, now: datetime) -> list[Ban]:
    """Return the bans of the player that hold at ``now``, the newest first. Queries: 1."""
    is_open = Q(until=None) | Q(until__gt=now)
    found = Ban.objects.filter(is_open, player=player_id, lifted_at=None, created_at__lte=now)
    return list(found.order_by("-created_at"))
