"""Identifiers of rows that the machine makes: UUIDv7 (RFC 9562), rendered as lower-case text."""

import os
import time
import uuid

_RANDOM_BITS = (1 << 74) - 1
_RAND_A_MASK = 0xFFF
_RAND_B_MASK = (1 << 62) - 1


def uuid7() -> uuid.UUID:
    """Return a new UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big") & _RANDOM_BITS
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= ((random >> 62) & _RAND_A_MASK) << 64
    value |= 0b10 << 62
    value |= random & _RAND_B_MASK
    return uuid.UUID(int=value)


def new_id() -> str:
    """Return a new UUIDv7 as text."""
    return str(uuid7())
