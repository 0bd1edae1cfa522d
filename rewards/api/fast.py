"""The hot path of coupons on the slim handler; ``views.coupons`` has the same and more.

Redemptions that come at the same time share a transaction: a hot coupon would otherwise be worth
no more a second than the disk confirms commits.
"""

from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone

from phoenix_site.common import origins
from phoenix_site.common.exceptions import DomainError, MediaTypeError
from phoenix_site.common.http import error_response, json_response
from phoenix_site.common.json import decode, rendered
from phoenix_site.common.requests import current_request_id
from rewards.api import coupon_shapes as shapes
from rewards.api.views import coupons as views
from rewards.services.redemption_queue import aredeem
from rewards.types.coupons import RedeemAsk
from tenants.api.authentication import request_facts
from tenants.services import authentication, limits, snapshots
from tenants.types import Caller

_METHODS: Final = views.RedeemView.methods
_whole_view = views.RedeemView.as_view()


async def redeem(request: HttpRequest, code: str) -> HttpResponse:
    """Redeem the code, together with whoever redeems at this moment."""
    if request.method == "OPTIONS":
        return origins.preflight(request, _METHODS)
    if "Idempotency-Key" in request.headers:
        return await sync_to_async(_redeem_once)(request, code)
    headers = origins.origin_headers(request)
    try:
        caller, limit_headers = await _admit(request)
        headers |= limit_headers
        origins.check_method(request, _METHODS)
        user_id = views.check_user(_read_body(request), caller.user_id or "")
        done = await aredeem(RedeemAsk(caller.tenant_id or "", user_id, code))
    except DomainError as exc:
        refusal = error_response(exc, current_request_id(), headers={"Cache-Control": "no-store"})
        return origins.dressed(refusal, headers)
    return origins.dressed(json_response(rendered(shapes.redeem_body(done))), headers)


async def _admit(request: HttpRequest) -> tuple[Caller, dict[str, str]]:
    """Return the player who sent the request, and the headers of the limits.

    The DRF view does the same by authentication, permission and throttle. Raises: their errors.
    """
    caller = await authentication.aauthenticate_tenant(
        request_facts(request), gateway="query", now=timezone.now()
    )
    tenant = await snapshots.atenant_settings(caller.tenant_id or "")
    origins.check_origin(request, tenant.allowed_origins)
    verdict = await limits.atake_all(*limits.query_takes(caller))
    return caller, limits.enforce(verdict)


def _read_body(request: HttpRequest) -> Any:
    """Return what was sent, ``None`` if nothing was. Raises: as the parser of the DRF view."""
    if not request.body:
        return None
    if (request.content_type or "application/json").strip().lower() != "application/json":
        raise MediaTypeError("The body must be application/json in UTF-8.")
    return decode(request.body)


def _redeem_once(request: HttpRequest, code: str) -> HttpResponse:
    """Answer by the DRF view, which keeps answers by their keys."""
    try:
        answer: Any = _whole_view(request, code=code)
        if hasattr(answer, "render"):
            answer.render()
    finally:
        # Nobody tells this thread that the request has ended.
        connections.close_all()
    response: HttpResponse = answer
    return response


urlpatterns: list[Any] = [path("v1/coupons/redeem/<str:code>", redeem)]
