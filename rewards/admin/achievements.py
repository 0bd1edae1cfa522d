"""Achievements: criteria in fields, counting anew with a preview, and giving by hand."""

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    Confirmation,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from rewards.admin.achievement_forms import (
    READ_BY_TYPE,
    AchievementForm,
    ApplyForm,
    GrantForm,
    PreviewForm,
)
from rewards.admin.history import history_table
from rewards.models import Achievement, AchievementProgress, RewardConfig
from rewards.rules.achievement_words import criteria_in_words
from rewards.selectors import achievements as selectors
from rewards.selectors import recounts
from rewards.services import achievement_recompute, achievement_staff
from rewards.services import achievements as services
from tenants.admin.scoped import TenantScopedAdmin, staff_actor, visible_tenant_ids

_STATES: Final = {True: "success", False: "danger"}
_HEADS: Final = ("Player", "Change", "Unlocks", "Counted")
_ITEM_NAMES: Final = """
SELECT string_agg(item.name, ', ' ORDER BY item.name) FROM rewards_rewarditem AS item
WHERE item.tenant_id = rewards_achievement.tenant_id
  AND rewards_achievement.reward_item_ids @> to_jsonb(item.id::text)
"""
_LINK: Final = '<a class="text-link" href="{}?achievement__id__exact={}">{}</a>'


