"""Encryption at rest of secrets that must be read back.

``PHOENIX_SECRET_KEYS`` holds Fernet keys: the first encrypts, all of them decrypt.
"""

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from phoenix_site.common.exceptions import UnavailableError


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt_text(text: str) -> str:
    """Return ``text`` encrypted with the first key."""
    return _fernet(tuple(settings.PHOENIX_SECRET_KEYS)).encrypt(text.encode()).decode("ascii")


def decrypt_text(token: str) -> str:
    """Return the text behind ``token``. Raises: ``UnavailableError`` when no key fits."""
    try:
        return _fernet(tuple(settings.PHOENIX_SECRET_KEYS)).decrypt(token).decode()
    except InvalidToken as exc:
        raise UnavailableError("A stored secret cannot be read with the present keys.") from exc


def reencrypt_text(token: str) -> str:
    """Return ``token`` encrypted anew with the first key."""
    return _fernet(tuple(settings.PHOENIX_SECRET_KEYS)).rotate(token).decode("ascii")
