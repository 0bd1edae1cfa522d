"""Streaks: the form in fields, the windows to come, and what can be done to a streak."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

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
from phoenix_site.common.zones import zone_names
from rewards.admin.streak_forms import StreakForm
from rewards.admin.streak_words import version_rows, window_rows, words_of_streak
from rewards.models import PlayerStreak, RewardConfig, RewardItem, Streak
from rewards.selectors import streaks as selectors
from rewards.services import streak_definitions as services
from rewards.types.streaks import PLAYER_ZONE
from tenants.admin.scoped import TenantScopedAdmin, in_scope, staff_actor

STATUS_COLORS: Final = {"active": "success", "paused": "warning", "archived": "danger"}
STATUS_LEADS: Final[Mapping[str, str]] = {
    "active": "From now on events count again; what came in meanwhile does not. Windows that the "
    "pause touched break no run.",
    "paused": "Nothing counts and no run breaks until the streak goes on. Players do not see it.",
    "archived": "This is final. Nothing counts any more; what players reached stays.",
}
STATUS_VERBS: Final = {"active": "Resume", "paused": "Pause", "archived": "Archive"}
STATUS_DONE: Final = {"active": "Resumed", "paused": "Paused", "archived": "Archived"}


@admin.register(Streak)
class StreakAdmin(TenantScopedAdmin):
    """The streaks of a tenant; every change goes through the service that the API uses."""

    form = StreakForm
    is_audited_by_service = True
    list_display = ["streak", "tenant_id", "counts", "gives", "running", "state", "version"]
    list_filter = ["status", "tenant"]
    search_fields = ["name", "description"]
    ordering = ["tenant_id", "name"]
    show_full_result_count = False
    warn_unsaved_form = True
    actions = ["pause_selected", "resume_selected", "archive_selected"]
    actions_detail = ["players", "windows", "versions", "pause", "resume", "archive"]
    change_form_template = "phoenix/admin/streak_form.html"
    conditional_fields = {
        "field": "measure != 'count'",
        "timezone": "period != 'rolling'",
        "reset_weekday": "period == 'weekly'",
        "reset_monthday": "period == 'monthly'",
        "reset_time": "['daily', 'weekly', 'monthly'].includes(period)",
        "hours": "period == 'rolling'",
    }
    naming = (None, {"fields": [("tenant", "name"), "description"]})
    parts = (
        ("What counts", {"fields": ["event_types", "expression"]}),
        ("How much", {"fields": [("measure", "field", "minimum")]}),
        (
            "Windows",
            {
                "fields": [
                    ("period", "timezone", "hours"),
                    ("reset_weekday", "reset_monthday", "reset_time"),
                    ("at_risk_seconds", "late_seconds"),
                ]
            },
        ),
        ("Milestones", {"fields": ["milestones", "reward_config"]}),
        ("Freezes", {"fields": [("max_held", "per_break")]}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        running = Count("players", filter=Q(players__current_count__gt=0))
        rows: QuerySet[Any] = super().get_queryset(request).annotate(running_count=running)
        return rows

    def get_fieldsets(self, request: HttpRequest, obj: Streak | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            facts = ["summary", ("status", "version"), ("created_at", "updated_at")]
            return [(None, {"fields": [("tenant", "name"), "description", *facts]})]
        saving = (
            () if obj is None else (("This change", {"fields": ["reason", "expected_version"]}),)
        )
        return [self.naming, *self.parts, *saving]

    def get_readonly_fields(self, request: HttpRequest, obj: Streak | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return ["summary", "status", "version", "created_at", "updated_at"]
        return [] if obj is None else ["tenant"]

    def get_form(self, request: Any, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        names = StreakForm.Meta.fields
        kwargs["fields"] = [name for name in names if obj is None or name != "tenant"]
        form = super().get_form(request, obj, *args, **kwargs)
        items = in_scope(RewardItem.objects.filter(is_active=True), request, "tenant")
        configs = in_scope(RewardConfig.objects.filter(is_active=True), request, "tenant")
        configs = configs.filter(config_type=RewardConfig.ConfigType.STREAK)
        if obj is not None:
            items, configs = items.filter(tenant=obj.tenant), configs.filter(tenant=obj.tenant)
        form.items = items.order_by("name")
        form.configs = configs.order_by("name")
        return form

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_archived = isinstance(obj, Streak) and obj.status == Streak.Status.ARCHIVED
        return not is_archived and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Streaks are archived: what players reached stays known.
        return False

    def save_model(self, request: Any, obj: Streak, form: Any, change: Any) -> None:
        document, actor, now = form.document(), staff_actor(request), timezone.now()
        document["reason"] = form.cleaned_data.get("reason") or ""
        if change:
            document["version"] = form.cleaned_data.get("expected_version")
            saved = services.replace_streak(obj.tenant_id, obj.pk, document, actor=actor, now=now)
        else:
            tenant_id = form.cleaned_data["tenant"].pk
            saved = services.create_streak(tenant_id, document, actor=actor, now=now)
        obj.pk = saved.pk
        obj.refresh_from_db()

    # --- Pages -----------------------------------------------------------------------------------

    def get_streak(self, request: HttpRequest, object_id: str) -> Streak:
        """Return the streak that the person may see. Raises: ``Http404``."""
        found = self.get_object(request, object_id)
        if found is None or not self.has_view_permission(request, found):
            raise Http404
        return found  # type: ignore[no-any-return]

    @action(description="Players", permissions=["view"], icon="group")
    def players(self, request: HttpRequest, object_id: str) -> HttpResponse:
        streak = self.get_streak(request, object_id)
        url = reverse("admin:rewards_playerstreak_changelist")
        return redirect(f"{url}?streak__id__exact={streak.pk}")

    @action(description="Windows", permissions=["view"], icon="date_range")
    def windows(self, request: HttpRequest, object_id: str) -> HttpResponse:
        streak = self.get_streak(request, object_id)
        zone = request.GET.get("zone") or streak.tenant.timezone
        zone = zone if zone in zone_names() else "UTC"
        now = timezone.now()
        window = streak.config["window"]
        context = {
            **self.admin_site.each_context(request),
            "title": f"Windows of {streak.name}",
            "opts": self.opts,
            "streak": streak,
            "back_url": _streak_url(streak),
            "asks_zone": window.get("timezone") == PLAYER_ZONE,
            "zone": zone,
            "zones": sorted(zone_names()),
            "tables": window_rows(streak.config, zone, now=now),
        }
        return TemplateResponse(request, "phoenix/admin/streak_windows.html", context)

    @action(description="Versions", permissions=["view"], icon="history")
    def versions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        streak = self.get_streak(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Versions of {streak.name}",
            "opts": self.opts,
            "board": streak,
            "back_url": _streak_url(streak),
            "versions": version_rows(selectors.versions(streak.tenant_id, streak.pk)),
        }
        return TemplateResponse(request, "phoenix/admin/versions.html", context)

    # --- Status ----------------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        streak = self.get_object(request, object_id)
        unfit = {"pause", "resume", "archive"}
        if streak is not None and streak.status != Streak.Status.ARCHIVED:
            unfit = {"resume" if streak.status == Streak.Status.ACTIVE else "pause"}
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        found = super().get_actions_detail(request, object_id)
        return [each for each in found if each.action_name.removeprefix(prefix) not in unfit]

    @action(description="Pause", permissions=["change"], icon="pause")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._set_status_of(request, object_id, "paused")

    @action(description="Resume", permissions=["change"], icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._set_status_of(request, object_id, "active")

    @action(
        description="Archive", permissions=["change"], icon="archive", variant=ActionVariant.DANGER
    )
    def archive(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._set_status_of(request, object_id, "archived")

    @action(description="Pause selected streaks", permissions=["change"])
    def pause_selected(self, request: Any, queryset: QuerySet[Streak]) -> Any:
        return self._confirm_status(request, list(queryset), "paused")

    @action(description="Resume selected streaks", permissions=["change"])
    def resume_selected(self, request: Any, queryset: QuerySet[Streak]) -> Any:
        return self._confirm_status(request, list(queryset), "active")

    @action(description="Archive selected streaks", permissions=["change"])
    def archive_selected(self, request: Any, queryset: QuerySet[Streak]) -> Any:
        return self._confirm_status(request, list(queryset), "archived")

    def _set_status_of(self, request: HttpRequest, object_id: str, status: str) -> HttpResponse:
        streak = self.get_streak(request, object_id)
        if not self.has_change_permission(request, streak):
            raise Http404
        back = _streak_url(streak)
        return self._confirm_status(request, [streak], status, back_url=back) or redirect(back)

    def _confirm_status(
        self,
        request: HttpRequest,
        streaks: Sequence[Streak],
        status: str,
        *,
        back_url: str | None = None,
    ) -> HttpResponse | None:
        """Ask, then set the status of each streak; ``None`` when that is done."""
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            for streak in streaks:
                self._set_status(request, streak, status, form.cleaned_data["reason"])
            return None
        return confirmation_page(
            self,
            request,
            _status_confirmation(streaks, status),
            back_url=back_url or reverse("admin:rewards_streak_changelist"),
            form=form,
            selected=[] if back_url else [streak.pk for streak in streaks],
        )

    def _set_status(self, request: HttpRequest, streak: Streak, status: str, reason: str) -> None:
        try:
            services.set_status(
                streak.tenant_id,
                streak.pk,
                status,
                actor=staff_actor(request),
                now=timezone.now(),
                reason=reason,
            )
        except DomainError as exc:
            say_refusal(self, request, streak, exc)
        else:
            text = f"{STATUS_DONE[status]} {streak.name}."
            self.message_user(request, text, messages.SUCCESS)

    # --- Columns ---------------------------------------------------------------------------------

    @display(description="Streak", ordering="name", header=True)
    def streak(self, streak: Streak) -> list[str]:
        return [streak.name, streak.description[:80]]

    @display(description="Counts")
    def counts(self, streak: Streak) -> str:
        return words_of_streak(streak.config)

    @display(description="Gives at")
    def gives(self, streak: Streak) -> str:
        own = [str(each["threshold"]) for each in streak.config["milestones"]]
        config = ["a reward config"] if streak.config["reward_config_id"] else []
        return ", ".join([*own, *config]) or "-"

    @display(description="Players running", ordering="running_count")
    def running(self, streak: Any) -> int:
        return int(streak.running_count)

    @display(description="Status", ordering="status", label=STATUS_COLORS)
    def state(self, streak: Streak) -> tuple[str, str]:
        return streak.status, streak.get_status_display()

    @display(description="What it counts")
    def summary(self, streak: Streak) -> str:
        return words_of_streak(streak.config)


def _streak_url(streak: Streak) -> str:
    return reverse("admin:rewards_streak_change", args=[streak.pk])


def _status_confirmation(streaks: Sequence[Streak], status: str) -> Confirmation:
    verb = STATUS_VERBS[status]
    title = f"{verb} {streaks[0].name}" if len(streaks) == 1 else f"{verb} {len(streaks)} streaks"
    runs = PlayerStreak.objects.filter(streak__in=streaks, current_count__gt=0)
    counts = dict(runs.values_list("streak").annotate(count=Count("pk")))
    return Confirmation(
        title=title,
        lead=STATUS_LEADS[status],
        submit=verb,
        heads=["Streak", "Tenant", "Status now", "Players with a run"],
        rows=[
            [each.name, each.tenant_id, each.get_status_display(), counts.get(each.pk, 0)]
            for each in streaks
        ],
        is_dangerous=status == "archived",
    )
