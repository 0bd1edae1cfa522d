import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from phoenix_site.common.exceptions import DomainError, RateLimitedError, UnavailableError
from phoenix_site.common.redis import get_redis
from tenants.constants import SANDBOX_API_KEY, SANDBOX_TENANT_SECRET
from tenants.exceptions import AccessDeniedError, CredentialRefusedError
from tenants.models import Credential, CredentialSecret, Tenant
from tenants.services import (
    authentication,
    credentials,
    sandbox,
    snapshots,
    tenants,
    usage,
)
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

pytestmark = pytest.mark.django_db


def admit(request: RequestFacts, gateway: Any = "ingestion") -> Caller:
    return authentication.authenticate_tenant(request, gateway=gateway, now=utc_now())


def admit_admin(request: RequestFacts) -> Caller:
    return authentication.authenticate_admin(request, now=utc_now())


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(DomainError) as caught:
        call()
    return caught.value.code


@pytest.fixture
def secret(tenant_a: Tenant) -> NewSecret:
    return cast.new_secret(tenant_a)


@pytest.fixture
def key(tenant_a: Tenant) -> NewSecret:
    return cast.new_key(tenant_a, scopes=("leaderboards:read",))


# --- Tenant tokens and signatures ----------------------------------------------------------------


def test_a_tenant_token_opens_both_gateways(tenant_a: Tenant, secret: NewSecret) -> None:
    request = bearer(tenant_token("tenant-a", secret.value))

    caller = admit(request)

    assert (caller.kind, caller.tenant_id, caller.user_id) == ("tenant_jwt", "tenant-a", "ana")
    assert caller.tenant_ids == frozenset({"tenant-a"})
    assert caller.scopes is None
    assert (caller.credential_id, caller.secret_id) == (secret.credential_id, secret.secret_id)
    assert admit(request, "query") == caller


def test_a_signed_request_opens_ingestion_only(tenant_a: Tenant, secret: NewSecret) -> None:
    request = signed("tenant-a", secret.value)

    caller = admit(request)

    assert (caller.kind, caller.tenant_id, caller.user_id) == ("tenant_hmac", "tenant-a", None)
    assert code_of(lambda: admit(request, "query")) == "AUTH_003"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AUTH_002"),
        ({"authorization": "Basic abc"}, "AUTH_002"),
        ({"authorization": "Bearer not.a.jwt"}, "AUTH_003"),
        ({"authorization": "Bearer " + "pk_sandbox_" + "0" * 32}, "AUTH_003"),
        ({"x-api-key": "pk_sandbox_" + "0" * 32}, "AUTH_003"),
        ({"x-tenant-id": "tenant-a"}, "AUTH_002"),
        (
            {"x-tenant-id": "tenant-a", "x-timestamp": "1", "x-signature": "zz"},
            "AUTH_004",
        ),
        (
            {"x-tenant-id": "nobody", "x-timestamp": "NOW", "x-signature": "zz"},
            "AUTH_003",
        ),
        (
            {"x-tenant-id": "tenant-a", "x-timestamp": "NOW", "x-signature": "zz"},
            "AUTH_001",
        ),
        (
            {"x-tenant-id": "tenant\x00", "x-timestamp": "NOW", "x-signature": "zz"},
            "AUTH_003",
        ),
    ],
)
def test_each_fault_has_its_code(secret: NewSecret, headers: dict[str, str], code: str) -> None:
    current = {k: v.replace("NOW", str(int(time.time()))) for k, v in headers.items()}

    assert code_of(lambda: admit(facts(current))) == code


def test_an_authorization_header_hides_a_good_signature(secret: NewSecret) -> None:
    good = signed("tenant-a", secret.value)
    both = facts({**good.headers, "authorization": "Basic x"}, body=good.body)

    assert code_of(lambda: admit(both)) == "AUTH_002"


