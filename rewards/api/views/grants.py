"""Grants: what players see and claim, and what back offices do with them (spec 03 section 4)."""

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from phoenix_site.common.drf import Page, read_page
from rewards.api import grant_shapes as shapes
from rewards.api.collections import DEFAULT_LIMIT, MAX_LIMIT, AdminView, page_parameters
from rewards.api.questions import bad_value, read_choice, read_text, read_time
from rewards.models import Grant
from rewards.rules.items import as_uuid
from rewards.selectors import grants as selectors
from rewards.selectors.grants import GrantFilter
from rewards.services import claims
from rewards.services import grants as services
from rewards.types.listing import Listing
from tenants.api.idempotency import idempotent
from tenants.api.query import PlayerGatewayView

_TAG = ["rewards"]
_STATUS = OpenApiParameter("status", str, enum=Grant.Status.values)
_SOURCE_TYPE = OpenApiParameter("source_type", str, enum=Grant.SourceType.values)
_TIMES = [
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="Given at or after."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="Given before."),
]
_PAGE = page_parameters(MAX_LIMIT, DEFAULT_LIMIT)
_SOURCE_ID = OpenApiParameter("source_id", str)


def _read_filter(request: Request, user_id: str | None) -> GrantFilter:
    query = request.GET
    return GrantFilter(
        user_id=user_id,
        source_type=read_choice(query, "source_type", Grant.SourceType.values),
        source_id=read_text(query, "source_id"),
        status=read_choice(query, "status", Grant.Status.values),
        since=read_time(query, "from"),
        until=read_time(query, "to"),
    )


def _read_page(request: Request) -> Page:
    return read_page(request, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)


# --- Query gateway -------------------------------------------------------------------------------


class QueryView(PlayerGatewayView):
    """Base of the views by which players read their grants."""

    def find_page(self, asked: GrantFilter) -> Listing[Grant]:
        """Return a page of what the player was given."""
        page = _read_page(self.request)
        return selectors.grants_page(self.tenant_id, asked, limit=page.limit, offset=page.offset)


class OrdersView(QueryView):
    """Everything that a player was given, of every source."""

    @extend_schema(
        parameters=[_SOURCE_TYPE, _SOURCE_ID, _STATUS, *_TIMES, *_PAGE],
        responses={200: shapes.OrderListOutput},
        tags=_TAG,
    )
    def get(self, request: Request, user_id: str) -> Response:
        """List the player's grants, newest first."""
        found = self.find_page(_read_filter(request, self.check_player(user_id)))
        return Response({"orders": shapes.grant_bodies(found.items), "total": found.total})


class OrderView(QueryView):
    """One thing that a player was given."""

    @extend_schema(responses={200: shapes.GrantOutput}, tags=_TAG)
    def get(self, request: Request, user_id: str, order_id: UUID) -> Response:
        """Show one of the player's grants."""
        own = self.check_player(user_id)
        return Response(
            shapes.grant_body(selectors.get_grant(self.tenant_id, order_id, user_id=own))
        )


class GrantsView(QueryView):
    """What the player of the token was given."""

    @extend_schema(parameters=[_STATUS, *_PAGE], responses={200: shapes.GrantListOutput}, tags=_TAG)
    def get(self, request: Request) -> Response:
        """List the player's grants, newest first."""
        status = read_choice(request.GET, "status", Grant.Status.values)
        found = self.find_page(GrantFilter(user_id=self.user_id, status=status))
        return Response({"grants": shapes.grant_bodies(found.items), "total": found.total})


class ClaimView(PlayerGatewayView):
    """Where a player claims one grant."""

    methods = ("POST", "OPTIONS")

    @extend_schema(request=shapes.ClaimInput, responses={200: shapes.GrantOutput}, tags=_TAG)
    @idempotent
    def post(self, request: Request, grant_id: UUID) -> HttpResponse:
        """Claim the grant."""
        grant = claims.claim_grant(
            self.tenant_id,
            grant_id,
            user_id=self.user_id,
            now=self.asked_at,
            fields=_read_claim(request),
        )
        return Response(shapes.grant_body(grant))


class GroupClaimView(PlayerGatewayView):
    """Where a player claims together what was given together."""

    methods = ("POST", "OPTIONS")

    @extend_schema(request=shapes.ClaimInput, responses={200: shapes.GroupOutput}, tags=_TAG)
    @idempotent
    def post(self, request: Request, group_id: UUID) -> HttpResponse:
        """Claim whatever of the group is unclaimed."""
        grants = claims.claim_group(
            self.tenant_id,
            group_id,
            user_id=self.user_id,
            now=self.asked_at,
            fields=_read_claim(request),
        )
        return Response({"grants": shapes.grant_bodies(grants)})


def _read_claim(request: Request) -> dict[str, Any]:
    sent: Any = request.data
    if sent in (None, "", {}):
        return {}
    if not isinstance(sent, dict):
        raise bad_value("fields", "must be in an object")
    return claims.read_fields(sent.get("fields"))


# --- Admin gateway -------------------------------------------------------------------------------


