"""ASGI entrance: the slim handler for hot paths, Django for the rest, Channels for sockets."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phoenix_site.settings")

from django.core.asgi import get_asgi_application

django_application: Any = get_asgi_application()

# Apps must be loaded before anything that imports their models.
from channels.routing import URLRouter
from django.conf import settings

from leaderboards import routing as leaderboards_routing
from phoenix_site.common.handler import AsgiApp, Receive, Scope, Send, SlimHandler
from phoenix_site.fast_urls import fast_urlpatterns
from phoenix_site.lifespan import Lifespan


def build_application() -> AsgiApp:
    """Return the whole application as the settings describe it."""
    http = SlimHandler(fast_urlpatterns(), django_application)
    sockets = leaderboards_routing.websocket_urlpatterns
    websocket = URLRouter(sockets if "query" in settings.PHOENIX_GATEWAYS else [])
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
