import pytest
from django.db import transaction

from ingestion.models import Event
from phoenix_site.common.exceptions import InvalidInputError
from players.models import Player
from players.services.registration import create_player, ensure_player, ensure_players
from tenants.models import AuditEntry, Tenant
from tests.conftest import ANA, BEN
from tests.leaderboards.races import in_threads
from tests.players.cast import NOW, OPS, new_player


@pytest.mark.django_db
def test_who_is_missing_is_made_and_logged(tenant_a: Tenant) -> None:
    ana = new_player(ANA)

    ids = ensure_players([("tenant-a", ANA), ("tenant-a", BEN)], now=NOW)

    ben = Player.objects.get(external_id=BEN)
    assert ids == {("tenant-a", ANA): ana.pk, ("tenant-a", BEN): ben.pk}
    assert (ben.status, ben.version, ben.attributes, ben.created_at) == ("active", 1, {}, NOW)
    created = Event.objects.filter(type="player.created", user_id=BEN).get()
    assert created.event_id == f"player.created:{ben.pk}"
    assert created.attrs == {"player_id": str(ben.pk)}
    assert (created.source, created.occurred_at) == ("internal", NOW)


@pytest.mark.django_db
def test_the_same_id_at_two_tenants_is_two_players(tenant_a: Tenant, tenant_b: Tenant) -> None:
    ids = ensure_players([("tenant-a", ANA), ("tenant-b", ANA)], now=NOW)

    assert len(set(ids.values())) == 2
    assert ensure_players([("tenant-b", ANA)], now=NOW) == {("tenant-b", ANA): ids["tenant-b", ANA]}
    assert Event.objects.count() == 2


@pytest.mark.django_db
def test_ids_are_compared_byte_for_byte(tenant_a: Tenant) -> None:
    names = ["ana", "Ana", "aná", "ana\u0301", "a na"]

    ids = ensure_players([("tenant-a", name) for name in names], now=NOW)

    assert len(set(ids.values())) == 5
    assert ensure_players([], now=NOW) == {}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text", ["", " ana", "ana ", "a/b", "a\nb", "a\0b", "\ud800", "a" * 129, "\u00a0a"]
)
def test_what_cannot_be_an_id_makes_nobody(tenant_a: Tenant, text: str) -> None:
    with pytest.raises(InvalidInputError):
        ensure_players([("tenant-a", ANA), ("tenant-a", text)], now=NOW)

    assert not Player.objects.exists()


@pytest.mark.django_db
def test_staff_make_a_player_once(tenant_a: Tenant) -> None:
    made = create_player("tenant-a", "a" * 128, actor=OPS, now=NOW)

    assert create_player("tenant-a", "a" * 128, actor=OPS, now=NOW) == made
    assert Player.objects.get().pk == made
    entry = AuditEntry.objects.filter(action="player.created").first()
    assert entry is not None
    assert (entry.actor_label, entry.object_id) == ("ops", str(made))


@pytest.mark.django_db(transaction=True)
def test_four_who_meet_the_same_new_players_agree(tenant_a: Tenant) -> None:
    keys = [("tenant-a", f"player-{number}") for number in range(50)]

    def meet() -> list[object]:
        with transaction.atomic():
            found = ensure_players(keys, now=NOW)
        return [found[key] for key in keys]

    answers = in_threads(4, meet)

    assert all(answer == answers[0] for answer in answers)
    assert len(set(answers[0])) == 50
    assert Player.objects.count() == 50
    assert Event.objects.filter(type="player.created").count() == 50
    assert ensure_player("tenant-a", "player-0", now=NOW) == answers[0][0]
