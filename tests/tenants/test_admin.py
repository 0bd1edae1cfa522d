"""The admin pages: scope, actions through services, secrets shown once."""

import re
import time
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django.fixtures import Settings

from tenants.models import AuditEntry, Credential, CredentialSecret, Membership, Tenant
from tenants.services import audit, authentication, staff
from tests.tenants import cast
from tests.tenants.cast import ACTOR, signed, utc_now, with_key

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.tenants.admin_urls")]

PASSWORD = "ops-pass-1"


@pytest.fixture
def boss(django_user_model: type[User]) -> User:
    return django_user_model.objects.create_superuser("boss", password=PASSWORD)


@pytest.fixture
def boss_client(boss: User) -> Client:
    client = Client()
    client.force_login(boss, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def ops_client(ops: User) -> Client:
    ops.user_permissions.add(*Permission.objects.filter(content_type__app_label="tenants"))
    client = Client()
    client.force_login(ops, backend="django.contrib.auth.backends.ModelBackend")
    return client


def shown_secret(answer: Any) -> str:
    found = re.search(r'id="secret-value">([^<]+)<', answer.content.decode())
    assert found, answer.content.decode()[:2000]
    return found.group(1)


def credential_form(**changed: Any) -> dict[str, Any]:
    return {
        "kind": "api_key",
        "tenant": "tenant-a",
        "tenants": ["tenant-a"],
        "label": "Back office",
        "scopes": ["leaderboards:read"],
        "allowed_cidrs": "",
        "expires_at_0": "",
        "expires_at_1": "",
        "secrets-TOTAL_FORMS": "0",
        "secrets-INITIAL_FORMS": "0",
    } | changed


def tenant_form(**changed: Any) -> dict[str, Any]:
    return {
        "id": "tenant-c",
        "name": "Tenant C",
        "operator_code": "tenant-c",
        "environment": "sandbox",
        "hmac_enabled": "on",
        "accepts_older_shape": "on",
        "max_future_seconds": "300",
        "max_event_bytes": "",
        "retention_days": "400",
        "allowed_origins": "",
        "public_player_fields": "",
        "max_sockets": "10000",
        "snapshot_retention_days": "90",
        "limits": "{}",
        "base_currency": "EUR",
        "timezone": "UTC",
        "operator_base_url": "",
        "outbound_ports": "",
        "bonus_path": "/api/bonuses/v1/credit",
        "bonus_mode": "call",
    } | changed


# --- Scope ---------------------------------------------------------------------------------------


@pytest.fixture
def two_worlds(tenant_a: Tenant, tenant_b: Tenant) -> dict[str, str]:
    """Return keys of rows of tenant B, or of both, that staff of A must not see."""
    theirs = cast.new_key(tenant_b, owner_id="tenant-b")
    both = cast.new_key(tenant_a, tenant_b, owner_id="tenant-a")
    unowned = cast.new_key(tenant_a)
    secret = cast.new_secret(tenant_b)
    entry = AuditEntry.objects.filter(tenant=tenant_b).first()
    assert entry is not None
    global_entry = audit.record("tenant.created", actor=ACTOR, now=utc_now())
    return {
        "tenant:tenant-b": "tenants_tenant",
        f"key:{theirs.credential_id}": "tenants_credential",
        f"both:{both.credential_id}": "tenants_credential",
        f"unowned:{unowned.credential_id}": "tenants_credential",
        f"secret:{secret.credential_id}": "tenants_credential",
        f"entry:{entry.pk}": "tenants_auditentry",
        f"global:{global_entry.pk}": "tenants_auditentry",
    }


def test_staff_of_a_see_nothing_of_b(ops_client: Client, two_worlds: dict[str, str]) -> None:
    mine = cast.new_key(Tenant.objects.get(pk="tenant-a"), owner_id="tenant-a")

    for name, page in two_worlds.items():
        pk = name.partition(":")[2]
        path = page.replace("_", "/", 1)
        answer = ops_client.get(f"/admin/{path}/{pk}/change/")
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/"), name
        for verb in ("history", "delete"):
            assert ops_client.get(f"/admin/{path}/{pk}/{verb}/").status_code in (302, 403), name
    ops_client.get("/admin/tenants/tenant/")  # shows what was asked for in vain just now
    for page in ("tenant", "credential", "auditentry", "membership"):
        listed = ops_client.get(f"/admin/tenants/{page}/")
        assert listed.status_code == 200
        assert "tenant-b" not in listed.content.decode(), page
    keys = ops_client.get("/admin/tenants/credential/").content.decode()
    assert mine.credential_id in keys
    assert not any(name.partition(":")[2] in keys for name in two_worlds)


def test_choices_and_autocomplete_offer_own_tenants_only(
    ops_client: Client, tenant_b: Tenant
) -> None:
    query = {"app_label": "tenants", "model_name": "credential", "field_name": "tenant"}

    found = ops_client.get("/admin/autocomplete/", query | {"term": "tenant"}).json()
    forged = ops_client.post(
        "/admin/tenants/credential/add/",
        credential_form(tenant="tenant-b", tenants=["tenant-b"]),
    )

    assert [item["id"] for item in found["results"]] == ["tenant-a"]
    assert forged.status_code == 200, "the form again, with errors"
    assert "Select a valid choice" in forged.content.decode()
    assert not Credential.objects.exists()


def test_detail_actions_stay_in_scope(ops_client: Client, tenant_b: Tenant) -> None:
    theirs = cast.new_key(tenant_b, owner_id="tenant-b")

    for verb in ("rotate", "revoke"):
        path = f"/admin/tenants/credential/{theirs.credential_id}/{verb}/"
        assert ops_client.post(path, {"confirmed": "1", "reason": "x"}).status_code == 302
    path = "/admin/tenants/tenant/tenant-b/suspend/"
    ops_client.post(path, {"confirmed": "1", "reason": "x"})

    assert CredentialSecret.objects.count() == 1
    assert cast.credential(theirs).revoked_at is None
    assert Tenant.objects.get(pk="tenant-b").suspended_at is None


def test_list_actions_stay_in_scope(ops_client: Client, tenant_b: Tenant) -> None:
    form = {
        "action": "suspend_selected",
        "_selected_action": ["tenant-a", "tenant-b"],
        "confirmed": "1",
        "reason": "Maintenance",
    }

    ops_client.post("/admin/tenants/tenant/", form)

    assert Tenant.objects.get(pk="tenant-a").suspended_at is not None
    assert Tenant.objects.get(pk="tenant-b").suspended_at is None


def test_a_person_without_permissions_sees_no_pages(ops: User) -> None:
    client = Client()
    client.force_login(ops, backend="django.contrib.auth.backends.ModelBackend")

    for page in ("tenant", "credential", "auditentry", "membership"):
        assert client.get(f"/admin/tenants/{page}/").status_code == 403


def test_people_pages_are_for_superusers(ops: User, ops_client: Client, boss: User) -> None:
    ops.user_permissions.add(*Permission.objects.filter(content_type__app_label="auth"))
    ops.user_permissions.add(*Permission.objects.filter(content_type__app_label="otp_totp"))

    for page in ("auth/user/", f"auth/user/{boss.pk}/change/", "auth/group/"):
        assert ops_client.get(f"/admin/{page}").status_code == 403
    assert ops_client.get("/admin/otp_totp/totpdevice/").status_code == 403
    assert ops_client.get("/admin/token_blacklist/outstandingtoken/").status_code == 404


# --- Tenants -------------------------------------------------------------------------------------


def test_a_superuser_creates_and_changes_a_tenant(boss_client: Client) -> None:
    added = boss_client.post("/admin/tenants/tenant/add/", tenant_form())
    changed = boss_client.post(
        "/admin/tenants/tenant/tenant-c/change/",
        tenant_form(
            allowed_origins="https://play.example\n\nhttps://play.example\n",
            limits='{"ingestion": 120000}',
            retention_days="30",
        ),
    )

    assert (added.status_code, changed.status_code) == (302, 302)
    tenant = Tenant.objects.get(pk="tenant-c")
    assert tenant.allowed_origins == ["https://play.example"]
    assert tenant.limits == {"ingestion": 120000}
    actions = AuditEntry.objects.filter(tenant=tenant).order_by("at")
    assert [entry.action for entry in actions] == ["tenant.created", "tenant.changed"]
    last = actions.last()
    assert last is not None
    assert last.before == {"allowed_origins": [], "limits": {}, "retention_days": 400}
    assert (last.actor_label, last.address) == ("boss", "127.0.0.1")


@pytest.mark.parametrize(
    "fault",
    [
        {"id": "Tenant C"},
        {"limits": '{"nonsense": 5}'},
        {"limits": '{"ingestion": 0}'},
        {"limits": "[1]"},
        {"retention_days": "0"},
        {"max_future_seconds": "86401"},
        {"allowed_origins": "play.example/path"},
        {"operator_code": "tenant-a", "environment": "sandbox"},
        {"timezone": "Mars/One"},
        {"base_currency": "€"},
        {"bonus_mode": "push"},
        {"bonus_path": "//other.example/x"},
        {"bonus_path": "credit"},
        {"outbound_ports": "70000"},
        {"operator_base_url": "https://10.0.0.1"},
        {"operator_base_url": "http://8.8.8.8"},
        {"operator_base_url": "https://8.8.8.8:8443"},
        {"operator_base_url": "https://8.8.8.8/?x=1"},
        {"operator_base_url": "https://staff:secret@8.8.8.8"},
    ],
)
def test_a_faulty_tenant_is_shown_with_its_errors(
    boss_client: Client, tenant_a: Tenant, fault: dict[str, str]
) -> None:
    answer = boss_client.post("/admin/tenants/tenant/add/", tenant_form(**fault))

    assert answer.status_code == 200
    assert Tenant.objects.count() == 1


def test_the_operators_address_is_saved_once_the_guard_lets_it_pass(
    boss_client: Client, tenant_a: Tenant
) -> None:
    path = "/admin/tenants/tenant/tenant-a/change/"
    chosen = {"id": "tenant-a", "operator_code": "tenant-a", "name": "Tenant A"}

    refused = boss_client.post(path, tenant_form(**chosen, operator_base_url="https://127.0.0.1"))
    saved = boss_client.post(
        path,
        tenant_form(
            **chosen,
            operator_base_url="https://8.8.8.8:8443/api",
            outbound_ports="8443,9443",
            timezone="Europe/Malta",
            bonus_mode="poll",
            # Chosen once: what a forged form says of it is not taken.
            base_currency="USD",
        ),
    )

    errors = refused.context["adminform"].form.errors
    assert "not a public one" in errors["operator_base_url"][0]
    assert saved.status_code == 302
    tenant = Tenant.objects.get(pk="tenant-a")
    assert (tenant.operator_base_url, tenant.outbound_ports) == (
        "https://8.8.8.8:8443/api",
        [8443, 9443],
    )
    assert (tenant.timezone, tenant.bonus_mode, tenant.base_currency) == (
        "Europe/Malta",
        "poll",
        "EUR",
    )


def test_staff_change_their_tenant_but_create_none(ops_client: Client) -> None:
    assert ops_client.get("/admin/tenants/tenant/add/").status_code == 403
    assert ops_client.get("/admin/tenants/tenant/tenant-a/change/").status_code == 200
    form = tenant_form(id="tenant-a", name="Renamed", operator_code="tenant-a")

    answer = ops_client.post("/admin/tenants/tenant/tenant-a/change/", form)

    assert answer.status_code == 302
    assert Tenant.objects.get(pk="tenant-a").name == "Renamed"
    assert ops_client.post("/admin/tenants/tenant/tenant-a/delete/").status_code == 403


def test_suspending_asks_first_and_needs_a_reason(boss_client: Client, tenant_a: Tenant) -> None:
    path = "/admin/tenants/tenant/tenant-a/suspend/"

    asked = boss_client.get(path)
    unreasoned = boss_client.post(path, {"confirmed": "1", "reason": ""})
    assert Tenant.objects.get(pk="tenant-a").suspended_at is None
    done = boss_client.post(path, {"confirmed": "1", "reason": "Unpaid"})

    assert (asked.status_code, unreasoned.status_code, done.status_code) == (200, 200, 302)
    assert Tenant.objects.get(pk="tenant-a").suspended_at is not None
    assert AuditEntry.objects.get(action="tenant.suspended").reason == "Unpaid"
    boss_client.post(
        "/admin/tenants/tenant/tenant-a/reinstate/", {"confirmed": "1", "reason": "Paid"}
    )
    assert Tenant.objects.get(pk="tenant-a").suspended_at is None


# --- Credentials ---------------------------------------------------------------------------------


def test_a_new_key_is_shown_once_and_works(ops_client: Client, tenant_a: Tenant) -> None:
    answer = ops_client.post("/admin/tenants/credential/add/", credential_form())

    value = shown_secret(answer)
    assert "no-store" in answer.headers["Cache-Control"]
    caller = authentication.authenticate_admin(with_key(value), now=utc_now())
    assert (caller.tenant_ids, caller.scopes) == (
        frozenset({"tenant-a"}),
        frozenset({"leaderboards:read"}),
    )
    assert_nowhere(value, ops_client, caller.credential_id or "")


def test_a_new_tenant_secret_is_shown_once_and_works(ops_client: Client, tenant_a: Tenant) -> None:
    form = credential_form(kind="tenant_hmac", tenants=[], scopes=["events:write"])

    answer = ops_client.post("/admin/tenants/credential/add/", form)

    value = shown_secret(answer)
    caller = authentication.authenticate_tenant(
        signed("tenant-a", value), gateway="ingestion", now=utc_now()
    )
    assert caller.scopes == frozenset({"events:write"})
    assert_nowhere(value, ops_client, caller.credential_id or "")


def assert_nowhere(value: str, client: Client, credential_id: str) -> None:
    """Check that the secret is on no page, in no log of changes and in no session."""
    for page in (
        "credential/",
        f"credential/{credential_id}/change/",
        f"credential/{credential_id}/history/",
        "auditentry/",
    ):
        answer = client.get(f"/admin/tenants/{page}")
        assert answer.status_code == 200
        assert value not in answer.content.decode(), page
    for entry in AuditEntry.objects.all():
        assert value not in f"{entry.before} {entry.after} {entry.object_label} {entry.reason}"
    for log in LogEntry.objects.all():
        assert value not in f"{log.change_message} {log.object_repr}"
    for session in Session.objects.all():
        assert value not in str(session.get_decoded())
    for secret in CredentialSecret.objects.all():
        assert value not in f"{secret.prefix} {secret.ciphertext} {secret}"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "tenant_hmac", "tenants": [], "scopes": ["leaderboards:read"]},
        {"kind": "tenant_hmac", "tenant": "", "tenants": [], "scopes": []},
        {"kind": "tenant_hmac", "scopes": []},
        {"tenants": []},
        {"tenant": ""},
        {"scopes": ["query"]},
        {"allowed_cidrs": "nonsense"},
        {"label": ""},
        {"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"},
    ],
)
def test_a_faulty_credential_is_shown_with_its_errors(
    ops_client: Client, tenant_a: Tenant, fault: dict[str, Any]
) -> None:
    answer = ops_client.post("/admin/tenants/credential/add/", credential_form(**fault))

    assert answer.status_code == 200
    assert "secret-value" not in answer.content.decode()
    assert not Credential.objects.exists()


