"""The reward config of a board: whose it may be, and the choice of it in the board's form."""

from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from leaderboards.models import Leaderboard
from rewards.models import RewardConfig
from tenants.models import Tenant
from tests.leaderboards.admin_cast import BackOffice
from tests.staff import allow_everything, board_form, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/leaderboards/leaderboard/"


@pytest.fixture
def office(tenant_a: Tenant) -> BackOffice:
    return BackOffice(tenant_a)


def _config(tenant: Tenant, config_type: str = "leaderboard", **changes: Any) -> RewardConfig:
    row: RewardConfig = RewardConfig.objects.create(
        tenant=tenant, name="Prizes", config_type=config_type, **changes
    )
    return row


def test_a_board_names_the_config_that_pays_it(office: BackOffice, tenant_a: Tenant) -> None:
    prizes = _config(tenant_a)

    made = office.create(reward_config_id=prizes.id_text.upper())
    dropped = office.patch(reward_config_id=None)
    again = office.patch(reward_config_id=prizes.id_text)

    assert (made.status_code, made.json()["reward_config_id"]) == (201, prizes.id_text)
    assert (dropped.json()["reward_config_id"], dropped.json()["version"]) == (None, 2)
    assert (again.json()["reward_config_id"], again.json()["version"]) == (prizes.id_text, 3)


def test_a_board_is_paid_by_an_active_config_for_boards_of_its_own_tenant(
    office: BackOffice, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    refused = {
        _config(
            tenant_a, "streak"
        ).id_text: "is a reward config of the type streak, not leaderboard",
        _config(tenant_a, is_active=False).id_text: "is an archived reward config",
        _config(tenant_b).id_text: "is not a reward config of the tenant",
        "0198a1b2-c3d4-7e5f-8a6b-000000000000": "is not a reward config of the tenant",
        "gold": "must be the id of a reward config",
    }
    assert office.create().status_code == 201

    for config_id, message in refused.items():
        for answer in (
            office.create("other", reward_config_id=config_id),
            office.patch(reward_config_id=config_id),
        ):
            assert answer.status_code == 400
            assert answer.json()["details"] == [{"field": "reward_config_id", "message": message}]


def test_a_board_keeps_a_config_that_was_archived_since(
    office: BackOffice, tenant_a: Tenant
) -> None:
    prizes = _config(tenant_a)
    office.create(reward_config_id=prizes.id_text)
    RewardConfig.objects.update(is_active=False)

    changed = office.patch(name="Other")

    assert (changed.status_code, changed.json()["reward_config_id"]) == (200, prizes.id_text)


# --- The form ------------------------------------------------------------------------------------


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


def choices_of(answer: Any) -> list[tuple[str, str]]:
    field = answer.context["adminform"].form.fields["reward_config_id"]
    return [(str(value), str(label)) for value, label in field.choices]


def test_the_form_offers_the_prizes_of_the_tenant_s_boards(
    client: Client, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    prizes = _config(tenant_a)
    _config(tenant_a, "streak")
    _config(tenant_a, is_active=False)
    _config(tenant_b)

    assert choices_of(client.get(f"{LIST}add/")) == [("", "None"), (prizes.id_text, "Prizes")]

    sent = client.post(f"{LIST}add/", board_form(reward_config_id=prizes.id_text))

    assert sent.status_code == 302
    assert Leaderboard.objects.get().reward_config_id == prizes.id_text


def test_the_form_keeps_and_drops_what_was_chosen(client: Client, office: BackOffice) -> None:
    prizes = _config(office.tenant)
    office.create(reward_config_id=prizes.id_text)
    RewardConfig.objects.update(is_active=False)
    board = Leaderboard.objects.get()
    page = f"{LIST}{board.pk}/change/"

    shown = client.get(page)
    assert shown.context["adminform"].form.initial["reward_config_id"] == prizes.id_text
    assert choices_of(shown) == [("", "None"), (prizes.id_text, "Prizes")]

    client.post(page, board_form(expected_version="1", reward_config_id=prizes.id_text))
    board.refresh_from_db()
    assert board.reward_config_id == prizes.id_text
    client.post(page, board_form(expected_version=str(board.version), reward_config_id=""))
    board.refresh_from_db()
    assert board.reward_config_id is None


def test_the_prizes_of_another_tenant_cannot_be_chosen(
    client: Client, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    theirs = _config(tenant_b)

    answer = client.post(f"{LIST}add/", board_form(reward_config_id=theirs.id_text))

    assert answer.status_code == 200
    assert "reward_config_id" in answer.context["adminform"].form.errors
    assert not Leaderboard.objects.exists()
