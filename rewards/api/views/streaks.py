"""Streaks on both gateways (spec 03 section 7)."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from phoenix_site.common.exceptions import NotAllowedError
from rewards.api import streak_shapes as shapes
from rewards.api.collections import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    AdminView,
    page_parameters,
    read_list_question,
)
from rewards.models import Streak
from rewards.rules import streak_requests as requests
from rewards.selectors import player_streaks, streaks
from rewards.selectors.book import book_of
from rewards.services import freeze_gifts, streak_definitions, streak_repairs
from tenants.api.authentication import caller_of
from tenants.api.idempotency import idempotent
from tenants.api.query import PlayerGatewayView

_TAG = ["rewards"]
STATUSES = tuple(Streak.Status.values)

# --- Query gateway -------------------------------------------------------------------------------


class DefinitionsView(PlayerGatewayView):
    """The tenant's streaks."""

    @extend_schema(responses={200: shapes.StreakDefinitionsOutput}, tags=_TAG)
    def get(self, request: Request) -> Response:
        """List the active streaks, by name."""
        views = streaks.of(book_of(self.tenant_id)).active
        return Response({"definitions": [streaks.definition_document(view) for view in views]})


class PlayerStreaksView(PlayerGatewayView):
    """A player's streaks."""

    @extend_schema(responses={200: shapes.UserStreaksOutput}, tags=_TAG)
    def get(self, request: Request, user_id: str) -> Response:
        """Show what the player has of every active streak, zeros too."""
        player = self.check_player(user_id)
        found = player_streaks.user_streaks(self.tenant_id, player, now=self.asked_at)
        return Response({"streaks": [player_streaks.user_document(each) for each in found]})


class PlayerStreakView(PlayerGatewayView):
    """One streak of a player."""

    @extend_schema(responses={200: shapes.UserStreakOutput}, tags=_TAG)
    def get(self, request: Request, user_id: str, definition_id: UUID) -> Response:
        """Show what the player has of the streak."""
        player = self.check_player(user_id)
        found = player_streaks.user_streak(self.tenant_id, player, definition_id, now=self.asked_at)
        return Response(player_streaks.user_document(found))


# --- Admin gateway -------------------------------------------------------------------------------


class StreaksAliasView(AdminView):
    """The collection by ``?tenant_id=``; without it, the streaks of several tenants."""

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "tenant_id", str, description="Left out: all tenants of a key that reaches several."
            ),
            OpenApiParameter("status", str, enum=STATUSES),
            OpenApiParameter("q", str, description="Part of the name."),
            *page_parameters(MAX_LIMIT, DEFAULT_LIMIT),
        ],
        responses={200: shapes.StreakListOutput},
        tags=_TAG,
    )
    def get(self, request: Request) -> Response:
        """List the streaks of one tenant or, for a key of the platform, of all its tenants."""
        asked = read_list_question(request, statuses=STATUSES)
        tenant_id = request.query_params.get("tenant_id")
        reached = caller_of(request).tenant_ids
        if tenant_id is not None:
            found = streaks.streaks_page(tenant_id, asked)
        elif reached is None or len(reached) > 1:
            found = streaks.streaks_page_across_tenants(reached, asked)
        else:
            raise NotAllowedError("The credential is of one tenant: name it as tenant_id.")
        return Response({"total": found.total, "streaks": streaks.documents(found.items)})

    @extend_schema(
        parameters=[OpenApiParameter("tenant_id", str, required=True)],
        request=shapes.StreakInput,
        responses={201: shapes.StreakOutput},
        tags=_TAG,
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        """Make a streak of the tenant that the query names."""
        made = streak_definitions.create_streak(
            self.tenant_id, self.read_body(), actor=self.actor, now=timezone.now()
        )
        return Response(streaks.streak_document(made), status=status.HTTP_201_CREATED)


class RepairView(AdminView):
    """Windows that staff let count."""

    @extend_schema(request=shapes.RepairInput, responses={200: shapes.UserStreakOutput}, tags=_TAG)
    @idempotent
    def post(self, request: Request, streak_id: UUID, **_kwargs: Any) -> HttpResponse:
        """Let windows of a player's streak count as satisfied."""
        asked, now = requests.read_repair(self.read_body()), timezone.now()
        streak_repairs.repair(
            streaks.get_streak(self.tenant_id, streak_id),
            asked.user_id,
            asked.windows,
            reason=asked.reason,
            actor=self.actor,
            now=now,
        )
        return _shown(self.tenant_id, asked.user_id, streak_id)


class FreezesView(AdminView):
    """Freezes that staff give."""

    @extend_schema(request=shapes.FreezesInput, responses={200: shapes.UserStreakOutput}, tags=_TAG)
    @idempotent
    def post(self, request: Request, streak_id: UUID, **_kwargs: Any) -> HttpResponse:
        """Give a player freezes; what is beyond `max_held` is lost."""
        asked, now = requests.read_freezes(self.read_body()), timezone.now()
        freeze_gifts.add_freezes(
            streaks.get_streak(self.tenant_id, streak_id),
            asked.user_id,
            asked.count,
            reason=asked.reason,
            actor=self.actor,
            now=now,
        )
        return _shown(self.tenant_id, asked.user_id, streak_id)


def _shown(tenant_id: str, user_id: str, streak_id: UUID) -> Response:
    found = player_streaks.user_streak(
        tenant_id, user_id, streak_id, now=timezone.now(), any_status=True
    )
    return Response(player_streaks.user_document(found))
