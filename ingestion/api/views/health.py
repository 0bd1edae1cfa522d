from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from ingestion.api.entrance import LIMIT_CLASS
from ingestion.api.serializers import HealthOutput, ReadyOutput
from ingestion.services import readiness
from ingestion.types import Readiness
from phoenix_site.common.drf import GatewayView
from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.http import error_body, error_headers, status_of
from phoenix_site.common.requests import current_request_id
from tenants.api.authentication import request_facts
from tenants.exceptions import CredentialMissingError
from tenants.services import limits
from tenants.services.authentication import authenticate_any
from tenants.services.limits import Take
from tenants.types import Caller


class ProbeView(GatewayView):
    """Base of both probes: open to everybody, and never slowed down by a limit."""

    authentication_classes = []
    permission_classes = [AllowAny]
    http_method_names = ["get", "head"]


class HealthView(ProbeView):
    """Say that the process answers; a credential that is sent is always verified."""

    @extend_schema(responses=HealthOutput, tags=["health"])
    def get(self, request: Request) -> Response:
        takes_tenants = "ingestion" in settings.PHOENIX_GATEWAYS
        facts = request_facts(request._request)  # noqa: SLF001 - the only way to Django's request
        caller = authenticate_any(facts, now=timezone.now(), accepts_tenant_tokens=takes_tenants)
        body: dict[str, Any] = {"status": "healthy"}
        headers = {"X-Phoenix-Version": str(settings.SPECTACULAR_SETTINGS["VERSION"])}
        if caller is not None:
            headers |= limits.enforce(limits.take_all(_take(caller)))
            body |= {"credential": caller.kind, "tenant_ids": _tenant_ids(caller)}
        elif not takes_tenants and "admin" in settings.PHOENIX_GATEWAYS:
            raise CredentialMissingError("A credential is missing.")
        return Response(body, headers=headers)


def _tenant_ids(caller: Caller) -> list[str] | None:
    if caller.tenant_id is not None:
        return [caller.tenant_id]
    return None if caller.tenant_ids is None else sorted(caller.tenant_ids)


def _take(caller: Caller) -> Take:
    if caller.tenant_id is not None:
        return Take(LIMIT_CLASS, caller.tenant_id, caller.tenant_id)
    return limits.admin_take(caller)


class ReadyView(ProbeView):
    """Say whether the process may get traffic."""

    @extend_schema(responses=ReadyOutput, tags=["health"])
    def get(self, request: Request) -> Response:
        state = readiness.check_readiness(now=timezone.now())
        body = {
            "status": state.status,
            "database": state.database,
            "message_queue": state.message_queue,
            "last_worker_heartbeat": state.last_worker_heartbeat,
            "largest_consumer_lag_seconds": state.largest_lag_seconds,
        }
        if state.status != "not_ready":
            return Response(body)
        error = UnavailableError(_reason(state))
        return Response(
            error_body(error, current_request_id()) | body,
            status=status_of(error),
            headers=error_headers(error),
        )


def _reason(state: Readiness) -> str:
    if state.is_draining:
        return "The process is about to end."
    if state.database == "migrations_pending":
        return "The database waits for migrations."
    return "The database cannot be reached."
