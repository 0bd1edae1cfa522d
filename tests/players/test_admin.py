"""The players' pages: list, card, and what staff do there."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ingestion.models import Event
from players import selectors
from players.admin import actions
from players.models import Ban, Player, PlayerTag
from players.services import bans, profiles, tags
from players.types import TagInput
from tenants.models import AuditEntry, Tenant
from tests.conftest import ANA, BEN
from tests.players.cast import NOW, OPS, new_player
from tests.staff import allow, allow_everything, messages_of, signed_in, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/players/player/"
HOUR = timedelta(hours=1)


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


@pytest.fixture
def ana(tenant_a: Tenant) -> Player:
    return new_player(ANA, first_name="Anastasia", email="ana@example.com", country="SE")


def page_of(player: Player, name: str) -> str:
    return f"{LIST}{player.pk}/{name}/"


def url_of(client: Client, player: Player, action: str) -> str:
    """Return where the card's button leads."""
    card = client.get(page_of(player, "change")).content.decode()
    found = [part.split('"')[0] for part in card.split('href="') if action in part.split('"')[0]]
    assert found, action
    return found[0]


def do(client: Client, player: Player, action: str, **answers: Any) -> Any:
    """Open the page that asks, then agree."""
    url = url_of(client, player, action)
    assert client.get(url).status_code == 200
    return client.post(url, {"confirmed": "1", **answers}, follow=True)


def listed(client: Client, **question: str) -> list[str]:
    found = client.get(LIST, question).context["cl"].result_list
    return [player.external_id for player in found]


# --- The list and the card -----------------------------------------------------------------------


def test_players_are_found_by_id_mail_and_state(client: Client, ana: Player) -> None:
    ben = new_player(BEN, status="closed")
    bans.ban(ben.pk, scopes=["all"], reason="x", actor=OPS, now=NOW)
    tags.change_tags(ana.pk, add=[TagInput("vip")], actor=OPS, now=NOW)
    profiles.set_gamification(ana.pk, enabled=False, reasons=["x"], actor=OPS, now=NOW)

    with time_machine.travel(NOW + HOUR, tick=False):
        assert set(listed(client)) == {ANA, BEN}
        for question in (
            {"q": "an"},
            {"q": "ana@example.com"},
            {"tag": "vip"},
            {"country": "se"},
            {"banned": "no"},
            {"is_opted_out__exact": "1"},
            {"status__exact": "active"},
        ):
            assert listed(client, **question) == [ANA], question
        assert listed(client, banned="yes") == [BEN]
        assert listed(client, tag="none") == []
        assert listed(client, q="example") == []


def test_the_list_costs_the_same_for_one_and_for_many(client: Client, ana: Player) -> None:
    client.get(LIST)

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(LIST).status_code == 200
        return len(asked)

    one = queries()
    for number in range(20):
        new_player(f"player-{number}")

    assert queries() == one


def test_the_card_shows_all_that_is_known(client: Client, ana: Player) -> None:
    with time_machine.travel(NOW, tick=False):
        profiles.update_profile(
            ana.pk,
            {"timezone": "Asia/Tokyo", "attributes": {"team": "red"}},
            actor=OPS,
            now=NOW - HOUR,
        )
        tags.change_tags(ana.pk, add=[TagInput("vip", "gold")], actor=OPS, now=NOW)
        bans.ban(ana.pk, scopes=["rewards"], reason="fraud", actor=OPS, now=NOW)
        shown = text_of(client.get(page_of(ana, "change")))

    for text in ("Anastasia", "ana@example.com", "team red", "vip gold no end"):
        assert text in shown
    assert "rewards 20 Nov 2026, 12:00:00 no end fraud (ops)" in shown
    assert "20 Nov 2026, 11:00:00 Asia/Tokyo" in shown
    assert "Takes part" in shown


def test_personal_data_is_for_those_who_may_see_it(ops: AbstractUser, ana: Player) -> None:
    allow(ops, "view_player")
    client = signed_in(ops)
    Player.objects.update(at_risk_reason="Anastasia told us")

    shown = text_of(client.get(page_of(ana, "change")))

    assert "Anastasia" not in shown
    assert "ana@example.com" not in shown
    assert "Only for staff who may see personal data." in shown
    assert listed(client, q="ana@example.com") == []
    assert listed(client, q=ANA) == [ANA]


# --- What staff do -------------------------------------------------------------------------------


def test_plr_7_staff_ban_and_lift(client: Client, ana: Player) -> None:
    with time_machine.travel(NOW, tick=False):
        said = do(
            client,
            ana,
            "ban",
            scopes=["rewards", "messages"],
            until="2026-12-01 18:00",
            reason="fraud",
        )
        assert messages_of(said) == ["Banned ana."]
        made = Ban.objects.get()
        assert (made.scopes, f"{made.until:%Y-%m-%dT%H:%M%z}") == (
            ["rewards", "messages"],
            "2026-12-01T18:00+0000",
        )
        entry = AuditEntry.objects.get(action="player.banned")
        assert (entry.actor_label, entry.reason, entry.tenant_id) == ("ops", "fraud", "tenant-a")

        said = do(client, ana, "lift", reason="a mistake")
        assert messages_of(said) == ["Lifted the bans of ana."]
        assert selectors.bans_in_force(ana.pk, now=NOW) == []

        said = do(client, ana, "lift", reason="again")
        assert messages_of(said) == ["ana: No ban is in force."]


