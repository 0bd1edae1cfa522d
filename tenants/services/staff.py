"""Staff: the second factor, and tokens with which people script what they may do in the admin.

A sign-in starts a family of refresh tokens, of which only the newest works; using an older one
again revokes the family, because then it is in two hands. simplejwt's blacklist tables hold them,
with a hash in the place of the token.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django_otp import match_token, user_has_device
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from phoenix_site.common.ids import uuid7
from phoenix_site.common.logging import get_logger
from tenants.constants import ACCESS_LIFETIME
from tenants.exceptions import AccessDeniedError, CredentialRefusedError, SecondFactorNeededError
from tenants.selectors.snapshots import family_of, password_mark
from tenants.services import audit, signing_keys, snapshots
from tenants.tokens import (
    STAFF,
    StaffAccessToken,
    StaffRefreshToken,
    read_staff_access,
    read_staff_refresh,
)
from tenants.types import Actor, AuditChange, Caller, StaffSnapshot, StaffTokens

log = get_logger(__name__)


def needs_second_factor(user: Any) -> bool:
    """Return whether a code is asked for: with a device, and of superusers in production."""
    return user_has_device(user) or (user.is_superuser and settings.PHOENIX_ENV == "prod")


def check_second_factor(user: Any, code: str | None) -> Any:
    """Return the device that accepted ``code``, or ``None`` when no second factor is asked for.

    Raises: ``SecondFactorNeededError``. Repeats: a code is taken once; the device remembers it.
    """
    if not needs_second_factor(user):
        return None
    device = match_token(user, code) if code else None
    if device is None:
        raise SecondFactorNeededError(
            "A one-time code is needed, and this one is missing or wrong."
        )
    return device


def issue_tokens(user: Any, *, now: datetime) -> StaffTokens:
    """Start a new family of tokens for a staff member who has just proved who they are."""
    signing_keys.ensure_signing_key(STAFF, now=now)
    return _make_pair(user, family=uuid7().hex)


def refresh_tokens(value: str, *, now: datetime) -> StaffTokens:
    """Return a new pair for a refresh token and retire it.

    Raises: ``CredentialRefusedError``; when the token was used before, its family is revoked too.
    Locks: the token's row, so that of two at once one gets the pair and the other counts as reuse.
    """
    token = _read_refresh(value)
    user = _active_staff(token)
    with transaction.atomic():
        row = OutstandingToken.objects.select_for_update().filter(jti=token["jti"]).first()
        if row is not None:
            _, is_first_use = BlacklistedToken.objects.get_or_create(token=row)
            if is_first_use:
                return _make_pair(user, family=family_of(token["jti"]))
    revoke_family(family_of(token["jti"]), now=now, actor=audit.staff_actor(user), reason="reuse")
    raise CredentialRefusedError("The refresh token was used before; sign in again.")


def revoke_token(value: str, *, now: datetime) -> None:
    """Revoke the family of a refresh token; one that is unknown or over needs nothing."""
    try:
        token = _read_refresh(value)
        user = _active_staff(token)
    except CredentialRefusedError:
        return
    revoke_family(family_of(token["jti"]), now=now, actor=audit.staff_actor(user), reason="asked")


@transaction.atomic
def revoke_family(family: str, *, now: datetime, actor: Actor, reason: str) -> int:
    """Revoke every token of one sign-in, the access tokens included, and return how many lived."""
    living = OutstandingToken.objects.filter(
        jti__startswith=f"{family}.", blacklistedtoken__isnull=True
    )
    revoked = BlacklistedToken.objects.bulk_create(
        [BlacklistedToken(token=token) for token in living], ignore_conflicts=True
    )
    if revoked:
        audit.record("staff.tokens_revoked", actor=actor, now=now, reason=reason)
        log.warning("staff.tokens_revoked", staff=actor.id, reason=reason)
    snapshots.forget()
    return len(revoked)


def authenticate_token(value: str) -> Caller:
    """Return the staff member behind an access token. Raises: ``CredentialRefusedError``."""
    try:
        token = read_staff_access(value)
    except TokenError as exc:
        raise CredentialRefusedError("The staff token is not valid or has expired.") from exc
    snapshot = _snapshot_for(token)
    if snapshot is None or not _is_live(token, snapshot):
        raise CredentialRefusedError("The staff token was revoked.")
    return Caller(
        kind="staff",
        tenant_id=None,
        tenant_ids=snapshot.tenant_ids,
        user_id=None,
        credential_id=None,
        secret_id=None,
        scopes=snapshot.scopes,
        expires_at=datetime.fromtimestamp(token["exp"], tz=UTC),
        staff_user_id=snapshot.user_id,
        label=snapshot.username,
    )


def check_still_allowed(snapshot: StaffSnapshot | None) -> None:
    """Refuse a staff member who was dismissed. Raises: ``AccessDeniedError``."""
    if snapshot is None or not snapshot.is_allowed:
        raise AccessDeniedError("Access was withdrawn.")


def record_sign_in(user: Any, *, door: str, address: str, now: datetime) -> None:
    """Write to the audit log that a staff member came in; ``door`` is page or token."""
    actor = audit.staff_actor(user, address=address)
    audit.record("staff.signed_in", actor=actor, now=now, reason=door)
    log.info("staff.signed_in", staff=user.pk, door=door)


def record_refused_sign_in(username: str, *, door: str, address: str, now: datetime) -> None:
    """Write to the audit log that somebody did not come in under a name that exists.

    Names that do not exist are left out, or anybody could fill the log.
    """
    if not get_user_model().objects.filter(username=username).exists():
        return
    actor = Actor("staff", "", username[:150], address)
    audit.record("staff.sign_in_refused", actor=actor, now=now, reason=door)
    log.warning("staff.sign_in_refused", door=door)


@transaction.atomic
def add_second_factor(user: Any, *, name: str, actor: Actor, now: datetime) -> str:
    """Give a person a device for one-time codes and return its ``otpauth://`` address, once."""
    device = TOTPDevice.objects.create(user=user, name=name, confirmed=True)
    about = AuditChange("second_factor", str(device.pk), f"{user.get_username()}: {name}")
    audit.record("second_factor.added", actor=actor, now=now, change=about)
    log.info("second_factor.added", staff=user.pk)
    return str(device.config_url)


