"""Which shard an event belongs to.

A player's events share a shard, so they keep their order and no two workers ever touch the same
player's rows.
"""

from zlib import crc32

from ingestion.constants import N_SHARDS


def shard_of(tenant_id: str, user_id: str | None) -> int:
    """Return the shard, from 0, of a player's events; a tenant's events about nobody share one.

    CRC-32, because it is the same on every machine and in every version of Python.
    """
    return crc32(f"{tenant_id}\n{user_id or ''}".encode()) % N_SHARDS
