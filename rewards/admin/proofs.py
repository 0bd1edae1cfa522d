"""Proofs of ledgers: one row a night, chained by their hashes."""

from typing import Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from phoenix_site.common.admin import (
    Confirmation,
    InfinitePaginator,
    ReadOnlyAdmin,
    UnfoldAdminSelectWidget,
    action,
    confirmation_page,
    display,
    is_confirmed,
)
from rewards.admin.wallet_words import table
from rewards.models import Proof
from rewards.services import jobs, proofs
from tenants.admin.scoped import TenantScopedAdmin, in_scope, staff_actor
from tenants.models import Tenant

_CHECKS: Final = {
    "sum": "All postings of a currency sum to zero",
    "transaction": "The postings of a transaction sum to zero",
    "postings": "A transaction has postings",
    "balance": "What an account holds is the sum of its postings",
    "lifetime": "What a wallet ever earned is the sum of its credits and prizes",
    "lots": "The lots of a wallet add up to what it holds",
    "held": "What is held is the sum of the open holds",
    "firing": "A firing with money has its transaction",
    "grant": "A grant of money has its transaction",
}


class TenantForm(forms.Form):
    """Whose ledger is proven."""

    tenant = forms.ModelChoiceField(
        queryset=Tenant.objects.none(), widget=UnfoldAdminSelectWidget, label="Tenant"
    )


@admin.register(Proof)
class ProofAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    """Made by jobs; a difference stays to be seen, nothing is repaired."""

    list_display = ["number", "tenant_id", "outcome", "began", "took"]
    list_filter = ["tenant"]
    list_per_page = 50
    paginator = InfinitePaginator
    ordering = ["-started_at", "-number"]
    actions = None
    actions_list = ["prove_now"]
    fieldsets = [
        (None, {"fields": [("number", "tenant"), ("outcome", "began", "took")]}),
        ("Differences", {"fields": ["difference_table"]}),
        ("Counted", {"fields": ["count_table"]}),
        ("Chain", {"fields": ["hash", "previous_hash", "chain"]}),
    ]

    @display(description="Outcome", label={"good": "success", "bad": "danger"})
    def outcome(self, proof: Proof) -> tuple[str, str]:
        if not proof.difference_count:
            return "good", "Proven"
        return "bad", f"{proof.difference_count:,} differences"

    @display(description="Began (UTC)", ordering="started_at")
    def began(self, proof: Proof) -> str:
        return f"{proof.started_at:%d %b %Y, %H:%M:%S}"

    @display(description="Took")
    def took(self, proof: Proof) -> str:
        return f"{(proof.finished_at - proof.started_at).total_seconds():.2f} s"

    @display(description="Differences")
    def difference_table(self, proof: Proof) -> SafeString | str:
        if not proof.differences:
            return "None."
        return table(
            ("What does not hold", "Currency", "Where", "Expected", "Found"),
            (
                (
                    _CHECKS.get(each["check"], each["check"]),
                    each["currency_id"] or "-",
                    each["subject"] or "-",
                    each["expected"],
                    each["actual"],
                )
                for each in proof.differences
            ),
        )

    @display(description="Counts")
    def count_table(self, proof: Proof) -> SafeString:
        names = ("transactions", "postings", "wallets", "circulating")
        rows = sorted(proof.counts.items())
        return table(
            ("Currency", "Transactions", "Postings", "Wallets", "Circulating"),
            ((currency_id, *(counts[name] for name in names)) for currency_id, counts in rows),
        )

    @display(description="Chain")
    def chain(self, proof: Proof) -> str:
        if proofs.hash_proof(proof) != proof.hash:
            return "The row is not what was hashed."
        before = Proof.objects.filter(tenant=proof.tenant_id, number=proof.number - 1).first()
        if (before.hash if before else "") != proof.previous_hash:
            return "The proof before is not the one that this one follows."
        return "Holds: this hash is that of the row, and covers the proof before."

    # --- Actions -------------------------------------------------------------------------------

    def has_prove_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may start a proof from who may only look at them."""
        return bool(request.user.has_perm("rewards.add_proof"))

    @action(description="Prove now", permissions=["prove"], icon="verified")
    def prove_now(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        here = reverse("admin:rewards_proof_changelist")
        form = TenantForm(request.POST if is_confirmed(request) else None)
        tenants: forms.ModelChoiceField[Tenant] = form.fields["tenant"]  # type: ignore[assignment]
        tenants.queryset = in_scope(Tenant.objects.order_by("pk"), request, "pk")
        if form.is_valid():
            tenant: Tenant = form.cleaned_data["tenant"]
            actor = staff_actor(request)
            job = jobs.enqueue(tenant.pk, proofs.JOB, {}, actor.label, timezone.now())
            self.message_user(request, "The ledger is being proven.", messages.SUCCESS)
            return redirect(reverse("admin:rewards_job_change", args=[job.pk]))
        asked = Confirmation(
            title="Prove a ledger",
            lead="Everything that is stored is compared with the postings. Nothing is changed.",
            submit="Prove",
        )
        return confirmation_page(self, request, asked, back_url=here, form=form)
