from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from phoenix_site.common.admin import (
    Confirmation,
    InfinitePaginator,
    ReadOnlyAdmin,
    ReasonForm,
    TabularInline,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from tenants.admin.scoped import TenantScopedAdmin, staff_actor
from tenants.models import Delivery, DeliveryAttempt
from tenants.services import deliveries

MAX_CHOSEN = 1000
_LABELS = {"pending": "info", "delivered": "success", "failed": "danger"}


class DeliveryAttemptInline(TabularInline):  # type: ignore[misc]
    """Every try, with what came back."""

    model = DeliveryAttempt
    extra = 0
    can_delete = False
    ordering = ["number"]
    fields = ["number", "started", "milliseconds", "status", "error", "answer", "request_id"]
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Whoever may see a delivery may see how it went.
        return bool(request.user.has_perm("tenants.view_delivery"))

    @display(description="Started (UTC)")
    def started(self, attempt: DeliveryAttempt) -> str:
        return f"{attempt.started_at:%d %b %Y, %H:%M:%S}"


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """What Phoenix owes other systems: when it is tried next, and what came back each time."""

    list_display = [
        "created",
        "tenant_id",
        "kind",
        "reference",
        "shown_state",
        "attempt_count",
        "last_status",
        "last_error",
        "due",
    ]
    list_filter = ["state", "kind", "tenant"]
    list_per_page = 50
    paginator = InfinitePaginator
    ordering = ["-created_at"]
    search_fields = ["reference__exact", "key__exact"]
    search_help_text = "A reference, such as a grant's id, or a key, spelled exactly."
    actions = ["retry_selected"]
    actions_detail = ["retry_now"]
    inlines = [DeliveryAttemptInline]
    fields = [
        "tenant_id",
        "kind",
        "reference",
        "key",
        "target",
        "order_key",
        "body",
        "shown_state",
        "due",
        "attempt_count",
        "last_status",
        "last_error",
        "created_at",
        "closed_at",
    ]
    readonly_fields = fields

    def has_retry_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell who may send deliveries again from who may only look at them."""
        return bool(request.user.has_perm("tenants.change_delivery"))

    @display(description="Created (UTC)", ordering="created_at")
    def created(self, delivery: Delivery) -> str:
        return f"{delivery.created_at:%d %b %Y, %H:%M:%S}"

    @display(description="State", ordering="state", label=_LABELS)
    def shown_state(self, delivery: Delivery) -> str:
        return delivery.state

    @display(description="Next attempt (UTC)")
    def due(self, delivery: Delivery) -> str:
        if delivery.state != Delivery.State.PENDING:
            return "-"
        if delivery.claim is not None and delivery.due_at > timezone.now():
            return "being sent"
        return f"{delivery.due_at:%d %b %Y, %H:%M:%S}"

    @action(description="Retry now", permissions=["retry"])
    def retry_selected(
        self, request: HttpRequest, queryset: QuerySet[Delivery]
    ) -> HttpResponse | None:
        # Oldest first: the order in which they were owed.
        chosen = list(queryset.order_by("id")[: MAX_CHOSEN + 1])
        if len(chosen) > MAX_CHOSEN:
            self.message_user(request, f"Choose at most {MAX_CHOSEN} at a time.", messages.ERROR)
            return None
        return self._retry(request, chosen)

    @action(description="Retry now", url_path="retry", permissions=["retry"], icon="replay")
    def retry_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        delivery = self.get_object(request, object_id)
        if delivery is None:
            return redirect("admin:tenants_delivery_changelist")
        asked = self._retry(request, [delivery])
        return asked or redirect("admin:tenants_delivery_change", object_id)

    def _retry(self, request: HttpRequest, chosen: Sequence[Delivery]) -> HttpResponse | None:
        """Ask, with a reason, then send one delivery after the other again."""
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            return confirmation_page(
                self,
                request,
                _retrying(chosen),
                back_url=reverse("admin:tenants_delivery_changelist"),
                form=form,
                selected=[delivery.pk for delivery in chosen],
            )
        for delivery in chosen:
            self._retry_one(request, delivery, form.cleaned_data["reason"])
        return None

    def _retry_one(self, request: HttpRequest, delivery: Delivery, reason: str) -> None:
        actor = staff_actor(request)
        try:
            deliveries.retry_delivery(delivery.pk, actor=actor, now=timezone.now(), reason=reason)
        except DomainError as exc:
            say_refusal(self, request, delivery, exc)
        else:
            self.message_user(request, f"Sending {delivery} again.", messages.SUCCESS)


def _retrying(chosen: Sequence[Delivery]) -> Confirmation:
    return Confirmation(
        title="Retry deliveries",
        lead="Each is sent at once, with the body and the idempotency key that it always had, and "
        "then on a schedule that begins anew. What has arrived is left alone.",
        submit="Retry now",
        heads=["Delivery", "Tenant", "State", "Attempts", "Last answer"],
        rows=[
            (str(d), d.tenant_id, d.state, d.attempt_count, d.last_status or d.last_error or "-")
            for d in chosen
        ],
    )
