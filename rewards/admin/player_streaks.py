"""Players' streaks for support: what they have, why, and what may be done about it."""

from typing import Any, ClassVar, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    Confirmation,
    ReadOnlyAdmin,
    ReasonForm,
    TextFilter,
    UnfoldAdminTextInputWidget,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from rewards.models import FreezeMove, PlayerStreak, StreakRepair
from rewards.selectors.player_streaks import user_streak
from rewards.services import freeze_gifts, streak_repairs
from rewards.types.streaks import UserStreak
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

MAY_CHANGE: Final = "rewards.change_streak"
_SHOWN: Final = 60
_MOMENT: Final = "%d %b %Y, %H:%M:%S"


class RepairForm(ReasonForm):
    """Which windows are to count, and why."""

    windows = forms.CharField(
        label="Windows",
        max_length=4000,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-03-08, 2026-03-09"}),
        help_text="Their names, separated by commas; or times that lie in them.",
    )
    field_order = ("windows", "reason")


class FreezesForm(ReasonForm):
    """How many freezes a player gets, and why."""

    count = forms.IntegerField(
        label="Freezes",
        min_value=1,
        max_value=1000,
        initial=1,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
    )
    field_order = ("count", "reason")


class PlayerFilter(TextFilter):  # type: ignore[misc]
    """Search by the exact id of the player."""

    title = "player"
    parameter_name = "player"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(player__external_id=self.value()) if self.value() else queryset


