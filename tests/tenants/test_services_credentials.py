from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction
from pytest_django.fixtures import Settings

from phoenix_site.common.exceptions import (
    ConflictError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
)
from tenants.exceptions import CredentialRefusedError
from tenants.models import AuditEntry, Credential, CredentialSecret, SigningKey, Tenant
from tenants.services import authentication, credentials, sandbox, signing_keys
from tests.tenants import cast
from tests.tenants.cast import ACTOR, utc_now, with_key

pytestmark = pytest.mark.django_db


def test_generated_values_have_256_secret_bits_and_a_public_beginning(tenant_a: Tenant) -> None:
    key, secret = cast.new_key(tenant_a), cast.new_secret(tenant_a)

    for made, start in ((key, "pk_sandbox_"), (secret, "sk_sandbox_")):
        stored = CredentialSecret.objects.get(pk=made.secret_id)
        assert made.value.startswith(start)
        assert stored.prefix == made.value[: len(start) + 8]
        assert len(made.value) - len(stored.prefix) == 64
        assert made.value not in repr(made)
    assert CredentialSecret.objects.get(pk=secret.secret_id).digest is None


@pytest.mark.parametrize(
    "fault",
    [
        {"label": "  "},
        {"scopes": ["nonsense"]},
        {"scopes": ["events:write"]},
        {"allowed_cidrs": ["300.1.1.1"]},
        {"expires_at": "past"},
    ],
)
def test_a_faulty_key_is_refused_with_the_field(tenant_a: Tenant, fault: dict[str, Any]) -> None:
    if "expires_at" in fault:
        fault = {"expires_at": utc_now() - timedelta(seconds=1)}
    chosen = {"label": "L", "tenant_ids": ["tenant-a"], "scopes": []} | fault

    with pytest.raises(InvalidInputError) as caught:
        credentials.create_api_key(**chosen, actor=ACTOR, now=utc_now())

    assert [detail.field for detail in caught.value.details] == list(fault)
    assert not Credential.objects.exists()


def test_unknown_tenants_and_credentials_are_not_found(tenant_a: Tenant) -> None:
    unknown = "00000000-0000-7000-8000-00000000dead"
    calls: list[Any] = [
        lambda: credentials.create_tenant_secret("nobody", label="x", actor=ACTOR, now=utc_now()),
        lambda: credentials.create_api_key(
            label="x", tenant_ids=["nobody"], scopes=[], actor=ACTOR, now=utc_now()
        ),
        lambda: credentials.rotate_credential(unknown, actor=ACTOR, now=utc_now()),
        lambda: credentials.revoke_credential(unknown, actor=ACTOR, now=utc_now()),
        lambda: credentials.update_credential(unknown, {}, actor=ACTOR, now=utc_now()),
    ]

    for call in calls:
        with pytest.raises(NotFoundError):
            call()


def test_a_revoked_credential_is_not_rotated_and_revoking_repeats(tenant_a: Tenant) -> None:
    made = cast.new_key(tenant_a)

    for _ in range(2):
        credentials.revoke_credential(made.credential_id, actor=ACTOR, now=utc_now(), reason="x")

    assert AuditEntry.objects.filter(action="credential.revoked").count() == 1
    with pytest.raises(ConflictError):
        credentials.rotate_credential(made.credential_id, actor=ACTOR, now=utc_now())


def test_a_rotation_without_overlap_ends_the_old_secret_at_once(tenant_a: Tenant) -> None:
    made = cast.new_key(tenant_a)

    fresh = credentials.rotate_credential(
        made.credential_id, actor=ACTOR, now=utc_now(), overlap=timedelta(0)
    )

    assert authentication.authenticate_admin(with_key(fresh.value), now=utc_now())
    with pytest.raises(CredentialRefusedError):
        authentication.authenticate_admin(with_key(made.value), now=utc_now())


def test_only_what_may_change_is_changed(tenant_a: Tenant) -> None:
    made = cast.new_secret(tenant_a)

    for chosen in ({"kind": "api_key"}, {"tenant_ids": ["tenant-a"]}, {"revoked_at": None}):
        with pytest.raises(InvalidInputError):
            credentials.update_credential(made.credential_id, chosen, actor=ACTOR, now=utc_now())
    credentials.update_credential(made.credential_id, {}, actor=ACTOR, now=utc_now())
    assert not AuditEntry.objects.filter(action="credential.changed").exists()


def test_the_database_keeps_the_promises(tenant_a: Tenant) -> None:
    made = cast.new_key(tenant_a)
    secret = CredentialSecret.objects.get(pk=made.secret_id)
    broken: list[Any] = [
        lambda: Credential.objects.create(kind="tenant_hmac", label="no tenant"),
        lambda: CredentialSecret.objects.create(
            credential_id=made.credential_id, prefix="x", digest=b"1" * 32, ciphertext="x"
        ),
        lambda: CredentialSecret.objects.create(
            credential_id=made.credential_id,
            prefix="x",
            digest=bytes(secret.digest or b""),
            ciphertext="x",
            revoked_at=utc_now(),
        ),
    ]

    for call in broken:
        with pytest.raises(IntegrityError), transaction.atomic():
            call()


def test_secrets_are_encrypted_anew_under_the_first_key(
    tenant_a: Tenant, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    made = cast.new_key(tenant_a)
    signing_keys.ensure_signing_key("staff", now=utc_now())
    before = CredentialSecret.objects.get().ciphertext
    new = Fernet.generate_key().decode()
    settings.PHOENIX_SECRET_KEYS = [new, *settings.PHOENIX_SECRET_KEYS]

    call_command("reencrypt_secrets")

    assert "2 secrets" in capsys.readouterr().out
    assert CredentialSecret.objects.get().ciphertext != before
    settings.PHOENIX_SECRET_KEYS = [new]
    assert authentication.authenticate_admin(with_key(made.value), now=utc_now())


def test_the_public_part_of_a_signing_key_is_shown_by_command(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("show_signing_key", "outbound")

    shown = capsys.readouterr().out
    key = SigningKey.objects.get(purpose="outbound")
    assert key.kid in shown
    assert "BEGIN PUBLIC KEY" in shown
    assert "PRIVATE" not in shown


def test_a_signing_key_is_rotated_or_withdrawn_by_command(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    signing_keys.ensure_signing_key("staff", now=utc_now())

    call_command("rotate_signing_key", "staff")
    call_command("rotate_signing_key", "staff", "--withdraw")

    ends = SigningKey.objects.filter(retired_at__isnull=False).order_by("created_at")
    overlaps = [
        key.expires_at - key.retired_at for key in ends if key.expires_at and key.retired_at
    ]
    assert overlaps == [timedelta(days=8), timedelta(0)]
    assert SigningKey.objects.filter(retired_at__isnull=True).count() == 1


def test_a_second_factor_is_added_by_command(ops: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("add_second_factor", "ops")

    assert capsys.readouterr().out.startswith("otpauth://totp/Phoenix")
    with pytest.raises(CommandError):
        call_command("add_second_factor", "nobody")


def test_there_is_no_sandbox_in_production(db: None, settings: Settings) -> None:
    settings.PHOENIX_ENV = "prod"

    with pytest.raises(NotAllowedError):
        sandbox.repair_sandbox_tenant(
            "test-tenant", name="S", tenant_secret="s", api_key_id="x", api_key="k", now=utc_now()
        )
