from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from phoenix_site.common.drf import GatewayView
from tenants.api.serializers import RefreshInput, StaffSignInInput, StaffTokensOutput
from tenants.api.sign_in import sign_in
from tenants.api.throttles import StaffLoginThrottle
from tenants.services import staff


class StaffTokenView(GatewayView):
    """Sign in with password and one-time code; the pair of tokens starts a family."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [StaffLoginThrottle]

    @extend_schema(request=StaffSignInInput, responses=StaffTokensOutput, tags=["staff"])
    def post(self, request: Request) -> Response:
        wanted = StaffSignInInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        now, facts = timezone.now(), dict(wanted.validated_data)
        code = facts.pop("otp", None)
        user = sign_in(request._request, **facts, code=code, now=now)  # noqa: SLF001
        return Response(StaffTokensOutput(staff.issue_tokens(user, now=now)).data)


class StaffTokenRefreshView(GatewayView):
    """Change a refresh token for a new pair; a token that was used before revokes its family."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [StaffLoginThrottle]

    @extend_schema(request=RefreshInput, responses=StaffTokensOutput, tags=["staff"])
    def post(self, request: Request) -> Response:
        wanted = RefreshInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        tokens = staff.refresh_tokens(wanted.validated_data["refresh"], now=timezone.now())
        return Response(StaffTokensOutput(tokens).data)


class StaffTokenRevokeView(GatewayView):
    """End all tokens of a sign-in; a token that is unknown or over is answered alike."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [StaffLoginThrottle]

    @extend_schema(request=RefreshInput, responses={204: None}, tags=["staff"])
    def post(self, request: Request) -> Response:
        wanted = RefreshInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        staff.revoke_token(wanted.validated_data["refresh"], now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)