@pytest.mark.parametrize(
    ("claims", "key", "code"),
    [
        ({}, None, "AUTH_001"),
        ({"sub_id": "nobody"}, "own", "AUTH_003"),
        ({"exp": 1}, "own", "AUTH_003"),
        ({"exp": 1}, None, "AUTH_003"),
        ({"iat": 10**11}, "own", "AUTH_003"),
        ({"scope": "other"}, "own", "AUTH_005"),
        ({"scope": "query"}, "own", "AUTH_005"),
        ({"scope": "query"}, None, "AUTH_001"),
    ],
)
def test_each_fault_of_a_token_has_its_code(
    secret: NewSecret, claims: dict[str, Any], key: str | None, code: str
) -> None:
    token = tenant_token("tenant-a", secret.value if key else "wrong", **claims)

    assert code_of(lambda: admit(bearer(token))) == code


def test_a_token_without_player_does_not_open_the_query_gateway(secret: NewSecret) -> None:
    request = bearer(tenant_token("tenant-a", secret.value, sub=None))

    assert admit(request).user_id is None
    assert code_of(lambda: admit(request, "query")) == "AUTH_003"


def test_the_scope_claim_opens_what_it_names(secret: NewSecret) -> None:
    events = bearer(tenant_token("tenant-a", secret.value, scope="events:write"))
    query = bearer(tenant_token("tenant-a", secret.value, scope="query"))

    assert admit(events).scopes == frozenset({"events:write"})
    assert admit(query, "query").scopes == frozenset({"query"})
    assert code_of(lambda: admit(events, "query")) == "AUTH_005"
    assert code_of(lambda: admit(query)) == "AUTH_005"


def test_a_tenant_may_ask_for_an_explicit_scope_on_ingestion(secret: NewSecret) -> None:
    tenants.update_tenant("tenant-a", {"ingestion_needs_scope": True}, actor=ACTOR, now=utc_now())
    plain = bearer(tenant_token("tenant-a", secret.value))

    assert code_of(lambda: admit(plain)) == "AUTH_005"
    assert admit(plain, "query").user_id == "ana"
    assert admit(bearer(tenant_token("tenant-a", secret.value, scope="events:write query")))
    assert admit(signed("tenant-a", secret.value)).kind == "tenant_hmac"


def test_a_secret_for_one_gateway_does_not_open_the_other(tenant_a: Tenant) -> None:
    made = cast.new_secret(tenant_a, scopes=["query"])
    token = bearer(tenant_token("tenant-a", made.value))

    assert admit(token, "query").scopes == frozenset({"query"})
    assert code_of(lambda: admit(token)) == "AUTH_005"
    assert code_of(lambda: admit(signed("tenant-a", made.value))) == "AUTH_005"


def test_signatures_can_be_switched_off(secret: NewSecret) -> None:
    tenants.update_tenant("tenant-a", {"hmac_enabled": False}, actor=ACTOR, now=utc_now())

    assert code_of(lambda: admit(signed("tenant-a", secret.value))) == "AUTH_003"
    assert admit(bearer(tenant_token("tenant-a", secret.value)))


def test_a_suspended_tenant_is_refused_and_reinstated(secret: NewSecret) -> None:
    request = bearer(tenant_token("tenant-a", secret.value))
    caller = admit(request)

    tenants.suspend_tenant("tenant-a", actor=ACTOR, now=utc_now())

    assert code_of(lambda: admit(request)) == "AUTH_005"
    assert code_of(lambda: admit(signed("tenant-a", secret.value))) == "AUTH_005"
    assert code_of(lambda: admit(signed("tenant-a", "wrong"))) == "AUTH_001"
    with pytest.raises(AccessDeniedError):
        authentication.still_valid(caller, now=utc_now())
    tenants.reinstate_tenant("tenant-a", actor=ACTOR, now=utc_now())
    assert admit(request) == caller
    authentication.still_valid(caller, now=utc_now())


