"""People who work in the admin, their groups and second factors: for superusers only."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from phoenix_site.common.admin import (
    AdminPasswordChangeForm,
    UserChangeForm,
    UserCreationForm,
    display,
)
from tenants.admin.scoped import AuditedAdmin, staff_actor
from tenants.admin.secret_page import SecretNotice, secret_page
from tenants.services import snapshots, staff

_OTP_ADDRESS = "_phoenix_otp_address"

# Pages that libraries registered: ours take their place, or nobody needs them.
for model in (User, Group, TOTPDevice, OutstandingToken, BlacklistedToken):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class SuperuserOnlyAdmin(AuditedAdmin):
    """A page on which rights are given; whoever could open it could give themselves any right."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)


@admin.register(User)
class UserAdmin(SuperuserOnlyAdmin, DjangoUserAdmin):  # type: ignore[misc, type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser", "groups"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Switched off instead: the audit log goes on naming them.
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        super().save_model(request, obj, form, change)
        snapshots.forget()


@admin.register(Group)
class GroupAdmin(SuperuserOnlyAdmin, DjangoGroupAdmin):  # type: ignore[misc]
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        super().save_model(request, obj, form, change)
        snapshots.forget()


class SecondFactorForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = TOTPDevice
        fields = ["user", "name"]


@admin.register(TOTPDevice)
class SecondFactorAdmin(SuperuserOnlyAdmin):
    """Devices for one-time codes. The key is shown once, for the person to scan or type in."""

    form = SecondFactorForm
    is_audited_by_service = True
    list_display = ["user", "name", "is_confirmed", "created_at", "last_used_at"]
    list_select_related = ["user"]
    search_fields = ["user__username", "name"]
    autocomplete_fields = ["user"]
    fields = ["user", "name", "confirmed", "created_at", "last_used_at"]
    readonly_fields = ["confirmed", "created_at", "last_used_at"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj is not None else ["user", "name"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        actor = staff_actor(request)
        address = staff.add_second_factor(obj.user, name=obj.name, actor=actor, now=timezone.now())
        setattr(request, _OTP_ADDRESS, address)
        obj.pk = TOTPDevice.objects.filter(user=obj.user).latest("pk").pk

    def response_add(self, request: HttpRequest, obj: Any, *args: Any) -> HttpResponse:
        notice = SecretNotice(
            title="Second factor added",
            lead=f"For {obj.user}. Open this address on the phone, or type its secret into the app "
            "that makes the codes. It is shown this one time only.",
            label="Address",
            value=getattr(request, _OTP_ADDRESS),
            notes=["From now on the login asks this person for a code."],
        )
        back_url = reverse("admin:otp_totp_totpdevice_changelist")
        return secret_page(self, request, notice, back_url=back_url)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        staff.remove_second_factor(obj, actor=staff_actor(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for device in queryset:
            self.delete_model(request, device)

    @display(description="confirmed", boolean=True)
    def is_confirmed(self, device: TOTPDevice) -> bool:
        return bool(device.confirmed)


def _is_superuser(request: HttpRequest) -> bool:
    user: Any = request.user
    return bool(user.is_active and user.is_superuser)
