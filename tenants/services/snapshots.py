"""What authentication knows of tenants, keys and staff: at most two seconds old, per process.

A service that changes any of it calls ``forget``; other processes follow when their copy is due.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError

from phoenix_site.common.commits import after_commit
from phoenix_site.common.exceptions import NotFoundError, UnavailableError
from tenants.constants import MAX_SNAPSHOTS, SNAPSHOT_SECONDS
from tenants.selectors import snapshots as reads
from tenants.types import KeySnapshot, StaffSnapshot, TenantSettings, TenantSnapshot

K = TypeVar("K")
V = TypeVar("V")
_MISSING: Final[Any] = object()
_MAX_KEY_LENGTH = 64


class SnapshotCache(Generic[K, V]):
    """Answers of one read, kept for a short time; also that there is nothing.

    On an event loop, requests that miss at the same time share one read.
    """

    def __init__(self, load: Callable[[K], V], aload: Callable[[K], Awaitable[V]]) -> None:
        self._load = load
        self._aload = aload
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._pending: dict[K, asyncio.Task[V]] = {}
        self._generation = 0

    def get(self, key: K) -> V:
        """Return the snapshot, read anew when it is due. Raises: ``UnavailableError``."""
        value = self.fresh(key)
        return self._read(key) if value is _MISSING else value

    async def aget(self, key: K) -> V:
        """Return what ``get`` does, from a running event loop."""
        value = self.fresh(key)
        if value is not _MISSING:
            return value
        task = self._pending.get(key)
        loop = asyncio.get_running_loop()
        if task is None or task.get_loop() is not loop:
            task = self._pending[key] = loop.create_task(self._aread(key))
        # A caller that is cancelled must not take the read away from the others.
        return await asyncio.shield(task)

    def fresh(self, key: K) -> V:
        """Return what is held and not yet due, or the missing mark."""
        entry = self._entries.get(key)
        if entry is None or time.monotonic() - entry[0] >= SNAPSHOT_SECONDS:
            return _MISSING  # type: ignore[no-any-return]
        return entry[1]

    def renew(self, key: K) -> V:
        """Return the snapshot read anew, whatever is held."""
        return self._read(key)

    def forget(self) -> None:
        """Drop everything, and what is being read right now."""
        self._generation += 1
        self._entries.clear()
        self._pending.clear()

    def _read(self, key: K) -> V:
        begun, generation = time.monotonic(), self._generation
        try:
            value = self._load(key)
        except (OperationalError, InterfaceError) as exc:
            raise UnavailableError("The database cannot be reached.") from exc
        self._keep(key, value, begun, generation)
        return value

    async def _aread(self, key: K) -> V:
        begun, generation = time.monotonic(), self._generation
        try:
            value = await self._aload(key)
            self._keep(key, value, begun, generation)
        finally:
            if self._pending.get(key) is asyncio.current_task():
                del self._pending[key]
        return value

    def _keep(self, key: K, value: V, begun: float, generation: int) -> None:
        # A read that began before a change may not have seen it; an absurd key is not worth room.
        if generation != self._generation or len(str(key)) > _MAX_KEY_LENGTH:
            return
        self._entries.pop(key, None)
        self._entries[key] = (begun, value)
        if len(self._entries) > MAX_SNAPSHOTS:
            # Another thread may have emptied it at this moment.
            with suppress(KeyError):
                self._entries.popitem(last=False)


tenants: SnapshotCache[str, TenantSnapshot | None] = SnapshotCache(
    reads.find_tenant, reads.afind_tenant
)
keys_by_prefix: SnapshotCache[str, tuple[KeySnapshot, ...]] = SnapshotCache(
    reads.find_keys, reads.afind_keys
)
keys_by_id: SnapshotCache[str, KeySnapshot | None] = SnapshotCache(reads.find_key, reads.afind_key)
staff: SnapshotCache[int, StaffSnapshot | None] = SnapshotCache(
    reads.find_staff, sync_to_async(reads.find_staff)
)


def tenant_settings(tenant_id: str) -> TenantSettings:
    """Return the tenant's settings, at most two seconds old. Raises: ``NotFoundError``."""
    return _existing(tenants.get(tenant_id))


async def atenant_settings(tenant_id: str) -> TenantSettings:
    """Return what ``tenant_settings`` does, from a running event loop."""
    return _existing(await tenants.aget(tenant_id))


def find_settings(tenant_id: str | None) -> TenantSettings | None:
    """Return the tenant's settings, or ``None`` without a tenant."""
    snapshot = tenants.get(tenant_id) if tenant_id is not None else None
    return snapshot.settings if snapshot is not None else None


async def afind_settings(tenant_id: str | None) -> TenantSettings | None:
    """Return what ``find_settings`` does, from a running event loop."""
    snapshot = await tenants.aget(tenant_id) if tenant_id is not None else None
    return snapshot.settings if snapshot is not None else None


def forget() -> None:
    """Drop this process's snapshots now and again once the present transaction has committed."""
    forget_now()
    after_commit(forget_now)


def forget_now() -> None:
    """Drop this process's snapshots."""
    for cache in (tenants, keys_by_prefix, keys_by_id, staff):
        cache.forget()


def _existing(snapshot: TenantSnapshot | None) -> TenantSettings:
    if snapshot is None:
        raise NotFoundError("There is no such tenant.")
    return snapshot.settings
