"""The description of the API: whole, valid, and true to its own shapes."""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator

from ingestion.constants import INTERNAL_EVENT_TYPES
from phoenix_site import docs
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.json import decode, encode
from phoenix_site.reference.document import OPERATIONS
from phoenix_site.reference.errors import ERRORS

METHODS = ("get", "put", "post", "patch", "delete")
Described = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    GENERATOR_STATS.reset()
    generated: dict[str, Any] = decode(encode(docs.document()))
    return generated


def operations_of(document: dict[str, Any]) -> Iterator[Described]:
    for path, described in document["paths"].items():
        for method in METHODS:
            if method in described:
                yield method, path, described[method]


def examples_of(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield schema and value of every example of a request or an answer."""
    for media in body.get("content", {}).values():
        for example in media.get("examples", {}).values():
            yield media["schema"], example["value"]


def test_it_is_generated_without_a_warning(
    document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    GENERATOR_STATS.reset()

    docs.document()

    GENERATOR_STATS.emit_summary()
    assert capsys.readouterr().err == ""


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    validate_schema(document)  # type: ignore[no-untyped-call]

    assert document["openapi"].startswith("3.1")


def path_of(prefix: str, pattern: URLPattern) -> str:
    return re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", f"{prefix}{pattern.pattern}")


def test_every_path_of_every_gateway_is_described(document: dict[str, Any]) -> None:
    patterns = docs.described_patterns()
    assert not any(isinstance(pattern, URLResolver) for pattern in patterns)

    paths = {path_of("/", pattern) for pattern in patterns}

    assert paths == set(document["paths"])


def test_words_and_examples_are_kept_for_what_exists_and_for_nothing_else(
    document: dict[str, Any],
) -> None:
    described = {(method, path) for method, path, _ in operations_of(document)}

    assert described == set(OPERATIONS)


def test_every_operation_has_a_name_and_a_sentence(document: dict[str, Any]) -> None:
    described = [operation for _, _, operation in operations_of(document)]

    names = [operation["operationId"] for operation in described]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for operation in described)
    tags = {tag["name"] for tag in document["tags"]}
    assert all(set(operation["tags"]) <= tags for operation in described)


def test_every_operation_says_which_credentials_it_takes(document: dict[str, Any]) -> None:
    schemes = set(document["components"]["securitySchemes"])

    for method, path, operation in operations_of(document):
        assert operation["security"], (method, path)
        for requirement in operation["security"]:
            assert set(requirement) <= schemes
            assert len(requirement) <= 1


def test_every_operation_has_an_example_and_refusals(document: dict[str, Any]) -> None:
    for method, path, operation in operations_of(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        examples = [example for body in bodies for example in examples_of(body)]
        refusals = [status for status in operation["responses"] if int(status) >= 400]
        assert examples, (method, path)
        assert len(refusals) >= 2, (method, path)
        if "requestBody" in operation:
            assert list(examples_of(operation["requestBody"])), (method, path)
        for status, answer in operation["responses"].items():
            if "content" in answer:
                assert list(examples_of(answer)), (method, path, status)


def test_every_example_has_the_shape_that_is_promised(document: dict[str, Any]) -> None:
    plain = decode(encode(document))
    checked = 0

    for method, path, operation in operations_of(plain):
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            for schema, value in examples_of(body):
                whole = schema | {"components": plain["components"]}
                faults = [fault.message for fault in Draft202012Validator(whole).iter_errors(value)]
                assert not faults, (method, path, faults)
                checked += 1
    assert checked > 300


def all_errors(kind: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    for each in kind.__subclasses__():
        yield each
        yield from all_errors(each)


def test_every_code_is_listed(document: dict[str, Any]) -> None:
    raised = {kind.code for kind in all_errors() if not kind.__module__.startswith("tests")}

    assert raised <= set(ERRORS)
    for code in ERRORS:
        assert f"`{code}`" in document["info"]["description"]


def test_reserved_event_types_are_listed(document: dict[str, Any]) -> None:
    for name in INTERNAL_EVENT_TYPES:
        assert f"`{name}`" in document["info"]["description"]


def test_the_socket_is_described(document: dict[str, Any]) -> None:
    socket = document["paths"]["/v1/leaderboards/{leaderboard_id}/ws"]["get"]

    for word in ("snapshot", "configure", "resync", "4401", "phoenix.v1", "ticket"):
        assert word in socket["description"]
    assert "101" in socket["responses"]


def test_anybody_gets_the_description(client: Client, document: dict[str, Any]) -> None:
    answer = client.get("/openapi.json")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert decode(answer.content)["paths"].keys() == document["paths"].keys()


def test_it_takes_no_other_method(client: Client) -> None:
    answer = client.post("/openapi.json")

    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD")


@pytest.mark.django_db
def test_the_reference_for_people_needs_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("/docs/")

    html = page.content.decode()
    assert page.status_code == 200
    assert "/openapi.json" in html
    assert "https://" not in html
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"', html):
        assert asset.startswith(f"/{settings.STATIC_URL.strip('/')}/"), asset
        with closing(client.get(asset)) as answer:
            assert answer.status_code == 200
