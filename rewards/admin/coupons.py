"""Coupons: what they give, to whom and how often; codes made, imported and exported."""

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
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
from phoenix_site.common.streams import file_answer
from rewards.admin.coupon_forms import CouponForm, GenerateForm, ImportForm
from rewards.admin.history import history_table
from rewards.models import Coupon, Job, RewardItem
from rewards.selectors import coupon_exports, coupons
from rewards.services import coupon_codes, coupon_imports
from rewards.services import coupons as services
from rewards.types.coupons import RowVerdict
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

COLORS: Final = {"active": "success", "inactive": "warning", "archived": "danger"}
SHOWN_VERDICTS: Final = 1000


@admin.register(Coupon)
class CouponAdmin(TenantScopedAdmin):
    """The coupons of a tenant; every change goes through the service that the API uses."""

    form = CouponForm
    is_audited_by_service = True
    list_display = ["coupon", "tenant_id", "state", "meaning", "redeemed", "times"]
    list_filter = ["status", "code_format", "tenant"]
    list_select_related = ["item", "tally"]
    list_per_page = 50
    search_fields = ["name", "custom_code__iexact"]
    search_help_text = "A part of the name, or a custom code"
    ordering = ["-created_at"]
    show_full_result_count = False
    warn_unsaved_form = True
    actions = ["archive_selected"]
    actions_detail = ["generate_codes", "import_codes", "export_codes", "show_codes"]

    # --- The form ------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Coupon | None = None) -> Any:
        own: Any = [
            (None, {"fields": [("tenant", "status"), "name", "description", "item"]}),
            (
                "Codes",
                {
                    "fields": [
                        "code_format",
                        ("code_prefix", "code_length"),
                        ("custom_code", "is_case_sensitive"),
                    ]
                },
            ),
            (
                "When and how often",
                {"fields": [("starts_at", "expires_at"), ("per_user_limit", "total_limit")]},
            ),
        ]
        if obj is None:
            return own
        saving = {"fields": ["reason", "expected_version"]}
        is_editable = self.has_change_permission(request, obj)
        return [
            *own,
            *([("This change", saving)] if is_editable else []),
            ("So far", {"fields": ["meaning", "redeemed"]}),
            ("Versions", {"fields": ["history"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Coupon | None = None) -> Any:
        return [] if obj is None else ["tenant", "meaning", "redeemed", "history"]

    def get_form(self, request: Any, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        fixed = self.get_readonly_fields(request, obj)
        kwargs["fields"] = [name for name in CouponForm.Meta.fields if name not in fixed]
        return super().get_form(request, obj, *args, **kwargs)

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "item":
            kwargs["queryset"] = RewardItem.objects.filter(is_active=True).order_by("name")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_archived = isinstance(obj, Coupon) and obj.status == Coupon.Status.ARCHIVED
        return not is_archived and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Coupons are archived: who redeemed what stays known.
        return False

    def save_model(self, request: Any, obj: Coupon, form: Any, change: Any) -> None:
        document, actor = form.document(), staff_actor(request)
        now, reason = timezone.now(), form.cleaned_data.get("reason", "")
        if change:
            document["version"] = form.cleaned_data.get("expected_version")
            saved = services.replace_coupon(
                obj.tenant_id, obj.pk, document, actor=actor, now=now, reason=reason
            )
        else:
            tenant_id = form.cleaned_data["tenant"].pk
            saved = services.create_coupon(tenant_id, document, actor=actor, now=now, reason=reason)
        obj.pk = saved.pk
        obj.refresh_from_db()

    # --- Codes ---------------------------------------------------------------------------------

    def has_make_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may make and import codes."""
        return bool(request.user.has_perm("rewards.add_couponcode"))

    def has_export_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may see all codes of a coupon."""
        return bool(request.user.has_perm("rewards.view_couponcode"))

    @action(description="Generate codes", permissions=["make"], icon="add_circle")
    def generate_codes(self, request: HttpRequest, object_id: str) -> HttpResponse:
        coupon = self._get(request, object_id)
        form = GenerateForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            return self._ask(request, coupon, form, _generation(coupon))
        try:
            made = coupon_codes.generate(
                coupon.tenant_id,
                coupon.pk,
                form.document(),
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, coupon, exc)
            return self._ask(request, coupon, form, _generation(coupon))
        if isinstance(made, Job):
            return self._follow(request, made)
        self.message_user(request, f"Made {len(made)} codes of {coupon}.", messages.SUCCESS)
        return redirect(_codes_url(coupon))

    @action(description="Import codes", permissions=["make"], icon="upload")
    def import_codes(self, request: HttpRequest, object_id: str) -> HttpResponse:
        coupon = self._get(request, object_id)
        sent = (request.POST, request.FILES) if is_confirmed(request) else (None, None)
        form = ImportForm(*sent)
        if not form.is_valid():
            return self._ask(request, coupon, form, _import(coupon))
        try:
            done = coupon_imports.import_rows(
                coupon.tenant_id,
                coupon.pk,
                coupon_imports.read_import(form.cleaned_data["text"]),
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, coupon, exc)
            return self._ask(request, coupon, form, _import(coupon))
        if isinstance(done, Job):
            return self._follow(request, done)
        return self._verdicts(request, coupon, done)

    @action(description="Export as CSV", permissions=["export"], icon="download")
    def export_codes(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        coupon = self._get(request, object_id)
        return file_answer(
            request,
            coupon_exports.export_parts(coupon.tenant_id, coupon.pk, now=timezone.now()),
            name=coupon_exports.export_name(coupon.pk),
            content_type="text/csv",
        )

    @action(description="Show codes", permissions=["export"], icon="list")
    def show_codes(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(_codes_url(self._get(request, object_id)))

    @admin.action(description="Archive selected coupons", permissions=["change"])
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[Coupon]) -> None:
        for coupon in queryset:
            try:
                services.archive_coupon(
                    coupon.tenant_id, coupon.pk, actor=staff_actor(request), now=timezone.now()
                )
            except DomainError as exc:
                say_refusal(self, request, coupon, exc)
            else:
                self.message_user(request, f"Archived {coupon}.", messages.SUCCESS)

    def _get(self, request: HttpRequest, object_id: str) -> Coupon:
        coupon: Coupon | None = self.get_object(request, object_id)
        if coupon is None or not self.has_view_permission(request, coupon):
            raise Http404
        return coupon

    def _ask(
        self, request: HttpRequest, coupon: Coupon, form: Any, asked: Confirmation
    ) -> HttpResponse:
        return confirmation_page(self, request, asked, back_url=_coupon_url(coupon), form=form)

    def _follow(self, request: HttpRequest, job: Job) -> HttpResponse:
        self.message_user(request, "This takes a while; here is how far it is.", messages.INFO)
        return redirect(reverse("admin:rewards_job_change", args=[job.pk]))

    def _verdicts(
        self, request: HttpRequest, coupon: Coupon, verdicts: list[RowVerdict]
    ) -> HttpResponse:
        statuses = [verdict.status for verdict in verdicts]
        context = {
            **self.admin_site.each_context(request),
            "title": f"Import into {coupon.name}",
            "opts": self.opts,
            "back_url": _coupon_url(coupon),
            "back_text": coupon.name,
            "counts": [
                (name.capitalize(), statuses.count(name))
                for name in ("imported", "duplicate", "rejected")
            ],
            "verdicts": verdicts[:SHOWN_VERDICTS],
        }
        return TemplateResponse(request, "phoenix/admin/verdicts.html", context)

    # --- The list ------------------------------------------------------------------------------

    @display(description="Coupon", ordering="name", header=True)
    def coupon(self, coupon: Coupon) -> list[str]:
        return [coupon.name, coupon.custom_code or f"{coupon.code_prefix}…"]

    @display(description="Status", ordering="status", label=COLORS)
    def state(self, coupon: Coupon) -> tuple[str, str]:
        return coupon.status, coupon.get_status_display()

    @display(description="Meaning")
    def meaning(self, coupon: Coupon) -> str:
        how = "one shared code" if coupon.custom_code else "random codes"
        limits = [
            f"{_times(coupon.per_user_limit)} per player" if coupon.per_user_limit else "",
            f"{_times(coupon.total_limit)} in all" if coupon.total_limit else "",
        ]
        often = " and ".join(filter(None, limits)) or "any number of times"
        return f"Gives {coupon.item.name} by {how}, {often}"

    @display(description="Redeemed")
    def redeemed(self, coupon: Coupon) -> str:
        count = f"{coupon.tally.redeemed:,}"
        return f"{count} of {coupon.total_limit:,}" if coupon.total_limit else count

    @display(description="When (UTC)")
    def times(self, coupon: Coupon) -> str:
        start, end = coupon.starts_at, coupon.expires_at
        parts = [
            f"from {start:%d %b %Y, %H:%M}" if start else "",
            f"until {end:%d %b %Y, %H:%M}" if end else "",
        ]
        return " ".join(filter(None, parts)) or "always"

    @display(description="History")
    def history(self, coupon: Coupon) -> SafeString:
        return history_table(coupons.versions_of(coupon.tenant_id, coupon.pk))


def _generation(coupon: Coupon) -> Confirmation:
    return Confirmation(
        title=f"Generate codes of {coupon.name}",
        lead="Random codes that nobody can guess, each for one redemption. More than 1,000 are "
        "made in the background.",
        submit="Generate",
        facts=[
            ("Gives", coupon.item.name),
            ("Looks like", f"{coupon.code_prefix}{'X' * coupon.code_length}"),
        ],
    )


def _import(coupon: Coupon) -> Confirmation:
    return Confirmation(
        title=f"Import codes of {coupon.name}",
        lead="Codes that were made elsewhere. Each row gets a verdict; one that is wrong stops no "
        "other one.",
        submit="Import",
        facts=[("Gives", coupon.item.name)],
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _coupon_url(coupon: Coupon) -> str:
    return reverse("admin:rewards_coupon_change", args=[coupon.pk])


def _codes_url(coupon: Coupon) -> str:
    return f"{reverse('admin:rewards_couponcode_changelist')}?coupon__id__exact={coupon.pk}"
