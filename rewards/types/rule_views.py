"""Rules as lists, members and staff pages show them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule with one of its documents.

    ``status`` is the rule's, or ``draft`` where the version shown is not published. ``version`` is
    the one shown; ``active_version`` is in force (while paused: was), ``draft_version`` waits.
    ``warnings`` are what was noticed when it was saved.
    """

    pk: UUID
    tenant_id: str
    rule_id: str
    status: str
    version: int
    active_version: int | None
    draft_version: int | None
    document: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    planned: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of (event, rule, player), for whoever asks why.

    ``firing_id`` is that of a real firing; in a dry run ``is_granted`` stands without it.
    """

    rule_id: str
    version: int | None
    user_id: str | None
    reason: str | None
    text: str
    firing_id: UUID | None
    as_of: str
    trace: tuple[Mapping[str, Any], ...]
    effects: tuple[Mapping[str, Any], ...]
    is_granted: bool = False
