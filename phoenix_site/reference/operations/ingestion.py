"""Sending events."""

from typing import Any, Final

from phoenix_site.reference.types import Examples, Key, Operation

_ERRORS: Final = (
    "VAL_001",
    "VAL_003",
    "AUTH_001",
    "AUTH_002",
    "AUTH_003",
    "AUTH_004",
    "AUTH_005",
    "METHOD",
    "TOO_LARGE",
    "MEDIA_TYPE",
    "RATE_001",
    "SRV_002",
)
EVENT: Final[dict[str, Any]] = {
    "event_id": "evt_20261118_000001",
    "type": "match.completed",
    "actor": {"user_id": "user-123", "metadata": {"region": "na-east"}},
    "occurred_at": "2026-11-18T09:15:42Z",
    "attrs": {"score": 950, "victory": True, "mode": "ranked"},
}

OPERATIONS: dict[Key, Operation] = {
    ("post", "/v1/events"): Operation(
        id="sendEvent",
        summary="Send one event",
        description="202 once the event is stored for good. Sending it again is harmless: the "
        "same `event_id` with the same content is 200 and `duplicate`, with other content 409.",
        errors=(*_ERRORS, "EVENT_CONFLICT"),
        request=EVENT,
        answer={"status": "accepted", "event_id": EVENT["event_id"], "duplicate": False},
        tag="ingestion",
        security=[{"tenantToken": []}, {"tenantSignature": []}],
    ),
    ("post", "/v1/events/bulk"): Operation(
        id="sendEvents",
        summary="Send up to 100 events",
        description="Each event is judged for itself; `results` has one entry per event, in "
        "order. 202 when at least one was taken, 400 when none was.",
        errors=(*_ERRORS, "VAL_002"),
        request={"events": [EVENT]},
        answer=Examples(
            {
                "all taken": {
                    "status": "accepted",
                    "accepted": 1,
                    "duplicates": 0,
                    "conflicts": 0,
                    "rejected": 0,
                    "results": [{"index": 0, "event_id": EVENT["event_id"], "status": "accepted"}],
                },
                "one refused": {
                    "status": "partial",
                    "accepted": 1,
                    "duplicates": 0,
                    "conflicts": 0,
                    "rejected": 1,
                    "results": [
                        {"index": 0, "event_id": EVENT["event_id"], "status": "accepted"},
                        {
                            "index": 1,
                            "event_id": "evt_20261118_000002",
                            "status": "rejected",
                            "code": "VAL_001",
                            "error": "occurred_at is not an RFC 3339 time",
                            "details": [
                                {
                                    "field": "occurred_at",
                                    "message": "is not an RFC 3339 time",
                                    "reason": "bad_value",
                                }
                            ],
                        },
                    ],
                },
            }
        ),
        tag="ingestion",
        security=[{"tenantToken": []}, {"tenantSignature": []}],
    ),
}
