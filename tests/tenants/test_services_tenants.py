import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from phoenix_site.common.exceptions import InvalidInputError, NotFoundError
from tenants.exceptions import TenantExistsError
from tenants.models import AuditEntry, Membership, Tenant
from tenants.services import audit, snapshots, tenants
from tenants.types import Actor, AuditChange, Caller
from tests.tenants.cast import ACTOR, utc_now

pytestmark = pytest.mark.django_db


def create(tenant_id: str = "tenant-c", **chosen: Any) -> Tenant:
    wanted = {"name": "C", "environment": "sandbox"} | chosen
    return tenants.create_tenant(tenant_id, actor=ACTOR, now=utc_now(), **wanted)


def test_a_tenant_is_its_own_operator_unless_said_otherwise(db: None) -> None:
    assert create().operator_code == "tenant-c"
    assert create("tenant-c-live", environment="prod", operator_code="tenant-c").pk


@pytest.mark.parametrize(
    ("tenant_id", "chosen"), [("tenant-a", {}), ("tenant-c", {"operator_code": "tenant-a"})]
)
def test_a_tenant_exists_once_per_operator_and_environment(
    tenant_a: Tenant, tenant_id: str, chosen: dict[str, str]
) -> None:
    with pytest.raises(TenantExistsError):
        create(tenant_id, **chosen)
    assert Tenant.objects.count() == 1


@pytest.mark.parametrize(
    "chosen",
    [
        {"tenant_id": "X"},
        {"tenant_id": "-a"},
        {"tenant_id": "a"},
        {"environment": "test"},
        {"retention_days": 0},
        {"retention_days": 3651},
        {"max_future_seconds": 86_401},
        {"max_event_bytes": 1024 * 1024 + 1},
        {"limits": {"ingestion": True}},
        {"limits": {"staff_login": 5}},
        {"allowed_origins": ["play.example"]},
        {"timezone": "Mars/One"},
        {"base_currency": "eur-o"},
        {"bonus_mode": "push"},
        {"bonus_path": "credit"},
        {"outbound_ports": [0]},
        {"operator_base_url": "https://10.0.0.1"},
        {"suspended_at": None},
        {"nonsense": 1},
    ],
)
def test_a_faulty_tenant_is_refused_with_the_field(db: None, chosen: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        create(**chosen)

    assert caught.value.details[0].field.split(".")[0] in {"id", *chosen}
    assert not Tenant.objects.exists()


@pytest.mark.parametrize(
    "broken",
    [
        {"id": "Upper"},
        {"environment": "test"},
        {"retention_days": 5000},
        {"max_future_seconds": 90_000},
        {"max_event_bytes": 10},
        {"snapshot_retention_days": 0},
        {"base_currency": "€"},
        {"bonus_mode": "push"},
    ],
)
def test_the_database_refuses_what_slips_past_the_service(db: None, broken: dict[str, Any]) -> None:
    columns = {"id": "tenant-c", "operator_code": "c", "environment": "sandbox", "name": "C"}

    with pytest.raises(IntegrityError), transaction.atomic():
        Tenant.objects.create(**(columns | broken))


def test_a_change_is_seen_at_once_and_audited_with_both_sides(tenant_a: Tenant) -> None:
    assert snapshots.tenant_settings("tenant-a").retention_days == 400

    tenants.update_tenant("tenant-a", {"retention_days": 30}, actor=ACTOR, now=utc_now())
    tenants.update_tenant("tenant-a", {"retention_days": 30}, actor=ACTOR, now=utc_now())

    assert snapshots.tenant_settings("tenant-a").retention_days == 30
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.before, entry.after) == (
        "tenant.changed",
        {"retention_days": 400},
        {"retention_days": 30},
    )


def test_the_base_currency_is_chosen_once(db: None) -> None:
    tenant = create(base_currency="gold_coins")

    with pytest.raises(InvalidInputError):
        tenants.update_tenant(tenant.pk, {"base_currency": "EUR"}, actor=ACTOR, now=utc_now())

    tenant.refresh_from_db()
    assert tenant.base_currency == "gold_coins"


def test_the_operators_address_may_use_the_ports_that_are_listed(tenant_a: Tenant) -> None:
    def change(**chosen: Any) -> Tenant:
        return tenants.update_tenant("tenant-a", chosen, actor=ACTOR, now=utc_now())

    with pytest.raises(InvalidInputError) as caught:
        change(operator_base_url="https://8.8.8.8:8443")
    change(outbound_ports=[8443])

    assert caught.value.details[0].field == "operator_base_url"
    assert change(operator_base_url="https://8.8.8.8:8443").outbound_ports == [8443]
    assert change(operator_base_url="").operator_base_url == ""


