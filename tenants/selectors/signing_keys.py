"""Keys that Phoenix signs its own tokens with; they belong to the installation, not to a tenant."""

from datetime import datetime

from django.db.models import Q, QuerySet

from tenants.models import SigningKey


def find_current_key_across_tenants(purpose: str) -> SigningKey | None:
    """Return the key that signs new tokens. Queries: 1."""
    return SigningKey.objects.filter(purpose=purpose, retired_at__isnull=True).first()


def find_verifying_key_across_tenants(
    purpose: str, kid: str, *, now: datetime
) -> SigningKey | None:
    """Return the key of this id while it verifies. Queries: 1."""
    return verifying_keys_across_tenants(purpose, now=now).filter(kid=kid).first()


def verifying_keys_across_tenants(purpose: str, *, now: datetime) -> QuerySet[SigningKey]:
    """Return the keys that verify at ``now``, newest first."""
    return SigningKey.objects.filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=now), purpose=purpose
    )
