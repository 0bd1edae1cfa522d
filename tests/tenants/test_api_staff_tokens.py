"""Staff tokens: sign in, refresh, revoke; lockout and second factor as on the login page."""

import threading
import time
from datetime import timedelta
from typing import Any

import jwt
import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django.fixtures import Settings
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from tenants import tasks, tokens
from tenants.exceptions import AccessDeniedError, CredentialRefusedError
from tenants.models import AuditEntry, Membership, SigningKey, Tenant
from tenants.services import authentication, signing_keys, snapshots, staff, upkeep
from tenants.types import StaffTokens
from tests.tenants.cast import bearer, utc_now

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.tenants.urls")]

PASSWORD = "ops-pass-1"


def sign_in(client: Client, username: str = "ops", password: str = PASSWORD, **more: Any) -> Any:
    body = {"username": username, "password": password} | more
    return client.post("/v1/staff/token", body, content_type="application/json")


def refresh(client: Client, token: str) -> Any:
    body = {"refresh": token}
    return client.post("/v1/staff/token/refresh", body, content_type="application/json")


def revoke(client: Client, token: str) -> Any:
    body = {"refresh": token}
    return client.post("/v1/staff/token/revoke", body, content_type="application/json")


def probe(client: Client, token: str, tenant: str = "tenant-a") -> Any:
    path = f"/v1/tenants/{tenant}/probe"
    return client.get(path, headers={"authorization": f"Bearer {token}"})


@pytest.fixture
def reader(ops: Any) -> Any:
    """Return Ops with the right to see credentials and leaderboards."""
    ops.user_permissions.add(*Permission.objects.filter(codename="view_leaderboard"))
    return ops


def code_of(user: Any) -> str:
    device = TOTPDevice.objects.get(user=user)
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    totp.time = time.time()
    return f"{totp.token():06}"


def test_a_staff_member_signs_in_and_uses_the_admin_gateway(
    client: Client, reader: Any, tenant_b: Tenant
) -> None:
    answer = sign_in(client)

    body = answer.json()
    assert (answer.status_code, body["expires_in"]) == (200, 900)
    assert set(body) == {"access", "refresh", "expires_in"}
    assert probe(client, body["access"]).json() == {
        "kind": "staff",
        "user": "ops",
        "tenant": "tenant-a",
    }
    assert probe(client, body["access"], "tenant-b").status_code == 403
    assert probe(client, body["refresh"]).status_code == 401
    header = jwt.get_unverified_header(body["access"])
    assert (header["alg"], header["kid"]) == ("EdDSA", SigningKey.objects.get().kid)
    assert "sessionid" not in answer.cookies


def test_scopes_follow_permissions_and_superusers_have_all(client: Client, ops: Any) -> None:
    access = sign_in(client).json()["access"]
    assert probe(client, access).status_code == 403, "no permission, no scope"

    ops.is_superuser = True
    ops.save()
    snapshots.forget_now()

    caller = authentication.authenticate_admin(bearer(access), now=utc_now())
    assert (caller.scopes, caller.tenant_ids) == (None, None)
    assert probe(client, access, "nobody").status_code == 404


@pytest.mark.parametrize(
    ("username", "password"), [("ops", "wrong"), ("nobody", PASSWORD), ("", ""), ("ops", "")]
)
def test_a_wrong_name_or_password_is_refused(
    client: Client, ops: Any, username: str, password: str
) -> None:
    answer = sign_in(client, username, password)

    expected = (401, "AUTH_003") if username and password else (400, "VAL_001")
    assert (answer.status_code, answer.json()["code"]) == expected


def test_people_who_are_no_staff_get_the_same_answer(client: Client, ops: Any) -> None:
    ops.is_staff = False
    ops.save()

    good, bad = sign_in(client), sign_in(client, "ops", "wrong")

    assert (good.status_code, bad.status_code) == (401, 401)
    assert good.json()["error"] == bad.json()["error"]


