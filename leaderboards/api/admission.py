"""Who reads and what they are shown: the steps that both entrances of the query gateway share.

The DRF views and the native views differ only in how they wait.
"""

from dataclasses import dataclass
from datetime import datetime

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from leaderboards.api.questions import is_external_id
from leaderboards.selectors import shown
from leaderboards.selectors.shown import nothing_here
from leaderboards.services import windows
from leaderboards.types import ShownWindow
from phoenix_site.common import origins
from phoenix_site.common.exceptions import NotFoundError
from tenants.api.authentication import request_facts
from tenants.services import authentication, limits, snapshots
from tenants.types import Caller


@dataclass(frozen=True, slots=True)
class Reader:
    """An admitted player, and when the question was asked."""

    caller: Caller
    now: datetime

    @property
    def tenant_id(self) -> str:
        """Return the tenant of the token."""
        return self.caller.tenant_id or ""

    @property
    def user_id(self) -> str:
        """Return the player of the token."""
        return self.caller.user_id or ""


@dataclass(frozen=True, slots=True)
class Admission:
    """A reader, and what the answer says about the limits."""

    reader: Reader
    limit_headers: dict[str, str]


async def aadmit(request: HttpRequest, *, now: datetime) -> Admission:
    """Return the player who sent the request; no thread, database or Redis while memory is fresh.

    The DRF views do the same by authentication, permission and throttle.

    Raises: ``NotAuthenticatedError``, ``NotAllowedError`` for a suspended tenant, a missing scope
    or a foreign origin, ``RateLimitedError``.
    """
    facts = request_facts(request)
    caller = await authentication.aauthenticate_tenant(facts, gateway="query", now=now)
    tenant = await snapshots.atenant_settings(caller.tenant_id or "")
    origins.check_origin(request, tenant.allowed_origins)
    verdict = await limits.atake_all(*limits.query_takes(caller))
    return Admission(Reader(caller, now), limits.enforce(verdict))


def find_window(reader: Reader, leaderboard_id: str, window_key: str | None) -> ShownWindow:
    """Return the window to show. Raises: ``NotFoundError``."""
    place = (reader.tenant_id, leaderboard_id, window_key)
    try:
        return shown.get_shown(*place, now=reader.now)
    except NotFoundError:
        if not _open_late_window(reader, leaderboard_id, window_key):
            raise
    return shown.get_shown(*place, now=reader.now)


async def afind_window(reader: Reader, leaderboard_id: str, window_key: str | None) -> ShownWindow:
    """Do what ``find_window`` does; what is shown may be a moment old."""
    place = (reader.tenant_id, leaderboard_id, window_key)
    try:
        return await shown.aget_shown(*place, now=reader.now)
    except NotFoundError:
        if not await sync_to_async(_open_late_window)(reader, leaderboard_id, window_key):
            raise
    return await shown.aget_shown(*place, now=reader.now)


def _open_late_window(reader: Reader, leaderboard_id: str, window_key: str | None) -> bool:
    """Open the window that the sweep should have opened by now; return whether one was due."""
    if window_key not in (None, shown.CURRENT):
        return False
    board_id = shown.find_board_due(reader.tenant_id, leaderboard_id, now=reader.now)
    return board_id is not None and bool(windows.open_due_windows(board_id, now=reader.now))


def check_player_id(user_id: str) -> None:
    """Refuse whatever text a path holds that cannot be a player, before a database sees it.

    Raises: ``NotFoundError``.
    """
    if not is_external_id(user_id):
        raise nothing_here()
