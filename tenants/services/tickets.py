"""Tickets: what a browser opens one connection with instead of a token (02/WS-1).

Redis keeps a ticket under the hash of its value for thirty seconds; reading takes it away, so it
works once. Whoever comes with it is the caller that asked for it, for as long as that caller is
let in.
"""

import hashlib
import secrets
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import msgspec

from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.redis import RedisError, get_async_redis, get_redis, key
from tenants.constants import TICKET_LIFETIME
from tenants.exceptions import AccessDeniedError, CredentialRefusedError
from tenants.services import authentication
from tenants.types import Caller, Ticket

_START: Final = "wst_"
_RANDOM_BYTES = 32
_SECONDS = int(TICKET_LIFETIME.total_seconds())


class _Kept(msgspec.Struct):
    """What Redis holds of a ticket."""

    caller: Caller
    board_id: str | None


def create_ticket(caller: Caller, board_id: str | None, *, now: datetime) -> Ticket:
    """Return a ticket for ``caller``, for one board or for any.

    Raises: ``UnavailableError`` without Redis.
    """
    ticket = _new_ticket(now)
    try:
        get_redis().set(_key(ticket.value), _pack(caller, board_id), ex=_SECONDS)
    except (RedisError, OSError) as exc:
        raise UnavailableError("Tickets cannot be issued right now.") from exc
    return ticket


async def acreate_ticket(caller: Caller, board_id: str | None, *, now: datetime) -> Ticket:
    """Do what ``create_ticket`` does, from a running event loop."""
    ticket = _new_ticket(now)
    try:
        await get_async_redis().set(_key(ticket.value), _pack(caller, board_id), ex=_SECONDS)
    except (RedisError, OSError) as exc:
        raise UnavailableError("Tickets cannot be issued right now.") from exc
    return ticket


def redeem_ticket(value: str, board_id: str, *, now: datetime) -> Caller:
    """Return the caller behind a ticket and spend it.

    Raises: ``CredentialRefusedError`` when it is unknown, spent or over, ``AccessDeniedError`` when
    it is for another board or access was withdrawn, ``UnavailableError`` without Redis.
    """
    try:
        kept = get_redis().getdel(_key(value))
    except (RedisError, OSError) as exc:
        raise UnavailableError("Tickets cannot be checked right now.") from exc
    caller = _caller(kept, board_id)
    authentication.still_valid(caller, now=now)
    return caller


async def aredeem_ticket(value: str, board_id: str, *, now: datetime) -> Caller:
    """Do what ``redeem_ticket`` does, from a running event loop."""
    try:
        kept = await get_async_redis().getdel(_key(value))
    except (RedisError, OSError) as exc:
        raise UnavailableError("Tickets cannot be checked right now.") from exc
    caller = _caller(kept, board_id)
    await authentication.astill_valid(caller, now=now)
    return caller


def _new_ticket(now: datetime) -> Ticket:
    return Ticket(_START + secrets.token_urlsafe(_RANDOM_BYTES), now + TICKET_LIFETIME)


def _key(value: str) -> str:
    # The hash, so that who can list keys cannot use them.
    return key("ticket", hashlib.sha256(value.encode("utf-8", "replace")).hexdigest())


def _pack(caller: Caller, board_id: str | None) -> bytes:
    return msgspec.json.encode({"caller": asdict(caller), "board_id": board_id})


def _caller(kept: Any, board_id: str) -> Caller:
    if kept is None:
        raise CredentialRefusedError("The ticket is unknown, used or over.")
    ticket = msgspec.json.decode(kept, type=_Kept)
    if ticket.board_id is not None and ticket.board_id != board_id:
        raise AccessDeniedError("The ticket is for another leaderboard.")
    return ticket.caller
