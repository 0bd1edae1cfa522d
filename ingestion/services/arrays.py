"""Arrays in PostgreSQL's binary form, packed a column at a time.

The driver adapts a list item by item, which for the small batches of the hot path costs more than
everything else done for an event. ``register`` teaches a connection or cursor to take these.
"""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

_pack_head = struct.Struct("!iiIii").pack
_pack_length = struct.Struct("!i").pack
_pack_number = struct.Struct("!ih").pack
_pack_time = struct.Struct("!iq").pack
_NULL = b"\xff\xff\xff\xff"
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _PackedArray:
    """The bytes of one array; a class per element type lets the driver choose the type's number."""

    __slots__ = ("packed",)
    array_oid: int
    element_oid: int

    def __init__(self, items: list[bytes]) -> None:
        self.packed = _pack_head(1, 1, self.element_oid, len(items), 1) + b"".join(items)


class TextArray(_PackedArray):
    """A ``text[]``."""

    array_oid, element_oid = 1009, 25

    def __init__(self, values: Iterable[str | None]) -> None:
        super().__init__([_NULL if value is None else _sized(value.encode()) for value in values])


class BytesArray(_PackedArray):
    """A ``bytea[]``."""

    array_oid, element_oid = 1001, 17

    def __init__(self, values: Iterable[bytes]) -> None:
        super().__init__([_sized(value) for value in values])


class TimeArray(_PackedArray):
    """A ``timestamptz[]``."""

    array_oid, element_oid = 1185, 1184

    def __init__(self, values: Iterable[datetime]) -> None:
        super().__init__(
            [_pack_time(8, (value - _POSTGRES_EPOCH) // _MICROSECOND) for value in values]
        )


class SmallintArray(_PackedArray):
    """A ``smallint[]``."""

    array_oid, element_oid = 1005, 21

    def __init__(self, values: Iterable[int]) -> None:
        super().__init__([_pack_number(2, value) for value in values])


def _sized(item: bytes) -> bytes:
    return _pack_length(len(item)) + item


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _PackedArray) -> bytes:
        return obj.packed


def register(context: AdaptContext) -> None:
    """Let statements of ``context`` take packed arrays as ``%b`` parameters."""
    for array in (TextArray, BytesArray, TimeArray, SmallintArray):
        dumper = type(f"_{array.__name__}Dumper", (_PackedDumper,), {"oid": array.array_oid})
        context.adapters.register_dumper(array, dumper)
