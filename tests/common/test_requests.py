import pytest
from pytest_django.fixtures import Settings

from phoenix_site.common.requests import client_address, in_networks


def test_a_forwarded_address_counts_only_behind_a_trusted_proxy(settings: Settings) -> None:
    settings.PHOENIX_TRUSTED_PROXIES = []
    assert client_address("10.0.0.1", "203.0.113.9") == "10.0.0.1"

    settings.PHOENIX_TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert client_address("10.0.0.1", "203.0.113.9") == "203.0.113.9"
    assert client_address("198.51.100.7", "203.0.113.9") == "198.51.100.7"


def test_what_a_client_writes_before_the_proxy_is_not_believed(settings: Settings) -> None:
    settings.PHOENIX_TRUSTED_PROXIES = ["10.0.0.0/8"]

    forged = "127.0.0.1, 203.0.113.9, 10.0.0.2"

    assert client_address("10.0.0.1", forged) == "203.0.113.9"


@pytest.mark.parametrize(
    ("address", "networks", "inside"),
    [
        ("192.0.2.4", ["192.0.2.0/24"], True),
        ("192.0.3.4", ["192.0.2.0/24"], False),
        ("2001:db8::1", ["2001:db8::/32", "192.0.2.0/24"], True),
        ("not an address", ["0.0.0.0/0"], False),
        ("192.0.2.4", [], False),
    ],
)
def test_networks_hold_their_addresses(address: str, networks: list[str], inside: bool) -> None:
    assert in_networks(address, networks) is inside
