"""The async twins answer as the sync ones do and stay off threads, database and Redis."""

import asyncio
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django.fixtures import Settings

from phoenix_site.common.exceptions import DomainError, RateLimitedError, UnavailableError
from tenants.exceptions import AccessDeniedError, CredentialRefusedError
from tenants.models import Tenant
from tenants.services import authentication, snapshots, staff, tenants, tickets, usage
from tenants.types import Caller, NewSecret, RequestFacts
from tests.tenants import cast
from tests.tenants.cast import (
    ACTOR,
    admin_token,
    bearer,
    facts,
    signed,
    tenant_token,
    utc_now,
    with_key,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("async_database"),
]


@pytest.fixture
async def secret(tenant_a: Tenant, async_database: None) -> NewSecret:
    return await sync_to_async(cast.new_secret)(tenant_a)


async def admit(request: RequestFacts) -> Caller:
    return await authentication.aauthenticate_tenant(request, gateway="ingestion", now=utc_now())


async def code_of(request: RequestFacts) -> str:
    with pytest.raises(DomainError) as caught:
        await admit(request)
    return caught.value.code


async def test_the_async_twin_answers_as_the_sync_one(secret: NewSecret) -> None:
    requests = [
        bearer(tenant_token("tenant-a", secret.value)),
        signed("tenant-a", secret.value),
        signed("tenant-a", "wrong"),
        signed("tenant-a", secret.value, at=1),
        bearer(tenant_token("nobody", secret.value)),
        facts(),
    ]

    async def outcome(request: RequestFacts) -> object:
        try:
            return await admit(request)
        except DomainError as exc:
            return exc.code

    def sync_outcome(request: RequestFacts) -> object:
        try:
            return authentication.authenticate_tenant(request, gateway="ingestion", now=utc_now())
        except DomainError as exc:
            return exc.code

    for request in requests:
        assert await outcome(request) == await sync_to_async(sync_outcome)(request)


async def test_admin_credentials_and_health_have_async_twins(
    secret: NewSecret, tenant_a: Tenant
) -> None:
    key = await sync_to_async(cast.new_key)(tenant_a)
    by_key, by_token = with_key(key.value), bearer(admin_token(key.credential_id, key.value))

    caller = await authentication.aauthenticate_admin(by_key, now=utc_now())
    again = await authentication.aauthenticate_admin(by_token, now=utc_now())
    for request in (by_key, by_token, bearer(tenant_token("tenant-a", secret.value))):
        assert await authentication.aauthenticate_any(request, now=utc_now())
    assert await authentication.aauthenticate_any(facts(), now=utc_now()) is None

    assert (caller.kind, again.kind) == ("api_key", "admin_jwt")
    for each in (caller, again):
        await authentication.astill_valid(each, now=utc_now())


async def test_requests_that_miss_together_share_one_read(
    secret: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    load = snapshots.tenants._aload

    async def counting(tenant_id: str) -> object:
        reads.append(tenant_id)
        return await load(tenant_id)

    monkeypatch.setattr(snapshots.tenants, "_aload", counting)
    request = signed("tenant-a", secret.value)

    await asyncio.gather(*(admit(request) for _ in range(20)))

    assert reads == ["tenant-a"]


async def test_a_cancelled_request_does_not_cancel_the_read_of_others(secret: NewSecret) -> None:
    request = signed("tenant-a", secret.value)
    first = asyncio.create_task(admit(request))
    second = asyncio.create_task(admit(request))
    await asyncio.sleep(0)

    first.cancel()

    assert (await second).tenant_id == "tenant-a"


async def test_a_change_during_a_read_is_not_forgotten(
    secret: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = snapshots.tenants._aload

    async def suspend_after_reading(tenant_id: str) -> object:
        snapshot = await load(tenant_id)
        await sync_to_async(tenants.suspend_tenant)(tenant_id, actor=ACTOR, now=utc_now())
        return snapshot

    monkeypatch.setattr(snapshots.tenants, "_aload", suspend_after_reading)
    await admit(signed("tenant-a", secret.value))
    monkeypatch.setattr(snapshots.tenants, "_aload", load)

    assert await code_of(signed("tenant-a", secret.value)) == "AUTH_005"


async def test_a_suspension_reaches_open_connections(secret: NewSecret) -> None:
    caller = await admit(bearer(tenant_token("tenant-a", secret.value)))
    await authentication.astill_valid(caller, now=utc_now())

    await sync_to_async(tenants.suspend_tenant)("tenant-a", actor=ACTOR, now=utc_now())

    with pytest.raises(AccessDeniedError):
        await authentication.astill_valid(caller, now=utc_now())


async def test_failures_are_counted_from_the_event_loop_too(
    secret: NewSecret, settings: Settings
) -> None:
    settings.PHOENIX_AUTH_FAILURES_PER_MINUTE = 2
    for _ in range(2):
        assert await code_of(signed("tenant-a", "wrong")) == "AUTH_001"

    with pytest.raises(RateLimitedError):
        await admit(signed("tenant-a", "wrong"))
    assert await admit(signed("tenant-a", secret.value))


async def test_faults_of_admin_credentials_and_health_have_their_codes(
    secret: NewSecret, ops: Any
) -> None:
    tenant = bearer(tenant_token("tenant-a", secret.value))
    tokens = await sync_to_async(staff.issue_tokens)(ops, now=utc_now())

    async def admin(request: RequestFacts) -> Caller:
        return await authentication.aauthenticate_admin(request, now=utc_now())

    async def health(request: RequestFacts) -> Caller | None:
        return await authentication.aauthenticate_any(
            request, now=utc_now(), accepts_tenant_tokens=False
        )

    for ask, request in (
        (admin, with_key("pk_wrong")),
        (admin, tenant),
        (health, tenant),
        (health, with_key("pk_wrong")),
        (health, bearer(tokens.refresh)),
    ):
        with pytest.raises(CredentialRefusedError):
            await ask(request)
    caller = await admin(bearer(tokens.access))
    assert caller.staff_user_id == ops.pk
    await authentication.astill_valid(caller, now=utc_now())


async def test_without_redis_failures_are_refused_uncounted(
    secret: NewSecret, settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert await code_of(signed("tenant-a", "wrong")) == "AUTH_001"
    for ask in (
        tickets.acreate_ticket(await admit(signed("tenant-a", secret.value)), None, now=utc_now()),
        tickets.aredeem_ticket("wst_x", "b", now=utc_now()),
    ):
        with pytest.raises(UnavailableError):
            await ask


async def test_a_use_that_cannot_be_noted_harms_nobody(
    secret: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "NOTE_USE", "UPDATE nonsense SET a = %s, b = %s, c = %s")

    assert await admit(signed("tenant-a", secret.value))


async def test_a_repeated_token_costs_a_fraction_of_a_new_one(secret: NewSecret) -> None:
    request = bearer(tenant_token("tenant-a", secret.value))
    now = utc_now()

    async def best_seconds(*, is_forgotten: bool) -> float:
        best = 1.0
        for _ in range(10):
            begun = time.perf_counter()
            for _ in range(100):
                if is_forgotten:
                    authentication.forget_tokens()
                await authentication.aauthenticate_tenant(request, gateway="ingestion", now=now)
            best = min(best, (time.perf_counter() - begun) / 100)
        return best

    await admit(request)

    # Some 2 µs against 40; a ratio, because machines and coverage differ.
    assert await best_seconds(is_forgotten=False) < 0.5 * await best_seconds(is_forgotten=True)