@pytest.mark.parametrize(
    ("networks", "address", "is_taken"),
    [
        (["198.51.100.0/24"], "198.51.100.7", True),
        (["198.51.100.0/24"], "::ffff:198.51.100.7", True),
        (["198.51.100.0/24", "2001:db8::/32"], "2001:db8::1", True),
        (["198.51.100.7"], "198.51.100.8", False),
        (["198.51.100.0/24"], "", False),
        (["198.51.100.0/24"], "2001:db8::1", False),
    ],
)
def test_a_credential_may_name_its_addresses(
    tenant_a: Tenant, networks: list[str], address: str, is_taken: bool
) -> None:
    made = cast.new_secret(tenant_a, allowed_cidrs=networks)
    request = bearer(tenant_token("tenant-a", made.value), address=address)

    for _ in range(2):  # the second time the token is remembered
        if is_taken:
            assert admit(request)
        else:
            assert code_of(lambda: admit(request)) == "AUTH_005"


# --- Remembered tokens ---------------------------------------------------------------------------


def test_a_remembered_token_ends_with_its_time(secret: NewSecret) -> None:
    request = bearer(tenant_token("tenant-a", secret.value, exp=int(time.time()) + 60))
    admit(request)

    with time_machine.travel(utc_now() + timedelta(seconds=89), tick=False):
        assert admit(request)
    with time_machine.travel(utc_now() + timedelta(seconds=91), tick=False):
        assert code_of(lambda: admit(request)) == "AUTH_003"


def test_a_remembered_token_ends_with_its_secret(secret: NewSecret) -> None:
    request = bearer(tenant_token("tenant-a", secret.value))
    caller = admit(request)

    credentials.revoke_credential(secret.credential_id, actor=ACTOR, now=utc_now())

    assert code_of(lambda: admit(request)) == "AUTH_001"
    with pytest.raises(AccessDeniedError):
        authentication.still_valid(caller, now=utc_now())


def test_a_remembered_token_follows_a_change_of_scopes(secret: NewSecret) -> None:
    request = bearer(tenant_token("tenant-a", secret.value))
    assert admit(request).scopes is None

    credentials.update_credential(
        secret.credential_id, {"scopes": ["events:write"]}, actor=ACTOR, now=utc_now()
    )

    assert admit(request).scopes == frozenset({"events:write"})
    assert code_of(lambda: admit(request, "query")) == "AUTH_005"


