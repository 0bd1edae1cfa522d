"""The page of deliveries: what staff see of theirs, and sending again."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django.fixtures import Settings

from tenants.models import AuditEntry, Delivery, Tenant
from tenants.services import deliveries
from tests.operators import running_operator
from tests.tenants.delivery_cast import NOW, Clock, fresh, owe

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.tenants.admin_urls")]
LIST = "/admin/tenants/delivery/"
CONFIRMED = {"confirmed": "1", "reason": "The operator has mended it"}


def page(delivery: Delivery, verb: str = "change") -> str:
    return f"{LIST}{delivery.pk}/{verb}/"


def signed_in(user: User, *permissions: str) -> Client:
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def viewer(ops: User) -> Client:
    return signed_in(ops, "view_delivery")


@pytest.fixture
def staff(ops: User) -> Client:
    return signed_in(ops, "view_delivery", "change_delivery")


@pytest.fixture
def failed(tenant_a: Tenant, settings: Settings) -> Delivery:
    settings.PHOENIX_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    # Nobody waits for this one: it stands for no grant.
    settings.PHOENIX_DELIVERY_HANDLERS = {}
    with running_operator() as operator:
        Tenant.objects.filter(pk="tenant-a").update(operator_base_url=operator.url)
        operator.answers(400)
        made = owe("grant-1")
        deliveries.deliver_due(clock=Clock(), seconds=5)
    return fresh(made)


def test_a_delivery_is_shown_with_its_attempts(viewer: Client, failed: Delivery) -> None:
    listed = viewer.get(LIST).content.decode()
    shown = viewer.get(page(failed)).content.decode()

    for text in ("grant-1", "bonus_credit", "400"):
        assert text in listed
    assert "/api/bonuses/v1/credit" in shown
    assert failed.attempts.get().request_id in shown


def test_deliveries_are_found_by_state_kind_tenant_and_reference(
    staff: Client, failed: Delivery, tenant_b: Tenant
) -> None:
    owe("grant-2", kind="wallet")
    owe("theirs", tenant_id="tenant-b")

    def found(**question: str) -> set[str]:
        answer = staff.get(LIST, question)
        assert answer.status_code == 200
        return {delivery.key for delivery in answer.context["cl"].result_list}

    assert found() == {"grant-1", "grant-2"}
    assert found(state__exact="failed") == {"grant-1"}
    assert found(kind="wallet") == found(q="grant-2") == {"grant-2"}
    assert found(tenant__id__exact="tenant-a") == {"grant-1", "grant-2"}


def test_retrying_asks_first_wants_a_reason_and_is_audited(staff: Client, failed: Delivery) -> None:
    asked = staff.get(page(failed, "retry"))
    unreasoned = staff.post(page(failed, "retry"), CONFIRMED | {"reason": ""})
    assert (asked.status_code, unreasoned.status_code) == (200, 200)
    assert fresh(failed).state == "failed"

    done = staff.post(page(failed, "retry"), CONFIRMED)

    assert done.status_code == 302
    assert (fresh(failed).state, fresh(failed).closed_at) == ("pending", None)
    entry = AuditEntry.objects.get(action="delivery.retried")
    assert (entry.actor_label, entry.reason) == ("ops", CONFIRMED["reason"])


def test_many_are_retried_and_what_arrived_is_left_alone(staff: Client, failed: Delivery) -> None:
    arrived = owe("arrived")
    Delivery.objects.filter(pk=arrived.pk).update(state="delivered", closed_at=NOW)
    chosen = {
        "action": "retry_selected",
        "_selected_action": [str(failed.pk), str(arrived.pk)],
    }

    assert staff.post(LIST, chosen).status_code == 200
    assert fresh(failed).state == "failed"
    said = staff.post(LIST, chosen | CONFIRMED, follow=True).content.decode()

    assert (fresh(failed).state, fresh(arrived).state) == ("pending", "delivered")
    assert "has arrived" in said


def test_who_may_only_look_changes_nothing(viewer: Client, failed: Delivery) -> None:
    assert viewer.post(page(failed, "retry"), CONFIRMED).status_code in (302, 403)
    viewer.post(
        LIST, {"action": "retry_selected", "_selected_action": [str(failed.pk)]} | CONFIRMED
    )

    assert fresh(failed).state == "failed"


def test_nobody_makes_edits_or_deletes_a_delivery(staff: Client, failed: Delivery) -> None:
    assert staff.get(f"{LIST}add/").status_code == 403
    assert staff.post(page(failed), {"key": "other"}).status_code == 403
    assert staff.post(page(failed, "delete"), {"post": "yes"}).status_code == 403

    assert fresh(failed).key == "grant-1"
