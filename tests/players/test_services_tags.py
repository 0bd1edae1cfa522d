from datetime import timedelta

import pytest

from ingestion.models import Event
from phoenix_site.common.exceptions import InvalidInputError
from players.models import Player, PlayerTag
from players.services import tags
from players.types import TagInput
from tenants.models import AuditEntry, Tenant
from tests.players.cast import NOW, OPS, logged, new_player, version_of

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def ana(tenant_a: Tenant) -> Player:
    return new_player()


def change(player: Player, *add: TagInput, remove: tuple[str, ...] = ()) -> dict[str, str]:
    return tags.change_tags(player.pk, add=add, remove=remove, actor=OPS, now=NOW)


def test_plr_4_tags_are_set_and_taken_away_at_once(ana: Player) -> None:
    change(ana, TagInput("new"), TagInput("vip", "silver"))

    left = change(ana, TagInput("vip", "gold"), TagInput("trial"), remove=("new", "absent"))

    assert left == {"trial": "", "vip": "gold"}
    assert logged("player.tags_changed") == [
        {
            "added": [{"name": "new", "value": ""}, {"name": "vip", "value": "silver"}],
            "removed": [],
        },
        {
            "added": [{"name": "trial", "value": ""}, {"name": "vip", "value": "gold"}],
            "removed": ["new"],
        },
    ]
    assert Event.objects.filter(event_id=f"player.tags_changed:{ana.pk}:3").exists()
    entry = AuditEntry.objects.latest("pk")
    assert entry.after == {"tags": {"trial": "", "vip": "gold"}}


def test_a_tag_in_both_lists_is_set(ana: Player) -> None:
    assert change(ana, TagInput("vip"), remove=("vip",)) == {"vip": ""}


def test_nothing_differs_nothing_is_logged(ana: Player) -> None:
    change(ana, TagInput("vip", "gold"))
    change(ana, TagInput("vip", "gold"), remove=("absent",))

    assert version_of(ana.pk) == 2
    assert len(logged("player.tags_changed")) == 1


def test_a_tag_that_expired_can_be_set_again(ana: Player) -> None:
    past = NOW - HOUR
    PlayerTag.objects.create(player=ana, name="trial", created_at=past - HOUR, expires_at=past)

    assert change(ana, TagInput("trial", expires_at=NOW + HOUR)) == {"trial": ""}

    assert PlayerTag.objects.get().expires_at == NOW + HOUR
    assert len(logged("player.tags_changed")) == 1


@pytest.mark.parametrize(
    ("tag", "field"),
    [
        (TagInput("very important"), "add[0].name"),
        (TagInput("", "x"), "add[0].name"),
        (TagInput("vip\n"), "add[0].name"),
        (TagInput("vip", "x" * 201), "add[0].value"),
        (TagInput("vip", "a\0"), "add[0].value"),
        (TagInput("vip", expires_at=NOW), "add[0].expires_at"),
    ],
)
def test_a_faulty_tag_is_named(ana: Player, tag: TagInput, field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        change(ana, tag)

    assert [detail.field for detail in refused.value.details] == [field]
    assert not PlayerTag.objects.exists()


def test_a_player_has_a_bounded_number_of_tags(ana: Player) -> None:
    change(ana, *(TagInput(f"t{number}") for number in range(200)))

    with pytest.raises(InvalidInputError):
        change(ana, TagInput("one-more"))
    assert change(ana, TagInput("one-more"), remove=("t0",))["one-more"] == ""
