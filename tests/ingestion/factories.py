from datetime import datetime
from typing import Any

from django.utils import timezone

from ingestion.models import Event
from ingestion.rules.identity import canonical_json, content_hash
from ingestion.rules.sharding import shard_of
from ingestion.services.store import store_rows
from ingestion.types import LogRow


def log_row(
    event_id: str,
    *,
    tenant_id: str = "tenant-a",
    user_id: str | None = "ana",
    type: str = "game.completed",  # noqa: A002
    attrs: dict[str, Any] | None = None,
    occurred_at: datetime | None = None,
) -> LogRow:
    moment = occurred_at or timezone.now()
    text = canonical_json({"score": 1} if attrs is None else attrs)
    return LogRow(
        tenant_id=tenant_id,
        event_id=event_id,
        type=type,
        user_id=user_id,
        metadata="{}",
        attrs=text,
        occurred_at=moment,
        source="api",
        request_id="request-1",
        credential_id=None,
        content_hash=content_hash(type, user_id, moment, metadata="{}", attrs=text),
        shard=shard_of(tenant_id, user_id),
        cause=None,
        depth=0,
    )


def append(event_id: str, *, received_at: datetime | None = None, **fields: Any) -> Event:
    """Return an event that is in the log, received at any time the test needs."""
    row = log_row(event_id, **fields)
    if received_at is None:
        store_rows([row])
    else:
        documents = {"metadata": {}, "attrs": fields.get("attrs") or {"score": 1}}
        Event.objects.create(**row._asdict() | documents, received_at=received_at)
    return Event.objects.get(tenant_id=row.tenant_id, event_id=event_id)
