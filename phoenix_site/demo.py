"""The public page of a sandbox: its board, live, and two ways to send it an event.

Mounted at ``/`` only where ``PHOENIX_ENV`` is ``sandbox``: it hands out tokens of the sandbox
tenant, whose secret is published anyway.
"""

from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from phoenix_site.common.exceptions import InvalidInputError
from phoenix_site.common.http import error_response, json_response
from phoenix_site.common.ids import new_id
from phoenix_site.common.json import encode
from phoenix_site.common.requests import current_request_id
from phoenix_site.common.times import format_utc
from phoenix_site.seeding import BOARD, BOARD_ID
from tenants.constants import SANDBOX_PLAYER_ID, SANDBOX_TENANT_ID, SANDBOX_TENANT_SECRET
from tenants.rules import foreign_tokens

TOKEN_LIFE: Final = timedelta(hours=1)
PLAYERS: Final = (SANDBOX_PLAYER_ID, "ana", "ben", "cleo", "dario", "emi", "farah", "gus")
POINTS: Final = (10, 50, 250)
# Only what this page needs; the WebSocket is named twice because not every browser takes 'self'.
_CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@never_cache
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the sandbox board."""
    token = _new_token(SANDBOX_PLAYER_ID)
    base_url = request.build_absolute_uri("/").rstrip("/")
    context = {
        "board": BOARD,
        "players": PLAYERS,
        "points": POINTS,
        "curl": _curl_line(base_url, token["token"]),
        "facts": {
            "leaderboard_id": BOARD_ID,
            "base_url": base_url,
            "own_id": SANDBOX_PLAYER_ID,
            "players": PLAYERS,
            "token": token,
            "token_url": reverse("demo-token"),
        },
    }
    response = render(request, "phoenix/demo.html", context)
    response.headers["Content-Security-Policy"] = _CONTENT_POLICY
    return response


@never_cache
@require_safe
def token(request: HttpRequest) -> HttpResponse:
    """Answer a fresh token for ``user_id``, by default the sandbox player."""
    user_id = request.GET.get("user_id", SANDBOX_PLAYER_ID)
    if not foreign_tokens.is_external_id(user_id):
        return error_response(InvalidInputError("user_id is no player."), current_request_id())
    return json_response(_new_token(user_id))


def _new_token(user_id: str) -> dict[str, str]:
    now = timezone.now()
    expires_at = (now + TOKEN_LIFE).replace(microsecond=0)
    claims = {
        "sub": user_id,
        "sub_type": "tenant",
        "sub_id": SANDBOX_TENANT_ID,
        "iat": int(now.timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    signed = foreign_tokens.sign_token(claims, SANDBOX_TENANT_SECRET)
    return {"user_id": user_id, "token": signed, "expires_at": format_utc(expires_at)}


def _curl_line(base_url: str, token: str) -> str:
    """Return a command that works as it stands; the page's script renews its event id."""
    event: dict[str, Any] = {
        "event_id": f"demo-{new_id()}",
        "type": "game.completed",
        "actor": {"user_id": SANDBOX_PLAYER_ID},
        "occurred_at": format_utc(timezone.now().replace(microsecond=0)),
        "attrs": {"score_delta": POINTS[1]},
    }
    return (
        f"curl -X POST {base_url}/v1/events \\\n"
        f"  -H 'Authorization: Bearer {token}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{encode(event).decode()}'"
    )


urlpatterns = [
    path("", page, name="demo"),
    path("demo/token", token, name="demo-token"),
]
