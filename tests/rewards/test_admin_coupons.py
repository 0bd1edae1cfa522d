"""The pages of coupons, codes, redemptions and jobs."""

from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser, Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from rewards.models import Coupon, CouponCode, CouponRedemption, Job, RewardItem
from rewards.services import jobs
from tenants.models import AuditEntry, Tenant
from tests.rewards.coupon_cast import (
    NOON,
    code_row,
    make_badge,
    make_codes,
    make_coupon,
    make_custom,
    redeem,
)
from tests.staff import messages_of, signed_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    ops.user_permissions.set(Permission.objects.filter(content_type__app_label="rewards"))
    return signed_in(ops)


@pytest.fixture
def viewer(ops: AbstractUser) -> Client:
    views = Permission.objects.filter(codename__startswith="view_")
    ops.user_permissions.set(views.filter(content_type__app_label="rewards"))
    return signed_in(ops)


def form(item: RewardItem, **changed: Any) -> dict[str, Any]:
    return {
        "tenant": "tenant-a",
        "name": "Welcome",
        "description": "",
        "status": "active",
        "item": str(item.pk),
        "code_format": "random",
        "code_prefix": "VIP",
        "code_length": "8",
        "custom_code": "",
        "starts_at_0": "",
        "starts_at_1": "",
        "expires_at_0": "2099-01-01",
        "expires_at_1": "00:00:00",
        "per_user_limit": "1",
        "total_limit": "500",
        "reason": "",
        "expected_version": "",
    } | changed


def page_of(row: Any, what: str = "change") -> str:
    return reverse(f"admin:rewards_{row._meta.model_name}_{what}", args=[row.pk])


def action_of(row: Any, name: str) -> str:
    return reverse(f"admin:rewards_{row._meta.model_name}_{name}", args=[row.pk])


# --- Definitions ---------------------------------------------------------------------------------


def test_a_coupon_is_made_by_the_form(tenant_a: Tenant, client: Client) -> None:
    item = make_badge(tenant_a)

    client.post(reverse("admin:rewards_coupon_add"), form(item))

    coupon = Coupon.objects.get()
    assert (coupon.code_prefix, coupon.per_user_limit, coupon.total_limit) == ("VIP", 1, 500)
    assert coupon.usage_limit == [
        {"limit_type": "per_user", "max_uses": 1},
        {"limit_type": "total", "max_uses": 500},
    ]
    assert AuditEntry.objects.get(action="coupon.created").actor_label == "ops"


def test_a_fault_is_shown_at_its_field(tenant_a: Tenant, client: Client) -> None:
    sent = form(make_badge(tenant_a), code_length="3", code_format="custom")

    page = client.post(reverse("admin:rewards_coupon_add"), sent)

    assert page.context["adminform"].form.errors.keys() == {"code_length", "custom_code"}
    assert not Coupon.objects.exists()


def test_a_change_has_a_reason_and_meets_the_version_of_somebody_else(
    tenant_a: Tenant, client: Client
) -> None:
    coupon = make_coupon(tenant_a)
    sent = form(coupon.item, name="Hello", reason="clearer", expected_version="1")

    client.post(page_of(coupon), sent)
    late = client.post(page_of(coupon), sent | {"name": "Late"}, follow=True)

    coupon.refresh_from_db()
    assert (coupon.name, coupon.version) == ("Hello", 2)
    assert "version 2" in messages_of(late)[-1]
    page = text_of(client.get(page_of(coupon)))
    assert "clearer" in page
    assert "Gives Guest by random codes, once per player and 500 times in all" in page
    assert "name Welcome Hello" in page


def test_the_list_says_what_each_coupon_does(tenant_a: Tenant, client: Client) -> None:
    make_custom(tenant_a, name="Summer sale")
    redeem(tenant_a, "SUMMER")

    page = text_of(client.get(reverse("admin:rewards_coupon_changelist")))

    assert "Gives Guest by one shared code, any number of times" in page
    assert "always" in page


def test_selected_coupons_are_archived_and_then_read_only(tenant_a: Tenant, client: Client) -> None:
    coupon = make_custom(tenant_a)
    place = reverse("admin:rewards_coupon_changelist")

    client.post(place, {"action": "archive_selected", "_selected_action": [str(coupon.pk)]})

    coupon.refresh_from_db()
    assert coupon.status == "archived"
    assert client.post(page_of(coupon), form(coupon.item)).status_code == 403


