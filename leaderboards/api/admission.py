"""Who reads and what they are shown: the steps that both entrances of the query gateway share.

The DRF views and the native views differ only in how they wait.
"""

from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest

from leaderboards.api import answers
from leaderboards.api.questions import is_external_id
from leaderboards.selectors import shown
from leaderboards.selectors.shown import nothing_here
from leaderboards.types import ShownWindow
from phoenix_site.common.requests import client_address
from tenants.services import authentication, limits, snapshots
from tenants.services.limits import Take
from tenants.types import Caller, RequestFacts

_CREDENTIAL_HEADERS = (
    ("authorization", "HTTP_AUTHORIZATION"),
    ("x-api-key", "HTTP_X_API_KEY"),
    ("x-tenant-id", "HTTP_X_TENANT_ID"),
    ("x-timestamp", "HTTP_X_TIMESTAMP"),
    ("x-signature", "HTTP_X_SIGNATURE"),
)


@dataclass(frozen=True, slots=True)
class Reader:
    """An admitted player, and what the answer says about the limits."""

    caller: Caller
    limit_headers: dict[str, str]
    now: datetime

    @property
    def tenant_id(self) -> str:
        """Return the tenant of the token."""
        return self.caller.tenant_id or ""

    @property
    def user_id(self) -> str:
        """Return the player of the token."""
        return self.caller.user_id or ""


def request_facts(request: HttpRequest) -> RequestFacts:
    """Return what authentication needs to know of a request without a signature."""
    meta = request.META
    return RequestFacts(
        method=request.method or "",
        raw_path=request.path,
        headers={name: meta[field] for name, field in _CREDENTIAL_HEADERS if field in meta},
        body=b"",
        address=client_address(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR")),
    )


def admit(request: HttpRequest, *, now: datetime) -> Reader:
    """Return the player who sent the request.

    Raises: ``NotAuthenticatedError``, ``NotAllowedError`` for a suspended tenant, a missing scope
    or a foreign origin, ``RateLimitedError``.
    """
    facts = request_facts(request)
    caller = authentication.authenticate_tenant(facts, gateway="query", now=now)
    tenant = snapshots.tenant_settings(caller.tenant_id or "")
    answers.check_origin(request, tenant.allowed_origins)
    return Reader(caller, limits.enforce(limits.take_all(*_takes(caller))), now)


async def aadmit(request: HttpRequest, *, now: datetime) -> Reader:
    """Do what ``admit`` does; no thread, database or Redis while memory is fresh."""
    facts = request_facts(request)
    caller = await authentication.aauthenticate_tenant(facts, gateway="query", now=now)
    tenant = await snapshots.atenant_settings(caller.tenant_id or "")
    answers.check_origin(request, tenant.allowed_origins)
    return Reader(caller, limits.enforce(await limits.atake_all(*_takes(caller))), now)


def _takes(caller: Caller) -> tuple[Take, Take]:
    tenant_id = caller.tenant_id or ""
    return (
        Take("query_player", tenant_id, caller.user_id or ""),
        Take("query_tenant", tenant_id, tenant_id),
    )


def find_window(reader: Reader, leaderboard_id: str, window_key: str | None) -> ShownWindow:
    """Return the window to show. Raises: ``NotFoundError``."""
    return shown.get_shown(reader.tenant_id, leaderboard_id, window_key, now=reader.now)


async def afind_window(reader: Reader, leaderboard_id: str, window_key: str | None) -> ShownWindow:
    """Do what ``find_window`` does; what is shown may be a moment old."""
    return await shown.aget_shown(reader.tenant_id, leaderboard_id, window_key, now=reader.now)


def check_player_id(user_id: str) -> None:
    """Refuse whatever text a path holds that cannot be a player, before a database sees it.

    Raises: ``NotFoundError``.
    """
    if not is_external_id(user_id):
        raise nothing_here()
