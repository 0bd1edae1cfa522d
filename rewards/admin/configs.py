"""Reward configs: tiers in rows, and in words what each of them gives."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    Confirmation,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.json_fields import JsonField
from rewards.admin.history import history_table
from rewards.admin.item_words import use_list
from rewards.exceptions import DocumentError
from rewards.models import RewardConfig, RewardItem
from rewards.rules.configs import VALUE_KEYS, read_config
from rewards.selectors import items as selectors
from rewards.selectors.book import book_of
from rewards.selectors.uses import uses_of_config
from rewards.services import configs as services
from tenants.admin.scoped import TenantScopedAdmin, in_scope, staff_actor

_MAX_OFFERED: Final = 1000
_BOARDS: Final = "admin:leaderboards_leaderboard_changelist"
_FIELDS: Final = {"type": "config_type", "active": "is_active"}
_PARTS: Final = {
    "rank_min": "from rank",
    "rank_max": "to rank",
    "item_ids": "items",
    "by_category": "categories",
}


class ConfigForm(forms.ModelForm):  # type: ignore[type-arg]
    """A reward config in fields; ``tiers`` are rows where there is JavaScript."""

    tiers = JsonField(widget=UnfoldAdminTextareaWidget(attrs={"rows": 14, "class": "phoenix-mono"}))
    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Why it changes; kept with the version.",
    )
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = RewardConfig
        fields = ["tenant", "name", "config_type", "tiers", "is_active"]
        labels = {"config_type": "Is for", "is_active": "In the library"}
        help_texts = {"config_type": "Chosen once: tiers of a board have ranks, others one number."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:  # noqa: SLF001 - Django's own way to ask
            self.initial["expected_version"] = self.instance.version

    def document(self) -> dict[str, Any]:
        """Return the form as the document that the API takes."""
        sent = self.cleaned_data
        return {
            "name": sent.get("name"),
            "type": sent.get("config_type") or self.instance.config_type,
            "tiers": sent.get("tiers"),
            "active": sent.get("is_active", True),
        }

    def clean(self) -> dict[str, Any]:
        """Check the document as the service does, and say each fault at its field."""
        cleaned = super().clean() or self.cleaned_data
        tenant = cleaned.get("tenant") or getattr(self.instance, "tenant", None)
        if self.errors or tenant is None:
            return cleaned
        try:
            read_config(self.document(), book_of(tenant.pk).items.keys())
        except DocumentError as exc:
            for fault in exc.faults:
                root = fault.path.split(".")[0]
                field = _FIELDS.get(root, root)
                is_there = field in self.fields
                self.add_error(field if is_there else None, _said(fault.path, fault.message))
        return cleaned

    def _post_clean(self) -> None:
        # The document was checked as a whole; the model's own checks would say less.
        return


@admin.register(RewardConfig)
class RewardConfigAdmin(TenantScopedAdmin):
    """The reward configs of a tenant; every change goes through the API's service."""

    form = ConfigForm
    is_audited_by_service = True
    list_display = ["config", "tenant_id", "gives", "state", "version"]
    list_filter = ["is_active", "config_type", "tenant"]
    list_per_page = 50
    search_fields = ["name"]
    ordering = ["-created_at", "-pk"]
    show_full_result_count = False
    warn_unsaved_form = True
    change_form_template = "phoenix/admin/config_form.html"
    actions = ["archive_selected"]
    actions_detail = ["duplicate"]

    # --- The form ------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: RewardConfig | None = None) -> Any:
        own: Any = [(None, {"fields": [("tenant", "config_type"), "name", "is_active", "tiers"]})]
        if obj is None:
            return own
        facts: Any = [
            ("In words", {"fields": ["meaning"]}),
            ("Used by", {"fields": ["uses"]}),
            ("Versions", {"fields": ["history"]}),
        ]
        if not self.has_change_permission(request, obj):
            return [(None, {"fields": [("tenant", "config_type"), "name", "is_active"]}), *facts]
        return [*own, ("This change", {"fields": ["reason", "expected_version"]}), *facts]

    def get_readonly_fields(self, request: HttpRequest, obj: RewardConfig | None = None) -> Any:
        return [] if obj is None else ["tenant", "config_type", "meaning", "uses", "history"]

    def get_form(self, request: Any, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        fixed = self.get_readonly_fields(request, obj)
        kwargs["fields"] = [name for name in ConfigForm.Meta.fields if name not in fixed]
        return super().get_form(request, obj, *args, **kwargs)

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra: Any = None
    ) -> Any:
        config = None if object_id is None else self.get_object(request, object_id)
        items = in_scope(RewardItem.objects.filter(is_active=True), request, "tenant")
        if config is not None:
            items = items.filter(tenant_id=config.tenant_id)
        rows = items.order_by("name").values_list("pk", "name", "tenant_id")[:_MAX_OFFERED]
        context = {
            "show_history": False,
            "show_save_and_add_another": False,
            "config_type": config.config_type if config is not None else "",
            "items": [
                {"id": str(pk), "name": name, "tenant": tenant_id} for pk, name, tenant_id in rows
            ],
            **(extra or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Configs are archived: what was given by them stays known.
        return False

    def save_model(self, request: Any, obj: RewardConfig, form: Any, change: Any) -> None:
        document, actor = form.document(), staff_actor(request)
        now, reason = timezone.now(), form.cleaned_data.get("reason", "")
        if change:
            document["version"] = form.cleaned_data.get("expected_version")
            saved = services.replace_config(
                obj.tenant_id, obj.pk, document, actor=actor, now=now, reason=reason
            )
        else:
            tenant_id = form.cleaned_data["tenant"].pk
            saved = services.create_config(tenant_id, document, actor=actor, now=now, reason=reason)
        obj.pk = saved.pk
        obj.refresh_from_db()

    # --- Actions -------------------------------------------------------------------------------

    def has_copy_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may make a copy: who may make a new one."""
        return bool(self.has_add_permission(request))

    @action(description="Duplicate", permissions=["copy"], icon="content_copy")
    def duplicate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        config: RewardConfig | None = self.get_object(request, object_id)
        if config is None or not self.has_view_permission(request, config):
            raise Http404
        page = reverse("admin:rewards_rewardconfig_change", args=[config.pk])
        if not is_confirmed(request):
            asked = Confirmation(
                title=f"Duplicate {config.name}",
                lead="Makes a reward config of its own with the same fields.",
                submit="Duplicate",
            )
            return confirmation_page(self, request, asked, back_url=page)
        try:
            copy = services.duplicate_config(
                config.tenant_id, config.pk, {}, actor=staff_actor(request), now=timezone.now()
            )
        except DomainError as exc:
            say_refusal(self, request, config, exc)
            return redirect(page)
        self.message_user(request, f"This is a copy of {config}.", messages.SUCCESS)
        return redirect(reverse("admin:rewards_rewardconfig_change", args=[copy.pk]))

    @admin.action(description="Archive selected configs", permissions=["change"])
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[RewardConfig]) -> None:
        for config in queryset:
            try:
                services.archive_config(
                    config.tenant_id, config.pk, actor=staff_actor(request), now=timezone.now()
                )
            except DomainError as exc:
                say_refusal(self, request, config, exc)
            else:
                self.message_user(request, f"Archived {config}.", messages.SUCCESS)

    # --- What is shown -------------------------------------------------------------------------

    @display(description="Config", ordering="name", header=True)
    def config(self, config: RewardConfig) -> list[str]:
        return [config.name, config.get_config_type_display()]

    @display(description="Tiers")
    def gives(self, config: RewardConfig) -> str:
        shown = [_where(tier, config.config_type) for tier in config.tiers[:4]]
        more = len(config.tiers) - len(shown)
        return "; ".join(shown) + (f" and {more} more" if more > 0 else "")

    @display(description="Status", ordering="is_active", label={True: "success", False: "danger"})
    def state(self, config: RewardConfig) -> tuple[bool, str]:
        return config.is_active, "Active" if config.is_active else "Archived"

    @display(description="Gives")
    def meaning(self, config: RewardConfig) -> SafeString:
        return tier_list(config)

    @display(description="Used by")
    def uses(self, config: RewardConfig) -> SafeString | str:
        found = use_list(uses_of_config(config.tenant_id, config.pk))
        if config.config_type != RewardConfig.ConfigType.LEADERBOARD:
            return found
        try:
            url = f"{reverse(_BOARDS)}?reward_config_id__exact={config.pk}"
        except NoReverseMatch:
            return found
        boards = format_html('<a class="phoenix-back" href="{}">Boards that it pays</a>', url)
        return format_html("{} {}", found, boards)

    @display(description="History")
    def history(self, config: RewardConfig) -> SafeString:
        return history_table(selectors.config_versions(config.tenant_id, config.pk))


def tier_list(config: RewardConfig) -> SafeString:
    """Return each tier as a sentence, with the names of its items."""
    named = {UUID(text) for tier in config.tiers for text in _ids_of(tier)}
    rows = RewardItem.objects.filter(tenant_id=config.tenant_id, pk__in=named)
    names = {str(pk): name for pk, name in rows.values_list("pk", "name")}
    sentences = ((_sentence(tier, config.config_type, names),) for tier in config.tiers)
    return format_html("<ul>{}</ul>", format_html_join("", "<li>{}</li>", sentences))


def _sentence(tier: Mapping[str, Any], config_type: str, names: Mapping[str, str]) -> str:
    def items(ids: Sequence[str]) -> str:
        return ", ".join(names.get(each, each) for each in ids) or "nothing"

    title = f" ({tier['name']})" if tier.get("name") else ""
    others = [f"for {name} {items(ids)}" for name, ids in tier.get("by_category", {}).items()]
    gives = "; ".join([items(tier.get("item_ids", ())), *others])
    return f"{_where(tier, config_type)}{title}: {gives}"


def _where(tier: Mapping[str, Any], config_type: str) -> str:
    if config_type != RewardConfig.ConfigType.LEADERBOARD:
        key = VALUE_KEYS[config_type]
        return f"{key.capitalize()} {tier.get(key)}"
    low, high = tier.get("rank_min"), tier.get("rank_max")
    return f"Rank {low}" if low == high else f"Ranks {low} to {high}"


def _ids_of(tier: Mapping[str, Any]) -> list[str]:
    return [
        *tier.get("item_ids", ()),
        *(each for ids in tier.get("by_category", {}).values() for each in ids),
    ]


def _said(path: str, message: str) -> str:
    parts = path.split(".")
    if parts[0] != "tiers" or len(parts) == 1:
        return f"{message[:1].upper()}{message[1:]}."
    where = f"Tier {int(parts[1]) + 1}"
    if len(parts) > 2:
        where += f", {_PARTS.get(parts[2], parts[2])}"
    return f"{where}: {message}."