def test_a_remembered_request_touches_neither_database_nor_redis(
    secret: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = bearer(tenant_token("tenant-a", secret.value))
    admit(request)
    monkeypatch.setattr("tenants.services.failures.get_redis", None)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        admit(request)
        admit(signed("tenant-a", secret.value))

    assert len(queries) == 0


def test_a_first_request_needs_two_queries(secret: NewSecret) -> None:
    request = bearer(tenant_token("tenant-a", secret.value))

    with CaptureQueriesContext(connection) as queries:
        admit(request)

    assert len(queries) == 2, "the snapshot, and that the credential was used"


# --- Rotation ------------------------------------------------------------------------------------


def test_both_secrets_work_while_a_rotation_overlaps(secret: NewSecret) -> None:
    fresh = credentials.rotate_credential(secret.credential_id, actor=ACTOR, now=utc_now())

    for value in (secret.value, fresh.value):
        assert admit(bearer(tenant_token("tenant-a", value, exp=int(time.time()) + 10**6)))
        assert admit(signed("tenant-a", value))
    with time_machine.travel(utc_now() + timedelta(hours=24, seconds=1), tick=False):
        old = bearer(tenant_token("tenant-a", secret.value))
        assert code_of(lambda: admit(old)) == "AUTH_001"
        assert admit(bearer(tenant_token("tenant-a", fresh.value)))


def test_a_second_rotation_ends_the_oldest_secret(secret: NewSecret) -> None:
    second = credentials.rotate_credential(secret.credential_id, actor=ACTOR, now=utc_now())
    third = credentials.rotate_credential(secret.credential_id, actor=ACTOR, now=utc_now())

    assert code_of(lambda: admit(signed("tenant-a", secret.value))) == "AUTH_001"
    assert admit(signed("tenant-a", second.value))
    assert admit(signed("tenant-a", third.value))


@pytest.mark.django_db(transaction=True)
def test_no_request_is_refused_while_its_secret_is_rotated(tenant_a: Tenant) -> None:
    made = cast.new_secret(tenant_a)
    stop, refused, served = threading.Event(), [], []

    def keep_asking() -> None:
        try:
            while not stop.is_set():
                snapshots.forget_now()
                try:
                    served.append(admit(signed("tenant-a", made.value)))
                except DomainError as exc:
                    refused.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    fresh = credentials.rotate_credential(made.credential_id, actor=ACTOR, now=utc_now())
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        assert admit(signed("tenant-a", fresh.value))
    stop.set()
    for thread in threads:
        thread.join()

    assert served
    assert refused == []


@pytest.mark.django_db(transaction=True)
def test_of_two_rotations_at_once_the_second_follows_the_first(tenant_a: Tenant) -> None:
    made = cast.new_secret(tenant_a)
    barrier, values = threading.Barrier(2), []

    def rotate() -> None:
        try:
            barrier.wait()
            fresh = credentials.rotate_credential(made.credential_id, actor=ACTOR, now=utc_now())
            values.append(fresh.value)
        finally:
            connection.close()

    threads = [threading.Thread(target=rotate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(values)) == 2
    secrets = CredentialSecret.objects.filter(credential_id=made.credential_id)
    assert secrets.filter(revoked_at__isnull=True).count() == 2
    assert secrets.filter(revoked_at__isnull=True, expires_at__isnull=True).count() == 1


# --- The admin gateway ---------------------------------------------------------------------------


def test_an_api_key_opens_the_admin_gateway_in_either_header(key: NewSecret) -> None:
    caller = admit_admin(with_key(key.value))

    assert (caller.kind, caller.tenant_id, caller.tenant_ids) == (
        "api_key",
        None,
        frozenset({"tenant-a"}),
    )
    assert caller.scopes == frozenset({"leaderboards:read"})
    assert caller.credential_id == key.credential_id
    assert admit_admin(bearer(key.value)) == caller


def test_an_admin_token_is_signed_with_the_value_of_the_key(key: NewSecret) -> None:
    caller = admit_admin(bearer(admin_token(key.credential_id, key.value)))

    assert (caller.kind, caller.user_id) == ("admin_jwt", "admin_user")
    assert caller.tenant_ids == frozenset({"tenant-a"})
    assert caller.expires_at is not None


def test_an_admin_token_may_ask_for_less_than_its_key(tenant_a: Tenant) -> None:
    made = cast.new_key(tenant_a)
    token = admin_token(made.credential_id, made.value, scope="events:read nonsense")

    assert admit_admin(bearer(token)).scopes == frozenset({"events:read", "nonsense"})


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AUTH_002"),
        ({"x-api-key": "pk_wrong"}, "AUTH_003"),
        ({"x-api-key": ""}, "AUTH_003"),
        ({"x-api-key": "pk_sandbox_\x00"}, "AUTH_003"),
        ({"x-api-key": "pk_" + "a" * 5000}, "AUTH_003"),
        ({"authorization": "Bearer pk_wrong"}, "AUTH_003"),
        ({"authorization": "Bearer abc"}, "AUTH_003"),
        ({"authorization": "Token abc"}, "AUTH_002"),
        ({"x-tenant-id": "tenant-a", "x-timestamp": "1", "x-signature": "z"}, "AUTH_003"),
    ],
)
def test_each_fault_on_the_admin_gateway_has_its_code(
    key: NewSecret, headers: dict[str, str], code: str
) -> None:
    assert code_of(lambda: admit_admin(facts(headers))) == code


