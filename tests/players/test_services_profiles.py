from datetime import date, timedelta

import pytest

from ingestion.models import Event
from phoenix_site.common.exceptions import InvalidInputError
from phoenix_site.common.ids import uuid7
from players import selectors
from players.exceptions import PlayerNotFoundError, VersionMismatchError
from players.models import Player
from players.services import profiles
from tenants.models import AuditEntry, Tenant
from tests.conftest import ANA
from tests.players.cast import NOW, OPS, logged, new_player, version_of

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def ana(tenant_a: Tenant) -> Player:
    return new_player(ANA, country="SE", attributes={"team": "red", "size": 1})


def update(player: Player, **changes: object) -> Player:
    return profiles.update_profile(player.pk, changes, actor=OPS, now=NOW)


def test_plr_3_a_merge_patch_is_applied_and_logged(ana: Player) -> None:
    changed = update(ana, country=None, currency="EUR", attributes={"team": "blue", "size": None})

    ana.refresh_from_db()
    assert (ana.country, ana.currency, ana.attributes) == ("", "EUR", {"team": "blue"})
    assert (ana.version, ana.updated_at) == (2, NOW) == (changed.version, changed.updated_at)
    assert logged("player.updated") == [
        {
            "version": 2,
            "changes": {
                "country": {"old": "SE", "new": None},
                "currency": {"old": None, "new": "EUR"},
            },
            "personal": [],
            "attributes": ["size", "team"],
        }
    ]
    event = Event.objects.get(type="player.updated")
    assert (event.user_id, event.event_id) == (ANA, f"player.updated:{ana.pk}:2")


def test_plr_12_personal_values_stand_in_no_event_and_no_audit_entry(ana: Player) -> None:
    update(
        ana,
        first_name="Anastasia",
        email="ana@example.com",
        birth_date=date(1990, 2, 1),
        city="Umeå",
    )
    update(ana, attributes={"nickname": "Nastya"})

    written = [str(row) for row in [*Event.objects.values(), *AuditEntry.objects.values()]]
    assert not [
        word
        for word in ("Anastasia", "ana@example.com", "1990", "Umeå", "Nastya")
        if any(word in row for row in written)
    ]
    assert logged("player.updated")[0]["personal"] == ["birth_date", "city", "email", "first_name"]


def test_nothing_differs_nothing_is_logged(ana: Player) -> None:
    update(ana, country="SE", attributes={"size": 1, "none": None})

    assert version_of(ana.pk) == 1
    assert logged("player.updated") == []
    assert not AuditEntry.objects.exists()


def test_a_fault_changes_nothing(ana: Player) -> None:
    with pytest.raises(InvalidInputError):
        update(ana, currency="EUR", country="XX")

    ana.refresh_from_db()
    assert (ana.currency, ana.version) == ("", 1)


def test_another_version_than_expected_is_refused(ana: Player) -> None:
    update(ana, country="NO")

    with pytest.raises(VersionMismatchError):
        profiles.update_profile(ana.pk, {"country": "DK"}, actor=OPS, now=NOW, expected_version=1)
    profiles.update_profile(ana.pk, {"country": "DK"}, actor=OPS, now=NOW, expected_version=2)
    assert version_of(ana.pk) == 3


def test_nobody_is_not_found(tenant_a: Tenant) -> None:
    with pytest.raises(PlayerNotFoundError):
        profiles.update_profile(uuid7(), {}, actor=OPS, now=NOW)


def test_plr_10_events_before_a_change_keep_the_zone_of_their_time(ana: Player) -> None:
    Tenant.objects.update(timezone="Europe/Malta")

    profiles.set_timezone(ana.pk, timezone="Asia/Tokyo", actor=OPS, now=NOW, reason="moved")
    profiles.set_timezone(ana.pk, timezone="", actor=OPS, now=NOW + HOUR)

    facts = selectors.facts_of_players([ana.pk], now=NOW)[ana.pk]
    assert [facts.zone_at(NOW + hours * HOUR) for hours in (-1, 0, 1)] == [
        "Europe/Malta",
        "Asia/Tokyo",
        "Europe/Malta",
    ]
    assert facts.timezone == "Europe/Malta"
    assert [event["changes"] for event in logged("player.updated")] == [
        {"timezone": {"old": None, "new": "Asia/Tokyo"}},
        {"timezone": {"old": "Asia/Tokyo", "new": None}},
    ]
    assert AuditEntry.objects.earliest("at").reason == "moved"


def test_two_changes_at_one_instant_leave_the_second_zone(ana: Player) -> None:
    for zone in ("Asia/Tokyo", "Europe/Oslo"):
        profiles.set_timezone(ana.pk, timezone=zone, actor=OPS, now=NOW)

    assert [change.timezone for change in ana.zone_changes.all()] == ["Europe/Oslo"]


def test_plr_11_opting_out_needs_a_reason_and_is_logged(ana: Player) -> None:
    with pytest.raises(InvalidInputError):
        profiles.set_gamification(ana.pk, enabled=False, reasons=[" "], actor=OPS, now=NOW)

    for _ in range(2):
        profiles.set_gamification(ana.pk, enabled=False, reasons=["annoying"], actor=OPS, now=NOW)
    out = selectors.facts_of_players([ana.pk], now=NOW)[ana.pk]
    profiles.set_gamification(ana.pk, enabled=True, actor=OPS, now=NOW + HOUR)
    profiles.set_gamification(ana.pk, enabled=True, actor=OPS, now=NOW + HOUR)

    assert out.is_opted_out
    assert out.document["gamification"] == {"enabled": False}
    assert logged("gamification.opted_out") == [{"enabled": False, "reasons": ["annoying"]}]
    assert logged("gamification.opted_in") == [{"enabled": True, "reasons": []}]
    ana.refresh_from_db()
    assert (ana.is_opted_out, ana.opt_changed_at, ana.version) == (False, NOW + HOUR, 3)
    assert [entry.action for entry in AuditEntry.objects.order_by("at")] == [
        "gamification.opted_out",
        "gamification.opted_in",
    ]