def test_rotating_asks_first_and_shows_the_new_secret_once(
    ops_client: Client, tenant_a: Tenant
) -> None:
    made = cast.new_key(tenant_a, owner_id="tenant-a")
    path = f"/admin/tenants/credential/{made.credential_id}/rotate/"

    asked = ops_client.get(path)
    assert CredentialSecret.objects.count() == 1
    value = shown_secret(ops_client.post(path, {"confirmed": "1"}))

    assert "Rotate" in asked.content.decode()
    assert value != made.value
    for each in (value, made.value):
        assert authentication.authenticate_admin(with_key(each), now=utc_now())
    listed = ops_client.get("/admin/tenants/credential/").content.decode()
    assert "Rotating" in listed
    assert_nowhere(value, ops_client, made.credential_id)


def test_revoking_needs_a_reason_and_is_audited(ops_client: Client, tenant_a: Tenant) -> None:
    made = cast.new_key(tenant_a, owner_id="tenant-a")
    form = {
        "action": "revoke_selected",
        "_selected_action": [made.credential_id],
        "confirmed": "1",
        "reason": "Leaked",
    }

    asked = ops_client.post("/admin/tenants/credential/", form | {"reason": ""})
    assert (asked.status_code, cast.credential(made).revoked_at) == (200, None)
    ops_client.post("/admin/tenants/credential/", form)

    assert cast.credential(made).revoked_at is not None
    assert AuditEntry.objects.get(action="credential.revoked").reason == "Leaked"
    path = f"/admin/tenants/credential/{made.credential_id}/rotate/"
    refused = ops_client.post(path, {"confirmed": "1"}, follow=True)
    assert "revoked; create another one" in refused.content.decode()


