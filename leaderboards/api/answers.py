"""What every answer of the query gateway carries, whichever entrance it leaves by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from django.http import HttpRequest, HttpResponse

from phoenix_site.common.exceptions import DomainError, MethodError, NotAllowedError
from phoenix_site.common.http import error_response, json_response
from phoenix_site.common.json import encode
from phoenix_site.common.requests import current_request_id
from phoenix_site.common.times import format_utc

READ_METHODS = ("GET", "HEAD", "OPTIONS")
_PREFLIGHT_SECONDS = 7200
_EXPOSED = (
    "ETag, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
    "X-Request-Id"
)
_TAKEN = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id"
# A browser's cache goes by address: one page may read the same board with two players' tokens.
_VARY = "Authorization, Origin"
_FRESHNESS = "private, max-age=1"
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def origin_headers(request: HttpRequest) -> dict[str, str]:
    """Return the headers by which a browser lets the page that asked read the answer.

    They stand on refusals too: a page of an origin that is not allowed may learn that it is not.
    """
    headers = {"Vary": _VARY}
    origin = request.META.get("HTTP_ORIGIN")
    if origin:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = _EXPOSED
    return headers


def check_origin(request: HttpRequest, allowed_origins: tuple[str, ...]) -> None:
    """Refuse a page of an origin that the tenant does not list; without a list, any may ask.

    Raises: ``NotAllowedError``.
    """
    origin = request.META.get("HTTP_ORIGIN")
    if not allowed_origins or not origin:
        return
    if _plain(origin) not in map(_plain, allowed_origins):
        raise NotAllowedError("This origin may not read the tenant's boards.")


def _plain(origin: str) -> str:
    return origin.strip().rstrip("/").lower()


def preflight(request: HttpRequest, methods: tuple[str, ...] = READ_METHODS) -> HttpResponse:
    """Answer ``OPTIONS``: whose page it is shows only with the request itself."""
    headers = origin_headers(request) | {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _TAKEN,
        "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
        "Allow": ", ".join(methods),
    }
    return _bare(204, headers)


@dataclass(frozen=True, slots=True)
class Content:
    """A body as it is sent, and its entity tag."""

    body: bytes
    tag: str


def encoded(body: Any) -> Content:
    """Return ``body`` as JSON, with the tag of exactly this content."""
    text = encode(body)
    return Content(text, f'W/"{blake2b(text, digest_size=12).hexdigest()}"')


def content_answer(
    request: HttpRequest,
    content: Content,
    *,
    as_of: datetime | None = None,
    headers: Mapping[str, str] = _NO_HEADERS,
) -> HttpResponse:
    """Return the answer with ``content``, or 304 when the client has it already.

    ``as_of`` closes the body and is no part of the tag: it moves while nothing else does.
    """
    headers = {**headers, "ETag": content.tag, "Cache-Control": _FRESHNESS}
    if _has_match(request.META.get("HTTP_IF_NONE_MATCH"), content.tag):
        return _bare(304, headers)
    body = content.body
    if as_of is not None:
        body = b'%b,"as_of":"%b"}' % (body[:-1], format_utc(as_of).encode())
    return HttpResponse(body, content_type="application/json", headers=headers)


def created_answer(body: Any) -> HttpResponse:
    """Return the answer to a request that made something secret; no cache keeps it."""
    return json_response(body, status=201, headers={"Cache-Control": "no-store"})


def refusal(error: DomainError) -> HttpResponse:
    """Return the answer for ``error``; no cache keeps it."""
    return error_response(error, current_request_id(), headers={"Cache-Control": "no-store"})


def dressed(response: HttpResponse, headers: dict[str, str]) -> HttpResponse:
    """Return ``response`` with ``headers``; what the answer says itself goes first."""
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response


def check_method(request: HttpRequest, methods: tuple[str, ...] = READ_METHODS) -> None:
    """Refuse a method that the path does not take. Raises: ``MethodError``."""
    if request.method not in methods:
        raise MethodError(f'Method "{request.method}" not allowed.', allowed=methods)


def _has_match(sent: str | None, tag: str) -> bool:
    """Compare weakly, as RFC 9110 section 13.1.2 asks of ``If-None-Match``."""
    if sent is None:
        return False
    wanted = tag.removeprefix("W/")
    return sent.strip() == "*" or any(
        candidate.strip().removeprefix("W/") == wanted for candidate in sent.split(",")
    )


def _bare(status: int, headers: dict[str, str]) -> HttpResponse:
    response = HttpResponse(status=status, headers=headers)
    del response.headers["Content-Type"]
    return response
