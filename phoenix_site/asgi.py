"""ASGI entrance: the slim handler for hot paths, Django for the rest, Channels for sockets."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phoenix_site.settings")

import django

django.setup(set_prefix=False)

# Apps must be loaded before anything that imports their models.
from channels.routing import URLRouter
from django.conf import settings
from django.urls import re_path

from leaderboards import routing as leaderboards_routing
from phoenix_site.common.handler import (
    AsgiApp,
    OneThreadHandler,
    Receive,
    Scope,
    Send,
    SlimHandler,
)
from phoenix_site.common.websockets import unknown_path
from phoenix_site.fast_urls import fast_urlpatterns
from phoenix_site.lifespan import Lifespan

django_application: Any = OneThreadHandler()


def build_application() -> AsgiApp:
    """Return the whole application as the settings describe it."""
    http = SlimHandler(fast_urlpatterns(), django_application)
    has_query = "query" in settings.PHOENIX_GATEWAYS
    sockets: list[Any] = leaderboards_routing.websocket_urlpatterns if has_query else []
    websocket = URLRouter([*sockets, re_path("", unknown_path)])  # type: ignore[arg-type]
    lifespan = Lifespan()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await http(scope, receive, send)
        elif scope["type"] == "websocket":
            await websocket(scope, receive, send)
        else:
            await lifespan(scope, receive, send)

    return application


application = build_application()
