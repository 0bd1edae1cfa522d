"""The live WebSocket of a leaderboard (02 section 9): upgrade, then the client's messages."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from leaderboards.consumers import messages
from leaderboards.consumers.connection import Connection
from leaderboards.consumers.hub import Hub, get_hub
from leaderboards.consumers.messages import (
    CURRENT,
    Allowance,
    ClientMessage,
    MessageError,
    Opening,
    Strikes,
    ViewChange,
)
from leaderboards.rules import live
from leaderboards.rules.live import DEFAULT_VIEW, ViewSpec
from leaderboards.selectors import shown
from leaderboards.services import connections as seats
from leaderboards.services.connections import Seat
from leaderboards.types import ShownWindow
from phoenix_site.common.exceptions import (
    DomainError,
    InvalidInputError,
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
)
from phoenix_site.common.handler import Receive, Scope, Send
from phoenix_site.common.ids import new_id
from phoenix_site.common.logging import get_logger
from phoenix_site.common.requests import begin_request, client_address
from phoenix_site.common.times import format_utc
from phoenix_site.common.websockets import deny, read_header
from phoenix_site.common.wires import MAX_MESSAGE_BYTES, wire_of
from tenants.services import authentication, limits, snapshots, tickets
from tenants.services.limits import Take
from tenants.types import Caller, RequestFacts

log = get_logger(__name__)

PROTOCOL: Final = "phoenix.v1"
BEARER: Final = "bearer."

NOT_TEXT: Final = 1003
TOO_LONG: Final = 1009
FAILED: Final = 1011
BAD_MESSAGES: Final = 4400
LIMIT_IGNORED: Final = 4429
_BAD_CODES: Final = frozenset({"INVALID_JSON", "INVALID_MESSAGE", "UNKNOWN_TYPE"})


class StandingsSocket:
    """ASGI application of ``/v1/leaderboards/{leaderboard_id}/ws``.

    It has no channel of its own: the process's hub writes to it.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = begin_request(read_header(scope, b"x-request-id"))
        await receive()
        hub = get_hub()
        try:
            async with hub.door:
                admission = await _admit(scope)
        except DomainError as exc:
            await deny(scope, send, exc, request_id)
        except Exception:
            log.exception("socket.not_opened", path=scope["path"])
            await deny(scope, send, None, request_id)
        else:
            try:
                await send({"type": "websocket.accept", "subprotocol": _chosen_protocol(scope)})
                await _serve(hub, admission, scope, receive, send)
            finally:
                hub.give_up(admission.seat)


@dataclass(frozen=True, slots=True)
class Admission:
    """A client that may connect, and what it asked to see."""

    seat: Seat
    caller: Caller
    opening: Opening
    spec: ViewSpec
    window: ShownWindow


async def _serve(
    hub: Hub, admission: Admission, scope: Scope, receive: Receive, send: Send
) -> None:
    """Show what was asked for and answer messages until the connection is over."""
    window = admission.window
    wire = wire_of(scope, send)
    connection = Connection(wire, admission.caller, admission.seat, window.leaderboard_id)
    connection.window_key = admission.opening.change.window_key or CURRENT
    hub.enter(connection)
    try:
        async with hub.door:
            await hub.show(connection, window, admission.spec, since=admission.opening.since)
        await Session(hub, connection, _address(scope)).serve(receive)
    except DomainError as exc:
        log.warning("socket.not_served", board=window.leaderboard_id, code=exc.code)
        connection.close(FAILED, "try again")
    except Exception:
        log.exception("socket.failed", board=window.leaderboard_id)
        connection.close(FAILED, "try again")
    finally:
        hub.leave(connection)


