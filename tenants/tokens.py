"""Tokens that Phoenix signs for people: staff tokens and player tokens.

simplejwt makes and checks them; its backend is replaced by one that signs with Ed25519, names the
key (``kid``) and knows several keys, so that they can be rotated. Tokens of our own get no leeway.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from django.utils import timezone
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken
from rest_framework_simplejwt.tokens import Token

from phoenix_site.common.crypto import decrypt_text
from tenants.constants import (
    ACCESS_LIFETIME,
    MAX_TOKEN_LENGTH,
    PLAYER_TOKEN_LIFETIME,
    REFRESH_LIFETIME,
    SNAPSHOT_SECONDS,
)
from tenants.models import SigningKey
from tenants.selectors import signing_keys

ALGORITHM = "EdDSA"
STAFF, PLAYER = SigningKey.Purpose.STAFF.value, SigningKey.Purpose.PLAYER.value
_REQUIRED_CLAIMS = ["exp", "iat", "jti", "sub", "token_type"]


@dataclass(frozen=True, slots=True)
class _Signer:
    kid: str
    key: Ed25519PrivateKey


class RotatingBackend(TokenBackend):
    """Signs with the purpose's current key and verifies with any that has not ended.

    Keys are read again every two seconds, so one that was withdrawn stops working everywhere soon.
    """

    def __init__(self, purpose: str) -> None:
        super().__init__(ALGORITHM)
        self.purpose = purpose
        self._signer: tuple[float, _Signer] | None = None
        self._verifiers: dict[str, tuple[float, Ed25519PublicKey]] = {}

    def encode(self, payload: dict[str, Any]) -> str:
        """Return ``payload`` signed. Raises: ``TokenBackendError`` before there is a key."""
        signer = self._current_signer()
        return jwt.encode(payload, signer.key, algorithm=ALGORITHM, headers={"kid": signer.kid})

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - simplejwt's signature
        """Return the verified payload; an unverified one is never given out."""
        if len(str(token)) > MAX_TOKEN_LENGTH:
            raise TokenBackendError("The token is too long.")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            return jwt.decode(
                token,
                self._verifier(kid),
                algorithms=[ALGORITHM],
                options={"require": _REQUIRED_CLAIMS, "verify_aud": False},
            )
        except jwt.ExpiredSignatureError as exc:
            raise TokenBackendExpiredToken("The token has expired.") from exc
        except (jwt.InvalidTokenError, RecursionError) as exc:
            raise TokenBackendError("The token is not valid.") from exc

    def forget_keys(self) -> None:
        """Read the keys anew at the next use."""
        self._signer = None
        self._verifiers.clear()

    def _current_signer(self) -> _Signer:
        held = self._signer
        if held is not None and time.monotonic() - held[0] < SNAPSHOT_SECONDS:
            return held[1]
        row = signing_keys.find_current_key_across_tenants(self.purpose)
        if row is None:
            raise TokenBackendError("There is no signing key yet.")
        private = load_pem_private_key(decrypt_text(row.ciphertext).encode(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise TokenBackendError("The signing key is of another kind.")
        signer = _Signer(row.kid, private)
        self._signer = (time.monotonic(), signer)
        return signer

    def _verifier(self, kid: object) -> Ed25519PublicKey:
        if not isinstance(kid, str):
            raise TokenBackendError("The token names no key.")
        held = self._verifiers.get(kid)
        if held is not None and time.monotonic() - held[0] < SNAPSHOT_SECONDS:
            return held[1]
        self._verifiers.pop(kid, None)
        row = _find_row(self.purpose, kid, timezone.now())
        public = load_pem_public_key(row.public_key.encode())
        if not isinstance(public, Ed25519PublicKey):
            raise TokenBackendError("The signing key is of another kind.")
        self._verifiers[kid] = (time.monotonic(), public)
        return public


def _find_row(purpose: str, kid: str, now: datetime) -> SigningKey:
    # A kid of ours is short; a NUL would not even reach the database.
    known = kid.isascii() and kid.isprintable() and len(kid) <= 64
    row = signing_keys.find_verifying_key_across_tenants(purpose, kid, now=now) if known else None
    if row is None:
        raise TokenBackendError("The token's key is unknown.")
    return row


staff_backend = RotatingBackend(STAFF)
player_backend = RotatingBackend(PLAYER)


class StaffAccessToken(Token):
    """A Bearer credential of the admin gateway for one staff member."""

    token_type = "staff_access"  # noqa: S105 - a name, not a secret
    lifetime = ACCESS_LIFETIME

    def get_token_backend(self) -> TokenBackend:
        """Return the backend with the staff keys."""
        return staff_backend


class StaffRefreshToken(Token):
    """Gets new tokens once; its ``jti`` begins with the family that one sign-in started."""

    token_type = "staff_refresh"  # noqa: S105 - a name, not a secret
    lifetime = REFRESH_LIFETIME

    def get_token_backend(self) -> TokenBackend:
        """Return the backend with the staff keys."""
        return staff_backend


class PlayerAccessToken(Token):
    """A player's token of our own: ``sub`` is the external id, ``tid`` the tenant."""

    token_type = "player_access"  # noqa: S105 - a name, not a secret
    lifetime = PLAYER_TOKEN_LIFETIME

    def get_token_backend(self) -> TokenBackend:
        """Return the backend with the player keys."""
        return player_backend

    @classmethod
    def for_player(cls, *, tenant_id: str, user_id: str) -> "PlayerAccessToken":
        """Return a new token of one player at one tenant."""
        token = cls()
        token["sub"], token["tid"] = user_id, tenant_id
        return token


def read_staff_access(value: str) -> StaffAccessToken:
    """Return a verified staff access token. Raises: simplejwt's ``TokenError``."""
    return StaffAccessToken(value)  # type: ignore[arg-type]  # simplejwt names the text a token


def read_staff_refresh(value: str) -> StaffRefreshToken:
    """Return a verified staff refresh token. Raises: simplejwt's ``TokenError``."""
    return StaffRefreshToken(value)  # type: ignore[arg-type]  # simplejwt names the text a token


def forget_keys() -> None:
    """Read every signing key anew at its next use."""
    staff_backend.forget_keys()
    player_backend.forget_keys()