@transaction.atomic
def remove_second_factor(device: Any, *, actor: Actor, now: datetime) -> None:
    """Take a device for one-time codes away."""
    about = AuditChange("second_factor", str(device.pk), f"{device.user}: {device.name}")
    device.delete()
    audit.record("second_factor.removed", actor=actor, now=now, change=about)
    log.info("second_factor.removed", staff=device.user_id)


def purge_ended_tokens(*, now: datetime) -> int:
    """Delete the rows of refresh tokens that are over and return how many."""
    return OutstandingToken.objects.filter(expires_at__lte=now).delete()[0]


def _make_pair(user: Any, *, family: str) -> StaffTokens:
    refresh, access = StaffRefreshToken(), StaffAccessToken()
    refresh["jti"] = f"{family}.{uuid7().hex}"
    for token in (refresh, access):
        token["sub"], token["fam"] = str(user.pk), family
        token["pwd"] = password_mark(user)
    OutstandingToken.objects.create(
        user=user,
        jti=refresh["jti"],
        token=hashlib.sha256(str(refresh).encode()).hexdigest(),
        created_at=refresh.current_time,
        expires_at=datetime.fromtimestamp(refresh["exp"], tz=UTC),
    )
    snapshots.forget()
    return StaffTokens(str(access), str(refresh), int(ACCESS_LIFETIME.total_seconds()))


def _read_refresh(value: str) -> StaffRefreshToken:
    try:
        return read_staff_refresh(value)
    except TokenError as exc:
        raise CredentialRefusedError("The refresh token is not valid or has expired.") from exc


def _active_staff(token: StaffRefreshToken) -> Any:
    user = get_user_model().objects.filter(pk=int(token["sub"])).first()
    if user is None or not (user.is_active and user.is_staff):
        raise CredentialRefusedError("The staff member may not sign in.")
    if password_mark(user) != token["pwd"]:
        raise CredentialRefusedError("The password has changed; sign in again.")
    return user


def _snapshot_for(token: StaffAccessToken) -> StaffSnapshot | None:
    user_id = int(token["sub"])
    snapshot = snapshots.staff.get(user_id)
    issued_at = datetime.fromtimestamp(token["iat"], tz=UTC)
    # What is held may be older than the sign-in; iat is in whole seconds.
    if snapshot is None or (
        token["fam"] not in snapshot.families
        and (snapshot.loaded_at - issued_at).total_seconds() < 2
    ):
        snapshot = snapshots.staff.renew(user_id)
    return snapshot


def _is_live(token: StaffAccessToken, snapshot: StaffSnapshot) -> bool:
    return (
        snapshot.is_allowed
        and token["fam"] in snapshot.families
        and token["pwd"] == snapshot.password_mark
    )
