from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ingestion import selectors
from ingestion.admin.texts import indented
from ingestion.models import Event
from phoenix_site.common.admin import (
    InfinitePaginator,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    TextFilter,
    display,
)
from tenants.admin.scoped import TenantScopedAdmin
from tenants.models import Tenant

MAX_SEARCHED_DAYS = 31


class PlayerFilter(TextFilter):  # type: ignore[misc]
    title = "player"
    parameter_name = "player"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(user_id=self.value()) if self.value() else queryset


class TypeFilter(TextFilter):  # type: ignore[misc]
    title = "type"
    parameter_name = "type"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(type=self.value()) if self.value() else queryset


class ReceivedFilter(RangeDateTimeFilter):  # type: ignore[misc]
    """The time received; a search for no one event or player spans at most 31 days."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        begin, end = self._bound("from"), self._bound("to")
        if not request.GET.get("q") and not request.GET.get(PlayerFilter.parameter_name):
            latest = end or timezone.now()
            earliest = latest - timedelta(days=MAX_SEARCHED_DAYS)
            if begin is not None and begin < earliest:
                messages.warning(
                    request,
                    f"Shown are {MAX_SEARCHED_DAYS} days; name an event or a player to see more.",
                )
            begin = earliest if begin is None else max(begin, earliest)
        bounds = {"received_at__gte": begin, "received_at__lt": end}
        return queryset.filter(**{name: at for name, at in bounds.items() if at is not None})

    def _bound(self, end: str) -> datetime | None:
        date, time = (
            self.used_parameters.get(f"{self.field_path}_{end}_{part}") or "" for part in (0, 1)
        )
        try:
            moment = parse_datetime(f"{date} {time or '00:00'}")
        except ValueError:
            return None
        return None if moment is None else timezone.make_aware(moment)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """The log as it is, with what each consumer made of an event."""

    list_display = ["received", "tenant_id", "event_id", "type", "user_id", "source", "occurred"]
    list_display_links = ["event_id"]
    list_filter = [
        "tenant",
        PlayerFilter,
        TypeFilter,
        "source",
        ("received_at", ReceivedFilter),
        ("occurred_at", RangeDateTimeFilter),
    ]
    list_filter_submit = True
    list_per_page = 50
    paginator = InfinitePaginator
    # The order of the primary key, which every filter below a tenant can be read in.
    ordering = ["-pk"]
    search_fields = ["event_id__exact", "user_id__exact"]
    search_help_text = "An event id or a player, spelled exactly."
    actions = None
    fields = [
        "tenant_id",
        "event_id",
        "type",
        "user_id",
        "occurred_at",
        "received_at",
        "shown_attrs",
        "shown_metadata",
        "effects",
        "source",
        "cause",
        "depth",
        "request_id",
        "credential_id",
        "shard",
        "xid",
    ]
    readonly_fields = fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        if search_term:
            # Every index of the log begins with the tenant, also for who may see all of them.
            tenant_ids = list(Tenant.objects.values_list("pk", flat=True))
            queryset = queryset.filter(tenant_id__in=tenant_ids)
        found: tuple[QuerySet[Event], bool] = super().get_search_results(
            request, queryset, search_term
        )
        return found

    @display(description="Received (UTC)", ordering="-pk")
    def received(self, event: Event) -> str:
        return f"{event.received_at:%d %b %Y, %H:%M:%S}"

    @display(description="Occurred (UTC)")
    def occurred(self, event: Event) -> str:
        return f"{event.occurred_at:%d %b %Y, %H:%M:%S}"

    @display(description="attrs")
    def shown_attrs(self, event: Event) -> SafeString:
        return indented(event.attrs)

    @display(description="actor.metadata")
    def shown_metadata(self, event: Event) -> SafeString:
        return indented(event.metadata)

    @display(description="effects")
    def effects(self, event: Event) -> SafeString:
        stored = selectors.get_event(event.tenant_id, event.event_id)
        found: list[dict[str, Any]] = selectors.effects_of(stored)
        return indented(found) if found else format_html("None yet.")
