"""Regular looks at a connection: is somebody there, may they still read (02/WS-10 to WS-12)."""

from datetime import datetime, timedelta
from typing import Final

from leaderboards.consumers.connection import Connection
from leaderboards.rules import live
from phoenix_site.common.exceptions import NotAllowedError, NotAuthenticatedError, UnavailableError
from phoenix_site.common.times import format_utc
from tenants.services import authentication

QUIET_SECONDS: Final = 30.0
LIFE_SECONDS: Final = 60.0
STALL_SECONDS: Final = 30.0
EXPIRY_WARNING: Final = timedelta(seconds=60)

TOKEN_EXPIRED: Final = 4401
ACCESS_WITHDRAWN: Final = 4403
NO_SIGN_OF_LIFE: Final = 4408


def check_pulse(connection: Connection, *, at: float, now: datetime) -> None:
    """Keep a quiet connection alive; close one on which nobody is there any more."""
    if _has_stalled(connection, at):
        connection.close(NO_SIGN_OF_LIFE, "takes nothing")
    elif connection.life_due_at is not None and connection.wire.heard_at >= _asked_at(connection):
        connection.life_due_at = None
    elif connection.life_due_at is not None and at >= connection.life_due_at:
        connection.close(NO_SIGN_OF_LIFE, "no sign of life")
    elif at - connection.outbox.sent_at >= QUIET_SECONDS and connection.outbox.is_clear:
        _send_heartbeat(connection, at, now)


def warn_of_expiry(connection: Connection, *, now: datetime) -> None:
    """Tell the client once that its token ends soon."""
    expires_at = connection.caller.expires_at
    if connection.is_warned or expires_at is None or now < expires_at - EXPIRY_WARNING:
        return
    connection.is_warned = True
    connection.send({"type": "token_expiring", "expires_at": format_utc(expires_at)})


async def check_access(connection: Connection, *, now: datetime) -> None:
    """Close a connection whose token is over or whose access was withdrawn."""
    try:
        await authentication.astill_valid(connection.caller, now=now)
    except NotAuthenticatedError:
        connection.close(TOKEN_EXPIRED, "token expired")
    except NotAllowedError:
        connection.close(ACCESS_WITHDRAWN, "access withdrawn")
    except UnavailableError:
        # What could not be checked is checked at the next look.
        return


def _has_stalled(connection: Connection, at: float) -> bool:
    """Return whether the client has taken nothing for too long although something waits."""
    waiting = connection.wire.waiting_bytes
    if connection.wire.is_writable() or connection.stalled_at is None:
        connection.stalled_at = None if connection.wire.is_writable() else at
    elif waiting < connection.stalled_bytes:
        connection.stalled_at = at
    connection.stalled_bytes = waiting
    return connection.stalled_at is not None and at - connection.stalled_at >= STALL_SECONDS


def _asked_at(connection: Connection) -> float:
    return (connection.life_due_at or 0.0) - LIFE_SECONDS


def _send_heartbeat(connection: Connection, at: float, now: datetime) -> None:
    if connection.view is not None and connection.view.state is not None:
        connection.send(live.heartbeat_fields(connection.view.state, now=now))
    connection.wire.ping()
    if connection.life_due_at is None:
        connection.life_due_at = at + LIFE_SECONDS
