"""Where two documents differ, value by value."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from phoenix_site.common.values import are_equal

__all__ = ["Difference", "differences"]


class Difference(NamedTuple):
    """One value that two documents do not share; what is absent reads ``None``."""

    path: str
    before: Any
    after: Any


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return where two documents differ, in the order of the paths; lists are compared whole."""
    old, new = _flat(before), _flat(after)
    return [
        Difference(path, old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if not are_equal(old.get(path), new.get(path))
    ]


def _flat(document: Mapping[str, Any], parent: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{parent}.{key}" if parent else key
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, path))
        else:
            flat[path] = value
    return flat
