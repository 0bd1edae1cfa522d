from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from phoenix_site.common.admin import (
    ActionVariant,
    Confirmation,
    ReasonForm,
    TabularInline,
    UnfoldAdminCheckboxSelectMultipleWidget,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError, InvalidInputError
from tenants.admin.fields import LinesField
from tenants.admin.scoped import TenantScopedAdmin, staff_actor, visible_tenant_ids
from tenants.admin.secret_page import SecretNotice, secret_page
from tenants.constants import ADMIN_SCOPES, EVERY_SCOPE, ROTATION_OVERLAP, TENANT_SCOPES
from tenants.models import Credential, CredentialSecret
from tenants.services import credentials
from tenants.types import NewSecret

_NEW_SECRET = "_phoenix_new_secret"  # noqa: S105 - the name of an attribute
_HOURS = int(ROTATION_OVERLAP.total_seconds() // 3600)
_SCOPE_CHOICES = [
    ("Tenant secret", [(name, f"{name}: {text}") for name, text in TENANT_SCOPES.items()]),
    (
        "Admin API key",
        [
            (EVERY_SCOPE, "*: everything, also what later releases add"),
            *((name, f"{name}: {text}") for name, text in ADMIN_SCOPES.items()),
        ],
    ),
]


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=_SCOPE_CHOICES,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=Credential._meta.get_field("scopes").help_text,
    )
    allowed_cidrs = LinesField(
        label="Allowed addresses",
        help_text=Credential._meta.get_field("allowed_cidrs").help_text + " One on each line.",
    )

    class Meta:
        model = Credential
        fields = ["kind", "tenant", "tenants", "label", "scopes", "allowed_cidrs", "expires_at"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        kind = cleaned.get("kind") or self.instance.kind
        self._check_tenants(kind, cleaned)
        expires_at = cleaned.get("expires_at")
        try:
            credentials.check_values(
                kind,
                label=cleaned.get("label") or "-",
                scopes=cleaned.get("scopes") or (),
                allowed_cidrs=cleaned.get("allowed_cidrs") or (),
                expires_at=expires_at if expires_at != self.instance.expires_at else None,
                now=timezone.now(),
            )
        except InvalidInputError as exc:
            for detail in exc.details:
                self.add_error(detail.field, detail.message)
        return cleaned

    def _check_tenants(self, kind: str, cleaned: dict[str, Any]) -> None:
        if self.instance.pk is not None and not self.instance._state.adding:  # noqa: SLF001
            return
        if kind == Credential.Kind.TENANT_HMAC and cleaned.get("tenant") is None:
            self.add_error("tenant", "A tenant secret belongs to one tenant.")
        if kind == Credential.Kind.TENANT_HMAC and cleaned.get("tenants"):
            self.add_error("tenants", "A tenant secret reaches its own tenant only.")
        if kind == Credential.Kind.API_KEY and not cleaned.get("tenants"):
            self.add_error("tenants", "Choose at least one tenant that the key reaches.")


class SecretInline(TabularInline):  # type: ignore[misc]
    """The values of a credential: their beginnings and lives, never the values."""

    model = CredentialSecret
    fields = ["prefix_text", "created_at", "expires_at", "revoked_at"]
    readonly_fields = ["prefix_text", "created_at", "expires_at", "revoked_at"]
    extra = 0
    max_num = 0
    hide_title = True
    can_delete = False
    verbose_name_plural = "Secrets"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("tenants.view_credential"))

    @display(description="begins with")
    def prefix_text(self, secret: CredentialSecret) -> str:
        return f"{secret.prefix}…"


@admin.register(Credential)
class CredentialAdmin(TenantScopedAdmin):
    """Credentials of machines. A value is shown once, after creating or rotating."""

    form = CredentialForm
    inlines = [SecretInline]
    is_audited_by_service = True
    list_display = [
        "label",
        "kind_label",
        "state_label",
        "reach",
        "scope_text",
        "last_used_at",
        "expires_at",
        "created_at",
    ]
    list_filter = ["kind", "tenant"]
    search_fields = ["label", "=secrets__prefix"]
    search_help_text = "Label, or the beginning of a key exactly as the list of secrets shows it"
    autocomplete_fields = ["tenant", "tenants"]
    readonly_fields = ["created_at", "last_used_at", "revoked_at"]
    actions = ["revoke_selected"]
    actions_detail = ["rotate", "revoke"]
    fieldsets = [
        ("Credential", {"fields": ["kind", "label", "tenant", "tenants"]}),
        ("What it may do", {"fields": ["scopes", "allowed_cidrs", "expires_at"]}),
        ("Life", {"fields": ["created_at", "last_used_at", "revoked_at"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        now = timezone.now()
        is_live = Q(secrets__revoked_at__isnull=True) & (
            Q(secrets__expires_at__isnull=True) | Q(secrets__expires_at__gt=now)
        )
        rows = super().get_queryset(request).select_related("tenant").prefetch_related("tenants")
        rows = rows.annotate(live_secrets=Count("secrets", filter=is_live, distinct=True))
        found: QuerySet[Credential] = rows.exclude(pk__in=self._reaching_others(request))
        return found

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        parts = super().get_fieldsets(request, obj)
        return parts if obj is not None else parts[:-1]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return super().get_inlines(request, obj) if obj is not None else []

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed: list[str] = ["kind", "tenant"] if obj is not None else []
        if obj is not None and obj.kind == Credential.Kind.TENANT_HMAC:
            fixed.append("tenants")
        return [*fixed, *super().get_readonly_fields(request, obj)]

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        if "tenant" in form.base_fields and visible_tenant_ids(request) is not None:
            form.base_fields["tenant"].required = True
        return form

    def save_model(
        self,
        request: HttpRequest,
        obj: Credential,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        wanted = dict(form.cleaned_data)
        if change:
            self._change(request, obj, wanted, form.changed_data)
        else:
            made = self._create(request, wanted)
            obj.pk = made.credential_id
            setattr(request, _NEW_SECRET, made)
        obj.refresh_from_db()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        # Without the form's own many-to-many part: the service has set the tenants of a key.
        for formset in formsets:
            self.save_formset(request, form, formset, change=change)

    def response_add(self, request: HttpRequest, obj: Any, *args: Any) -> HttpResponse:
        made: NewSecret = getattr(request, _NEW_SECRET)
        return self._show(request, obj, made, "Credential created", [])

    @display(description="kind", ordering="kind")
    def kind_label(self, credential: Credential) -> str:
        return credential.get_kind_display()

    @display(
        description="state",
        label={"Live": "success", "Rotating": "warning", "Revoked": "danger", "Ended": "info"},
    )
    def state_label(self, credential: Any) -> str:
        if credential.revoked_at is not None:
            return "Revoked"
        ended = credential.expires_at is not None and credential.expires_at <= timezone.now()
        if ended or credential.live_secrets == 0:
            return "Ended"
        return "Rotating" if credential.live_secrets > 1 else "Live"

    @display(description="tenants")
    def reach(self, credential: Credential) -> str:
        if credential.kind == Credential.Kind.TENANT_HMAC:
            return credential.tenant_id or ""
        return ", ".join(sorted(tenant.pk for tenant in credential.tenants.all()))

    @display(description="scopes")
    def scope_text(self, credential: Credential) -> str:
        everything = credential.kind == Credential.Kind.TENANT_HMAC and not credential.scopes
        return "everything" if everything else ", ".join(credential.scopes)

    @action(
        description="Rotate secret", url_path="rotate", permissions=["change"], icon="autorenew"
    )
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        credential = self.get_object(request, object_id)
        if credential is None:
            return redirect("admin:tenants_credential_changelist")
        if not is_confirmed(request):
            back_url = reverse("admin:tenants_credential_change", args=[object_id])
            return confirmation_page(self, request, _rotation(credential), back_url=back_url)
        try:
            made = credentials.rotate_credential(
                credential.pk, actor=staff_actor(request), now=timezone.now()
            )
        except DomainError as exc:
            say_refusal(self, request, credential, exc)
            return redirect("admin:tenants_credential_change", object_id)
        notes = [f"The old secret works for {_HOURS} hours more; an older one has ended now."]
        return self._show(request, credential, made, "Secret rotated", notes)

    @action(
        description="Revoke",
        url_path="revoke",
        permissions=["change"],
        icon="block",
        variant=ActionVariant.DANGER,
    )
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        credential = self.get_object(request, object_id)
        if credential is None:
            return redirect("admin:tenants_credential_changelist")
        asked = self._revoke(request, [credential])
        return asked or redirect("admin:tenants_credential_change", object_id)

    @action(description="Revoke selected credentials", permissions=["change"])
    def revoke_selected(
        self, request: HttpRequest, queryset: QuerySet[Credential]
    ) -> HttpResponse | None:
        return self._revoke(request, queryset)

    def _reaching_others(self, request: HttpRequest) -> Any:
        """Return the keys that reach a tenant which the person does not work for."""
        seen = visible_tenant_ids(request)
        links = Credential.tenants.through.objects.all()
        if seen is None:
            return links.none().values("credential_id")
        return links.exclude(tenant_id__in=seen).values("credential_id")

    def _create(self, request: HttpRequest, wanted: dict[str, Any]) -> NewSecret:
        owner, reached, kind = wanted["tenant"], wanted["tenants"], wanted["kind"]
        common = {
            "label": wanted["label"],
            "scopes": wanted["scopes"],
            "allowed_cidrs": wanted["allowed_cidrs"],
            "expires_at": wanted["expires_at"],
            "actor": staff_actor(request),
            "now": timezone.now(),
        }
        if kind == Credential.Kind.TENANT_HMAC:
            return credentials.create_tenant_secret(owner.pk, **common)
        owner_id = owner.pk if owner else None
        tenant_ids = [tenant.pk for tenant in reached]
        return credentials.create_api_key(tenant_ids=tenant_ids, owner_id=owner_id, **common)

    def _change(
        self, request: HttpRequest, obj: Credential, wanted: dict[str, Any], changed: list[str]
    ) -> None:
        chosen = {name: wanted[name] for name in changed if name != "tenants"}
        if "tenants" in changed:
            chosen["tenant_ids"] = [tenant.pk for tenant in wanted["tenants"]]
        credentials.update_credential(
            obj.pk, chosen, actor=staff_actor(request), now=timezone.now()
        )

    def _revoke(self, request: HttpRequest, chosen: Iterable[Credential]) -> HttpResponse | None:
        selected = list(chosen)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            return confirmation_page(
                self,
                request,
                _revocation(selected),
                back_url=reverse("admin:tenants_credential_changelist"),
                form=form,
                selected=[credential.pk for credential in selected],
            )
        for credential in selected:
            self._revoke_one(request, credential, form.cleaned_data["reason"])
        return None

    def _revoke_one(self, request: HttpRequest, credential: Credential, reason: str) -> None:
        try:
            credentials.revoke_credential(
                credential.pk, actor=staff_actor(request), now=timezone.now(), reason=reason
            )
        except DomainError as exc:
            say_refusal(self, request, credential, exc)
        else:
            self.message_user(request, f"Revoked {credential}.", messages.SUCCESS)

    def _show(
        self, request: HttpRequest, credential: Any, made: NewSecret, title: str, notes: list[str]
    ) -> HttpResponse:
        notice = SecretNotice(
            title=title,
            lead=f"{credential}. Copy the value now: it is shown this one time only.",
            label="Secret" if made.value.startswith("sk_") else "API key",
            value=made.value,
            notes=[*notes, f"Its id, for admin tokens and logs, is {made.credential_id}."],
        )
        back_url = reverse("admin:tenants_credential_change", args=[made.credential_id])
        return secret_page(self, request, notice, back_url=back_url)


def _rotation(credential: Credential) -> Confirmation:
    return Confirmation(
        title=f"Rotate {credential.label}",
        lead=f"A new secret is made and shown once. The present one works for {_HOURS} hours more; "
        "if an earlier rotation still overlaps, its old secret ends at once.",
        submit="Rotate",
        facts=[
            ("Kind", credential.get_kind_display()),
            ("Last used", credential.last_used_at or "never"),
        ],
    )


def _revocation(selected: list[Credential]) -> Confirmation:
    return Confirmation(
        title="Revoke credentials",
        lead="Whoever uses them is refused within two seconds. This cannot be undone.",
        submit="Revoke",
        heads=["Label", "Kind", "Last used"],
        rows=[(c.label, c.get_kind_display(), c.last_used_at or "never") for c in selected],
        is_dangerous=True,
    )
