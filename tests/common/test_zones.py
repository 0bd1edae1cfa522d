import pytest

from phoenix_site.common.zones import UnknownZoneError, load_zone, zone_names


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "US/Pacific"]
)
def test_iana_names_and_their_aliases_are_known(name: str) -> None:
    assert load_zone(name).key == name


@pytest.mark.parametrize(
    "name", ["Mars/One", "", "europe/berlin", "../zones", "/etc/localtime", "Europe", "UTC+1"]
)
def test_anything_else_is_not(name: str) -> None:
    with pytest.raises(UnknownZoneError):
        load_zone(name)


def test_every_listed_zone_loads() -> None:
    for name in zone_names():
        load_zone(name)
