"""What every configured object of rewards shares: versions, refusal of outdated changes, stamps.

Whoever changes such an object holds its row, calls ``check_version``, writes, and then calls
``note_change`` (or ``record_version`` and ``bump``) in the same transaction.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from phoenix_site.common.json import rendered
from rewards.exceptions import VersionConflictError
from rewards.models import BookStamp, DocumentVersion
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["Versioned", "bump", "check_version", "note_change", "record_version"]

_REASON_LENGTH = 500
_AUTHOR_LENGTH = 255


class Versioned(Protocol):
    """A row of a configured object; its ``version`` begins with 1 and grows with each change."""

    pk: Any
    tenant_id: Any
    version: Any


def check_version(sent: object, stored: int) -> None:
    """Refuse a change of a version that is no longer the stored one; ``None`` asks nothing (ADM-3).

    Raises: ``VersionConflictError``.
    """
    if sent is not None and (type(sent) is not int or sent != stored):
        raise VersionConflictError(f"The object is at version {stored}, not {sent}.")


def record_version(
    row: Versioned,
    *,
    kind: str,
    document: Mapping[str, Any],
    author: str,
    reason: str = "",
    now: datetime,
) -> DocumentVersion:
    """Write what the row is at its present version; ``kind`` names its table. Queries: 1."""
    return DocumentVersion.objects.create(
        tenant_id=row.tenant_id,
        kind=kind,
        object_id=UUID(str(row.pk)),
        version=row.version,
        document=rendered(dict(document)),
        author=author[:_AUTHOR_LENGTH],
        reason=reason[:_REASON_LENGTH],
        created_at=now,
    )


def bump(tenant_id: str) -> None:
    """Let every reader of the tenant's book read it anew once this transaction has committed.

    The stamp is drawn, not counted: a number that was rolled back and given again would let a
    process keep what was never committed. Locks: the tenant's stamp, to the end of the transaction.
    """
    BookStamp.objects.update_or_create(
        tenant_id=tenant_id, defaults={"number": 1 + secrets.randbelow(2**62)}
    )


def note_change(
    row: Versioned,
    *,
    kind: str,
    document: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    actor: Actor,
    now: datetime,
    action: str = "",
    reason: str = "",
) -> None:
    """Write version and audit entry of a change that was just saved, and bump the tenant's stamp.

    ``before`` is the document before the change, ``None`` for a new object; ``action`` is the last
    word of the audit entry's, by default ``created`` or ``changed``.
    """
    record_version(row, kind=kind, document=document, author=actor.label, reason=reason, now=now)
    old, new = (None, dict(document)) if before is None else audit.changes(before, document)
    word = action or ("created" if before is None else "changed")
    audit.record(
        f"{kind}.{word}",
        actor=actor,
        now=now,
        tenant_id=row.tenant_id,
        change=AuditChange(kind, str(row.pk), str(document.get("name", "")), old, new),
        reason=reason,
    )
    bump(row.tenant_id)
