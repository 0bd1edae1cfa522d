"""The tenant scope of every admin page: staff see and touch the tenants that they work for.

A page over tenant-owned rows derives from ``TenantScopedAdmin`` and names the path to the tenant
in ``tenant_field``. List, form, choices, autocomplete, filters, actions, history and deletion
follow. Superusers see everything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.admin import RelatedFieldListFilter, site
from django.db.models import Model, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils import timezone

from phoenix_site.common.admin import ModelAdmin, StackedInline, TabularInline, say_refusal
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.requests import login_address
from tenants.models import Tenant
from tenants.selectors.snapshots import member_tenant_ids
from tenants.services import audit
from tenants.types import Actor, AuditChange

_CACHE = "_phoenix_visible_tenant_ids"
_CHANGE = "_phoenix_changed_values"


def visible_tenant_ids(request: HttpRequest) -> frozenset[str] | None:
    """Return the tenants that the person works for, ``None`` meaning all. Queries: 1 a request."""
    if not hasattr(request, _CACHE):
        user: Any = request.user
        seen = None if user.is_superuser else member_tenant_ids(user.pk)
        setattr(request, _CACHE, seen)
    found: frozenset[str] | None = getattr(request, _CACHE)
    return found


def staff_actor(request: HttpRequest) -> Actor:
    """Return the person at the keyboard as the audit log names them."""
    return audit.staff_actor(request.user, address=login_address(request))


def in_scope(queryset: QuerySet[Any], request: HttpRequest, path: str | None) -> QuerySet[Any]:
    """Return the rows whose tenant, found along ``path``, the person works for."""
    seen = visible_tenant_ids(request)
    if seen is None or path is None:
        return queryset
    return queryset.filter(**{f"{path}__in": seen})


def tenant_path(model: type[Model]) -> str | None:
    """Return the path from ``model`` to its tenant, or ``None`` when no tenant owns it."""
    if model is Tenant:
        return "pk"
    page = site._registry.get(model)  # noqa: SLF001 - there is no public way to a registered page
    if isinstance(page, TenantScopedAdmin):
        return page.tenant_field
    fields = {field.name: field for field in model._meta.get_fields()}
    owner = fields.get("tenant")
    return "tenant" if owner is not None and owner.related_model is Tenant else None


def limited_choices(page: Any, field: Any, request: HttpRequest, chosen: Any) -> QuerySet[Any]:
    """Return what a relation's form field may offer; ``chosen`` is a page's own selection."""
    if chosen is None:
        chosen = page.get_field_queryset(None, field, request)
    if chosen is None:
        chosen = field.remote_field.model._default_manager.all()
    return in_scope(chosen, request, tenant_path(field.remote_field.model))


class ScopedRelatedFilter(RelatedFieldListFilter):
    """A filter over related rows that offers those of the person's tenants only."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: Any
    ) -> list[tuple[str, Any]]:
        related = field.remote_field.model
        rows = in_scope(related._default_manager.all(), request, tenant_path(related))
        ordering = self.field_admin_ordering(field, request, model_admin)
        choices = field.get_choices(
            include_blank=False, ordering=ordering, limit_choices_to={"pk__in": rows.values("pk")}
        )
        return list(choices)


