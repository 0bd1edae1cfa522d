"""The description of every gateway, as OpenAPI: what the views say, and what is said here.

The views give paths, parameters and shapes. ``operations`` gives what no view knows of itself: a
name, a sentence, examples and refusals. Every operation needs an entry there; a test sees to it.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from drf_spectacular.openapi import AutoSchema

from ingestion.constants import INTERNAL_EVENT_TYPES
from leaderboards.api.query_docs import TAG as QUERY
from leaderboards.api.query_docs import shape_components
from phoenix_site.reference.errors import ERRORS, error_example, error_schema
from phoenix_site.reference.operations import (
    achievements,
    backtests,
    boards,
    coupons,
    grants,
    health,
    ingestion,
    ladders,
    live,
    query,
    rules,
    staff,
    streaks,
    wallets,
)
from phoenix_site.reference.types import Examples, Key, Operation, Security

__all__ = ["OPERATIONS", "GatewaySchema", "complete_document"]

OPERATIONS: Final[dict[Key, Operation]] = (
    health.OPERATIONS
    | achievements.OPERATIONS
    | ingestion.OPERATIONS
    | query.OPERATIONS
    | live.OPERATIONS
    | backtests.OPERATIONS
    | boards.OPERATIONS
    | coupons.OPERATIONS
    | grants.OPERATIONS
    | ladders.OPERATIONS
    | rules.OPERATIONS
    | staff.OPERATIONS
    | streaks.OPERATIONS
    | wallets.OPERATIONS
)
_ERROR: Final = {"$ref": "#/components/schemas/Error"}
# One header or none.
_IDEMPOTENCY_KEY: Final = (
    {
        "in": "header",
        "name": "Idempotency-Key",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "The same key gets the same answer for 24 hours.",
    },
)
_METHODS: Final = ("get", "put", "post", "patch", "delete")
_TAGS: Final = {
    "ingestion": "Sending events, with a tenant's token or signature.",
    "query": "Reading boards, with a player's token.",
    "live": "Following a board, with a player's token or a ticket.",
    "boards": "Keeping boards, with an API key, admin token or staff token.",
    "rewards": "Giving and keeping rewards; players see and claim their own.",
    "wallet": "Currencies, wallets and the ledger; players read their own wallets.",
    "events": "Looking into the event log, with the same.",
    "staff": "Tokens for operations people.",
    "health": "Probes.",
}
_INTRODUCTION: Final = """
Phoenix takes events from game servers and keeps live leaderboards.

**Credentials.** *Tenant tokens* are HS256 JWTs that you sign with your tenant's secret; with `sub`
they are a player's and open the query gateway. *Signatures* (`X-Tenant-Id`, `X-Timestamp`,
`X-Signature`) open the ingestion gateway. *API keys*, JWTs signed with them, and *staff tokens*
open the admin gateway. A credential of the wrong kind is 401; a right one that may not is 403.

**Requests and answers** are JSON in UTF-8, times RFC 3339, in UTC in answers, durations seconds.
`X-Request-Id` is taken over and comes back in every answer. Every POST that makes something takes
an `Idempotency-Key`; the event gateway needs none, because `event_id` does that job.

**Limits.** Limited answers carry `X-RateLimit-Limit`, `X-RateLimit-Remaining` and
`X-RateLimit-Reset` (Unix seconds); a refused one is 429 with `Retry-After`.

## Errors

Every refusal has the same shape: `error` for people, a stable `code`, the `request_id` and, where
fields are meant, `details`.

{errors}

## Reserved event types

Phoenix emits these itself; nobody else may send them.

