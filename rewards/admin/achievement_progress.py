"""How far players are with achievements, what they unlocked, and taking it back."""

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

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
from rewards.models import AchievementProgress, AchievementUnlock, Grant
from rewards.rules.achievements import percentage_of, shown_amount, status_of
from rewards.selectors.achievements import STATE_COLUMNS, achievement_view
from rewards.services import achievement_staff
from rewards.types.achievements import ProgressState
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

_COLORS: Final = {"locked": None, "in_progress": "info", "unlocked": "success"}
_SHOWN: Final = 50
_TABLE: Final = (
    '<div class="phoenix-scroll"><table class="phoenix-table"><thead><tr><th>No.</th>'
    "<th>When (UTC)</th><th>How</th><th>Event</th><th>By</th><th>Reason</th><th>Revoked</th>"
    "</tr></thead><tbody>{}</tbody></table></div>"
)
_ROW: Final = "<tr>" + "<td>{}</td>" * 7 + "</tr>"


@admin.register(AchievementProgress)
class AchievementProgressAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """One row for each player who has begun an achievement; support finds it by the player."""

    tenant_field = "achievement__tenant"
    list_display = ["who", "what", "state", "way", "times", "unlocked"]
    list_filter = ["achievement", "achievement__tenant"]
    list_select_related = ["achievement", "player"]
    list_per_page = 50
    paginator = InfinitePaginator
    search_fields = ["player__external_id__exact"]
    search_help_text = "The tenant's id of a player, exactly"
    ordering = ["-pk"]
    actions = None
    actions_detail = ["revoke"]
    fieldsets = [
        (None, {"fields": [("who", "what"), ("state", "way"), ("times", "unlocked")]}),
        ("Unlocks", {"fields": ["unlocks"]}),
        ("Rewards", {"fields": ["rewards"]}),
    ]

    def has_revoke_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may take achievements from who may only look at them."""
        return bool(request.user.has_perm("rewards.change_achievementprogress"))

    @action(description="Revoke", permissions=["revoke"], icon="block")
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        back = reverse("admin:rewards_achievementprogress_change", args=[row.pk])
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            return confirmation_page(self, request, _question(row), back_url=back, form=form)
        try:
            shortfall = achievement_staff.revoke_achievement(
                str(row.achievement.tenant_id),
                row.achievement_id,
                user_id=row.player.external_id,
                reason=form.cleaned_data["reason"],
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, row.achievement, exc)
        else:
            spent = f" {shortfall:f} of the money was spent already." if shortfall else ""
            self.message_user(request, f"Revoked.{spent}", messages.SUCCESS)
        return redirect(back)

    # --- What is shown -------------------------------------------------------------------------

    @display(description="Player")
    def who(self, row: AchievementProgress) -> SafeString:
        url = reverse("admin:players_player_change", args=[row.player_id])
        return format_html('<a class="text-link" href="{}">{}</a>', url, row.player.external_id)

    @display(description="Achievement", ordering="achievement")
    def what(self, row: AchievementProgress) -> SafeString:
        url = reverse("admin:rewards_achievement_change", args=[row.achievement_id])
        return format_html('<a class="text-link" href="{}">{}</a>', url, row.achievement.name)

    @display(description="Status", label=_COLORS)
    def state(self, row: AchievementProgress) -> tuple[str, str]:
        status = status_of(_state(row))
        return status, status.replace("_", " ").capitalize()

    @display(description="Progress")
    def way(self, row: AchievementProgress) -> str:
        view, state = achievement_view(row.achievement), _state(row)
        current = shown_amount(view, state).normalize()
        whole = view.threshold.normalize()
        return f"{current:,f} of {whole:,f} ({percentage_of(view, state).normalize():f} %)"

    @display(description="Unlocked (UTC)")
    def unlocked(self, row: AchievementProgress) -> str:
        return f"{row.unlocked_at:%d %b %Y, %H:%M:%S}" if row.unlocked_at else "-"

    @display(description="")
    def unlocks(self, row: AchievementProgress) -> SafeString | str:
        found = AchievementUnlock.objects.filter(
            player=row.player_id, achievement=row.achievement_id
        ).order_by("-number")[:_SHOWN]
        if not found:
            return "None yet"
        return format_html(_TABLE, format_html_join("", _ROW, map(_cells, found)))

    @display(description="")
    def rewards(self, row: AchievementProgress) -> SafeString | str:
        found = Grant.objects.filter(
            player=row.player_id,
            source_type=Grant.SourceType.ACHIEVEMENT,
            source_id=str(row.achievement_id),
        ).order_by("-created_at")[:_SHOWN]
        lines = [(grant.snapshot.get("name", ""), grant.get_status_display()) for grant in found]
        return format_html_join("", "<div>{}: {}</div>", lines) if lines else "None"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        # What a preview found for players who never did anything is no progress.
        return rows.exclude(Q(current=0) & Q(last_number=0))


def _state(row: AchievementProgress) -> ProgressState:
    state = ProgressState(*(getattr(row, name) for name in STATE_COLUMNS))
    if state.epoch == row.achievement.epoch:
        return state
    return ProgressState(times=state.times, unlocked_at=state.unlocked_at)


def _question(row: AchievementProgress) -> Confirmation:
    return Confirmation(
        title=f"Revoke {row.achievement.name}",
        lead="Takes every unlock and its rewards from the player; money as far as the player still "
        "has it. What was counted so far counts no more.",
        submit="Revoke",
        facts=[("Player", row.player.external_id), ("Unlocks", row.times)],
        is_dangerous=True,
    )


def _cells(unlock: AchievementUnlock) -> tuple[Any, ...]:
    revoked = "-"
    if unlock.revoked_at is not None:
        revoked = f"{unlock.revoked_at:%d %b %Y, %H:%M:%S} by {unlock.revoked_by or 'Phoenix'}"
    return (
        unlock.number,
        f"{unlock.unlocked_at:%d %b %Y, %H:%M:%S}",
        unlock.get_source_display(),
        unlock.cause_event_id or "-",
        unlock.actor or "Phoenix",
        unlock.reason or "-",
        revoked,
    )
