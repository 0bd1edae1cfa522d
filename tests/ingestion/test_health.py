"""Health and readiness for every set of gateways (spec 01 section 2)."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from ingestion.services import readiness
from phoenix_site.common import lifecycle
from tenants.models import Credential, Tenant
from tenants.services import limits, snapshots
from tests.ingestion import gateway_cast as cast

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh(sandbox: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots.forget_now()
    limits.forget_leases()
    # What hung in an earlier test may hang still.
    monkeypatch.setattr(readiness, "_probes", ThreadPoolExecutor(2))
    monkeypatch.setattr(readiness, "_running", {})


def health(**headers: str) -> tuple[int, dict[str, Any]]:
    answer = Client().get("/health", headers=headers)
    return answer.status_code, answer.json()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_kind_of_credential_is_named() -> None:
    reach = {"status": "healthy", "tenant_ids": [cast.TENANT]}

    assert health(**bearer(cast.KEY)) == (200, reach | {"credential": "api_key"})
    assert health(**bearer(cast.admin_token())) == (200, reach | {"credential": "admin_jwt"})
    assert health(**bearer(cast.tenant_token())) == (200, reach | {"credential": "tenant_jwt"})
    signed = cast.signature("GET", "/health", b"")
    assert health(**signed) == (200, reach | {"credential": "tenant_hmac"})


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-API-Key": "pk_wrong"}, "AUTH_003"),
        ({"Authorization": "Bearer nonsense"}, "AUTH_003"),
        ({"Authorization": "Basic abc"}, "AUTH_002"),
        ({"X-Tenant-Id": cast.TENANT}, "AUTH_002"),
    ],
)
def test_a_credential_that_is_sent_must_be_right(headers: dict[str, str], code: str) -> None:
    status, body = health(**headers)

    assert (status, body["code"]) == (401, code)


def test_an_old_timestamp_is_refused() -> None:
    old = cast.signature("GET", "/health", b"", timestamp=int(time.time()) - 400)

    status, body = health(**old)

    assert (status, body["code"]) == (401, "AUTH_004")


def test_a_revoked_key_is_refused() -> None:
    Credential.objects.filter(kind="api_key").update(revoked_at=timezone.now())
    snapshots.forget_now()

    assert health(**{"X-API-Key": cast.KEY})[0] == 401


def test_the_admin_gateway_alone_asks_for_a_credential(settings: Settings) -> None:
    settings.PHOENIX_GATEWAYS = frozenset({"admin"})

    assert health()[1]["code"] == "AUTH_002"
    assert health(**{"X-API-Key": cast.KEY})[0] == 200
    assert health(**cast.signature("GET", "/health", b""))[0] == 200
    assert health(**bearer(cast.tenant_token()))[1]["code"] == "AUTH_003"


def test_other_gateways_alone_ask_for_none(settings: Settings) -> None:
    settings.PHOENIX_GATEWAYS = frozenset({"query"})

    assert health() == (200, {"status": "healthy"})


def test_health_without_a_credential_asks_no_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert health()[0] == 200


def test_a_probe_with_a_credential_counts_as_a_request() -> None:
    answer = Client().get("/health", headers={"X-API-Key": cast.KEY})

    assert answer.headers["X-RateLimit-Limit"] == "600"
    assert "X-RateLimit-Limit" not in Client().get("/health").headers


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_head_works_and_other_methods_do_not(path: str) -> None:
    assert Client().head(path).status_code == 200
    assert Client().head(path).content == b""
    assert Client().post(path).json()["code"] == "METHOD"


def test_readiness_names_the_last_sign_of_life_and_the_largest_lag() -> None:
    readiness.beat_heartbeat(now=timezone.now())

    body = Client().get("/ready").json()

    assert body["last_worker_heartbeat"].endswith("Z")
    assert body["largest_consumer_lag_seconds"] == 0


def test_a_process_that_is_about_to_end_is_not_ready() -> None:
    lifecycle.set_draining(draining=True)
    try:
        answer = Client().get("/ready")
    finally:
        lifecycle.set_draining(draining=False)

    assert answer.status_code == 503
    assert answer.json()["status"] == "not_ready"
    assert answer.json()["database"] == "connected"
    assert answer.json()["error"] == "The process is about to end."


@pytest.mark.django_db(transaction=True)
def test_waiting_migrations_are_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness._Migrations, "are_applied", False)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'ingestion'")
    try:
        answer = Client().get("/ready")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied)"
                " VALUES ('ingestion', '0001_initial', now())"
            )

    assert answer.status_code == 503
    assert answer.json()["database"] == "migrations_pending"


def test_a_probe_that_hangs_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "READY_PROBE_SECONDS", 0.1)
    monkeypatch.setattr(readiness, "_probe_queue", lambda: time.sleep(0.5))

    began = time.monotonic()
    answer = Client().get("/ready")

    assert time.monotonic() - began < 0.45
    assert answer.json()["status"] == "degraded"


def test_however_many_ask_a_probe_that_hangs_holds_nobody_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "READY_PROBE_SECONDS", 0.3)
    monkeypatch.setattr(readiness, "_probe_database", lambda: time.sleep(2))
    monkeypatch.setattr(readiness, "_probe_queue", lambda: None)

    def ask() -> tuple[float, str]:
        began = time.monotonic()
        state = readiness.check_readiness(now=timezone.now())
        assert state.status == "not_ready"
        return time.monotonic() - began, state.message_queue

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(), range(60)))

    assert {queue for _, queue in answers} == {"connected"}
    # Asked one after the other, they would wait for the hanging one again and again.
    assert max(seconds for seconds, _ in answers) < 1.5


@pytest.mark.parametrize("silent", [None, timedelta(seconds=31)])
def test_without_workers_it_is_degraded(
    monkeypatch: pytest.MonkeyPatch, silent: timedelta | None
) -> None:
    if silent is not None:
        readiness.beat_heartbeat(now=timezone.now() - silent)
    # Beside a process that has just started, workers start, too.
    monkeypatch.setattr(readiness, "_started_at", time.monotonic())
    assert Client().get("/ready").json()["status"] == "ready"

    monkeypatch.setattr(readiness, "_started_at", time.monotonic() - 31)
    body = Client().get("/ready").json()
    assert (body["status"], body["message_queue"]) == ("degraded", "connected")

    readiness.beat_heartbeat(now=timezone.now())
    assert Client().get("/ready").json()["status"] == "ready"


@pytest.mark.django_db(transaction=True)
def test_the_time_limit_of_a_probe_does_not_stay_with_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As with a pool, closing the connection gives the session to somebody else.
    monkeypatch.setattr(DatabaseWrapper, "close", lambda self: None)

    readiness._probe_database()

    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