class Session:
    """An open connection's side of the client: reads messages, one at a time."""

    def __init__(self, hub: Hub, connection: Connection, address: str) -> None:
        self._hub = hub
        self._connection = connection
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._allowance = Allowance(self._loop.time())
        self._bad = Strikes(messages.MAX_BAD_MESSAGES)
        self._refused = Strikes(messages.MAX_RATE_REFUSALS)

    async def serve(self, receive: Receive) -> None:
        """Answer messages until the connection is over."""
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return
            text = event.get("text")
            if text is None:
                self._connection.close(NOT_TEXT, "text only")
            elif len(text.encode()) > MAX_MESSAGE_BYTES:
                self._connection.close(TOO_LONG, "message too long")
            else:
                await self._take(text)
            # Who does not read the answers is not asked for more questions.
            await self._connection.outbox.wait_until_clear()

    async def _take(self, text: str) -> None:
        if not self._allowance.take(self._loop.time()):
            self._refuse(MessageError("RATE_001", "Too many messages; ten a second are taken."))
            return
        try:
            message = messages.read_message(text, user_id=self._connection.user_id)
            await self._answer(message)
        except MessageError as exc:
            self._refuse(exc)

    async def _answer(self, message: ClientMessage) -> None:
        try:
            if message.type == "ping":
                self._connection.send({"type": "pong"}, answer_id=message.answer_id)
            elif message.type == "authenticate":
                await self._authenticate(message)
            elif message.type == "request_page":
                await self._send_page(message)
            elif message.type == "configure":
                await self._configure(message)
            elif message.type == "resync":
                self._resync(message)
        except DomainError as exc:
            code = "INVALID_MESSAGE" if isinstance(exc, InvalidInputError) else exc.code
            raise MessageError(code, exc.message, answer_id=message.answer_id) from exc

    async def _configure(self, message: ClientMessage) -> None:
        connection, change = self._connection, message.change
        async with connection.changing:
            spec = change.applied_to(connection.spec)
            window = await self._window(change)
            await self._hub.show(connection, window, spec, answer_id=message.answer_id)
            if change.window_key is not None:
                connection.window_key = change.window_key

    async def _window(self, change: ViewChange) -> ShownWindow:
        connection = self._connection
        if change.window_key is None and connection.view is not None:
            return connection.view.feed.window
        return await _find_window(
            connection.seat.tenant_id,
            connection.leaderboard_id,
            change.window_key or connection.window_key,
            now=timezone.now(),
        )

    def _resync(self, message: ClientMessage) -> None:
        view = self._connection.view
        if view is not None and view.state is not None:
            self._connection.outbox.drop_updates()
            self._connection.send_snapshot(answer_id=message.answer_id)

    async def _send_page(self, message: ClientMessage) -> None:
        view = self._connection.view
        if view is None:
            return
        spec = message.change.applied_to(view.spec)
        feed = view.feed
        state = await feed.read(spec)
        fields = live.view_fields("page", feed.facts, spec, state)
        fields["timestamp"] = format_utc(timezone.now())
        self._connection.send(fields, answer_id=message.answer_id)

    async def _authenticate(self, message: ClientMessage) -> None:
        connection = self._connection
        facts = _facts(self._address, {"authorization": f"Bearer {message.token}"})
        try:
            caller = await authentication.aauthenticate_tenant(
                facts, gateway="query", now=timezone.now()
            )
        except NotAuthenticatedError as exc:
            raise MessageError("AUTH_003", exc.message, answer_id=message.answer_id) from exc
        if (caller.tenant_id, caller.user_id) != (connection.seat.tenant_id, connection.user_id):
            raise NotAllowedError("The token is of another player.")
        connection.caller = caller
        connection.is_warned = False
        expires_at = format_utc(caller.expires_at) if caller.expires_at else None
        connection.send(
            {"type": "authenticated", "expires_at": expires_at}, answer_id=message.answer_id
        )

    def _refuse(self, error: MessageError) -> None:
        connection, at = self._connection, self._loop.time()
        connection.send(
            {"type": "error", "code": error.code, "error": error.message},
            answer_id=error.answer_id,
        )
        if error.code in _BAD_CODES and self._bad.add(at):
            connection.close(BAD_MESSAGES, "too many bad messages")
        elif error.code == "RATE_001" and self._refused.add(at):
            connection.close(LIMIT_IGNORED, "message limit ignored")


