"""The one way out: what it refuses, what it bounds, and that it goes to the checked address."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_django.fixtures import Settings

from phoenix_site.common import outbound
from phoenix_site.common.exceptions import InvalidInputError
from tests.operators import Operator, Reply, running_operator

HEADERS = {"content-type": "application/json"}


@pytest.fixture
def loopback(settings: Settings) -> Settings:
    settings.PHOENIX_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    return settings


@pytest.fixture
def operator(loopback: Settings) -> Iterator[Operator]:
    with running_operator() as made:
        yield made


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return a table of names that stands in for the resolver; others are unknown."""
    table: dict[str, list[str]] = {}

    def getaddrinfo(host: str, port: int, *_rest: Any, **_more: Any) -> list[Any]:
        try:
            found = [str(ipaddress.ip_address(host))]
        except ValueError:
            if host not in table:
                raise socket.gaierror(socket.EAI_NONAME, "unknown") from None
            found = table[host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table


def post(url: str, **more: Any) -> outbound.OutboundAnswer:
    return outbound.post(url, body=b'{"a":1}', headers=HEADERS, **more)


def test_a_call_arrives_as_it_was_given(operator: Operator) -> None:
    operator.answers(Reply(201, b"made", {"X-Note": "yes"}))

    answer = post(f"{operator.url}/credit?x=1")

    (call,) = operator.calls
    assert (call.method, call.path, call.body) == ("POST", "/credit?x=1", b'{"a":1}')
    assert call.headers["host"] == f"127.0.0.1:{operator.port}"
    assert call.headers["content-type"] == "application/json"
    assert "accept-encoding" not in call.headers
    assert (answer.status, answer.body, answer.headers["x-note"]) == (201, b"made", "yes")
    assert not answer.is_cut


@pytest.mark.parametrize(
    "url",
    [
        "http://operator.example/x",
        "ftp://operator.example/x",
        "//operator.example/x",
        "operator.example",
        "https:///x",
        "https://user:password@operator.example/x",
        "https://user@operator.example/x",
        "https://operator.example/x#part",
        "https://operator.example:8443/x",
        "https://operator.example:99999/x",
        "https://operator.example/a b",
        "https://operator.example/a\r\nHost: other",
        "https://operator.example\\@127.0.0.1/",
        "https://[::1/x",
        "https://operator.example/" + "x" * 2000,
        "",
    ],
)
def test_a_url_of_another_form_is_refused(names: dict[str, list[str]], url: str) -> None:
    names["operator.example"] = ["93.184.215.14"]

    with pytest.raises(outbound.BlockedAddressError):
        outbound.check_url(url)
    with pytest.raises(outbound.BlockedAddressError):
        post(url)


def test_a_public_https_address_and_a_listed_port_pass(names: dict[str, list[str]]) -> None:
    names["operator.example"] = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]

    outbound.check_url("https://operator.example")
    outbound.check_url("https://operator.example:8443/x", ports=[8443])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",  # noqa: S104
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:93.184.215.14",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_an_address_that_is_not_public_unicast_is_refused(
    names: dict[str, list[str]], address: str
) -> None:
    names["inside.example"] = [address]
    names["both.example"] = ["93.184.215.14", address]
    literal = f"[{address}]" if ":" in address else address

    for host in ("inside.example", "both.example", literal):
        with pytest.raises(outbound.BlockedAddressError):
            outbound.check_url(f"https://{host}/x")


def test_the_other_spellings_of_loopback_are_refused() -> None:
    for host in ("2130706433", "0x7f000001", "127.1", "localhost"):
        with pytest.raises((outbound.BlockedAddressError, outbound.UnreachableError)):
            outbound.check_url(f"https://{host}/x")


def test_an_opened_network_takes_plain_http_and_nothing_else_does(
    names: dict[str, list[str]], settings: Settings
) -> None:
    settings.PHOENIX_OUTBOUND_ALLOW = ["10.1.0.0/16"]
    names.update({"mine": ["10.1.2.3"], "other": ["10.2.0.1"], "mixed": ["10.1.2.3", "10.2.0.1"]})
    names["half"] = ["10.1.2.3", "93.184.215.14"]

    outbound.check_url("http://mine:8080/x")
    for url in ("http://other/x", "http://mixed/x", "https://mixed/x", "http://half/x"):
        with pytest.raises(outbound.BlockedAddressError):
            outbound.check_url(url)


