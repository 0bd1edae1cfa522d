"""When two events with the same id have the same content, and what that makes of them (ING-20).

Everything rests on one canonical JSON text: keys sorted, no white space, and one spelling for each
number, so that ``1``, ``1.0`` and ``1e0`` are equal while ``"1"`` is not.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from hashlib import blake2b
from typing import Any

import msgspec

from ingestion.types import LogRow, StoreStatus

# 128 bits: what must not collide are two contents of one id of one tenant, whose sender would only
# fool itself, and every byte is stored with every event.
_HASH_BYTES = 16
_EXACT = Context(prec=100)
_canonical = msgspec.json.Encoder(decimal_format="number", order="deterministic")


def canonical_json(value: Any, *, has_fractions: bool = True) -> str:
    """Return the one JSON text of ``value``; without fractions its numbers need no care."""
    return _canonical.encode(_one_spelling(value) if has_fractions else value).decode()


def _one_spelling(value: Any) -> Any:
    if isinstance(value, Decimal):
        exact = value.normalize(_EXACT)
        return int(exact) if exact == exact.to_integral_value() else exact
    if isinstance(value, Mapping):
        return {key: _one_spelling(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_one_spelling(item) for item in value]
    return value


def content_hash(
    type_: str, user_id: str | None, occurred_at: datetime, *, metadata: str, attrs: str
) -> bytes:
    """Return the hash of an event's content; ``metadata`` and ``attrs`` are canonical JSON.

    None of the parts can hold a NUL, so no two contents have the same preimage.
    """
    instant = occurred_at.astimezone(UTC).isoformat()
    parts = "\0".join((type_, user_id or "", instant, metadata, attrs))
    return blake2b(parts.encode(), digest_size=_HASH_BYTES).digest()


def decide_verdicts(
    rows: Sequence[LogRow],
    *,
    inserted: set[tuple[str, str]],
    stored: Mapping[tuple[str, str], bytes],
) -> list[StoreStatus]:
    """Return the verdict of each row, in order.

    ``inserted`` are the keys that the statement stored, with the content of their first row;
    ``stored`` are the hashes that the log holds for the other keys.
    """
    first = dict(stored)
    verdicts: list[StoreStatus] = []
    for row in rows:
        if row.key in inserted and row.key not in first:
            first[row.key] = row.content_hash
            verdicts.append("accepted")
        else:
            is_same = first[row.key] == row.content_hash
            verdicts.append("duplicate" if is_same else "conflict")
    return verdicts
