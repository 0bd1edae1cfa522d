"""Windows: which are open, due or late, and the standings of each."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html

from leaderboards.admin.meaning import length_of
from leaderboards.admin.window_actions import WindowActions
from leaderboards.models import Window
from leaderboards.rules.ranking import percentile
from leaderboards.rules.scores import from_scaled
from leaderboards.selectors import activity, standings
from leaderboards.selectors import boards as board_selectors
from leaderboards.selectors.explanations import explain_entry
from leaderboards.types import BoardView, Standing
from phoenix_site.common.admin import ReadOnlyAdmin, action, display
from tenants.admin.scoped import TenantScopedAdmin

STATE_COLORS: Final = {
    "open": "success",
    "closing": "warning",
    "closed": "info",
    "void": "danger",
}
ROWS_PER_PAGE: Final = 50
EXPLAINED_EVENTS: Final = 50
# A window waits for scoring a moment; after this long somebody should look.
LATE_AFTER: Final = timedelta(minutes=1)


class TimelinessFilter(admin.SimpleListFilter):
    """Windows by what the clock asks of them."""

    title = "when"
    parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [("current", "Current"), ("due", "Due, not closed"), ("late", "Late")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Window]) -> QuerySet[Window]:
        now = timezone.now()
        unclosed = queryset.filter(state__in=[Window.State.OPEN, Window.State.CLOSING])
        if self.value() == "current":
            return unclosed.filter(starts_at__lte=now).exclude(ends_at__lte=now)
        if self.value() == "due":
            return unclosed.filter(due_at__lte=now)
        if self.value() == "late":
            return unclosed.filter(due_at__lte=now - LATE_AFTER)
        return queryset


@admin.register(Window)
class WindowAdmin(WindowActions, ReadOnlyAdmin, TenantScopedAdmin):
    """Windows are opened and closed by the clock; people look at them."""

    list_display = ["window", "state_label", "tenant_id", "begins", "ends", "timing", "players"]
    list_filter = ["state", TimelinessFilter, "tenant"]
    list_select_related = ["board"]
    list_per_page = 50
    search_fields = ["key", "board__leaderboard_id", "board__name"]
    search_help_text = "A window key, or a board's id or name"
    ordering = ["-starts_at", "-pk"]
    actions = None
    actions_detail = [
        "standings_of",
        "board_of",
        {
            "title": "More",
            "items": [
                "late_events_of",
                "snapshots_of",
                "verify",
                "rebuild_index",
                "rebuild_entries",
            ],
        },
    ]
    fieldsets = [
        (None, {"fields": [("board_name", "tenant"), ("key", "state_text")]}),
        ("Time", {"fields": [("begins", "ends"), ("due", "closed_at"), "timing"]}),
        (
            "Result",
            {
                "fields": [
                    ("player_text", "entry_count"),
                    ("version_number", "revision"),
                    "hash",
                    "previous_hash",
                ]
            },
        ),
    ]

    def get_urls(self) -> list[Any]:
        standings_view = self.admin_site.admin_view(self.standings_view)
        return [
            path(
                "<path:object_id>/standings/", standings_view, name="leaderboards_window_standings"
            ),
            *super().get_urls(),
        ]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        windows = list(page.result_list)
        counts = activity.player_counts(windows)
        for window in windows:
            window.player_count = counts[window.pk]
        page.result_list = windows
        return page

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra: Any = None
    ) -> Any:
        # Nobody changes a window by hand, so there is no history of that.
        return super().changeform_view(
            request, object_id, form_url, {"show_history": False, **(extra or {})}
        )

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        window: Window | None = self.get_object(request, object_id)
        found: list[Any] = super().get_actions_detail(request, object_id)
        if window is not None and window.is_scored:
            return found
        return [each for each in found if "rebuild_" not in each.action_name]

    # --- Columns and facts ---------------------------------------------------------------------

    @display(description="Window", ordering="key", header=True)
    def window(self, window: Window) -> list[str]:
        return [window.key, window.board.name]

    @display(description="Board")
    def board_name(self, window: Window) -> str:
        url = reverse("admin:leaderboards_leaderboard_change", args=[window.board_id])
        return format_html('<a class="text-link" href="{}">{}</a>', url, window.board)

    @display(description="State", ordering="state", label=STATE_COLORS)
    def state_label(self, window: Window) -> tuple[str, str]:
        state = Window.State(window.state_at(timezone.now()))
        return state.value, str(state.label)

    @display(description="State")
    def state_text(self, window: Window) -> str:
        return str(Window.State(window.state_at(timezone.now())).label)

    @display(description="Players")
    def player_text(self, window: Window) -> str:
        return str(activity.player_counts([window])[window.pk])

    @display(description="Begins (UTC)", ordering="starts_at")
    def begins(self, window: Window) -> str:
        return _moment(window.starts_at)

    @display(description="Ends (UTC)", ordering="ends_at")
    def ends(self, window: Window) -> str:
        return _moment(window.ends_at)

    @display(description="Due (UTC)", ordering="due_at")
    def due(self, window: Window) -> str:
        return _moment(window.due_at)

    @display(description="Closing")
    def timing(self, window: Window) -> str:
        return timing_of(window, timezone.now())

    @display(description="Players")
    def players(self, window: Any) -> str:
        url = reverse("admin:leaderboards_window_standings", args=[window.pk])
        return format_html('<a class="text-link" href="{}">{}</a>', url, str(window.player_count))

    # --- Ways to other pages -------------------------------------------------------------------

    @action(description="Standings", permissions=["view"], icon="leaderboard")
    def standings_of(self, request: HttpRequest, object_id: str) -> HttpResponse:
        window = self.get_window(request, object_id)
        return redirect("admin:leaderboards_window_standings", window.pk)

    @action(description="Board", permissions=["view"], icon="emoji_events")
    def board_of(self, request: HttpRequest, object_id: str) -> HttpResponse:
        window = self.get_window(request, object_id)
        return redirect("admin:leaderboards_leaderboard_change", window.board_id)

    @action(description="Late events", permissions=["view"], icon="schedule")
    def late_events_of(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._redirect_to_rows(request, object_id, "lateevent")

    @action(description="Snapshots", permissions=["view"], icon="photo_camera")
    def snapshots_of(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._redirect_to_rows(request, object_id, "snapshot")

    def _redirect_to_rows(self, request: HttpRequest, object_id: str, model: str) -> HttpResponse:
        window = self.get_window(request, object_id)
        url = reverse(f"admin:leaderboards_{model}_changelist")
        return redirect(f"{url}?window__id__exact={window.pk}")

    def get_window(self, request: HttpRequest, object_id: str) -> Window:
        """Return the window if the person may see it. Raises: ``Http404``."""
        window: Window | None = self.get_object(request, object_id)
        if window is None or not self.has_view_permission(request, window):
            raise Http404
        return window

    # --- Standings -----------------------------------------------------------------------------

    def standings_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the standings as players see them, page by page, or one player among neighbors."""
        window = self.get_window(request, object_id)
        board = window.board
        view = board_selectors.view_of(window, board)
        decimals = board_selectors.config_of_version(board.pk, window.version_number)
        player = request.GET.get("player", "").strip()
        shown = _ShownStandings(window, view, decimals.scoring.decimals)
        context = {
            **self.admin_site.each_context(request),
            "title": board.name,
            "subtitle": window.key,
            "opts": self.opts,
            "window": window,
            "board": board,
            "timing": timing_of(window, timezone.now()),
            "state": Window.State(window.state_at(timezone.now())),
            "player": player,
            "is_live": window.is_scored,
            "as_of": timezone.now(),
            **(shown.around(player) if player else shown.page(_page_number(request))),
        }
        # The part that a page asks for again and again while it is open.
        is_part = "part" in request.GET
        template = "standings_rows" if is_part else "standings"
        if player and not is_part:
            context["events"] = explain_entry(window, player)[-EXPLAINED_EVENTS:][::-1]
        return TemplateResponse(request, f"phoenix/admin/{template}.html", context)


