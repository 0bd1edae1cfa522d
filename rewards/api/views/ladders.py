"""Ladders and levels on both gateways (spec 03 section 9)."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rewards.api import ladder_shapes as shapes
from rewards.api.collections import AdminView
from rewards.api.questions import read_text
from rewards.api.views.jobs import QueuedJobOutput, queued
from rewards.selectors import ladders as selectors
from rewards.services import ladders as services
from tenants.api.query import PlayerGatewayView


class LadderPreviewView(AdminView):
    """What a changed curve would do to the players of a ladder."""

    @extend_schema(request=shapes.PreviewInput, responses={202: QueuedJobOutput}, tags=["rewards"])
    def post(self, request: Request, ladder_id: str, **_kwargs: Any) -> Response:
        """Count who would rise and who would fall, and what it would cost, without a change."""
        job = services.start_preview(
            self.tenant_id, ladder_id, self.read_body(), actor=self.actor, now=timezone.now()
        )
        return queued(job)


class LadderDefinitionsView(PlayerGatewayView):
    """The tenant's ladders."""

    @extend_schema(responses={200: shapes.LadderDefinitionsOutput}, tags=["query"])
    def get(self, request: Request) -> Response:
        """List the active ladders."""
        ladders = selectors.ladders_of(self.tenant_id).filter(is_active=True)
        return Response({"ladders": [selectors.public_document(each) for each in ladders]})


class PlayerLevelView(PlayerGatewayView):
    """Where a player stands on a ladder."""

    @extend_schema(
        responses={200: shapes.PlayerLevelOutput},
        parameters=[OpenApiParameter("ladder_id", str, default=selectors.DEFAULT_LADDER_ID)],
        tags=["query"],
    )
    def get(self, request: Request, user_id: str) -> Response:
        """Show the level, and the way to the next one."""
        player = self.check_player(user_id)
        ladder_id = read_text(request.GET, "ladder_id") or selectors.DEFAULT_LADDER_ID
        step = selectors.player_step(self.tenant_id, player, ladder_id)
        return Response(shapes.level_body(step))
