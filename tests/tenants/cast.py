"""Small makers for the tests of tenants: credentials, tokens, signed requests."""

import time
from datetime import UTC, datetime
from typing import Any

from tenants.models import Credential, Tenant
from tenants.rules import foreign_tokens, signatures
from tenants.services import audit, credentials
from tenants.types import NewSecret, RequestFacts

ACTOR = audit.SYSTEM
HOME = "198.51.100.7"


def utc_now() -> datetime:
    return datetime.now(UTC)


def facts(
    headers: dict[str, str] | None = None,
    *,
    method: str = "POST",
    path: str = "/v1/events",
    body: bytes = b"",
    address: str = HOME,
) -> RequestFacts:
    return RequestFacts(method, path, headers or {}, body, address)


def bearer(token: str, **more: Any) -> RequestFacts:
    return facts({"authorization": f"Bearer {token}"}, **more)


def with_key(value: str, **more: Any) -> RequestFacts:
    return facts({"x-api-key": value}, **more)


def signed(
    tenant_id: str, secret: str, *, at: float | None = None, body: bytes = b"{}", **more: Any
) -> RequestFacts:
    timestamp = str(int(time.time() if at is None else at))
    unsigned = facts(body=body, **more)
    signature = signatures.sign(secret, signatures.canonical_string(unsigned, timestamp))
    headers = {
        "x-tenant-id": tenant_id,
        "x-timestamp": timestamp,
        "x-signature": f"hmac-sha256={signature}",
    }
    return facts(headers, body=body, **more)


def tenant_token(tenant_id: str, secret: str, **claims: Any) -> str:
    now = int(time.time())
    payload = {
        "sub": "ana",
        "sub_type": "tenant",
        "sub_id": tenant_id,
        "iat": now,
        "exp": now + 3600,
    } | claims
    return foreign_tokens.sign_token({k: v for k, v in payload.items() if v is not None}, secret)


def admin_token(credential_id: str, key: str, **claims: Any) -> str:
    now = int(time.time())
    payload = {
        "sub": "admin_user",
        "sub_type": "admin",
        "sub_id": credential_id,
        "iat": now,
        "exp": now + 3600,
    } | claims
    return foreign_tokens.sign_token({k: v for k, v in payload.items() if v is not None}, key)


def new_secret(tenant: Tenant, **chosen: Any) -> NewSecret:
    return credentials.create_tenant_secret(
        tenant.pk, label="Game server", actor=ACTOR, now=utc_now(), **chosen
    )


def new_key(*tenants: Tenant, scopes: tuple[str, ...] = ("*",), **chosen: Any) -> NewSecret:
    return credentials.create_api_key(
        label="Back office",
        tenant_ids=[tenant.pk for tenant in tenants],
        scopes=scopes,
        actor=ACTOR,
        now=utc_now(),
        **chosen,
    )


def credential(made: NewSecret) -> Credential:
    return Credential.objects.get(pk=made.credential_id)
