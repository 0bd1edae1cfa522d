"""Reading one object of a configuration document: every fault is noted, reading goes on.

Each reader returns a usable value even where the document has none, so that one pass finds all
faults; whoever reads must ask for ``faults`` before using anything.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from phoenix_site.common.faults import Fault
from phoenix_site.common.paths import as_number
from phoenix_site.common.times import parse_rfc3339

__all__ = ["Section", "find_value_faults", "merge_patch", "plain_json", "plain_number"]

# Conditions nest 8 deep, each with a few levels of objects and lists.
_MAX_NESTING: Final = 48
# That of the largest float.
_MAX_EXPONENT: Final = 308
_is_unstorable = re.compile("[\x00\ud800-\udfff]").search


class Section:
    """One object of a document: typed readers by key. ``None`` counts as absent where allowed."""

    def __init__(
        self,
        document: Any,
        path: str,
        faults: list[Fault],
        *,
        keys: Collection[str],
        reserved: Collection[str] = (),
    ) -> None:
        self.path = path
        self.faults = faults
        self.is_object = isinstance(document, Mapping)
        self._document: Mapping[str, Any] = document if self.is_object else {}
        if not self.is_object:
            self.faults.append(Fault(path, "must be an object"))
        for key in self._document:
            if key in reserved:
                self.refuse(key, "not supported yet")
            elif key not in keys:
                self.refuse(key, _unknown_key(key, keys))

    def refuse(self, key: str, message: str) -> None:
        """Note a fault at ``key``."""
        self.faults.append(Fault(self.path_of(key), message))

    def path_of(self, key: str) -> str:
        """Return the whole path of what stands at ``key``."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether ``key`` is there with a value other than ``null``."""
        return self._document.get(key) is not None

    def raw(self, key: str) -> Any:
        """Return what stands at ``key``, ``None`` if nothing does."""
        return self._document.get(key)

    def section(
        self, key: str, *, keys: Collection[str], reserved: Collection[str] = ()
    ) -> "Section":
        """Return the object at ``key``; an absent one reads like an empty one."""
        document = self._document[key] if self.has(key) else {}
        return Section(document, self.path_of(key), self.faults, keys=keys, reserved=reserved)

    def require(self, key: str) -> bool:
        """Whether ``key`` is there; note a fault if not."""
        if self.is_object and not self.has(key):
            self.refuse(key, "is required")
        return self.has(key)

    def choice(self, key: str, allowed: Collection[str], default: str) -> str:
        """Return one of ``allowed``."""
        value = self._document.get(key, default)
        if not isinstance(value, str) or value not in allowed:
            self.refuse(key, f"must be one of {', '.join(allowed)}")
            return default
        return value

    def integer(self, key: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        value = self._document.get(key, default)
        if type(value) is not int or not low <= value <= high:
            self.refuse(key, f"must be a whole number from {low} to {high}")
            return default
        return value

    def number(self, key: str) -> Decimal | None:
        """Return an exact number, or ``None`` where there is none."""
        if not self.has(key):
            return None
        value = as_number(self._document[key])
        if value is None:
            self.refuse(key, "must be a number")
            return None
        return Decimal(value)

    def instant(self, key: str) -> datetime | None:
        """Return a time in UTC, or ``None`` where there is none."""
        if not self.has(key):
            return None
        try:
            return parse_rfc3339(self._document[key])
        except ValueError as exc:
            self.refuse(key, str(exc))
            return None


def _unknown_key(key: str, keys: Collection[str]) -> str:
    similar = get_close_matches(str(key), keys, n=1)
    return f"is not a known key; did you mean {similar[0]}?" if similar else "is not a known key"


def plain_number(value: Decimal) -> int | float:
    """Return ``value`` as a number that every JSON library writes and reads back unchanged.

    Raises: ``ValueError`` if it has more digits than that.
    """
    # Written in a few characters, it would be gigabytes as a whole number.
    if value.adjusted() > _MAX_EXPONENT:
        raise ValueError("has a number that is too large")
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    if Decimal(str(number)) != value:
        raise ValueError("has a number with too many digits")
    return number


def plain_json(value: Any) -> Any:
    """Return a deep copy of a JSON value without ``Decimal``. Raises: ``ValueError``."""
    if isinstance(value, Decimal):
        return plain_number(value)
    if isinstance(value, Mapping):
        return {key: plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return value


def find_value_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return what nobody could store or read: texts with NUL, and nesting without end.

    Ask this first: most readers take a document apart by recursion.
    """
    faults: list[Fault] = []
    waiting: list[tuple[str, Any, int]] = [(key, value, 1) for key, value in document.items()]
    faults += [Fault("", _UNSTORABLE) for key in document if _is_unstorable(key)]
    while waiting:
        path, value, depth = waiting.pop()
        if isinstance(value, str) and _is_unstorable(value):
            faults.append(Fault(path, _UNSTORABLE))
        elif isinstance(value, Mapping | list) and depth > _MAX_NESTING:
            return [Fault(path.split(".", 1)[0], "is nested too deeply")]
        elif isinstance(value, Mapping):
            waiting += [(f"{path}.{key}", item, depth + 1) for key, item in value.items()]
            waiting += [(path, key, depth + 1) for key in value if _is_unstorable(key)]
        elif isinstance(value, list):
            waiting += [(f"{path}.{index}", item, depth + 1) for index, item in enumerate(value)]
    return faults


_UNSTORABLE: Final = "must not hold NUL or half of a surrogate pair"


def merge_patch(target: Any, patch: Any) -> Any:
    """Return ``target`` with ``patch`` merged into it (RFC 7396): lists are replaced."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
