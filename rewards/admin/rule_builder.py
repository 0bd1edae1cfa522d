"""The rule builder: the form, what it means while somebody types, and trying it on real events."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import path, reverse
from django.utils import timezone

from phoenix_site.common.exceptions import Detail, DomainError
from phoenix_site.common.http import json_response
from phoenix_site.common.json_fields import pretty
from phoenix_site.common.zones import zone_names
from rewards.admin.rule_fields import field_of, initial_of, said_of
from rewards.admin.rule_forms import RuleForm
from rewards.admin.rule_words import trial_document
from rewards.constants import AMOUNT_DIGITS
from rewards.models import Rule
from rewards.rules.event_fields import COMMON_FIELDS, fields_for
from rewards.rules.meaning import meaning_of
from rewards.rules.rule_conditions import WEEKDAYS
from rewards.selectors.event_fields import event_catalog
from rewards.selectors.rule_library import library_of
from rewards.selectors.rule_trials import TRIED_EVENTS, try_rule
from rewards.services import rules as services
from rewards.types.meanings import Names
from tenants.admin.scoped import staff_actor, visible_tenant_ids

__all__ = ["RuleBuilder"]

_REFUSAL: Final = "_phoenix_rule_refusal"
MAX_TYPES: Final = 200
_EMPTY_LISTS: Final = {"trigger.names": "names", "effects": "effects"}


class RuleBuilder:
    """The add and edit pages of rules, mixed into their admin page."""

    form = RuleForm
    change_form_template = "phoenix/admin/rule_form.html"
    warn_unsaved_form = True
    conditional_fields = {
        "event_names": "trigger_type == 'event'",
        "platform_names": "trigger_type == 'platform'",
        "group_mode": "group_name != ''",
    }
    builder_fieldsets: Sequence[Any] = [
        ("When", {"fields": ["trigger_type", "event_names", "platform_names"]}),
        ("If", {"fields": ["conditions"]}),
        ("Then", {"fields": ["effects"]}),
        (
            "For each player at most",
            {
                "fields": [
                    ("per_player_day", "per_player_week", "per_player_total"),
                    ("amount_event", "amount_day", "amount_week"),
                ]
            },
        ),
        ("For all players together", {"fields": [("budget_firings", "budget_cost")]}),
        (
            "Dates and other rules",
            {
                "fields": [
                    ("starts_at", "ends_at", "timezone"),
                    ("group_name", "group_mode", "priority"),
                ]
            },
        ),
        ("Document", {"fields": ["use_json", "document_json"]}),
    ]

    # What the page that this is mixed into has.
    admin_site: Any
    get_object: Any
    has_add_permission: Any
    has_change_permission: Any

    def builder_urls(self) -> list[Any]:
        """Return the addresses that the form asks while somebody types."""
        view = self.admin_site.admin_view
        found = []
        for name, asked in (("meaning", self.meaning_view), ("trial", self.trial_view)):
            found += [
                path(f"{name}/", view(asked), name=f"rewards_rule_{name}"),
                path(f"<uuid:object_id>/{name}/", view(asked), name=f"rewards_rule_{name}_of"),
            ]
        return [*found, path("library/", view(self.library_view), name="rewards_rule_library")]

    def builder_context(self, rule: Rule | None) -> dict[str, Any]:
        """Return what the form's template needs."""
        is_published = rule is not None and rule.active_version is not None
        return {
            "timezone_names": sorted(name for name in zone_names() if "/" in name or name == "UTC"),
            "weekdays": WEEKDAYS,
            "tried_events": TRIED_EVENTS,
            "meaning_url": _url("meaning", rule),
            "trial_url": _url("trial", rule),
            "library_url": reverse("admin:rewards_rule_library"),
            "is_published": is_published,
            "has_draft": is_published and _has_draft(rule),
            "next_version": rule.version + 1 if rule is not None else 1,
            "show_save_and_add_another": False,
            "show_history": False,
        }

    def get_fieldsets(self, request: HttpRequest, obj: Rule | None = None) -> Any:
        naming = (None, {"fields": [("tenant", "kind"), ("name", "rule_id")]})
        if obj is None:
            return [naming, *self.builder_fieldsets]
        return [naming, *self.builder_fieldsets, (None, {"fields": ["expected_version"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Rule | None = None) -> Any:
        return [] if obj is None else ["tenant", "rule_id", "kind"]

    def get_form(self, request: Any, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        kwargs["fields"] = RuleForm.Meta.fields
        form = super().get_form(request, obj, *args, **kwargs)  # type: ignore[misc]
        form.refusal = getattr(request, _REFUSAL, None)
        return form

    def answer_refusal(
        self, request: HttpRequest, error: DomainError, *args: Any, **kwargs: Any
    ) -> Any:
        # Nothing was saved: the form is shown again, filled in, with what the service said.
        setattr(request, _REFUSAL, error)
        return self.changeform_view(request, *args, **kwargs)  # type: ignore[attr-defined]

    def save_model(self, request: Any, obj: Rule, form: RuleForm, change: Any) -> None:
        actor, now = staff_actor(request), timezone.now()
        if change:
            sent = {**form.document, "version": form.cleaned_data["expected_version"]}
            view = services.replace_rule(obj.tenant_id, obj.rule_id, sent, actor=actor, now=now)
        else:
            tenant_id = form.cleaned_data["tenant"].pk
            view = services.create_rule(tenant_id, form.document, actor=actor, now=now)
        obj.pk = view.pk
        obj.refresh_from_db()

    # --- What the form asks while somebody types -----------------------------------------------

    def _read_form(self, request: HttpRequest, object_id: Any) -> tuple[Rule | None, RuleForm]:
        rule: Rule | None = None if object_id is None else self.get_object(request, str(object_id))
        if object_id is not None and rule is None:
            raise Http404
        if not (
            self.has_add_permission(request)
            if rule is None
            else self.has_change_permission(request, rule)
        ):
            raise PermissionDenied
        kind = self.get_form(request, rule, change=rule is not None)
        form: RuleForm = kind(request.POST, instance=rule)
        form.full_clean()
        return rule, form

    def meaning_view(self, request: HttpRequest, object_id: Any = None) -> HttpResponse:
        """Answer what the form as it stands would do; nothing is saved."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        rule, form = self._read_form(request, object_id)
        tenant_id = _tenant_of(form, rule)
        names = Names() if tenant_id is None else library_of(tenant_id).names
        faults, missing = _faults_of(form)
        is_json = bool(form.cleaned_data.get("use_json"))
        return json_response(
            {
                "tenant": tenant_id,
                "json": pretty(form.document),
                "fields": _shown_fields(form) if is_json and form.document else None,
                "faults": faults,
                "missing": missing,
                "warnings": form.warnings,
                "parts": meaning_of(form.document, names),
                "events": _offered(form, tenant_id),
                "can_try": form.parsed is not None and tenant_id is not None,
            }
        )

    def trial_view(self, request: HttpRequest, object_id: Any = None) -> HttpResponse:
        """Answer what the form as it stands would make of the last real events."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        rule, form = self._read_form(request, object_id)
        tenant_id = _tenant_of(form, rule)
        if form.parsed is None or tenant_id is None:
            return json_response({"rows": [], "note": "The rule is not complete yet."})
        rows = try_rule(tenant_id, form.parsed.compiled, now=timezone.now())
        return json_response(trial_document(rows, library_of(tenant_id).names))

    def library_view(self, request: HttpRequest) -> HttpResponse:
        """Answer what rules of a tenant may give and name."""
        tenant_id = request.GET.get("tenant", "").replace("\0", "?")
        seen = visible_tenant_ids(request)
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        if seen is not None and tenant_id not in seen:
            raise Http404
        try:
            library = library_of(tenant_id)
        except KeyError as exc:
            raise Http404 from exc
        names = ("items", "configs", "currencies", "goals", "coupons")
        return json_response({name: getattr(library, name) for name in names})


def _url(name: str, rule: Rule | None) -> str:
    if rule is None:
        return reverse(f"admin:rewards_rule_{name}")
    return reverse(f"admin:rewards_rule_{name}_of", args=[rule.pk])


def _has_draft(rule: Rule | None) -> bool:
    if rule is None:
        return False
    return rule.versions.filter(number=rule.version, published_at=None).exists()


def _tenant_of(form: RuleForm, rule: Rule | None) -> str | None:
    if rule is not None:
        return rule.tenant_id
    tenant = form.cleaned_data.get("tenant")
    return None if tenant is None else str(tenant.pk)


# --- Faults and fields ---------------------------------------------------------------------------


def _faults_of(form: RuleForm) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what is wrong, each with its place, and the labels of what is only not there yet."""
    missing = [
        str(form.fields[name].label)
        for name in form.errors
        if name in form.fields and form.has_error(name, "required")
    ]
    faults = [
        {"path": "", "field": name, "text": f"{form.fields[name].label}: {text}"}
        for name, texts in form.errors.items()
        if name in form.fields and not form.has_error(name, "required")
        for text in texts
        if not _is_said_by_document(form, name)
    ]
    for detail in form.details:
        label = _missing_label(form, detail)
        if label is None:
            faults.append(_fault(form, detail))
        elif label not in missing:
            missing.append(label)
    return faults, missing


def _is_said_by_document(form: RuleForm, name: str) -> bool:
    """Whether the faults of a field come from the document, where they have a better place."""
    is_platform = form.is_platform
    fields = {field_of(detail.field, is_platform=is_platform) for detail in form.details}
    if form.cleaned_data.get("use_json"):
        return name == "document_json" and bool(form.details)
    return name in fields


def _missing_label(form: RuleForm, detail: Detail) -> str | None:
    """Return what a fault is called if it only says that something is not there yet."""
    name = field_of(detail.field, is_platform=form.is_platform)
    label = str(form.fields[name].label) if name in form.fields else detail.field
    emptied = _EMPTY_LISTS.get(detail.field)
    if emptied == "names" and not _names_in(form):
        return label
    if emptied == "effects" and not form.document.get("effects"):
        return label
    if detail.message != "is required":
        return None
    return said_of(detail).rstrip(".") if name in ("conditions", "effects") else label


def _fault(form: RuleForm, detail: Detail) -> dict[str, Any]:
    name = field_of(detail.field, is_platform=form.is_platform)
    said = said_of(detail)
    if name in form.fields and name not in ("conditions", "effects"):
        said = f"{form.fields[name].label}: {said}"
    return {"path": detail.field, "field": name, "text": said}


def _shown_fields(form: RuleForm) -> dict[str, Any]:
    """Return the values of the fields for the document that stands in the JSON."""
    return {name: _shown(value) for name, value in initial_of(form.document).items()}


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        return f"{value:f}" if abs(value.adjusted()) <= AMOUNT_DIGITS else str(value)
    return value


# --- What may be named ---------------------------------------------------------------------------


def _offered(form: RuleForm, tenant_id: str | None) -> Mapping[str, Any]:
    """Return the event types and fields to offer, with what is known of each."""
    common = [{"path": name, "kind": kind, "hint": hint} for name, kind, hint in COMMON_FIELDS]
    if tenant_id is None:
        return {"types": [], "fields": common}
    now = timezone.now()
    catalog = event_catalog(tenant_id, now=now)
    names = _names_in(form)
    seen = [
        {
            "path": each.path,
            "kind": each.kind,
            "hint": f"e.g. {each.example}" if each.example else "",
        }
        for each in fields_for(catalog, names)
    ]
    wallets = [
        {"path": f"wallet.{each.value}.{part}", "kind": "number", "hint": f"{each.label}, {hint}"}
        for each in library_of(tenant_id).currencies
        for part, hint in (("available", "to spend"), ("lifetime", "ever earned"))
    ]
    types = [[each.name, f"last {_ago(now, each.last_at)}"] for each in catalog.types[:MAX_TYPES]]
    return {"types": types, "fields": [*seen, *common, *wallets]}


def _names_in(form: RuleForm) -> list[str]:
    trigger = form.document.get("trigger")
    names = trigger.get("names") if isinstance(trigger, Mapping) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _ago(now: datetime, then: datetime) -> str:
    minutes = max(0, int((now - then).total_seconds() // 60))
    if minutes < 120:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 2880 else f"{minutes // 1440} days ago"
