"""The gates: which credential a request carries, and whether what is known admits it.

Reading comes first and needs only the request; it says which snapshot to load. Admitting needs
request and snapshot. Both entrances and the sockets use these functions and nothing else.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from tenants.exceptions import CredentialMissingError, CredentialRefusedError
from tenants.rules import access, foreign_tokens, signatures
from tenants.types import (
    Caller,
    CallerKind,
    Gateway,
    KeySnapshot,
    LiveSecret,
    RequestFacts,
    TenantSnapshot,
    TokenClaims,
)

API_KEY_START = "pk_"
_PREFIX_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says it is: ``subject`` names the tenant, key or staff token to look up.

    For an API key ``subject`` is the key's prefix and ``value`` the key; for tokens ``value`` is
    the token.
    """

    kind: CallerKind
    subject: str
    value: str = field(default="", repr=False)
    claims: TokenClaims | None = None


def read_tenant_claim(facts: RequestFacts, *, gateway: Gateway, now: datetime) -> Claim:
    """Return the tenant credential of a request to the ingestion or query gateway (01/ING-1).

    Raises: ``CredentialMissingError``, ``CredentialRefusedError``, ``TimestampRefusedError``.
    """
    authorization = facts.headers.get("authorization")
    if authorization is not None:
        claim = read_tenant_token(foreign_tokens.read_bearer(authorization))
        if gateway == "query" and claim.claims and claim.claims.user_id is None:
            raise CredentialRefusedError("The token's sub must name a player here.")
        return claim
    if signatures.has_signature(facts):
        if gateway == "query":
            raise CredentialRefusedError("This gateway takes tokens of players only.")
        return read_signature(facts, now=now)
    if "x-api-key" in facts.headers:
        raise CredentialRefusedError("An API key opens the admin gateway only.")
    raise CredentialMissingError("A credential is missing.")


def read_admin_claim(facts: RequestFacts) -> Claim:
    """Return the credential of a request to the admin gateway.

    Raises: ``CredentialMissingError``, ``CredentialRefusedError``.
    """
    authorization = facts.headers.get("authorization")
    if authorization is not None:
        return read_admin_token(foreign_tokens.read_bearer(authorization))
    if "x-api-key" in facts.headers:
        return read_key(facts.headers["x-api-key"])
    if signatures.has_signature(facts):
        raise CredentialRefusedError("This gateway takes API keys and admin tokens only.")
    raise CredentialMissingError("A credential is missing: send X-API-Key or a Bearer token.")


def read_any_claim(facts: RequestFacts, *, now: datetime) -> Claim | None:
    """Return whichever credential was sent (01/ING-8), or ``None`` when there is none."""
    authorization = facts.headers.get("authorization")
    if authorization is not None:
        token = foreign_tokens.read_bearer(authorization)
        if not token.startswith(API_KEY_START) and _sub_type(token) == "tenant":
            return read_tenant_token(token)
        return read_admin_token(token)
    if "x-api-key" in facts.headers:
        return read_key(facts.headers["x-api-key"])
    if signatures.has_signature(facts):
        return read_signature(facts, now=now)
    return None


def read_tenant_token(token: str) -> Claim:
    """Return the claim of a tenant JWT. Raises: ``CredentialRefusedError``."""
    claims = foreign_tokens.read_claims(token, sub_type="tenant")
    return Claim("tenant_jwt", claims.subject_id, token, claims)


def read_signature(facts: RequestFacts, *, now: datetime) -> Claim:
    """Return the claim of a signed request; nothing is verified but the time."""
    return Claim("tenant_hmac", signatures.claimed_tenant(facts, now))


def read_key(value: str) -> Claim:
    """Return the claim of an API key."""
    value = value.strip()
    return Claim("api_key", key_prefix(value), value)


def read_admin_token(token: str) -> Claim:
    """Return the claim of what a Bearer header may carry on the admin gateway."""
    if token.startswith(API_KEY_START):
        return read_key(token)
    _, payload = foreign_tokens.read_payload(token)
    if "token_type" in payload:
        return Claim("staff", "", token)
    claims = foreign_tokens.read_claims(token, sub_type="admin")
    return Claim("admin_jwt", claims.subject_id, token, claims)


def key_prefix(value: str) -> str:
    """Return the public part of an API key: everything up to eight digits of its last part."""
    head, separator, tail = value.rpartition("_")
    return head + separator + tail[:_PREFIX_DIGITS]


