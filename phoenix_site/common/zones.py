"""Time zones by IANA name, always from the packaged table: the same on every machine."""

from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

__all__ = ["UnknownZoneError", "load_zone", "zone_names"]


class UnknownZoneError(ValueError):
    """No time zone has this name."""


@cache
def zone_names() -> frozenset[str]:
    """Return every IANA name, old aliases included."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("ascii").split())


@cache
def load_zone(name: str) -> ZoneInfo:
    """Return the zone ``name``. Raises: ``UnknownZoneError``."""
    # The list is asked first: a name becomes a file path below.
    if name not in zone_names():
        raise UnknownZoneError(f"{name!r} is not an IANA time zone")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
