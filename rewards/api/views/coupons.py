"""Coupons on the query gateway: what players have, validate and redeem (spec 03 section 10)."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from phoenix_site.common.drf import Page, read_page
from phoenix_site.common.exceptions import NotAllowedError, NotFoundError
from players.selectors import find_player
from rewards.api import coupon_shapes as shapes
from rewards.api.collections import DEFAULT_LIMIT, MAX_LIMIT, page_parameters
from rewards.api.questions import bad_value
from rewards.selectors import coupon_codes as codes
from rewards.selectors import coupons
from rewards.services import redemptions
from rewards.types.listing import ListQuestion
from tenants.api.idempotency import idempotent
from tenants.api.query import PlayerGatewayView

_TAG = ["rewards"]
_PAGE = page_parameters(MAX_LIMIT, DEFAULT_LIMIT)


class CouponQueryView(PlayerGatewayView):
    """Base of the views of a player's coupons."""

    @property
    def page(self) -> Page:
        """Return the page that is asked for."""
        return read_page(self.request, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)

    def find_player_id(self, user_id: str) -> UUID | None:
        """Return the token's player, ``None`` if never seen. Raises: ``NotAllowedError``."""
        player = find_player(self.tenant_id, self.check_player(user_id))
        return None if player is None else player.pk


class DefinitionsView(CouponQueryView):
    """The coupons that there are."""

    @extend_schema(parameters=_PAGE, responses={200: shapes.DefinitionListOutput}, tags=_TAG)
    def get(self, request: Request) -> Response:
        """List the active coupons, newest first."""
        asked = ListQuestion(self.page.limit, self.page.offset, status="active")
        found = coupons.coupon_page(self.tenant_id, asked)
        body = {"definitions": shapes.definition_bodies(found.items), "total": found.total}
        return Response(body)


class PlayerCodesView(CouponQueryView):
    """A player's codes."""

    @extend_schema(parameters=_PAGE, responses={200: shapes.CodeListOutput}, tags=_TAG)
    def get(self, request: Request, user_id: str) -> Response:
        """List the codes that the player has or redeemed, newest first."""
        player_id, page = self.find_player_id(user_id), self.page
        if player_id is None:
            return Response({"coupons": [], "total": 0})
        found = codes.codes_of_player(
            self.tenant_id, player_id, limit=page.limit, offset=page.offset, now=self.asked_at
        )
        shown = [codes.code_document(code) for code in found.items]
        return Response({"coupons": shown, "total": found.total})


class PlayerCodeView(CouponQueryView):
    """One of a player's codes."""

    @extend_schema(responses={200: shapes.CodeOutput}, tags=_TAG)
    def get(self, request: Request, user_id: str, coupon_id: UUID) -> Response:
        """Show the code."""
        player_id = self.find_player_id(user_id)
        found = None
        if player_id is not None:
            found = codes.code_of_player(self.tenant_id, player_id, coupon_id, now=self.asked_at)
        if found is None:
            raise NotFoundError("The player has no such coupon.")
        return Response(codes.code_document(found))


class PlayerRedemptionsView(CouponQueryView):
    """What a player redeemed."""

    @extend_schema(parameters=_PAGE, responses={200: shapes.RedemptionListOutput}, tags=_TAG)
    def get(self, request: Request, user_id: str) -> Response:
        """List the player's redemptions, newest first."""
        player_id, page = self.find_player_id(user_id), self.page
        if player_id is None:
            return Response({"redemptions": [], "total": 0})
        found = codes.redemptions_of_player(player_id, limit=page.limit, offset=page.offset)
        shown = [shapes.redemption_body(row) for row in found.items]
        return Response({"redemptions": shown, "total": found.total})


class ValidateView(PlayerGatewayView):
    """Whether a code would work."""

    @extend_schema(responses={200: shapes.ValidationOutput}, tags=_TAG)
    def get(self, request: Request, code: str) -> Response:
        """Say whether the player could redeem the code, without redeeming it."""
        found = redemptions.validate(self.tenant_id, self.user_id, code, now=self.asked_at)
        if found.reason is not None:
            return Response({"valid": False, "reason": found.reason})
        body = {"valid": True, "coupon": found.coupon, "reward_item": found.reward_item}
        return Response(body)


class RedeemView(PlayerGatewayView):
    """Where codes are redeemed."""

    methods = ("POST", "OPTIONS")

    @extend_schema(request=shapes.RedeemInput, responses={200: shapes.RedeemOutput}, tags=_TAG)
    @idempotent
    def post(self, request: Request, code: str) -> HttpResponse:
        """Redeem the code."""
        user_id = check_user(request.data, self.user_id)
        done = redemptions.redeem(self.tenant_id, user_id, code, now=self.asked_at)
        return Response(shapes.redeem_body(done))


def check_user(sent: Any, own: str) -> str:
    """Return the token's player, whom the body may name. Raises: ``NotAllowedError`` (ADM-5)."""
    if sent not in (None, "") and not isinstance(sent, dict):
        raise bad_value("user_id", "must be in an object")
    if sent and sent.get("user_id") not in (None, own):
        raise NotAllowedError("The token is of another player.")
    return own
