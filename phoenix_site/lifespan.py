"""ASGI lifespan: refuse readiness first, finish what is under way, then close connections."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from django.conf import settings

from phoenix_site.common import lifecycle, postgres
from phoenix_site.common.handler import Receive, Scope, Send


class Lifespan:
    """Start and end a web process."""

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                lifecycle.on_shutdown(postgres.close_pool)
                _drain_before_ending()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await lifecycle.close_all()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _drain_before_ending() -> None:
    """Turn ``/ready`` to 503 on SIGTERM and let the server end only a moment later.

    The server closes its listening socket at once, so without the pause a balancer would learn of
    the end by refused connections instead of by the probe.
    """
    proceed = signal.getsignal(signal.SIGTERM)
    if not callable(proceed):
        return
    loop = asyncio.get_running_loop()

    def drain(number: int, frame: Any) -> None:
        lifecycle.set_draining(draining=True)
        loop.call_soon_threadsafe(_proceed_later, loop, proceed, number, frame)

    signal.signal(signal.SIGTERM, drain)


def _proceed_later(
    loop: asyncio.AbstractEventLoop, proceed: Callable[..., Any], number: int, frame: Any
) -> None:
    loop.call_later(settings.PHOENIX_DRAIN_SECONDS, proceed, number, frame)