def test_settings_of_an_unknown_tenant_are_not_found(db: None) -> None:
    for unknown in ("nobody", "NUL\x00", "x" * 500):
        with pytest.raises(NotFoundError):
            snapshots.tenant_settings(unknown)
    with pytest.raises(NotFoundError):
        tenants.suspend_tenant("nobody", actor=ACTOR, now=utc_now())


def test_suspending_and_reinstating_repeat_harmlessly(tenant_a: Tenant) -> None:
    first = tenants.suspend_tenant("tenant-a", actor=ACTOR, now=utc_now(), reason="x")
    later = utc_now() + timedelta(hours=1)
    assert tenants.suspend_tenant("tenant-a", actor=ACTOR, now=later).suspended_at == (
        first.suspended_at
    )
    for _ in range(2):
        assert tenants.reinstate_tenant("tenant-a", actor=ACTOR, now=later).suspended_at is None

    actions = AuditEntry.objects.order_by("at").values_list("action", flat=True)
    assert list(actions) == ["tenant.suspended", "tenant.reinstated"]


def test_a_membership_is_one_row_that_is_switched(ops: Any, tenant_b: Tenant) -> None:
    for is_active in (True, True, False, True):
        tenants.set_membership(ops.pk, "tenant-b", is_active=is_active, actor=ACTOR, now=utc_now())

    assert Membership.objects.filter(user=ops, tenant=tenant_b).count() == 1
    assert AuditEntry.objects.filter(object_type="membership").count() == 3


@pytest.mark.django_db(transaction=True)
def test_two_changes_at_once_both_hold(tenant_a: Tenant) -> None:
    barrier = threading.Barrier(2)
    changes: list[dict[str, Any]] = [{"retention_days": 30}, {"max_sockets": 5}]

    def change(chosen: dict[str, Any]) -> None:
        try:
            barrier.wait()
            tenants.update_tenant("tenant-a", chosen, actor=ACTOR, now=utc_now())
        finally:
            connection.close()

    threads = [threading.Thread(target=change, args=(chosen,)) for chosen in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    tenant = Tenant.objects.get(pk="tenant-a")
    assert (tenant.retention_days, tenant.max_sockets) == (30, 5)


# --- The audit log -------------------------------------------------------------------------------


def test_the_audit_log_is_append_only(tenant_a: Tenant) -> None:
    entry = audit.record("tenant.created", actor=ACTOR, now=utc_now(), tenant_id="tenant-a")

    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).update(reason="changed")
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).delete()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL phoenix.purge = 'audit'")
        assert AuditEntry.objects.filter(pk=entry.pk).delete()[0] == 1


def test_values_are_rendered_and_secrets_masked(tenant_a: Tenant) -> None:
    values = {
        "at": utc_now(),
        "tenant": tenant_a,
        "tenants": Tenant.objects.all(),
        "nested": {"a": (1, None, True)},
        "password": "x",
        "tenant_secret": "y",
        "access_token": "z",
    }
    change = AuditChange("thing", "1", "T" * 500, values, values)

    entry = audit.record("thing.changed", actor=ACTOR, now=utc_now(), change=change)

    entry.refresh_from_db()
    assert entry.before is not None
    assert entry.before["tenant"] == "tenant-a"
    assert entry.before["tenants"] == ["tenant-a"]
    assert entry.before["nested"] == {"a": [1, None, True]}
    assert {entry.before[name] for name in ("password", "tenant_secret", "access_token")} == {
        audit.MASK
    }
    assert len(entry.object_label) == 255


@pytest.mark.parametrize(
    ("address", "kept"), [("203.0.113.9", "203.0.113.9"), ("", None), ("x", None)]
)
def test_only_addresses_are_kept_as_addresses(db: None, address: str, kept: str | None) -> None:
    entry = audit.record("x.y", actor=Actor("staff", "1", "a", address), now=utc_now())

    assert entry.address == kept


def test_callers_become_actors() -> None:
    def caller(kind: Any, user_id: str | None = None, staff_id: int | None = None) -> Caller:
        return Caller(kind, None, None, user_id, "c-1", "s-1", None, None, staff_id, "Back office")

    assert audit.caller_actor(caller("api_key")) == Actor("api_key", "c-1", "Back office")
    token = audit.caller_actor(caller("admin_jwt", user_id="jo"), address="203.0.113.9")
    assert token == Actor("admin_jwt", "c-1", "Back office (jo)", "203.0.113.9")
    assert audit.caller_actor(caller("staff", staff_id=7)).id == "staff:7"
