"""The form of a reward item: its payload in fields, by type."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django import forms

from phoenix_site.common.admin import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)
from phoenix_site.common.json_fields import JsonField
from rewards.exceptions import DocumentError
from rewards.models import RewardItem
from rewards.rules.items import read_item
from rewards.selectors.book import book_of
from rewards.services import items

__all__ = ["ItemForm"]

# Which payload key each type's fields make, and which field shows a fault of it.
_PAYLOADS: Final[Mapping[str, Mapping[str, str]]] = {
    "currency": {"currency_id": "currency", "amount": "amount"},
    "points": {"amount": "amount"},
    "badge": {"badge_id": "badge_id", "tier": "badge_tier"},
    "item": {"item_id": "item_key", "quantity": "quantity"},
    "bonus_offer": {
        "bonus_offer_id": "bonus_offer_id",
        "amount": "amount",
        "currency": "bonus_currency",
    },
    "coupon": {"coupon_id": "coupon"},
    "streak_freeze": {"streak_id": "streak", "count": "freezes"},
}
_RENAMED: Final = {"active": "is_active"}


def _text(label: str, **options: Any) -> forms.CharField:
    return forms.CharField(
        label=label, required=False, widget=UnfoldAdminTextInputWidget, **options
    )


def _choice(label: str, help_text: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label, required=False, widget=UnfoldAdminSelectWidget, help_text=help_text
    )


def _count(label: str) -> forms.IntegerField:
    widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"})
    return forms.IntegerField(label=label, required=False, initial=1, widget=widget)


class ItemForm(forms.ModelForm):  # type: ignore[type-arg]
    """A reward item in fields; those of other types than the chosen one are not looked at."""

    currency = _choice("Currency")
    amount = forms.DecimalField(
        label="Amount",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )
    badge_id = _text("Badge", max_length=200, help_text="The id that the game knows it by.")
    badge_tier = _text("Tier of the badge", max_length=64)
    item_key = _text("Item", max_length=200, help_text="The id that the game knows it by.")
    quantity = _count("Quantity")
    bonus_offer_id = _text("Bonus offer", max_length=200, help_text="The operator's id of it.")
    bonus_currency = _text("Currency of the amount", max_length=40, help_text="Such as EUR.")
    coupon = _choice("Coupon")
    streak = _choice("Streak", "Empty: a freeze for any streak.")
    freezes = _count("Freezes")
    details = JsonField(
        label="Details",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "class": "phoenix-mono"}),
        help_text='What whoever sends it has to know, as JSON: {"size": "XL", '
        '"shipping_required": true}.',
    )
    reason = _text("Reason", max_length=500, help_text="Why it changes; kept with the version.")
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    # (value, label) by field, of what the person may choose; set by the page.
    offered: Mapping[str, Sequence[tuple[str, str]]] = {}

    class Meta:
        model = RewardItem
        fields = [
            *("tenant", "name", "description", "image_url", "reward_type", "unit_cost"),
            *("claim", "claim_within_s", "is_active"),
        ]
        labels = {
            "reward_type": "What is given",
            "unit_cost": "Costs",
            "claim": "Is claimed",
            "claim_within_s": "Within (seconds)",
            "is_active": "In the library",
        }
        help_texts = {
            "unit_cost": "What giving it once costs, in the tenant's base currency. 0 with money: "
            "what the currency costs.",
            "claim_within_s": "Empty: at any time.",
        }
        widgets = {"image_url": UnfoldAdminTextInputWidget}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, choices in self.offered.items():
            field: Any = self.fields.get(name)
            if field is not None:
                field.choices = [("", "---------"), *choices]
        # A new row has its key already.
        if not self.instance._state.adding:  # noqa: SLF001 - Django's own way to ask
            self.initial.update(_initial_of(self.instance))
            self.initial["expected_version"] = self.instance.version

    def document(self) -> dict[str, Any]:
        """Return the form as the document that the API takes."""
        sent = self.cleaned_data
        return {
            "name": sent.get("name"),
            "description": sent.get("description", ""),
            "image_url": sent.get("image_url") or None,
            "reward_type": sent.get("reward_type"),
            "payload": self._payload(),
            "unit_cost": sent.get("unit_cost"),
            "claim": sent.get("claim"),
            "claim_within_s": sent.get("claim_within_s"),
            "active": sent.get("is_active", True),
        }

    def _payload(self) -> Any:
        sent, reward_type = self.cleaned_data, self.cleaned_data.get("reward_type", "")
        if reward_type == "physical_item":
            return sent.get("details") or {}
        named = {key: sent.get(name) for key, name in _PAYLOADS.get(reward_type, {}).items()}
        return {key: value for key, value in named.items() if value not in (None, "")}

    def clean(self) -> dict[str, Any]:
        """Check the document as the service does, and say each fault at its field."""
        cleaned = super().clean() or self.cleaned_data
        tenant = cleaned.get("tenant") or getattr(self.instance, "tenant", None)
        if self.errors or tenant is None:
            return cleaned
        try:
            read_item(self.document(), book_of(tenant.pk), items.links_of(tenant.pk))
        except DocumentError as exc:
            for fault in exc.faults:
                field = self._field_of(fault.path)
                said = fault.message if field in self.fields else f"{fault.path}: {fault.message}"
                self.add_error(field if field in self.fields else None, said)
        return cleaned

    def _field_of(self, path: str) -> str:
        root, _, key = path.partition(".")
        if root != "payload":
            return _RENAMED.get(root, root)
        return _PAYLOADS.get(self.cleaned_data["reward_type"], {}).get(key, "details")

    def _post_clean(self) -> None:
        # The document was checked as a whole; the model's own checks would say less.
        return


def _initial_of(item: RewardItem) -> dict[str, Any]:
    if item.reward_type == "physical_item":
        return {"details": item.payload}
    named = _PAYLOADS.get(item.reward_type, {})
    return {name: item.payload.get(key) for key, name in named.items()}
