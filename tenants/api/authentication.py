"""Who is calling, for Django REST framework: shells around ``services.authentication``.

``request.auth`` is the ``Caller``; refusals are raised as domain errors with their own codes.
"""

from datetime import datetime
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.utils import timezone
from django.utils.encoding import escape_uri_path
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from phoenix_site.common.exceptions import TooLargeError
from phoenix_site.common.requests import client_address
from tenants.exceptions import CredentialMissingError
from tenants.services import authentication
from tenants.types import Caller, Gateway, RequestFacts

_CREDENTIAL_HEADERS = (
    ("authorization", "HTTP_AUTHORIZATION"),
    ("x-api-key", "HTTP_X_API_KEY"),
    ("x-tenant-id", "HTTP_X_TENANT_ID"),
    ("x-timestamp", "HTTP_X_TIMESTAMP"),
    ("x-signature", "HTTP_X_SIGNATURE"),
)


class CallerUser:
    """What Django REST framework wants as ``request.user``: somebody who is authenticated."""

    is_authenticated = True
    is_anonymous = False
    is_active = True

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.pk = caller.actor_id

    def __str__(self) -> str:
        return self.caller.label


class CallerAuthentication(BaseAuthentication):
    """Base of the gateways' authentication; a subclass says which credentials it takes."""

    def authenticate(self, request: Request) -> tuple[Any, Caller]:
        facts = request_facts(request._request)  # noqa: SLF001 - the only way to Django's request
        caller = self.find_caller(facts, now=timezone.now())
        return CallerUser(caller), caller

    def find_caller(self, facts: RequestFacts, *, now: datetime) -> Caller:
        """Return the caller, or raise why there is none."""
        raise NotImplementedError


class TenantAuthentication(CallerAuthentication):
    """Take tenant tokens and, on ingestion, signatures; subclasses name their gateway."""

    gateway: Gateway = "ingestion"

    def find_caller(self, facts: RequestFacts, *, now: datetime) -> Caller:
        return authentication.authenticate_tenant(facts, gateway=self.gateway, now=now)


class IngestionAuthentication(TenantAuthentication):
    gateway: Gateway = "ingestion"


class QueryAuthentication(TenantAuthentication):
    gateway: Gateway = "query"


class AdminAuthentication(CallerAuthentication):
    """Take API keys, admin tokens and staff tokens."""

    def find_caller(self, facts: RequestFacts, *, now: datetime) -> Caller:
        return authentication.authenticate_admin(facts, now=now)


def caller_of(request: Request) -> Caller:
    """Return the caller of an authenticated request."""
    caller: Any = request.auth
    if not isinstance(caller, Caller):
        raise CredentialMissingError("A credential is missing.")
    return caller


def request_facts(request: HttpRequest) -> RequestFacts:
    """Return what authentication needs to know of a Django request.

    The body is read only where a signature covers it.
    """
    meta = request.META
    headers = {name: meta[field] for name, field in _CREDENTIAL_HEADERS if field in meta}
    return RequestFacts(
        method=request.method or "",
        raw_path=raw_path(request),
        headers=headers,
        body=_body(request) if "x-signature" in headers else b"",
        address=request_address(request),
    )


def request_address(request: HttpRequest) -> str:
    """Return the client's address, behind trusted proxies."""
    meta = request.META
    return client_address(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR"))


def raw_path(request: HttpRequest) -> str:
    """Return the path as it was received, percent-encoding untouched, without the query string."""
    scope = getattr(request, "scope", None)
    if scope and scope.get("raw_path"):
        return str(scope["raw_path"].decode("latin-1"))
    # WSGI keeps only the decoded path.
    return escape_uri_path(request.path)


def _body(request: HttpRequest) -> bytes:
    try:
        return request.body
    except RequestDataTooBig as exc:
        raise TooLargeError("The body is over the limit.") from exc
