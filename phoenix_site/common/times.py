"""RFC 3339 times: read from callers, written in answers. Inside, a time is always aware and UTC."""

import re
from datetime import UTC, datetime

__all__ = ["NaiveTimeError", "format_utc", "format_utc_microseconds", "parse_rfc3339"]

_DATE_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
_has_offset = re.compile(_DATE_TIME + r"(?:[Zz]|[+-][0-9]{2}:[0-5][0-9])").fullmatch
_is_naive = re.compile(_DATE_TIME).fullmatch


class NaiveTimeError(ValueError):
    """A time without an offset: which instant it means is anybody's guess."""


def parse_rfc3339(text: str) -> datetime:
    """Return the instant ``text`` names, aware and in UTC.

    Digits after the microsecond are cut, not rounded. A leap second (``:60``) is refused.

    Raises: ``NaiveTimeError`` when only the offset is missing, ``ValueError`` for anything else.
    """
    if not isinstance(text, str):
        raise ValueError("is not an RFC 3339 time")  # noqa: TRY004 - callers handle one kind of error
    if _has_offset(text) is None:
        if _is_naive(text) is not None:
            raise NaiveTimeError("has no offset; write Z or +hh:mm")
        raise ValueError("is not an RFC 3339 time")
    try:
        # The pattern is checked first because fromisoformat reads far more forms than RFC 3339 has.
        value = datetime.fromisoformat(text if text[-1] != "z" else text[:-1] + "Z")
        return value if value.tzinfo is UTC else value.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError("is not an RFC 3339 time") from exc


def format_utc(value: datetime) -> str:
    """Return ``value`` in UTC with ``Z``; a fraction has three digits if those do, else six."""
    microsecond = value.microsecond
    if microsecond == 0:
        return _utc_without_zone(value).isoformat(timespec="seconds") + "Z"
    timespec = "milliseconds" if microsecond % 1000 == 0 else "microseconds"
    return _utc_without_zone(value).isoformat(timespec=timespec) + "Z"


def format_utc_microseconds(value: datetime) -> str:
    """Return ``value`` in UTC with always six decimals and ``Z``, the form hashes are made of."""
    return _utc_without_zone(value).isoformat(timespec="microseconds") + "Z"


def _utc_without_zone(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise NaiveTimeError("has no offset")
    return value.astimezone(UTC).replace(tzinfo=None)
