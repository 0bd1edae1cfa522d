"""Answers to pages of other origins: what a browser must hear before it lets a page read one."""

from django.http import HttpRequest, HttpResponse

from phoenix_site.common.exceptions import MethodError, NotAllowedError

__all__ = [
    "READ_METHODS",
    "bare",
    "check_method",
    "check_origin",
    "dressed",
    "origin_headers",
    "preflight",
]

READ_METHODS = ("GET", "HEAD", "OPTIONS")
_PREFLIGHT_SECONDS = 7200
_EXPOSED = (
    "ETag, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
    "X-Request-Id"
)
_TAKEN = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id"
# A browser's cache goes by address: one page may read the same board with two players' tokens.
_VARY = "Authorization, Origin"


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
        raise NotAllowedError("This origin may not read the tenant's data.")


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
    return bare(204, headers)


def dressed(response: HttpResponse, headers: dict[str, str]) -> HttpResponse:
    """Return ``response`` with ``headers``; what the answer says itself goes first."""
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response


def check_method(request: HttpRequest, methods: tuple[str, ...] = READ_METHODS) -> None:
    """Refuse a method that the path does not take. Raises: ``MethodError``."""
    if request.method not in methods:
        raise MethodError(f'Method "{request.method}" not allowed.', allowed=methods)


def bare(status: int, headers: dict[str, str]) -> HttpResponse:
    """Return an answer without a body."""
    response = HttpResponse(status=status, headers=headers)
    del response.headers["Content-Type"]
    return response
