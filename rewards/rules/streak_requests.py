"""What staff ask of a player's streak, read and checked with every fault at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from phoenix_site.common.documents import Section
from rewards.exceptions import DocumentError

__all__ = ["FreezeRequest", "RepairRequest", "read_freezes", "read_repair"]

MAX_WINDOWS: Final = 400
MAX_FREEZES: Final = 1000
_MAX_USER, _MAX_REASON, _MAX_KEY = 128, 500, 64


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """Windows of a player's streak that are to count as satisfied."""

    user_id: str
    windows: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class FreezeRequest:
    """Freezes that a player is to have more."""

    user_id: str
    count: int
    reason: str


def read_repair(sent: Mapping[str, Any]) -> RepairRequest:
    """Return what is to be repaired. Raises: ``DocumentError``."""
    section = Section(sent, "", [], keys=("user_id", "windows", "reason"))
    request = RepairRequest(
        _text(section, "user_id", _MAX_USER),
        _windows(section),
        _text(section, "reason", _MAX_REASON),
    )
    _refuse(section)
    return request


def read_freezes(sent: Mapping[str, Any]) -> FreezeRequest:
    """Return what is to be given. Raises: ``DocumentError``."""
    section = Section(sent, "", [], keys=("user_id", "count", "reason"))
    count = section.integer("count", 1, low=1, high=MAX_FREEZES) if section.require("count") else 1
    request = FreezeRequest(
        _text(section, "user_id", _MAX_USER), count, _text(section, "reason", _MAX_REASON)
    )
    _refuse(section)
    return request


def _windows(section: Section) -> tuple[str, ...]:
    if not section.require("windows"):
        return ()
    windows = section.raw("windows")
    if not isinstance(windows, list) or not 1 <= len(windows) <= MAX_WINDOWS:
        section.refuse("windows", f"must be a list of 1 to {MAX_WINDOWS} windows")
        return ()
    for index, window in enumerate(windows):
        if not isinstance(window, str) or not 1 <= len(window) <= _MAX_KEY:
            section.refuse(f"windows.{index}", "must be the key of a window, or a time in it")
    return tuple(dict.fromkeys(map(str, windows)))


def _text(section: Section, key: str, most: int) -> str:
    if not section.require(key):
        return ""
    value = section.raw(key)
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        section.refuse(key, f"must be a text of 1 to {most} characters")
        return ""
    return value


def _refuse(section: Section) -> None:
    if section.faults:
        raise DocumentError(section.faults)
