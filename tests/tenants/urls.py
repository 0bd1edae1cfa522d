"""Paths for the tests of the gateway parts: the staff tokens and a view that uses everything."""

import threading
from typing import Any

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from phoenix_site.common.drf import GatewayView
from phoenix_site.common.exceptions import ConflictError
from tenants.api.authentication import (
    AdminAuthentication,
    IngestionAuthentication,
    QueryAuthentication,
    caller_of,
)
from tenants.api.idempotency import idempotent
from tenants.api.permissions import HasScope, ReachesTenant
from tenants.api.throttles import AdminThrottle, QueryThrottle
from tenants.api.urls import admin_urlpatterns


class ProbeView(GatewayView):
    """Counts how often its work was done; a test may make it slow or let it fail."""

    authentication_classes = [AdminAuthentication]
    permission_classes = [ReachesTenant, HasScope("leaderboards:read", write="leaderboards:write")]
    throttle_classes = [AdminThrottle]
    done = 0
    gate: threading.Event | None = None
    entered = threading.Event()

    def get(self, request: Request, tenant_id: str | None = None) -> Response:
        caller = caller_of(request)
        return Response({"kind": caller.kind, "user": str(request.user), "tenant": tenant_id})

    @idempotent
    def post(self, request: Request, tenant_id: str | None = None) -> Response:
        ProbeView.done += 1
        ProbeView.entered.set()
        if ProbeView.gate is not None:
            ProbeView.gate.wait(10)
        data: Any = request.data
        fail = data.get("fail")
        if fail == "conflict":
            raise ConflictError("It exists.")
        if fail == "fault":
            raise RuntimeError("A fault of our own.")
        return Response({"number": ProbeView.done}, status=201, headers={"Location": "/x"})

    @idempotent
    def delete(self, request: Request, tenant_id: str | None = None) -> Response:
        ProbeView.done += 1
        return Response(status=204)


class IngestionProbe(GatewayView):
    authentication_classes = [IngestionAuthentication]

    def post(self, request: Request) -> Response:
        return Response({"kind": caller_of(request).kind, "size": len(request.data)})


class QueryProbe(GatewayView):
    authentication_classes = [QueryAuthentication]
    throttle_classes = [QueryThrottle]

    def get(self, request: Request) -> Response:
        return Response({"user_id": caller_of(request).user_id})

    @idempotent
    def post(self, request: Request) -> Response:
        return Response({"user_id": caller_of(request).user_id}, status=201)


urlpatterns: list[Any] = [
    *admin_urlpatterns,
    path("v1/probe", ProbeView.as_view()),
    path("v1/tenants/<slug:tenant_id>/probe", ProbeView.as_view()),
    path("v1/ingest", IngestionProbe.as_view()),
    path("v1/query", QueryProbe.as_view()),
]
