"""Who is calling: one implementation for both entrances, the sockets and health.

The rules are pure (``tenants.rules.gates``); this module loads what they need, from memory while
it is fresh. A token whose signature was verified is remembered; its end, the secret, suspension,
scope and address are checked each time.
"""

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from asgiref.sync import sync_to_async

from phoenix_site.common.exceptions import NotAuthenticatedError
from tenants.constants import MAX_VERIFIED_TOKENS
from tenants.exceptions import AccessDeniedError, CredentialRefusedError
from tenants.rules import access, foreign_tokens, gates
from tenants.rules.gates import Claim
from tenants.services import failures, snapshots, staff, usage
from tenants.types import Caller, Gateway, KeySnapshot, LiveSecret, RequestFacts, TenantSnapshot

# A missing header or a wrong clock is nobody's guess at a secret.
_COUNTED_CODES = frozenset({"AUTH_001", "AUTH_003"})
_TENANT_KINDS = frozenset({"tenant_jwt", "tenant_hmac"})


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature was found to fit ``secret``."""

    claim: Claim
    caller: Caller
    secret: LiveSecret


_verified: OrderedDict[str, _Verified] = OrderedDict()


def authenticate_tenant(facts: RequestFacts, *, gateway: Gateway, now: datetime) -> Caller:
    """Return the tenant, and on the query gateway the player, that sent the request.

    Raises: ``NotAuthenticatedError`` with the codes of 01/ING-2 and ING-4, ``AccessDeniedError``,
    ``RateLimitedError`` after too many failures, ``UnavailableError`` without a database.
    """
    try:
        claim, known = _read_tenant_claim(facts, gateway, now)
        snapshot = snapshots.tenants.get(claim.subject)
        caller = _admit_tenant(claim, known, facts, snapshot, gateway=gateway, now=now)
    except NotAuthenticatedError as exc:
        _count(exc, facts)
        raise
    usage.note_use(caller.credential_id, now)
    return caller


async def aauthenticate_tenant(facts: RequestFacts, *, gateway: Gateway, now: datetime) -> Caller:
    """Do what ``authenticate_tenant`` does; no thread, database or Redis while memory is fresh."""
    try:
        claim, known = _read_tenant_claim(facts, gateway, now)
        snapshot = await snapshots.tenants.aget(claim.subject)
        caller = _admit_tenant(claim, known, facts, snapshot, gateway=gateway, now=now)
    except NotAuthenticatedError as exc:
        await _acount(exc, facts)
        raise
    await usage.anote_use(caller.credential_id, now)
    return caller


def authenticate_admin(facts: RequestFacts, *, now: datetime) -> Caller:
    """Return the API key, admin token or staff member that sent the request.

    Raises: as ``authenticate_tenant``.
    """
    try:
        caller = _admit_admin(gates.read_admin_claim(facts), facts.address, now)
    except NotAuthenticatedError as exc:
        _count(exc, facts)
        raise
    usage.note_use(caller.credential_id, now)
    return caller


async def aauthenticate_admin(facts: RequestFacts, *, now: datetime) -> Caller:
    """Do what ``authenticate_admin`` does; staff tokens are checked in a thread."""
    try:
        caller = await _aadmit_admin(gates.read_admin_claim(facts), facts.address, now)
    except NotAuthenticatedError as exc:
        await _acount(exc, facts)
        raise
    await usage.anote_use(caller.credential_id, now)
    return caller


def authenticate_any(
    facts: RequestFacts, *, now: datetime, accepts_tenant_tokens: bool = True
) -> Caller | None:
    """Return whoever sent the request, or ``None`` when it carries no credential (01/ING-8).

    Raises: as ``authenticate_tenant``.
    """
    try:
        claim = gates.read_any_claim(facts, now=now)
        if claim is None:
            return None
        caller = _admit_any(claim, facts, now, accepts_tenant_tokens=accepts_tenant_tokens)
    except NotAuthenticatedError as exc:
        _count(exc, facts)
        raise
    usage.note_use(caller.credential_id, now)
    return caller


async def aauthenticate_any(
    facts: RequestFacts, *, now: datetime, accepts_tenant_tokens: bool = True
) -> Caller | None:
    """Do what ``authenticate_any`` does, from a running event loop."""
    try:
        claim = gates.read_any_claim(facts, now=now)
        if claim is None:
            return None
        caller = await _aadmit_any(claim, facts, now, accepts_tenant_tokens=accepts_tenant_tokens)
    except NotAuthenticatedError as exc:
        await _acount(exc, facts)
        raise
    await usage.anote_use(caller.credential_id, now)
    return caller


def still_valid(caller: Caller, *, now: datetime) -> None:
    """Return when an open connection of ``caller`` may go on.

    Raises: ``CredentialRefusedError`` when its token is over, ``AccessDeniedError`` when access was
    withdrawn: secret revoked, tenant suspended, staff member dismissed.
    """
    _check_end(caller, now)
    if caller.kind in _TENANT_KINDS:
        _check_tenant_access(caller, snapshots.tenants.get(caller.tenant_id or ""), now)
    elif caller.staff_user_id is not None:
        staff.check_still_allowed(snapshots.staff.get(caller.staff_user_id))
    else:
        _check_key_access(caller, snapshots.keys_by_id.get(caller.credential_id or ""), now)


async def astill_valid(caller: Caller, *, now: datetime) -> None:
    """Do what ``still_valid`` does, from a running event loop."""
    _check_end(caller, now)
    if caller.kind in _TENANT_KINDS:
        _check_tenant_access(caller, await snapshots.tenants.aget(caller.tenant_id or ""), now)
    elif caller.staff_user_id is not None:
        staff.check_still_allowed(await snapshots.staff.aget(caller.staff_user_id))
    else:
        key = await snapshots.keys_by_id.aget(caller.credential_id or "")
        _check_key_access(caller, key, now)


def require_scope(caller: Caller, scope: str) -> None:
    """Refuse a caller without ``scope``. Raises: ``AccessDeniedError``."""
    access.check_scope(caller, scope)


def require_tenant(caller: Caller, tenant_id: str) -> None:
    """Refuse a caller who may not work on the tenant.

    Staff may look at a suspended tenant, as in the admin; keys may not.
    Raises: ``AccessDeniedError``, ``NotFoundError`` for a tenant that does not exist.
    """
    access.check_reach(caller, tenant_id)
    tenant = snapshots.tenant_settings(tenant_id)
    if tenant.suspended_at is not None and caller.kind != "staff":
        raise AccessDeniedError("The tenant is suspended.")


def forget_tokens() -> None:
    """Drop the remembered tokens of this process."""
    _verified.clear()


def _read_tenant_claim(
    facts: RequestFacts, gateway: Gateway, now: datetime
) -> tuple[Claim, _Verified | None]:
    header = facts.headers.get("authorization")
    known = _verified.get(header) if header is not None else None
    if known is None:
        return gates.read_tenant_claim(facts, gateway=gateway, now=now), None
    if gateway == "query":
        access.check_player(known.caller)
    return known.claim, known


def _admit_tenant(
    claim: Claim,
    known: _Verified | None,
    facts: RequestFacts,
    snapshot: TenantSnapshot | None,
    *,
    gateway: Gateway | None,
    now: datetime,
) -> Caller:
    caller = _recall(known, snapshot, now) or gates.admit_tenant(claim, facts, snapshot, now=now)
    if snapshot is None:
        raise CredentialRefusedError("The tenant is unknown.")
    secret = access.find_live_secret(snapshot.secrets, caller.secret_id, now)
    if secret is None:
        raise CredentialRefusedError("The credential has just expired.")
    gates.check_tenant_request(claim, secret, snapshot, address=facts.address, gateway=gateway)
    if claim.claims is not None and (known is None or known.caller is not caller):
        _remember(facts.headers["authorization"], _Verified(claim, caller, secret))
    return caller


def _recall(
    known: _Verified | None, snapshot: TenantSnapshot | None, now: datetime
) -> Caller | None:
    """Return the caller of a remembered token if its secret is live and unchanged."""
    if known is None or snapshot is None or known.claim.claims is None:
        return None
    secret = access.find_live_secret(snapshot.secrets, known.secret.secret_id, now)
    if secret is None or secret != known.secret:
        return None
    foreign_tokens.check_times(known.claim.claims, now)
    return known.caller


def _remember(header: str, verified: _Verified) -> None:
    _verified[header] = verified
    if len(_verified) > MAX_VERIFIED_TOKENS:
        # Another thread may have emptied it at this moment.
        with suppress(KeyError):
            _verified.popitem(last=False)


def _admit_admin(claim: Claim, address: str, now: datetime) -> Caller:
    if claim.kind == "api_key":
        keys = snapshots.keys_by_prefix.get(claim.subject)
        return gates.admit_key(claim, keys, address=address, now=now)
    if claim.kind == "admin_jwt":
        key = snapshots.keys_by_id.get(claim.subject)
        return gates.admit_admin_token(claim, key, address=address, now=now)
    return staff.authenticate_token(claim.value)


async def _aadmit_admin(claim: Claim, address: str, now: datetime) -> Caller:
    if claim.kind == "api_key":
        keys = await snapshots.keys_by_prefix.aget(claim.subject)
        return gates.admit_key(claim, keys, address=address, now=now)
    if claim.kind == "admin_jwt":
        key = await snapshots.keys_by_id.aget(claim.subject)
        return gates.admit_admin_token(claim, key, address=address, now=now)
    return await sync_to_async(staff.authenticate_token)(claim.value)


def _admit_any(
    claim: Claim, facts: RequestFacts, now: datetime, *, accepts_tenant_tokens: bool
) -> Caller:
    if claim.kind not in _TENANT_KINDS:
        return _admit_admin(claim, facts.address, now)
    _check_kind_is_taken(claim, accepts_tenant_tokens=accepts_tenant_tokens)
    snapshot = snapshots.tenants.get(claim.subject)
    return _admit_tenant(claim, None, facts, snapshot, gateway=None, now=now)


async def _aadmit_any(
    claim: Claim, facts: RequestFacts, now: datetime, *, accepts_tenant_tokens: bool
) -> Caller:
    if claim.kind not in _TENANT_KINDS:
        return await _aadmit_admin(claim, facts.address, now)
    _check_kind_is_taken(claim, accepts_tenant_tokens=accepts_tenant_tokens)
    snapshot = await snapshots.tenants.aget(claim.subject)
    return _admit_tenant(claim, None, facts, snapshot, gateway=None, now=now)


def _check_kind_is_taken(claim: Claim, *, accepts_tenant_tokens: bool) -> None:
    if claim.kind == "tenant_jwt" and not accepts_tenant_tokens:
        raise CredentialRefusedError("Tenant tokens are not taken here.")


def _check_end(caller: Caller, now: datetime) -> None:
    # Staff tokens are our own and get no leeway.
    grace = foreign_tokens.leeway() if caller.staff_user_id is None else None
    if caller.expires_at is None:
        return
    if now >= (caller.expires_at + grace if grace else caller.expires_at):
        raise CredentialRefusedError("The token has expired.")


def _check_tenant_access(caller: Caller, snapshot: TenantSnapshot | None, now: datetime) -> None:
    if snapshot is None or snapshot.settings.suspended_at is not None:
        raise AccessDeniedError("The tenant is suspended.")
    if access.find_live_secret(snapshot.secrets, caller.secret_id, now) is None:
        raise AccessDeniedError("The credential was revoked.")


def _check_key_access(caller: Caller, key: KeySnapshot | None, now: datetime) -> None:
    if key is None or access.find_live_secret(key.secrets, caller.secret_id, now) is None:
        raise AccessDeniedError("The credential was revoked.")


def _count(error: NotAuthenticatedError, facts: RequestFacts) -> None:
    if error.code in _COUNTED_CODES:
        failures.count_failure(facts.address, gates.failed_credential(facts))


async def _acount(error: NotAuthenticatedError, facts: RequestFacts) -> None:
    if error.code in _COUNTED_CODES:
        await failures.acount_failure(facts.address, gates.failed_credential(facts))