async def _admit(scope: Scope) -> Admission:
    """Return who may connect to what. Raises: ``DomainError``, answered before the upgrade."""
    now = timezone.now()
    leaderboard_id = scope["url_route"]["kwargs"]["leaderboard_id"]
    caller = await _authenticate(scope, leaderboard_id, now)
    tenant_id, user_id = caller.tenant_id or "", caller.user_id or ""
    tenant = await snapshots.atenant_settings(tenant_id)
    _check_origin(scope, tenant.allowed_origins)
    takes = (Take("query_player", tenant_id, user_id), Take("query_tenant", tenant_id, tenant_id))
    limits.enforce(await limits.atake_all(*takes))
    opening = messages.read_opening(scope["query_string"], user_id=user_id)
    spec = opening.change.applied_to(DEFAULT_VIEW)
    window = await _find_window(
        tenant_id, leaderboard_id, opening.change.window_key or CURRENT, now=now
    )
    seat = Seat(new_id(), tenant_id, user_id)
    await seats.take_seat(
        seat,
        player_limit=settings.PHOENIX_SOCKETS_PER_PLAYER,
        tenant_limit=tenant.max_sockets,
    )
    return Admission(seat, caller, opening, spec, window)


async def _find_window(
    tenant_id: str, leaderboard_id: str, window_key: str, *, now: datetime
) -> ShownWindow:
    window = await shown.aget_shown(tenant_id, leaderboard_id, window_key, now=now)
    if window.state == "void":
        raise NotFoundError("There is nothing here.")
    return window


async def _authenticate(scope: Scope, leaderboard_id: str, now: datetime) -> Caller:
    """Return the player by header, subprotocol or ticket, in this order (02/WS-1)."""
    bearer = _offered_bearer(scope)
    authorization = read_header(scope, b"authorization")
    ticket = messages.read_ticket(scope["query_string"])
    address = _address(scope)
    if authorization is None and bearer is None and ticket is not None:
        return await tickets.aredeem_ticket(ticket, leaderboard_id, now=now)
    if authorization is None and bearer is not None:
        authorization = f"Bearer {bearer}"
    headers = {"authorization": authorization} if authorization is not None else {}
    facts = _facts(address, headers)
    return await authentication.aauthenticate_tenant(facts, gateway="query", now=now)


def _facts(address: str, headers: Mapping[str, str]) -> RequestFacts:
    return RequestFacts(method="GET", raw_path="", headers=headers, body=b"", address=address)


def _offered_bearer(scope: Scope) -> str | None:
    """Return the token among the offered subprotocols. Raises: ``InvalidInputError``."""
    offered: list[str] = scope.get("subprotocols", [])
    tokens = [each.removeprefix(BEARER) for each in offered if each.startswith(BEARER)]
    if tokens and PROTOCOL not in offered:
        raise InvalidInputError(f"Offer {PROTOCOL} beside {BEARER}….")
    return tokens[0] if tokens else None


def _chosen_protocol(scope: Scope) -> str | None:
    return PROTOCOL if PROTOCOL in scope.get("subprotocols", []) else None


def _address(scope: Scope) -> str:
    client: Any = scope.get("client")
    peer = str(client[0]) if client else ""
    return client_address(peer, read_header(scope, b"x-forwarded-for"))


def _check_origin(scope: Scope, allowed: tuple[str, ...]) -> None:
    """Refuse a page of an origin that the tenant does not list; without a list, any may connect."""
    origin = read_header(scope, b"origin")
    if not allowed or origin is None:
        return
    if _plain(origin) not in {_plain(each) for each in allowed}:
        raise NotAllowedError("This origin may not read the tenant's boards.")


def _plain(origin: str) -> str:
    return origin.strip().rstrip("/").lower()
