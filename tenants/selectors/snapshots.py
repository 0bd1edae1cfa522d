"""Reads behind authentication: one statement each, the same from threads and event loops.

They cross tenants by nature, since they answer who is calling; nothing else may use them.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from phoenix_site.common import postgres
from phoenix_site.common.crypto import decrypt_text
from tenants.constants import (
    ADMIN_SCOPES,
    EVERY_SCOPE,
    SANDBOX_API_KEY,
    SANDBOX_TENANT_SECRET,
    SCOPE_PERMISSIONS,
    TENANT_ID_PATTERN,
)
from tenants.models import Membership
from tenants.types import KeySnapshot, LiveSecret, StaffSnapshot, TenantSettings, TenantSnapshot

_is_tenant_id = re.compile(TENANT_ID_PATTERN[1:-1]).fullmatch
_is_prefix = re.compile(r"[A-Za-z0-9_-]{1,32}").fullmatch

_LIVE_COLUMNS: Final = """
    s.id, c.id, s.ciphertext, s.digest, least(s.expires_at, c.expires_at),
    c.allowed_cidrs, c.scopes, c.label, c.kind
"""
_TENANT_COLUMNS: Final = """
    t.id, t.operator_code, t.environment, t.name, t.suspended_at, t.hmac_enabled,
    t.ingestion_needs_scope, t.accepts_older_shape, t.max_future_seconds, t.retention_days,
    t.max_event_bytes, t.allowed_origins, t.public_player_fields, t.limits::text, t.max_sockets,
    t.snapshot_retention_days
"""
# A tenant with its live secrets, one row each; one row with empty secret columns without any.
TENANT_BY_ID: Final = f"""
SELECT {_TENANT_COLUMNS}, {_LIVE_COLUMNS}
FROM tenants_tenant t
LEFT JOIN tenants_credential c
    ON c.tenant_id = t.id AND c.kind = 'tenant_hmac' AND c.revoked_at IS NULL
LEFT JOIN tenants_credentialsecret s ON s.credential_id = c.id AND s.revoked_at IS NULL
WHERE t.id = %s
ORDER BY s.created_at DESC
"""  # noqa: S608 - the parts are constants of this module
_KEY_COLUMNS: Final = f"""
    c.id, ARRAY(SELECT r.tenant_id::text FROM tenants_credential_tenants r
                WHERE r.credential_id = c.id), {_LIVE_COLUMNS}
"""  # noqa: S608 - the parts are constants of this module
KEY_BY_PREFIX: Final = f"""
SELECT {_KEY_COLUMNS}
FROM tenants_credentialsecret s JOIN tenants_credential c ON c.id = s.credential_id
WHERE s.prefix = %s AND s.digest IS NOT NULL AND s.revoked_at IS NULL
    AND c.kind = 'api_key' AND c.revoked_at IS NULL
"""  # noqa: S608 - the parts are constants of this module
KEY_BY_ID: Final = f"""
SELECT {_KEY_COLUMNS}
FROM tenants_credentialsecret s JOIN tenants_credential c ON c.id = s.credential_id
WHERE c.id = %s AND s.digest IS NOT NULL AND s.revoked_at IS NULL
    AND c.kind = 'api_key' AND c.revoked_at IS NULL
