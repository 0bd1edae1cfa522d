"""The one way out: HTTP to an address that a person typed (04/IDX-8, 07/OPS-33).

Names are looked up once for each call, every address found is checked, and the connection goes to
an address that was checked, with the original host for TLS and ``Host``. There are no redirects
and no proxies, and one deadline bounds the whole call, however slowly the other side drips.
``PHOENIX_OUTBOUND_ALLOW`` opens networks that are otherwise refused, and plain ``http`` to them.
"""

import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import httpcore
from django.conf import settings

from phoenix_site.common.exceptions import Detail, InvalidInputError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

TIMEOUT_SECONDS: Final = 10.0
LOOK_UP_SECONDS: Final = 3.0
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_URL_LENGTH: Final = 2000
_HTTPS_PORT: Final = 443
# Addresses tried one after the other when the first does not take the connection.
_MAX_ADDRESSES: Final = 4
_READ_BYTES: Final = 65_536

# What "is_global" lets through although nobody's service lives there, or not who it seems.
_REFUSED_NETWORKS: Final[tuple[IpNetwork, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # metadata of a large cloud, under a public number
        "192.88.99.0/24",  # relays of 6to4
        "64:ff9b::/96",  # NAT64: hides an IPv4 address
        "64:ff9b:1::/48",
        "2001::/32",  # Teredo: hides an IPv4 address
        "2002::/16",  # 6to4: hides an IPv4 address
    )
)
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
_is_header_name = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,64}").fullmatch
_is_header_value = re.compile(r"[!-~]([ !-~]*[!-~])?").fullmatch
_is_url_text = re.compile(r"[!-~]+").fullmatch
# What the connection itself says; a caller that could set them could smuggle a second request.
RESERVED_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class OutboundError(Exception):
    """A call that got no answer; ``code`` is a short stable word for it."""

    code = "outbound"


class BlockedAddressError(OutboundError):
    """The URL may not be called: its form, its port or an address behind its name forbids it."""

    code = "blocked_address"


class UnreachableError(OutboundError):
    """The name is unknown, nobody listens, TLS fails, or the answer is no HTTP."""

    code = "unreachable"


class OutboundTimeoutError(OutboundError):
    """The answer was not complete in time."""

    code = "timeout"


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """What came back: header names are lower case, ``is_cut`` says that the body went on."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    milliseconds: int
    is_cut: bool = False


def post(
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float = TIMEOUT_SECONDS,
    ports: Collection[int] = (),
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> OutboundAnswer:
    """Send ``body`` to ``url`` and return the answer, whatever its status.

    ``timeout`` in seconds is for all of it, from the look-up to the last byte; ``ports`` are those
    that the tenant lists beside 443. Of the answer at most ``max_answer_bytes`` are read.

    Raises: ``BlockedAddressError``, ``UnreachableError``, ``OutboundTimeoutError``;
    ``InvalidInputError`` for a header that may not be set.
    """
    return request(
        "POST",
        url,
        body=body,
        headers=headers,
        timeout=timeout,
        ports=ports,
        max_answer_bytes=max_answer_bytes,
    )


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    timeout: float = TIMEOUT_SECONDS,
    ports: Collection[int] = (),
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> OutboundAnswer:
    """Do what ``post`` does with any method."""
    check_headers(headers)
    started = time.monotonic()
    deadline = started + timeout
    parts = _parsed(url)
    addresses = _checked_addresses(parts, ports, min(LOOK_UP_SECONDS, timeout))
    pool = httpcore.ConnectionPool(
        ssl_context=_ssl_context(),
        max_connections=1,
        max_keepalive_connections=0,
        network_backend=_PinnedBackend(addresses, deadline),
    )
    # The library's own Host lacks the brackets of an IPv6 address.
    sent = [("host", parts.netloc), ("content-length", str(len(body))), *headers.items()]
    try:
        with pool, pool.stream(method, url, headers=sent, content=body) as answer:
            content, is_cut = _read(answer.iter_stream(), max_answer_bytes)
    except (httpcore.TimeoutException, TimeoutError) as exc:
        raise OutboundTimeoutError(f"No complete answer within {timeout:g} s.") from exc
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as exc:
        raise UnreachableError(f"The call failed: {type(exc).__name__}.") from exc
    return OutboundAnswer(
        status=answer.status,
        headers=_decoded(answer.headers),
        body=content,
        milliseconds=round((time.monotonic() - started) * 1000),
        is_cut=is_cut,
    )


def check_url(url: str, *, ports: Collection[int] = ()) -> None:
    """Refuse a URL that could not be called, before it is saved; looks its name up.

    Raises: ``BlockedAddressError``, ``UnreachableError`` when the name is not known.
    """
    _checked_addresses(_parsed(url), ports, LOOK_UP_SECONDS)


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that belong to the connection or break its form.

    Raises: ``InvalidInputError`` naming the header.
    """
    for name, value in headers.items():
        if not _is_header_name(name.lower()) or not _is_header_value(value):
            raise _header_fault(name, "is no header of visible ASCII")
        if name.lower() in RESERVED_HEADERS:
            raise _header_fault(name, "is set by the connection itself")


def _header_fault(name: str, message: str) -> InvalidInputError:
    return InvalidInputError(
        f"The header {name!r} {message}.", details=[Detail("headers", message, "bad_value")]
    )


# --- The URL -------------------------------------------------------------------------------------


