"""Reading a request's body without losing a digit, and without refusing a whole list for one text.

The fast reader cannot take three things that are JSON all the same: half of a surrogate pair,
integers of thousands of digits, and exponents beyond any decimal. A body with one of them is read
again by the standard library, so that the checks can name the place.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import msgspec

from ingestion.types import Payload
from phoenix_site.common.exceptions import InvalidJsonError

# Stands for a number that no one could store; the checks refuse everything that is not finite.
_TOO_LARGE = Decimal("Infinity")
_MAX_INTEGER_CHARACTERS = 100


def _fraction(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return _TOO_LARGE


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _MAX_INTEGER_CHARACTERS else _TOO_LARGE


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_fast = msgspec.json.Decoder(float_hook=_fraction)


def read_json(body: bytes) -> Payload:
    """Return the value of ``body``. Raises: ``InvalidJsonError``."""
    has_escapes = b"\\u" in body
    try:
        return Payload(_fast.decode(body), has_escapes)
    except (msgspec.DecodeError, RecursionError):
        return Payload(_read_patiently(body), has_escapes=True)
    except UnicodeDecodeError as exc:
        raise InvalidJsonError("The body is not UTF-8.") from exc


def _read_patiently(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode(),
            parse_float=_fraction,
            parse_int=_integer,
            parse_constant=_refuse_constant,
        )
    except RecursionError as exc:
        raise InvalidJsonError("The body is nested too deeply.") from exc
    except ValueError as exc:
        raise InvalidJsonError(f"The body is not JSON: {exc}") from exc
