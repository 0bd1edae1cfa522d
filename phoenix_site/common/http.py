"""The one place where errors become HTTP answers; both entrances use it."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse

from phoenix_site.common import exceptions as errors
from phoenix_site.common.json import encode

_STATUS: tuple[tuple[type[errors.DomainError], int], ...] = (
    (errors.InvalidInputError, 400),
    (errors.NotAuthenticatedError, 401),
    (errors.NotAllowedError, 403),
    (errors.NotFoundError, 404),
    (errors.MethodError, 405),
    (errors.NotAcceptableError, 406),
    (errors.ConflictError, 409),
    (errors.TooLargeError, 413),
    (errors.MediaTypeError, 415),
    (errors.RateLimitedError, 429),
    (errors.UnavailableError, 503),
)


def status_of(error: errors.DomainError) -> int:
    """Return the HTTP status of ``error``."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_body(error: errors.DomainError, request_id: str) -> dict[str, Any]:
    """Return the error shape of spec 00 section 3."""
    body: dict[str, Any] = {
        "error": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    if error.details:
        body["details"] = [detail.as_dict() for detail in error.details]
    return body


def error_headers(error: errors.DomainError) -> dict[str, str]:
    """Return the headers that belong to ``error``: when to come back, and the limit."""
    headers: dict[str, str] = dict(getattr(error, "headers", {}))
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if isinstance(error, errors.NotAuthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def json_response(
    data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return ``data`` as a JSON answer."""
    return HttpResponse(
        encode(data), status=status, content_type="application/json", headers=dict(headers or {})
    )


def error_response(
    error: errors.DomainError, request_id: str, *, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return the answer for ``error``."""
    merged = error_headers(error) | dict(headers or {})
    return json_response(error_body(error, request_id), status=status_of(error), headers=merged)


def internal_error_response(request_id: str) -> HttpResponse:
    """Return the answer for a fault of our own: it says only its request id."""
    body = {"error": "Internal error.", "code": "SRV_001", "request_id": request_id}
    return json_response(body, status=500)