def test_a_ban_without_scope_or_reason_asks_again(client: Client, ana: Player) -> None:
    answer = client.post(url_of(client, ana, "ban"), {"confirmed": "1", "until": "yesterday"})

    assert answer.status_code == 200
    assert answer.context["form"].errors.keys() == {"scopes", "until", "reason"}
    assert not Ban.objects.exists()


def test_plr_10_staff_set_the_time_zone(client: Client, ana: Player) -> None:
    do(client, ana, "set_zone", timezone="Europe/Oslo", reason="moved")

    ana.refresh_from_db()
    assert ana.timezone == "Europe/Oslo"
    assert AuditEntry.objects.get(action="player.updated").reason == "moved"

    do(client, ana, "set_zone", timezone="", reason="asked for it")
    ana.refresh_from_db()
    assert ana.timezone == ""


def test_plr_11_staff_opt_players_out_and_in(client: Client, ana: Player) -> None:
    do(client, ana, "opt_out", reasons="too much\n\nboring")
    ana.refresh_from_db()
    assert (ana.is_opted_out, ana.opt_reasons) == (True, ["too much", "boring"])

    do(client, ana, "opt_in", reason="changed their mind")
    ana.refresh_from_db()
    assert not ana.is_opted_out
    assert AuditEntry.objects.filter(action__startswith="gamification.opted").count() == 2


def test_staff_tag_one_player_or_many(client: Client, ana: Player) -> None:
    ben = new_player(BEN)
    do(client, ana, "set_tag", name="vip", value="gold", expires_at="")
    chosen = {"action": "tag_selected", "_selected_action": [str(ana.pk), str(ben.pk)]}

    asked = client.post(LIST, chosen)
    done = client.post(LIST, {**chosen, "confirmed": "1", "name": "new"}, follow=True)

    assert "ana tenant-a Active" in text_of(asked)
    assert messages_of(done) == ["Tagged 2 players."]
    assert PlayerTag.objects.filter(name="new").count() == 2

    do(client, ana, "remove_tag", name="vip")
    assert [tag.name for tag in ana.tags.all()] == ["new"]


def test_a_refusal_of_one_leaves_the_others(client: Client, ana: Player) -> None:
    ben = new_player(BEN)
    bans.ban(ben.pk, scopes=["all"], reason="x", actor=OPS, now=NOW)
    chosen = {"action": "lift_selected", "_selected_action": [str(ana.pk), str(ben.pk)]}

    done = client.post(LIST, {**chosen, "confirmed": "1", "reason": "amnesty"}, follow=True)

    assert messages_of(done) == ["ana: No ban is in force.", "Lifted the bans of ben."]


def test_too_many_are_refused(client: Client, ana: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "MAX_CHOSEN", 1)
    ben = new_player(BEN)
    chosen = {"action": "ban_selected", "_selected_action": [str(ana.pk), str(ben.pk)]}

    said = client.post(LIST, chosen, follow=True)

    assert messages_of(said) == ["Choose at most 1 at a time."]


def test_who_may_only_look_changes_nothing(ops: AbstractUser, ana: Player) -> None:
    allow_everything(ops)
    addresses = [
        url_of(signed_in(ops), ana, name)
        for name in ("ban", "lift", "set_zone", "opt_out", "opt_in", "set_tag", "remove_tag")
    ]
    ops.user_permissions.clear()
    allow(ops, "view_player")
    viewer = signed_in(type(ops).objects.get(pk=ops.pk))

    for address in addresses:
        sent = {"confirmed": "1", "reason": "x", "scopes": "all", "name": "vip", "reasons": "x"}
        assert viewer.post(address, sent).status_code == 403, address
    answer = viewer.post(
        LIST, {"action": "ban_selected", "_selected_action": [str(ana.pk)], "confirmed": "1"}
    )
    assert answer.status_code in (200, 302)
    assert viewer.get(f"{LIST}add/").status_code == 403
    assert viewer.post(page_of(ana, "delete"), {"post": "yes"}).status_code == 403
    assert not AuditEntry.objects.exists()


def test_plr_1_staff_make_a_player(client: Client, tenant_a: Tenant) -> None:
    client.post(f"{LIST}add/", {"tenant": "tenant-a", "external_id": "p-1"}, follow=True)
    again = client.post(f"{LIST}add/", {"tenant": "tenant-a", "external_id": "p-1"})
    bad = client.post(f"{LIST}add/", {"tenant": "tenant-a", "external_id": "a/b"})

    assert Player.objects.get().external_id == "p-1"
    assert Event.objects.filter(type="player.created").count() == 1
    assert AuditEntry.objects.get(action="player.created").actor_label == "ops"
    assert again.status_code == bad.status_code == 200
    assert "external_id" in bad.context["adminform"].form.errors
