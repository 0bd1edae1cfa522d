from typing import Any

import httpx
import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path

from phoenix_site.common.exceptions import ConflictError, Detail
from phoenix_site.common.handler import MAX_BODY_BYTES, Receive, Scope, Send, SlimHandler
from phoenix_site.common.http import json_response
from phoenix_site.common.requests import current_request_id


async def echo(request: HttpRequest, name: str) -> HttpResponse:
    return json_response({"name": name, "size": len(request.body), "id": current_request_id()})


async def refuse(_request: HttpRequest) -> HttpResponse:
    raise ConflictError("It is there.", details=[Detail("id", "is taken", "taken")])


async def fail(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret of the database")


async def full_handler(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"elsewhere"})


PATTERNS = [path("echo/<str:name>", echo), path("refuse", refuse), path("fail", fail)]


@pytest.fixture
def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=SlimHandler(PATTERNS, full_handler))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://testserver")


async def test_a_known_path_reaches_its_view_with_the_body(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo/ana", content=b"1234", headers={"X-Request-Id": "abc-1"})

    assert answer.json() == {"name": "ana", "size": 4, "id": "abc-1"}
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.headers["content-type"] == "application/json"


async def test_an_unknown_path_goes_to_the_full_handler(client: httpx.AsyncClient) -> None:
    answer = await client.get("/somewhere")

    assert (answer.status_code, answer.text) == (299, "elsewhere")


async def test_a_refusal_has_the_one_error_shape(client: httpx.AsyncClient) -> None:
    answer = await client.get("/refuse")

    assert answer.status_code == 409
    assert answer.json() == {
        "error": "It is there.",
        "code": "CONFLICT",
        "request_id": answer.headers["x-request-id"],
        "details": [{"field": "id", "message": "is taken", "reason": "taken"}],
    }


async def test_a_fault_of_our_own_says_only_its_request_id(client: httpx.AsyncClient) -> None:
    answer = await client.get("/fail")

    assert answer.status_code == 500
    assert set(answer.json()) == {"error", "code", "request_id"}
    assert "secret" not in answer.text


@pytest.mark.parametrize("sent", ["two words", "x" * 129, "tab\there", "ümlaut".encode("latin-1")])
async def test_an_unusable_request_id_is_replaced(
    client: httpx.AsyncClient, sent: str | bytes
) -> None:
    answer = await client.get("/echo/x", headers=[(b"X-Request-Id", _bytes(sent))])

    assert len(answer.headers["x-request-id"]) == 36


async def test_a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length(
    client: httpx.AsyncClient,
) -> None:
    async def parts() -> Any:
        yield b"x" * MAX_BODY_BYTES
        yield b"x"

    said = await client.post("/echo/x", content=b"x" * (MAX_BODY_BYTES + 1))
    unsaid = await client.post("/echo/x", content=parts())
    fitting = await client.post("/echo/x", content=b"x" * MAX_BODY_BYTES)

    assert (said.status_code, unsaid.status_code, fitting.status_code) == (413, 413, 200)
    assert said.json()["code"] == "TOO_LARGE"


async def test_head_sends_no_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/echo/x")

    assert answer.status_code == 200
    assert answer.content == b""


async def test_a_client_that_goes_away_ends_the_request_quietly() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/echo/x", "headers": []}
    await SlimHandler(PATTERNS, full_handler)(scope, receive, send)

    assert sent == []


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
