"""An event that a caller describes, to try rules on; it is not in the log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ingestion.types import StoredEvent
from phoenix_site.common.documents import Section, find_value_faults
from phoenix_site.common.faults import Fault
from rewards.constants import PLATFORM_EVENTS
from rewards.exceptions import DocumentError
from rewards.rules.event_types import is_type_pattern

__all__ = ["read_event"]

_KEYS: Final = ("event_id", "type", "actor", "occurred_at", "attrs", "tenant_id")
_MAX_USER_ID: Final = 128


def read_event(document: Any, *, tenant_id: str, now: datetime, path: str = "event") -> StoredEvent:
    """Return the event that ``document`` describes, as if it were received ``now``.

    Raises: ``DocumentError`` with every fault.
    """
    faults: list[Fault] = []
    event = Section(document, path, faults, keys=_KEYS)
    actor = event.section("actor", keys=("user_id", "metadata"))
    attrs, metadata = event.raw("attrs") or {}, actor.raw("metadata") or {}
    for section, key, value in ((event, "attrs", attrs), (actor, "metadata", metadata)):
        if not isinstance(value, Mapping):
            section.refuse(key, "must be an object")
        else:
            faults += [fault.under(section.path_of(key)) for fault in find_value_faults(value)]
    event_type, user_id = _read_type(event), _read_user(actor)
    occurred_at = event.instant("occurred_at") or now
    if faults:
        raise DocumentError(faults)
    return StoredEvent(
        id=0,
        xid=0,
        shard=0,
        tenant_id=tenant_id,
        event_id=str(event.raw("event_id") or "dry-run"),
        type=event_type,
        user_id=user_id,
        metadata=metadata,
        attrs=attrs,
        occurred_at=occurred_at,
        received_at=now,
        source="internal" if event_type in PLATFORM_EVENTS else "api",
        cause=None,
        depth=0,
    )


def _read_type(event: Section) -> str:
    value = event.raw("type")
    if event.require("type") and not (is_type_pattern(value) and "*" not in value):
        event.refuse("type", "must be an event type, such as game.completed")
    return str(value)


def _read_user(actor: Section) -> str:
    value = actor.raw("user_id")
    is_id = isinstance(value, str) and 0 < len(value) <= _MAX_USER_ID and value == value.strip()
    if actor.is_object and not is_id:
        actor.refuse("user_id", f"must be a text of 1 to {_MAX_USER_ID} characters")
    return str(value)
