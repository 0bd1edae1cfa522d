"""Signing in by password and one-time code, with the lockout that the login page has."""

from datetime import datetime
from typing import Any

from axes.helpers import get_cool_off
from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.http import HttpRequest

from phoenix_site.common.exceptions import RateLimitedError
from tenants.api.authentication import request_address
from tenants.exceptions import CredentialRefusedError, SecondFactorNeededError
from tenants.services import staff

_DOOR = "token"


def sign_in(
    request: HttpRequest, *, username: str, password: str, code: str | None, now: datetime
) -> Any:
    """Return the staff member who proved who they are, and write it to the audit log.

    Raises: ``CredentialRefusedError``, ``SecondFactorNeededError``, ``RateLimitedError`` when the
    name is locked out for this address.
    """
    user = authenticate(request, username=username, password=password)
    if user is not None and not user.is_staff:
        _count_failure(request, username)
        user = None
    if user is None:
        raise _refusal(request, username, now)
    try:
        staff.check_second_factor(user, code)
    except SecondFactorNeededError:
        if code:
            _count_failure(request, username)
            raise _refusal(request, username, now) from None
        raise
    # Ends the count of failures and notes the time of the login.
    user_logged_in.send(sender=type(user), request=request, user=user)
    staff.record_sign_in(user, door=_DOOR, address=request_address(request), now=now)
    return user


def _count_failure(request: HttpRequest, username: str) -> None:
    user_login_failed.send(sender=__name__, credentials={"username": username}, request=request)


def _refusal(request: HttpRequest, username: str, now: datetime) -> Exception:
    if getattr(request, "axes_locked_out", False):
        # The middleware would otherwise put a page in the place of the answer.
        request.axes_locked_out = False  # type: ignore[attr-defined]
        cool_off = get_cool_off(request)
        seconds = int(cool_off.total_seconds()) if cool_off else 3600
        return RateLimitedError("Too many failed sign-ins; wait.", retry_after=seconds)
    address = request_address(request)
    staff.record_refused_sign_in(username, door=_DOOR, address=address, now=now)
    return CredentialRefusedError("Username, password or one-time code is wrong.")