def test_the_name_is_looked_up_once_and_the_checked_address_called(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_rest: Any, **_more: Any) -> list[Any]:
        asked.append(host)
        # A second look-up would lead elsewhere, as a hostile name server wants it.
        address = "127.0.0.1" if asked.count("operator.example") == 1 else "127.66.66.66"
        found = address if host == "operator.example" else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    answer = post(f"http://operator.example:{operator.port}/x")

    assert answer.status == 200
    assert asked.count("operator.example") == 1
    assert operator.calls[0].headers["host"] == f"operator.example:{operator.port}"


def test_the_next_address_is_tried_when_one_does_not_listen(
    operator: Operator, names: dict[str, list[str]]
) -> None:
    names["operator.example"] = ["127.66.66.66", "127.0.0.1"]

    assert post(f"http://operator.example:{operator.port}/x").status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(operator: Operator, status: int) -> None:
    operator.answers(Reply(status, b"", {"Location": f"{operator.url}/elsewhere"}))

    answer = post(f"{operator.url}/x")

    assert answer.status == status
    assert [call.path for call in operator.calls] == ["/x"]


def test_no_proxy_of_the_environment_is_used(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert post(f"{operator.url}/x").status == 200


def test_an_oversized_answer_is_cut(operator: Operator) -> None:
    operator.answers(Reply(200, b"x" * 300_000))

    answer = post(f"{operator.url}/x")

    assert (len(answer.body), answer.is_cut) == (outbound.MAX_ANSWER_BYTES, True)


def test_an_endless_answer_is_cut_or_timed_out(operator: Operator) -> None:
    operator.answers(Reply(drip_seconds=0.01))

    assert post(f"{operator.url}/x", max_answer_bytes=3).is_cut
    with pytest.raises(outbound.OutboundTimeoutError):
        # Each byte comes in time; all of them together never do.
        post(f"{operator.url}/x", timeout=0.3)


def test_a_silent_system_is_left_in_time(operator: Operator) -> None:
    held = threading.Event()
    operator.answers(Reply(hold=held))
    started = time.monotonic()

    with pytest.raises(outbound.OutboundTimeoutError):
        post(f"{operator.url}/x", timeout=0.3)

    held.set()
    assert time.monotonic() - started < 5


def test_a_slow_name_server_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: held.wait(30) and [])

    with pytest.raises(outbound.OutboundTimeoutError):
        post("https://operator.example/x", timeout=0.1)

    held.set()


def test_nobody_there_is_unreachable(loopback: Settings, names: dict[str, list[str]]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(outbound.UnreachableError):
            post(f"http://127.0.0.1:{port}/x")
    with pytest.raises(outbound.UnreachableError):
        post("https://unknown.example/x")


def test_an_answer_that_is_no_http_is_unreachable(loopback: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-nonsense\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(outbound.UnreachableError):
            post(f"http://127.0.0.1:{port}/x")
        thread.join()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "other"},
        {"content-length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"x-note": "a\r\nHost: other"},
        {"x-note": "ä"},
        {"x note": "a"},
        {"": "a"},
    ],
)
def test_headers_of_the_connection_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        outbound.post("https://operator.example", body=b"", headers=headers)


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for operator.example that trusts itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "operator.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("operator.example")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "operator.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls_is_checked_against_the_host_that_was_named(
    loopback: Settings,
    names: dict[str, list[str]],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names.update({"operator.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    asked: list[str | None] = []
    serving.sni_callback = lambda _socket, name, _context: asked.append(name)
    with running_operator(serving) as operator:
        with pytest.raises(outbound.UnreachableError):
            post(f"https://operator.example:{operator.port}/x")
        trusting = ssl.create_default_context(cafile=str(certificate))
        monkeypatch.setattr(outbound, "_ssl_context", lambda: trusting)

        answer = post(f"https://operator.example:{operator.port}/x")
        with pytest.raises(outbound.UnreachableError):
            post(f"https://other.example:{operator.port}/x")

    assert answer.status == 200
    assert asked == ["operator.example", "operator.example", "other.example"]
    assert len(operator.calls) == 1
