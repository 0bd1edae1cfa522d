"""Codes and redemptions: looked up, declared void, taken back."""

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
from rewards.admin.coupon_forms import ReverseForm
from rewards.models import CouponCode, CouponRedemption
from rewards.services import coupon_codes, coupon_reversals
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

_COLORS: Final = {
    "active": "success",
    "redeemed": "info",
    "expired": "warning",
    "revoked": "danger",
}
_SHOWN: Final = 50
_TABLE: Final = (
    '<table class="phoenix-table"><thead><tr><th>Player</th><th>When (UTC)</th><th>State</th></tr>'
    "</thead><tbody>{}</tbody></table>"
)
_ROW: Final = '<tr><td>{}</td><td><a class="text-link" href="{}">{}</a></td><td>{}</td></tr>'


@admin.register(CouponCode)
class CouponCodeAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """One code is found by typing it; what became of it stands on its page."""

    list_display = ["code", "coupon_name", "owner", "state", "made", "redeemed"]
    list_filter = ["status", "is_shared", "coupon", "tenant"]
    list_select_related = ["coupon", "player"]
    list_per_page = 50
    paginator = InfinitePaginator
    # What is typed goes through ``get_search_results``, which folds it.
    search_fields = ["code__exact"]
    search_help_text = "A code, or the id of the player whom it belongs to, exactly"
    ordering = ["-pk"]
    actions = ["void_selected"]
    actions_detail = ["void_code"]
    fieldsets = [
        (None, {"fields": [("code", "state"), ("coupon_name", "gives"), ("owner", "tenant")]}),
        ("Times (UTC)", {"fields": [("made", "redeemed", "voided")]}),
        ("Void", {"fields": ["note"]}),
        ("Redemptions", {"fields": ["redemption_table"]}),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        typed = search_term.strip()
        if not typed:
            return queryset, False
        is_folded = Q(code=typed.upper(), is_case_sensitive=False)
        is_it = Q(code=typed) | is_folded | Q(player__external_id=typed)
        return queryset.filter(is_it), False

    def has_void_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may declare codes void."""
        return bool(request.user.has_perm("rewards.change_couponcode"))

    @action(description="Declare void", permissions=["void"], icon="block")
    def void_code(self, request: HttpRequest, object_id: str) -> HttpResponse:
        code = self.get_object(request, object_id)
        if code is None:
            raise Http404
        url = reverse("admin:rewards_couponcode_change", args=[code.pk])
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            return confirmation_page(self, request, _void([code]), back_url=url, form=form)
        self._void(request, [code], form.cleaned_data["reason"])
        return redirect(url)

    @action(description="Declare selected codes void", permissions=["void"])
    def void_selected(
        self, request: HttpRequest, queryset: QuerySet[CouponCode]
    ) -> HttpResponse | None:
        codes = list(queryset)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self._void(request, codes, form.cleaned_data["reason"])
            return None
        url = reverse("admin:rewards_couponcode_changelist")
        keys = [code.pk for code in codes]
        return confirmation_page(
            self, request, _void(codes), back_url=url, form=form, selected=keys
        )

    def _void(self, request: HttpRequest, codes: list[CouponCode], reason: str) -> None:
        for code in codes:
            try:
                coupon_codes.void_code(
                    code.tenant_id,
                    code.code,
                    reason=reason,
                    actor=staff_actor(request),
                    now=timezone.now(),
                )
            except DomainError as exc:
                say_refusal(self, request, code, exc)
            else:
                self.message_user(request, f"{code} is void.", messages.SUCCESS)

    @display(description="Coupon")
    def coupon_name(self, code: CouponCode) -> str:
        return code.coupon.name

    @display(description="Gives")
    def gives(self, code: CouponCode) -> str:
        return code.coupon.item.name

    @display(description="Player")
    def owner(self, code: CouponCode) -> str:
        if code.player is not None:
            return code.player.external_id
        return "everybody" if code.is_shared else "anybody"

    @display(description="Status", ordering="status", label=_COLORS)
    def state(self, code: CouponCode) -> tuple[str, str]:
        end = code.coupon.expires_at
        if code.status == CouponCode.Status.ACTIVE and end is not None and end <= timezone.now():
            return "expired", "Expired"
        return code.status, code.get_status_display()

    @display(description="Made", ordering="pk")
    def made(self, code: CouponCode) -> str:
        return f"{code.created_at:%d %b %Y, %H:%M:%S}"

    @display(description="Redeemed")
    def redeemed(self, code: CouponCode) -> str:
        return f"{code.redeemed_at:%d %b %Y, %H:%M:%S}" if code.redeemed_at else "-"

    @display(description="Void since")
    def voided(self, code: CouponCode) -> str:
        return f"{code.revoked_at:%d %b %Y, %H:%M:%S}" if code.revoked_at else "-"

    @display(description="The latest")
    def redemption_table(self, code: CouponCode) -> SafeString:
        rows = code.redemptions.select_related("player").order_by("-pk")[:_SHOWN]
        cells = [
            (
                row.player.external_id,
                reverse("admin:rewards_couponredemption_change", args=[row.pk]),
                f"{row.redeemed_at:%d %b %Y, %H:%M:%S}",
                row.status,
            )
            for row in rows
        ]
        return format_html(_TABLE, format_html_join("", _ROW, cells)) if cells else SafeString("-")


@admin.register(CouponRedemption)
class CouponRedemptionAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Who redeemed which code, what came of it, and whether it was taken back."""

    list_display = ["when", "code_text", "player_id_text", "coupon_name", "state"]
    list_filter = [("reversed_at", admin.EmptyFieldListFilter), "coupon", "tenant"]
    list_select_related = ["coupon", "code", "player", "grant"]
    list_per_page = 50
    paginator = InfinitePaginator
    search_fields = ["code__code__iexact", "player__external_id__exact"]
    search_help_text = "A code, or a player's id, exactly"
    ordering = ["-pk"]
    actions = None
    actions_detail = ["reverse_redemption"]
    fieldsets = [
        (None, {"fields": [("code_text", "state"), ("player_id_text", "when"), "tenant"]}),
        ("Gave", {"fields": [("given", "grant_state"), "grant_id_text"]}),
        ("Taken back", {"fields": [("reversed_at", "reversed_by"), "reversal_reason"]}),
    ]

    def has_reverse_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may take redemptions back."""
        return bool(request.user.has_perm("rewards.change_couponredemption"))

    @action(description="Reverse", permissions=["reverse"], icon="undo")
    def reverse_redemption(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        url = reverse("admin:rewards_couponredemption_change", args=[row.pk])
        form = ReverseForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            return confirmation_page(self, request, _reversal(row), back_url=url, form=form)
        try:
            coupon_reversals.reverse_redemption(
                row.tenant_id,
                row.pk,
                reason=form.cleaned_data["reason"],
                clip=form.cleaned_data["clip"],
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, row.code, exc)
        else:
            self.message_user(request, "The redemption is reversed.", messages.SUCCESS)
        return redirect(url)

    @display(description="When (UTC)", ordering="pk")
    def when(self, row: CouponRedemption) -> str:
        return f"{row.redeemed_at:%d %b %Y, %H:%M:%S}"

    @display(description="Code")
    def code_text(self, row: CouponRedemption) -> str:
        return row.code.code

    @display(description="Player")
    def player_id_text(self, row: CouponRedemption) -> str:
        return row.player.external_id

    @display(description="Coupon")
    def coupon_name(self, row: CouponRedemption) -> str:
        return row.coupon.name

    @display(description="State", label={"redeemed": "success", "reversed": "danger"})
    def state(self, row: CouponRedemption) -> tuple[str, str]:
        return row.status, row.status.capitalize()

    @display(description="Item")
    def given(self, row: CouponRedemption) -> str:
        return str(row.grant.snapshot.get("name", ""))

    @display(description="State of the grant")
    def grant_state(self, row: CouponRedemption) -> str:
        return row.grant.get_status_display()

    @display(description="Grant")
    def grant_id_text(self, row: CouponRedemption) -> str:
        return str(row.grant_id)


def _void(codes: list[CouponCode]) -> Confirmation:
    names = [(code.code, code.coupon.name) for code in codes[:_SHOWN]]
    return Confirmation(
        title="Declare void" if len(codes) > 1 else f"Declare {codes[0]} void",
        lead="Nobody can redeem a void code, for good. One that is redeemed stays as it is: its "
        "redemption can be reversed.",
        submit="Declare void",
        heads=["Code", "Coupon"],
        rows=names,
        is_dangerous=True,
    )


def _reversal(row: CouponRedemption) -> Confirmation:
    return Confirmation(
        title=f"Reverse the redemption of {row.code}",
        lead="What it gave is revoked: money goes back, things and codes are lost. The code, or "
        "the slot of a shared one, is free again.",
        submit="Reverse",
        facts=[
            ("Player", row.player.external_id),
            ("Gave", row.grant.snapshot.get("name", "")),
            ("State of the grant", row.grant.get_status_display()),
        ],
        is_dangerous=True,
    )
