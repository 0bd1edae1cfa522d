"""Sandbox tenants with published or fixed credentials (01/ING-60)."""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from phoenix_site.common.crypto import decrypt_text
from phoenix_site.common.exceptions import NotAllowedError
from tenants.constants import EVERY_SCOPE
from tenants.models import Credential, CredentialSecret, Tenant
from tenants.services import credentials, snapshots


@transaction.atomic
def repair_sandbox_tenant(
    tenant_id: str,
    *,
    name: str,
    tenant_secret: str,
    api_key_id: str,
    api_key: str,
    now: datetime,
) -> Tenant:
    """Create a sandbox tenant with these credentials, or bring it back to them.

    Raises: ``NotAllowedError`` in production. Repeats: changes nothing that is right already.
    """
    if settings.PHOENIX_ENV == "prod":
        raise NotAllowedError("The sandbox does not exist in production.")
    tenant, _ = Tenant.objects.get_or_create(
        pk=tenant_id,
        defaults={"operator_code": tenant_id, "environment": "sandbox", "name": name},
    )
    if tenant.suspended_at is not None:
        Tenant.objects.filter(pk=tenant_id).update(suspended_at=None)
    _repair_tenant_secret(tenant, tenant_secret, now=now)
    _repair_api_key(tenant, api_key_id, api_key)
    snapshots.forget()
    return tenant


def _repair_tenant_secret(tenant: Tenant, value: str, *, now: datetime) -> None:
    credential, _ = Credential.objects.get_or_create(
        tenant=tenant,
        kind=Credential.Kind.TENANT_HMAC,
        label="Sandbox tenant secret",
        defaults={"created_at": now},
    )
    _revive(credential, value)


def _repair_api_key(tenant: Tenant, key_id: str, value: str) -> None:
    credential, _ = Credential.objects.get_or_create(
        pk=UUID(key_id),
        defaults={
            "kind": Credential.Kind.API_KEY,
            "tenant": tenant,
            "label": "Sandbox API key",
            "scopes": [EVERY_SCOPE],
        },
    )
    credential.tenants.add(tenant)
    _revive(credential, value)


def _revive(credential: Credential, value: str) -> None:
    """Let ``value`` be a live secret without end of a live credential."""
    Credential.objects.filter(pk=credential.pk).update(revoked_at=None, expires_at=None)
    known = [row for row in credential.secrets.all() if decrypt_text(row.ciphertext) == value]
    others = credential.secrets.filter(expires_at__isnull=True, revoked_at__isnull=True)
    if not known:
        others.delete()
        credentials.add_known_secret(credential, value)
        return
    others.exclude(pk=known[0].pk).delete()
    CredentialSecret.objects.filter(pk=known[0].pk).update(revoked_at=None, expires_at=None)
