"""The fast entrance: Django's routing and views without per-request thread hops.

Django's own async handler opens a thread-sensitive context, sends request signals through threads
and wraps every middleware. The hot paths need none of it, so this ASGI application resolves the
path with Django's resolver, calls a native async view with Django's request, and sends Django's
response. What it does not know goes to the full handler.
"""

from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, URLResolver
from django.urls.resolvers import RegexPattern, RoutePattern

from phoenix_site.common.exceptions import DomainError, TooLargeError
from phoenix_site.common.http import error_response, internal_error_response
from phoenix_site.common.logging import get_logger
from phoenix_site.common.requests import begin_request

log = get_logger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 1024 * 1024


class OneThreadHandler(ASGIHandler):
    """Django's ASGI handler with one thread hop for a request, not one for every middleware.

    Some middleware is written for threads only. Between two that are not, Django changes from the
    event loop to a thread and back; here all of them and the view run in the request's thread.
    """

    def __init__(self) -> None:
        # The parent's own would build a chain of coroutines.
        BaseHandler.__init__(self)
        self.load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response of the whole chain, made in the request's thread."""
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)


class ClientGoneError(Exception):
    """The client went away before its request was complete."""


class SlimHandler:
    """Serve the paths of ``patterns`` here and everything else through ``otherwise``."""

    def __init__(self, patterns: list[Any], otherwise: AsgiApp) -> None:
        self.resolver = URLResolver(RegexPattern(r"^/"), patterns)
        self.otherwise = otherwise
        # A path without a variable part always resolves alike.
        routes = [each.pattern for each in patterns if isinstance(each.pattern, RoutePattern)]
        fixed = [f"/{route}" for route in routes if not route.converters]
        self._fixed = {path: self.resolver.resolve(path) for path in fixed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            path = scope["path"]
            match = self._fixed.get(path) or self.resolver.resolve(path)
        except Resolver404:
            await self.otherwise(scope, receive, send)
            return
        try:
            response = await self._respond(match, scope, receive)
        except ClientGoneError:
            return
        await _send_response(response, send, is_head=scope["method"] == "HEAD")

    async def _respond(self, match: Any, scope: Scope, receive: Receive) -> HttpResponse:
        request_id = begin_request(_header(scope, b"x-request-id"))
        try:
            body = await _read_body(scope, receive)
            request = ASGIRequest(scope, BytesIO(body))
            request._body = body  # noqa: SLF001 - Django's own cache
            response: HttpResponse = await match.func(request, *match.args, **match.kwargs)
        except DomainError as exc:
            response = error_response(exc, request_id)
        except ClientGoneError:
            raise
        except Exception:
            log.exception("request.failed", path=scope["path"])
            response = internal_error_response(request_id)
        response.headers["X-Request-Id"] = request_id
        return response


def _header(scope: Scope, name: bytes) -> str | None:
    for candidate, value in scope["headers"]:
        if candidate == name:
            return str(value.decode("latin-1"))
    return None


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    declared = _header(scope, b"content-length")
    if declared and declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise TooLargeError(f"The body is over {MAX_BODY_BYTES} bytes.")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise TooLargeError(f"The body is over {MAX_BODY_BYTES} bytes.")
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _send_response(response: HttpResponse, send: Send, *, is_head: bool) -> None:
    body = response.content
    headers = [
        (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in response.items()
    ]
    headers.append((b"content-length", str(len(body)).encode("ascii")))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
