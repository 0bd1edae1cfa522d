"""Boards of a tenant on the admin gateway (spec 02 ADM-120, ADM-122)."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboards.api import bodies, documents, questions
from leaderboards.api.serializers import (
    BoardAliasQuery,
    BoardChangeInput,
    BoardInput,
    BoardListOutput,
    BoardListQuery,
    BoardOutput,
    EntryListOutput,
    PageQuery,
    RefusalOutput,
    VersionListOutput,
    VersionQuery,
    WindowListOutput,
)
from leaderboards.selectors import boards as selectors
from leaderboards.selectors import entries, history, windows
from leaderboards.services import boards as services
from phoenix_site.common.drf import GatewayView, read_page
from tenants.api.authentication import AdminAuthentication, caller_of, request_address
from tenants.api.idempotency import idempotent
from tenants.api.permissions import HasScope, ReachesTenant
from tenants.api.throttles import AdminThrottle
from tenants.services import audit
from tenants.types import Actor

_REFUSALS = {
    400: RefusalOutput,
    401: RefusalOutput,
    403: RefusalOutput,
    404: RefusalOutput,
    429: RefusalOutput,
}
_CONFLICTS = _REFUSALS | {409: RefusalOutput}


class AdminView(GatewayView):
    """Base of the views by which back offices keep their boards."""

    authentication_classes = [AdminAuthentication]
    permission_classes = [
        HasScope("leaderboards:read", write="leaderboards:write"),
        ReachesTenant,
    ]
    throttle_classes = [AdminThrottle]

    @property
    def actor(self) -> Actor:
        """Return who asks, for versions and the audit log."""
        request: Any = self.request
        address = request_address(request._request)  # noqa: SLF001 - the only way to it
        return audit.caller_actor(caller_of(request), address=address)


class BoardsAdminView(AdminView):
    """The boards of a tenant."""

    @extend_schema(
        parameters=[BoardListQuery], responses={200: BoardListOutput, **_REFUSALS}, tags=["boards"]
    )
    def get(self, request: Request, tenant_id: str) -> Response:
        """List the tenant's boards, by id."""
        return _board_list(request, {tenant_id})

    @extend_schema(request=BoardInput, responses={201: BoardOutput, **_CONFLICTS}, tags=["boards"])
    @idempotent
    def post(self, request: Request, tenant_id: str) -> HttpResponse:
        """Make a board; its first window is open at once."""
        return _create_board(request, tenant_id, self.actor)


