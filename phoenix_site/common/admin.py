"""The admin theme, imported here only, so that changing it touches one module."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.contrib.filters.admin import RangeDateTimeFilter, TextFilter
from unfold.decorators import action as _theme_action
from unfold.decorators import display as _theme_display
from unfold.enums import ActionVariant
from unfold.forms import (
    AdminPasswordChangeForm,
    AuthenticationForm,
    UserChangeForm,
    UserCreationForm,
)
from unfold.paginator import InfinitePaginator
from unfold.sites import UnfoldAdminSite
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from phoenix_site.common.exceptions import DomainError

__all__ = [
    "ActionVariant",
    "AdminPasswordChangeForm",
    "AuthenticationForm",
    "Confirmation",
    "InfinitePaginator",
    "ModelAdmin",
    "RangeDateTimeFilter",
    "ReadOnlyAdmin",
    "ReasonForm",
    "StackedInline",
    "TabularInline",
    "TextFilter",
    "UnfoldAdminCheckboxSelectMultipleWidget",
    "UnfoldAdminSelectWidget",
    "UnfoldAdminSite",
    "UnfoldAdminTextInputWidget",
    "UnfoldAdminTextareaWidget",
    "UnfoldBooleanSwitchWidget",
    "UserChangeForm",
    "UserCreationForm",
    "action",
    "confirmation_page",
    "display",
    "is_confirmed",
    "say_refusal",
]

_CONFIRMED = "confirmed"
F = TypeVar("F", bound=Callable[..., Any])


def action(**options: Any) -> Callable[[F], F]:
    """Make an action of a page's method: ``description``, ``permissions``, ``icon``, ``url_path``…

    The theme's own decorator, which has no types.
    """
    decorate: Callable[[F], F] = _theme_action(**options)
    return decorate


def display(**options: Any) -> Callable[[F], F]:
    """Describe a column: ``description``, ``ordering``, ``label``, ``boolean``…

    The theme's own decorator, which has no types.
    """
    decorate: Callable[[F], F] = _theme_display(**options)
    return decorate


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """A page over rows that the machine makes: nobody adds, edits or deletes them by hand."""

    show_full_result_count = False

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False


class ReasonForm(forms.Form):
    """Why somebody does something; it goes into the audit log."""

    reason = forms.CharField(
        label="Reason",
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in the audit log.",
    )


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a person is shown before something is done: what it does, to what, and a preview.

    ``facts`` are pairs of a label and a value; ``heads`` and ``rows`` make a table below them.
    """

    title: str
    lead: str
    submit: str
    facts: Sequence[tuple[str, object]] = ()
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    empty: str = ""
    is_dangerous: bool = False


def is_confirmed(request: HttpRequest) -> bool:
    """Return whether the person has seen the confirmation page and agreed."""
    return request.method == "POST" and _CONFIRMED in request.POST


def confirmation_page(
    model_admin: Any,
    request: HttpRequest,
    confirmation: Confirmation,
    *,
    back_url: str,
    form: forms.Form | None = None,
    selected: Sequence[object] = (),
) -> HttpResponse:
    """Return the page that asks; its button sends the same request again, confirmed.

    ``selected`` are the keys of the rows that an action of a list page was called for.
    """
    context: Mapping[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": confirmation.title,
        "opts": model_admin.opts,
        "confirmation": confirmation,
        "form": form,
        "selected": selected,
        "selected_name": helpers.ACTION_CHECKBOX_NAME,
        "action": request.POST.get("action", ""),
        "confirmed_name": _CONFIRMED,
        "back_url": back_url,
    }
    return TemplateResponse(request, "phoenix/admin/confirmation.html", dict(context))


def say_refusal(model_admin: Any, request: HttpRequest, about: object, error: DomainError) -> None:
    """Show why a service refused something, and leave the rest of the page alone."""
    model_admin.message_user(request, f"{about}: {error.message}", messages.ERROR)
