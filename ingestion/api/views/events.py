"""The ingestion gateway as REST views; ``fast`` has the same operations for speed."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from ingestion.api import entrance
from ingestion.api.entrance import Operation
from ingestion.api.serializers import BulkInputShape, BulkOutput, EventInputShape, StoredOutput
from ingestion.services import intake, store
from ingestion.types import Sender
from phoenix_site.common.drf import GatewayView
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.http import error_response
from phoenix_site.common.nudges import nudge_consumers
from phoenix_site.common.requests import current_request_id
from tenants.api.authentication import IngestionAuthentication, caller_of
from tenants.services import limits, snapshots


class IngestionView(GatewayView):
    """Base of both operations; the order of the checks is that of ING-10."""

    authentication_classes = [IngestionAuthentication]
    permission_classes = [AllowAny]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Size, credential, method: in this order, before the rest of the request is looked at."""
        http = _http(request)
        entrance.check_size(http)
        super().initial(request, *args, **kwargs)
        entrance.check_method(http)

    def serve(self, request: Request, operation: Operation) -> HttpResponse:
        """Check, store and answer."""
        submission = operation.read(_http(request))
        caller = caller_of(request)
        tenant = snapshots.tenant_settings(caller.tenant_id or "")
        taken = limits.take(entrance.LIMIT_CLASS, tenant.id, tenant.id, cost=len(submission.items))
        headers = limits.enforce(taken)
        sender = Sender(tenant, caller.credential_id, current_request_id())
        try:
            checked = intake.check_events(submission, sender, now=timezone.now())
            outcomes = store.store_events(checked.rows) if checked.rows else []
            nudge_consumers(intake.accepted_shards(checked, outcomes))
            return entrance.answer(operation, checked, outcomes, sender, headers)
        except DomainError as exc:
            return error_response(exc, sender.request_id, headers=headers)

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Leave out what the framework adds to every answer: both entrances answer alike."""
        return {}


def _http(request: Request) -> HttpRequest:
    http: HttpRequest = request._request  # noqa: SLF001 - the only way to Django's request
    return http


@extend_schema_view(
    post=extend_schema(
        request=EventInputShape,
        responses={202: StoredOutput, 200: StoredOutput},
        tags=["ingestion"],
    )
)
class StoreEventView(IngestionView):
    """Store one event; sending it again is harmless."""

    @extend_schema(
        request=EventInputShape,
        responses={202: StoredOutput, 200: StoredOutput},
        tags=["ingestion"],
    )
    def post(self, request: Request) -> HttpResponse:
        return self.serve(request, entrance.SINGLE)


class StoreEventsView(IngestionView):
    """Store 1 to 100 events; every one has its own verdict, in the order sent."""

    @extend_schema(
        request=BulkInputShape, responses={202: BulkOutput, 400: BulkOutput}, tags=["ingestion"]
    )
    def post(self, request: Request) -> HttpResponse:
        return self.serve(request, entrance.BULK)
