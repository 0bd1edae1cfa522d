"""The forms of coupons: the definition in fields, and what is asked for codes."""

from typing import Any, Final

from django import forms

from phoenix_site.common.admin import (
    ReasonForm,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)
from phoenix_site.common.times import format_utc
from rewards.constants import MAX_CODES
from rewards.exceptions import DocumentError
from rewards.models import Coupon
from rewards.rules.coupons import read_coupon

# Which field shows a fault of which part of the document.
_FIELDS: Final = {
    "config.reward_item_id": "item",
    "config.case_sensitive": "is_case_sensitive",
    "config.usage_limit": "total_limit",
}


class CouponForm(forms.ModelForm):  # type: ignore[type-arg]
    """A coupon in fields; empty limits mean that there is none."""

    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Why it changes; kept with the version.",
    )
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Coupon
        fields = [
            *("tenant", "name", "description", "status", "item"),
            *("code_format", "code_prefix", "code_length", "custom_code", "is_case_sensitive"),
            *("starts_at", "expires_at", "per_user_limit", "total_limit"),
        ]
        labels = {
            "item": "Gives",
            "code_format": "Codes",
            "code_prefix": "Prefix",
            "code_length": "Random signs",
            "custom_code": "The code",
            "is_case_sensitive": "Capital and small letters differ",
            "starts_at": "From (UTC)",
            "expires_at": "Until (UTC)",
            "per_user_limit": "Redemptions per player",
            "total_limit": "Redemptions in all",
        }
        help_texts = {
            "code_format": "Random codes are made or imported afterwards, each for one redemption.",
            "code_prefix": "Stands before the signs of random codes.",
            "code_length": "6 to 32, behind the prefix.",
            "custom_code": "Of a custom coupon: 3 to 64 letters, digits, - and _.",
            "per_user_limit": "Empty: any number.",
            "total_limit": "Empty: any number. Never exceeded, however many come at once.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "custom_code" in self.fields:  # not on the page of who may only look
            self.fields["custom_code"].required = False
        if self.instance._state.adding:  # noqa: SLF001 - Django documents it
            self.initial.setdefault("code_format", Coupon.CodeFormat.RANDOM)
            self.initial.setdefault("per_user_limit", 1)
        else:
            self.initial["expected_version"] = self.instance.version

    def document(self) -> dict[str, Any]:
        """Return the form as the document that the API takes."""
        sent = self.cleaned_data
        item = sent.get("item")
        is_custom = sent.get("code_format") == Coupon.CodeFormat.CUSTOM
        return {
            "name": sent.get("name"),
            "description": sent.get("description", ""),
            "status": sent.get("status"),
            "config": {
                "reward_item_id": None if item is None else str(item.pk),
                "code_format": sent.get("code_format"),
                "code_prefix": "" if is_custom else sent.get("code_prefix", ""),
                "code_length": sent.get("code_length"),
                "custom_code": (sent.get("custom_code") or None) if is_custom else None,
                "case_sensitive": sent.get("is_case_sensitive", False),
                "starts_at": _time(sent.get("starts_at")),
                "expires_at": _time(sent.get("expires_at")),
                "usage_limit": self._limits(),
            },
        }

    def _limits(self) -> Any:
        kinds = {"per_user": "per_user_limit", "total": "total_limit"}
        found = [
            {"limit_type": kind, "max_uses": self.cleaned_data[name]}
            for kind, name in kinds.items()
            if self.cleaned_data.get(name) is not None
        ]
        return found or {"limit_type": "unlimited"}

    def clean(self) -> dict[str, Any]:
        """Check the document as the service does, and say each fault at its field."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        try:
            read_coupon(self.document())
        except DocumentError as exc:
            for fault in exc.faults:
                root = ".".join(fault.path.split(".")[:2])
                field = _FIELDS.get(root, root.removeprefix("config."))
                self.add_error(field if field in self.fields else None, fault.message)
        tenant = cleaned.get("tenant") or getattr(self.instance, "tenant", None)
        item = cleaned.get("item")
        if tenant is not None and item is not None and item.tenant_id != tenant.pk:
            self.add_error("item", "is an item of another tenant")
        return cleaned

    def _post_clean(self) -> None:
        # The document was checked as a whole; the model's own checks would say less.
        return


class GenerateForm(forms.Form):
    """How many codes, and for whom."""

    user_ids = forms.CharField(
        required=False,
        label="Players",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6}),
        help_text="One id per line. Empty: codes that anybody may redeem.",
    )
    count = forms.IntegerField(
        label="Codes",
        min_value=1,
        max_value=MAX_CODES,
        initial=1,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "number"}),
        help_text="For each player, or in all.",
    )

    def document(self) -> dict[str, Any]:
        """Return what is asked for as the API takes it."""
        count, lines = self.cleaned_data["count"], self.cleaned_data["user_ids"].splitlines()
        user_ids = [line.strip() for line in lines if line.strip()]
        if not user_ids:
            return {"count": count}
        return {"user_ids": user_ids, "count_per_user": count}


class ImportForm(forms.Form):
    """A CSV file, or its text."""

    file = forms.FileField(
        required=False,
        label="CSV file",
        help_text="The first line names the columns code and, where codes belong to players, "
        "user_id.",
    )
    text = forms.CharField(
        required=False,
        label="or its text",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8}),
    )

    def clean(self) -> dict[str, Any]:
        """Read the file as text."""
        cleaned = super().clean() or self.cleaned_data
        file = cleaned.get("file")
        if file is not None:
            try:
                cleaned["text"] = file.read().decode()
            except UnicodeDecodeError:
                self.add_error("file", "This is not a text in UTF-8.")
        if not cleaned.get("text") and not self.errors:
            self.add_error("text", "Choose a file, or put its text here.")
        return cleaned


class ReverseForm(ReasonForm):
    """Why a redemption is taken back, and what if the money is spent."""

    clip = forms.BooleanField(
        required=False,
        label="Take what is left, if the wallet has too little",
        widget=UnfoldBooleanSwitchWidget,
    )


def _time(value: Any) -> str | None:
    return None if value is None else format_utc(value)
