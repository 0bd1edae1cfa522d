"""Keys for our tokens and calls: made when first needed, replaced on a schedule or on demand."""

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.db import IntegrityError, transaction

from phoenix_site.common.commits import after_commit
from phoenix_site.common.crypto import encrypt_text
from phoenix_site.common.ids import new_id
from phoenix_site.common.logging import get_logger
from tenants import tokens
from tenants.constants import SIGNING_KEY_LIFETIME, SIGNING_KEY_OVERLAP
from tenants.models import SigningKey
from tenants.selectors.signing_keys import find_current_key_across_tenants

log = get_logger(__name__)


def ensure_signing_key(purpose: str, *, now: datetime) -> SigningKey:
    """Return the current key of ``purpose``, made now if there is none.

    Repeats: of two that make one at the same time the constraint lets one win; both return it.
    """
    current = find_current_key_across_tenants(purpose)
    if current is not None:
        return current
    try:
        with transaction.atomic():
            return _create_key(purpose, now)
    except IntegrityError:
        return SigningKey.objects.get(purpose=purpose, retired_at__isnull=True)


@transaction.atomic
def rotate_signing_key(
    purpose: str, *, now: datetime, overlap: timedelta = SIGNING_KEY_OVERLAP
) -> SigningKey:
    """Retire the current key and return a new one; the old one verifies for ``overlap`` more.

    Locks: the current key. An ``overlap`` of zero withdraws the old key and ends its tokens.
    """
    locked = SigningKey.objects.select_for_update().filter(purpose=purpose, retired_at__isnull=True)
    for old in locked:
        SigningKey.objects.filter(pk=old.pk).update(retired_at=now, expires_at=now + overlap)
    fresh = _create_key(purpose, now)
    after_commit(tokens.forget_keys)
    log.info("signing_key.rotated", purpose=purpose, kid=fresh.kid)
    return fresh


def rotate_due_keys(*, now: datetime) -> int:
    """Rotate every current key of tokens that is older than its lifetime and return how many.

    Keys of outbound calls are left alone: operators hold their public part, and have to be told.
    """
    due = SigningKey.objects.filter(
        retired_at__isnull=True, created_at__lte=now - SIGNING_KEY_LIFETIME
    ).exclude(purpose=SigningKey.Purpose.OUTBOUND)
    purposes = list(due.values_list("purpose", flat=True))
    for purpose in purposes:
        rotate_signing_key(purpose, now=now)
    return len(purposes)


def purge_ended_keys(*, now: datetime) -> int:
    """Delete keys that verify nothing any more and return how many."""
    return SigningKey.objects.filter(expires_at__lte=now).delete()[0]


def _create_key(purpose: str, now: datetime) -> SigningKey:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey.objects.create(
        purpose=purpose,
        kid=new_id(),
        public_key=public.decode(),
        ciphertext=encrypt_text(pem.decode()),
        created_at=now,
    )