class AuditedAdmin(ModelAdmin):  # type: ignore[misc]
    """Base of every page on which people change something.

    Changes are written to the audit log with the values before and after, unless
    ``is_audited_by_service`` says that the services which the page calls do so. What a service
    refuses while saving is shown, and nothing is saved.
    """

    is_audited_by_service = False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            answer: HttpResponseBase = super().changeform_view(request, *args, **kwargs)
        except DomainError as exc:
            answer = self.answer_refusal(request, exc, *args, **kwargs)
        return answer

    def answer_refusal(
        self, request: HttpRequest, error: DomainError, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Say why nothing was saved; ``args`` and ``kwargs`` are those of the form's page."""
        say_refusal(self, request, self.opts.verbose_name, error)
        return HttpResponseRedirect(request.get_full_path())

    def construct_change_message(
        self, request: HttpRequest, form: Form, formsets: Any, *args: Any, **kwargs: Any
    ) -> Any:
        # The one place that has the form after saving; the log methods below have only the object.
        setattr(request, _CHANGE, (_initial(form), _cleaned(form)))
        return super().construct_change_message(request, form, formsets, *args, **kwargs)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        _, after = getattr(request, _CHANGE, (None, None))
        self._record(request, obj, "created", after=after)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        before, after = getattr(request, _CHANGE, (None, None))
        # Saving a form in which nothing was changed is no change.
        if after is None or after:
            self._record(request, obj, "changed", before=before, after=after)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self._record(request, obj, "deleted")
        return super().log_deletions(request, queryset)

    def tenant_id_of(self, obj: Any) -> str | None:
        """Return the id of the tenant that owns ``obj``, or ``None`` when none does."""
        return None

    def _record(
        self, request: HttpRequest, obj: Any, verb: str, **values: Mapping[str, Any] | None
    ) -> None:
        if self.is_audited_by_service:
            return
        name = str(self.opts.model_name)
        audit.record(
            f"{name}.{verb}",
            actor=staff_actor(request),
            now=timezone.now(),
            tenant_id=self.tenant_id_of(obj),
            change=AuditChange(name, str(obj.pk), str(obj), **values),
        )


class TenantScopedAdmin(AuditedAdmin):
    """Base of every page over rows that a tenant owns.

    ``tenant_field`` is the path to the tenant, such as ``tenant`` or ``board__tenant``.
    """

    tenant_field = "tenant"
    # Labels above their fields: rows of several have room then.
    compressed_fields = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return in_scope(super().get_queryset(request), request, self.tenant_field)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and self._is_visible(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_visible(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._is_visible(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        kwargs["queryset"] = limited_choices(self, db_field, request, kwargs.get("queryset"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        kwargs["queryset"] = limited_choices(self, db_field, request, kwargs.get("queryset"))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_list_filter(self, request: HttpRequest) -> Sequence[Any]:
        return [self._scoped_filter(item) for item in super().get_list_filter(request)]

    def tenant_id_of(self, obj: Any) -> str | None:
        """Return the id of the tenant that owns ``obj``."""
        value = obj
        for step in self.tenant_field.split("__"):
            value = getattr(value, step) if value is not None else None
        return value.pk if isinstance(value, Tenant) else value

    def _is_visible(self, request: HttpRequest, obj: Any) -> bool:
        seen = visible_tenant_ids(request)
        # The theme asks with a key in the place of a row; the row is then read in scope.
        if seen is None or not isinstance(obj, Model):
            return True
        return self.tenant_id_of(obj) in seen

    def _scoped_filter(self, item: Any) -> Any:
        if not isinstance(item, str):
            return item
        related = _related_model(self.model, item)
        is_owned = related is not None and tenant_path(related) is not None
        return (item, ScopedRelatedFilter) if is_owned else item


class TenantScopedTabularInline(TabularInline):  # type: ignore[misc]
    """Rows below another one whose relations offer the person's tenants only."""

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        kwargs["queryset"] = limited_choices(self, db_field, request, kwargs.get("queryset"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class TenantScopedStackedInline(StackedInline):  # type: ignore[misc]
    """Rows below another one whose relations offer the person's tenants only."""

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        kwargs["queryset"] = limited_choices(self, db_field, request, kwargs.get("queryset"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


def _related_model(model: type[Model], path: str) -> Any:
    """Return the model that the path of a filter ends at, or ``None`` when it ends at a value."""
    related: Any = model
    for step in path.split("__"):
        if related is None:
            return None
        related = related._meta.get_field(step).related_model
    return related


def _initial(form: Form) -> dict[str, Any]:
    return {name: form.initial.get(name) for name in form.changed_data}


def _cleaned(form: Form) -> dict[str, Any]:
    return {name: form.cleaned_data.get(name) for name in form.changed_data}
