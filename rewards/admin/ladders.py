"""Ladders: the curve in rows with a chart beside it, and how many players stand where."""

from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone

from phoenix_site.common.admin import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    display,
)
from phoenix_site.common.exceptions import DomainError, InvalidJsonError
from phoenix_site.common.json import decode, encode
from rewards.exceptions import DocumentError
from rewards.models import Ladder, RewardItem
from rewards.selectors import ladders as selectors
from rewards.services import ladders as services
from tenants.admin.scoped import TenantScopedAdmin, in_scope, staff_actor

POLICIES: Final = (
    ("grandfather", "Keep: nobody falls, whatever the new curve says"),
    ("recompute", "Recompute: everybody stands where the new curve says"),
)
_NEW_LEVELS: Final = [
    {"level": number, "xp_required": xp, "item_ids": [], "benefits": {}}
    for number, xp in enumerate((0, 100, 300), start=1)
]
_FIELDS: Final = {"ladder_id": "ladder_id", "name": "name", "currency_id": "currency"}


class JsonTextField(forms.CharField):
    """A list kept as JSON text; the page shows it in rows."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return []
        try:
            return decode(text.encode())
        except InvalidJsonError as exc:
            raise forms.ValidationError("This is not JSON.") from exc

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else encode(value or []).decode()


class LadderForm(forms.ModelForm):  # type: ignore[type-arg]
    """A ladder in fields; ``levels`` and ``ranks`` are rows where there is JavaScript."""

    levels = JsonTextField(widget=UnfoldAdminTextareaWidget(attrs={"rows": 12}))
    ranks = JsonTextField(required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 6}))
    policy = forms.ChoiceField(
        required=False,
        choices=[("", "No level changes"), *POLICIES],
        widget=UnfoldAdminSelectWidget,
        label="Players who stand higher than the new curve",
        help_text="Needed when thresholds or ranks change. A job then moves the players.",
    )
    reason = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget)
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Ladder
        fields = ["tenant", "ladder_id", "name", "currency", "levels", "ranks"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:  # noqa: SLF001 - a new row has its id already
            self.initial["levels"] = _NEW_LEVELS
            self.initial["ladder_id"] = selectors.DEFAULT_LADDER_ID
        else:
            self.initial["expected_version"] = self.instance.version

    def document(self) -> dict[str, Any]:
        """Return the form as the document that the API takes."""
        currency = self.cleaned_data.get("currency")
        ladder_id = self.cleaned_data.get("ladder_id") or self.instance.ladder_id
        return {
            "ladder_id": ladder_id,
            "name": self.cleaned_data.get("name"),
            "currency_id": currency.currency_id if currency else "",
            "levels": self.cleaned_data.get("levels"),
            "ranks": self.cleaned_data.get("ranks") or [],
            "active": self.instance.is_active,
        }

    def clean(self) -> dict[str, Any]:
        """Check the document as the service does, and say each fault at its field."""
        cleaned = super().clean() or self.cleaned_data
        tenant = cleaned.get("tenant") or getattr(self.instance, "tenant", None)
        if tenant is None or self.errors:
            return cleaned
        try:
            services.parse_document(tenant.pk, self.document())
        except DocumentError as exc:
            for fault in exc.faults:
                root = fault.path.split(".")[0]
                field = _FIELDS.get(root, root)
                said = fault.message if field == fault.path else f"{fault.path}: {fault.message}"
                self.add_error(field if field in self.fields else None, said)
        return cleaned

    def _post_clean(self) -> None:
        # The document was checked as a whole; the model's own checks would say less.
        return


@admin.register(Ladder)
class LadderAdmin(TenantScopedAdmin):
    """The ladders of a tenant; every change goes through the service that the API uses."""

    form = LadderForm
    is_audited_by_service = True
    list_display = ["ladder", "tenant_id", "currency", "steps", "top", "state", "version"]
    list_filter = ["is_active", "tenant"]
    list_select_related = ["currency"]
    search_fields = ["ladder_id", "name"]
    ordering = ["tenant_id", "ladder_id"]
    show_full_result_count = False
    warn_unsaved_form = True
    actions = ["archive_selected"]
    change_form_template = "phoenix/admin/ladder_form.html"

    def get_fieldsets(self, request: HttpRequest, obj: Ladder | None = None) -> Any:
        naming = (None, {"fields": [("tenant", "ladder_id"), ("name", "currency")]})
        curve = ("Levels and ranks", {"fields": ["levels", "ranks"]})
        if obj is None:
            return [naming, curve]
        return [
            naming,
            curve,
            ("This change", {"fields": ["policy", "reason", "expected_version"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Ladder | None = None) -> Any:
        return [] if obj is None else ["tenant", "ladder_id"]

    def get_form(self, request: Any, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        kwargs["fields"] = [
            name
            for name in LadderForm.Meta.fields
            if name not in self.get_readonly_fields(request, obj)
        ]
        return super().get_form(request, obj, *args, **kwargs)

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "currency":
            found = db_field.remote_field.model.objects.filter(is_spendable=False, is_active=True)
            kwargs["queryset"] = found
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Ladders are archived: who reached what stays known.
        return False

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.preview_view)
        return [
            path("<path:object_id>/preview/", view, name="rewards_ladder_preview"),
            *super().get_urls(),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        ladder = None if object_id is None else self.get_object(request, object_id)
        counts = selectors.players_per_level(ladder.pk) if ladder is not None else {}
        items = in_scope(RewardItem.objects.filter(is_active=True), request, "tenant")
        context = {
            "show_save_and_add_another": False,
            "show_history": False,
            "items": [
                {"id": str(pk), "name": name, "tenant": tenant_id}
                for pk, name, tenant_id in items.order_by("name").values_list(
                    "pk", "name", "tenant_id"
                )
            ],
            "players_per_level": {str(level): count for level, count in counts.items()},
            "preview_url": (
                reverse("admin:rewards_ladder_preview", args=[object_id]) if ladder else ""
            ),
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def save_model(self, request: Any, obj: Ladder, form: Any, change: Any) -> None:
        document, now = form.document(), timezone.now()
        reason = form.cleaned_data.get("reason", "")
        if change:
            policy = form.cleaned_data.get("policy") or None
            saved = services.change_ladder(
                obj.tenant_id,
                obj.ladder_id,
                {
                    **document,
                    "policy": policy,
                    "version": form.cleaned_data.get("expected_version"),
                },
                actor=staff_actor(request),
                now=now,
                reason=reason,
            )
        else:
            tenant_id = form.cleaned_data["tenant"].pk
            saved = services.create_ladder(tenant_id, document, actor=staff_actor(request), now=now)
        obj.pk = saved.pk
        obj.refresh_from_db()

    def preview_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Start the job that tells what the curve in the form would do; nothing is saved."""
        ladder = self.get_object(request, object_id)
        if ladder is None or not self.has_change_permission(request, ladder):
            raise Http404
        back = redirect(reverse("admin:rewards_ladder_change", args=[object_id]))
        form = self.get_form(request, ladder, change=True)(request.POST, instance=ladder)
        if request.method != "POST" or not form.is_valid():
            for name, faults in form.errors.items():
                self.message_user(request, f"{name}: {' '.join(faults)}", messages.ERROR)
            return back
        changes = {**form.document(), "policy": form.cleaned_data.get("policy") or "grandfather"}
        try:
            job = services.start_preview(
                ladder.tenant_id,
                ladder.ladder_id,
                changes,
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            self.message_user(request, str(exc), messages.ERROR)
            return back
        return redirect(reverse("admin:rewards_job_change", args=[job.pk]))

    @admin.action(description="Archive selected ladders", permissions=["change"])
    def archive_selected(self, request: HttpRequest, queryset: Any) -> None:
        for ladder in queryset:
            try:
                services.archive_ladder(
                    ladder.tenant_id,
                    ladder.ladder_id,
                    actor=staff_actor(request),
                    now=timezone.now(),
                )
            except DomainError as exc:
                self.message_user(request, f"{ladder}: {exc}", messages.ERROR)
            else:
                self.message_user(request, f"Archived {ladder}.", messages.SUCCESS)

    @display(description="Ladder", ordering="name", header=True)
    def ladder(self, ladder: Ladder) -> list[str]:
        return [ladder.name, ladder.ladder_id]

    @display(description="Levels")
    def steps(self, ladder: Ladder) -> str:
        ranks = f", {len(ladder.ranks)} ranks" if ladder.ranks else ""
        return f"{len(ladder.levels)}{ranks}"

    @display(description="Top level from")
    def top(self, ladder: Ladder) -> str:
        return f"{ladder.levels[-1]['xp_required']:,} {ladder.currency.currency_id}"

    @display(description="Status", ordering="is_active", label={True: "success", False: "danger"})
    def state(self, ladder: Ladder) -> tuple[bool, str]:
        return ladder.is_active, "Active" if ladder.is_active else "Archived"
