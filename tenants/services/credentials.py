"""Credentials: create, change, rotate and revoke. A new secret is returned once and never again."""

import hashlib
import ipaddress
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from phoenix_site.common.crypto import encrypt_text, reencrypt_text
from phoenix_site.common.exceptions import (
    ConflictError,
    Detail,
    InvalidInputError,
    NotFoundError,
)
from phoenix_site.common.ids import uuid7
from phoenix_site.common.logging import get_logger
from tenants.constants import ADMIN_SCOPES, EVERY_SCOPE, ROTATION_OVERLAP, TENANT_SCOPES
from tenants.models import Credential, CredentialSecret, SigningKey, Tenant
from tenants.rules.gates import key_prefix
from tenants.services import audit, snapshots
from tenants.types import Actor, AuditChange, NewSecret

log = get_logger(__name__)

TENANT_HMAC: Final = Credential.Kind.TENANT_HMAC
API_KEY: Final = Credential.Kind.API_KEY
# 8 digits of public prefix and 256 secret bits.
_RANDOM_BYTES = 4 + 32
_REENCRYPT_BATCH = 500


@transaction.atomic
def create_tenant_secret(
    tenant_id: str,
    *,
    label: str,
    actor: Actor,
    now: datetime,
    scopes: Iterable[str] = (),
    allowed_cidrs: Iterable[str] = (),
    expires_at: datetime | None = None,
) -> NewSecret:
    """Create a tenant HMAC secret, which signs requests and tenant tokens. No scopes means all.

    Raises: ``InvalidInputError``, ``NotFoundError`` for an unknown tenant.
    """
    tenant = _tenant(tenant_id)
    credential = Credential.objects.create(
        kind=TENANT_HMAC,
        tenant=tenant,
        label=_checked_label(label),
        scopes=_checked_scopes(scopes, _known_scopes(TENANT_HMAC)),
        allowed_cidrs=_checked_cidrs(allowed_cidrs),
        expires_at=_checked_end(expires_at, now),
    )
    _record("credential.created", credential, actor=actor, now=now, after=_values(credential))
    return _add_secret(credential, _new_value("sk", tenant.environment))


@transaction.atomic
def create_api_key(
    *,
    label: str,
    tenant_ids: Iterable[str],
    scopes: Iterable[str],
    actor: Actor,
    now: datetime,
    owner_id: str | None = None,
    allowed_cidrs: Iterable[str] = (),
    expires_at: datetime | None = None,
) -> NewSecret:
    """Create an admin API key that reaches ``tenant_ids``; ``owner_id`` is whose staff manage it.

    Raises: ``InvalidInputError``, ``NotFoundError`` for an unknown tenant.
    """
    reached = [_tenant(tenant_id) for tenant_id in sorted(set(tenant_ids))]
    owner = _tenant(owner_id) if owner_id else None
    credential = Credential.objects.create(
        kind=API_KEY,
        tenant=owner,
        label=_checked_label(label),
        scopes=_checked_scopes(scopes, _known_scopes(API_KEY)),
        allowed_cidrs=_checked_cidrs(allowed_cidrs),
        expires_at=_checked_end(expires_at, now),
    )
    credential.tenants.set(reached)
    _record("credential.created", credential, actor=actor, now=now, after=_values(credential))
    environment = owner.environment if owner else settings.PHOENIX_ENV
    return _add_secret(credential, _new_value("pk", environment))


