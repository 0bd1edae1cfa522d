"""Snapshots: the first rows of a board as they were at one instant."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from leaderboards.models import Snapshot
from leaderboards.rules.scores import format_scaled
from leaderboards.selectors import boards as board_selectors
from phoenix_site.common.admin import InfinitePaginator, ReadOnlyAdmin, display
from tenants.admin.scoped import TenantScopedAdmin

_ROW = "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Taken by the clock; a final one is the closed window itself."""

    tenant_field = "board__tenant"
    list_display = ["taken", "kind", "board_name", "window_key", "entry_count", "total_players"]
    list_filter = ["is_final", "board__tenant"]
    list_select_related = ["board", "window"]
    list_per_page = 50
    paginator = InfinitePaginator
    search_fields = ["board__leaderboard_id__exact", "window__key__exact"]
    search_help_text = "A board's id or a window's key, exactly"
    ordering = ["-pk"]
    actions = None
    fieldsets = [
        (None, {"fields": [("board_name", "window_key"), ("taken", "kind")]}),
        ("Content", {"fields": [("entry_count", "total_players"), "hash", "standings"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Snapshot]:
        found: QuerySet[Snapshot] = super().get_queryset(request)
        # A list of fifty would read five thousand standings to show none of them.
        is_list = request.resolver_match and str(request.resolver_match.url_name).endswith("list")
        return found.defer("rows") if is_list else found

    @display(description="Taken (UTC)", ordering="pk")
    def taken(self, snapshot: Snapshot) -> str:
        return f"{snapshot.taken_at:%d %b %Y, %H:%M:%S}"

    @display(description="Kind", ordering="is_final", label={"final": "info", "interim": None})
    def kind(self, snapshot: Snapshot) -> tuple[str, str]:
        return ("final", "Final") if snapshot.is_final else ("interim", "Interim")

    @display(description="Board")
    def board_name(self, snapshot: Snapshot) -> str:
        return snapshot.board.name

    @display(description="Window")
    def window_key(self, snapshot: Snapshot) -> str:
        return snapshot.window.key

    @display(description="Standings")
    def standings(self, snapshot: Snapshot) -> SafeString:
        if snapshot.is_final:
            url = reverse("admin:leaderboards_window_standings", args=[snapshot.window_id])
            link = '<a class="text-link" href="{}">The standings of the closed window</a>'
            return format_html(link, url)
        return self._table(snapshot)

    def _table(self, snapshot: Snapshot) -> SafeString:
        config = board_selectors.config_of_version(
            snapshot.board_id, snapshot.window.version_number
        )
        rows: Sequence[Sequence[Any]] = [
            (rank, user_id, format_scaled(score, config.scoring.decimals), reached_at)
            for rank, user_id, score, reached_at in snapshot.rows
        ]
        head = "<tr><th>Rank</th><th>Player</th><th>Score</th><th>Reached</th></tr>"
        body = format_html_join("", _ROW, rows)
        return format_html(
            '<table class="phoenix-table"><thead>{}</thead>{}</table>', _safe(head), body
        )


def _safe(markup: str) -> SafeString:
    # Constant text of this module.
    return SafeString(markup)