def test_faults_of_admin_tokens_have_their_codes(key: NewSecret) -> None:
    def code(token: str) -> str:
        return code_of(lambda: admit_admin(bearer(token)))

    assert code(admin_token(key.credential_id, "pk_other")) == "AUTH_001"
    assert code(admin_token(key.credential_id, key.value, exp=1)) == "AUTH_003"
    assert code(admin_token("not-a-uuid", key.value)) == "AUTH_003"
    assert code(admin_token("00000000-0000-7000-8000-00000000dead", key.value)) == "AUTH_003"
    assert code(admin_token(key.credential_id, key.value, sub_type="tenant")) == "AUTH_003"


def test_a_key_whose_digits_differ_after_the_prefix_is_refused(key: NewSecret) -> None:
    almost = key.value[:-1] + ("0" if key.value[-1] != "0" else "1")

    assert code_of(lambda: admit_admin(with_key(almost))) == "AUTH_003"


def test_a_revoked_or_ended_key_is_refused_with_its_tokens(tenant_a: Tenant) -> None:
    made = cast.new_key(tenant_a, expires_at=utc_now() + timedelta(minutes=5))
    token = bearer(admin_token(made.credential_id, made.value))
    caller = admit_admin(with_key(made.value))

    with time_machine.travel(utc_now() + timedelta(minutes=6), tick=False):
        assert code_of(lambda: admit_admin(with_key(made.value))) == "AUTH_003"
        assert code_of(lambda: admit_admin(token)) == "AUTH_003"
    credentials.revoke_credential(made.credential_id, actor=ACTOR, now=utc_now())
    assert code_of(lambda: admit_admin(with_key(made.value))) == "AUTH_003"
    assert code_of(lambda: admit_admin(token)) == "AUTH_003"
    with pytest.raises(AccessDeniedError):
        authentication.still_valid(caller, now=utc_now())


def test_a_key_from_a_foreign_address_is_403(tenant_a: Tenant) -> None:
    made = cast.new_key(tenant_a, allowed_cidrs=["203.0.113.0/24"])

    assert code_of(lambda: admit_admin(with_key(made.value))) == "AUTH_005"
    assert admit_admin(with_key(made.value, address="203.0.113.9"))


def test_a_key_reaches_its_tenants_and_scopes_only(tenant_b: Tenant, key: NewSecret) -> None:
    caller = admit_admin(with_key(key.value))

    authentication.require_tenant(caller, "tenant-a")
    authentication.require_scope(caller, "leaderboards:read")
    with pytest.raises(AccessDeniedError):
        authentication.require_tenant(caller, "tenant-b")
    with pytest.raises(AccessDeniedError):
        authentication.require_tenant(caller, "nobody")
    with pytest.raises(AccessDeniedError):
        authentication.require_scope(caller, "leaderboards:write")
    tenants.suspend_tenant("tenant-a", actor=ACTOR, now=utc_now())
    with pytest.raises(AccessDeniedError):
        authentication.require_tenant(caller, "tenant-a")


# --- Health takes anything -----------------------------------------------------------------------


def test_any_credential_is_recognized_where_all_are_taken(
    secret: NewSecret, key: NewSecret
) -> None:
    def kind(request: RequestFacts) -> str | None:
        caller = authentication.authenticate_any(request, now=utc_now())
        return caller.kind if caller else None

    assert kind(facts(method="GET", path="/health")) is None
    assert kind(bearer(tenant_token("tenant-a", secret.value, scope="other"))) == "tenant_jwt"
    assert kind(signed("tenant-a", secret.value, method="HEAD", path="/health")) == "tenant_hmac"
    assert kind(with_key(key.value)) == "api_key"
    assert kind(bearer(key.value)) == "api_key"
    assert kind(bearer(admin_token(key.credential_id, key.value))) == "admin_jwt"
    assert code_of(lambda: kind(with_key("pk_wrong"))) == "AUTH_003"
    assert code_of(lambda: kind(bearer("abc"))) == "AUTH_003"
    assert code_of(lambda: kind(facts({"authorization": "abc"}))) == "AUTH_002"
    assert code_of(lambda: kind(signed("tenant-a", "wrong"))) == "AUTH_001"


