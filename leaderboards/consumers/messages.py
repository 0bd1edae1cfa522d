"""What clients send, parsed and bounded; nothing here knows a connection."""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qs

from leaderboards.rules import windows
from leaderboards.rules.live import ResumePoint, ViewFilter, ViewSpec
from phoenix_site.common.exceptions import Detail, InvalidInputError, InvalidJsonError
from phoenix_site.common.json import decode

CURRENT: Final = "current"
MAX_PAGE: Final = 1_000_000
MAX_PAGE_SIZE: Final = 1000
MAX_RANGE: Final = 100
MAX_IDS: Final = 100
MAX_ANSWER_ID: Final = 64
MAX_TOKEN: Final = 8192

MESSAGES_PER_SECOND: Final = 10.0
MESSAGES_AT_ONCE: Final = 20
MAX_BAD_MESSAGES: Final = 20
# Refusals in a minute that tell a client which ignores the limit from one that was too eager once.
MAX_RATE_REFUSALS: Final = 60
STRIKE_SECONDS: Final = 60.0

_MAX_EXTERNAL_ID: Final = 128
_MAX_SEQUENCE: Final = 2**53
_has_control = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff/]").search


class MessageError(Exception):
    """A message that gets an ``error`` answer; ``answer_id`` is the message's own id."""

    def __init__(self, code: str, message: str, *, answer_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.answer_id = answer_id


@dataclass(frozen=True, slots=True)
class ViewChange:
    """What a client wants to see otherwise; ``None`` leaves a part as it is."""

    page: int | None = None
    page_size: int | None = None
    filter: ViewFilter | None = None
    window_key: str | None = None

    def applied_to(self, spec: ViewSpec) -> ViewSpec:
        """Return the new view: another filter, window or size begins at page 1.

        Raises: ``InvalidInputError`` for a page that the filter does not have.
        """
        restarts = any(part is not None for part in (self.filter, self.window_key, self.page_size))
        page = self.page if self.page is not None else (1 if restarts else spec.page)
        new = ViewSpec(self.filter or spec.filter, page, self.page_size or spec.page_size)
        if new.filter.has_one_page and new.page > 1:
            raise _bad("page", "must be 1 with this filter")
        return new


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """A valid message; ``change`` or ``token`` as its type has it."""

    type: str
    answer_id: str | None
    change: ViewChange = ViewChange()
    token: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the query string of the upgrade asks for."""

    change: ViewChange
    since: ResumePoint | None


def read_message(text: str, *, user_id: str) -> ClientMessage:
    """Return the message in ``text``; ``user_id`` is whom ``around_user`` means by default.

    Raises: ``MessageError``.
    """
    try:
        fields = decode(text)
    except InvalidJsonError as exc:
        raise MessageError("INVALID_JSON", "The message is not JSON.") from exc
    if not isinstance(fields, dict):
        raise MessageError("INVALID_MESSAGE", "A message is an object with a type.")
    answer_id = _read_answer_id(fields)
    try:
        return _read_fields(fields, answer_id, user_id)
    except InvalidInputError as exc:
        raise MessageError("INVALID_MESSAGE", exc.message, answer_id=answer_id) from exc


def read_opening(query_string: bytes, *, user_id: str) -> Opening:
    """Return what the query string asks for. Raises: ``InvalidInputError``, all in 02/WS-2."""
    query = {name: values[-1] for name, values in _parsed(query_string).items()}
    fields: dict[str, Any] = {
        name: _number(query[name]) for name in ("page", "page_size") if name in query
    }
    if "filter" in query:
        fields["filter"] = _read_json(query["filter"])
    if "window_key" in query:
        fields["window_key"] = query["window_key"]
    return Opening(_read_change(fields, user_id), _read_since(query))


def read_ticket(query_string: bytes) -> str | None:
    """Return the ticket of the query string."""
    values = _parsed(query_string).get("ticket")
    return values[-1] if values else None


def _read_since(query: Mapping[str, str]) -> ResumePoint | None:
    if "since" not in query or "epoch" not in query:
        return None
    sequence = _bounded("since", _number(query["since"]), 0, _MAX_SEQUENCE)
    return ResumePoint(query["epoch"], sequence)


def _parsed(query_string: bytes) -> Mapping[str, list[str]]:
    try:
        return parse_qs(query_string.decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError as exc:
        raise InvalidInputError("The query string cannot be read.") from exc


def _read_answer_id(fields: Mapping[str, Any]) -> str | None:
    answer_id = fields.get("id")
    if answer_id is None:
        return None
    if not isinstance(answer_id, str) or len(answer_id) > MAX_ANSWER_ID:
        raise MessageError("INVALID_MESSAGE", f"id must be text of at most {MAX_ANSWER_ID}.")
    return answer_id


def _read_fields(fields: Mapping[str, Any], answer_id: str | None, user_id: str) -> ClientMessage:
    kind = fields.get("type")
    if kind in ("ping", "pong", "resync"):
        return ClientMessage(kind, answer_id)
    if kind == "configure":
        return ClientMessage(kind, answer_id, _read_change(fields, user_id))
    if kind == "request_page":
        if "page" not in fields:
            raise _bad("page", "is missing")
        wanted = {name: fields[name] for name in ("page", "page_size") if name in fields}
        return ClientMessage(kind, answer_id, _read_change(wanted, user_id))
    if kind == "authenticate":
        return ClientMessage(kind, answer_id, token=_read_token(fields.get("token")))
    if not isinstance(kind, str):
        raise _bad("type", "must be the kind of message")
    raise MessageError("UNKNOWN_TYPE", f"There is no message {kind[:64]!r}.", answer_id=answer_id)


def _read_change(fields: Mapping[str, Any], user_id: str) -> ViewChange:
    change = ViewChange()
    if "page" in fields:
        change = replace(change, page=_bounded("page", fields["page"], 1, MAX_PAGE))
    if "page_size" in fields:
        size = _bounded("page_size", fields["page_size"], 1, MAX_PAGE_SIZE)
        change = replace(change, page_size=size)
    if "filter" in fields:
        change = replace(change, filter=_read_filter(fields["filter"], user_id))
    if "window_key" in fields:
        change = replace(change, window_key=_read_window_key(fields["window_key"]))
    return change


def _read_filter(value: Any, user_id: str) -> ViewFilter:
    if not isinstance(value, dict):
        raise _bad("filter", "must be an object with a type")
    kind = value.get("type")
    if kind == "none":
        return ViewFilter()
    if kind == "top_n":
        return ViewFilter("top_n", n=_bounded("filter.n", value.get("n"), 1, MAX_PAGE_SIZE))
    if kind == "around_user":
        whom = _read_player("filter.user_id", value.get("user_id", user_id))
        reach = _bounded("filter.range", value.get("range"), 1, MAX_RANGE)
        return ViewFilter("around_user", user_id=whom, range=reach)
    if kind == "users":
        return ViewFilter("users", user_ids=_read_players(value.get("user_ids")))
    raise _bad("filter.type", "must be none, top_n, around_user or users")


def _read_players(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_IDS:
        raise _bad("filter.user_ids", f"must be a list of 1 to {MAX_IDS} ids")
    # In one order, so that equal groups of friends share one view.
    return tuple(sorted({_read_player("filter.user_ids", each) for each in value}))


def _read_player(name: str, value: Any) -> str:
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= _MAX_EXTERNAL_ID
        or value != value.strip()
        or _has_control(value)
    ):
        raise _bad(name, "must be a player's id")
    return value


def _read_window_key(value: Any) -> str:
    if isinstance(value, str) and (value == CURRENT or windows.is_window_key(value)):
        return value
    raise _bad("window_key", "must be current or a window's key, such as 2026-W47")


def _read_token(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TOKEN:
        raise _bad("token", "must be a token")
    return value


def _bounded(name: str, value: Any, minimum: int, maximum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _bad(name, f"must be a whole number from {minimum} to {maximum}")
    if value < minimum:
        raise _bad(name, f"must be at least {minimum}")
    if value > maximum:
        raise _bad(name, f"must be at most {maximum}")
    return value


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _read_json(text: str) -> Any:
    try:
        return decode(text)
    except InvalidJsonError as exc:
        raise _bad("filter", "must be JSON") from exc


def _bad(name: str, message: str) -> InvalidInputError:
    return InvalidInputError(f"{name} {message}", details=[Detail(name, message, "bad_value")])


class Allowance:
    """How many messages a client may still send: ten a second, twenty at once."""

    __slots__ = ("_at", "_left")

    def __init__(self, at: float) -> None:
        self._left = float(MESSAGES_AT_ONCE)
        self._at = at

    def take(self, at: float) -> bool:
        """Take one, if there is one."""
        earned = (at - self._at) * MESSAGES_PER_SECOND
        self._left = min(float(MESSAGES_AT_ONCE), self._left + earned)
        self._at = at
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Strikes:
    """Counts faults within the last minute."""

    __slots__ = ("_limit", "_times")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[float] = deque(maxlen=limit)

    def add(self, at: float) -> bool:
        """Count a fault; true when it was one too many."""
        self._times.append(at)
        return len(self._times) == self._limit and at - self._times[0] < STRIKE_SECONDS
