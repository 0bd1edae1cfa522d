"""Arrays in PostgreSQL's binary form, packed a whole column at a time.

The driver adapts a list item by item, which for thousands of rows costs more than everything else
done for them. ``register`` teaches a connection or cursor to take these as ``%b`` parameters.
Columns have no nulls.
"""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

__all__ = [
    "BigintArray",
    "BooleanArray",
    "IntegerArray",
    "PackedArray",
    "SmallintArray",
    "TextArray",
    "TimeArray",
    "UuidArray",
    "register",
]

# One dimension, no nulls, element type, length, first index.
_pack_head: Final = struct.Struct("!iiIii").pack
_pack_length: Final = struct.Struct("!i").pack
_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


class PackedArray:
    """The bytes of one array; a class per element type lets the driver choose the type's number."""

    __slots__ = ("packed",)
    array_oid: int
    element_oid: int

    def __init__(self, count: int, items: bytes) -> None:
        self.packed = _pack_head(1, 0, self.element_oid, count, 1) + items


class _NumberArray(PackedArray):
    """Numbers of ``size`` bytes, which the struct module knows as ``letter``."""

    __slots__ = ()
    size: int
    letter: str

    def __init__(self, values: Iterable[int]) -> None:
        items = list(values)
        # Each element has its length before it: one call of C packs them all.
        mixed = [self.size] * (2 * len(items))
        mixed[1::2] = items
        super().__init__(len(items), struct.pack("!" + f"i{self.letter}" * len(items), *mixed))


class BigintArray(_NumberArray):
    """A ``bigint[]``."""

    __slots__ = ()
    array_oid, element_oid = 1016, 20
    size, letter = 8, "q"


class IntegerArray(_NumberArray):
    """An ``integer[]``."""

    __slots__ = ()
    array_oid, element_oid = 1007, 23
    size, letter = 4, "i"


class SmallintArray(_NumberArray):
    """A ``smallint[]``."""

    __slots__ = ()
    array_oid, element_oid = 1005, 21
    size, letter = 2, "h"


class BooleanArray(_NumberArray):
    """A ``boolean[]``."""

    __slots__ = ()
    array_oid, element_oid = 1000, 16
    size, letter = 1, "b"


class TimeArray(_NumberArray):
    """A ``timestamptz[]``."""

    __slots__ = ()
    array_oid, element_oid = 1185, 1184
    size, letter = 8, "q"

    def __init__(self, values: Iterable[datetime]) -> None:
        items = list(values)
        # The same object often stands in several rows; ``items`` keeps it, so its id is its own.
        known: dict[int, int] = {}
        for value in items:
            if id(value) not in known:
                span = value - _POSTGRES_EPOCH
                seconds = span.days * 86_400 + span.seconds
                known[id(value)] = seconds * 1_000_000 + span.microseconds
        super().__init__([known[id(value)] for value in items])


class TextArray(PackedArray):
    """A ``text[]``."""

    __slots__ = ()
    array_oid, element_oid = 1009, 25

    def __init__(self, values: Iterable[str]) -> None:
        known: dict[str, bytes] = {}
        items: list[bytes] = []
        for value in values:
            item = known.get(value)
            if item is None:
                encoded = value.encode()
                item = known[value] = _pack_length(len(encoded)) + encoded
            items.append(item)
        super().__init__(len(items), b"".join(items))


class UuidArray(PackedArray):
    """A ``uuid[]``."""

    __slots__ = ()
    array_oid, element_oid = 2951, 2950

    def __init__(self, values: Iterable[UUID]) -> None:
        items = [_pack_length(16) + value.bytes for value in values]
        super().__init__(len(items), b"".join(items))


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: PackedArray) -> bytes:
        return obj.packed


_ARRAYS: Final = (
    BigintArray,
    BooleanArray,
    IntegerArray,
    SmallintArray,
    TextArray,
    TimeArray,
    UuidArray,
)
_DUMPERS: Final = {
    array: type(f"_{array.__name__}Dumper", (_PackedDumper,), {"oid": array.array_oid})
    for array in _ARRAYS
}


def register(context: AdaptContext) -> None:
    """Let statements of ``context`` take packed arrays as ``%b`` parameters."""
    for array, dumper in _DUMPERS.items():
        context.adapters.register_dumper(array, dumper)