def test_tenant_tokens_can_be_left_out(secret: NewSecret) -> None:
    request = bearer(tenant_token("tenant-a", secret.value))

    with pytest.raises(CredentialRefusedError):
        authentication.authenticate_any(request, now=utc_now(), accepts_tenant_tokens=False)


# --- Sandbox credentials (01/ING-61) -------------------------------------------------------------


@pytest.fixture
def sandbox_tenant(db: None) -> Tenant:
    return sandbox.repair_sandbox_tenant(
        "test-tenant",
        name="Sandbox",
        tenant_secret=SANDBOX_TENANT_SECRET,
        api_key_id="00000000-0000-7000-8000-000000000001",
        api_key=SANDBOX_API_KEY,
        now=utc_now(),
    )


def test_sandbox_credentials_work_in_a_sandbox_and_never_in_production(
    sandbox_tenant: Tenant, settings: Settings
) -> None:
    token = bearer(tenant_token("test-tenant", SANDBOX_TENANT_SECRET))
    wrong = bearer(tenant_token("test-tenant", "wrong"))
    admin = bearer(admin_token("00000000-0000-7000-8000-000000000001", SANDBOX_API_KEY))
    assert admit(token)
    assert admit(signed("test-tenant", SANDBOX_TENANT_SECRET))
    assert admit_admin(with_key(SANDBOX_API_KEY)).scopes is None
    assert admit_admin(admin)

    settings.PHOENIX_ENV = "prod"
    snapshots.forget_now()

    assert code_of(lambda: admit(token)) == "AUTH_003"
    assert code_of(lambda: admit(signed("test-tenant", SANDBOX_TENANT_SECRET))) == "AUTH_003"
    assert code_of(lambda: admit(wrong)) == "AUTH_001"
    assert code_of(lambda: admit_admin(with_key(SANDBOX_API_KEY))) == "AUTH_003"
    assert code_of(lambda: admit_admin(admin)) == "AUTH_003"


def test_the_sandbox_can_be_repaired_again_and_again(sandbox_tenant: Tenant) -> None:
    key_id = "00000000-0000-7000-8000-000000000001"
    credentials.rotate_credential(key_id, actor=ACTOR, now=utc_now())
    credentials.revoke_credential(key_id, actor=ACTOR, now=utc_now())
    tenants.suspend_tenant("test-tenant", actor=ACTOR, now=utc_now())

    for _ in range(2):
        sandbox.repair_sandbox_tenant(
            "test-tenant",
            name="Sandbox",
            tenant_secret=SANDBOX_TENANT_SECRET,
            api_key_id=key_id,
            api_key=SANDBOX_API_KEY,
            now=utc_now(),
        )

    assert admit_admin(with_key(SANDBOX_API_KEY))
    assert admit(signed("test-tenant", SANDBOX_TENANT_SECRET))
    assert Credential.objects.count() == 2


# --- Failures (00 section 4) ---------------------------------------------------------------------


@pytest.fixture
def few_failures(settings: Settings) -> None:
    settings.PHOENIX_AUTH_FAILURES_PER_MINUTE = 3


def test_failures_above_the_limit_are_429_and_correct_requests_pass(
    few_failures: None, secret: NewSecret
) -> None:
    bad = signed("tenant-a", "wrong")
    for _ in range(3):
        assert code_of(lambda: admit(bad)) == "AUTH_001"

    with pytest.raises(RateLimitedError) as caught:
        admit(bad)

    assert 1 <= caught.value.retry_after <= 60
    assert admit(signed("tenant-a", secret.value)), "the same tenant from the same address"
    elsewhere = signed("tenant-a", "wrong", address="203.0.113.1")
    assert code_of(lambda: admit(elsewhere)) == "AUTH_001"
    assert code_of(lambda: admit(signed("tenant-b", "wrong"))) == "AUTH_003"


