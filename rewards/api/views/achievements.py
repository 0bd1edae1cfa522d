"""Achievements on both gateways (spec 03 section 6)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from phoenix_site.common.drf import read_page
from phoenix_site.common.faults import Fault
from rewards.api import achievement_shapes as shapes
from rewards.api.collections import DEFAULT_LIMIT, MAX_LIMIT, AdminView, page_parameters
from rewards.api.questions import read_choice
from rewards.api.views.jobs import QueuedJobOutput, queued
from rewards.exceptions import DocumentError
from rewards.selectors import player_achievements as selectors
from rewards.services import achievement_recompute, achievement_staff
from tenants.api.idempotency import idempotent
from tenants.api.query import PlayerGatewayView

_STATUSES = ("locked", "in_progress", "unlocked")
_PAGE = page_parameters(MAX_LIMIT, DEFAULT_LIMIT)
_STATUS = OpenApiParameter("status", str, enum=_STATUSES)


# --- Query gateway -------------------------------------------------------------------------------


class PlayerAchievementsView(PlayerGatewayView):
    """A player's achievements."""

    @extend_schema(
        parameters=[_STATUS, *_PAGE],
        responses={200: shapes.PlayerAchievementsOutput},
        tags=["query"],
    )
    def get(self, request: Request, user_id: str) -> Response:
        """List what the player can reach or has reached."""
        page = read_page(request, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
        found = selectors.player_achievements(
            self.tenant_id,
            self.check_player(user_id),
            status=read_choice(request.GET, "status", _STATUSES),
            limit=page.limit,
            offset=page.offset,
        )
        counts = ("total", "unlocked_count", "in_progress_count", "locked_count")
        return Response(
            {
                "achievements": [selectors.player_document(each) for each in found.items],
                **{name: getattr(found, name) for name in counts},
            }
        )


class PlayerAchievementView(PlayerGatewayView):
    """One achievement of a player."""

    @extend_schema(responses={200: shapes.PlayerAchievementOutput}, tags=["query"])
    def get(self, request: Request, user_id: str, achievement_id: UUID) -> Response:
        """Show how far the player is."""
        own = self.check_player(user_id)
        found = selectors.player_achievement(self.tenant_id, own, achievement_id)
        return Response(selectors.player_document(found))


class PlayerHistoryView(PlayerGatewayView):
    """What a player unlocked."""

    @extend_schema(parameters=_PAGE, responses={200: shapes.HistoryOutput}, tags=["query"])
    def get(self, request: Request, user_id: str) -> Response:
        """List the unlocks, newest first."""
        page = read_page(request, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
        found = selectors.unlock_page(
            self.tenant_id, self.check_player(user_id), limit=page.limit, offset=page.offset
        )
        unlocks = [selectors.unlock_document(each) for each in found.items]
        return Response({"unlocks": unlocks, "total": found.total})


# --- Admin gateway -------------------------------------------------------------------------------


class RecomputeView(AdminView):
    """An achievement counted anew."""

    @extend_schema(
        request=shapes.RecomputeInput, responses={202: QueuedJobOutput}, tags=["rewards"]
    )
    @idempotent
    def post(self, request: Request, achievement_id: UUID, **_kwargs: Any) -> HttpResponse:
        """Tell what the stored events give and take, or apply what was told."""
        job = achievement_recompute.request_recompute(
            self.tenant_id,
            achievement_id,
            self.read_body(),
            actor=self.actor,
            now=timezone.now(),
        )
        return queued(job)


class _StaffView(AdminView):
    """A view that changes what one player has, with a reason."""

    def change(self, service: Callable[..., Any], achievement_id: UUID) -> Response:
        """Call the service and answer how far the player is then."""
        body = self.read_body()
        user_id = body.get("user_id")
        unknown = [Fault(key, "is not a known key") for key in body.keys() - {"user_id", "reason"}]
        if not isinstance(user_id, str):
            unknown.append(Fault("user_id", "must be the id of a player"))
        if unknown:
            raise DocumentError(unknown)
        service(
            self.tenant_id,
            achievement_id,
            user_id=user_id,
            reason=body.get("reason"),
            actor=self.actor,
            now=timezone.now(),
        )
        found = selectors.player_achievement(
            self.tenant_id, str(user_id), achievement_id, for_staff=True
        )
        return Response(selectors.player_document(found))


class AchievementGrantView(_StaffView):
    """An achievement given by staff."""

    @extend_schema(
        request=shapes.StaffInput, responses={200: shapes.PlayerAchievementOutput}, tags=["rewards"]
    )
    @idempotent
    def post(self, request: Request, achievement_id: UUID, **_kwargs: Any) -> HttpResponse:
        """Unlock the achievement for a player, whatever was counted."""
        return self.change(achievement_staff.grant_achievement, achievement_id)


class AchievementRevokeView(_StaffView):
    """An achievement taken by staff."""

    @extend_schema(
        request=shapes.StaffInput, responses={200: shapes.PlayerAchievementOutput}, tags=["rewards"]
    )
    @idempotent
    def post(self, request: Request, achievement_id: UUID, **_kwargs: Any) -> HttpResponse:
        """Take the achievement and its rewards from a player, who begins anew."""
        return self.change(achievement_staff.revoke_achievement, achievement_id)
