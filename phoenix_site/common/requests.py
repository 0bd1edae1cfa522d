"""Who asks: request ids and client addresses, the same for every entrance."""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from phoenix_site.common.ids import new_id

_VALID_ID = re.compile(r"[\x21-\x7e]{1,128}\Z")
_request_id: ContextVar[str] = ContextVar("phoenix_request_id", default="")


def current_request_id() -> str:
    """Return the id of the request being served, or an empty text outside of one."""
    return _request_id.get()


def begin_request(sent: str | None) -> str:
    """Choose the request's id (the caller's when it is valid, else a new one) and remember it."""
    request_id = sent if sent and _VALID_ID.match(sent) else new_id()
    _request_id.set(request_id)
    return request_id


class RequestIdMiddleware:
    """Give every request an id and send it back in ``X-Request-Id``."""

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._acall(request)
        request_id = begin_request(request.headers.get("X-Request-Id"))
        response: HttpResponseBase = self.get_response(request)  # type: ignore[assignment]
        response["X-Request-Id"] = request_id
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        request_id = begin_request(request.headers.get("X-Request-Id"))
        response: HttpResponseBase = await self.get_response(request)  # type: ignore[misc]
        response["X-Request-Id"] = request_id
        return response


def client_address(peer: str, forwarded_for: str | None) -> str:
    """Return the client's address: ``X-Forwarded-For`` counts only behind a trusted proxy.

    The header is read from the right; the first address that is not a trusted proxy is the client.
    """
    trusted: Iterable[str] = settings.PHOENIX_TRUSTED_PROXIES
    if not forwarded_for or not trusted or not in_networks(peer, trusted):
        return peer
    for hop in reversed([part.strip() for part in forwarded_for.split(",")]):
        if not in_networks(hop, trusted):
            return hop
    return peer


def login_address(request: HttpRequest) -> str | None:
    """Return the client's address for the lockout of logins, or nothing when it is not one."""
    address = client_address(
        request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR")
    )
    return address if in_networks(address, ("0.0.0.0/0", "::/0")) else None


def in_networks(address: str, networks: Iterable[str]) -> bool:
    """Return whether ``address`` lies in one of the CIDR ``networks``."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)
