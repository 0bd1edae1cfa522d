from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ingestion import selectors
from ingestion.api.serializers import (
    EventDetailOutput,
    EventOutput,
    EventPageOutput,
    EventQuery,
)
from phoenix_site.common.drf import GatewayView
from tenants.api.authentication import AdminAuthentication
from tenants.api.permissions import HasScope, ReachesTenant
from tenants.api.throttles import AdminThrottle


class LogView(GatewayView):
    """Base of the views that show a tenant's events."""

    authentication_classes = [AdminAuthentication]
    permission_classes = [HasScope("events:read"), ReachesTenant]
    throttle_classes = [AdminThrottle]


class EventListView(LogView):
    """List a tenant's events, newest first."""

    @extend_schema(parameters=[EventQuery], responses=EventPageOutput, tags=["events"])
    def get(self, request: Request, tenant_id: str) -> Response:
        query = EventQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        sent = query.validated_data
        page = selectors.newest_events(
            tenant_id, query.wanted(), limit=sent["limit"], after=sent.get("after")
        )
        return Response(EventPageOutput(page).data)


class EventDetailView(LogView):
    """Show one event and what each consumer made of it."""

    @extend_schema(responses=EventDetailOutput, tags=["events"])
    def get(self, request: Request, tenant_id: str, event_id: str) -> Response:
        event = selectors.get_event(tenant_id, event_id)
        effects = selectors.effects_of(event)
        return Response(EventOutput(event).data | {"cause": event.cause, "effects": effects})
