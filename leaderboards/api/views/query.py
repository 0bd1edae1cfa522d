"""The query gateway: every read of a player, and tickets for live connections.

The hot reads have a second entrance in ``leaderboards.api.fast``.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request

from leaderboards.api import admission, answers, bodies, contents, questions
from leaderboards.api import query_docs as docs
from leaderboards.api.admission import Reader
from leaderboards.selectors import history, standings
from leaderboards.selectors.shown import nothing_here
from leaderboards.services import connections
from leaderboards.types import PlayerStanding, ShownWindow
from phoenix_site.common.exceptions import InvalidInputError, NotAllowedError
from tenants.api.authentication import caller_of
from tenants.api.idempotency import idempotent
from tenants.api.query import PlayerGatewayView
from tenants.services import snapshots, tickets


class QueryView(PlayerGatewayView):
    """Base of the views that read boards; ``reader`` is the admitted player."""

    @property
    def reader(self) -> Reader:
        """Return who asks, and when."""
        return Reader(caller_of(self.request), self.asked_at)


class BoardsView(QueryView):
    @docs.answers(bodies.BoardsBody, docs.LIMIT, docs.OFFSET)
    def get(self, request: Request) -> HttpResponse:
        page = questions.read_page(request.GET)
        if request.GET.get("tenant_id", self.reader.tenant_id) != self.reader.tenant_id:
            raise NotAllowedError("The token is of another tenant.")
        boards = history.active_boards(
            self.reader.tenant_id, limit=page.limit, offset=page.offset, now=self.reader.now
        )
        body = bodies.boards_body(boards, now=self.reader.now)
        return answers.content_answer(request, answers.encoded(body))


class TopView(QueryView):
    @docs.answers(bodies.TopBody, docs.WINDOW_KEY, docs.LIMIT, docs.OFFSET)
    def get(self, request: Request, leaderboard_id: str) -> HttpResponse:
        question = questions.read_page(request.GET)
        window = admission.find_window(self.reader, leaderboard_id, question.window_key)
        page = standings.top(window, window.view, limit=question.limit, offset=question.offset)
        content = contents.top_content(window, page, limit=question.limit)
        as_of = bodies.as_of(window, self.reader.now)
        return answers.content_answer(request, content, as_of=as_of)


class NeighborhoodView(QueryView):
    @docs.answers(
        bodies.NeighborhoodBody,
        docs.WINDOW_KEY,
        docs.NEIGHBORS,
    )
    def get(self, request: Request, leaderboard_id: str, user_id: str) -> HttpResponse:
        question = questions.read_neighborhood(request.GET)
        admission.check_player_id(user_id)
        window = admission.find_window(self.reader, leaderboard_id, question.window_key)
        found = standings.neighborhood(window, window.view, user_id, limit=question.limit)
        if found is None:
            raise nothing_here()
        body = bodies.neighborhood_body(window, found, limit=question.limit)
        as_of = bodies.as_of(window, self.reader.now)
        return answers.content_answer(request, answers.encoded(body), as_of=as_of)


class PlayerView(QueryView):
    """One player's standing, as ``build`` shows it."""

    build: ClassVar[Callable[[ShownWindow, PlayerStanding], Any]]

    def get(self, request: Request, leaderboard_id: str, user_id: str) -> HttpResponse:
        window_key = questions.read_window_key(request.GET)
        admission.check_player_id(user_id)
        window = admission.find_window(self.reader, leaderboard_id, window_key)
        player = standings.standing_of(window, window.view, user_id)
        if player is None:
            raise nothing_here()
        return answers.content_answer(request, answers.encoded(type(self).build(window, player)))


@extend_schema_view(get=docs.answers(bodies.RankBody, docs.WINDOW_KEY))
class RankView(PlayerView):
    build = bodies.rank_body


@extend_schema_view(get=docs.answers(bodies.ScoreBody, docs.WINDOW_KEY))
class ScoreView(PlayerView):
    build = bodies.score_body


@extend_schema_view(get=docs.answers(bodies.PercentileBody, docs.WINDOW_KEY))
class PercentileView(PlayerView):
    build = bodies.percentile_body


class RankForScoreView(QueryView):
    @docs.answers(
        bodies.ScoreRankBody,
        docs.SCORE,
        docs.WINDOW_KEY,
    )
    def get(self, request: Request, leaderboard_id: str) -> HttpResponse:
        window_key = questions.read_window_key(request.GET)
        window = admission.find_window(self.reader, leaderboard_id, window_key)
        score = questions.read_score(request.GET, decimals=window.decimals)
        answer = standings.rank_for_score(window, window.view, score, user_id=self.reader.user_id)
        return answers.content_answer(
            request, answers.encoded(bodies.score_rank_body(window, score, answer))
        )


