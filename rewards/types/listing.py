"""Pages of lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListQuestion:
    """What a list is asked for: ``search`` is part of a name, ``filters`` are as sent."""

    limit: int = 50
    offset: int = 0
    status: str | None = None
    search: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A page of a list, and how many items the whole list has."""

    items: list[T]
    total: int