class GrantsAdminView(AdminView):
    """The grants of a tenant, and where one is given by hand."""

    @extend_schema(
        parameters=[
            OpenApiParameter("user_id", str),
            _STATUS,
            _SOURCE_TYPE,
            _SOURCE_ID,
            *_TIMES,
            *_PAGE,
        ],
        responses={200: shapes.GrantListOutput},
        tags=_TAG,
    )
    def get(self, request: Request, **_kwargs: Any) -> Response:
        """List grants, newest first."""
        page = _read_page(request)
        asked = _read_filter(request, read_text(request.GET, "user_id"))
        found = selectors.grants_page(self.tenant_id, asked, limit=page.limit, offset=page.offset)
        return Response({"total": found.total, "grants": shapes.grant_bodies(found.items)})

    @extend_schema(request=shapes.GiveInput, responses={201: shapes.GrantOutput}, tags=_TAG)
    @idempotent
    def post(self, request: Request, **_kwargs: Any) -> HttpResponse:
        """Give a reward item to a player."""
        sent = self.read_body()
        given = services.give_item(
            self.tenant_id,
            user_id=_read_user(sent),
            item_id=_read_item(sent),
            reason=services.check_reason(sent.get("reason")),
            source_id=_read_source(sent),
            actor=self.actor,
            now=timezone.now(),
        )
        # A source that gave it before gives the same answer: the grant as it is by now.
        return Response(shapes.grant_body(given.grant), status=201 if given.is_new else 200)


class GrantView(AdminView):
    """One grant of a tenant."""

    @extend_schema(responses={200: shapes.GrantOutput}, tags=_TAG)
    def get(self, request: Request, grant_id: UUID, **_kwargs: Any) -> Response:
        """Show the grant."""
        return Response(shapes.grant_body(selectors.get_grant(self.tenant_id, grant_id)))


class GrantExplainView(AdminView):
    """Why a grant is there and what it did."""

    @extend_schema(responses={200: shapes.GrantExplanationOutput}, tags=_TAG)
    def get(self, request: Request, grant_id: UUID, **_kwargs: Any) -> Response:
        """Show the grant with the firing that made it, its money and its calls."""
        grant = selectors.get_grant(self.tenant_id, grant_id)
        body = shapes.explanation_body(
            grant,
            moves=selectors.moves_of(grant),
            transactions=selectors.transactions_of(grant),
            deliveries=selectors.deliveries_of(grant),
        )
        return Response(body)


class GrantActionView(AdminView, ABC):
    """Base of what staff do with one grant, always for a reason."""

    @abstractmethod
    def change(self, grant_id: UUID, reason: str, sent: dict[str, Any]) -> Grant:
        """Do it and return the grant."""

    @extend_schema(request=shapes.GrantReasonInput, responses={200: shapes.GrantOutput}, tags=_TAG)
    @idempotent
    def post(self, request: Request, grant_id: UUID, **_kwargs: Any) -> HttpResponse:
        sent = self.read_body()
        grant = self.change(grant_id, services.check_reason(sent.get("reason")), sent)
        return Response(shapes.grant_body(grant))


class GrantClaimView(GrantActionView):
    """Claims a grant in the place of its player."""

    def change(self, grant_id: UUID, reason: str, sent: dict[str, Any]) -> Grant:
        return claims.claim_grant(
            self.tenant_id,
            grant_id,
            user_id=None,
            now=timezone.now(),
            fields=claims.read_fields(sent.get("fields")),
            actor=self.actor.label,
            reason=reason,
        )


@extend_schema(request=shapes.RevokeInput)
class GrantRevokeView(GrantActionView):
    """Takes a grant back."""

    def change(self, grant_id: UUID, reason: str, sent: dict[str, Any]) -> Grant:
        clip = sent.get("clip", False)
        if not isinstance(clip, bool):
            raise bad_value("clip", "must be true or false")
        return services.revoke_grant(
            self.tenant_id,
            grant_id,
            reason=reason,
            clip=clip,
            actor=self.actor,
            now=timezone.now(),
        )


class GrantRetryView(GrantActionView):
    """Delivers a failed grant again."""

    def change(self, grant_id: UUID, reason: str, sent: dict[str, Any]) -> Grant:
        return services.retry_grant(
            self.tenant_id, grant_id, reason=reason, actor=self.actor, now=timezone.now()
        )


class GrantFulfillView(GrantActionView):
    """Says that a grant was delivered by hand."""

    def change(self, grant_id: UUID, reason: str, sent: dict[str, Any]) -> Grant:
        return services.fulfill_grant(
            self.tenant_id, grant_id, reason=reason, actor=self.actor, now=timezone.now()
        )


def _read_user(sent: dict[str, Any]) -> str:
    user_id = sent.get("user_id")
    if not isinstance(user_id, str):
        raise bad_value("user_id", "must be a player's id")
    return user_id


def _read_item(sent: dict[str, Any]) -> UUID:
    item_id = as_uuid(sent.get("item_id"))
    if item_id is None:
        raise bad_value("item_id", "must be the id of a reward item")
    return item_id


def _read_source(sent: dict[str, Any]) -> str | None:
    source_id = sent.get("source_id")
    if source_id is not None and not isinstance(source_id, str):
        raise bad_value("source_id", "must be a text")
    return source_id
