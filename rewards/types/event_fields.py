"""What the events of a tenant look like, for whoever writes rules about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

FieldKind = Literal["number", "text", "yes_no", "time", "list", "object"]


@dataclass(frozen=True, slots=True)
class FieldSeen:
    """A path that recent events had, what kind of value it held, and the newest of them."""

    path: str
    kind: FieldKind
    example: str


@dataclass(frozen=True, slots=True)
class TypeSeen:
    """An event type: how many of the sampled events it had, when the last one came, its fields."""

    name: str
    count: int
    last_at: datetime
    fields: Mapping[str, FieldSeen]


@dataclass(frozen=True, slots=True)
class EventCatalog:
    """The event types that a tenant sent lately, the most frequent first, as of ``as_of``."""

    as_of: datetime
    types: tuple[TypeSeen, ...]
