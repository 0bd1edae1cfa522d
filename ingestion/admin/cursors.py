from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.timesince import timesince

from ingestion.models import Cursor, Event
from phoenix_site.common.admin import ReadOnlyAdmin, display


@admin.register(Cursor)
class CursorAdmin(ReadOnlyAdmin):
    """How far each consumer is in each shard, and since when its next event waits."""

    list_display = ["consumer", "shard", "lag", "processed_count", "moved"]
    list_filter = ["consumer"]
    list_display_links = None
    ordering = ["consumer", "shard"]
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cursor]:
        behind = Q(xid=OuterRef("last_xid"), id__gt=OuterRef("last_id"))
        waiting = Event.objects.filter(
            behind | Q(xid__gt=OuterRef("last_xid")),
            shard=OuterRef("shard"),
            # What the index can use; the condition above alone it cannot.
            xid__gte=OuterRef("last_xid"),
        ).order_by("xid", "id")
        cursors: QuerySet[Cursor] = super().get_queryset(request)
        return cursors.annotate(waiting_since=Subquery(waiting.values("received_at")[:1]))

    @display(description="Lag", label={"none": "success"})
    def lag(self, cursor: Any) -> str:
        since: datetime | None = cursor.waiting_since
        if since is None:
            return "none"
        seconds = (timezone.now() - since).total_seconds()
        return f"{max(seconds, 0):.1f} s" if seconds < 60 else timesince(since)

    @display(description="Moved (UTC)", ordering="updated_at")
    def moved(self, cursor: Cursor) -> str:
        return f"{cursor.updated_at:%d %b %Y, %H:%M:%S}"