def test_an_address_that_tries_many_credentials_is_limited_too(
    few_failures: None, tenant_a: Tenant
) -> None:
    for request in [with_key(f"pk_{number:08}") for number in range(30)]:
        assert code_of(partial(admit_admin, request)) == "AUTH_003"

    assert code_of(lambda: admit_admin(with_key("pk_another"))) == "RATE_001"


def test_a_missing_credential_or_a_wrong_clock_is_not_counted(
    few_failures: None, secret: NewSecret
) -> None:
    for _ in range(10):
        assert code_of(lambda: admit(facts())) == "AUTH_002"
        assert code_of(lambda: admit(signed("tenant-a", secret.value, at=1))) == "AUTH_004"

    assert get_redis().keys("*failures*") == []


def test_without_redis_failures_are_refused_uncounted(
    secret: NewSecret, settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert code_of(lambda: admit(signed("tenant-a", "wrong"))) == "AUTH_001"
    assert admit(signed("tenant-a", secret.value))


def test_without_a_database_nobody_comes_in(
    secret: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def fail(_tenant_id: str) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(snapshots.tenants, "_load", fail)

    with pytest.raises(UnavailableError):
        admit(signed("tenant-a", secret.value))


# --- Open connections and last use ---------------------------------------------------------------


def test_an_open_connection_ends_with_its_token_and_leeway(secret: NewSecret) -> None:
    caller = admit(bearer(tenant_token("tenant-a", secret.value)))

    authentication.still_valid(caller, now=utc_now() + timedelta(seconds=3625))
    with pytest.raises(CredentialRefusedError):
        authentication.still_valid(caller, now=utc_now() + timedelta(seconds=3635))


def test_the_last_use_of_a_credential_is_noted(secret: NewSecret) -> None:
    admit(signed("tenant-a", secret.value))

    used_at = cast.credential(secret).last_used_at
    assert used_at is not None
    assert abs((utc_now() - used_at).total_seconds()) < 5


@pytest.mark.django_db(transaction=True)
def test_a_use_that_cannot_be_noted_harms_nobody(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cast.new_secret(tenant_a)
    monkeypatch.setattr(usage, "NOTE_USE", "UPDATE nonsense SET a = %s, b = %s, c = %s")

    assert admit(signed("tenant-a", made.value))


def test_what_the_process_remembers_is_bounded(
    secret: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "MAX_VERIFIED_TOKENS", 3)
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOTS", 3)
    monkeypatch.setattr(usage, "MAX_SNAPSHOTS", 3)

    for number in range(10):
        admit(bearer(tenant_token("tenant-a", secret.value, sub=f"player-{number}")))
        code_of(partial(admit, bearer(tenant_token(f"nobody-{number}", "x"))))
        usage.note_use(f"00000000-0000-7000-8000-{number:012}", utc_now())

    assert len(authentication._verified) == 3
    assert len(snapshots.tenants._entries) == 3
    assert len(usage._noted) <= 3


def test_a_token_whose_tenant_is_gone_is_refused(
    secret: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = bearer(tenant_token("tenant-a", secret.value))
    admit(request)
    monkeypatch.setattr(snapshots.tenants, "get", lambda _key: None)

    assert code_of(lambda: admit(request)) == "AUTH_003"


def test_a_snapshot_is_read_again_after_two_seconds(
    secret: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(signed("tenant-a", secret.value))
    Tenant.objects.filter(pk="tenant-a").update(suspended_at=utc_now())
    assert admit(signed("tenant-a", secret.value)), "another process changed it just now"
    later = time.monotonic() + 2.1

    monkeypatch.setattr("tenants.services.snapshots.time.monotonic", lambda: later)

    assert code_of(lambda: admit(signed("tenant-a", secret.value))) == "AUTH_005"
