"""Event types as goals and rules name them: whole, or with ``*`` for all below a name."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from phoenix_site.common.documents import Section

MAX_EVENT_TYPES: Final = 20
_MAX_LENGTH: Final = 100
_is_type = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_-]+)*").fullmatch
_is_pattern = re.compile(r"(?:[A-Za-z0-9_]+\.(?:[A-Za-z0-9_-]+\.)*)?\*").fullmatch


def is_type_pattern(value: Any) -> TypeGuard[str]:
    """Whether ``value`` is an event type, or one whose last segment is ``*``."""
    if not isinstance(value, str) or len(value) > _MAX_LENGTH:
        return False
    return bool(_is_type(value) or _is_pattern(value))


def read_type_patterns(section: Section, key: str) -> tuple[str, ...]:
    """Return the list of 1 to 20 different event types at ``key``, which is required."""
    if not section.require(key):
        return ()
    value = section.raw(key)
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_EVENT_TYPES:
        section.refuse(key, f"must be a list of 1 to {MAX_EVENT_TYPES} event types")
        return ()
    for index, item in enumerate(value):
        if not is_type_pattern(item):
            section.refuse(
                f"{key}.{index}", "must be an event type, such as game.completed or game.*"
            )
    return tuple(dict.fromkeys(map(str, value)))


@dataclass(frozen=True, slots=True)
class TypePatterns:
    """A set of event types: those named, and all that begin with one of ``prefixes``."""

    names: frozenset[str]
    prefixes: tuple[str, ...]

    def hold(self, event_type: str) -> bool:
        """Whether an event of this type is meant; ``game.*`` means all that begin ``game.``."""
        return event_type in self.names or (
            bool(self.prefixes) and event_type.startswith(self.prefixes)
        )


def compile_patterns(patterns: Collection[str]) -> TypePatterns:
    """Return checked patterns ready to ask."""
    return TypePatterns(
        names=frozenset(pattern for pattern in patterns if not pattern.endswith("*")),
        prefixes=tuple(sorted({pattern[:-1] for pattern in patterns if pattern.endswith("*")})),
    )
