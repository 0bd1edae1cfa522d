"""The login page: password, one-time code where the person has a second factor, lockout, audit."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.signals import user_login_failed
from django.utils import timezone

from phoenix_site.common.admin import AuthenticationForm, UnfoldAdminTextInputWidget
from phoenix_site.common.requests import login_address
from tenants.exceptions import SecondFactorNeededError
from tenants.services import staff

_DOOR = "page"


class StaffLoginForm(AuthenticationForm):  # type: ignore[misc]
    """Ask for name and password, and for the code of the second factor where there is one."""

    otp = forms.CharField(
        label="One-time code",
        required=False,
        max_length=16,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}
        ),
        help_text="Only if your account has a second factor.",
    )

    def clean(self) -> dict[str, Any]:
        try:
            cleaned: dict[str, Any] = super().clean()
        except forms.ValidationError:
            self._note_refusal()
            raise
        user: Any = self.get_user()
        if user is not None:
            self._check_second_factor(user, cleaned.get("otp") or None)
            address = login_address(self.request) or ""
            staff.record_sign_in(user, door=_DOOR, address=address, now=timezone.now())
        return cleaned

    def _check_second_factor(self, user: Any, code: str | None) -> None:
        try:
            device = staff.check_second_factor(user, code)
        except SecondFactorNeededError as exc:
            self.user_cache = None
            if code:
                credentials = {"username": user.get_username()}
                user_login_failed.send(__name__, credentials=credentials, request=self.request)
                self._note_refusal()
            raise forms.ValidationError(exc.message, code="second_factor") from exc
        if device is not None:
            user.otp_device = device

    def _note_refusal(self) -> None:
        if not getattr(self.request, "axes_locked_out", False):
            staff.record_refused_sign_in(
                self.cleaned_data.get("username") or "",
                door=_DOOR,
                address=login_address(self.request) or "",
                now=timezone.now(),
            )


# Set here and not in the theme's settings: those are read while the site is being built, which
# would import this package before the site exists.
admin.site.login_form = StaffLoginForm
