"""What a known credential may do: live, right tenant, right scope, right address.

Every check runs on every request, also for a token whose signature is remembered.
"""

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from tenants.exceptions import AccessDeniedError, CredentialRefusedError
from tenants.types import Caller, Gateway, LiveSecret, TenantSettings, TenantSnapshot

_GATEWAY_SCOPES: dict[Gateway, str] = {"ingestion": "events:write", "query": "query"}


def find_live_secret(
    secrets: Iterable[LiveSecret], secret_id: str | None, now: datetime
) -> LiveSecret | None:
    """Return the secret of this id if it may still be used at ``now``."""
    for secret in secrets:
        if secret.secret_id == secret_id:
            return secret if secret.is_live(now) else None
    return None


def check_gateway_scope(
    claims_scopes: frozenset[str] | None,
    secret: LiveSecret,
    *,
    settings: TenantSettings,
    gateway: Gateway,
) -> None:
    """Refuse a tenant token without the gateway's scope (01/ING-3). Raises: ``AccessDeniedError``.

    ``claims_scopes`` is what the token says, ``None`` when it says nothing.
    """
    wanted = _GATEWAY_SCOPES[gateway]
    if claims_scopes is None and gateway == "ingestion" and settings.ingestion_needs_scope:
        raise AccessDeniedError(f"The token needs the scope {wanted}.")
    check_secret_scope(secret, gateway=gateway)
    if claims_scopes is not None and wanted not in claims_scopes:
        raise AccessDeniedError(f"The token lacks the scope {wanted}.")


def check_secret_scope(secret: LiveSecret, *, gateway: Gateway) -> None:
    """Refuse a secret that was made for another gateway. Raises: ``AccessDeniedError``."""
    wanted = _GATEWAY_SCOPES[gateway]
    if secret.scopes is not None and wanted not in secret.scopes:
        raise AccessDeniedError(f"The credential lacks the scope {wanted}.")


def check_player(caller: Caller) -> None:
    """Refuse a token that names no player. Raises: ``CredentialRefusedError``."""
    if caller.user_id is None:
        raise CredentialRefusedError("The token's sub must name a player here.")


def check_tenant_is_open(snapshot: TenantSnapshot) -> None:
    """Refuse a suspended tenant. Raises: ``AccessDeniedError``."""
    if snapshot.settings.suspended_at is not None:
        raise AccessDeniedError("The tenant is suspended.")


def check_address(secret: LiveSecret, address: str) -> None:
    """Refuse an address outside the credential's networks. Raises: ``AccessDeniedError``."""
    if secret.allowed_cidrs and not is_in_networks(address, secret.allowed_cidrs):
        raise AccessDeniedError("The source address is not allowed for this credential.")


@lru_cache(maxsize=4096)
def is_in_networks(address: str, networks: tuple[str, ...]) -> bool:
    """Return whether ``address`` lies in one of the CIDR ``networks``; nonsense lies in none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in ipaddress.ip_network(network) for network in networks)


def check_scope(caller: Caller, scope: str) -> None:
    """Refuse a caller without ``scope``. Raises: ``AccessDeniedError``."""
    if caller.scopes is not None and scope not in caller.scopes:
        raise AccessDeniedError(f"The credential lacks the scope {scope}.")


def check_reach(caller: Caller, tenant_id: str) -> None:
    """Refuse a caller whose credential does not reach the tenant. Raises: ``AccessDeniedError``."""
    if caller.tenant_ids is not None and tenant_id not in caller.tenant_ids:
        raise AccessDeniedError("The credential does not reach this tenant.")


def narrowed(
    granted: frozenset[str] | None, wanted: frozenset[str] | None
) -> frozenset[str] | None:
    """Return what both allow; ``None`` allows everything."""
    if granted is None:
        return wanted
    return granted if wanted is None else granted & wanted
