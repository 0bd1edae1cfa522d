"""``/v1/leaderboards``: one path of two gateways, where the kind of credential decides."""

import base64
import binascii

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from leaderboards.api.views.admin import BoardsAliasView
from leaderboards.api.views.query import BoardsView
from phoenix_site.common.exceptions import InvalidJsonError
from phoenix_site.common.json import decode

_player_view = BoardsView.as_view()
_admin_view = BoardsAliasView.as_view()


@csrf_exempt
def boards_view(request: HttpRequest) -> HttpResponseBase:
    """Answer as the query gateway for a player's token, else as the admin gateway.

    Nothing is verified here: whichever gateway is chosen authenticates by its own rules.
    """
    gateways = settings.PHOENIX_GATEWAYS
    is_players = "admin" not in gateways or ("query" in gateways and _is_players(request))
    return _player_view(request) if is_players else _admin_view(request)


def _is_players(request: HttpRequest) -> bool:
    if request.method == "OPTIONS":
        return True
    if request.method not in ("GET", "HEAD") or "X-API-Key" in request.headers:
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


# What the description of the API shows for this path.
boards_view.cls = BoardsAliasView  # type: ignore[attr-defined]
boards_view.initkwargs = {}  # type: ignore[attr-defined]
