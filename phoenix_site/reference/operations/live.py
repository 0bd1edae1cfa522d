"""Live updates: tickets, the WebSocket and what is to come."""

from typing import Any, Final

from phoenix_site.reference.errors import SOCKET_ERRORS
from phoenix_site.reference.operations.query import READ_ERRORS
from phoenix_site.reference.types import Key, Operation

_BOARD: Final = "/v1/leaderboards/{leaderboard_id}"

_CLIENT_MESSAGES: Final = (
    (
        '{"type": "configure", "page"?, "page_size"?, "filter"?, "window_key"?}',
        "Changes the view; what is left out stays, but a new filter, window or size begins at "
        "page 1. Answer: `snapshot`.",
    ),
    (
        '{"type": "request_page", "page": 2, "page_size"?}',
        "Answer: one `page`; the view stays.",
    ),
    ('{"type": "resync"}', "Answer: `snapshot`."),
    (
        '{"type": "authenticate", "token": "…"}',
        "A new token of the same tenant and player. Answer: `authenticated` with `expires_at`.",
    ),
    (
        '{"type": "ping"}` / `{"type": "pong"}',
        "Answered with `pong` / a sign of life.",
    ),
)
_SERVER_MESSAGES: Final = (
    (
        "snapshot",
        "The whole view, and in `me` the token's player. The first message, or `resumed`.",
    ),
    (
        "update",
        "What changed in the view since `previous_sequence`, and in `left` who is no longer in it.",
    ),
    ("page", "The page that was requested; fields as in `snapshot`, without `me`."),
    ("my_rank", "The token's player, at most once a second, whatever the view."),
    ("window_changed", "`current` is another window now; a `snapshot` follows."),
    ("window_closed", "The window of a fixed key was closed: `hash`, `revision`."),
    ("resumed", "The missed updates follow."),
    ("token_expiring", "60 seconds before the token's end; send `authenticate`."),
    ("authenticated", "The new token is in use."),
    ("heartbeat", "After 30 seconds without another message."),
    ("pong", "The answer to `ping`."),
    ("error", "The message was refused: `code`, `error`. The connection stays open."),
)
_FILTERS: Final = (
    ('{"type": "none"}', "the whole list"),
    ('{"type": "top_n", "n": 1-1000}', "the first n"),
    (
        '{"type": "around_user", "user_id"?, "range": 1-100}',
        "the player (default: the token's) and `range` on each side; one page",
    ),
    ('{"type": "users", "user_ids": [1-100]}', "these, in rank order; one page"),
)
_CLOSE_CODES: Final = (
    ("1000", "done", "-"),
    ("1001", "server going down", "reconnect with `epoch` and `since`, after up to 5 s"),
    ("1003", "a binary frame", "fix"),
    ("1009", "a message over 64 KiB", "fix"),
    ("1011", "internal error", "reconnect with growing pauses"),
    ("4400", "20 bad messages within a minute", "fix"),
    ("4401", "the token has expired", "get a new token"),
    ("4403", "access was withdrawn", "stop"),
    ("4404", "the board is no longer active", "stop"),
    ("4408", "no sign of life", "reconnect"),
    ("4429", "the message limit was ignored", "slow down"),
)


def _table(heads: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _coded(rows: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((f"`{row[0]}`", *row[1:]) for row in rows)


_SOCKET: Final = f"""
A WebSocket. The credential comes with the upgrade; the first that is there counts:

1. `Authorization: Bearer <token>`
2. `Sec-WebSocket-Protocol: phoenix.v1, bearer.<token>` (the server selects `phoenix.v1`)
3. `?ticket=<ticket>` from `POST /v1/ws-tickets`: once, within 30 seconds

A connection shows one view: window, filter, page and page size. Refusals before the upgrade are
HTTP answers, which a browser cannot read; `POST /v1/ws-tickets` says why.

**Messages of the client** (JSON, at most 64 KiB, 10 per second with bursts of 20; each may carry
`id`, which its answer repeats)

{_table(("message", "effect"), _coded(_CLIENT_MESSAGES))}

**Messages of the server**

{_table(("type", "meaning"), _coded(_SERVER_MESSAGES))}

`sequence` grows with the window's standings. When `previous_sequence` is not the last one that the
client has, or `epoch` differs, there is a gap: send `resync`.

**Filters**

{_table(("filter", "entries"), _coded(_FILTERS))}

**Codes of `error`**: `NOT_FOUND`, `AUTH_003`, `AUTH_005`, `RATE_001` and

{_table(("code", "meaning"), _coded(tuple(SOCKET_ERRORS.items())))}

**Close codes**

{_table(("code", "meaning", "client"), _CLOSE_CODES)}
"""


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"in": "query", "name": name, "schema": schema, "description": description}


_VIEW: Final = (
    _parameter("ticket", {"type": "string"}, "In place of a token."),
    _parameter("page", {"type": "integer", "minimum": 1, "default": 1}, "Of the view."),
    _parameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        "Of the view.",
    ),
    _parameter("window_key", {"type": "string", "default": "current"}, "Of the view."),
    _parameter("filter", {"type": "string"}, "Of the view, as JSON."),
    _parameter("epoch", {"type": "string"}, "To resume, with `since`."),
    _parameter("since", {"type": "integer"}, "The last sequence that the client has."),
)

OPERATIONS: dict[Key, Operation] = {
    ("post", "/v1/ws-tickets"): Operation(
        id="createTicket",
        summary="Get a ticket for a live connection",
        description="For browsers, which cannot send a header there. A ticket opens one connection "
        "within 30 seconds, as the token's player, on the named board or on any. What would "
        "refuse the connection refuses the ticket, so that a page learns the reason.",
        errors=(
            *READ_ERRORS,
            "VAL_003",
            "IDEMPOTENCY_CONFLICT",
            "IDEMPOTENCY_IN_PROGRESS",
            "TOO_LARGE",
            "MEDIA_TYPE",
        ),
        request={"leaderboard_id": "xp-weekly-global"},
        answer={
            "ticket": "wst_0J5hYpQm3Jm7k1vT9bX2cQ8rN4sL6wZ0aE5uGyHiKdM",
            "expires_at": "2026-11-18T12:00:30Z",
            "expires_in": 30,
        },
        tag="live",
    ),
    ("get", f"{_BOARD}/ws"): Operation(
        id="openSocket",
        summary="Follow a board live (WebSocket)",
        description=_SOCKET,
        errors=READ_ERRORS,
        parameters=_VIEW,
        answers={"101": None},
        security=[{"playerToken": []}, {}],
        tag="live",
    ),
    ("get", f"{_BOARD}/stream"): Operation(
        id="openStream",
        summary="Follow a board by server-sent events (not supported yet)",
        description="Answers 400 until it is built; use the WebSocket.",
        errors=READ_ERRORS,
        answers={},
        tag="live",
    ),
}
