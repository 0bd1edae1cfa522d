"""The real ASGI application, asked from synchronous tests; with the fast entrance or without."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
from asgiref.sync import sync_to_async
from django.db import connections

from phoenix_site.common import lifecycle, tallies
from phoenix_site.common.handler import AsgiApp
from phoenix_site.common.postgres import close_pool
from phoenix_site.common.redis import get_async_redis


class Door:
    """A client of the application on an event loop of its own, which ends with the test."""

    def __init__(self, application: AsgiApp) -> None:
        transport = httpx.ASGITransport(app=application, raise_app_exceptions=False)  # type: ignore[arg-type]
        self._loop = asyncio.new_event_loop()
        self._client = httpx.AsyncClient(transport=transport, base_url="http://testserver")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._loop.run_until_complete(self._close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def ask(
        self, method: str, path: str, *, token: str | None = None, **more: Any
    ) -> httpx.Response:
        """Send a request; ``token`` goes into the ``Authorization`` header."""
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self._loop.run_until_complete(
            self._client.request(method, path, headers=headers, **more)
        )

    def ask_at_once(self, requests: Sequence[Mapping[str, Any]]) -> list[httpx.Response]:
        """Send all requests together; each has the names that ``httpx`` takes."""

        async def gather() -> list[httpx.Response]:
            return await asyncio.gather(*(self._client.request(**each) for each in requests))

        return self._loop.run_until_complete(gather())

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Send a GET request."""
        return self.ask("GET", path, **more)

    def flush_tallies(self) -> None:
        """Write at once what the application counted and would write within a second."""
        self._loop.run_until_complete(tallies.aflush())

    async def _close(self) -> None:
        await self._client.aclose()
        await lifecycle.close_all()
        await close_pool()
        await get_async_redis().aclose()
        # What Django's own handler ran had a connection of its own thread.
        await sync_to_async(connections.close_all)()
