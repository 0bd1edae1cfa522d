"""What a caller of the query gateway may ask, read from the query string.

A wrong value is refused with its name, never bent into a right one (00 section 3).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict

from leaderboards.constants import MAX_DECIMALS
from leaderboards.rules import windows
from phoenix_site.common.drf import read_int
from phoenix_site.common.exceptions import Detail, InvalidInputError
from phoenix_site.common.times import NaiveTimeError, parse_rfc3339

CURRENT = "current"
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_NEIGHBORS = 201
DEFAULT_NEIGHBORS = 11
MAX_IDS = 100
# Beyond the largest board, so that any position can be asked for and none costs a scan.
MAX_OFFSET = 10**9

_is_score = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,12}))?").fullmatch
_has_control = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
_MAX_ID_LENGTH = 128


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """A slice of a window's list; ``window_key`` is a key, ``current``, or ``None`` if left out."""

    window_key: str | None
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class PeriodQuestion:
    """The first ``limit`` snapshots of a period, both ends included."""

    since: datetime | None
    until: datetime | None
    limit: int


@dataclass(frozen=True, slots=True)
class TicketQuestion:
    """The board that a ticket is for, ``None`` for any, and the window that will be asked for."""

    leaderboard_id: str | None
    window_key: str


def read_window_key(query: QueryDict) -> str | None:
    """Return the asked window. Raises: ``InvalidInputError``."""
    sent = query.get("window_key")
    return None if sent is None else check_window_key(sent)


def check_window_key(text: str) -> str:
    """Return ``text`` if it is ``current`` or may be a key. Raises: ``InvalidInputError``."""
    if text == CURRENT or windows.is_window_key(text):
        return text
    raise _bad("window_key", "must be current or a window's key, such as 2026-W47 or 2026-11-18")


def read_tenant_id(query: QueryDict) -> str:
    """Return the tenant that a collection is asked for. Raises: ``InvalidInputError``."""
    sent = query.get("tenant_id")
    if sent is None:
        raise _bad("tenant_id", "is missing in the query string")
    return sent


def read_page(query: QueryDict) -> PageQuestion:
    """Return the asked page of a list. Raises: ``InvalidInputError``."""
    limit = read_int(
        query.get("limit"), "limit", default=DEFAULT_LIMIT, minimum=1, maximum=MAX_LIMIT
    )
    offset = read_int(query.get("offset"), "offset", default=0, minimum=0, maximum=MAX_OFFSET)
    return PageQuestion(read_window_key(query), limit, offset)


def read_neighborhood(query: QueryDict) -> PageQuestion:
    """Return how many to show around a player. Raises: ``InvalidInputError``."""
    limit = read_int(
        query.get("limit"), "limit", default=DEFAULT_NEIGHBORS, minimum=1, maximum=MAX_NEIGHBORS
    )
    return PageQuestion(read_window_key(query), limit, 0)


def read_score(query: QueryDict, *, decimals: int) -> int:
    """Return the asked score, scaled to ``decimals``. Raises: ``InvalidInputError``."""
    sent = query.get("score")
    if sent is None:
        raise _bad("score", "is missing")
    match = _is_score(sent)
    fraction = (match[3] or "").rstrip("0") if match else ""
    if match is None or len(fraction) > decimals:
        raise _bad("score", f"must be a number with at most {decimals} decimals")
    digits = match[2] + fraction.ljust(decimals, "0")
    if len(digits.lstrip("0")) > _MAX_SCORE_DIGITS:
        raise _bad("score", f"has more than {_MAX_SCORE_DIGITS} digits")
    return int(match[1] + digits)


_MAX_SCORE_DIGITS = 15
assert MAX_DECIMALS <= _MAX_SCORE_DIGITS  # noqa: S101 - a score of decimals alone must fit


def read_user_ids(query: QueryDict) -> list[str]:
    """Return the asked players, each once, in the order asked. Raises: ``InvalidInputError``."""
    asked = list(dict.fromkeys(query.getlist("user_id")))
    if not 1 <= len(asked) <= MAX_IDS:
        raise _bad("user_id", f"must be given 1 to {MAX_IDS} times")
    for user_id in asked:
        if not is_external_id(user_id):
            raise _bad("user_id", "must be a player's id: 1 to 128 characters, no / or controls")
    return asked


def read_period(query: QueryDict) -> PeriodQuestion:
    """Return the asked period of snapshots. Raises: ``InvalidInputError``."""
    since, until = _read_time(query, "from"), _read_time(query, "to")
    if since is not None and until is not None and since > until:
        raise _bad("from", "must not be later than to")
    limit = read_int(
        query.get("limit"), "limit", default=DEFAULT_LIMIT, minimum=1, maximum=MAX_LIMIT
    )
    return PeriodQuestion(since, until, limit)


def read_snapshot_time(text: str) -> datetime:
    """Return the instant of a snapshot's path. Raises: ``InvalidInputError``."""
    return _parse_time(text, "snapshot_time")


def read_ticket_request(body: Any) -> TicketQuestion:
    """Return what a ticket is wanted for. Raises: ``InvalidInputError``."""
    if not isinstance(body, Mapping):
        raise InvalidInputError("The body must be an object.")
    leaderboard_id, window_key = body.get("leaderboard_id"), body.get("window_key", CURRENT)
    if leaderboard_id is not None and not isinstance(leaderboard_id, str):
        raise _bad("leaderboard_id", "must be a board's id")
    if not isinstance(window_key, str):
        raise _bad("window_key", "must be current or a window's key")
    return TicketQuestion(leaderboard_id, check_window_key(window_key))


def is_external_id(text: str) -> bool:
    """Whether ``text`` can be a player's id (00 section 2)."""
    return (
        1 <= len(text) <= _MAX_ID_LENGTH
        and text == text.strip()
        and "/" not in text
        and _has_control(text) is None
    )


def _read_time(query: QueryDict, name: str) -> datetime | None:
    sent = query.get(name)
    # A plus that was not escaped arrives as a space; no time has one.
    return None if sent is None else _parse_time(sent.replace(" ", "+"), name)


def _parse_time(text: str, name: str) -> datetime:
    try:
        return parse_rfc3339(text)
    except NaiveTimeError as exc:
        raise _bad(name, "has no offset; write Z or +hh:mm") from exc
    except ValueError as exc:
        raise _bad(name, "must be an RFC 3339 time, such as 2026-11-18T12:00:00Z") from exc


def _bad(name: str, message: str) -> InvalidInputError:
    return InvalidInputError(f"{name} {message}.", details=[Detail(name, message, "bad_value")])
