"""Connections to Redis or Valkey, and the names of keys.

Everything kept there can be rebuilt, so time-outs are short and callers decide what an absence
means (``RedisError``).
"""

import asyncio
import weakref
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError

__all__ = ["RedisError", "get_async_redis", "get_redis", "key"]

_TIMEOUT_SECONDS = 2.0
# Explicit, because a mass disconnect of sockets needs many connections at once.
_MAX_CONNECTIONS = 200

_sync_clients: dict[str, "redis.Redis"] = {}
_async_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any]" = (
    weakref.WeakKeyDictionary()
)


def key(*parts: object) -> str:
    """Return the key of ``parts`` under the installation's prefix."""
    return ":".join((settings.REDIS_KEY_PREFIX, *map(str, parts)))


def get_redis() -> "redis.Redis":
    """Return this process's client; answers are bytes."""
    url = settings.REDIS_URL
    if url not in _sync_clients:
        _sync_clients[url] = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            max_connections=_MAX_CONNECTIONS,
            health_check_interval=30,
        )
    return _sync_clients[url]


def get_async_redis() -> "redis.asyncio.Redis":
    """Return the running event loop's client; answers are bytes."""
    loop = asyncio.get_running_loop()
    client = _async_clients.get(loop)
    if client is None:
        client = redis.asyncio.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            max_connections=_MAX_CONNECTIONS,
        )
        _async_clients[loop] = client
    return client