def test_too_many_failures_lock_the_name_out_for_this_address_only(
    client: Client, ops: Any, settings: Settings
) -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert sign_in(client, "ops", "wrong").status_code == 401

    answers = [sign_in(client, "ops", "wrong"), sign_in(client)]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (429, "RATE_001")
        assert int(answer.headers["Retry-After"]) == 900
    elsewhere = Client(REMOTE_ADDR="203.0.113.9")
    assert sign_in(elsewhere).status_code == 200
    with time_machine.travel(utc_now() + timedelta(minutes=16), tick=False):
        assert sign_in(client).status_code == 200


def test_a_success_ends_the_count_of_failures(client: Client, ops: Any, settings: Settings) -> None:
    for _ in range(3):
        for _ in range(settings.AXES_FAILURE_LIMIT - 1):
            sign_in(client, "ops", "wrong")
        assert sign_in(client).status_code == 200


def test_a_second_factor_is_asked_for_and_taken_once(client: Client, ops: Any) -> None:
    TOTPDevice.objects.create(user=ops, name="phone", confirmed=True)
    code = code_of(ops)

    missing = sign_in(client)
    wrong = sign_in(client, otp=f"{(int(code) + 1) % 1_000_000:06}")
    assert (missing.status_code, wrong.status_code) == (401, 401)
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)

    assert sign_in(client, otp=code).status_code == 200
    assert sign_in(client, otp=code).status_code == 401, "the same code again"


def test_guessing_codes_locks_out_too(client: Client, ops: Any, settings: Settings) -> None:
    TOTPDevice.objects.create(user=ops, name="phone", confirmed=True)

    answers = [sign_in(client, otp="000000") for _ in range(settings.AXES_FAILURE_LIMIT)]

    assert answers[-1].status_code == 429


def test_superusers_need_a_second_factor_in_production(
    client: Client, ops: Any, settings: Settings
) -> None:
    settings.PHOENIX_ENV = "prod"
    assert sign_in(client).status_code == 200
    ops.is_superuser = True
    ops.save()

    assert sign_in(client).status_code == 401
    TOTPDevice.objects.create(user=ops, name="phone", confirmed=True)
    assert sign_in(client, otp=code_of(ops)).status_code == 200


def test_sign_ins_are_audited_without_secrets(client: Client, ops: Any) -> None:
    sign_in(client)
    sign_in(client, "ops", "wrong-guess")
    sign_in(client, "nobody", "wrong-guess")

    entries = list(AuditEntry.objects.order_by("at").values_list("action", "actor_label"))

    assert entries == [("staff.signed_in", "ops"), ("staff.sign_in_refused", "ops")]
    entry = AuditEntry.objects.filter(action="staff.signed_in").get()
    assert (entry.actor_id, entry.address) == (f"staff:{ops.pk}", "127.0.0.1")


# --- Refreshing ----------------------------------------------------------------------------------


def test_a_refresh_token_works_once_and_its_reuse_ends_the_family(
    client: Client, reader: Any
) -> None:
    first = sign_in(client).json()
    second = refresh(client, first["refresh"]).json()
    assert probe(client, second["access"]).status_code == 200

    reused = refresh(client, first["refresh"])

    assert (reused.status_code, reused.json()["code"]) == (401, "AUTH_003")
    assert refresh(client, second["refresh"]).status_code == 401
    for token in (first["access"], second["access"]):
        assert probe(client, token).status_code == 401
    assert AuditEntry.objects.filter(action="staff.tokens_revoked", reason="reuse").exists()


def test_other_sign_ins_go_on_when_a_family_ends(client: Client, reader: Any) -> None:
    first, other = sign_in(client).json(), sign_in(client).json()

    assert revoke(client, first["refresh"]).status_code == 204

    assert refresh(client, first["refresh"]).status_code == 401
    assert probe(client, first["access"]).status_code == 401
    assert probe(client, other["access"]).status_code == 200
    assert refresh(client, other["refresh"]).status_code == 200


