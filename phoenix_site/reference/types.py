"""What is said about one operation beside what its view says itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Security = list[dict[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the reference.

    ``answer`` and ``request`` are examples, by name where there are several. ``errors`` are codes.
    ``answers`` describes answers that a view cannot describe itself, by status, ready to be shown;
    ``security`` replaces what follows from the view's authentication.
    """

    id: str
    summary: str
    errors: tuple[str, ...]
    description: str = ""
    request: Any = None
    answer: Any = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[Mapping[str, Any], ...] = ()
    security: Security | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Examples:
    """Several examples of one body, by name."""

    by_name: Mapping[str, Any]


Key = tuple[str, str]