class _ShownStandings:
    """Reads standings for the page and turns scores into text."""

    def __init__(self, window: Window, view: BoardView, decimals: int) -> None:
        self._window = window
        self._view = view
        self._decimals = decimals

    def page(self, number: int) -> dict[str, Any]:
        offset = (number - 1) * ROWS_PER_PAGE
        page = standings.top(self._window, self._view, limit=ROWS_PER_PAGE, offset=offset)
        last = max(1, -(-page.total // ROWS_PER_PAGE))
        return {
            "rows": [self._row(each) for each in page.standings],
            "total": page.total,
            "total_players": page.total_players,
            "number": number,
            "last": last,
            "previous_number": number - 1 if number > 1 else None,
            "next_number": number + 1 if number < last else None,
        }

    def around(self, player: str) -> dict[str, Any]:
        found = standings.neighborhood(self._window, self._view, player, limit=11)
        if found is None:
            total = standings.totals(self._window, self._view)
            return {"rows": [], "total": total.total, "total_players": total.total_players}
        own = found.player
        below = percentile(own.below_count, own.total_players) if own.rank else None
        return {
            "rows": [self._row(each) for each in found.page.standings],
            "total": own.total,
            "total_players": own.total_players,
            "own": own,
            "own_score": self._score(own.score),
            "own_percentile": below,
        }

    def _score(self, scaled: int) -> str:
        return f"{from_scaled(scaled, self._decimals):,f}"

    def _row(self, standing: Standing) -> dict[str, Any]:
        return {
            "rank": standing.rank,
            "player": standing.external_id,
            "score": self._score(standing.score),
            "reached_at": standing.reached_at,
        }


def timing_of(window: Window, now: datetime) -> str:
    """Return how the window stands to the clock: due when, waiting, how late, closed how late."""
    if window.state == Window.State.VOID:
        return "Void: the board was archived"
    if window.due_at is None:
        return "Never closes"
    if window.closed_at is not None:
        return f"Closed {length_of(window.closed_at - window.due_at)} after it was due"
    if now < window.due_at:
        return f"Due in {length_of(window.due_at - now)}"
    behind = now - window.due_at
    if behind < LATE_AFTER:
        return "Due: waits for scoring to pass its end"
    return f"Late by {length_of(behind)}"


def _moment(value: datetime | None) -> str:
    return "never" if value is None else f"{value:%d %b %Y, %H:%M}"


def _page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1
