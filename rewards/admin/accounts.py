"""Accounts of the ledger: what each holds, its lines, and where staff move money by hand."""

from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

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
from rewards.admin.wallet_forms import AdjustForm, FindWalletForm
from rewards.admin.wallet_words import amount, lot_table, owner_text, table, transaction_link
from rewards.models import Account, Currency, Lot, Posting
from rewards.services import wallets
from rewards.types.wallets import MoveInput
from tenants.admin.scoped import TenantScopedAdmin, in_scope, staff_actor

MAY_ADJUST: Final = "rewards.adjust_account"
_SHOWN: Final = 50
_MAX_CURRENCIES: Final = 500


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Made by postings; a wallet is adjusted through the service that the API uses."""

    list_display = ["whose", "kind_shown", "currency", "holds", "earned", "tenant_id"]
    list_filter = ["kind", "currency", "tenant"]
    list_select_related = ["player", "currency"]
    list_per_page = 50
    paginator = InfinitePaginator
    search_fields = ["player__external_id__exact", "reference__exact"]
    search_help_text = "A player's id or a reference, exactly"
    ordering = ["-pk"]
    actions = None
    actions_list = ["adjust_wallet"]
    actions_detail = ["adjust"]
    fieldsets = [
        (None, {"fields": [("whose", "kind_shown"), ("currency", "tenant")]}),
        ("Balance", {"fields": [("holds", "earned")]}),
        ("Lots", {"fields": ["lots"]}),
        ("Last postings", {"fields": ["postings"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        found: QuerySet[Account] = super().get_queryset(request)
        return found.select_related("player", "currency", "tenant")

    # --- What is shown -------------------------------------------------------------------------

    @display(description="Whose")
    def whose(self, account: Account) -> str:
        return owner_text(account)

    @display(description="Account", ordering="kind", label={"Wallet": "info", "Held": "warning"})
    def kind_shown(self, account: Account) -> str:
        return account.get_kind_display()

    @display(description="Holds", ordering="balance")
    def holds(self, account: Account) -> str:
        is_summed = account.kind in ("issuer", "clearing", "expired", "fees")
        return "summed, see its currency" if is_summed else amount(account.balance)

    @display(description="Ever earned", ordering="lifetime_earned")
    def earned(self, account: Account) -> str:
        return amount(account.lifetime_earned) if account.kind == "wallet" else "-"

    @display(description="Lots")
    def lots(self, account: Account) -> SafeString | str:
        if not account.has_lots:
            return "None: nothing in it expires."
        rows = Lot.objects.filter(account=account, remaining__gt=0)
        return lot_table(rows.order_by("expires_at", "pk")[:_SHOWN])

    @display(description="Postings")
    def postings(self, account: Account) -> SafeString:
        rows = Posting.objects.filter(account=account).select_related("transaction")
        newest = rows.order_by("-created_at", "-pk")[:_SHOWN]
        return table(
            ("When (UTC)", "What", "Amount", "Afterwards", "Source", "Reason"),
            (
                (
                    f"{posting.created_at:%d %b %Y, %H:%M:%S}",
                    transaction_link(
                        posting.transaction_id, posting.transaction.get_kind_display()
                    ),
                    amount(posting.amount),
                    amount(posting.balance_after),
                    f"{posting.transaction.source_type} {posting.transaction.source_ref}",
                    posting.transaction.reason or "-",
                )
                for posting in newest
            ),
        )

    # --- Actions -------------------------------------------------------------------------------

    def has_adjust_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may move money from who may only look at it."""
        return bool(request.user.has_perm(MAY_ADJUST))

    @action(description="Adjust", permissions=["adjust"], icon="payments")
    def adjust(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account: Account | None = self.get_object(request, object_id)
        if account is None or not self.has_view_permission(request, account):
            raise Http404
        here = reverse("admin:rewards_account_change", args=[account.pk])
        if account.kind != Account.Kind.WALLET or account.player is None:
            self.message_user(request, "Only wallets are adjusted.", messages.ERROR)
            return redirect(here)
        form = AdjustForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            user_id, currency_id = account.player.external_id, account.currency.currency_id
            self._move(request, account.tenant_id, user_id, currency_id, form)
            return redirect(here)
        asked = Confirmation(
            title=f"Adjust the wallet of {account.player.external_id}",
            lead=f"It holds {amount(account.balance)} {account.currency.currency_id}.",
            submit="Adjust",
        )
        return confirmation_page(self, request, asked, back_url=here, form=form)

    @action(description="Adjust a wallet", permissions=["adjust"], icon="payments")
    def adjust_wallet(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        here = reverse("admin:rewards_account_changelist")
        offered = self._currencies(request)
        form = FindWalletForm(
            request.POST if is_confirmed(request) else None,
            currencies=[(str(row.pk), f"{row} of {row.tenant_id}") for row in offered],
        )
        if form.is_valid():
            chosen = next(row for row in offered if str(row.pk) == form.cleaned_data["currency"])
            user_id = form.cleaned_data["user_id"]
            if self._move(request, chosen.tenant_id, user_id, chosen.currency_id, form):
                return redirect(here)
        asked = Confirmation(
            title="Adjust a wallet",
            lead="The credit comes from the issuer, a debit returns to it.",
            submit="Adjust",
        )
        return confirmation_page(self, request, asked, back_url=here, form=form)

    def _currencies(self, request: HttpRequest) -> list[Currency]:
        rows = Currency.objects.filter(is_active=True, has_wallets=True)
        scoped = in_scope(rows, request, "tenant").order_by("tenant_id", "currency_id")
        return list(scoped[:_MAX_CURRENCIES])

    def _move(
        self, request: HttpRequest, tenant_id: str, user_id: str, currency_id: str, form: Any
    ) -> bool:
        """Do it, say what came of it, and return whether it was done."""
        sent, actor = form.cleaned_data, staff_actor(request)
        move = MoveInput(
            user_id, currency_id, sent["amount"], sent["reason"], "", sent["expires_at"]
        )
        do = wallets.grant if sent["direction"] == "credit" else wallets.deduct
        key = wallets.request_key("admin", actor, None)
        try:
            movement = do(tenant_id, move, key=key, actor=actor, now=timezone.now())
        except DomainError as exc:
            say_refusal(self, request, user_id, exc)
            return False
        text = f"{user_id} has {amount(movement.balance_after)} {currency_id} now."
        self.message_user(request, text, messages.SUCCESS)
        return True