@admin.register(Achievement)
class AchievementAdmin(TenantScopedAdmin):
    """The achievements of a tenant; every change goes through the service that the API uses."""

    form = AchievementForm
    is_audited_by_service = True
    list_display = ["achievement", "tenant_id", "takes", "gives", "traits", "state", "version"]
    list_filter = ["is_active", "is_repeatable", "is_hidden", "tenant"]
    list_select_related = ["reward_config"]
    list_per_page = 50
    search_fields = ["name"]
    search_help_text = "A part of the name"
    ordering = ["tenant_id", "sort", "created_at"]
    show_full_result_count = False
    warn_unsaved_form = True
    change_form_template = "phoenix/admin/achievement_form.html"
    actions = ["archive_selected"]
    actions_detail = ["preview_recompute", "apply_recompute", "grant_by_hand", "duplicate"]

    # --- The form ------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Achievement | None = None) -> Any:
        own = [
            (None, {"fields": ["tenant", "name", "description", "badge_url"]}),
            (
                "Unlocked by",
                {
                    "fields": [
                        *("type", "event_types", "conditions", "field", "metric", "streak_id"),
                        *("leaderboard_id", "rank", "threshold"),
                    ]
                },
            ),
            ("Gives", {"fields": ["reward_items", "reward_config"]}),
            (
                "How it behaves",
                {
                    "fields": [
                        *("is_repeatable", "is_hidden", "required_achievements"),
                        *("is_active", "sort"),
                    ]
                },
            ),
        ]
        if obj is None:
            return own
        saving = ("This change", {"fields": ["apply", "reason", "expected_version"]})
        is_editable = self.has_change_permission(request, obj)
        return [
            *own,
            *([saving] if is_editable else []),
            ("So far", {"fields": ["players", "last_preview"]}),
            ("Versions", {"fields": ["history"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Achievement | None = None) -> Any:
        return [] if obj is None else ["tenant", "players", "last_preview", "history"]

    def get_form(self, request: Any, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        fixed = self.get_readonly_fields(request, obj)
        kwargs["fields"] = [name for name in AchievementForm.Meta.fields if name not in fixed]
        made = super().get_form(request, obj, *args, **kwargs)
        seen = visible_tenant_ids(request)

        class OfferingForm(made):  # type: ignore[misc, valid-type]
            """The form with what this person may choose."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.offer(seen)

        return OfferingForm

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "reward_config":
            kind = RewardConfig.ConfigType.ACHIEVEMENT
            kwargs["queryset"] = RewardConfig.objects.filter(config_type=kind, is_active=True)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        context = {
            "show_save_and_add_another": False,
            "show_history": False,
            "read_by_type": READ_BY_TYPE,
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Achievements are archived: who unlocked what stays known.
        return False

    def save_model(self, request: Any, obj: Achievement, form: Any, change: Any) -> None:
        document, actor, now = form.document(), staff_actor(request), timezone.now()
        if change:
            saved = services.replace_achievement(
                obj.tenant_id, obj.pk, document, actor=actor, now=now
            )
        else:
            document.pop("version")
            tenant_id = form.cleaned_data["tenant"].pk
            saved = services.create_achievement(tenant_id, document, actor=actor, now=now)
        obj.pk = saved.pk
        obj.refresh_from_db()

    # --- Counting anew -------------------------------------------------------------------------

    @action(description="Preview a recount", permissions=["change"], icon="manage_search")
    def preview_recompute(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._get(request, object_id)
        form = PreviewForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            return self._ask_for_job(request, row, form.document())
        asked = Confirmation(
            title=f"Count {row.name} anew",
            lead="Tells who would gain and who would lose by the events that are stored, and what "
            "it would cost. Nothing is changed.",
            submit="Start the preview",
            facts=[("Unlocked by", criteria_in_words(row.measure))],
        )
        return confirmation_page(self, request, asked, back_url=_url(row), form=form)

    @action(description="Apply the recount", permissions=["change"], icon="published_with_changes")
    def apply_recompute(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._get(request, object_id)
        preview = recounts.newest_preview(row.pk, row.version)
        if preview is None:
            text = "Start a preview first, and wait until it is done."
            self.message_user(request, text, messages.WARNING)
            return redirect(_url(row))
        found = preview.result
        initial = {"result_hash": found["result_hash"]}
        form = ApplyForm(request.POST if is_confirmed(request) else None, initial=initial)
        if form.is_valid():
            return self._ask_for_job(request, row, form.document())
        asked = Confirmation(
            title=f"Apply the recount of {row.name}",
            lead="Gives what the preview told, once. If the result no longer holds when the job "
            "runs, it ends without a change.",
            submit="Apply",
            facts=[
                ("Players who gain", found["gain"]),
                ("Players who lose", found["lose"]),
                ("Unlocks", found["unlocks"]),
                ("Cost", found["cost"]),
                ("Counted (UTC)", f"{preview.finished_at:%d %b %Y, %H:%M:%S}"),
            ],
            heads=_HEADS,
            rows=[
                (line["user_id"], line["change"], line["unlocks"], line["progress"])
                for line in found["sample"]
            ],
            empty="Nobody gains or loses.",
            is_dangerous=True,
        )
        return confirmation_page(self, request, asked, back_url=_url(row), form=form)

    def _ask_for_job(
        self, request: HttpRequest, row: Achievement, document: dict[str, Any]
    ) -> HttpResponse:
        try:
            job = achievement_recompute.request_recompute(
                str(row.tenant_id), row.pk, document, actor=staff_actor(request), now=timezone.now()
            )
        except DomainError as exc:
            say_refusal(self, request, row, exc)
            return redirect(_url(row))
        return redirect(reverse("admin:rewards_job_change", args=[job.pk]))

    # --- By hand -------------------------------------------------------------------------------

    def has_grant_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may give and take achievements from who may only configure them."""
        return bool(request.user.has_perm("rewards.change_achievementprogress"))

    @action(description="Grant to a player", permissions=["grant"], icon="redeem")
    def grant_by_hand(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._get(request, object_id)
        form = GrantForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            asked = Confirmation(
                title=f"Grant {row.name}",
                lead="Unlocks the achievement for a player, whatever was counted, and gives what "
                "it gives.",
                submit="Grant",
                facts=[("Gives", self.gives(row))],
            )
            return confirmation_page(self, request, asked, back_url=_url(row), form=form)
        try:
            is_new = achievement_staff.grant_achievement(
                str(row.tenant_id),
                row.pk,
                user_id=form.cleaned_data["user_id"],
                reason=form.cleaned_data["reason"],
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, row, exc)
        else:
            text = "Granted." if is_new else "The player has it already; nothing was given."
            self.message_user(request, text, messages.SUCCESS if is_new else messages.WARNING)
        return redirect(_url(row))

    def has_copy_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may make achievements; the theme asks this with a key, Django's own without."""
        return bool(self.has_add_permission(request))

    @action(description="Duplicate", permissions=["copy"], icon="content_copy")
    def duplicate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._get(request, object_id)
        copied = services.duplicate_achievement(
            str(row.tenant_id),
            row.pk,
            {"active": False},
            actor=staff_actor(request),
            now=timezone.now(),
        )
        self.message_user(request, "This is the copy; it is not active yet.", messages.SUCCESS)
        return redirect(_url(copied))

    @admin.action(description="Archive selected achievements", permissions=["change"])
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[Achievement]) -> None:
        for row in queryset:
            try:
                services.archive_achievement(
                    str(row.tenant_id), row.pk, actor=staff_actor(request), now=timezone.now()
                )
            except DomainError as exc:
                say_refusal(self, request, row, exc)
            else:
                self.message_user(request, f"Archived {row}.", messages.SUCCESS)

    def _get(self, request: HttpRequest, object_id: str) -> Achievement:
        row: Achievement | None = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        return row

    # --- What is shown -------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # The ids of items are a list in the row, which no join follows.
        rows: QuerySet[Any] = super().get_queryset(request)
        named: QuerySet[Any] = rows.annotate(item_names=RawSQL(_ITEM_NAMES, ()))  # noqa: S611 - a constant
        return named

    @display(description="Achievement", ordering="name", header=True)
    def achievement(self, row: Achievement) -> list[str]:
        return [row.name, row.description[:80]]

    @display(description="Unlocked by")
    def takes(self, row: Achievement) -> str:
        return criteria_in_words(row.measure)

    @display(description="Gives")
    def gives(self, row: Any) -> str:
        names = [row.item_names] if row.item_names else []
        if row.reward_config is not None:
            names.append(f"by {row.reward_config.name}")
        return ", ".join(names) or "-"

    @display(description="")
    def traits(self, row: Achievement) -> str:
        named = {"repeatable": row.is_repeatable, "hidden": row.is_hidden}
        return ", ".join(name for name, is_so in named.items() if is_so) or "-"

    @display(description="Status", ordering="is_active", label=_STATES)
    def state(self, row: Achievement) -> tuple[bool, str]:
        return row.is_active, "Active" if row.is_active else "Archived"

    @display(description="Players")
    def players(self, row: Achievement) -> SafeString:
        begun = Count("pk")
        unlocked = Count("pk", filter=Q(times__gt=0))
        counts = AchievementProgress.objects.filter(achievement=row).aggregate(
            begun=begun, unlocked=unlocked
        )
        text = f"{counts['unlocked']:,} unlocked it, {counts['begun']:,} have begun"
        url = reverse("admin:rewards_achievementprogress_changelist")
        return format_html(_LINK, url, row.pk, text)

    @display(description="Last preview")
    def last_preview(self, row: Achievement) -> SafeString | str:
        preview = recounts.newest_preview(row.pk, row.version)
        if preview is None:
            return "None of this version"
        found = preview.result
        text = f"{found['gain']:,} gain, {found['lose']:,} lose, costs {found['cost']:,}"
        url = reverse("admin:rewards_job_change", args=[preview.pk])
        return format_html('<a class="text-link" href="{}">{}</a>', url, text)

    @display(description="")
    def history(self, row: Achievement) -> SafeString:
        return history_table(selectors.versions(str(row.tenant_id), row.pk))


def _url(row: Achievement) -> str:
    return reverse("admin:rewards_achievement_change", args=[row.pk])
