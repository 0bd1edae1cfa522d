from collections.abc import Iterable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
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
from phoenix_site.common.exceptions import DomainError, InvalidInputError
from tenants.admin.fields import LinesField
from tenants.admin.scoped import TenantScopedAdmin, staff_actor, visible_tenant_ids
from tenants.models import Membership, Tenant
from tenants.services import tenants

_FIXED = ("id", "operator_code", "environment", "base_currency")


class TenantForm(forms.ModelForm):  # type: ignore[type-arg]
    allowed_origins = LinesField(help_text=Tenant._meta.get_field("allowed_origins").help_text)
    public_player_fields = LinesField(
        help_text=Tenant._meta.get_field("public_player_fields").help_text
    )

    class Meta:
        model = Tenant
        fields = [*_FIXED, *tenants.SETTABLE]

    def clean_limits(self) -> Any:
        limits = self.cleaned_data["limits"] or {}
        return self._checked(tenants.check_limits, limits)

    def clean_allowed_origins(self) -> Any:
        return self._checked(tenants.check_origins, self.cleaned_data["allowed_origins"])

    def clean_timezone(self) -> Any:
        return self._checked(tenants.check_timezone, self.cleaned_data["timezone"])

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        # Only a change is looked up: an operator that is away must not keep others from saving.
        if {"operator_base_url", "outbound_ports"} & set(self.changed_data):
            check = partial(tenants.check_operator_url, ports=cleaned.get("outbound_ports") or ())
            try:
                self._checked(check, cleaned.get("operator_base_url", ""))
            except forms.ValidationError as exc:
                self.add_error("operator_base_url", exc)
        return cleaned

    def _checked(self, check: Any, value: Any) -> Any:
        try:
            check(value)
        except InvalidInputError as exc:
            raise forms.ValidationError(exc.message) from exc
        return value


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("suspended", "Suspended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(suspended_at__isnull=self.value() == "open")


@admin.register(Tenant)
class TenantAdmin(TenantScopedAdmin):
    """Tenants: what each may send, how much, and whether its gateways are open."""

    form = TenantForm
    tenant_field = "pk"
    is_audited_by_service = True
    list_display = ["id", "name", "environment_label", "state_label", "operator_code", "created_at"]
    list_filter = ["environment", StateFilter]
    search_fields = ["id", "name", "operator_code"]
    search_help_text = "Id, name or operator"
    readonly_fields = ["suspended_at", "created_at", "updated_at"]
    actions = ["suspend_selected", "reinstate_selected"]
    actions_detail = ["suspend", "reinstate"]
    fieldsets = [
        (
            "Tenant",
            {
                "fields": [
                    "id",
                    "name",
                    "operator_code",
                    "environment",
                    "base_currency",
                    "timezone",
                    "suspended_at",
                ]
            },
        ),
        (
            "Sending events",
            {
                "fields": [
                    "hmac_enabled",
                    "ingestion_needs_scope",
                    "accepts_older_shape",
                    "max_future_seconds",
                    "max_event_bytes",
                    "retention_days",
                ]
            },
        ),
        (
            "Reading boards",
            {
                "fields": [
                    "allowed_origins",
                    "public_player_fields",
                    "max_sockets",
                    "snapshot_retention_days",
                ]
            },
        ),
        (
            "The operator's system",
            {"fields": ["operator_base_url", "outbound_ports", "bonus_mode", "bonus_path"]},
        ),
        ("Limits", {"fields": ["limits"]}),
        ("Times", {"fields": ["created_at", "updated_at"], "classes": ["collapse"]}),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        # Whoever creates a tenant would not be its member yet.
        return super().has_add_permission(request) and visible_tenant_ids(request) is None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        parts = super().get_fieldsets(request, obj)
        return parts if obj is not None else parts[:-1]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = _FIXED if obj is not None else ()
        return [*fixed, *super().get_readonly_fields(request, obj)]

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        actor, now = staff_actor(request), timezone.now()
        wanted = {n: form.cleaned_data[n] for n in tenants.SETTABLE if n in form.cleaned_data}
        if change:
            changed = {name: wanted[name] for name in form.changed_data if name in wanted}
            tenants.update_tenant(obj.pk, changed, actor=actor, now=now)
        else:
            fixed = {name: form.cleaned_data[name] for name in _FIXED[1:]}
            tenants.create_tenant(obj.pk, actor=actor, now=now, **fixed, **wanted)
        obj.refresh_from_db()

    @display(
        description="environment",
        ordering="environment",
        label={"Sandbox": "info", "Production": "success"},
    )
    def environment_label(self, tenant: Tenant) -> str:
        return tenant.get_environment_display()

    @display(description="state", ordering="suspended_at", label={"Suspended": "danger"})
    def state_label(self, tenant: Tenant) -> str:
        return "Suspended" if tenant.is_suspended else "Open"

    @action(description="Suspend selected tenants", permissions=["change"])
    def suspend_selected(
        self, request: HttpRequest, queryset: QuerySet[Tenant]
    ) -> HttpResponse | None:
        return self._suspend(request, queryset)

    @action(description="Reinstate selected tenants", permissions=["change"])
    def reinstate_selected(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        self._reinstate(request, queryset)

    @action(
        description="Suspend",
        url_path="suspend",
        permissions=["change"],
        icon="block",
        variant=ActionVariant.DANGER,
    )
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = self.get_object(request, object_id)
        if tenant is None:
            return redirect("admin:tenants_tenant_changelist")
        asked = self._suspend(request, [tenant])
        return asked or redirect("admin:tenants_tenant_change", object_id)

    @action(
        description="Reinstate", url_path="reinstate", permissions=["change"], icon="check_circle"
    )
    def reinstate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = self.get_object(request, object_id)
        if tenant is None:
            return redirect("admin:tenants_tenant_changelist")
        asked = self._reinstate(request, [tenant])
        return asked or redirect("admin:tenants_tenant_change", object_id)

    def _suspend(self, request: HttpRequest, chosen: Iterable[Tenant]) -> HttpResponse | None:
        selected = list(chosen)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            return confirmation_page(
                self,
                request,
                _suspension(selected),
                back_url=reverse("admin:tenants_tenant_changelist"),
                form=form,
                selected=[tenant.pk for tenant in selected],
            )
        for tenant in selected:
            self._run(
                request, tenant, tenants.suspend_tenant, "Suspended", form.cleaned_data["reason"]
            )
        return None

    def _reinstate(self, request: HttpRequest, chosen: Iterable[Tenant]) -> HttpResponse | None:
        selected = list(chosen)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            return confirmation_page(
                self,
                request,
                _reinstatement(selected),
                back_url=reverse("admin:tenants_tenant_changelist"),
                form=form,
                selected=[tenant.pk for tenant in selected],
            )
        for tenant in selected:
            self._run(
                request, tenant, tenants.reinstate_tenant, "Reinstated", form.cleaned_data["reason"]
            )
        return None

    def _run(
        self, request: HttpRequest, tenant: Tenant, service: Any, done: str, reason: str
    ) -> None:
        try:
            service(tenant.pk, actor=staff_actor(request), now=timezone.now(), reason=reason)
        except DomainError as exc:
            say_refusal(self, request, tenant, exc)
        else:
            self.message_user(request, f"{done} {tenant}.", messages.SUCCESS)


def _suspension(selected: list[Tenant]) -> Confirmation:
    return Confirmation(
        title="Suspend tenants",
        lead="Every gateway answers 403 to their credentials within two seconds, and open "
        "connections are closed. Nothing is deleted.",
        submit="Suspend",
        heads=["Tenant", "Name", "Environment"],
        rows=[(t.pk, t.name, t.get_environment_display()) for t in selected],
        is_dangerous=True,
    )


def _reinstatement(selected: list[Tenant]) -> Confirmation:
    return Confirmation(
        title="Reinstate tenants",
        lead="Their credentials work again within two seconds.",
        submit="Reinstate",
        heads=["Tenant", "Name", "Suspended since"],
        rows=[(t.pk, t.name, t.suspended_at or "not suspended") for t in selected],
    )


@admin.register(Membership)
class MembershipAdmin(TenantScopedAdmin):
    """Who works for which tenant; only superusers decide that."""

    is_audited_by_service = True
    list_display = ["user", "tenant", "is_active", "created_at"]
    list_filter = ["is_active", "tenant"]
    list_select_related = ["user", "tenant"]
    search_fields = ["user__username", "tenant__id"]
    search_help_text = "User name or tenant"
    autocomplete_fields = ["user", "tenant"]
    fields = ["user", "tenant", "is_active", "created_at"]
    readonly_fields = ["created_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and visible_tenant_ids(request) is None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and visible_tenant_ids(request) is None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Switched off instead, so that the history keeps who once had access.
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = ["user", "tenant"] if obj is not None else []
        return [*fixed, *super().get_readonly_fields(request, obj)]

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        made = tenants.set_membership(
            obj.user_id,
            obj.tenant_id,
            is_active=obj.is_active,
            actor=staff_actor(request),
            now=timezone.now(),
        )
        obj.pk = made.pk
        obj.refresh_from_db()