def test_revoking_nonsense_is_answered_alike(client: Client, ops: Any) -> None:
    body = sign_in(client).json()

    assert revoke(client, "nonsense").status_code == 204
    assert revoke(client, body["access"]).status_code == 204
    assert refresh(client, body["refresh"]).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_refreshes_at_once_one_counts_as_reuse(ops: Any) -> None:
    first = staff.issue_tokens(ops, now=utc_now())
    barrier = threading.Barrier(2)
    outcomes: list[StaffTokens | None] = []

    def ask() -> None:
        try:
            barrier.wait()
            outcomes.append(staff.refresh_tokens(first.refresh, now=utc_now()))
        except CredentialRefusedError:
            outcomes.append(None)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (won,) = [outcome for outcome in outcomes if outcome is not None]
    with pytest.raises(CredentialRefusedError):
        staff.refresh_tokens(won.refresh, now=utc_now())


def test_tokens_end_with_the_password_the_account_and_the_time(client: Client, reader: Any) -> None:
    body = sign_in(client).json()
    caller = authentication.authenticate_admin(bearer(body["access"]), now=utc_now())
    authentication.still_valid(caller, now=utc_now())
    with time_machine.travel(utc_now() + timedelta(seconds=901), tick=False):
        assert probe(client, body["access"]).status_code == 401
        with pytest.raises(CredentialRefusedError):
            authentication.still_valid(caller, now=utc_now())
    with time_machine.travel(utc_now() + timedelta(days=8), tick=False):
        assert refresh(client, body["refresh"]).status_code == 401

    reader.is_active = False
    reader.save()
    snapshots.forget_now()

    assert probe(client, body["access"]).status_code == 401
    assert refresh(client, body["refresh"]).status_code == 401
    with pytest.raises(AccessDeniedError):
        authentication.still_valid(caller, now=utc_now())
    reader.is_active = True
    reader.set_password("another-pass-2")
    reader.save()
    snapshots.forget_now()
    assert probe(client, body["access"]).status_code == 401
    assert refresh(client, body["refresh"]).status_code == 401


def test_a_withdrawn_membership_closes_the_tenant(client: Client, reader: Any) -> None:
    access = sign_in(client).json()["access"]
    assert probe(client, access).status_code == 200

    Membership.objects.update(is_active=False)
    snapshots.forget_now()

    assert probe(client, access).status_code == 403


def test_a_family_that_is_newer_than_the_snapshot_is_found(client: Client, reader: Any) -> None:
    snapshots.staff.get(reader.pk)
    held = snapshots.staff._entries.copy()

    access = sign_in(client).json()["access"]
    snapshots.staff._entries.update(held)  # as another process would still have it

    assert probe(client, access).status_code == 200


def test_refresh_tokens_are_kept_as_hashes_and_purged(client: Client, ops: Any) -> None:
    body = sign_in(client).json()

    kept = OutstandingToken.objects.get()

    assert body["refresh"] not in (kept.token, kept.jti)
    assert len(kept.token) == 64
    upkeep.purge_leftovers(now=utc_now() + timedelta(days=8))
    assert not OutstandingToken.objects.exists()


# --- Keys and forgeries --------------------------------------------------------------------------


def test_keys_rotate_while_old_tokens_go_on(client: Client, reader: Any) -> None:
    old = sign_in(client).json()

    signing_keys.rotate_signing_key("staff", now=utc_now())
    tokens.forget_keys()
    new = sign_in(client).json()

    assert jwt.get_unverified_header(old["access"]) != jwt.get_unverified_header(new["access"])
    for body in (old, new):
        assert probe(client, body["access"]).status_code == 200
    assert refresh(client, old["refresh"]).status_code == 200


