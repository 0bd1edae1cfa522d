"""Currencies: their settings, and how much of each there is."""

from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from phoenix_site.common.admin import UnfoldAdminTextInputWidget, display, say_refusal
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.times import format_utc
from rewards.admin.history import history_table
from rewards.admin.wallet_words import amount, circulation_table, forecast_table
from rewards.exceptions import DocumentError
from rewards.models import Currency
from rewards.rules.currencies import read_currency
from rewards.selectors import currencies as selectors
from rewards.services import currencies as services
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

_FIELDS: Final = (
    *("tenant", "currency_id", "name", "symbol", "kind", "role", "is_spendable"),
    *("decimal_places", "unit_cost", "expiry_days", "has_wallets", "is_active"),
)
# What the contract calls what a field shows.
_NAMES: Final = {
    "id": "currency_id",
    "expiry": "expiry_days",
    "expiry.days": "expiry_days",
    "player_wallets": "has_wallets",
    "active": "is_active",
    "opening_lots_expire_at": "opening_ends_at",
}
_FIXED: Final = ("currency_id", "kind", "role", "is_spendable", "decimal_places")


class CurrencyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A currency in fields; the document that they make is what the API takes."""

    opening_ends_at = forms.DateTimeField(
        label="What wallets hold now ends (UTC)",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-12-31 00:00"}),
        help_text="Only when expiry is switched on. Empty: as if it had been credited now.",
    )
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Why it changes; kept with the version.",
    )
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Currency
        fields = list(_FIELDS)
        labels = {
            "currency_id": "Id",
            "unit_cost": "One unit costs",
            "expiry_days": "Credits expire after (days)",
            "is_active": "In use",
        }
        help_texts = {
            "currency_id": "Small letters, digits and _; of cash the ISO code, such as EUR.",
            "role": "Levels stand on experience; points are given in tokens. One of each.",
            "unit_cost": "In the tenant's base currency, for budgets and liability.",
            "expiry_days": "Empty: never.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.currency_id:
            self.initial["expected_version"] = self.instance.version

    def document(self) -> dict[str, Any]:
        """Return the form as the document that the API takes."""

        def of(name: str) -> Any:
            if name in self.fields:
                return self.cleaned_data.get(name)
            return getattr(self.instance, name)

        days, ends = of("expiry_days"), self.cleaned_data.get("opening_ends_at")
        return {
            "id": of("currency_id"),
            "name": of("name"),
            "symbol": of("symbol") or None,
            "kind": of("kind"),
            "role": of("role") or None,
            "is_spendable": of("is_spendable"),
            "decimal_places": of("decimal_places"),
            "unit_cost": of("unit_cost"),
            "expiry": None if days is None else {"type": "after", "days": days},
            "player_wallets": of("has_wallets"),
            "active": of("is_active"),
            "opening_lots_expire_at": None if ends is None else format_utc(ends),
        }

    def clean(self) -> dict[str, Any]:
        """Check the document as the service does, and say each fault at its field."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        try:
            read_currency(self.document())
        except DocumentError as exc:
            for fault in exc.faults:
                field = _NAMES.get(fault.path, fault.path)
                self.add_error(field if field in self.fields else None, fault.message)
        return cleaned

    def _post_clean(self) -> None:
        # The document was checked as a whole; the model's own checks would say less.
        return