@transaction.atomic
def update_credential(
    credential_id: UUID | str, chosen: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Credential:
    """Change label, scopes, allowed addresses, end or reached tenants of a credential.

    ``chosen`` may hold ``label``, ``scopes``, ``allowed_cidrs``, ``expires_at``, ``tenant_ids``.
    Raises: ``InvalidInputError``, ``NotFoundError``. Locks: the credential.
    """
    credential = _locked(credential_id)
    before = _values(credential)
    for name, value in chosen.items():
        _set(credential, name, value, now)
    credential.save(update_fields=["label", "scopes", "allowed_cidrs", "expires_at"])
    old, new = audit.changes(before, _values(credential))
    if new:
        _record("credential.changed", credential, actor=actor, now=now, before=old, after=new)
    return credential


@transaction.atomic
def rotate_credential(
    credential_id: UUID | str,
    *,
    actor: Actor,
    now: datetime,
    overlap: timedelta = ROTATION_OVERLAP,
) -> NewSecret:
    """Return a new secret; the present one works for ``overlap`` more, an older one ends now.

    So at most two secrets live. Raises: ``ConflictError`` for a revoked credential,
    ``NotFoundError``. Locks: the credential, so that two rotations follow one another.
    """
    credential = _locked(credential_id)
    if credential.revoked_at is not None:
        raise ConflictError("The credential is revoked; create another one.")
    live = credential.secrets.filter(revoked_at__isnull=True)
    live.filter(expires_at__isnull=False).update(revoked_at=now)
    if overlap > timedelta(0):
        live.filter(expires_at__isnull=True).update(expires_at=now + overlap)
    else:
        live.update(revoked_at=now)
    kind = "sk" if credential.kind == TENANT_HMAC else "pk"
    owner = credential.tenant
    fresh = _add_secret(
        credential, _new_value(kind, owner.environment if owner else settings.PHOENIX_ENV)
    )
    after = {"overlap_seconds": int(overlap.total_seconds())}
    _record("credential.rotated", credential, actor=actor, now=now, after=after)
    return fresh


@transaction.atomic
def revoke_credential(
    credential_id: UUID | str, *, actor: Actor, now: datetime, reason: str = ""
) -> Credential:
    """End a credential and all its secrets now; other processes follow within two seconds.

    Raises: ``NotFoundError``. Repeats: a revoked credential stays as it is. Locks: the credential.
    """
    credential = _locked(credential_id)
    if credential.revoked_at is None:
        credential.revoked_at = now
        credential.save(update_fields=["revoked_at"])
        credential.secrets.filter(revoked_at__isnull=True).update(revoked_at=now)
        _record("credential.revoked", credential, actor=actor, now=now, reason=reason)
    return credential


def check_values(
    kind: str,
    *,
    label: str,
    scopes: Iterable[str],
    allowed_cidrs: Iterable[str],
    expires_at: datetime | None,
    now: datetime,
) -> None:
    """Check what a form is about to ask for. Raises: ``InvalidInputError`` naming the field."""
    _checked_label(label)
    _checked_scopes(scopes, _known_scopes(kind))
    _checked_cidrs(allowed_cidrs)
    _checked_end(expires_at, now)


def reencrypt_secrets() -> int:
    """Encrypt every stored secret with the first of the present keys and return how many.

    Repeats: safe; a secret stays readable throughout, since all present keys decrypt.
    """
    return sum(_reencrypt(model) for model in (CredentialSecret, SigningKey))


def add_known_secret(credential: Credential, value: str) -> CredentialSecret:
    """Store a secret whose value is published: only the sandbox seed does this (01/ING-60)."""
    return CredentialSecret.objects.create(**_secret_columns(credential, value))


def _reencrypt(model: type[CredentialSecret] | type[SigningKey]) -> int:
    count = 0
    for row in model.objects.only("pk", "ciphertext").iterator(chunk_size=_REENCRYPT_BATCH):
        # Conditional, so that a row that changed meanwhile is not written back.
        count += model.objects.filter(pk=row.pk, ciphertext=row.ciphertext).update(
            ciphertext=reencrypt_text(row.ciphertext)
        )
    return count


def _add_secret(credential: Credential, value: str) -> NewSecret:
    secret = add_known_secret(credential, value)
    snapshots.forget()
    return NewSecret(str(credential.pk), str(secret.pk), value)


def _secret_columns(credential: Credential, value: str) -> dict[str, Any]:
    is_key = credential.kind == API_KEY
    return {
        "id": uuid7(),
        "credential": credential,
        # A published short secret would be given away by its first digits.
        "prefix": key_prefix(value) if len(value) >= 2 * _RANDOM_BYTES or is_key else value[:4],
        "digest": hashlib.sha256(value.encode()).digest() if is_key else None,
        "ciphertext": encrypt_text(value),
    }


def _new_value(start: str, environment: str) -> str:
    return f"{start}_{environment}_{secrets.token_hex(_RANDOM_BYTES)}"


def _tenant(tenant_id: str) -> Tenant:
    tenant = Tenant.objects.filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFoundError("There is no such tenant.")
    return tenant


def _locked(credential_id: UUID | str) -> Credential:
    rows = Credential.objects.select_for_update(of=("self",)).select_related("tenant")
    credential = rows.filter(pk=credential_id).first()
    if credential is None:
        raise NotFoundError("There is no such credential.")
    return credential


def _set(credential: Credential, name: str, value: Any, now: datetime) -> None:
    is_key = credential.kind == API_KEY
    if name == "label":
        credential.label = _checked_label(value)
    elif name == "scopes":
        credential.scopes = _checked_scopes(value, _known_scopes(credential.kind))
    elif name == "allowed_cidrs":
        credential.allowed_cidrs = _checked_cidrs(value)
    elif name == "expires_at":
        changed = value != credential.expires_at
        credential.expires_at = _checked_end(value, now) if changed else value
    elif name == "tenant_ids" and is_key:
        credential.tenants.set([_tenant(tenant_id) for tenant_id in sorted(set(value))])
    else:
        raise _fault(name, "cannot be set")


def _known_scopes(kind: str) -> dict[str, str]:
    return {**ADMIN_SCOPES, EVERY_SCOPE: "Everything"} if kind == API_KEY else TENANT_SCOPES


def _checked_label(label: str) -> str:
    label = label.strip()
    if not label:
        raise _fault("label", "is missing: say who uses the credential and where")
    return label


def _checked_scopes(scopes: Iterable[str], known: Mapping[str, str]) -> list[str]:
    chosen = sorted(set(scopes))
    for scope in chosen:
        if scope not in known:
            raise _fault("scopes", f"has {scope!r}; known are {', '.join(known)}")
    return chosen


def _checked_cidrs(networks: Iterable[str]) -> list[str]:
    try:
        return sorted({str(ipaddress.ip_network(text.strip(), strict=False)) for text in networks})
    except ValueError as exc:
        raise _fault("allowed_cidrs", f"must be networks or addresses: {exc}") from exc


def _checked_end(expires_at: datetime | None, now: datetime) -> datetime | None:
    if expires_at is not None and expires_at <= now:
        raise _fault("expires_at", "must be in the future; revoke a credential to end it now")
    return expires_at


def _values(credential: Credential) -> dict[str, Any]:
    reached = credential.tenants.values_list("pk", flat=True)
    return {
        "label": credential.label,
        "scopes": list(credential.scopes),
        "allowed_cidrs": list(credential.allowed_cidrs),
        "expires_at": credential.expires_at,
        "tenant_ids": sorted(reached),
    }


def _fault(field: str, message: str) -> InvalidInputError:
    return InvalidInputError(f"{field} {message}.", details=[Detail(field, message, "bad_value")])


def _record(
    action: str,
    credential: Credential,
    *,
    actor: Actor,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    about = AuditChange("credential", str(credential.pk), credential.label, before, after)
    tenant_id = credential.tenant_id
    audit.record(action, actor=actor, now=now, tenant_id=tenant_id, change=about, reason=reason)
    log.info(action, credential=str(credential.pk), tenant=tenant_id)
    snapshots.forget()
