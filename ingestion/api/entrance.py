"""What both entrances of the ingestion gateway share: reading a request and wording its answer.

The DRF views and the native views differ only in how they wait.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.utils.http import parse_header_parameters

from ingestion.constants import MAX_BULK_EVENTS
from ingestion.exceptions import EventConflictError
from ingestion.rules.payloads import read_json
from ingestion.services import intake
from ingestion.types import (
    CheckedEvent,
    Intake,
    ItemVerdict,
    Sender,
    StoreOutcome,
    Submission,
)
from phoenix_site.common.exceptions import (
    BulkSizeError,
    Detail,
    DomainError,
    InvalidInputError,
    MediaTypeError,
    MethodError,
    TooLargeError,
    UnavailableError,
)
from phoenix_site.common.handler import MAX_BODY_BYTES
from phoenix_site.common.http import error_body, json_response

LIMIT_CLASS = "ingestion"
_CONFLICT = "event_id is stored with other content"


def check_size(request: HttpRequest) -> None:
    """Refuse a body over the gateway's limit. Raises: ``TooLargeError``."""
    try:
        is_over = len(request.body) > MAX_BODY_BYTES
    except RequestDataTooBig:
        is_over = True
    if is_over:
        raise TooLargeError(f"The body is over {MAX_BODY_BYTES} bytes.")


def check_method(request: HttpRequest) -> None:
    """Take nothing but POST. Raises: ``MethodError``."""
    if request.method != "POST":
        raise MethodError(f"{request.method} is not taken here; use POST.", allowed=("POST",))


def check_media_type(request: HttpRequest) -> None:
    """Take JSON in UTF-8, not encoded otherwise. Raises: ``MediaTypeError``."""
    sent = request.META.get("CONTENT_TYPE")
    if sent and sent != "application/json":
        media_type, parameters = parse_header_parameters(sent)
        charset = parameters.get("charset", "utf-8").lower()
        if media_type.lower() != "application/json" or charset not in ("utf-8", "utf8"):
            raise MediaTypeError("The body must be application/json in UTF-8.")
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity")
    if encoding.strip().lower() not in ("identity", ""):
        raise MediaTypeError("A body with a Content-Encoding is not taken here.")


def _read_single(request: HttpRequest) -> Submission:
    """Return the one event of the body. Raises: ``MediaTypeError``, ``InvalidJsonError``."""
    check_media_type(request)
    payload = read_json(request.body)
    return Submission([payload.value], payload.has_escapes)


def _read_bulk(request: HttpRequest) -> Submission:
    """Return the events of the body: a list, or an object that holds it as ``events``.

    Raises: ``MediaTypeError``, ``InvalidJsonError``, ``BulkSizeError``, ``InvalidInputError``.
    """
    check_media_type(request)
    payload = read_json(request.body)
    value = payload.value
    if isinstance(value, dict):
        if "events" not in value:
            raise _shape_error("events", "is missing", "missing")
        value = value["events"]
    if not isinstance(value, list):
        raise _shape_error("events", "must be a list", "wrong_type")
    if not 1 <= len(value) <= MAX_BULK_EVENTS:
        raise BulkSizeError(f"A list has 1 to {MAX_BULK_EVENTS} events; this one has {len(value)}.")
    return Submission(value, payload.has_escapes)


def _shape_error(field: str, message: str, reason: str) -> InvalidInputError:
    return InvalidInputError(f"{field} {message}", details=[Detail(field, message, reason)])


def _single_answer(
    verdicts: Sequence[ItemVerdict], _request_id: str, headers: dict[str, str]
) -> HttpResponse:
    """Return the answer for one event (ING-15).

    Raises: ``InvalidInputError`` with every fault, ``EventConflictError``, or what storing raised.
    """
    (verdict,) = verdicts
    outcome = verdict.outcome
    if outcome is None:
        raise InvalidInputError(_summary(verdict.checked), details=verdict.checked.faults)
    if isinstance(outcome, DomainError):
        raise outcome
    if outcome == "conflict":
        raise EventConflictError(_CONFLICT)
    body: dict[str, Any] = {
        "status": "accepted",
        "event_id": verdict.checked.event_id,
        "duplicate": outcome == "duplicate",
    }
    if verdict.checked.warnings:
        body["warnings"] = verdict.checked.warnings
    return json_response(body, status=200 if outcome == "duplicate" else 202, headers=headers)


def _bulk_answer(
    verdicts: Sequence[ItemVerdict], request_id: str, headers: dict[str, str]
) -> HttpResponse:
    """Return the answer for a list: one result per event, in order (ING-16).

    Raises: ``UnavailableError`` when nothing else happened to any event.
    """
    results = [_result(index, verdict) for index, verdict in enumerate(verdicts)]
    counts = {
        "accepted": _count(results, "accepted"),
        "duplicates": _count(results, "duplicate"),
        "conflicts": _count(results, "conflict"),
        "rejected": _count(results, "rejected"),
    }
    taken = counts["accepted"] + counts["duplicates"]
    if taken:
        status = "accepted" if taken == len(results) else "partial"
        return json_response(
            {"status": status, **counts, "results": results}, status=202, headers=headers
        )
    _raise_when_down(verdicts)
    error = InvalidInputError("No event of the list was accepted.", code=results[0]["code"])
    body = {"status": "rejected", **counts, "results": results, **error_body(error, request_id)}
    return json_response(body, status=400, headers=headers)


def _raise_when_down(verdicts: Sequence[ItemVerdict]) -> None:
    outcomes = [verdict.outcome for verdict in verdicts if verdict.outcome is not None]
    if outcomes and all(isinstance(outcome, UnavailableError) for outcome in outcomes):
        raise UnavailableError("The events could not be stored in time; send them again.")


def _count(results: Sequence[dict[str, Any]], status: str) -> int:
    return sum(result["status"] == status for result in results)


def _result(index: int, verdict: ItemVerdict) -> dict[str, Any]:
    checked, outcome = verdict.checked, verdict.outcome
    result: dict[str, Any] = {"index": index, "event_id": checked.event_id}
    if outcome is None:
        result |= {
            "status": "rejected",
            "code": InvalidInputError.code,
            "error": _summary(checked),
            "details": [fault.as_dict() for fault in checked.faults],
        }
    elif isinstance(outcome, DomainError):
        result |= {"status": "rejected", "code": outcome.code, "error": outcome.message}
    elif outcome == "conflict":
        result |= {"status": "conflict", "code": EventConflictError.code, "error": _CONFLICT}
    else:
        result["status"] = outcome
        if checked.warnings:
            result["warnings"] = checked.warnings
    return result


def _summary(checked: CheckedEvent) -> str:
    first = checked.faults[0]
    text = f"{first.field or 'The event'} {first.message}"
    others = len(checked.faults) - 1
    return f"{text} ({others} more in details)" if others else text


@dataclass(frozen=True, slots=True)
class Operation:
    """How one operation reads its request and words its answer."""

    read: Callable[[HttpRequest], Submission]
    word: Callable[[Sequence[ItemVerdict], str, dict[str, str]], HttpResponse]


SINGLE = Operation(_read_single, _single_answer)
BULK = Operation(_read_bulk, _bulk_answer)


def answer(
    operation: Operation,
    checked: Intake,
    outcomes: Sequence[StoreOutcome],
    sender: Sender,
    headers: dict[str, str],
) -> HttpResponse:
    """Return the answer, and count what happened. Raises: what ``operation`` says by an error."""
    verdicts = intake.item_verdicts(checked, outcomes)
    intake.count_verdicts(sender.tenant.id, verdicts)
    return operation.word(verdicts, sender.request_id, headers)
