"""The hot paths of the query gateway on the slim handler; ``views.query`` has the same and more."""

import functools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone

from leaderboards.api import admission, answers, bodies, contents, questions
from leaderboards.api.admission import Reader
from leaderboards.api.answers import Content
from leaderboards.selectors import standings
from leaderboards.selectors.shown import nothing_here
from leaderboards.types import PlayerStanding, ShownWindow
from phoenix_site.common import origins
from phoenix_site.common.exceptions import DomainError


@dataclass(frozen=True, slots=True)
class Answer:
    """What a read found; ``as_of`` closes the body of lists."""

    content: Content
    as_of: datetime | None = None


Read = Callable[..., Coroutine[Any, Any, Answer]]
View = Callable[..., Coroutine[Any, Any, HttpResponse]]


def query_door(read: Read) -> View:
    """Let admitted players through to ``read(request, reader, **names)`` and send what it found."""

    @functools.wraps(read)
    async def view(request: HttpRequest, **names: str) -> HttpResponse:
        if request.method == "OPTIONS":
            return origins.preflight(request)
        headers = origins.origin_headers(request)
        try:
            admitted = await admission.aadmit(request, now=timezone.now())
            headers |= admitted.limit_headers
            origins.check_method(request)
            answer = await read(request, admitted.reader, **names)
        except DomainError as exc:
            return origins.dressed(answers.refusal(exc), headers)
        return answers.content_answer(request, answer.content, as_of=answer.as_of, headers=headers)

    return view


@query_door
async def top(request: HttpRequest, reader: Reader, leaderboard_id: str) -> Answer:
    question = questions.read_page(request.GET)
    window = await admission.afind_window(reader, leaderboard_id, question.window_key)
    page = await standings.atop(window, window.view, limit=question.limit, offset=question.offset)
    content = contents.top_content(window, page, limit=question.limit)
    return Answer(content, bodies.as_of(window, reader.now))


@query_door
async def neighborhood(
    request: HttpRequest, reader: Reader, leaderboard_id: str, user_id: str
) -> Answer:
    question = questions.read_neighborhood(request.GET)
    admission.check_player_id(user_id)
    window = await admission.afind_window(reader, leaderboard_id, question.window_key)
    found = await standings.aneighborhood(window, window.view, user_id, limit=question.limit)
    if found is None:
        raise nothing_here()
    body = bodies.neighborhood_body(window, found, limit=question.limit)
    return Answer(answers.encoded(body), bodies.as_of(window, reader.now))


def _player_door(build: Callable[[ShownWindow, PlayerStanding], Any]) -> View:
    """Return the view of one player's standing as ``build`` shows it."""

    @query_door
    async def view(
        request: HttpRequest, reader: Reader, leaderboard_id: str, user_id: str
    ) -> Answer:
        window_key = questions.read_window_key(request.GET)
        admission.check_player_id(user_id)
        window = await admission.afind_window(reader, leaderboard_id, window_key)
        player = await standings.astanding_of(window, window.view, user_id)
        if player is None:
            raise nothing_here()
        return Answer(answers.encoded(build(window, player)))

    return view


_BOARD = "v1/leaderboards/<str:leaderboard_id>"

urlpatterns: list[Any] = [
    path(_BOARD, top),
    path(f"{_BOARD}/user/<str:user_id>", neighborhood),
    path(f"{_BOARD}/rank/<str:user_id>", _player_door(bodies.rank_body)),
    path(f"{_BOARD}/score/<str:user_id>", _player_door(bodies.score_body)),
    path(f"{_BOARD}/percentile/<str:user_id>", _player_door(bodies.percentile_body)),
]
