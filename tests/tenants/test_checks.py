import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django.fixtures import Settings

from tenants import checks
from tenants.constants import SANDBOX_API_KEY, SANDBOX_TENANT_SECRET
from tenants.models import Tenant
from tenants.services import credentials, sandbox
from tests.tenants.cast import ACTOR, utc_now


def ids(found: "checks.Messages") -> list[str | None]:
    return [message.id for message in found]


@pytest.fixture
def production(settings: Settings) -> Settings:
    settings.PHOENIX_ENV = "prod"
    settings.SECRET_KEY = "x" * 50
    settings.PHOENIX_SECRET_KEYS = [Fernet.generate_key().decode()]
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = ["phoenix.example"]
    return settings


def every_message() -> list[CheckMessage]:
    return [
        *checks.check_secret_key(None),
        *checks.check_encryption_keys(None),
        *checks.check_debug(None),
        *checks.check_allowed_hosts(None),
    ]


def test_a_sandbox_and_a_careful_production_pass(settings: Settings, production: Settings) -> None:
    assert every_message() == []
    settings.PHOENIX_ENV = "sandbox"
    settings.SECRET_KEY = settings.DEVELOPMENT_SECRET_KEY
    settings.PHOENIX_SECRET_KEYS = [settings.DEVELOPMENT_FERNET_KEY]
    settings.DEBUG, settings.ALLOWED_HOSTS = True, ["*"]
    assert every_message() == []


def test_each_careless_setting_has_its_error(production: Settings) -> None:
    production.SECRET_KEY = production.DEVELOPMENT_SECRET_KEY
    production.PHOENIX_SECRET_KEYS.append(production.DEVELOPMENT_FERNET_KEY)
    production.DEBUG = True
    production.ALLOWED_HOSTS = ["*"]

    found = every_message()

    expected = ["tenants.E002", "tenants.E004", "tenants.E005", "tenants.E006"]
    assert ids(found) == expected
    for message, name in zip(
        found, ["SECRET_KEY", "PHOENIX_SECRET_KEYS", "DEBUG", "ALLOWED_HOSTS"], strict=True
    ):
        assert name in message.msg
        assert message.hint


@pytest.mark.parametrize("keys", [[], ["nonsense"]])
def test_keys_that_cannot_encrypt_are_an_error_everywhere(
    settings: Settings, keys: list[str]
) -> None:
    settings.PHOENIX_SECRET_KEYS = keys

    assert ids(checks.check_encryption_keys(None)) == ["tenants.E003"]


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


def test_published_credentials_in_production_fail_the_deploy_check(
    sandbox_tenant: Tenant, settings: Settings
) -> None:
    assert ids(checks.check_sandbox_credentials(None)) == []
    settings.PHOENIX_ENV = "prod"

    assert ids(checks.check_sandbox_credentials(None)) == ["tenants.E001", "tenants.E001"]
    with pytest.raises(SystemCheckError):
        call_command("check", "--deploy", "--tag", "security", "--fail-level", "ERROR")

    for credential in sandbox_tenant.credentials.all():
        credentials.revoke_credential(credential.pk, actor=ACTOR, now=utc_now())
    assert ids(checks.check_sandbox_credentials(None)) == []


def test_without_tables_the_look_is_put_off(
    production: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import ProgrammingError

    def fail() -> list[str]:
        raise ProgrammingError("no such table")

    monkeypatch.setattr(checks, "_published_secrets", fail)

    assert ids(checks.check_sandbox_credentials(None)) == ["tenants.W001"]
