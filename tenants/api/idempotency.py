"""Idempotency keys for views: one header makes a POST safe to repeat (00 section 3)."""

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from phoenix_site.common.formats import JSONRenderer
from tenants.api.authentication import caller_of
from tenants.api.permissions import named_tenant
from tenants.models import IdempotencyRecord
from tenants.services import idempotency
from tenants.types import Caller, IdempotencyScope, StoredAnswer

Handler = Callable[..., HttpResponse]

_KEPT_HEADERS = ("Location", "ETag")


def idempotent(handler: Handler) -> Handler:
    """Let a view method answer the same ``Idempotency-Key`` with the same answer.

    It runs after authentication, permissions and throttles, so what those refuse is not kept.
    """

    @wraps(handler)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return handler(view, request, *args, **kwargs)
        scope = _scope(view, request, idempotency.check_key(key))
        query = request.META.get("QUERY_STRING", "")
        digest = idempotency.content_hash(query, request._request.body)  # noqa: SLF001
        found = idempotency.begin_request(scope, digest, now=timezone.now())
        if isinstance(found, StoredAnswer):
            return _replay(found)
        return _run_once(found, handler, view, request, *args, **kwargs)

    return wrapper


def _scope(view: Any, request: Request, key: str) -> IdempotencyScope:
    caller = caller_of(request)
    return IdempotencyScope(
        tenant_id=caller.tenant_id or named_tenant(request, view),
        credential=_credential(caller),
        method=request.method or "",
        path=request.path,
        key=key,
    )


def _credential(caller: Caller) -> str:
    """Return whose key it is: of a tenant's players, who share one secret, each is on their own."""
    if caller.kind != "tenant_jwt":
        return caller.actor_id
    text = f"{caller.actor_id}\n{caller.user_id or ''}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _run_once(
    record: IdempotencyRecord,
    handler: Handler,
    view: Any,
    request: Request,
    *args: Any,
    **kwargs: Any,
) -> HttpResponse:
    try:
        response = _answer(handler, view, request, *args, **kwargs)
    except BaseException:
        idempotency.abandon_request(record)
        raise
    headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
    idempotency.finish_request(
        record, status=response.status_code, headers=headers, body=_content(response)
    )
    return response


def _answer(
    handler: Handler, view: Any, request: Request, *args: Any, **kwargs: Any
) -> HttpResponse:
    """Return the view's answer, an error's included; what is no error of ours is raised on."""
    try:
        return handler(view, request, *args, **kwargs)
    except Exception as exc:  # noqa: BLE001 - the view knows which ones are answers
        answer: HttpResponse = view.handle_exception(exc)
        return answer


def _content(response: HttpResponse) -> bytes:
    if isinstance(response, Response):
        return JSONRenderer().render(response.data)
    return response.content


def _replay(stored: StoredAnswer) -> HttpResponse:
    return HttpResponse(
        stored.body,
        status=stored.status,
        content_type="application/json",
        headers={**stored.headers, "Idempotent-Replayed": "true"},
    )
