from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from phoenix_site.common.ids import uuid7
from players import selectors
from players.exceptions import PlayerNotFoundError
from players.models import Ban, PlayerTag, ZoneChange
from players.services.registration import ensure_players
from players.types import PlayerFacts
from tenants.models import Tenant
from tests.conftest import ANA, BEN, CLEO
from tests.players.cast import NOW, new_player

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is asked of the database, also past Django."""
    asked: list[str] = []
    execute = psycopg.Cursor.execute

    def noted(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        asked.append(str(query))
        return execute(cursor, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    return asked


def facts_of(name: str = ANA, *, now: datetime = NOW) -> PlayerFacts:
    return selectors.facts_for([("tenant-a", name)], now=now)["tenant-a", name]


def add_ban(player: Any, *scopes: str, **fields: Any) -> None:
    made = {"created_at": NOW - HOUR, "created_by": "ops", "reason": "fraud", **fields}
    Ban.objects.create(player=player, scopes=list(scopes), **made)


def test_conditions_read_what_is_known_of_a_player(tenant_a: Tenant) -> None:
    registered_at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    player = new_player(
        country="SE",
        birth_date=date(1990, 2, 1),
        registered_at=registered_at,
        timezone="Europe/Stockholm",
        attributes={"team": "red", "score": 1.5},
        counters={"loginCount": 3},
    )
    PlayerTag.objects.create(player=player, name="vip", value="gold", created_at=NOW)
    PlayerTag.objects.create(player=player, name="new", created_at=NOW)

    found = facts_of()

    assert found.document == {
        "player_id": "ana",
        "country": "SE",
        "birth_date": "1990-02-01",
        "registered_at": registered_at,
        "status": "active",
        "kyc_status": "none",
        "timezone": "Europe/Stockholm",
        "at_risk": False,
        "gamification": {"enabled": True},
        "tags": {"vip": "gold", "new": True},
        "attributes": {"team": "red", "score": Decimal("1.5")},
        "counters": {"loginCount": 3},
    }
    assert (found.player_id, found.tenant_id, found.external_id) == (player.pk, "tenant-a", ANA)
    assert (found.status, found.is_opted_out) == ("active", False)
    assert found.registered_at == registered_at
    assert facts_of() == selectors.facts_of_players([player.pk], now=NOW)[player.pk]


def test_a_player_without_a_zone_lives_in_the_tenants(tenant_a: Tenant) -> None:
    new_player()
    Tenant.objects.update(timezone="Europe/Malta")

    assert facts_of().timezone == "Europe/Malta"
    assert facts_of().zone_at(NOW) == "Europe/Malta"


def test_zone_history_comes_with_the_facts(tenant_a: Tenant) -> None:
    player = new_player(timezone="")
    Tenant.objects.update(timezone="Europe/Malta")
    ZoneChange.objects.create(player=player, timezone="Asia/Tokyo", from_at=NOW - 2 * HOUR)
    ZoneChange.objects.create(player=player, timezone="", from_at=NOW)

    found = facts_of()

    assert found.zone_changes == [(NOW - 2 * HOUR, "Asia/Tokyo"), (NOW, "Europe/Malta")]
    assert found.zone_at(NOW - HOUR) == "Asia/Tokyo"


def test_only_bans_in_force_count(tenant_a: Tenant) -> None:
    player = new_player()
    add_ban(player, "rewards", "messages")
    add_ban(player, "leaderboards", until=NOW + HOUR)
    add_ban(player, "all", until=NOW)
    add_ban(player, "tournaments", lifted_at=NOW - HOUR)
    add_ban(player, "all", created_at=NOW + HOUR)

    assert facts_of().ban_scopes == {"rewards", "messages", "leaderboards"}
    assert facts_of(now=NOW + HOUR / 2).is_blocked("leaderboards")
    assert [ban.scopes for ban in selectors.bans_in_force(player.pk, now=NOW)] == [
        ["rewards", "messages"],
        ["leaderboards"],
    ]


def test_a_tag_that_expired_is_gone(tenant_a: Tenant) -> None:
    tag = PlayerTag(player=new_player(), name="trial", created_at=NOW, expires_at=NOW + HOUR)
    tag.save()

    assert facts_of().document["tags"] == {"trial": True}
    assert facts_of(now=NOW + HOUR).document["tags"] == {}


def test_facts_of_many_need_four_queries(tenant_a: Tenant, statements: list[str]) -> None:
    keys = [("tenant-a", f"player-{number}") for number in range(300)]
    ids = ensure_players(keys, now=NOW)

    for chosen in (keys[:1], keys):
        statements.clear()
        assert len(selectors.facts_for(chosen, now=NOW)) == len(chosen)
        assert len(statements) == 4
    statements.clear()
    assert selectors.facts_of_players(ids.values(), now=NOW).keys() == set(ids.values())
    assert len(statements) == 4


def test_who_is_not_there_has_no_facts(tenant_a: Tenant, tenant_b: Tenant) -> None:
    new_player(CLEO, "tenant-b")

    assert selectors.facts_for([("tenant-a", CLEO), ("tenant-a", BEN)], now=NOW) == {}
    assert selectors.facts_for([], now=NOW) == {}
    assert selectors.facts_of_players([uuid7()], now=NOW) == {}
    assert selectors.facts_of_players([], now=NOW) == {}


def test_a_player_is_found_by_the_tenants_id_only(tenant_a: Tenant, tenant_b: Tenant) -> None:
    ana = new_player(ANA)
    new_player(CLEO, "tenant-b")

    assert selectors.find_player("tenant-a", ANA) == ana
    assert selectors.get_player("tenant-a", ANA) == ana
    assert selectors.find_player("tenant-a", "ANA") is None
    assert selectors.find_player("tenant-a", CLEO) is None
    assert selectors.find_player("tenant-a", "a\0b") is None
    assert selectors.external_ids([ana.pk, uuid7()]) == {ana.pk: ANA}
    with pytest.raises(PlayerNotFoundError):
        selectors.get_player("tenant-a", CLEO)