# --- Codes ---------------------------------------------------------------------------------------


def test_codes_are_generated_for_players(tenant_a: Tenant, client: Client) -> None:
    coupon = make_coupon(tenant_a)
    url = action_of(coupon, "generate_codes")

    assert "VIP" not in text_of(client.get(url))
    sent = {"confirmed": "1", "user_ids": "ana\n\n ben \n", "count": "2"}
    answer = client.post(url, sent, follow=True)

    assert messages_of(answer) == ["Made 4 codes of Welcome."]
    owners = coupon.codes.values_list("player__external_id", flat=True)
    assert sorted(map(str, owners)) == ["ana", "ana", "ben", "ben"]


def test_many_codes_lead_to_the_page_of_their_job(tenant_a: Tenant, client: Client) -> None:
    coupon = make_coupon(tenant_a)

    sent = {"confirmed": "1", "user_ids": "", "count": "1001"}
    answer = client.post(action_of(coupon, "generate_codes"), sent, follow=True)

    job = Job.objects.get()
    assert answer.redirect_chain == [(page_of(job), 302)]
    assert answer.headers["Refresh"] == "2"
    jobs.run_job(job.pk, clock=lambda: NOON)
    done = client.get(page_of(job))
    assert "generated 1001" in text_of(done)
    assert "Refresh" not in done.headers


def test_what_cannot_be_generated_is_said(tenant_a: Tenant, client: Client) -> None:
    coupon = make_custom(tenant_a)

    sent = {"confirmed": "1", "user_ids": "", "count": "1"}
    answer = client.post(action_of(coupon, "generate_codes"), sent)

    assert "one code that all share" in messages_of(answer)[0]


@pytest.mark.parametrize("is_file", [True, False])
def test_an_import_shows_its_verdicts(tenant_a: Tenant, client: Client, is_file: bool) -> None:
    coupon = make_coupon(tenant_a)
    text = "code,user_id\nspring-1,ana\nSPRING-1,\n?,\n"
    sent: dict[str, Any] = {"confirmed": "1", "text": "" if is_file else text}
    if is_file:
        sent["file"] = SimpleUploadedFile("codes.csv", text.encode())

    page = text_of(client.post(action_of(coupon, "import_codes"), sent))

    assert "Imported 1 Duplicate 1 Rejected 1" in page
    assert "1 SPRING-1 imported 2 SPRING-1 duplicate 3 ? rejected" in page
    assert coupon.codes.get().code == "SPRING-1"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"text": ""}, "Choose a file"),
        ({"text": "spring-1,ana"}, "column code"),
        ({"file": SimpleUploadedFile("codes.csv", b"\xff\xfe")}, "UTF-8"),
    ],
)
def test_what_is_no_import_is_shown_again(
    tenant_a: Tenant, client: Client, sent: dict[str, Any], said: str
) -> None:
    coupon = make_coupon(tenant_a)

    answer = client.post(action_of(coupon, "import_codes"), {"confirmed": "1"} | sent)

    assert said in text_of(answer) + " ".join(messages_of(answer))


def test_the_export_is_a_file(tenant_a: Tenant, client: Client) -> None:
    coupon = make_coupon(tenant_a)
    code = make_codes(coupon)[0]

    answer: Any = client.get(action_of(coupon, "export_codes"))

    assert f"coupon-{coupon.pk}.csv" in answer.headers["Content-Disposition"]
    assert code.code in b"".join(answer.streaming_content).decode()


def test_one_code_is_looked_up_as_it_is_typed(tenant_a: Tenant, client: Client) -> None:
    coupon = make_coupon(tenant_a)
    free, bens = make_codes(coupon)[0], make_codes(coupon, "ben")[0]
    redeem(tenant_a, free.code)
    place = reverse("admin:rewards_couponcode_changelist")

    found = text_of(client.get(place, {"q": f" {free.code.lower()} "}))
    page = text_of(client.get(page_of(code_row(free))))

    assert free.code in found
    assert bens.code not in found
    assert bens.code in text_of(client.get(place, {"q": "ben"}))
    assert "Redeemed" in page
    assert "ana" in page


def test_an_expired_code_is_shown_as_such(tenant_a: Tenant, client: Client) -> None:
    code = make_codes(make_coupon(tenant_a, expires_at="2026-03-06T00:00:00Z"))[0]

    assert "Expired" in text_of(client.get(page_of(code_row(code))))


