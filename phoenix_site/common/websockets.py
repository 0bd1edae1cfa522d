"""Refusing a WebSocket before the upgrade, with the same body as any other refusal."""

from phoenix_site.common.exceptions import DomainError, NotFoundError
from phoenix_site.common.handler import Receive, Scope, Send
from phoenix_site.common.http import error_response, internal_error_response
from phoenix_site.common.requests import begin_request

_RESPONSE = "websocket.http.response"


def read_header(scope: Scope, name: bytes) -> str | None:
    """Return the first header ``name`` (lower case)."""
    for candidate, value in scope["headers"]:
        if candidate.lower() == name:
            return str(value.decode("latin-1"))
    return None


async def deny(scope: Scope, send: Send, error: DomainError | None, request_id: str) -> None:
    """Answer the upgrade with ``error``, or with a 500 that says only its request id.

    A server without the extension for it can only answer an empty 403.
    """
    if _RESPONSE not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    response = error_response(error, request_id) if error else internal_error_response(request_id)
    response.headers["X-Request-Id"] = request_id
    headers = [
        (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in response.items()
    ]
    headers.append((b"content-length", str(len(response.content)).encode("ascii")))
    await send({"type": f"{_RESPONSE}.start", "status": response.status_code, "headers": headers})
    await send({"type": f"{_RESPONSE}.body", "body": response.content})


async def unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404 to an upgrade on a path that has no socket."""
    request_id = begin_request(read_header(scope, b"x-request-id"))
    await receive()
    await deny(scope, send, NotFoundError("There is nothing here."), request_id)