{events}
"""


class GatewaySchema(AutoSchema):
    """Describes a view by itself: refusals and words come from ``operations``."""

    def _get_response_for_code(
        self, serializer: Any, status_code: Any, *args: Any, **options: Any
    ) -> dict[str, Any]:
        if int(status_code) >= HTTPStatus.BAD_REQUEST:
            return {}
        answer: dict[str, Any] = super()._get_response_for_code(  # type: ignore[no-untyped-call]
            serializer, status_code, *args, **options
        )
        return answer

    def get_operation_id(self) -> str:
        operation = OPERATIONS.get((self.method.lower(), self.path))
        return operation.id if operation else str(super().get_operation_id())

    def get_description(self) -> str:  # type: ignore[override]  # of another generator's base
        return ""


def complete_document(
    result: dict[str, Any], generator: Any, request: Any, public: Any
) -> dict[str, Any]:
    """Return the generated document with everything that the views do not say."""
    result["info"]["description"] = _introduction()
    result["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items()]
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas |= shape_components() | {"Error": error_schema()}
    result["components"]["schemas"] = dict(sorted(schemas.items()))
    for path, described in result["paths"].items():
        for method in _METHODS:
            operation = OPERATIONS.get((method, path))
            if method in described and operation is not None:
                _complete(described[method], operation)
    return result


def _introduction() -> str:
    errors = ["| code | status | meaning |", "|---|---|---|"]
    errors += [
        f"| `{listed.code}` | {listed.status} | {listed.meaning} |" for listed in ERRORS.values()
    ]
    events = "\n".join(f"- `{name}`" for name in sorted(INTERNAL_EVENT_TYPES))
    return _INTRODUCTION.format(errors="\n".join(errors), events=events).strip()


def _complete(described: dict[str, Any], operation: Operation) -> None:
    described["summary"] = operation.summary
    described["description"] = operation.description.strip()
    if operation.tag is not None:
        described["tags"] = [operation.tag]
    described["security"] = operation.security or _alternatives(described.get("security", []))
    extra = [*operation.parameters, *_IDEMPOTENCY_KEY[: "IDEMPOTENCY_CONFLICT" in operation.errors]]
    if extra:
        described["parameters"] = [*described.get("parameters", ()), *extra]
    if operation.request is not None:
        _add_examples(described["requestBody"], operation.request)
    _complete_answers(described, operation)


def _alternatives(security: Security) -> Security:
    """Return each credential as one that is enough by itself."""
    return [
        {name: scopes} if name else {}
        for requirement in security
        for name, scopes in (requirement.items() or [("", [])])
    ]


def _complete_answers(described: dict[str, Any], operation: Operation) -> None:
    answers = {
        status: answer for status, answer in described["responses"].items() if int(status) < 400
    }
    if operation.answers or operation.answer is None:
        _replace_successes(answers, operation.answers)
    for answer in answers.values():
        answer["description"] = answer.get("description") or "Done."
        if operation.answer is not None:
            _add_examples(answer, operation.answer)
    if described["tags"] == [QUERY]:
        answers["304"] = {"description": "The client has this answer already (`If-None-Match`)."}
    described["responses"] = answers | _refusals(operation.errors)


def _replace_successes(answers: dict[str, Any], replacements: Mapping[str, Any]) -> None:
    """Put in the place of what was generated what the view cannot say; keep an empty 204."""
    for status in [status for status in answers if status != "204"]:
        del answers[status]
    for status, schema in replacements.items():
        answers[status] = {"description": HTTPStatus(int(status)).phrase}
        if schema is not None:
            answers[status]["content"] = {"application/json": {"schema": schema}}


def _refusals(codes: Sequence[str]) -> dict[str, Any]:
    """Return the refusals by status; every operation may meet a fault of our own."""
    by_status: dict[int, list[str]] = {}
    for code in (*codes, "SRV_001"):
        by_status.setdefault(ERRORS[code].status, []).append(code)
    return {str(status): _refusal(by_status[status]) for status in sorted(by_status)}


def _refusal(codes: Sequence[str]) -> dict[str, Any]:
    examples = {code: {"value": error_example(ERRORS[code])} for code in codes}
    meanings = " ".join(f"`{code}`: {ERRORS[code].meaning}" for code in codes)
    content = {"application/json": {"schema": _ERROR, "examples": examples}}
    return {"description": meanings, "content": content}


def _add_examples(body: dict[str, Any], example: Any) -> None:
    by_name = example.by_name if isinstance(example, Examples) else {"example": example}
    for media in body.get("content", {}).values():
        media["examples"] = {name: {"value": value} for name, value in by_name.items()}
