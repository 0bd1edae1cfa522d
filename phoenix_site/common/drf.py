"""Django REST framework as every gateway uses it: exact JSON, one error shape, strict pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest
from rest_framework import exceptions as drf_errors
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from phoenix_site.common import exceptions as errors
from phoenix_site.common.exceptions import Detail, DomainError, InvalidInputError
from phoenix_site.common.formats import JSONParser, JSONRenderer
from phoenix_site.common.http import error_body, error_headers, status_of
from phoenix_site.common.logging import get_logger
from phoenix_site.common.requests import current_request_id

log = get_logger(__name__)


class JsonOnly(BaseContentNegotiation):
    """Answer JSON whatever ``Accept`` says, as the contracts promise one representation."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        sent = request.content_type or "application/json"
        return parsers[0] if sent.split(";")[0].strip().lower() == "application/json" else None

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class GatewayView(APIView):
    """Base of every gateway view: JSON only, errors in one shape."""

    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = JsonOnly

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """Add the headers that a throttle left for the answer, such as ``X-RateLimit-…``."""
        response = super().finalize_response(request, response, *args, **kwargs)
        left: dict[str, str] = getattr(request, "answer_headers", {})
        for name, value in left.items():
            response.headers.setdefault(name, value)
        return response


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Turn any error of a view into spec 00's shape; unknown ones stay Django's to report."""
    error = _as_domain_error(exc)
    if error is None:
        return None
    response = Response(error_body(error, current_request_id()), status=status_of(error))
    for name, value in error_headers(error).items():
        response[name] = value
    if isinstance(exc, drf_errors.MethodNotAllowed):
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def _as_domain_error(exc: Exception) -> DomainError | None:
    if isinstance(exc, DomainError):
        return exc
    if isinstance(exc, Http404):
        return errors.NotFoundError("There is nothing here.")
    if isinstance(exc, drf_errors.ValidationError):
        return InvalidInputError("The request is not valid.", details=_details(exc.detail))
    return next((make(exc) for kind, make in _FROM_DRF if isinstance(exc, kind)), None)


_FROM_DRF: tuple[tuple[type[Exception], Any], ...] = (
    # As on the fast entrance: an unreachable database is no fault of the request or of ours.
    (OperationalError, lambda _exc: errors.UnavailableError("The database cannot be reached.")),
    (InterfaceError, lambda _exc: errors.UnavailableError("The database cannot be reached.")),
    (drf_errors.ParseError, lambda exc: errors.InvalidJsonError(str(exc))),
    (
        drf_errors.NotAuthenticated,
        lambda _exc: errors.NotAuthenticatedError("A credential is missing.", code="AUTH_002"),
    ),
    (drf_errors.AuthenticationFailed, lambda exc: errors.NotAuthenticatedError(str(exc))),
    (drf_errors.PermissionDenied, lambda exc: errors.NotAllowedError(str(exc))),
    (drf_errors.NotFound, lambda _exc: errors.NotFoundError("There is nothing here.")),
    (drf_errors.MethodNotAllowed, lambda exc: errors.MethodError(str(exc))),
    (drf_errors.NotAcceptable, lambda exc: errors.NotAcceptableError(str(exc))),
    (
        drf_errors.UnsupportedMediaType,
        lambda _exc: errors.MediaTypeError("The body must be application/json in UTF-8."),
    ),
    (
        drf_errors.Throttled,
        lambda exc: errors.RateLimitedError(str(exc), retry_after=int(exc.wait or 1)),
    ),
)


def _details(fault: Any, path: str = "") -> list[Detail]:
    if isinstance(fault, Mapping):
        return [
            detail
            for name, inner in fault.items()
            for detail in _details(inner, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(fault, list):
        return [detail for inner in fault for detail in _details(inner, path)]
    return [Detail(path, str(fault), getattr(fault, "code", None))]


@dataclass(frozen=True, slots=True)
class Page:
    """A slice of a list: ``limit`` rows from ``offset`` (0-based)."""

    limit: int
    offset: int


def read_int(value: str | None, name: str, *, default: int, minimum: int, maximum: int) -> int:
    """Return a whole number of a query string. Raises: ``InvalidInputError`` naming it."""
    if value is None:
        return default
    if value.isascii() and value.isdigit() and minimum <= int(value[:12]) <= maximum:
        return int(value)
    message = f"must be a whole number from {minimum} to {maximum}"
    raise InvalidInputError(f"{name} {message}.", details=[Detail(name, message, "bad_value")])


def read_page(request: HttpRequest | Any, *, default: int, maximum: int) -> Page:
    """Return the asked page, never clamped. Raises: ``InvalidInputError`` naming the field."""
    query = request.GET
    return Page(
        limit=read_int(query.get("limit"), "limit", default=default, minimum=1, maximum=maximum),
        offset=read_int(query.get("offset"), "offset", default=0, minimum=0, maximum=10**9),
    )
