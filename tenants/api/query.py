"""The query gateway's base: admits players, and answers pages of any origin that may ask."""

from datetime import datetime
from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from phoenix_site.common import origins
from phoenix_site.common.drf import GatewayView
from phoenix_site.common.exceptions import NotAllowedError
from tenants.api.authentication import QueryAuthentication, caller_of
from tenants.api.throttles import QueryThrottle
from tenants.services import snapshots


class OriginIsAllowed(BasePermission):
    """Ask a page for an origin that the tenant lists, if the tenant lists any."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        tenant = snapshots.tenant_settings(caller_of(request).tenant_id or "")
        origins.check_origin(request, tenant.allowed_origins)
        return True


class PlayerGatewayView(GatewayView):
    """Base of the query gateway's views; ``methods`` are what the path takes.

    ``asked_at`` is when the request came.
    """

    authentication_classes = [QueryAuthentication]
    permission_classes = [OriginIsAllowed]
    throttle_classes = [QueryThrottle]
    methods: ClassVar[tuple[str, ...]] = origins.READ_METHODS
    asked_at: datetime

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Admit the player; a preflight comes before there is a credential."""
        if request.method == "OPTIONS":
            return
        super().initial(request, *args, **kwargs)
        self.asked_at = timezone.now()
        origins.check_method(request, self.methods)

    def options(  # type: ignore[override]  # DRF's own returns its kind of response
        self, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Answer a preflight."""
        return origins.preflight(request, self.methods)

    def handle_exception(self, exc: Exception) -> Response:
        """Word a refusal as the other entrance does."""
        response = super().handle_exception(exc)
        response["Cache-Control"] = "no-store"
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Let the page that asked read every answer, also a refusal."""
        final = super().finalize_response(request, response, *args, **kwargs)
        return origins.dressed(final, origins.origin_headers(request))

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Leave out what DRF adds to every answer."""
        return {}

    @property
    def tenant_id(self) -> str:
        """Return the tenant of the token."""
        return caller_of(self.request).tenant_id or ""

    @property
    def user_id(self) -> str:
        """Return the player of the token."""
        return caller_of(self.request).user_id or ""

    def check_player(self, user_id: object) -> str:
        """Return the player of the token, who must be ``user_id`` unless that is ``None``.

        Raises: ``NotAllowedError`` (03/ADM-5).
        """
        if user_id not in (None, self.user_id):
            raise NotAllowedError("The token is of another player.")
        return self.user_id
