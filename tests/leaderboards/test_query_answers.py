"""What stands around every answer of the query gateway: tags, freshness, origins."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import RequestFactory

from leaderboards.api import answers
from phoenix_site.common import origins
from phoenix_site.common.exceptions import MethodError, NotAllowedError, NotFoundError
from phoenix_site.common.json import decode

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
GAME = "https://play.example"


def ask(**headers: str) -> Any:
    return RequestFactory().get("/v1/leaderboards/xp", headers=headers)


def test_an_answer_is_private_and_one_second_fresh() -> None:
    answer = answers.content_answer(ask(), answers.encoded({"rank": 1}))

    assert answer.headers["Cache-Control"] == "private, max-age=1"
    assert answer.headers["Content-Type"] == "application/json"
    assert decode(answer.content) == {"rank": 1}


def test_the_instant_of_an_answer_is_no_part_of_its_tag() -> None:
    first = answers.content_answer(ask(), answers.encoded({"rank": 1}), as_of=NOON)
    later = answers.content_answer(ask(), answers.encoded({"rank": 1}), as_of=NOON.replace(hour=13))

    assert first.headers["ETag"] == later.headers["ETag"]
    assert decode(later.content) == {"rank": 1, "as_of": "2026-11-18T13:00:00Z"}


def test_another_content_has_another_tag() -> None:
    first = answers.content_answer(ask(), answers.encoded({"rank": 1}))
    second = answers.content_answer(ask(), answers.encoded({"rank": 2}))

    assert first.headers["ETag"] != second.headers["ETag"]


@pytest.mark.parametrize("sent", ["{tag}", '"other", {tag}', "{strong}", "*"])
def test_a_client_that_has_the_answer_gets_304(sent: str) -> None:
    tag = answers.content_answer(ask(), answers.encoded({"rank": 1})).headers["ETag"]
    sent = sent.format(tag=tag, strong=tag.removeprefix("W/"))

    answer = answers.content_answer(
        ask(If_None_Match=sent), answers.encoded({"rank": 1}), as_of=NOON
    )

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == tag
    assert answer.headers["Cache-Control"] == "private, max-age=1"
    assert "Content-Type" not in answer.headers


@pytest.mark.parametrize("sent", ['W/"other"', "", "nonsense"])
def test_a_client_with_another_answer_gets_this_one(sent: str) -> None:
    answer = answers.content_answer(ask(If_None_Match=sent), answers.encoded({"rank": 1}))

    assert answer.status_code == 200


def test_a_page_may_read_the_answer_and_its_limits() -> None:
    headers = origins.origin_headers(ask(Origin=GAME))

    assert headers["Access-Control-Allow-Origin"] == GAME
    assert "X-RateLimit-Remaining" in headers["Access-Control-Expose-Headers"]
    assert headers["Vary"] == "Authorization, Origin"


def test_without_an_origin_nothing_is_allowed_but_caches_still_tell_pages_apart() -> None:
    assert origins.origin_headers(ask()) == {"Vary": "Authorization, Origin"}


@pytest.mark.parametrize("origin", [GAME, "https://anywhere.example", "null"])
def test_a_preflight_is_answered_for_any_origin(origin: str) -> None:
    answer = origins.preflight(ask(Origin=origin))

    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]


def test_a_tenant_without_a_list_takes_every_origin() -> None:
    origins.check_origin(ask(Origin="https://anywhere.example"), ())


@pytest.mark.parametrize("listed", [GAME, f"{GAME}/", "HTTPS://Play.Example"])
def test_a_listed_origin_is_taken_however_it_is_spelled(listed: str) -> None:
    origins.check_origin(ask(Origin=GAME), ("https://other.example", listed))


def test_what_is_no_page_of_an_origin_is_taken() -> None:
    origins.check_origin(ask(), (GAME,))


@pytest.mark.parametrize("origin", ["https://evil.example", "http://play.example", "null"])
def test_an_origin_that_is_not_listed_is_refused(origin: str) -> None:
    with pytest.raises(NotAllowedError) as refusal:
        origins.check_origin(ask(Origin=origin), (GAME,))

    assert refusal.value.code == "AUTH_005"


def test_no_cache_keeps_a_refusal() -> None:
    answer = answers.refusal(NotFoundError("There is nothing here."))

    assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")


def test_a_method_that_is_not_taken_is_refused_with_those_that_are() -> None:
    with pytest.raises(MethodError) as refusal:
        origins.check_method(RequestFactory().post("/v1/leaderboards/xp"))

    assert refusal.value.headers == {"Allow": "GET, HEAD, OPTIONS"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_methods_are_taken(method: str) -> None:
    origins.check_method(RequestFactory().generic(method, "/v1/leaderboards/xp"))
