"""Holds: what is set aside, until it is captured or goes back."""

from typing import Any, Final

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from phoenix_site.common.admin import (
    Confirmation,
    InfinitePaginator,
    ReadOnlyAdmin,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from rewards.admin.accounts import MAY_ADJUST
from rewards.admin.wallet_forms import CaptureForm, ReleaseForm
from rewards.admin.wallet_words import amount
from rewards.models import Hold
from rewards.services import wallets
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

_LEADS: Final = {
    "Capture": "What is held, or a part of it, is paid to an account of the house.",
    "Release": "What is held, or a part of it, goes back into the player's wallet.",
}


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Opened by calls and payments; what is left goes back by itself when the hold ends."""

    list_display = ["opened", "whose", "currency", "held", "left", "reference", "state", "ends"]
    list_filter = ["status", "currency", "tenant"]
    list_select_related = ["player", "currency"]
    list_per_page = 50
    paginator = InfinitePaginator
    search_fields = ["id__exact", "player__external_id__exact", "reference__exact"]
    search_help_text = "A hold, a player or a reference, exactly"
    ordering = ["-pk"]
    actions = None
    actions_detail = ["capture", "release"]
    fieldsets = [
        (None, {"fields": [("whose", "currency"), ("reference", "tenant")]}),
        ("Amounts", {"fields": [("held", "left"), ("captured_shown", "released_shown")]}),
        ("State", {"fields": [("state", "opened", "ends")]}),
    ]

    # --- What is shown -------------------------------------------------------------------------

    @display(description="Opened (UTC)", ordering="pk")
    def opened(self, hold: Hold) -> str:
        return f"{hold.created_at:%d %b %Y, %H:%M:%S}"

    @display(description="Ends (UTC)", ordering="expires_at")
    def ends(self, hold: Hold) -> str:
        return f"{hold.expires_at:%d %b %Y, %H:%M:%S}"

    @display(description="Player")
    def whose(self, hold: Hold) -> str:
        return hold.player.external_id

    @display(description="Amount", ordering="amount")
    def held(self, hold: Hold) -> str:
        return amount(hold.amount)

    @display(description="Left")
    def left(self, hold: Hold) -> str:
        return amount(hold.amount - hold.captured - hold.released)

    @display(description="Captured")
    def captured_shown(self, hold: Hold) -> str:
        return amount(hold.captured)

    @display(description="Released")
    def released_shown(self, hold: Hold) -> str:
        return amount(hold.released)

    @display(description="State", ordering="status", label={"Open": "info", "Closed": None})
    def state(self, hold: Hold) -> str:
        return hold.get_status_display()

    # --- Actions -------------------------------------------------------------------------------

    def has_adjust_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may move money from who may only look at it."""
        return bool(request.user.has_perm(MAY_ADJUST))

    @action(description="Capture", permissions=["adjust"], icon="price_check")
    def capture(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, object_id, CaptureForm, "Capture")

    @action(description="Release", permissions=["adjust"], icon="undo")
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, object_id, ReleaseForm, "Release")

    def _ask(
        self, request: HttpRequest, object_id: str, kind: type[ReleaseForm], verb: str
    ) -> HttpResponse:
        hold: Hold | None = self.get_object(request, object_id)
        if hold is None or not self.has_view_permission(request, hold):
            raise Http404
        here = reverse("admin:rewards_hold_change", args=[hold.pk])
        form = kind(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self._end(request, hold, form.cleaned_data)
            return redirect(here)
        asked = Confirmation(
            title=f"{verb} a hold",
            lead=_LEADS[verb],
            submit=verb,
            facts=[
                ("Player", hold.player.external_id),
                ("Left", f"{self.left(hold)} {hold.currency.currency_id}"),
                ("For", hold.reference),
            ],
        )
        return confirmation_page(self, request, asked, back_url=here, form=form)

    def _end(self, request: HttpRequest, hold: Hold, sent: dict[str, Any]) -> None:
        actor, now = staff_actor(request), timezone.now()
        common: dict[str, Any] = {
            "key": wallets.request_key("admin", actor, None),
            "actor": actor,
            "now": now,
            "reason": sent["reason"],
        }
        place = (hold.tenant_id, hold.pk, sent["amount"])
        try:
            done = (
                wallets.capture_hold(*place, sent["to"], **common)
                if "to" in sent
                else wallets.release_hold(*place, **common)
            )
        except DomainError as exc:
            say_refusal(self, request, hold, exc)
            return
        text = f"{amount(done.remaining)} of the hold are left."
        self.message_user(request, text, messages.SUCCESS)