def admit_tenant(
    claim: Claim, facts: RequestFacts, snapshot: TenantSnapshot | None, *, now: datetime
) -> Caller:
    """Return the caller behind a tenant token or signature; gateway and address come after.

    Raises: ``CredentialRefusedError``, ``BadSignatureError``.
    """
    if snapshot is None:
        raise CredentialRefusedError("The tenant is unknown.")
    if claim.claims is not None:
        foreign_tokens.check_times(claim.claims, now)
        secret = foreign_tokens.find_signer(claim.value, snapshot.secrets, now)
    else:
        if not snapshot.settings.hmac_enabled:
            raise CredentialRefusedError("The tenant has switched signatures off.")
        secret = signatures.find_signer(facts, snapshot.secrets, now)
    return _tenant_caller(claim, secret, snapshot.settings.id)


def check_tenant_request(
    claim: Claim,
    secret: LiveSecret,
    snapshot: TenantSnapshot,
    *,
    address: str,
    gateway: Gateway | None,
) -> None:
    """Refuse a known sender that may not come in: scope, suspension, address.

    Raises: ``AccessDeniedError``.
    """
    if gateway is not None and claim.claims is not None:
        access.check_gateway_scope(
            claim.claims.scopes, secret, settings=snapshot.settings, gateway=gateway
        )
    elif gateway is not None:
        access.check_secret_scope(secret, gateway=gateway)
    access.check_tenant_is_open(snapshot)
    access.check_address(secret, address)


def admit_key(claim: Claim, keys: Iterable[KeySnapshot], *, address: str, now: datetime) -> Caller:
    """Return the caller behind an API key.

    Raises: ``CredentialRefusedError``, ``AccessDeniedError``.
    """
    digest = hashlib.sha256(claim.value.encode("utf-8", "replace")).digest()
    for key in keys:
        for secret in key.secrets:
            if secret.is_live(now) and hmac.compare_digest(digest, secret.digest):
                access.check_address(signatures.refuse_barred(secret), address)
                return _key_caller("api_key", key, secret)
    raise CredentialRefusedError("The API key is unknown, revoked or expired.")


def admit_admin_token(
    claim: Claim, key: KeySnapshot | None, *, address: str, now: datetime
) -> Caller:
    """Return the caller behind an admin JWT, which is signed with the value of an API key.

    Raises: ``CredentialRefusedError``, ``BadSignatureError``, ``AccessDeniedError``.
    """
    if key is None or claim.claims is None:
        raise CredentialRefusedError("The token's key is unknown or revoked.")
    foreign_tokens.check_times(claim.claims, now)
    if not any(secret.is_live(now) for secret in key.secrets):
        raise CredentialRefusedError("The token's key has expired.")
    secret = foreign_tokens.find_signer(claim.value, key.secrets, now)
    access.check_address(secret, address)
    return _key_caller("admin_jwt", key, secret, claim.claims)


def failed_credential(facts: RequestFacts) -> str:
    """Return which credential a refused request named, as well as can be told."""
    authorization = facts.headers.get("authorization")
    if authorization is None:
        key = facts.headers.get("x-api-key")
        return key_prefix(key) if key else facts.headers.get("x-tenant-id", "")
    try:
        token = foreign_tokens.read_bearer(authorization)
        if token.startswith(API_KEY_START):
            return key_prefix(token)
        _, payload = foreign_tokens.read_payload(token)
    except (CredentialMissingError, CredentialRefusedError):
        return ""
    return str(payload.get("sub_id", payload.get("sub", "")))


def _sub_type(token: str) -> object:
    _, payload = foreign_tokens.read_payload(token)
    return payload.get("sub_type")


def _tenant_caller(claim: Claim, secret: LiveSecret, tenant_id: str) -> Caller:
    claims = claim.claims
    return Caller(
        kind=claim.kind,
        tenant_id=tenant_id,
        tenant_ids=frozenset({tenant_id}),
        user_id=claims.user_id if claims else None,
        credential_id=secret.credential_id,
        secret_id=secret.secret_id,
        scopes=access.narrowed(secret.scopes, claims.scopes if claims else None),
        expires_at=foreign_tokens.expiry_of(claims) if claims else None,
        label=secret.label,
    )


def _key_caller(
    kind: CallerKind, key: KeySnapshot, secret: LiveSecret, claims: TokenClaims | None = None
) -> Caller:
    return Caller(
        kind=kind,
        tenant_id=None,
        tenant_ids=key.tenant_ids,
        user_id=claims.user_id if claims else None,
        credential_id=key.credential_id,
        secret_id=secret.secret_id,
        scopes=access.narrowed(secret.scopes, claims.scopes if claims else None),
        expires_at=foreign_tokens.expiry_of(claims) if claims else None,
        label=secret.label,
    )
