"""Boards: a form in fields with what it means beside it, and what can be done to a board."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html

from leaderboards.admin import meaning
from leaderboards.admin.forms import BoardForm, label_of, timezone_names
from leaderboards.admin.versions import version_rows
from leaderboards.models import Leaderboard, Window
from leaderboards.rules.configuration import parse_config
from leaderboards.selectors import activity
from leaderboards.selectors import boards as selectors
from leaderboards.selectors import windows as window_selectors
from leaderboards.services import boards as services
from leaderboards.services.boards import BoardChange
from leaderboards.types import BoardStatus
from phoenix_site.common.admin import (
    ActionVariant,
    Confirmation,
    ReasonForm,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.http import json_response
from phoenix_site.common.json_fields import pretty
from rewards.selectors import items as rewards
from tenants.admin.scoped import TenantScopedAdmin, staff_actor, visible_tenant_ids

_REFUSAL: Final = "_phoenix_board_refusal"
STATUS_COLORS: Final = {"active": "success", "inactive": "warning", "archived": "danger"}
# What each status means for events, readers and windows (LB-5).
STATUS_LEADS: Final[dict[BoardStatus, str]] = {
    "active": "From now on events count again. What came in while the board was inactive does not.",
    "inactive": "Events that come in from now on will never count. Players see the board no more; "
    "its windows go on by the clock.",
    "archived": "This is final. The open window becomes void: no final standings, no prizes. "
    "Closed windows stay readable.",
}
STATUS_VERBS: Final[dict[BoardStatus, str]] = {
    "active": "Activate",
    "inactive": "Deactivate",
    "archived": "Archive",
}


@admin.register(Leaderboard)
class LeaderboardAdmin(TenantScopedAdmin):
    """The boards of a tenant; every change goes through the service that the API uses."""

    form = BoardForm
    is_audited_by_service = True
    list_display = ["board", "tenant_id", "state", "window", "players", "version", "changed"]
    list_filter = ["status", "tenant"]
    list_per_page = 50
    search_fields = ["leaderboard_id", "name"]
    ordering = ["tenant_id", "leaderboard_id"]
    show_full_result_count = False
    warn_unsaved_form = True
    actions = ["activate_selected", "deactivate_selected", "archive_selected"]
    actions_detail = [
        "live_standings",
        "all_windows",
        "versions",
        {
            "title": "More",
            "items": [
                "verify",
                "rebuild_index",
                "rebuild_entries",
                "activate",
                "deactivate",
                "archive",
            ],
        },
    ]
    change_form_template = "phoenix/admin/board_form.html"
    conditional_fields = {
        "reset_weekday": "timeframe_type == 'weekly'",
        "reset_monthday": "timeframe_type == 'monthly'",
        "reset_time": "['daily', 'weekly', 'monthly'].includes(timeframe_type)",
        "start_at": "timeframe_type == 'custom'",
        "end_at": "timeframe_type == 'custom'",
        "grace_seconds": "timeframe_type != 'all_time'",
        "max_points_per_event": "aggregation != 'count'",
        "max_points_per_window": "aggregation == 'sum'",
        "snapshot_top": "snapshot_every_seconds != '0'",
        "config_json": "use_json",
    }
    fieldsets_of_rules = [
        (
            "What counts",
            {"fields": ["rules", "match", "scope"]},
        ),
        (
            "Score",
            {
                "fields": [
                    ("aggregation", "decimals"),
                    ("max_points_per_event", "max_points_per_window", "max_events_per_window"),
                ]
            },
        ),
        (
            "Windows",
            {
                "fields": [
                    ("timeframe_type", "timezone"),
                    ("reset_weekday", "reset_monthday", "reset_time"),
                    ("start_at", "end_at"),
                    "grace_seconds",
                ]
            },
        ),
        (
            "Ranking",
            {"fields": [("method", "tie_policy"), ("size", "min_score", "max_score")]},
        ),
        ("Prizes", {"fields": ["reward_config_id"]}),
        ("Snapshots", {"fields": [("snapshot_every_seconds", "snapshot_top")]}),
        (
            "Document",
            {"fields": ["use_json", "config_json"]},
        ),
    ]

    # --- Pages ---------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("meaning/", view(self.meaning_view), name="leaderboards_leaderboard_meaning"),
            path(
                "<path:object_id>/meaning/",
                view(self.meaning_view),
                name="leaderboards_leaderboard_meaning_of",
            ),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Leaderboard | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            names = [("tenant", "leaderboard_id"), "name", "description"]
            facts = [("status", "version"), ("created_at", "updated_at")]
            return [(None, {"fields": [*names, *facts]}), ("Document", {"fields": ["config_text"]})]
        naming: list[Any] = [("tenant", "leaderboard_id"), "name", "description"]
        if obj is None:
            return [(None, {"fields": naming}), *self.fieldsets_of_rules]
        saving = {"fields": ["recompute", "reason", "expected_version"]}
        return [(None, {"fields": naming}), *self.fieldsets_of_rules, ("This change", saving)]

    def get_readonly_fields(self, request: HttpRequest, obj: Leaderboard | None = None) -> Any:
        return [] if obj is None else ["tenant", "leaderboard_id"]

    def get_form(self, request: Any, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        kwargs["fields"] = BoardForm.Meta.fields
        form = super().get_form(request, obj, *args, **kwargs)
        form.refusal = getattr(request, _REFUSAL, None)
        form.prizes = self._prizes(request, obj)
        return form

    def _prizes(self, request: HttpRequest, board: Leaderboard | None) -> list[tuple[str, str]]:
        """Return the reward configs to choose from, with their tenants where there are several."""
        seen = visible_tenant_ids(request) if board is None else {board.tenant_id}
        chosen = board.reward_config_id if board is not None else None
        configs = rewards.board_configs_across_tenants(seen, also=chosen)
        has_several = len({each.tenant_id for each in configs}) > 1
        return [
            (each.id_text, f"{each.name} ({each.tenant_id})" if has_several else each.name)
            for each in configs
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_archived = isinstance(obj, Leaderboard) and obj.status == Leaderboard.Status.ARCHIVED
        return not is_archived and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Boards are archived: their windows and what they gave stay.
        return False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        boards = list(page.result_list)
        windows = activity.current_windows([board.pk for board in boards], now=timezone.now())
        counts = activity.player_counts(windows.values())
        for board in boards:
            board.open_window = windows.get(board.pk)
            board.player_count = counts.get(board.open_window.pk) if board.open_window else None
        page.result_list = boards
        return page

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        context = {
            "timezone_names": timezone_names(),
            "show_save_and_add_another": False,
            # The versions and the audit log say more.
            "show_history": False,
            "meaning_url": self._meaning_url(object_id),
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def answer_refusal(
        self, request: HttpRequest, error: DomainError, *args: Any, **kwargs: Any
    ) -> Any:
        # Nothing was saved: the form is shown again, filled in, with what the service said.
        setattr(request, _REFUSAL, error)
        return super().changeform_view(request, *args, **kwargs)

    def _meaning_url(self, object_id: str | None) -> str:
        if object_id is None:
            return reverse("admin:leaderboards_leaderboard_meaning")
        return reverse("admin:leaderboards_leaderboard_meaning_of", args=[object_id])

    def save_model(self, request: Any, obj: Leaderboard, form: Any, change: Any) -> None:
        fields = {
            "name": form.cleaned_data["name"],
            "description": form.cleaned_data["description"],
            "reward_config_id": form.cleaned_data["reward_config_id"] or None,
            "config": form.document,
        }
        if change:
            saved = self._change_board(request, obj, form, fields)
        else:
            saved = services.create_board(
                form.cleaned_data["tenant"].pk,
                {"leaderboard_id": form.cleaned_data["leaderboard_id"], **fields},
                actor=staff_actor(request),
                now=timezone.now(),
            )
        obj.pk = saved.pk
        obj.refresh_from_db()

    def _change_board(
        self, request: HttpRequest, board: Leaderboard, form: Any, fields: Mapping[str, Any]
    ) -> Leaderboard:
        wanted = BoardChange(
            lambda present: {**present, **fields},
            recompute=form.cleaned_data["recompute"],
            expected_version=form.cleaned_data["expected_version"],
            reason=form.cleaned_data["reason"],
        )
        return services.change_board(
            board.tenant_id,
            board.leaderboard_id,
            wanted,
            actor=staff_actor(request),
            now=timezone.now(),
        )

    def get_board(self, request: HttpRequest, object_id: str) -> Leaderboard:
        """Return the board if the person may see it. Raises: ``Http404``."""
        board: Leaderboard | None = self.get_object(request, object_id)
        if board is None or not self.has_view_permission(request, board):
            raise Http404
        return board

    # --- What the form means -------------------------------------------------------------------

    def meaning_view(self, request: HttpRequest, object_id: str | None = None) -> HttpResponse:
        """Answer what the form as it stands would do; nothing is saved."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        board = None if object_id is None else self.get_board(request, object_id)
        if board is None and not self.has_add_permission(request):
            raise PermissionDenied
        form = self.get_form(request, board, change=board is not None)(request.POST, instance=board)
        form.full_clean()
        now = timezone.now()
        tenant_id = _tenant_of(form, board)
        trial = meaning.trial_of(form.document, tenant_id)
        return json_response(
            {
                "json": pretty(form.document),
                "missing": _missing_in(form),
                "faults": _faults_of(form),
                "windows": meaning.next_windows(form.document, now),
                "timezone": form.cleaned_data.get("timezone") or "UTC",
                "trial": trial,
                "ties": meaning.worked_ties(form.document),
                "effect": [] if board is None else self._effect_of(board, form),
            }
        )

    def _effect_of(self, board: Leaderboard, form: BoardForm) -> list[str]:
        now = timezone.now()
        window = activity.current_windows([board.pk], now=now).get(board.pk)
        return meaning.effect_of(
            parse_config(board.config),
            form.document,
            now=now,
            has_entries=window is not None and window_selectors.has_entries(window.pk),
            is_recompute=form.cleaned_data.get("recompute", False),
            name_of=label_of,
        )

    # --- The list ------------------------------------------------------------------------------

    @display(description="Board", ordering="name", header=True)
    def board(self, board: Leaderboard) -> list[str]:
        return [board.name, board.leaderboard_id]

    @display(description="Status", ordering="status", label=STATUS_COLORS)
    def state(self, board: Leaderboard) -> tuple[str, str]:
        return board.status, board.get_status_display()

    @display(description="Window", header=True)
    def window(self, board: Any) -> list[str]:
        window: Window | None = board.open_window
        if window is None:
            return ["-", ""]
        return [window.key, _ends(window)]

    @display(description="Players")
    def players(self, board: Any) -> str:
        if board.player_count is None:
            return "-"
        url = reverse("admin:leaderboards_window_standings", args=[board.open_window.pk])
        return format_html('<a class="text-link" href="{}">{}</a>', url, str(board.player_count))

    @display(description="Last change", ordering="updated_at")
    def changed(self, board: Leaderboard) -> str:
        return f"{board.updated_at:%d %b %Y, %H:%M}"

    @display(description="Config")
    def config_text(self, board: Leaderboard) -> str:
        return format_html('<pre class="phoenix-json">{}</pre>', pretty(board.config))

    # --- Ways to other pages -------------------------------------------------------------------

    @action(description="Live standings", permissions=["view"], icon="leaderboard")
    def live_standings(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._go_to_window(request, object_id, "standings")

    @action(description="Windows", permissions=["view"], icon="date_range")
    def all_windows(self, request: HttpRequest, object_id: str) -> HttpResponse:
        board = self.get_board(request, object_id)
        url = reverse("admin:leaderboards_window_changelist")
        return redirect(f"{url}?board__id__exact={board.pk}")

    @action(description="Versions", permissions=["view"], icon="history")
    def versions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        board = self.get_board(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Versions of {board.name}",
            "opts": self.opts,
            "board": board,
            "back_url": _board_url(board),
            "versions": version_rows(selectors.versions_of(board)),
        }
        return TemplateResponse(request, "phoenix/admin/versions.html", context)

    # --- Actions on one board ------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        board = self.get_object(request, object_id)
        unfit = _unfit_actions(board)
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        found = super().get_actions_detail(request, object_id)
        return [each for each in found if each.action_name.removeprefix(prefix) not in unfit]

    @action(description="Activate", permissions=["change"], icon="play_arrow")
    def activate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._set_status_of(request, object_id, "active")

    @action(description="Deactivate", permissions=["change"], icon="pause")
    def deactivate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._set_status_of(request, object_id, "inactive")

    @action(
        description="Archive",
        permissions=["change"],
        icon="archive",
        variant=ActionVariant.DANGER,
    )
    def archive(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._set_status_of(request, object_id, "archived")

    @action(description="Verify", permissions=["view"], icon="verified")
    def verify(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._go_to_window(request, object_id, "verify")

    @action(description="Rebuild index", permissions=["change"], icon="refresh")
    def rebuild_index(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._go_to_window(request, object_id, "rebuild_index")

    @action(description="Rebuild open window", permissions=["change"], icon="restart_alt")
    def rebuild_entries(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._go_to_window(request, object_id, "rebuild_entries")

    def _go_to_window(self, request: HttpRequest, object_id: str, page: str) -> HttpResponse:
        """Go to a page of the board's open window, or of its latest one."""
        board = self.get_board(request, object_id)
        window = activity.current_windows([board.pk], now=timezone.now()).get(board.pk)
        shown = window or window_selectors.last_window(board.pk)
        if shown is None:
            self.message_user(request, "The board has no window yet.", messages.WARNING)
            return redirect(_board_url(board))
        return redirect(f"admin:leaderboards_window_{page}", shown.pk)

    def _get_changeable(self, request: HttpRequest, object_id: str) -> Leaderboard:
        board = self.get_board(request, object_id)
        if not self.has_change_permission(request, board):
            raise PermissionDenied
        return board

    def _set_status_of(
        self, request: HttpRequest, object_id: str, status: BoardStatus
    ) -> HttpResponse:
        board = self._get_changeable(request, object_id)
        answer = self._confirm_status(request, [board], status, back_url=_board_url(board))
        return answer or redirect(_board_url(board))

    # --- Actions on several --------------------------------------------------------------------

    @action(description="Activate selected boards", permissions=["change"])
    def activate_selected(self, request: Any, queryset: QuerySet[Leaderboard]) -> Any:
        return self._confirm_status(request, list(queryset), "active")

    @action(description="Deactivate selected boards", permissions=["change"])
    def deactivate_selected(self, request: Any, queryset: QuerySet[Leaderboard]) -> Any:
        return self._confirm_status(request, list(queryset), "inactive")

    @action(description="Archive selected boards", permissions=["change"])
    def archive_selected(self, request: Any, queryset: QuerySet[Leaderboard]) -> Any:
        return self._confirm_status(request, list(queryset), "archived")

    def _confirm_status(
        self,
        request: HttpRequest,
        boards: Sequence[Leaderboard],
        status: BoardStatus,
        *,
        back_url: str | None = None,
    ) -> HttpResponse | None:
        """Ask, then set the status of each board; ``None`` when that is done."""
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            for board in boards:
                self._set_status(request, board, status, form.cleaned_data["reason"])
            return None
        return confirmation_page(
            self,
            request,
            _status_confirmation(boards, status),
            back_url=back_url or reverse("admin:leaderboards_leaderboard_changelist"),
            form=form,
            selected=[] if back_url else [board.pk for board in boards],
        )

    def _set_status(
        self, request: HttpRequest, board: Leaderboard, status: BoardStatus, reason: str
    ) -> None:
        # With the fields as they are.
        change = BoardChange(dict, status=status, reason=reason)
        try:
            services.change_board(
                board.tenant_id,
                board.leaderboard_id,
                change,
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, board, exc)
        else:
            verb = STATUS_VERBS[status]
            self.message_user(request, f"{verb}d {board.name}.", messages.SUCCESS)


def _status_confirmation(boards: Sequence[Leaderboard], status: BoardStatus) -> Confirmation:
    now = timezone.now()
    windows = activity.current_windows([board.pk for board in boards], now=now)
    counts = activity.player_counts(windows.values())
    verb = STATUS_VERBS[status]
    title = f"{verb} {boards[0].name}" if len(boards) == 1 else f"{verb} {len(boards)} boards"
    return Confirmation(
        title=title,
        lead=STATUS_LEADS[status],
        submit=verb,
        heads=["Board", "Tenant", "Status now", "Open window", "Players in it"],
        rows=[
            [
                board.name,
                board.tenant_id,
                board.get_status_display(),
                windows[board.pk].key if board.pk in windows else "-",
                counts[windows[board.pk].pk] if board.pk in windows else "-",
            ]
            for board in boards
        ],
        is_dangerous=status == "archived",
    )


def _unfit_actions(board: Leaderboard | None) -> frozenset[str]:
    """Return the actions that make no sense for the board as it is."""
    if board is None or board.status == Leaderboard.Status.ARCHIVED:
        return frozenset({"activate", "deactivate", "archive", "rebuild_index", "rebuild_entries"})
    return frozenset({"activate" if board.status == Leaderboard.Status.ACTIVE else "deactivate"})


def _tenant_of(form: BoardForm, board: Leaderboard | None) -> str | None:
    if board is not None:
        return board.tenant_id
    tenant = form.cleaned_data.get("tenant")
    return None if tenant is None else str(tenant.pk)


def _missing_in(form: BoardForm) -> list[str]:
    """Return the labels of what is still to be filled in: no mistake yet."""
    return [
        str(form.fields[name].label) for name in form.errors if form.has_error(name, "required")
    ]


def _faults_of(form: BoardForm) -> list[str]:
    return [
        f"{form.fields[name].label}: {fault}" if name in form.fields else str(fault)
        for name, faults in form.errors.items()
        if not form.has_error(name, "required")
        for fault in faults
    ]


def _ends(window: Window) -> str:
    return "never ends" if window.ends_at is None else f"to {window.ends_at:%d %b, %H:%M} UTC"


def _board_url(board: Leaderboard) -> str:
    return reverse("admin:leaderboards_leaderboard_change", args=[board.pk])