@admin.register(PlayerStreak)
class PlayerStreakAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """What players have of streaks; rows are made by events."""

    tenant_field = "streak__tenant"
    list_display = [
        "who",
        "streak_name",
        "tenant",
        "current_count",
        "longest_count",
        "last_event_at",
    ]
    list_filter = [PlayerFilter, "streak"]
    list_select_related = ["streak", "player"]
    search_fields = ["player__external_id"]
    search_help_text = "The player's id"
    ordering = ["-current_count", "pk"]
    actions_detail = ["repair", "give_freezes"]
    fieldsets = (
        (None, {"fields": [("who", "streak_name", "tenant"), "now"]}),
        ("Windows", {"fields": ["windows_table"]}),
        ("Milestones", {"fields": ["milestones_table"]}),
        ("Repairs", {"fields": ["repairs_table"]}),
        ("Freezes", {"fields": ["freezes_table"]}),
    )
    readonly_fields: ClassVar[list[str]] = [
        *("who", "streak_name", "tenant", "now", "windows_table", "milestones_table"),
        *("repairs_table", "freezes_table"),
    ]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.reverse_repair)
        return [
            path(
                "<path:object_id>/repairs/<uuid:repair_id>/reverse/",
                view,
                name="rewards_playerstreak_reverse_repair",
            ),
            *super().get_urls(),
        ]

    def has_support_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may act on players' streaks from who may only look at them."""
        return bool(request.user.has_perm(MAY_CHANGE))

    def get_player_streak(self, request: HttpRequest, object_id: str) -> PlayerStreak:
        """Return the row that the person may act on. Raises: ``Http404``."""
        found = self.get_object(request, object_id)
        if found is None or not self.has_support_permission(request):
            raise Http404
        return found  # type: ignore[no-any-return]

    # --- Actions ---------------------------------------------------------------------------------

    @action(description="Repair", permissions=["support"], icon="healing")
    def repair(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_player_streak(request, object_id)
        form = RepairForm(request.POST if is_confirmed(request) else None)
        asked = Confirmation(
            title=f"Repair {row.streak.name} of {row.player.external_id}",
            lead="The windows count as if the player had satisfied them, and the run is counted "
            "anew. Milestones that it reaches are given. You can take a repair back.",
            submit="Repair",
            facts=_facts(_present(row)),
        )
        if not form.is_valid():
            return confirmation_page(self, request, asked, back_url=_url(row), form=form)
        names = [name.strip() for name in form.cleaned_data["windows"].split(",") if name.strip()]
        try:
            done = streak_repairs.repair(
                row.streak,
                row.player.external_id,
                names,
                reason=form.cleaned_data["reason"],
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, row.streak, exc)
        else:
            text = f"Repaired {done}." if done else "These windows count already."
            self.message_user(request, text, messages.SUCCESS)
        return redirect(_url(row))

    @action(
        description="Give freezes",
        permissions=["support"],
        icon="ac_unit",
        url_path="give-freezes",
    )
    def give_freezes(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_player_streak(request, object_id)
        form = FreezesForm(request.POST if is_confirmed(request) else None)
        asked = Confirmation(
            title=f"Freezes for {row.player.external_id} in {row.streak.name}",
            lead="A freeze keeps the run when a window is missed. What is beyond the most that "
            "may be held is lost.",
            submit="Give",
            facts=_facts(_present(row)),
        )
        if not form.is_valid():
            return confirmation_page(self, request, asked, back_url=_url(row), form=form)
        try:
            added = freeze_gifts.add_freezes(
                row.streak,
                row.player.external_id,
                form.cleaned_data["count"],
                reason=form.cleaned_data["reason"],
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, row.streak, exc)
        else:
            self.message_user(request, f"{added} given.", messages.SUCCESS)
        return redirect(_url(row))

    def reverse_repair(self, request: HttpRequest, object_id: str, repair_id: UUID) -> HttpResponse:
        """Take a repair back, after asking."""
        row = self.get_player_streak(request, object_id)
        found = row.repairs.filter(pk=repair_id).first()
        if found is None:
            raise Http404
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        asked = Confirmation(
            title=f"Take the repair of {row.streak.name} back",
            lead="Its windows are again what they were, unless events satisfied them meanwhile. "
            "What was given for milestones stays.",
            submit="Take back",
            facts=[("Windows", found), ("Repaired by", found.actor), ("Reason", found.reason)],
            is_dangerous=True,
        )
        if not form.is_valid():
            return confirmation_page(self, request, asked, back_url=_url(row), form=form)
        try:
            streak_repairs.reverse_repair(
                row.streak.tenant_id,
                found.pk,
                reason=form.cleaned_data["reason"],
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, row.streak, exc)
        else:
            self.message_user(request, f"Took {found} back.", messages.SUCCESS)
        return redirect(_url(row))

    # --- Columns and tables ----------------------------------------------------------------------

    @display(description="Player", ordering="player__external_id")
    def who(self, row: PlayerStreak) -> str:
        return row.player.external_id

    @display(description="Streak", ordering="streak__name")
    def streak_name(self, row: PlayerStreak) -> str:
        return row.streak.name

    @display(description="Tenant", ordering="streak__tenant")
    def tenant(self, row: PlayerStreak) -> str:
        return row.streak.tenant_id

    @display(description="Now")
    def now(self, row: PlayerStreak) -> SafeString:
        return format_html(
            '<dl class="phoenix-facts">{}</dl>',
            format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", _facts(_present(row))),
        )

    @display(description="Newest first")
    def windows_table(self, row: PlayerStreak) -> SafeString:
        found = row.windows.order_by("-starts_at")[:_SHOWN]
        rows = [
            (
                window.key,
                f"{window.starts_at:{_MOMENT}}",
                f"{window.ends_at:{_MOMENT}}",
                window.timezone or "-",
                f"{window.progress.normalize():f}",
                "Repaired" if window.repair_id else window.get_state_display(),
                window.count,
            )
            for window in found
        ]
        heads = ("Window", "From (UTC)", "To (UTC)", "Zone", "Progress", "State", "In a row")
        return _table(heads, rows)

    @display(description="Newest first")
    def milestones_table(self, row: PlayerStreak) -> SafeString:
        found = row.milestones.order_by("-reached_at", "-id")[:_SHOWN]
        rows = [
            (each.threshold, each.number, f"{each.reached_at:{_MOMENT}}", each.cause_event_id)
            for each in found
        ]
        return _table(("In a row", "Time", "Reached (UTC)", "Event"), rows)

    @display(description="Newest first")
    def repairs_table(self, row: PlayerStreak) -> SafeString:
        found = row.repairs.order_by("-created_at")[:_SHOWN]
        rows = [
            (
                str(each),
                each.actor,
                each.reason,
                f"{each.created_at:{_MOMENT}}",
                _reversal(row, each),
            )
            for each in found
        ]
        return _table(("Windows", "By", "Reason", "When (UTC)", "Taken back"), rows)

    @display(description="Newest first, also those for any streak")
    def freezes_table(self, row: PlayerStreak) -> SafeString:
        moves = FreezeMove.objects.filter(player=row.player_id).select_related("streak", "used_in")
        rows = [
            (
                move.get_kind_display(),
                f"{move.amount:+d}",
                move.streak.name if move.streak else "any",
                f"{move.used_in.name}, {move.window_key}" if move.used_in else "-",
                move.actor or "-",
                move.reason or "-",
                f"{move.at:{_MOMENT}}",
            )
            for move in moves.order_by("-at", "-id")[:_SHOWN]
        ]
        heads = ("What", "Number", "For streak", "Used in", "By", "Reason", "When (UTC)")
        return _table(heads, rows)


def _present(row: PlayerStreak) -> UserStreak:
    return user_streak(
        row.streak.tenant_id,
        row.player.external_id,
        row.streak_id,
        now=timezone.now(),
        any_status=True,
    )


def _facts(found: UserStreak) -> list[tuple[str, object]]:
    start, end = found.current_window_start, found.current_window_end
    window = f"{start:{_MOMENT}} to {end:{_MOMENT}} UTC" if start and end else "-"
    progress = f"{found.window_progress.normalize():f} of {found.window_target.normalize():f}"
    last = f"{found.last_event_at:{_MOMENT}} UTC" if found.last_event_at else "-"
    return [
        ("In a row", found.current_count),
        ("Longest", found.longest_count),
        ("Present window", window),
        ("Progress in it", progress + (" (satisfied)" if found.window_satisfied else "")),
        ("At risk", "Yes" if found.at_risk else "No"),
        ("Freezes held", found.freezes_held),
        ("Last event", last),
    ]


def _reversal(row: PlayerStreak, repair: StreakRepair) -> object:
    if repair.reversed_at is not None:
        return f"{repair.reversed_at:{_MOMENT}} by {repair.reversed_by}: {repair.reverse_reason}"
    url = reverse("admin:rewards_playerstreak_reverse_repair", args=[row.pk, repair.pk])
    return format_html('<a href="{}">Take back</a>', url)


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> SafeString:
    if not rows:
        return format_html("{}", "-")
    cells = [(format_html_join("", "<td>{}</td>", ((value,) for value in row)),) for row in rows]
    return format_html(
        '<div class="phoenix-scroll"><table><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        format_html_join("", "<th>{}</th>", ((head,) for head in heads)),
        format_html_join("", "<tr>{}</tr>", cells),
    )


def _url(row: PlayerStreak) -> str:
    return reverse("admin:rewards_playerstreak_change", args=[row.pk])
