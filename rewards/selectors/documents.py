"""What configured objects were, version by version."""

from uuid import UUID

from rewards.models import DocumentVersion

__all__ = ["versions_of"]


def versions_of(kind: str, object_id: UUID) -> list[DocumentVersion]:
    """Return the versions of an object, newest first. Queries: 1."""
    rows = DocumentVersion.objects.filter(kind=kind, object_id=object_id)
    return list(rows.order_by("-version"))
