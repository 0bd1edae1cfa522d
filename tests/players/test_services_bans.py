from datetime import timedelta

import pytest

from ingestion.models import Event
from phoenix_site.common.exceptions import InvalidInputError
from phoenix_site.common.ids import uuid7
from players import selectors
from players.exceptions import BanNotInForceError, PlayerNotFoundError
from players.models import Ban, Player
from players.services import bans
from tenants.models import AuditEntry, Tenant
from tests.players.cast import NOW, OPS, logged, new_player

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def ana(tenant_a: Tenant) -> Player:
    return new_player()


def ban(player: Player, *scopes: str, **changed: object) -> Ban:
    terms = {"reason": "Anastasia cheats", "actor": OPS, "now": NOW, **changed}
    return bans.ban(player.pk, scopes=scopes, **terms)  # type: ignore[arg-type]


def scopes_of(player: Player, now: object = NOW) -> set[str]:
    return set(selectors.facts_of_players([player.pk], now=now)[player.pk].ban_scopes)  # type: ignore[arg-type]


def test_plr_7_a_ban_keeps_a_player_out_and_ends_by_itself(ana: Player) -> None:
    made = ban(ana, "tournaments", "rewards", until=NOW + HOUR)

    assert scopes_of(ana) == {"rewards", "tournaments"}
    assert scopes_of(ana, NOW + HOUR) == set()
    assert logged("player.banned") == [
        {
            "ban_id": str(made.pk),
            "scopes": ["rewards", "tournaments"],
            "until": "2026-11-20T13:00:00Z",
        }
    ]
    assert Event.objects.get(type="player.banned").event_id == f"player.banned:{made.pk}"
    entry = AuditEntry.objects.get(action="player.banned")
    assert (entry.reason, entry.tenant_id, entry.actor_label) == (
        "Anastasia cheats",
        "tenant-a",
        "ops",
    )


def test_a_lifted_ban_is_over_and_stays_in_the_history(ana: Player) -> None:
    made = ban(ana, "all")

    bans.lift(made.pk, reason="a mistake", actor=OPS, now=NOW + HOUR)

    assert scopes_of(ana, NOW + HOUR) == set()
    made.refresh_from_db()
    assert (made.lifted_at, made.lifted_by, made.lift_reason) == (NOW + HOUR, "ops", "a mistake")
    assert logged("player.unbanned") == [{"ban_id": str(made.pk), "scopes": ["all"], "until": None}]
    with pytest.raises(BanNotInForceError):
        bans.lift(made.pk, reason="again", actor=OPS, now=NOW + HOUR)


def test_no_event_says_why_somebody_is_banned(ana: Player) -> None:
    made = ban(ana, "all")
    bans.lift(made.pk, reason="Anastasia again", actor=OPS, now=NOW)

    assert not any("Anastasia" in str(row) for row in Event.objects.values())


def test_an_equal_ban_is_made_once_while_it_is_in_force(ana: Player) -> None:
    first = ban(ana, "all", until=NOW + HOUR)

    assert ban(ana, "all", until=NOW + HOUR) == first
    assert ban(ana, "all") != first
    assert len(logged("player.banned")) == 2


def test_all_bans_in_force_are_lifted_together(ana: Player) -> None:
    ban(ana, "rewards")
    ban(ana, "messages", until=NOW + HOUR)
    ban(ana, "leaderboards", until=NOW + HOUR / 2)

    lifted = bans.lift_all(ana.pk, reason="amnesty", actor=OPS, now=NOW + HOUR / 2)

    assert len(lifted) == 2
    assert scopes_of(ana) == {"leaderboards"}
    with pytest.raises(BanNotInForceError):
        bans.lift_all(ana.pk, reason="amnesty", actor=OPS, now=NOW + HOUR / 2)


@pytest.mark.parametrize(
    ("scopes", "changed", "field"),
    [
        ((), {}, "scopes"),
        (("everything",), {}, "scopes"),
        (("all",), {"until": NOW}, "until"),
        (("all",), {"reason": " "}, "reason"),
        (("all",), {"reason": "x" * 501}, "reason"),
    ],
)
def test_a_ban_that_makes_no_sense_is_refused(
    ana: Player, scopes: tuple[str, ...], changed: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        ban(ana, *scopes, **changed)

    assert [detail.field for detail in refused.value.details] == [field]
    assert not Ban.objects.exists()


def test_who_is_not_there_is_not_banned(ana: Player) -> None:
    with pytest.raises(PlayerNotFoundError):
        bans.ban(uuid7(), scopes=["all"], reason="x", actor=OPS, now=NOW)
    with pytest.raises(BanNotInForceError):
        bans.lift(uuid7(), reason="x", actor=OPS, now=NOW)
    ended = ban(ana, "all", until=NOW + HOUR)
    with pytest.raises(BanNotInForceError):
        bans.lift(ended.pk, reason="x", actor=OPS, now=NOW + HOUR)
