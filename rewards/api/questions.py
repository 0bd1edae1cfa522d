"""What callers may ask of lists, read from the query string; a wrong value is refused by name."""

from collections.abc import Collection
from datetime import datetime

from django.http import QueryDict

from phoenix_site.common.exceptions import Detail, InvalidInputError
from phoenix_site.common.times import NaiveTimeError, parse_rfc3339

__all__ = ["bad_value", "read_choice", "read_text", "read_time"]

_MAX_TEXT_LENGTH = 200


def read_choice(query: QueryDict, name: str, allowed: Collection[str]) -> str | None:
    """Return one of ``allowed``, ``None`` if not asked. Raises: ``InvalidInputError``."""
    sent = query.get(name)
    if sent is not None and sent not in allowed:
        raise bad_value(name, f"must be one of {', '.join(allowed)}")
    return sent


def read_text(query: QueryDict, name: str) -> str | None:
    """Return a text to compare with, ``None`` if not asked. Raises: ``InvalidInputError``."""
    sent = query.get(name)
    if sent is not None and (len(sent) > _MAX_TEXT_LENGTH or "\x00" in sent):
        raise bad_value(name, f"must be a text of at most {_MAX_TEXT_LENGTH} characters")
    return sent


def read_time(query: QueryDict, name: str) -> datetime | None:
    """Return an instant, ``None`` if not asked. Raises: ``InvalidInputError``."""
    sent = query.get(name)
    if sent is None:
        return None
    try:
        # A plus that was not escaped arrives as a space; no time has one.
        return parse_rfc3339(sent.replace(" ", "+"))
    except NaiveTimeError as exc:
        raise bad_value(name, "has no offset; write Z or +hh:mm") from exc
    except ValueError as exc:
        raise bad_value(name, "must be an RFC 3339 time, such as 2026-11-18T12:00:00Z") from exc


def bad_value(name: str, message: str) -> InvalidInputError:
    """Return the refusal of a parameter."""
    return InvalidInputError(f"{name} {message}.", details=[Detail(name, message, "bad_value")])
