"""Rules: the builder, the page of each rule, and what can be done to it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from phoenix_site.common.admin import (
    ActionVariant,
    Confirmation,
    ReasonForm,
    UnfoldAdminTextInputWidget,
    action,
    confirmation_page,
    display,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError
from rewards.admin.backtest_pages import BacktestPages
from rewards.admin.rule_builder import RuleBuilder
from rewards.admin.rule_pages import RulePages, budget_bars
from rewards.admin.why_pages import WhyPages
from rewards.models import Rule
from rewards.rules.meaning import summary_of
from rewards.selectors import firings
from rewards.selectors import rules as selectors
from rewards.selectors.book import books
from rewards.selectors.rule_library import names_of
from rewards.services import rule_changes
from tenants.admin.scoped import TenantScopedAdmin, staff_actor

STATUS_COLORS: Final = {
    "draft": "info",
    "active": "success",
    "paused": "warning",
    "archived": "danger",
}
# What each change of status means for events that come in (RUL-13).
LEADS: Final[Mapping[str, str]] = {
    "activate": "From then on this version judges the events that come in. Older events are not "
    "judged again.",
    "pause": "From now on the rule judges nothing. Events that come in meanwhile are lost to it.",
    "archive": "This is final: the rule judges nothing any more. What it gave stays.",
}
DONE: Final = {"activate": "Activated", "pause": "Paused", "archive": "Archived"}
_SERVICES: Final[Mapping[str, Callable[..., Any]]] = {
    "activate": rule_changes.activate_rule,
    "pause": rule_changes.pause_rule,
    "archive": rule_changes.archive_rule,
}


class ActivationForm(ReasonForm):
    """When a version begins to judge, and why."""

    at = forms.DateTimeField(
        label="From (UTC)",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "at once, or 2026-12-31 18:00"}),
        help_text="Empty: at once. Otherwise a time to come; until then it can be replaced.",
    )
    field_order = ["at", "reason"]


@admin.register(Rule)
class RuleAdmin(RuleBuilder, RulePages, BacktestPages, WhyPages, TenantScopedAdmin):
    """The rules of a tenant; every change goes through the service that the API uses."""

    is_audited_by_service = True
    list_display = [
        "rule",
        "tenant_id",
        "state",
        "listens_to",
        "gives",
        "fired",
        "spent",
        "changed",
    ]
    list_filter = ["status", "kind", "tenant"]
    list_per_page = 50
    search_fields = ["rule_id", "name"]
    ordering = ["tenant_id", "rule_id"]
    show_full_result_count = False
    actions = ["activate_selected", "pause_selected", "archive_selected"]
    actions_detail = [
        "activate",
        "pause",
        {"title": "More", "items": ["versions", "archive"]},
    ]

    # --- Pages ---------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        own = [*self.builder_urls(), *self.backtest_urls(), *self.why_urls()]
        return [*own, *super().get_urls()]

    def has_publish_permission(self, request: HttpRequest, _object_id: str | None = None) -> bool:
        """Tell who may let rules judge events from who may only write them."""
        return bool(request.user.has_perm("rewards.publish_rule"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_archived = isinstance(obj, Rule) and obj.status == Rule.Status.ARCHIVED
        return not is_archived and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Rules are archived: what they gave refers to them.
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponseBase:
        rule = None if object_id is None else self.get_object(request, object_id)
        if rule is not None and self._is_only_shown(request, rule):
            return self.rule_page(request, rule)
        context = {**self.builder_context(rule), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def _is_only_shown(self, request: HttpRequest, rule: Rule) -> bool:
        """Whether the page of the rule is wanted, and not its form."""
        if request.method != "GET" or not self.has_view_permission(request, rule):
            return False
        is_published = rule.active_version is not None
        is_asked_for = "edit" in request.GET or not is_published
        return not (is_asked_for and self.has_change_permission(request, rule))

    def response_post_save_add(self, request: HttpRequest, obj: Rule) -> HttpResponse:
        return redirect(_page_of(obj))

    def response_post_save_change(self, request: HttpRequest, obj: Rule) -> HttpResponse:
        return redirect(_page_of(obj))

    # --- The list ------------------------------------------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        rules = list(page.result_list)
        views = {view.pk: view for view in selectors.views_of(rules)}
        shelf = books({rule.tenant_id for rule in rules})
        midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        counts = firings.today([rule.pk for rule in rules], since=midnight)
        for rule in rules:
            rule.view = views[rule.pk]
            rule.names = names_of(shelf[rule.tenant_id])
            rule.fired_today = counts.get(rule.pk, (0, 0))[0]
        page.result_list = rules
        return page

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("budget")

    @display(description="Rule", ordering="name", header=True)
    def rule(self, rule: Rule) -> list[str]:
        return [rule.name, rule.rule_id]

    @display(description="Status", ordering="status", label=STATUS_COLORS)
    def state(self, rule: Any) -> tuple[str, str]:
        waits = rule.view.draft_version is not None and rule.active_version is not None
        return rule.status, f"{rule.get_status_display()}{', new draft' if waits else ''}"

    @display(description="Listens to")
    def listens_to(self, rule: Any) -> str:
        first, *others = rule.view.document["trigger"]["names"]
        return f"{first} and {len(others)} more" if others else first

    @display(description="Does")
    def gives(self, rule: Any) -> str:
        return summary_of(rule.view.document, rule.names)

    @display(description="Fired today (UTC)")
    def fired(self, rule: Any) -> str:
        return f"{rule.fired_today:,}"

    @display(description="Budget used")
    def spent(self, rule: Any) -> str:
        bars = budget_bars(getattr(rule, "budget", None), rule.view.document)
        return f"{max(bar.share for bar in bars):.0f} %" if bars else "-"

    @display(description="Last change", ordering="updated_at")
    def changed(self, rule: Rule) -> str:
        return f"{rule.updated_at:%d %b %Y, %H:%M}"

    # --- Changes of status ---------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        rule = self.get_object(request, object_id)
        unfit = _unfit_actions(rule)
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        found = super().get_actions_detail(request, object_id)
        return [each for each in found if each.action_name.removeprefix(prefix) not in unfit]

    @action(description="Activate", permissions=["publish"], icon="play_arrow")
    def activate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._change_one(request, object_id, "activate")

    @action(description="Pause", permissions=["publish"], icon="pause")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._change_one(request, object_id, "pause")

    @action(
        description="Archive",
        permissions=["publish"],
        icon="archive",
        variant=ActionVariant.DANGER,
    )
    def archive(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._change_one(request, object_id, "archive")

    @action(description="Activate the newest version of selected rules", permissions=["publish"])
    def activate_selected(self, request: HttpRequest, queryset: QuerySet[Rule]) -> Any:
        return self._ask_or_do(request, list(queryset), "activate")

    @action(description="Pause selected rules", permissions=["publish"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Rule]) -> Any:
        return self._ask_or_do(request, list(queryset), "pause")

    @action(description="Archive selected rules", permissions=["publish"])
    def archive_selected(self, request: HttpRequest, queryset: QuerySet[Rule]) -> Any:
        return self._ask_or_do(request, list(queryset), "archive")

    def _change_one(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        rule = self.get_rule(request, object_id)
        if not self.has_publish_permission(request):
            raise PermissionDenied
        asked = self._ask_or_do(request, [rule], verb, back_url=_page_of(rule))
        return asked or redirect(_page_of(rule))

    def _ask_or_do(
        self, request: HttpRequest, rules: list[Rule], verb: str, *, back_url: str | None = None
    ) -> HttpResponse | None:
        """Ask, then change each rule; ``None`` when that is done."""
        kind = ActivationForm if verb == "activate" else ReasonForm
        form = kind(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            for rule in rules:
                self._do(request, rule, verb, form.cleaned_data)
            return None
        return confirmation_page(
            self,
            request,
            _confirmation(rules, verb),
            back_url=back_url or reverse("admin:rewards_rule_changelist"),
            form=form,
            selected=[] if back_url else [rule.pk for rule in rules],
        )

    def _do(self, request: HttpRequest, rule: Rule, verb: str, answers: Mapping[str, Any]) -> None:
        sent = {"at": answers.get("at"), "reason": answers["reason"]}
        if verb == "activate":
            # The newest version: of a rule that was paused too, if a draft waits.
            sent["version"] = rule.version
        try:
            _SERVICES[verb](
                rule.tenant_id, rule.rule_id, **sent, actor=staff_actor(request), now=timezone.now()
            )
        except DomainError as exc:
            say_refusal(self, request, rule, exc)
        else:
            when = f" from {sent['at']:%d %b %Y, %H:%M} UTC" if sent["at"] else ""
            self.message_user(request, f"{DONE[verb]} {rule.name}{when}.", messages.SUCCESS)


def _confirmation(rules: list[Rule], verb: str) -> Confirmation:
    views = {view.pk: view for view in selectors.views_of(rules)}
    name = rules[0].name if len(rules) == 1 else f"{len(rules)} rules"
    return Confirmation(
        title=f"{verb.capitalize()} {name}",
        lead=LEADS[verb],
        submit=verb.capitalize(),
        heads=["Rule", "Tenant", "Status now", "In force", "Newest version"],
        rows=[
            [
                rule.name,
                rule.tenant_id,
                rule.get_status_display(),
                rule.active_version or "-",
                f"{rule.version}{' (draft)' if views[rule.pk].draft_version else ''}",
            ]
            for rule in rules
        ],
        is_dangerous=verb == "archive",
    )


def _unfit_actions(rule: Rule | None) -> frozenset[str]:
    """Return the actions that make no sense for the rule as it is."""
    if rule is None or rule.status == Rule.Status.ARCHIVED:
        return frozenset({"activate", "pause", "archive"})
    if rule.status != Rule.Status.ACTIVE:
        return frozenset({"pause"})
    return frozenset({"activate"} if rule.version == rule.active_version else ())


def _page_of(rule: Rule) -> str:
    return reverse("admin:rewards_rule_change", args=[rule.pk])