@admin.register(Currency)
class CurrencyAdmin(TenantScopedAdmin):
    """The currencies of a tenant; every change goes through the service that the API uses."""

    form = CurrencyForm
    is_audited_by_service = True
    list_display = ["currency", "tenant_id", "what", "expires", "costs", "state", "version"]
    list_filter = ["is_active", "kind", "role", "tenant"]
    list_per_page = 50
    search_fields = ["currency_id", "name"]
    ordering = ["tenant_id", "currency_id"]
    show_full_result_count = False
    warn_unsaved_form = True
    actions = ["archive_selected"]

    # --- The form ------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Currency | None = None) -> Any:
        own: Any = [
            (None, {"fields": [("tenant", "currency_id"), ("name", "symbol")]}),
            ("What it is", {"fields": [("kind", "role"), ("is_spendable", "decimal_places")]}),
            (
                "What it costs and how long it lasts",
                {"fields": [("unit_cost", "expiry_days"), ("has_wallets", "is_active")]},
            ),
        ]
        if obj is None:
            return own
        facts: Any = [
            ("How much there is", {"fields": ["circulation"]}),
            ("What expires in 90 days", {"fields": ["forecast"]}),
            ("Versions", {"fields": ["history"]}),
        ]
        if not self.has_change_permission(request, obj):
            return [*own, *facts]
        change = ["opening_ends_at", "reason", "expected_version"]
        return [*own, ("This change", {"fields": change}), *facts]

    def get_readonly_fields(self, request: HttpRequest, obj: Currency | None = None) -> Any:
        if obj is None:
            return []
        fixed = _FIXED if selectors.is_used(obj.pk) else ()
        return ["tenant", *fixed, "circulation", "forecast", "history"]

    def get_form(self, request: Any, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        fixed = self.get_readonly_fields(request, obj)
        kwargs["fields"] = [name for name in _FIELDS if name not in fixed]
        return super().get_form(request, obj, *args, **kwargs)

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra: Any = None
    ) -> Any:
        # The versions say more than Django's own history.
        context = {"show_history": False, "show_save_and_add_another": False, **(extra or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Currencies are archived: what was posted in them stays.
        return False

    def save_model(self, request: Any, obj: Currency, form: Any, change: Any) -> None:
        document, actor = form.document(), staff_actor(request)
        now, reason = timezone.now(), form.cleaned_data.get("reason", "")
        if change:
            document["version"] = form.cleaned_data.get("expected_version")
            present = Currency.objects.get(pk=obj.pk)
            saved = services.replace_currency(
                present.tenant_id,
                present.currency_id,
                document,
                actor=actor,
                now=now,
                reason=reason,
            )
        else:
            tenant_id = form.cleaned_data["tenant"].pk
            saved = services.create_currency(
                tenant_id, document, actor=actor, now=now, reason=reason
            )
        obj.pk = saved.pk
        obj.refresh_from_db()

    @admin.action(description="Archive selected currencies", permissions=["change"])
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[Currency]) -> None:
        for row in queryset:
            try:
                services.archive_currency(
                    row.tenant_id, row.currency_id, actor=staff_actor(request), now=timezone.now()
                )
            except DomainError as exc:
                say_refusal(self, request, row, exc)
            else:
                self.message_user(request, f"Archived {row}.", messages.SUCCESS)

    # --- What is shown -------------------------------------------------------------------------

    @display(description="Currency", ordering="currency_id", header=True)
    def currency(self, row: Currency) -> list[str]:
        return [row.name, row.currency_id]

    @display(description="What it is")
    def what(self, row: Currency) -> str:
        role = f", {row.get_role_display()}" if row.role else ""
        spent = "can be spent" if row.is_spendable else "cannot be spent"
        places = f", {row.decimal_places} decimals" if row.decimal_places else ""
        return f"{row.get_kind_display()}{role}, {spent}{places}"

    @display(description="Expires", ordering="expiry_days")
    def expires(self, row: Currency) -> str:
        return "never" if row.expiry_days is None else f"after {row.expiry_days:,} days"

    @display(description="One costs", ordering="unit_cost")
    def costs(self, row: Currency) -> str:
        return amount(row.unit_cost) if row.unit_cost else "-"

    @display(description="State", ordering="is_active", label={"On": "success", "Archived": None})
    def state(self, row: Currency) -> str:
        return "On" if row.is_active else "Archived"

    @display(description="Circulation")
    def circulation(self, row: Currency) -> SafeString:
        found = selectors.circulation(selectors.currency_view(row))
        base = getattr(row.tenant, "base_currency", "")
        return circulation_table(found, base_currency=base)

    @display(description="Forecast")
    def forecast(self, row: Currency) -> SafeString | str:
        view = selectors.currency_view(row)
        return forecast_table(selectors.expiry_forecast(view, now=timezone.now()))

    @display(description="Versions")
    def history(self, row: Currency) -> SafeString:
        return history_table(selectors.currency_versions(row.tenant_id, row.currency_id))
