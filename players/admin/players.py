"""Players: who they are, what was put on them, what keeps them out, and what staff may do."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    InfinitePaginator,
    RangeDateTimeFilter,
    TextFilter,
    display,
)
from players.admin.actions import PlayerActions
from players.models import Ban, Player
from players.rules.identity import is_external_id
from players.services import registration
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

MAY_SEE_PERSONAL: Final = "players.view_personal"
SHOWN_ROWS: Final = 50
STATUS_COLORS: Final = {
    "active": "success",
    "inactive": "info",
    "blocked": "danger",
    "closed": "danger",
    "self_excluded": "warning",
}
_PERSONAL: Final = [
    ("username", "gender"),
    ("first_name", "last_name"),
    ("email", "phone"),
    ("birth_date", "city"),
]


class NewPlayerForm(forms.ModelForm):  # type: ignore[type-arg]
    """A player whom no event has named yet."""

    class Meta:
        model = Player
        fields = ["tenant", "external_id"]

    def clean_external_id(self) -> str:
        external_id: str = self.cleaned_data["external_id"]
        if not is_external_id(external_id):
            raise forms.ValidationError("Use no slash and no control character.")
        return external_id


class TagFilter(TextFilter):  # type: ignore[misc]
    title = "tag"
    parameter_name = "tag"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Player]) -> QuerySet[Player]:
        if not self.value():
            return queryset
        is_there = Q(tags__expires_at=None) | Q(tags__expires_at__gt=timezone.now())
        return queryset.filter(is_there, tags__name=self.value())


class CountryFilter(TextFilter):  # type: ignore[misc]
    title = "country"
    parameter_name = "country"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Player]) -> QuerySet[Player]:
        return queryset.filter(country=self.value().upper()) if self.value() else queryset


class BannedFilter(admin.SimpleListFilter):
    title = "banned"
    parameter_name = "banned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    # Annotated by the page; the stubs know the model's own fields only.
    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() is None:
            return queryset
        return queryset.filter(is_banned=self.value() == "yes")


@admin.register(Player)
class PlayerAdmin(PlayerActions, TenantScopedAdmin):
    """Players come from events; what staff change goes through the same services as the API."""

    form = NewPlayerForm
    is_audited_by_service = True
    list_display = [
        *("external_id", "tenant_id", "status_label", "country", "bans_label", "opt_label"),
        *("created", "last_seen"),
    ]
    list_filter = [
        "tenant",
        "status",
        CountryFilter,
        TagFilter,
        BannedFilter,
        "is_opted_out",
        "is_at_risk",
        ("created_at", RangeDateTimeFilter),
        ("last_seen_at", RangeDateTimeFilter),
    ]
    list_filter_submit = True
    list_per_page = 50
    paginator = InfinitePaginator
    show_full_result_count = False
    ordering = ["-created_at", "-id"]
    autocomplete_fields = ["tenant"]
    actions = ["ban_selected", "lift_selected", "tag_selected", "untag_selected"]
    actions_detail = [
        "ban",
        "lift",
        {
            "title": "More",
            "items": ["set_zone", "opt_out", "opt_in", "set_tag", "remove_tag"],
        },
    ]

    # --- Who may do what -----------------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Nobody edits a row by hand: see ``has_manage_permission``.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # --- The list and the card -----------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Player]:
        now = timezone.now()
        in_force = Ban.objects.filter(
            Q(until=None) | Q(until__gt=now), player=OuterRef("pk"), lifted_at=None
        )
        found: QuerySet[Player] = super().get_queryset(request)
        return found.annotate(is_banned=Exists(in_force))

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        if request.user.has_perm(MAY_SEE_PERSONAL):
            return ["external_id__startswith", "email__exact", "username__exact"]
        return ["external_id__startswith"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [(None, {"fields": ["tenant", "external_id"]})]
        may_see = request.user.has_perm(MAY_SEE_PERSONAL)
        return [
            (None, {"fields": [("external_id", "tenant"), ("status_text", "kyc_status")]}),
            ("Person", {"fields": _PERSONAL if may_see else ["hidden"]}),
            (
                "Profile",
                {
                    "fields": [
                        ("country", "language"),
                        ("currency", "registration_device"),
                        ("zone", "balance_table"),
                        "attribute_table",
                        "counter_table",
                    ]
                },
            ),
            ("Tags", {"fields": ["tag_table"]}),
            ("Bans", {"fields": ["ban_table"]}),
            ("Gamification", {"fields": [("opt_text", "opt_changed_at"), "reasons_text"]}),
            ("Risk", {"fields": ["is_at_risk", *(["at_risk_reason"] if may_see else [])]}),
            ("Time zones", {"fields": ["zone_table"]}),
            (
                "Times (UTC)",
                {
                    "fields": [
                        ("registered_at", "activated_at"),
                        ("verified_at", "last_login_at"),
                        ("last_seen_at", "created_at"),
                        ("updated_at", "version"),
                    ]
                },
            ),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra: Any = None
    ) -> Any:
        # The audit log has what services changed; Django's own history would be empty.
        return super().changeform_view(
            request, object_id, form_url, {"show_history": False, **(extra or {})}
        )

    def save_model(self, request: HttpRequest, obj: Player, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        obj.pk = registration.create_player(
            obj.tenant_id, obj.external_id, actor=staff_actor(request), now=timezone.now()
        )
        obj.refresh_from_db()

    @display(description="Status", ordering="status", label=STATUS_COLORS)
    def status_label(self, player: Player) -> tuple[str, str]:
        return player.status, player.get_status_display()

    @display(description="Status")
    def status_text(self, player: Player) -> str:
        return player.get_status_display()

    @display(description="Bans", label={"banned": "danger", "none": None})
    def bans_label(self, player: Any) -> tuple[str, str]:
        return ("banned", "Banned") if player.is_banned else ("none", "-")

    @display(description="Gamification", ordering="is_opted_out", label={"out": "warning"})
    def opt_label(self, player: Player) -> tuple[str, str]:
        return ("out", "Opted out") if player.is_opted_out else ("in", "In")

    @display(description="Gamification")
    def opt_text(self, player: Player) -> str:
        return "Opted out" if player.is_opted_out else "Takes part"

    @display(description="Reasons")
    def reasons_text(self, player: Player) -> str:
        return "; ".join(player.opt_reasons) or "-"

    @display(description="Created (UTC)", ordering="created_at")
    def created(self, player: Player) -> str:
        return _moment(player.created_at)

    @display(description="Last seen (UTC)", ordering="last_seen_at")
    def last_seen(self, player: Player) -> str:
        return _moment(player.last_seen_at)

    @display(description="Person")
    def hidden(self, player: Player) -> str:
        return "Only for staff who may see personal data."

    @display(description="Time zone")
    def zone(self, player: Player) -> str:
        return player.timezone or f"{player.tenant.timezone} (the tenant's)"

    @display(description="Balances, as last reported")
    def balance_table(self, player: Player) -> SafeString | str:
        return _pairs(player.balances or {})

    @display(description="Attributes")
    def attribute_table(self, player: Player) -> SafeString | str:
        return _pairs(player.attributes)

    @display(description="Counters")
    def counter_table(self, player: Player) -> SafeString | str:
        return _pairs(player.counters)

    @display(description="Tags")
    def tag_table(self, player: Player) -> SafeString | str:
        now = timezone.now()
        rows = [
            (tag.name, tag.value or "-", _end(tag.expires_at, now))
            for tag in player.tags.order_by("name")
        ]
        return _table(["Tag", "Value", "Until (UTC)"], rows)

    @display(description="Bans")
    def ban_table(self, player: Player) -> SafeString | str:
        now = timezone.now()
        rows = [
            (
                ", ".join(ban.scopes),
                _moment(ban.created_at),
                _end(ban.until, now),
                f"{ban.reason} ({ban.created_by})",
                _lifting(ban),
            )
            for ban in player.bans.order_by("-created_at")[:SHOWN_ROWS]
        ]
        return _table(["Kept from", "Since (UTC)", "Until (UTC)", "Reason", "Lifted"], rows)

    @display(description="Zones so far")
    def zone_table(self, player: Player) -> SafeString | str:
        rows = [
            (_moment(change.from_at), change.timezone or f"{player.tenant.timezone} (the tenant's)")
            for change in player.zone_changes.order_by("-from_at")[:SHOWN_ROWS]
        ]
        return _table(["From (UTC)", "Time zone"], rows)


def _moment(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%d %b %Y, %H:%M:%S}"


def _end(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "no end"
    return _moment(at) if at > now else f"{_moment(at)} (over)"


def _lifting(ban: Ban) -> str:
    if ban.lifted_at is None:
        return "-"
    return f"{_moment(ban.lifted_at)}: {ban.lift_reason} ({ban.lifted_by})"


def _pairs(values: dict[str, Any]) -> SafeString | str:
    return _table(["Name", "Value"], sorted(values.items()))


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> SafeString | str:
    if not rows:
        return "-"
    head = format_html_join("", "<th>{}</th>", [(text,) for text in heads])
    cells = [(format_html_join("", "<td>{}</td>", [(value,) for value in row]),) for row in rows]
    body = format_html_join("", "<tr>{}</tr>", cells)
    markup = '<table class="phoenix-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
    return format_html(markup, head, body)
