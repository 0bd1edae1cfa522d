"""JSON in and out with exact numbers.

``decode`` keeps every fraction as ``Decimal`` and every whole number as ``int``; ``encode``
writes ``Decimal`` as a JSON number and times as RFC 3339 in UTC.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from phoenix_site.common.exceptions import InvalidJsonError
from phoenix_site.common.times import format_utc


def _encode_other(value: Any) -> Any:
    """Render what msgspec does not know; called only for such values."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_encode_other)
_decoder = msgspec.json.Decoder(float_hook=Decimal)


def decode(body: bytes | str) -> Any:
    """Return the value of a JSON text. Raises: ``InvalidJsonError``."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ArithmeticError, RecursionError, ValueError) as exc:
        raise InvalidJsonError(f"The body is not JSON: {exc}") from exc


def encode(value: Any) -> bytes:
    """Return the UTF-8 JSON text of ``value``; render times with ``rendered`` beforehand."""
    return _encoder.encode(value)


def rendered(value: Any) -> Any:
    """Return ``value`` with every time as ``…Z`` text and every UUID as text, deeply."""
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, dict):
        return {key: rendered(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(item) for item in value]
    return value