def test_codes_are_declared_void_for_a_reason(tenant_a: Tenant, client: Client) -> None:
    first, second, used = make_codes(make_coupon(tenant_a), count=3)
    redeem(tenant_a, used.code)
    one = action_of(code_row(first), "void_code")
    place = reverse("admin:rewards_couponcode_changelist")
    keys = [str(code.code_id) for code in (second, used)]
    selected = {"action": "void_selected", "_selected_action": keys}

    assert "for good" in text_of(client.get(one))
    client.post(one, {"confirmed": "1", "reason": ""})
    assert code_row(first).status == "active"
    client.post(one, {"confirmed": "1", "reason": "leaked"})
    assert second.code in text_of(client.post(place, selected))
    answer = client.post(place, selected | {"confirmed": "1", "reason": "leaked"}, follow=True)

    statuses = [code_row(code).status for code in (first, second, used)]
    assert statuses == ["revoked", "revoked", "redeemed"]
    assert len(messages_of(answer)) == 2


def test_a_redemption_is_reversed_for_a_reason(tenant_a: Tenant, client: Client) -> None:
    code = make_codes(make_coupon(tenant_a))[0]
    redeem(tenant_a, code.code)
    row = CouponRedemption.objects.get()
    url = action_of(row, "reverse_redemption")

    assert "ana" in text_of(client.get(url))
    client.post(url, {"confirmed": "1", "reason": "by mistake"})
    again = client.post(url, {"confirmed": "1", "reason": "by mistake"}, follow=True)

    row.refresh_from_db()
    assert (row.status, row.reversed_by, code_row(code).status) == ("reversed", "ops", "active")
    assert "reversed already" in messages_of(again)[-1]
    listed = client.get(reverse("admin:rewards_couponredemption_changelist"), {"q": code.code})
    assert "Reversed" in text_of(listed)


# --- Jobs and rights -----------------------------------------------------------------------------


def test_a_job_is_cancelled_on_its_page(tenant_a: Tenant, client: Client) -> None:
    job = jobs.enqueue(tenant_a.pk, "coupon_codes", {"count": 5}, "ops", NOON)
    url = action_of(job, "cancel_job")

    first, again = (client.get(url, follow=True) for _ in range(2))
    Job.objects.update(status="done")
    over = client.get(url, follow=True)

    assert messages_of(first)[0] == "The job is cancelled."
    assert messages_of(again)[0] == "The job is cancelled."
    assert "done already" in messages_of(over)[0]


def test_who_may_only_look_changes_nothing(tenant_a: Tenant, viewer: Client) -> None:
    coupon = make_coupon(tenant_a)
    code = make_codes(coupon)[0]
    job = jobs.enqueue(tenant_a.pk, "coupon_codes", {"count": 5}, "ops", NOON)
    sent = {"confirmed": "1", "reason": "x", "count": "1", "user_ids": "", "text": "code\nABC"}
    urls = [
        action_of(coupon, "generate_codes"),
        action_of(coupon, "import_codes"),
        action_of(code_row(code), "void_code"),
        action_of(job, "cancel_job"),
    ]

    assert {viewer.post(url, sent).status_code for url in urls} == {403}
    assert viewer.get(page_of(coupon)).status_code == 200
    assert viewer.get(page_of(job)).status_code == 200
    assert CouponCode.objects.get().status == "active"


def test_pages_of_another_tenant_are_not_there(
    tenant_a: Tenant, tenant_b: Tenant, client: Client
) -> None:
    theirs = make_coupon(tenant_b)
    code = make_codes(theirs)[0]
    redeem(tenant_b, code.code, "cleo")
    row = CouponRedemption.objects.get()
    job = jobs.enqueue(tenant_b.pk, "coupon_codes", {"count": 5}, "b", NOON)
    names = {
        theirs: ("generate_codes", "import_codes", "export_codes", "show_codes"),
        code_row(code): ("void_code",),
        row: ("reverse_redemption",),
        job: ("cancel_job",),
    }
    sent = {"confirmed": "1", "reason": "x", "count": "1", "user_ids": "", "text": "code\nABC"}

    for each, actions in names.items():
        for name in actions:
            answer = client.post(action_of(each, name), sent)
            assert answer.status_code in (302, 403, 404), name
    assert (theirs.codes.count(), code_row(code).status) == (1, "redeemed")
    job.refresh_from_db()
    assert job.status == "queued"
