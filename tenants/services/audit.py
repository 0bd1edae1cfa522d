"""The audit log: who changed what. Entries are written in the transaction of the change."""

import ipaddress
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db.models import Model, QuerySet

from phoenix_site.common.json import rendered
from phoenix_site.common.requests import current_request_id
from tenants.models import AuditEntry
from tenants.types import Actor, AuditChange, Caller

SYSTEM: Final = Actor("system", "", "Phoenix")
MASK: Final = "••••"
# Part of a field's name that says: its values are nobody's to read.
_SECRET_WORDS = ("secret", "password", "token", "ciphertext", "digest", "private", "key_value")
_LABEL_LENGTH = 255


def record(
    action: str,
    *,
    actor: Actor,
    now: datetime,
    tenant_id: str | None = None,
    change: AuditChange | None = None,
    reason: str = "",
) -> AuditEntry:
    """Write one entry; ``action`` reads ``entity.action``. Values of secret fields are masked."""
    about = change or AuditChange("", "")
    return AuditEntry.objects.create(
        at=now,
        tenant_id=tenant_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:_LABEL_LENGTH],
        action=action,
        object_type=about.object_type,
        object_id=about.object_id,
        object_label=about.object_label[:_LABEL_LENGTH],
        before=masked(about.before),
        after=masked(about.after),
        reason=reason,
        request_id=current_request_id(),
        address=_as_address(actor.address),
    )


def caller_actor(caller: Caller, *, address: str | None = None) -> Actor:
    """Return the actor behind an authenticated request to the admin gateway."""
    kind = caller.kind if caller.kind in ("staff", "admin_jwt") else "api_key"
    name = f"{caller.label} ({caller.user_id})" if caller.user_id else caller.label
    return Actor(kind, caller.actor_id, name, address)


def staff_actor(user: Any, *, address: str | None = None) -> Actor:
    """Return the staff member as an actor."""
    return Actor("staff", f"staff:{user.pk}", user.get_username(), address)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the two sides reduced to what differs."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


def masked(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return ``values`` ready for JSON, with the values of secret fields replaced."""
    if values is None:
        return None
    return {
        name: MASK if any(word in name.lower() for word in _SECRET_WORDS) else _plain(value)
        for name, value in values.items()
    }


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON knows it; rows stand as their keys."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | QuerySet):
        return [_plain(item) for item in value]
    if isinstance(value, Model):
        return str(value.pk)
    return rendered(value) if isinstance(value, datetime) else str(value)


def _as_address(text: str | None) -> str | None:
    try:
        return str(ipaddress.ip_address(text or ""))
    except ValueError:
        return None
