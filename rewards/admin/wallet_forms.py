"""The forms by which staff move money: always with a reason."""

from decimal import Decimal
from typing import Any

from django import forms

from phoenix_site.common.admin import (
    ReasonForm,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)
from rewards.rules.wallet_requests import read_target
from rewards.types.money import MAX_AMOUNT
from rewards.types.wallets import Target

__all__ = ["AdjustForm", "CaptureForm", "FindWalletForm", "ReleaseForm", "ReverseForm"]


def _amount(label: str, *, is_required: bool = True, help_text: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=is_required,
        min_value=Decimal("0.00000001"),
        max_value=MAX_AMOUNT - 1,
        decimal_places=8,
        max_digits=38,
        help_text=help_text,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )


class AdjustForm(ReasonForm):
    """A credit or a debit by hand."""

    direction = forms.ChoiceField(
        label="What",
        choices=[("credit", "Credit: give it to the player"), ("debit", "Debit: take it")],
        widget=UnfoldAdminSelectWidget,
    )
    amount = _amount("Amount")
    expires_at = forms.DateTimeField(
        label="Ends (UTC)",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-12-31 00:00"}),
        help_text="Of a credit. Empty: as the currency says.",
    )
    field_order = ["direction", "amount", "expires_at", "reason"]


class FindWalletForm(AdjustForm):
    """The same for a wallet that may not exist yet."""

    currency = forms.ChoiceField(label="Currency", widget=UnfoldAdminSelectWidget)
    user_id = forms.CharField(
        label="Player",
        max_length=128,
        widget=UnfoldAdminTextInputWidget,
        help_text="The tenant's id of the player; one who is not known yet is made.",
    )
    field_order = ["currency", "user_id", "direction", "amount", "expires_at", "reason"]

    def __init__(self, *args: Any, currencies: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["currency"]
        field.choices = currencies


class ReverseForm(ReasonForm):
    """Takes a transaction back."""

    clip = forms.BooleanField(
        label="Take what is there",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="If the wallet holds less by now: take that, and leave the rest.",
    )
    field_order = ["clip", "reason"]


class ReleaseForm(ReasonForm):
    """Gives back what is held, or a part of it."""

    amount = _amount("Amount", is_required=False, help_text="Empty: what is left.")
    field_order = ["amount", "reason"]


class CaptureForm(ReleaseForm):
    """Pays what is held, or a part of it."""

    to = forms.CharField(
        label="To",
        max_length=191,
        widget=UnfoldAdminTextInputWidget,
        help_text="prize_pool:{reference}, fees, fees:{reference} or issuer.",
    )
    field_order = ["to", "amount", "reason"]

    def clean_to(self) -> Target:
        """Return the account that is meant."""
        target = read_target(self.cleaned_data["to"])
        if target is None:
            raise forms.ValidationError("There is no such account.")
        return target
