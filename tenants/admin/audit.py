import json
from datetime import UTC
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from phoenix_site.common.admin import InfinitePaginator, display
from tenants.admin.scoped import TenantScopedAdmin
from tenants.models import AuditEntry

_KINDS = {"staff": "Staff", "api_key": "API key", "admin_jwt": "Admin token", "system": "Phoenix"}


class ActionFilter(admin.SimpleListFilter):
    """Kinds of objects, as the part of an action before its point."""

    title = "about"
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = (
            *("tenant", "membership", "credential", "delivery", "staff", "user"),
            *("leaderboard", "quarantine"),
        )
        return [(name, name.capitalize()) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(action__startswith=f"{self.value()}.") if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(TenantScopedAdmin):
    """Who changed what, newest first. Nobody edits it, the database included."""

    is_audited_by_service = True
    paginator = InfinitePaginator
    show_full_result_count = False
    list_display = ["time_text", "action", "object_text", "actor_text", "tenant_id", "address"]
    list_filter = [ActionFilter, "actor_kind", "tenant", "at"]
    search_fields = ["=object_id", "=request_id", "=actor_id"]
    search_help_text = "Id of an object, of a request, or staff:<number>, exactly"
    ordering = ["-at", "-id"]
    fieldsets = [
        (
            "What",
            {"fields": ["time_text", "action", "object_text", "object_id", "tenant", "reason"]},
        ),
        ("Change", {"fields": ["difference"]}),
        ("Who", {"fields": ["actor_text", "actor_id", "address", "request_id"]}),
    ]

    class Media:
        css = {"all": ["phoenix/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for _, part in self.fieldsets for name in part["fields"]]

    @display(description="time (UTC)", ordering="at")
    def time_text(self, entry: AuditEntry) -> str:
        return f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"

    @display(description="object")
    def object_text(self, entry: AuditEntry) -> str:
        return f"{entry.object_type} {entry.object_label or entry.object_id}".strip()

    @display(description="by")
    def actor_text(self, entry: AuditEntry) -> str:
        kind = _KINDS.get(entry.actor_kind, entry.actor_kind)
        return f"{entry.actor_label} ({kind})" if entry.actor_label != kind else kind

    @display(description="before and after")
    def difference(self, entry: AuditEntry) -> SafeString | str:
        names = sorted({*(entry.before or {}), *(entry.after or {})})
        if not names:
            return "-"
        rows = format_html_join(
            "",
            "<tr><th>{}</th><td>{}</td><td>{}</td></tr>",
            ((n, _text(entry.before, n), _text(entry.after, n)) for n in names),
        )
        return format_html(
            '<div class="phoenix-card"><table><thead><tr><th></th><th>before</th><th>after</th>'
            "</tr></thead><tbody>{}</tbody></table></div>",
            rows,
        )


def _text(values: dict[str, Any] | None, name: str) -> str:
    if values is None or name not in values:
        return "-"
    value = values[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
