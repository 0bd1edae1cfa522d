from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ingestion.admin.texts import indented
from ingestion.models import QuarantineEntry
from ingestion.services import quarantine
from phoenix_site.common.admin import (
    Confirmation,
    InfinitePaginator,
    ReadOnlyAdmin,
    ReasonForm,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

MAX_CHOSEN = 1000
Resolve = Callable[..., None]


@admin.register(QuarantineEntry)
class QuarantineEntryAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """What a consumer could not process: replay it when the reason is gone, or discard it."""

    list_display = ["failed", "tenant_id", "event_link", "consumer", "code", "tries", "shown_state"]
    list_filter = ["state", "tenant", "consumer", "code"]
    list_select_related = ["event"]
    list_per_page = 50
    paginator = InfinitePaginator
    ordering = ["-last_failed_at"]
    search_fields = ["event__event_id__exact", "event__user_id__exact"]
    search_help_text = "An event id or a player, spelled exactly."
    actions = ["replay_selected", "discard_selected"]
    fields = [
        "tenant_id",
        "event_link",
        "consumer",
        "code",
        "message",
        "shown_attrs",
        "tries",
        "first_failed_at",
        "last_failed_at",
        "shown_state",
        "resolved_at",
        "resolved_by",
        "reason",
    ]
    readonly_fields = fields

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        """Tell who may act on entries from who may only look at them."""
        return bool(request.user.has_perm("ingestion.change_quarantineentry"))

    @display(description="Failed (UTC)", ordering="last_failed_at")
    def failed(self, entry: QuarantineEntry) -> str:
        return f"{entry.last_failed_at:%d %b %Y, %H:%M:%S}"

    @display(description="Event")
    def event_link(self, entry: QuarantineEntry) -> SafeString:
        url = reverse("admin:ingestion_event_change", args=[entry.event.pk])
        return format_html('<a href="{}">{}</a>', url, entry.event.event_id)

    @display(
        description="State",
        ordering="state",
        label={"open": "danger", "replayed": "success", "discarded": "info"},
    )
    def shown_state(self, entry: QuarantineEntry) -> str:
        return entry.state

    @display(description="attrs")
    def shown_attrs(self, entry: QuarantineEntry) -> SafeString:
        return indented(entry.event.attrs)

    @action(description="Replay selected entries", permissions=["resolve"])
    def replay_selected(
        self, request: HttpRequest, queryset: QuerySet[QuarantineEntry]
    ) -> HttpResponse | None:
        lead = "Runs the consumer on each event again, with the effects it would have had."
        return self._resolve(request, queryset, quarantine.replay, verb="Replay", lead=lead)

    @action(description="Discard selected entries", permissions=["resolve"])
    def discard_selected(
        self, request: HttpRequest, queryset: QuerySet[QuarantineEntry]
    ) -> HttpResponse | None:
        lead = "Closes the entries for good. The events stay in the log without an effect."
        return self._resolve(request, queryset, quarantine.discard, verb="Discard", lead=lead)

    def _resolve(
        self,
        request: HttpRequest,
        queryset: QuerySet[QuarantineEntry],
        resolve: Resolve,
        *,
        verb: str,
        lead: str,
    ) -> HttpResponse | None:
        """Ask, with the count and a reason, then act on one entry after the other."""
        # Oldest first: the order in which the events came.
        entries = list(queryset.order_by("event_id")[: MAX_CHOSEN + 1])
        if len(entries) > MAX_CHOSEN:
            self.message_user(request, f"Choose at most {MAX_CHOSEN} at a time.", messages.ERROR)
            return None
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self._resolve_each(request, entries, resolve, reason=form.cleaned_data["reason"])
            return None
        return confirmation_page(
            self,
            request,
            _confirmation(entries, verb=verb, lead=lead),
            back_url=reverse("admin:ingestion_quarantineentry_changelist"),
            form=form,
            selected=[entry.pk for entry in entries],
        )

    def _resolve_each(
        self,
        request: HttpRequest,
        entries: Sequence[QuarantineEntry],
        resolve: Resolve,
        *,
        reason: str,
    ) -> None:
        done: list[UUID] = []
        for entry in entries:
            try:
                resolve(entry.pk, actor=staff_actor(request), reason=reason, now=timezone.now())
            except DomainError as exc:
                say_refusal(self, request, entry, exc)
            else:
                done.append(entry.pk)
        if done:
            self.message_user(request, f"Closed {len(done)} entries.", messages.SUCCESS)


def _confirmation(entries: Sequence[QuarantineEntry], *, verb: str, lead: str) -> Confirmation:
    groups = Counter((entry.consumer, entry.code, entry.tenant_id) for entry in entries)
    rows: list[list[Any]] = [[*group, count] for group, count in groups.most_common()]
    noun = "entry" if len(entries) == 1 else "entries"
    return Confirmation(
        title=f"{verb} {len(entries)} {noun}",
        lead=lead,
        submit=verb,
        heads=["Consumer", "Reason", "Tenant", "Entries"],
        rows=rows,
        is_dangerous=verb == "Discard",
    )
