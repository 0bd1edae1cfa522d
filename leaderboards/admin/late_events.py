from django.contrib import admin

from leaderboards.admin.meaning import length_of
from leaderboards.models import LateEvent
from phoenix_site.common.admin import InfinitePaginator, ReadOnlyAdmin, display
from tenants.admin.scoped import TenantScopedAdmin


@admin.register(LateEvent)
class LateEventAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Events that came after the grace of their window: kept in the log, not scored."""

    list_display = ["event", "window_key", "tenant_id", "user_id", "occurred", "received", "late"]
    list_filter = ["tenant"]
    list_select_related = ["window", "window__board"]
    list_per_page = 50
    paginator = InfinitePaginator
    ordering = ["-pk"]
    actions = None

    @display(description="Event")
    def event(self, late: LateEvent) -> str:
        return late.event_id

    @display(description="Window", header=True)
    def window_key(self, late: LateEvent) -> list[str]:
        return [late.window.key, late.window.board.name]

    @display(description="Occurred (UTC)")
    def occurred(self, late: LateEvent) -> str:
        return f"{late.occurred_at:%d %b %Y, %H:%M:%S}"

    @display(description="Received (UTC)")
    def received(self, late: LateEvent) -> str:
        return f"{late.received_at:%d %b %Y, %H:%M:%S}"

    @display(description="Too late by")
    def late(self, late: LateEvent) -> str:
        due_at = late.window.due_at
        return "-" if due_at is None else length_of(late.received_at - due_at)