class BoardsAliasView(AdminView):
    """The same collection by ``?tenant_id=``; without it, all boards of the credential."""

    @extend_schema(
        parameters=[BoardAliasQuery], responses={200: BoardListOutput, **_REFUSALS}, tags=["boards"]
    )
    def get(self, request: Request) -> Response:
        """List the boards of one tenant, or of all that the credential reaches."""
        tenant_id = request.query_params.get("tenant_id")
        reached = caller_of(request).tenant_ids
        return _board_list(request, reached if tenant_id is None else {tenant_id})

    @extend_schema(
        request=BoardInput,
        parameters=[BoardAliasQuery],
        responses={201: BoardOutput, **_CONFLICTS},
        tags=["boards"],
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        """Make a board of the tenant that the query names."""
        return _create_board(request, questions.read_tenant_id(request.GET), self.actor)


class BoardAdminView(AdminView):
    """One board."""

    @extend_schema(responses={200: BoardOutput, **_REFUSALS}, tags=["boards"])
    def get(self, request: Request, tenant_id: str, leaderboard_id: str) -> Response:
        """Show the board."""
        return Response(documents.board(selectors.get_board(tenant_id, leaderboard_id)))

    @extend_schema(request=BoardInput, responses={200: BoardOutput, **_CONFLICTS}, tags=["boards"])
    def put(self, request: Request, tenant_id: str, leaderboard_id: str) -> Response:
        """Replace the board's fields; what is left out gets its default."""
        sent = documents.read_object(request.data)
        board = services.replace_board(
            tenant_id, leaderboard_id, sent, actor=self.actor, now=timezone.now()
        )
        return Response(documents.board(board))

    @extend_schema(
        request=BoardChangeInput, responses={200: BoardOutput, **_CONFLICTS}, tags=["boards"]
    )
    def patch(self, request: Request, tenant_id: str, leaderboard_id: str) -> Response:
        """Merge fields into the board (RFC 7396): objects are merged, lists replaced."""
        sent = documents.read_object(request.data)
        board = services.patch_board(
            tenant_id, leaderboard_id, sent, actor=self.actor, now=timezone.now()
        )
        return Response(documents.board(board))

    @extend_schema(responses={204: None, **_REFUSALS}, tags=["boards"])
    def delete(self, request: Request, tenant_id: str, leaderboard_id: str) -> Response:
        """Archive the board, for ever."""
        services.archive_board(tenant_id, leaderboard_id, actor=self.actor, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class BoardVersionsView(AdminView):
    """What a board was, version by version."""

    @extend_schema(
        parameters=[VersionQuery], responses={200: VersionListOutput, **_REFUSALS}, tags=["boards"]
    )
    def get(self, request: Request, tenant_id: str, leaderboard_id: str) -> Response:
        """List the board's versions, newest first, each with author and difference."""
        page = read_page(request, default=questions.MAX_LIMIT, maximum=questions.MAX_LIMIT)
        board = selectors.get_board(tenant_id, leaderboard_id)
        return Response(documents.versions(board, page, selectors.versions_of(board)))


class BoardWindowsView(AdminView):
    """The windows of a board."""

    @extend_schema(
        parameters=[PageQuery], responses={200: WindowListOutput, **_REFUSALS}, tags=["boards"]
    )
    def get(self, request: Request, tenant_id: str, leaderboard_id: str) -> Response:
        """List the board's windows, newest first."""
        page = read_page(request, default=questions.DEFAULT_LIMIT, maximum=questions.MAX_LIMIT)
        found = history.windows_of(
            tenant_id, leaderboard_id, limit=page.limit, offset=page.offset, now=timezone.now()
        )
        return Response(documents.plain(bodies.windows_body(leaderboard_id, found)))


class WindowEntriesView(AdminView):
    """Everybody who has an entry in a window."""

    @extend_schema(
        parameters=[PageQuery], responses={200: EntryListOutput, **_REFUSALS}, tags=["boards"]
    )
    def get(
        self, request: Request, tenant_id: str, leaderboard_id: str, window_key: str
    ) -> Response:
        """List the entries of a window: the ranked in order, then those that are not ranked."""
        page = read_page(request, default=questions.DEFAULT_LIMIT, maximum=questions.MAX_LIMIT)
        key = questions.check_window_key(window_key)
        board = selectors.get_board(tenant_id, leaderboard_id)
        window = windows.get_window_to_show(board, key, now=timezone.now())
        view = selectors.view_of(window, board)
        found = entries.entries_of(window, view, limit=page.limit, offset=page.offset)
        return Response(documents.entries(board, window, found, page))


def _board_list(request: Request, tenant_ids: set[str] | frozenset[str] | None) -> Response:
    query = BoardListQuery(data=request.query_params)
    query.is_valid(raise_exception=True)
    sent = query.validated_data
    found = selectors.boards_across_tenants(
        tenant_ids, status=sent.get("status"), limit=sent["limit"], offset=sent["offset"]
    )
    return Response(documents.boards(found))


def _create_board(request: Request, tenant_id: str, actor: Actor) -> Response:
    sent = documents.read_object(request.data)
    board = services.create_board(tenant_id, sent, actor=actor, now=timezone.now())
    location = f"/v1/tenants/{tenant_id}/leaderboards/{board.leaderboard_id}"
    return Response(
        documents.board(board), status=status.HTTP_201_CREATED, headers={"Location": location}
    )
