"""The pages of ladders: the form, what it refuses at which field, the preview."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from rewards.models import Currency, Job, Ladder
from rewards.selectors.currencies import currency_view
from tenants.models import Tenant
from tests.rewards.ledger_cast import credit, make_currency, player_of
from tests.staff import allow_everything, messages_of, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/rewards/ladder/"
LEVELS = [{"level": 1, "xp_required": 0}, {"level": 2, "xp_required": 100}]


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


@pytest.fixture
def xp(tenant_a: Tenant) -> Currency:
    view = make_currency(tenant_a, "xp", is_spendable=False, role="xp")
    return Currency.objects.get(pk=view.pk)


def form(xp: Currency, **changed: Any) -> dict[str, Any]:
    values = {
        "tenant": xp.tenant_id,
        "ladder_id": "levels",
        "name": "Levels",
        "currency": str(xp.pk),
        "levels": json.dumps(LEVELS),
        "ranks": "[]",
        "policy": "",
        "reason": "",
        "expected_version": "",
    }
    return {**values, **changed}


def make_ladder(client: Client, xp: Currency) -> Ladder:
    answer = client.post(f"{LIST}add/", form(xp))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    return Ladder.objects.get()


def test_a_ladder_is_made_by_its_form(client: Client, xp: Currency) -> None:
    ladder = make_ladder(client, xp)

    assert [level["xp_required"] for level in ladder.levels] == [0, 100]
    assert b"Levels" in client.get(LIST).content


def test_a_fault_stands_at_its_field(client: Client, xp: Currency) -> None:
    levels = json.dumps([{"level": 1, "xp_required": 5}])

    answer = client.post(f"{LIST}add/", form(xp, levels=levels, ladder_id="Bad Id"))

    errors = answer.context["adminform"].form.errors
    assert errors["levels"] == ["levels.0.xp_required: must be 0: everybody has the first level"]
    assert "ladder_id" in errors
    assert not Ladder.objects.exists()


def test_text_that_is_no_json_is_said_so(client: Client, xp: Currency) -> None:
    answer = client.post(f"{LIST}add/", form(xp, levels="{"))

    assert answer.context["adminform"].form.errors["levels"] == ["This is not JSON."]


def test_a_changed_curve_starts_its_job(client: Client, xp: Currency) -> None:
    ladder = make_ladder(client, xp)
    steeper = json.dumps([LEVELS[0], {"level": 2, "xp_required": 500}])
    page = f"{LIST}{ladder.pk}/change/"

    client.post(page, form(xp, levels=steeper, policy="recompute", expected_version="1"))

    ladder.refresh_from_db()
    assert (ladder.version, ladder.levels[1]["xp_required"]) == (2, 500)
    assert Job.objects.get().kind == "ladder_apply"


def test_a_preview_changes_nothing_and_leads_to_its_job(client: Client, xp: Currency) -> None:
    ladder = make_ladder(client, xp)
    steeper = json.dumps([LEVELS[0], {"level": 2, "xp_required": 500}])

    answer = client.post(f"{LIST}{ladder.pk}/preview/", form(xp, levels=steeper))

    job = Job.objects.get()
    assert (job.kind, answer.status_code) == ("ladder_preview", 302)
    assert str(job.pk) in answer["Location"]
    ladder.refresh_from_db()
    assert ladder.version == 1


def test_an_outdated_form_is_refused(client: Client, xp: Currency) -> None:
    ladder = make_ladder(client, xp)
    page = f"{LIST}{ladder.pk}/change/"
    client.post(page, form(xp, name="Second", expected_version="1"))

    answer = client.post(page, form(xp, name="Late", expected_version="1"), follow=True)

    ladder.refresh_from_db()
    assert ladder.name == "Second"
    assert any("version" in text for text in messages_of(answer))


def test_the_page_shows_who_stands_where(client: Client, xp: Currency, tenant_a: Tenant) -> None:
    ladder = make_ladder(client, xp)
    credit(player_of(tenant_a), currency_view(xp), 150)

    content = client.get(f"{LIST}{ladder.pk}/change/").content.decode()

    assert '{"2": 1}' in content


def test_ladders_are_archived_not_deleted(client: Client, xp: Currency) -> None:
    ladder = make_ladder(client, xp)

    client.post(LIST, {"action": "archive_selected", "_selected_action": [str(ladder.pk)]})

    ladder.refresh_from_db()
    assert not ladder.is_active
    assert client.get(f"{LIST}{ladder.pk}/delete/").status_code == 403
