"""What a rule means, in sentences."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence, or a part of one that belongs below the line before it (``depth`` from 0)."""

    text: str
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """What is said of one side of a rule, under a heading."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """What the things are called that a rule names by id: ids as text, goals as ``kind:id``."""

    items: Mapping[str, str] = field(default_factory=dict)
    configs: Mapping[str, str] = field(default_factory=dict)
    currencies: Mapping[str, str] = field(default_factory=dict)
    # Of each currency: how many decimals its amounts have.
    decimals: Mapping[str, int] = field(default_factory=dict)
    goals: Mapping[str, str] = field(default_factory=dict)
    coupons: Mapping[str, str] = field(default_factory=dict)
    base_currency: str = ""
    timezone: str = "UTC"
