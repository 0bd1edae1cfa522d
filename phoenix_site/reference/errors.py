"""Every error code of spec 00 to 03, as the reference lists and exemplifies it."""

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ERRORS", "REQUEST_ID", "SOCKET_ERRORS", "ErrorCode", "error_example", "error_schema"]

REQUEST_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A stable code: its status, what it means, and a sentence as it may be answered.

    ``field`` stands in the example's ``details``.
    """

    code: str
    status: int
    meaning: str
    sentence: str
    field: str | None = None


_LISTED: Final = (
    ErrorCode(
        "VAL_001",
        400,
        "The request does not have the promised shape; `details` names the fields.",
        "limit must be a whole number from 1 to 1000.",
        "limit",
    ),
    ErrorCode(
        "VAL_002",
        400,
        "A list of events is empty or too long.",
        "A list has 1 to 100 events; this one has 0.",
    ),
    ErrorCode(
        "VAL_003",
        400,
        "The body is not JSON.",
        "The body is not JSON: unexpected end of data.",
    ),
    ErrorCode(
        "INSUFFICIENT_BALANCE",
        400,
        "The wallet is too small.",
        "The wallet has 40 gold, not 100.",
    ),
    ErrorCode(
        "NOT_SPENDABLE",
        400,
        "The currency cannot be debited, held or be a price.",
        "xp cannot be spent.",
    ),
    ErrorCode("COUPON_INACTIVE", 400, "The coupon is not active.", "The coupon is not active."),
    ErrorCode(
        "COUPON_NOT_STARTED",
        400,
        "The coupon cannot be redeemed yet.",
        "The coupon starts on 2026-12-01.",
    ),
    ErrorCode(
        "COUPON_EXPIRED", 400, "The coupon cannot be redeemed any more.", "The coupon has expired."
    ),
    ErrorCode(
        "COUPON_ALREADY_REDEEMED",
        400,
        "The code was redeemed already.",
        "The code was redeemed already.",
    ),
    ErrorCode(
        "COUPON_LIMIT_REACHED",
        400,
        "The coupon was redeemed as often as it may be.",
        "The coupon was redeemed 10 of 10 times.",
    ),
    ErrorCode("COUPON_VOID", 400, "The code was declared void.", "The code is void."),
    ErrorCode(
        "AUTH_001",
        401,
        "The signature fits no live secret.",
        "The signature does not match.",
    ),
    ErrorCode(
        "AUTH_002",
        401,
        "No credential was sent, or only a part of one.",
        "A credential is missing.",
    ),
    ErrorCode(
        "AUTH_003",
        401,
        "The credential or token is unknown, revoked, expired, malformed or of another gateway.",
        "The token has expired.",
    ),
    ErrorCode(
        "AUTH_004",
        401,
        "The signature's time is not a time, or more than 300 seconds away.",
        "X-Timestamp is outside the tolerance.",
    ),
    ErrorCode(
        "AUTH_005",
        403,
        "Known, and not allowed: foreign tenant or player, scope missing, address or origin not "
        "allowed, tenant suspended.",
        "The credential does not reach this tenant.",
    ),
    ErrorCode(
        "NOT_FOUND",
        404,
        "Nothing here, or it belongs to somebody else: the two are not told apart.",
        "There is nothing here.",
    ),
    ErrorCode("METHOD", 405, "The path does not take this method.", 'Method "PUT" not allowed.'),
    ErrorCode(
        "ACCEPT", 406, "No representation that the client accepts.", "Only JSON is answered here."
    ),
    ErrorCode("CONFLICT", 409, "The present state forbids it.", "The board exists already."),
    ErrorCode(
        "EVENT_CONFLICT",
        409,
        "An event with this id is stored with other content.",
        "event_id is stored with other content",
    ),
    ErrorCode(
        "VERSION_CONFLICT",
        409,
        "The object is at another version than `version` (of a board: `expected_version`).",
        "The object is at version 4, not 3.",
    ),
    ErrorCode(
        "NEEDS_RECOMPUTE",
        409,
        "The change would alter a custom or endless window that has entries; send "
        '`"effective": "recompute"`.',
        "The window has entries: the change needs recompute.",
    ),
    ErrorCode(
        "EVENTS_PURGED",
        409,
        "Recomputing needs events that are no longer kept.",
        "Events of the window were purged.",
    ),
    ErrorCode(
        "WINDOW_NOT_SCORED",
        409,
        "The window is closed or void: nothing changes its entries.",
        "The window is closed.",
    ),
    ErrorCode(
        "EVENT_REFUSED",
        409,
        "An event from quarantine was refused again.",
        "The event was refused again.",
    ),
    ErrorCode(
        "STATE_CONFLICT",
        409,
        "The object's present state forbids it.",
        "The grant is expired and cannot be claimed.",
    ),
    ErrorCode(
        "ALREADY_REVERSED",
        409,
        "The transaction was reversed already.",
        "The transaction was reversed already.",
    ),
    ErrorCode(
        "HOLD_EXCEEDED",
        409,
        "More was to be captured or released than is held.",
        "The hold has 40 left, not 50.",
    ),
    ErrorCode("HOLD_CLOSED", 409, "Nothing is held any more.", "The hold is closed."),
    ErrorCode(
        "IN_USE",
        409,
        "What is in use already cannot be changed in this way.",
        "decimal_places cannot change after the first posting.",
    ),
    ErrorCode(
        "REPLAY_FAILED",
        409,
        "Replaying a quarantined event failed again.",
        "The replay failed.",
    ),
    ErrorCode(
        "IDEMPOTENCY_CONFLICT",
        409,
        "The Idempotency-Key was used for another request.",
        "The idempotency key was used for another request.",
    ),
    ErrorCode(
        "IDEMPOTENCY_IN_PROGRESS",
        409,
        "The first request with this Idempotency-Key has not answered yet.",
        "The first request with this key is still running.",
    ),
    ErrorCode("TOO_LARGE", 413, "The body is over 1 MiB.", "The body is over 1048576 bytes."),
    ErrorCode(
        "MEDIA_TYPE",
        415,
        "The body is not `application/json` in UTF-8, or it is encoded.",
        "The body must be application/json in UTF-8.",
    ),
    ErrorCode(
        "RATE_001",
        429,
        "Too many requests; `Retry-After` says when to come back.",
        "Too many requests: the limit is 600 per minute.",
    ),
    ErrorCode("SRV_001", 500, "A fault of Phoenix; quote the request id.", "Internal error."),
    ErrorCode(
        "SRV_002",
        503,
        "A dependency is down; `Retry-After` says when to come back.",
        "The database cannot be reached.",
    ),
)
ERRORS: Final[dict[str, ErrorCode]] = {listed.code: listed for listed in _LISTED}

# Codes of `error` messages on a WebSocket, besides NOT_FOUND, AUTH_003, AUTH_005 and RATE_001.
SOCKET_ERRORS: Final = {
    "INVALID_JSON": "The message is not JSON.",
    "INVALID_MESSAGE": "The message has the wrong shape.",
    "UNKNOWN_TYPE": "There is no such message.",
}


def error_example(listed: ErrorCode) -> dict[str, Any]:
    """Return a body with this code."""
    body: dict[str, Any] = {
        "error": listed.sentence,
        "code": listed.code,
        "request_id": REQUEST_ID,
    }
    if listed.field is not None:
        message = listed.sentence.removeprefix(f"{listed.field} ").removesuffix(".")
        body["details"] = [{"field": listed.field, "message": message, "reason": "bad_value"}]
    return body


def error_schema() -> dict[str, Any]:
    """Return the one shape of every refusal (spec 00 section 3)."""
    text = {"type": "string"}
    detail = {
        "type": "object",
        "properties": {"field": text, "message": text, "reason": text},
        "required": ["field", "message"],
    }
    return {
        "type": "object",
        "description": "Every refusal of every gateway. `error` is for people, `code` is stable.",
        "properties": {
            "error": text,
            "code": {"type": "string", "examples": sorted(ERRORS)},
            "request_id": text,
            "details": {"type": "array", "items": detail},
        },
        "required": ["error", "code", "request_id"],
    }