def test_a_credential_is_changed_through_its_service(ops_client: Client, tenant_a: Tenant) -> None:
    made = cast.new_key(tenant_a, owner_id="tenant-a", scopes=("leaderboards:read",))
    form = credential_form(
        label="Renamed", scopes=["events:read"], allowed_cidrs="203.0.113.0/24\n2001:db8::/32"
    )

    answer = ops_client.post(f"/admin/tenants/credential/{made.credential_id}/change/", form)

    assert answer.status_code == 302, answer.content.decode()[:3000]
    changed = cast.credential(made)
    assert (changed.label, changed.scopes) == ("Renamed", ["events:read"])
    assert changed.allowed_cidrs == ["2001:db8::/32", "203.0.113.0/24"]
    entry = AuditEntry.objects.get(action="credential.changed")
    assert entry.before == {
        "label": "Back office",
        "scopes": ["leaderboards:read"],
        "allowed_cidrs": [],
    }


def test_lists_need_the_same_queries_for_one_row_and_for_many(
    boss_client: Client, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    cast.new_key(tenant_a, tenant_b, owner_id="tenant-a")
    counts: dict[str, list[int]] = {}

    for _ in range(2):
        for page in ("tenant", "credential", "auditentry", "membership"):
            with CaptureQueriesContext(connection) as queries:
                assert boss_client.get(f"/admin/tenants/{page}/").status_code == 200
            counts.setdefault(page, []).append(len(queries))
        for _ in range(15):
            cast.new_key(tenant_a, tenant_b, owner_id="tenant-a")

    assert all(first == second for first, second in counts.values()), counts


# --- Memberships, audit, people ------------------------------------------------------------------


def test_memberships_are_given_and_withdrawn_by_superusers(
    boss_client: Client, ops: User, ops_client: Client, tenant_b: Tenant
) -> None:
    form = {"user": ops.pk, "tenant": "tenant-b", "is_active": "on"}
    assert ops_client.get("/admin/tenants/membership/add/").status_code == 403

    boss_client.post("/admin/tenants/membership/add/", form)
    membership = Membership.objects.get(user=ops, tenant="tenant-b")
    assert "tenant-b" in ops_client.get("/admin/tenants/tenant/").content.decode()
    boss_client.post(f"/admin/tenants/membership/{membership.pk}/change/", {})

    assert "tenant-b" not in ops_client.get("/admin/tenants/tenant/").content.decode()
    actions = AuditEntry.objects.filter(tenant="tenant-b").order_by("at")
    assert [entry.action for entry in actions] == ["membership.granted", "membership.withdrawn"]


def test_the_audit_log_shows_before_and_after_and_cannot_be_edited(
    ops_client: Client, tenant_a: Tenant
) -> None:
    from tenants.services import tenants

    tenants.update_tenant("tenant-a", {"name": "<b>New</b>"}, actor=ACTOR, now=utc_now())
    entry = AuditEntry.objects.get(action="tenant.changed")
    path = f"/admin/tenants/auditentry/{entry.pk}/"

    page = ops_client.get(path + "change/").content.decode()

    assert "Tenant A" in page
    assert "&lt;b&gt;New&lt;/b&gt;" in page
    assert "<b>New</b>" not in page
    assert ops_client.post(path + "change/", {"reason": "x"}).status_code == 403
    assert ops_client.post(path + "delete/", {"post": "yes"}).status_code == 403
    assert ops_client.get("/admin/tenants/auditentry/add/").status_code == 403
    found = ops_client.get("/admin/tenants/auditentry/", {"q": "tenant-a", "about": "tenant"})
    assert "tenant.changed" in found.content.decode()


def test_changes_of_people_are_audited_with_masked_passwords(
    boss_client: Client, ops: User
) -> None:
    group = Group.objects.create(name="Support")
    form = {
        "username": "ops",
        "first_name": "Olga",
        "last_name": "",
        "email": "",
        "is_active": "on",
        "is_staff": "on",
        "groups": [group.pk],
        "last_login_0": "",
        "last_login_1": "",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }

    changed = boss_client.post(f"/admin/auth/user/{ops.pk}/change/", form)
    password = boss_client.post(
        f"/admin/auth/user/{ops.pk}/password/",
        {"usable_password": "true", "password1": "New-pass-77x", "password2": "New-pass-77x"},
    )

    assert (changed.status_code, password.status_code) == (302, 302)
    entries = list(AuditEntry.objects.filter(object_type="user").order_by("at"))
    assert [entry.action for entry in entries] == ["user.changed", "user.changed"]
    assert (entries[0].before or {})["first_name"] == ""
    assert (entries[0].after or {})["groups"] == [str(group.pk)]
    assert "New-pass-77x" not in str(entries[1].after)
    ops.refresh_from_db()
    assert ops.check_password("New-pass-77x")


def test_a_second_factor_is_added_and_shown_once(boss_client: Client, ops: User) -> None:
    answer = boss_client.post("/admin/otp_totp/totpdevice/add/", {"user": ops.pk, "name": "phone"})

    address = shown_secret(answer)
    device = TOTPDevice.objects.get(user=ops)
    assert address.startswith("otpauth://totp/Phoenix")
    for page in ("", f"{device.pk}/change/"):
        assert (
            device.key not in boss_client.get(f"/admin/otp_totp/totpdevice/{page}").content.decode()
        )
    boss_client.post(f"/admin/otp_totp/totpdevice/{device.pk}/delete/", {"post": "yes"})
    assert not TOTPDevice.objects.exists()
    actions = AuditEntry.objects.filter(object_type="second_factor").order_by("at")
    assert [entry.action for entry in actions] == ["second_factor.added", "second_factor.removed"]


# --- The login page ------------------------------------------------------------------------------


def log_in(client: Client, password: str = PASSWORD, otp: str = "") -> Any:
    form = {"username": "ops", "password": password, "otp": otp}
    return client.post("/admin/login/?next=/admin/", form)


def test_a_login_is_audited_and_too_many_failures_lock_out(
    client: Client, ops: User, settings: Settings
) -> None:
    assert "One-time code" in client.get("/admin/login/").content.decode()
    assert log_in(client).status_code == 302
    client.logout()

    answers = [log_in(client, "wrong") for _ in range(settings.AXES_FAILURE_LIMIT)]
    locked = log_in(client)

    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    assert locked.status_code == 429
    assert "Too many failed sign-ins" in locked.content.decode()
    elsewhere = Client(REMOTE_ADDR="203.0.113.9")
    assert log_in(elsewhere).status_code == 302
    actions = list(AuditEntry.objects.order_by("at").values_list("action", "reason"))
    assert actions[0] == ("staff.signed_in", "page")
    assert actions.count(("staff.sign_in_refused", "page")) == 4


def test_the_login_page_asks_for_the_second_factor(client: Client, ops: User) -> None:
    staff.add_second_factor(ops, name="phone", actor=ACTOR, now=utc_now())
    device = TOTPDevice.objects.get()
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    totp.time = time.time()
    code = f"{totp.token():06}"

    missing = log_in(client)
    wrong = log_in(client, otp=f"{(int(code) + 1) % 1_000_000:06}")
    assert (missing.status_code, wrong.status_code) == (200, 200)
    assert client.get("/admin/").status_code == 302
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)

    assert log_in(client, otp=code).status_code == 302
    assert client.session["otp_device_id"] == device.persistent_id


def test_superusers_without_second_factor_stay_outside_in_production(
    client: Client, ops: User, settings: Settings
) -> None:
    settings.PHOENIX_ENV = "prod"
    User.objects.filter(pk=ops.pk).update(is_superuser=True)

    assert log_in(client).status_code == 200
    assert client.get("/admin/").status_code == 302
