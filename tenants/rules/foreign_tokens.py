"""JSON Web Tokens that tenants and API keys sign (01/ING-2, 00 section 4).

The algorithm is fixed to HS256 and never read from the token. Reading comes before verifying
because a claim chooses the secret; nothing else of an unverified token is trusted.

Source: RFC 7515, RFC 7519, RFC 8725.
"""

import hmac
import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm
from jwt.api_jws import PyJWS

from tenants.constants import (
    FOREIGN_TOKEN_LEEWAY_SECONDS,
    ISSUED_AT_TOLERANCE_SECONDS,
    MAX_TOKEN_LENGTH,
)
from tenants.exceptions import BadSignatureError, CredentialMissingError, CredentialRefusedError
from tenants.rules.signatures import refuse_barred
from tenants.types import LiveSecret, TokenClaims

ALGORITHM = "HS256"
_MAX_SUBJECT_LENGTH = 128
_LAST_SECOND = 253_402_300_799.0  # the end of the year 9999
_PARTS = 3
# Control characters, the path separator, and lone surrogates, which have no UTF-8 form.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f/\ud800-\udfff]")


class _TenantHmac(HMACAlgorithm):
    """HS256 with secrets of our own making: no guessing whether one is a key file by mistake.

    Their length is settled when they are made; only the published sandbox secret is short.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()

    def check_key_length(self, key: bytes) -> str | None:
        return None


_jws = PyJWS(algorithms=[])
_jws.register_algorithm(ALGORITHM, _TenantHmac(HMACAlgorithm.SHA256))


def read_bearer(header: str) -> str:
    """Return the token of an ``Authorization`` header. Raises: ``CredentialMissingError``."""
    scheme, _, token = header.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or " " in token:
        raise CredentialMissingError("Authorization must be Bearer and one token.")
    return token


def read_payload(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and payload of a JWT, unverified. Raises: ``CredentialRefusedError``."""
    if len(token) > MAX_TOKEN_LENGTH or token.count(".") != _PARTS - 1 or "=" in token:
        raise CredentialRefusedError("The token is not a JWT.")
    try:
        parts = _jws.decode_complete(token, options={"verify_signature": False})
        payload = json.loads(parts["payload"])
    except (jwt.InvalidTokenError, ValueError, RecursionError) as exc:
        raise CredentialRefusedError("The token is not a JWT.") from exc
    if not isinstance(payload, dict):
        raise CredentialRefusedError("The token's payload is not an object.")
    return parts["header"], payload


def read_claims(token: str, *, sub_type: str) -> TokenClaims:
    """Return the claims of a tenant or admin token, of the right types but unverified.

    Raises: ``CredentialRefusedError``.
    """
    header, payload = read_payload(token)
    if header.get("alg") != ALGORITHM:
        raise CredentialRefusedError(f"The token's alg must be {ALGORITHM}.")
    if payload.get("sub_type") != sub_type:
        raise CredentialRefusedError(f"The token's sub_type must be {sub_type} here.")
    subject_id = payload.get("sub_id")
    if not isinstance(subject_id, str) or not subject_id:
        raise CredentialRefusedError("The token's sub_id must be a string.")
    expires_at = _read_time(payload, "exp")
    if expires_at is None:
        raise CredentialRefusedError("The token has no exp.")
    return TokenClaims(
        token=token,
        subject_id=subject_id,
        user_id=_read_user(payload, sub_type),
        issued_at=_read_time(payload, "iat"),
        not_before=_read_time(payload, "nbf"),
        expires_at=expires_at,
        scopes=_read_scopes(payload),
    )


def check_times(claims: TokenClaims, now: datetime) -> None:
    """Refuse a token that is over or comes from the future. Raises: ``CredentialRefusedError``."""
    current = now.timestamp()
    # RFC 7519 section 4.1.4: at the very instant of exp a token is over.
    if current >= claims.expires_at + FOREIGN_TOKEN_LEEWAY_SECONDS:
        raise CredentialRefusedError("The token has expired.")
    if claims.issued_at is not None and claims.issued_at > current + ISSUED_AT_TOLERANCE_SECONDS:
        raise CredentialRefusedError("The token's iat is in the future.")
    if claims.not_before is not None and claims.not_before > current + FOREIGN_TOKEN_LEEWAY_SECONDS:
        raise CredentialRefusedError("The token is not valid yet.")


def find_signer(token: str, secrets: Iterable[LiveSecret], now: datetime) -> LiveSecret:
    """Return the live secret that signed ``token``.

    Raises: ``BadSignatureError``; ``CredentialRefusedError`` for a barred sandbox secret.
    """
    for secret in secrets:
        if secret.is_live(now) and _is_signed_with(token, secret.value):
            return refuse_barred(secret)
    raise BadSignatureError("The token's signature does not match.")


def sign_token(payload: dict[str, Any], secret: str) -> str:
    """Return ``payload`` as a JWT that this module's rules accept."""
    header = _segment({"alg": ALGORITHM, "typ": "JWT"})
    signing_input = b".".join((header, _segment(payload)))
    signature = hmac.digest(secret.encode(), signing_input, "sha256")
    return b".".join((signing_input, jwt.utils.base64url_encode(signature))).decode("ascii")


def expiry_of(claims: TokenClaims) -> datetime:
    """Return the instant of ``exp``, without leeway."""
    return datetime.fromtimestamp(claims.expires_at, tz=UTC)


def leeway() -> timedelta:
    """Return how long after its end a foreign token is still taken."""
    return timedelta(seconds=FOREIGN_TOKEN_LEEWAY_SECONDS)


def is_external_id(value: object) -> bool:
    """Return whether ``value`` may be a player's id (00 section 2)."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _MAX_SUBJECT_LENGTH
        and value == value.strip()
        and not _UNUSABLE.search(value)
    )


def _segment(value: dict[str, Any]) -> bytes:
    return jwt.utils.base64url_encode(json.dumps(value, separators=(",", ":")).encode())


def _is_signed_with(token: str, secret: str) -> bool:
    try:
        _jws.decode_complete(token, secret.encode(), algorithms=[ALGORITHM])
    except jwt.InvalidTokenError:
        return False
    return True


def _read_time(payload: dict[str, Any], name: str) -> float | None:
    value = payload.get(name)
    if value is None and name not in payload:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CredentialRefusedError(f"The token's {name} must be a number.")
    # The order matters: a huge whole number does not fit into a float.
    if not 0 <= value <= _LAST_SECOND or not math.isfinite(value):
        raise CredentialRefusedError(f"The token's {name} is out of range.")
    return float(value)


def _read_user(payload: dict[str, Any], sub_type: str) -> str | None:
    """Return whom the token names; game servers and back offices may use any text."""
    subject = payload.get("sub")
    if subject is None and "sub" not in payload:
        return None
    if not isinstance(subject, str):
        raise CredentialRefusedError("The token's sub must be a string.")
    if sub_type == "tenant":
        return subject if is_external_id(subject) else None
    return _UNUSABLE.sub("", subject)[:_MAX_SUBJECT_LENGTH]


def _read_scopes(payload: dict[str, Any]) -> frozenset[str] | None:
    if "scope" not in payload:
        return None
    if not isinstance(payload["scope"], str):
        raise CredentialRefusedError("The token's scope must be a string.")
    return frozenset(payload["scope"].split())