class GroupView(QueryView):
    @docs.answers(
        bodies.GroupBody,
        docs.USER_IDS,
        docs.WINDOW_KEY,
    )
    def get(self, request: Request, leaderboard_id: str) -> HttpResponse:
        user_ids = questions.read_user_ids(request.GET)
        window_key = questions.read_window_key(request.GET)
        window = admission.find_window(self.reader, leaderboard_id, window_key)
        group = standings.standings_of_users(window, window.view, user_ids)
        return answers.content_answer(request, answers.encoded(bodies.group_body(window, group)))


class WindowsView(QueryView):
    @docs.answers(bodies.WindowsBody, docs.LIMIT, docs.OFFSET)
    def get(self, request: Request, leaderboard_id: str) -> HttpResponse:
        page = questions.read_page(request.GET)
        windows = history.windows_of(
            self.reader.tenant_id,
            leaderboard_id,
            limit=page.limit,
            offset=page.offset,
            now=self.reader.now,
        )
        return answers.content_answer(
            request, answers.encoded(bodies.windows_body(leaderboard_id, windows))
        )


class SnapshotsView(QueryView):
    @docs.answers(bodies.SnapshotsBody, docs.SINCE, docs.UNTIL, docs.LIMIT)
    def get(self, request: Request, leaderboard_id: str) -> HttpResponse:
        period = questions.read_period(request.GET)
        snapshots = history.snapshots_of(
            self.reader.tenant_id,
            leaderboard_id,
            since=period.since,
            until=period.until,
            limit=period.limit,
        )
        return answers.content_answer(request, answers.encoded(bodies.snapshots_body(snapshots)))


class SnapshotView(QueryView):
    @docs.answers(bodies.SnapshotTopBody, docs.LIMIT, docs.OFFSET)
    def get(self, request: Request, leaderboard_id: str, snapshot_time: str) -> HttpResponse:
        page = questions.read_page(request.GET)
        taken_at = questions.read_snapshot_time(snapshot_time)
        snapshot = history.get_snapshot(
            self.reader.tenant_id, leaderboard_id, taken_at, now=self.reader.now
        )
        found = history.snapshot_page(snapshot, limit=page.limit, offset=page.offset)
        body = bodies.snapshot_top_body(snapshot, found, limit=page.limit, offset=page.offset)
        return answers.content_answer(request, answers.encoded(body), as_of=taken_at)


class SnapshotPlayerView(QueryView):
    @docs.answers(bodies.SnapshotRankBody)
    def get(
        self, request: Request, leaderboard_id: str, snapshot_time: str, user_id: str
    ) -> HttpResponse:
        taken_at = questions.read_snapshot_time(snapshot_time)
        admission.check_player_id(user_id)
        snapshot = history.get_snapshot(
            self.reader.tenant_id, leaderboard_id, taken_at, now=self.reader.now
        )
        player = history.find_in_snapshot(snapshot, user_id)
        if player is None:
            raise nothing_here()
        body = bodies.snapshot_rank_body(snapshot, player)
        return answers.content_answer(request, answers.encoded(body))


class TicketView(QueryView):
    """Tickets: what a browser, which cannot send headers there, opens one live connection with."""

    methods = ("POST", "OPTIONS")

    @docs.answers(
        bodies.TicketBody,
        request={"application/json": docs.TICKET_REQUEST},
        status=201,
    )
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        wanted = questions.read_ticket_request(request.data)
        reader = self.reader
        if wanted.leaderboard_id is not None:
            admission.find_window(reader, wanted.leaderboard_id, wanted.window_key)
        connections.check_seats(
            reader.tenant_id,
            reader.user_id,
            player_limit=settings.PHOENIX_SOCKETS_PER_PLAYER,
            tenant_limit=snapshots.tenant_settings(reader.tenant_id).max_sockets,
        )
        ticket = tickets.create_ticket(reader.caller, wanted.leaderboard_id, now=reader.now)
        return answers.created_answer(bodies.ticket_body(ticket, reader.now))


class SocketView(QueryView):
    """A plain request to the address of the WebSocket."""

    @extend_schema(responses=None, tags=[docs.LIVE_TAG])
    def get(self, request: Request, leaderboard_id: str) -> HttpResponse:
        raise InvalidInputError("Open this address as a WebSocket.")


class StreamView(QueryView):
    """Server-sent events are refused until they exist."""

    @extend_schema(responses=None, tags=[docs.LIVE_TAG])
    def get(self, request: Request, leaderboard_id: str) -> HttpResponse:
        raise InvalidInputError("Server-sent events are not supported yet; use the WebSocket.")