def test_a_withdrawn_key_ends_its_tokens(client: Client, reader: Any) -> None:
    body = sign_in(client).json()

    signing_keys.rotate_signing_key("staff", now=utc_now(), overlap=timedelta(0))
    tokens.forget_keys()

    assert probe(client, body["access"]).status_code == 401
    assert refresh(client, body["refresh"]).status_code == 401


def test_due_keys_are_rotated_and_ended_ones_deleted(db: None) -> None:
    signing_keys.ensure_signing_key("staff", now=utc_now() - timedelta(days=91))
    kid = SigningKey.objects.get().kid

    upkeep.purge_leftovers(now=utc_now())
    assert SigningKey.objects.get(kid=kid).expires_at is not None
    assert SigningKey.objects.count() == 2

    upkeep.purge_leftovers(now=utc_now() + timedelta(days=9))
    assert not SigningKey.objects.filter(kid=kid).exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_first_keys_at_once_one_is_kept(db: None) -> None:
    barrier, kids = threading.Barrier(2), []

    def make() -> None:
        try:
            barrier.wait()
            kids.append(signing_keys.ensure_signing_key("staff", now=utc_now()).kid)
        finally:
            connection.close()

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(kids) == 2
    assert set(kids) == set(SigningKey.objects.values_list("kid", flat=True))


def test_nothing_is_signed_or_read_without_a_key(db: None) -> None:
    token = tokens.PlayerAccessToken.for_player(tenant_id="tenant-a", user_id="ana")

    with pytest.raises(TokenBackendError):
        str(token)
    for value in ("x" * 9000, "a.b.c", jwt.encode({"a": 1}, "k" * 32, algorithm="HS256")):
        with pytest.raises(TokenBackendError):
            tokens.player_backend.decode(value)


def test_the_hourly_task_does_the_upkeep(db: None) -> None:
    signing_keys.ensure_signing_key("staff", now=utc_now() - timedelta(days=91))

    tasks.purge_leftovers()

    assert SigningKey.objects.count() == 2


def test_forged_tokens_are_refused(client: Client, reader: Any) -> None:
    access = sign_in(client).json()["access"]
    claims = jwt.decode(access, options={"verify_signature": False})
    kid = jwt.get_unverified_header(access)["kid"]
    public = SigningKey.objects.get().public_key
    signing_keys.ensure_signing_key("player", now=utc_now())
    player = tokens.PlayerAccessToken.for_player(tenant_id="tenant-a", user_id="ana")
    as_staff = tokens.PlayerAccessToken.for_player(tenant_id="tenant-a", user_id=str(reader.pk))
    as_staff.payload |= {k: v for k, v in claims.items() if k != "exp"}
    head, payload, signature = access.split(".")

    forgeries = [
        jwt.encode(claims, "", algorithm="none", headers={"kid": kid}),
        _hs256(claims, public, kid),
        f"{head}.{payload}.{signature[:-4]}AAAA",
        jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "unknown"}),
        str(player),
        str(as_staff),
        access[:-1] + "=",
    ]

    for forgery in forgeries:
        assert probe(client, forgery).status_code == 401, forgery


def test_a_player_token_names_player_and_tenant(db: None) -> None:
    signing_keys.ensure_signing_key("player", now=utc_now())

    value = str(tokens.PlayerAccessToken.for_player(tenant_id="tenant-a", user_id="ana"))

    claims = tokens.player_backend.decode(value)
    assert (claims["sub"], claims["tid"], claims["token_type"]) == (
        "ana",
        "tenant-a",
        "player_access",
    )


def _hs256(claims: dict[str, Any], key: str, kid: str) -> str:
    """Sign with the public key as if it were a secret: the classic confusion of algorithms."""
    import hashlib
    import hmac
    import json

    from jwt.utils import base64url_encode

    parts = [{"alg": "HS256", "typ": "JWT", "kid": kid}, claims]
    text = b".".join(base64url_encode(json.dumps(part).encode()) for part in parts)
    return b".".join(
        [text, base64url_encode(hmac.digest(key.encode(), text, hashlib.sha256))]
    ).decode()