"""  # noqa: S608 - the parts are constants of this module

Rows = Sequence[Sequence[Any]]


def find_tenant(tenant_id: str) -> TenantSnapshot | None:
    """Return the tenant and its live secrets. Queries: 1, or 0 for an impossible id."""
    return _tenant(_fetch(TENANT_BY_ID, tenant_id)) if _is_tenant_id(tenant_id) else None


async def afind_tenant(tenant_id: str) -> TenantSnapshot | None:
    """Return what ``find_tenant`` does, from a running event loop."""
    return _tenant(await _afetch(TENANT_BY_ID, tenant_id)) if _is_tenant_id(tenant_id) else None


def find_keys(prefix: str) -> tuple[KeySnapshot, ...]:
    """Return the live API keys with a secret of this prefix, usually one. Queries: 1."""
    return _keys(_fetch(KEY_BY_PREFIX, prefix)) if _is_prefix(prefix) else ()


async def afind_keys(prefix: str) -> tuple[KeySnapshot, ...]:
    """Return what ``find_keys`` does, from a running event loop."""
    return _keys(await _afetch(KEY_BY_PREFIX, prefix)) if _is_prefix(prefix) else ()


def find_key(credential_id: str) -> KeySnapshot | None:
    """Return the live API key of this id. Queries: 1."""
    known = _as_uuid(credential_id)
    return _only(_keys(_fetch(KEY_BY_ID, known))) if known else None


async def afind_key(credential_id: str) -> KeySnapshot | None:
    """Return what ``find_key`` does, from a running event loop."""
    known = _as_uuid(credential_id)
    return _only(_keys(await _afetch(KEY_BY_ID, known))) if known else None


def find_staff(user_id: int) -> StaffSnapshot | None:
    """Return the staff member with rights, tenants and live token families. Queries: 5."""
    loaded_at = timezone.now()
    user = get_user_model().objects.filter(pk=user_id).first()
    if user is None:
        return None
    jtis = OutstandingToken.objects.filter(
        user_id=user_id, expires_at__gt=loaded_at, blacklistedtoken__isnull=True
    ).values_list("jti", flat=True)
    return StaffSnapshot(
        user_id=user_id,
        username=user.get_username(),
        is_allowed=user.is_active and user.is_staff,
        tenant_ids=None if user.is_superuser else member_tenant_ids(user_id),
        scopes=None if user.is_superuser else _staff_scopes(user.get_all_permissions()),
        password_mark=password_mark(user),
        families=frozenset(family_of(jti) for jti in jtis),
        loaded_at=loaded_at,
    )


def member_tenant_ids(user_id: int) -> frozenset[str]:
    """Return the tenants that the staff member works for. Queries: 1."""
    memberships = Membership.objects.filter(user_id=user_id, is_active=True)
    return frozenset(memberships.values_list("tenant_id", flat=True))


def password_mark(user: Any) -> str:
    """Return a text that changes with the password, so that old tokens end with it."""
    return str(user.get_session_auth_hash())[:16]


def family_of(jti: str) -> str:
    """Return the family of a refresh token: all that came of one sign-in."""
    return jti.partition(".")[0]


def _staff_scopes(permissions: set[str]) -> frozenset[str]:
    return frozenset(s for s in ADMIN_SCOPES if SCOPE_PERMISSIONS[s] in permissions)


def _fetch(statement: str, parameter: str | UUID) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(statement, [parameter])
        rows: Rows = cursor.fetchall()
        return rows


async def _afetch(statement: str, parameter: str | UUID) -> Rows:
    async with postgres.connection() as conn:
        cursor = await conn.execute(statement, [parameter])
        rows: Rows = await cursor.fetchall()
        return rows


def _tenant(rows: Rows) -> TenantSnapshot | None:
    if not rows:
        return None
    facts = list(rows[0][:16])
    facts[11], facts[12] = tuple(facts[11]), tuple(facts[12])
    facts[13] = json.loads(facts[13])
    secrets = tuple(_secret(row[16:]) for row in rows if row[16] is not None)
    return TenantSnapshot(settings=TenantSettings(*facts), secrets=secrets)


def _keys(rows: Rows) -> tuple[KeySnapshot, ...]:
    grouped: dict[UUID, list[Sequence[Any]]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    return tuple(
        KeySnapshot(
            credential_id=str(credential_id),
            tenant_ids=frozenset(found[0][1]),
            secrets=tuple(_secret(row[2:]) for row in found),
        )
        for credential_id, found in grouped.items()
    )


def _only(keys: tuple[KeySnapshot, ...]) -> KeySnapshot | None:
    return keys[0] if keys else None


def _secret(columns: Sequence[Any]) -> LiveSecret:
    secret_id, credential_id, ciphertext, digest, expires_at, cidrs, scopes, label, kind = columns
    value = decrypt_text(ciphertext)
    return LiveSecret(
        secret_id=str(secret_id),
        credential_id=str(credential_id),
        value=value,
        digest=bytes(digest or b""),
        expires_at=expires_at,
        allowed_cidrs=tuple(cidrs),
        scopes=_granted(kind, scopes),
        label=label,
        is_barred=settings.PHOENIX_ENV == "prod"
        and value in (SANDBOX_API_KEY, SANDBOX_TENANT_SECRET),
    )


def _granted(kind: str, scopes: Sequence[str]) -> frozenset[str] | None:
    # A tenant secret without scopes may do all; an API key without scopes may do nothing.
    has_all = EVERY_SCOPE in scopes or (not scopes and kind == "tenant_hmac")
    return None if has_all else frozenset(scopes)


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
