"""Transactions of the ledger with their postings; a mistake is taken back, never edited."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    Confirmation,
    InfinitePaginator,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from rewards.admin.accounts import MAY_ADJUST
from rewards.admin.wallet_forms import ReverseForm
from rewards.admin.wallet_words import amount, posting_table, transaction_link
from rewards.models import LedgerTransaction, Posting
from rewards.selectors.wallet_explanations import explanations
from rewards.selectors.wallets import get_transaction
from rewards.services import reversals
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

_LABELS = {
    "Credit": "success",
    "Prize": "success",
    "Debit": "warning",
    "Purchase": "warning",
    "Reversal": "danger",
    "Expiry": "danger",
}


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Append-only; the database itself refuses any change."""

    list_display = ["made", "kind_shown", "moves", "player_id_shown", "source", "reason_shown"]
    list_filter = ["kind", ("created_at", RangeDateTimeFilter), "tenant"]
    list_per_page = 50
    paginator = InfinitePaginator
    search_fields = ["id__exact", "player__external_id__exact", "cause_id__exact"]
    search_help_text = "A transaction, a player, or the id of a cause, exactly"
    ordering = ["-created_at", "-pk"]
    actions = None
    actions_detail = ["reverse_transaction"]
    fieldsets = [
        (None, {"fields": [("made", "kind_shown"), ("player_id_shown", "tenant")]}),
        ("Why", {"fields": ["explained", ("source", "reason_shown"), ("cause", "actor")]}),
        ("Postings", {"fields": ["lines"]}),
        ("Reversal", {"fields": [("takes_back", "taken_back")]}),
        ("Key", {"fields": ["idempotency_key"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerTransaction]:
        lines = Posting.objects.select_related("account__currency", "account__player")
        found: QuerySet[LedgerTransaction] = super().get_queryset(request)
        return found.select_related("player", "tenant").prefetch_related(
            Prefetch("postings", queryset=lines.order_by("pk"), to_attr="known_lines")
        )

    # --- What is shown -------------------------------------------------------------------------

    @display(description="When (UTC)", ordering="created_at")
    def made(self, row: LedgerTransaction) -> str:
        return f"{row.created_at:%d %b %Y, %H:%M:%S}"

    @display(description="What", ordering="kind", label=_LABELS)
    def kind_shown(self, row: LedgerTransaction) -> str:
        return row.get_kind_display()

    @display(description="Moves")
    def moves(self, row: LedgerTransaction) -> str:
        lines: list[Posting] = getattr(row, "known_lines", [])
        return ", ".join(
            f"{amount(line.amount)} {line.account.currency.currency_id} to"
            f" {line.account.get_kind_display().lower()}"
            for line in lines
            if line.amount > 0
        )

    @display(description="Player")
    def player_id_shown(self, row: LedgerTransaction) -> str:
        return "-" if row.player is None else row.player.external_id

    @display(description="Source")
    def source(self, row: LedgerTransaction) -> str:
        return f"{row.source_type} {row.source_ref}".strip()

    @display(description="Reason")
    def reason_shown(self, row: LedgerTransaction) -> str:
        return row.reason or "-"

    @display(description="Cause")
    def cause(self, row: LedgerTransaction) -> str:
        event = f", event {row.event_id}" if row.event_id else ""
        return f"{row.cause_kind} {row.cause_id}{event}"

    @display(description="Explained")
    def explained(self, row: LedgerTransaction) -> str:
        view = get_transaction(row.tenant_id, row.pk)
        return str(explanations([view])[row.pk]["text"])

    @display(description="Postings")
    def lines(self, row: LedgerTransaction) -> SafeString:
        return posting_table(getattr(row, "known_lines", []))

    @display(description="Takes back")
    def takes_back(self, row: LedgerTransaction) -> SafeString | str:
        if row.reverses_id is None:
            return "-"
        return transaction_link(row.reverses_id, str(row.reverses_id))

    @display(description="Taken back by")
    def taken_back(self, row: LedgerTransaction) -> SafeString | str:
        found = LedgerTransaction.objects.filter(reverses=row.pk).first()
        return "-" if found is None else transaction_link(found.pk, str(found.pk))

    # --- Actions -------------------------------------------------------------------------------

    def has_reverse_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may move money from who may only look at it."""
        return bool(request.user.has_perm(MAY_ADJUST))

    @action(description="Reverse", permissions=["reverse"], icon="undo")
    def reverse_transaction(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: LedgerTransaction | None = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        here = reverse("admin:rewards_ledgertransaction_change", args=[row.pk])
        form = ReverseForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self._reverse(request, row, form.cleaned_data)
            return redirect(here)
        asked = Confirmation(
            title="Reverse a transaction",
            lead="The opposite postings are made, once. What was spent meanwhile stays spent.",
            submit="Reverse",
            facts=[("What", row.get_kind_display()), ("Moves", self.moves(row))],
            is_dangerous=True,
        )
        return confirmation_page(self, request, asked, back_url=here, form=form)

    def _reverse(self, request: HttpRequest, row: LedgerTransaction, sent: dict[str, Any]) -> None:
        try:
            outcome = reversals.reverse(
                row.tenant_id,
                row.pk,
                clip=sent["clip"],
                reason=sent["reason"],
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, row.get_kind_display(), exc)
            return
        short = f" {amount(outcome.shortfall)} could not be taken." if outcome.shortfall else ""
        link = transaction_link(outcome.transaction_id, "Reversed")
        self.message_user(request, format_html("{}.{}", link, short), messages.SUCCESS)
