"""One path of two gateways, where the kind of credential decides which of them answers."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from phoenix_site.common.exceptions import InvalidJsonError
from phoenix_site.common.json import decode
from phoenix_site.common.origins import READ_METHODS

__all__ = ["is_players", "shared_view"]

View = Callable[..., HttpResponseBase]


def shared_view(
    admin_view: View,
    player_view: View,
    *,
    described: Any,
    player_methods: tuple[str, ...] = READ_METHODS,
) -> View:
    """Return a view that answers as the query gateway for a player's token, else as the admin's.

    Nothing is verified here: whichever gateway is chosen authenticates by its own rules. Other
    methods than ``player_methods`` are the admin's. A process that serves one of the two gateways
    answers as that one. ``described`` is the view class that the description of the API shows.
    """

    @csrf_exempt
    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        gateways = settings.PHOENIX_GATEWAYS
        asked_by_player = request.method in player_methods and is_players(request)
        for_player = "admin" not in gateways or ("query" in gateways and asked_by_player)
        chosen = player_view if for_player else admin_view
        return chosen(request, *args, **kwargs)

    view.cls, view.initkwargs = described, {}  # type: ignore[attr-defined]
    return view


def is_players(request: HttpRequest) -> bool:
    """Whether the request says that it comes from a player: by its token, or as a preflight."""
    if request.method == "OPTIONS":
        return True
    if "X-API-Key" in request.headers:
        return False
    if "Authorization" not in request.headers:
        return "X-Signature" in request.headers
    return _subject_type(request.headers["Authorization"]) == "tenant"


def _subject_type(authorization: str) -> object:
    """Return what the claims of a bearer token say they are about, without believing them."""
    parts = authorization.rpartition(" ")[2].split(".")
    if len(parts) != 3:
        return None
    try:
        claims = decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, InvalidJsonError):
        return None
    return claims.get("sub_type") if isinstance(claims, dict) else None