def _parsed(url: str) -> SplitResult:
    """Return the parts of ``url``. Raises: ``BlockedAddressError`` for a form nobody needs."""
    if len(url) > MAX_URL_LENGTH or not _is_url_text(url) or "\\" in url:
        raise BlockedAddressError("The URL must be at most 2000 characters of visible ASCII.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as exc:
        raise BlockedAddressError("The URL cannot be read.") from exc
    if parts.scheme not in ("https", "http"):
        raise BlockedAddressError("The URL must begin with https://.")
    if not parts.hostname:
        raise BlockedAddressError("The URL names no host.")
    if "@" in parts.netloc:
        raise BlockedAddressError("The URL must not hold a user name or password.")
    if parts.fragment:
        raise BlockedAddressError("The URL must not have a fragment.")
    return parts


def _checked_addresses(
    parts: SplitResult, ports: Collection[int], seconds: float
) -> tuple[str, ...]:
    """Return the addresses behind the host, once every one of them may be called."""
    port = parts.port or (_HTTPS_PORT if parts.scheme == "https" else 80)
    found = _look_up(parts.hostname or "", port, seconds)
    is_opened = all(_is_opened(address) for address in found)
    if is_opened:
        return tuple(str(address) for address in found)
    if not all(_is_opened(address) or is_public(address) for address in found):
        raise BlockedAddressError("The host's address is not a public one.")
    if parts.scheme != "https":
        raise BlockedAddressError("The URL must begin with https://.")
    if port != _HTTPS_PORT and port not in ports:
        raise BlockedAddressError(f"Port {port} is not open for this tenant.")
    return tuple(str(address) for address in found)


def is_public(address: IpAddress) -> bool:
    """Return whether ``address`` is public unicast and says truly where a call would go."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in _PUBLIC_V6 or address.scope_id is not None
    ):
        return False
    is_unicast = address.is_global and not address.is_multicast and not address.is_reserved
    return is_unicast and not _is_within(address, _REFUSED_NETWORKS)


def _is_opened(address: IpAddress) -> bool:
    return _is_within(address, _opened_networks(tuple(settings.PHOENIX_OUTBOUND_ALLOW)))


def _is_within(address: IpAddress, networks: Iterable[IpNetwork]) -> bool:
    return any(network.version == address.version and address in network for network in networks)


@cache
def _opened_networks(texts: tuple[str, ...]) -> tuple[IpNetwork, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


def _look_up(host: str, port: int, seconds: float) -> tuple[IpAddress, ...]:
    """Return every address of ``host``, in the order in which they should be tried.

    The resolver has no time limit of its own, so a thread that may be left behind asks it.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:
            answers.put(exc)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty as exc:
        raise OutboundTimeoutError(f"The name {host} was not found in time.") from exc
    if isinstance(answer, Exception):
        raise UnreachableError(f"The name {host} is not known.") from answer
    return tuple(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in answer))


# --- The connection ------------------------------------------------------------------------------


@cache
def _ssl_context() -> ssl.SSLContext:
    """Return a context that trusts what this machine trusts."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _PinnedBackend(httpcore.NetworkBackend):
    """Connects to addresses that were checked, whatever the name would resolve to by now."""

    def __init__(self, addresses: tuple[str, ...], deadline: float) -> None:
        self.addresses = addresses
        self.deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Return a connection to the first address that takes one."""
        failure: Exception = httpcore.ConnectError("There is no address.")
        tried = self.addresses[:_MAX_ADDRESSES]
        for number, address in enumerate(tried):
            # One that swallows everything must leave time for the others.
            seconds = _seconds_left(self.deadline) / (len(tried) - number)
            try:
                made = socket.create_connection((address, port), timeout=seconds)
            except TimeoutError as exc:
                failure = httpcore.ConnectTimeout(str(exc))
            except OSError as exc:
                failure = httpcore.ConnectError(str(exc))
            else:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return _DeadlineStream(made, self.deadline)
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    """A connection on which every step has only what is left of the call's time."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what came, at most ``max_bytes``."""
        self.connection.settimeout(_seconds_left(self.deadline))
        try:
            return self.connection.recv(min(max_bytes, _READ_BYTES))
        except TimeoutError as exc:
            raise httpcore.ReadTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpcore.ReadError(str(exc)) from exc

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer``."""
        rest = memoryview(buffer)
        try:
            while rest:
                self.connection.settimeout(_seconds_left(self.deadline))
                rest = rest[self.connection.send(rest) :]
        except TimeoutError as exc:
            raise httpcore.WriteTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpcore.WriteError(str(exc)) from exc

    def close(self) -> None:
        """End the connection."""
        self.connection.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Return the connection under TLS, the certificate checked against the host's name."""
        self.connection.settimeout(_seconds_left(self.deadline))
        try:
            wrapped = ssl_context.wrap_socket(self.connection, server_hostname=server_hostname)
        except TimeoutError as exc:
            self.close()
            raise httpcore.ConnectTimeout(str(exc)) from exc
        except OSError as exc:
            self.close()
            raise httpcore.ConnectError(str(exc)) from exc
        return _DeadlineStream(wrapped, self.deadline)

    def get_extra_info(self, info: str) -> Any:
        """Return nothing: only the connection's readiness is asked for, and it is used once."""
        return None


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("The call's time is over.")
    return left


def _read(chunks: Iterable[bytes], limit: int) -> tuple[bytes, bool]:
    """Return the beginning of the body and whether there was more of it."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > limit:
            return bytes(content[:limit]), True
    return bytes(content), False


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
