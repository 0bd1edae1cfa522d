"""HMAC signatures of requests (01/ING-4).

Source: the canonical string and its test vectors are 01/ING-4 and 01/ING-7.
"""

import hmac
from collections.abc import Iterable
from datetime import datetime

from tenants.constants import TIMESTAMP_TOLERANCE_SECONDS
from tenants.exceptions import (
    BadSignatureError,
    CredentialMissingError,
    CredentialRefusedError,
    TimestampRefusedError,
)
from tenants.types import LiveSecret, RequestFacts

HEADERS = ("x-tenant-id", "x-timestamp", "x-signature")
_PREFIX = "hmac-sha256="
_SIGNATURE_LENGTH = 64
_MILLISECONDS_LENGTH = 13


def canonical_string(facts: RequestFacts, timestamp: str) -> bytes:
    """Return the bytes that are signed: method, path, timestamp and body, one line feed between."""
    head = f"{facts.method}\n{facts.raw_path}\n{timestamp}\n"
    # Latin-1 gives back the very bytes that a raw path was read from.
    return head.encode("latin-1", "replace") + facts.body


def sign(secret: str, message: bytes) -> str:
    """Return the HMAC-SHA256 of ``message`` in hex."""
    return hmac.digest(secret.encode(), message, "sha256").hex()


def has_signature(facts: RequestFacts) -> bool:
    """Return whether any of the three headers was sent."""
    headers = facts.headers
    return "x-signature" in headers or "x-tenant-id" in headers or "x-timestamp" in headers


def claimed_tenant(facts: RequestFacts, now: datetime) -> str:
    """Return the tenant that the headers name, once all three are there and the time fits.

    Raises: ``CredentialMissingError``, ``TimestampRefusedError``.
    """
    missing = [name for name in HEADERS if not facts.headers.get(name)]
    if missing:
        names = ", ".join(name.title() for name in missing)
        raise CredentialMissingError(f"The signature is incomplete: {names} is missing.")
    _check_timestamp(facts.headers["x-timestamp"], now)
    return facts.headers["x-tenant-id"]


def find_signer(facts: RequestFacts, secrets: Iterable[LiveSecret], now: datetime) -> LiveSecret:
    """Return the live secret that signed the request.

    Raises: ``BadSignatureError``; ``CredentialRefusedError`` for a barred sandbox secret.
    """
    sent = _read_signature(facts.headers["x-signature"])
    message = canonical_string(facts, facts.headers["x-timestamp"])
    for secret in secrets:
        if not secret.is_live(now):
            continue
        expected = hmac.digest(secret.value.encode(), message, "sha256")
        if hmac.compare_digest(sent, expected):
            return refuse_barred(secret)
    raise BadSignatureError("The signature does not match the request.")


def refuse_barred(secret: LiveSecret) -> LiveSecret:
    """Return ``secret``. Raises: ``CredentialRefusedError`` for a sandbox secret in production."""
    if secret.is_barred:
        raise CredentialRefusedError("This credential is published and never works in production.")
    return secret


def _check_timestamp(text: str, now: datetime) -> None:
    # Not isdigit() alone: it also accepts digits of other scripts.
    if not (text.isascii() and text.isdigit()):
        raise TimestampRefusedError("X-Timestamp must be Unix seconds in decimal digits.")
    if len(text) == _MILLISECONDS_LENGTH:
        raise TimestampRefusedError("X-Timestamp looks like milliseconds; send Unix seconds.")
    # Longer ones are far outside anyway, and int() refuses absurd lengths.
    # Whole seconds on both sides, or the last second of the tolerance would not count.
    is_near = len(text) <= _MILLISECONDS_LENGTH and (
        abs(int(now.timestamp()) - int(text)) <= TIMESTAMP_TOLERANCE_SECONDS
    )
    if not is_near:
        raise TimestampRefusedError(
            f"X-Timestamp is more than {TIMESTAMP_TOLERANCE_SECONDS} s from the server's clock."
        )


def _read_signature(text: str) -> bytes:
    digits = text.removeprefix(_PREFIX)
    if len(digits) != _SIGNATURE_LENGTH or not digits.isascii() or not digits.isalnum():
        raise BadSignatureError("X-Signature must be hmac-sha256= and 64 hex digits.")
    try:
        return bytes.fromhex(digits)
    except ValueError as exc:
        raise BadSignatureError("X-Signature must be hmac-sha256= and 64 hex digits.") from exc
