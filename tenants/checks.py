"""System checks: what must not be true of a production deployment (00 §4, 01/ING-61, 07/OPS-6)."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import DatabaseError, InterfaceError

from phoenix_site.common.crypto import decrypt_text
from phoenix_site.common.exceptions import UnavailableError
from tenants.constants import SANDBOX_API_KEY, SANDBOX_TENANT_SECRET
from tenants.models import CredentialSecret

_SHORTEST_SECRET_KEY = 32

Messages = Sequence[CheckMessage]


@register(Tags.security)
def check_secret_key(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Messages:
    if settings.PHOENIX_ENV != "prod":
        return []
    is_default = settings.SECRET_KEY == settings.DEVELOPMENT_SECRET_KEY
    if not is_default and len(settings.SECRET_KEY) >= _SHORTEST_SECRET_KEY:
        return []
    return [
        Error(
            "SECRET_KEY is the sandbox's own, or too short for production.",
            hint=f"Set SECRET_KEY to at least {_SHORTEST_SECRET_KEY} random characters.",
            id="tenants.E002",
        )
    ]


@register(Tags.security)
def check_encryption_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Messages:
    hint = (
        "Set PHOENIX_SECRET_KEYS to Fernet keys, the newest first: python -c 'from "
        "cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
    )
    keys = settings.PHOENIX_SECRET_KEYS
    if not keys or not all(_is_fernet_key(key) for key in keys):
        return [Error("PHOENIX_SECRET_KEYS is missing or malformed.", hint=hint, id="tenants.E003")]
    if settings.PHOENIX_ENV == "prod" and settings.DEVELOPMENT_FERNET_KEY in keys:
        return [Error("PHOENIX_SECRET_KEYS has the sandbox's key.", hint=hint, id="tenants.E004")]
    return []


@register(Tags.security)
def check_debug(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Messages:
    if settings.PHOENIX_ENV == "prod" and settings.DEBUG:
        return [Error("DEBUG is on in production.", hint="Unset DEBUG.", id="tenants.E005")]
    return []


@register(Tags.security)
def check_allowed_hosts(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Messages:
    hosts = settings.ALLOWED_HOSTS
    if settings.PHOENIX_ENV != "prod" or (hosts and "*" not in hosts):
        return []
    return [
        Error(
            "ALLOWED_HOSTS is empty or has * in production.",
            hint="Set ALLOWED_HOSTS to the names that this installation answers to.",
            id="tenants.E006",
        )
    ]


@register(Tags.security, deploy=True)
def check_sandbox_credentials(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Messages:
    """Look for the published credentials in a production database, where they never work."""
    if settings.PHOENIX_ENV != "prod":
        return []
    try:
        found = _published_secrets()
    except (DatabaseError, InterfaceError, UnavailableError) as exc:
        # Before the first migration there is nothing to find either.
        text = f"Published sandbox credentials could not be looked for: {type(exc).__name__}."
        return [Warning(text, hint="Run check --deploy again after migrate.", id="tenants.W001")]
    return [
        Error(
            f"The published sandbox {kind} is in this production database.",
            hint="Revoke it in the admin; nobody can use it here.",
            id="tenants.E001",
        )
        for kind in found
    ]


def _published_secrets() -> list[str]:
    digest = hashlib.sha256(SANDBOX_API_KEY.encode()).digest()
    live = CredentialSecret.objects.filter(
        revoked_at__isnull=True, credential__revoked_at__isnull=True
    )
    found = ["API key"] if live.filter(digest=digest).exists() else []
    # Tenant secrets have no digest; those that begin like the published one are read.
    candidates: Iterable[CredentialSecret] = live.filter(
        digest__isnull=True, prefix=SANDBOX_TENANT_SECRET[:4]
    )
    if any(decrypt_text(row.ciphertext) == SANDBOX_TENANT_SECRET for row in candidates):
        found.append("tenant secret")
    return found


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True
