"""What would a rule have done: backtests of a rule, their reports, and giving what they found."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from phoenix_site.common.admin import (
    Confirmation,
    ReasonForm,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    confirmation_page,
    is_confirmed,
    say_refusal,
)
from phoenix_site.common.exceptions import DomainError, NotFoundError
from phoenix_site.common.http import json_response
from phoenix_site.common.times import format_utc
from rewards.admin.rule_words import REASON_WORDS, plain
from rewards.exceptions import DocumentError
from rewards.models import Rule
from rewards.models.jobs import Job
from rewards.rules.day_charts import DayChart, day_chart
from rewards.selectors import backtests as selectors
from rewards.selectors.rule_library import library_of
from rewards.services import backtests, past
from rewards.types.meanings import Names
from tenants.admin.scoped import staff_actor

__all__ = ["BacktestPages"]

DEFAULT_DAYS: Final = 7
TONES: Final = {"done": "good", "failed": "bad", "cancelled": "warn"}
_FIELDS: Final = {"from": "since", "to": "until"}
_UNFINISHED: Final = (Job.Status.QUEUED, Job.Status.RUNNING)


class BacktestForm(forms.Form):
    """Which version meets which events, and what it is compared with."""

    version = forms.TypedChoiceField(
        label="Version", coerce=int, widget=UnfoldAdminSelectWidget, choices=[]
    )
    compare_to = forms.TypedChoiceField(
        label="Compared with",
        coerce=int,
        empty_value=None,
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=[],
    )
    since = forms.DateTimeField(label="From (UTC)", widget=UnfoldAdminTextInputWidget())
    until = forms.DateTimeField(label="To (UTC)", widget=UnfoldAdminTextInputWidget())
    start = forms.ChoiceField(
        label="Limits and budget begin",
        widget=UnfoldAdminSelectWidget,
        choices=[("empty", "with nothing used"), ("as_of", "as they were at the beginning")],
    )

    def __init__(self, rule: Rule, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = [(number, _version_name(rule, number)) for number in range(rule.version, 0, -1)]
        self._offer("version", versions)
        self._offer("compare_to", [("", "nothing"), *versions])

    def _offer(self, name: str, choices: Sequence[tuple[Any, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = list(choices)

    def document(self) -> dict[str, Any]:
        """Return the request that the fields make."""
        given = self.cleaned_data
        return {
            "version": given["version"],
            "compare_to": given["compare_to"],
            "from": format_utc(given["since"].astimezone(UTC)),
            "to": format_utc(given["until"].astimezone(UTC)),
            "start": given["start"],
        }

    def add_faults(self, error: DomainError) -> None:
        """Show what the service said at the fields that it is about."""
        for detail in error.details or ():
            name = _FIELDS.get(detail.field, detail.field)
            self.add_error(name if name in self.fields else None, f"This {detail.message}.")
        if not error.details:
            self.add_error(None, error.message)


class BacktestPages:
    """The pages of backtests, mixed into the admin page of rules."""

    # What the page that this is mixed into has.
    admin_site: Any
    opts: Any
    get_rule: Any
    message_user: Any

    def backtest_urls(self) -> list[Any]:
        """Return the addresses of the pages."""
        view = self.admin_site.admin_view
        root, one = "<uuid:object_id>/backtests/", "<uuid:object_id>/backtests/<uuid:job_id>/"
        return [
            path(root, view(self.backtests_view), name="rewards_rule_backtests"),
            path(one, view(self.backtest_view), name="rewards_rule_backtest"),
            path(f"{one}state/", view(self.state_view), name="rewards_rule_backtest_state"),
            path(f"{one}apply/", view(self.apply_view), name="rewards_rule_backtest_apply"),
        ]

    def may_backtest(self, request: HttpRequest) -> bool:
        """Tell who may try rules on the past from who may only read what came of it."""
        return bool(request.user.has_perm("rewards.backtest_rule"))

    def backtests_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Ask for a new backtest, above those there are."""
        rule = self.get_rule(request, object_id)
        form = BacktestForm(rule, initial=_defaults(rule, timezone.now()))
        if request.method == "POST":
            if not self.may_backtest(request):
                raise PermissionDenied
            form = BacktestForm(rule, request.POST)
            job = self._start(request, rule, form)
            if job is not None:
                return redirect("admin:rewards_rule_backtest", rule.pk, job.pk)
        context = {
            "title": f"What would {rule.name} have done?",
            "form": form,
            "lines": [_line(job, rule) for job in selectors.backtests_of(rule)],
            "may_backtest": self.may_backtest(request),
        }
        return self._page(request, rule, "phoenix/admin/backtests.html", context)

    def _start(self, request: HttpRequest, rule: Rule, form: BacktestForm) -> Job | None:
        if not form.is_valid():
            return None
        actor, now = staff_actor(request), timezone.now()
        try:
            return backtests.start_backtest(
                rule.tenant_id, rule.rule_id, form.document(), actor=actor, now=now
            )
        except (DocumentError, NotFoundError) as exc:
            form.add_faults(exc)
            return None

    def backtest_view(self, request: HttpRequest, object_id: UUID, job_id: UUID) -> HttpResponse:
        """Show how far a backtest is, or what it found."""
        rule, job = self._find(request, object_id, job_id)
        report = job.result if job.status == Job.Status.DONE else {}
        context = {
            "title": f"What version {job.parameters['version']} would have done",
            "line": _line(job, rule),
            "is_unfinished": job.status in _UNFINISHED,
            "state_url": reverse("admin:rewards_rule_backtest_state", args=[rule.pk, job.pk]),
            "report": _shown(report, library_of(rule.tenant_id).names) if report else None,
            "may_apply": bool(report)
            and self.may_backtest(request)
            and _is_applicable(rule, job.parameters["version"]),
        }
        return self._page(request, rule, "phoenix/admin/backtest.html", context)

    def state_view(self, request: HttpRequest, object_id: UUID, job_id: UUID) -> HttpResponse:
        """Answer how far a backtest is."""
        _, job = self._find(request, object_id, job_id)
        answer = {
            "status": job.get_status_display(),
            "progress": float(job.progress),
            "is_over": job.status not in _UNFINISHED,
        }
        return json_response(answer, headers={"Cache-Control": "no-store"})

    def apply_view(self, request: HttpRequest, object_id: UUID, job_id: UUID) -> HttpResponse:
        """Ask, with the exact result, and then start the job that gives it."""
        rule, job = self._find(request, object_id, job_id)
        if not self.may_backtest(request):
            raise PermissionDenied
        back_url = reverse("admin:rewards_rule_backtest", args=[rule.pk, job.pk])
        if job.status != Job.Status.DONE:
            self.message_user(request, "The backtest is not done.", messages.WARNING)
            return redirect(back_url)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            asked = _confirmation(rule, job)
            return confirmation_page(self, request, asked, back_url=back_url, form=form)
        return self._apply(request, rule, job, form.cleaned_data["reason"]) or redirect(back_url)

    def _apply(
        self, request: HttpRequest, rule: Rule, job: Job, reason: str
    ) -> HttpResponse | None:
        order = {
            "version": job.parameters["version"],
            "backtest_id": str(job.pk),
            "result_hash": job.result["result_hash"],
            "reason": reason,
        }
        try:
            made = past.apply_to_past(
                rule.tenant_id,
                rule.rule_id,
                order,
                actor=staff_actor(request),
                now=timezone.now(),
            )
        except DomainError as exc:
            say_refusal(self, request, rule, exc)
            return None
        text = "A job gives it now, to those for whom the rule never fired."
        self.message_user(request, text, messages.SUCCESS)
        return redirect("admin:rewards_job_change", made.pk)

    def _find(self, request: HttpRequest, object_id: UUID, job_id: UUID) -> tuple[Rule, Job]:
        rule = self.get_rule(request, object_id)
        try:
            job = selectors.get_backtest(rule.tenant_id, job_id)
        except NotFoundError as exc:
            raise Http404 from exc
        if job.parameters["rule_id"] != rule.rule_id:
            raise Http404
        return rule, job

    def _page(
        self, request: HttpRequest, rule: Rule, template: str, context: Mapping[str, Any]
    ) -> HttpResponse:
        known = {**self.admin_site.each_context(request), "opts": self.opts, "rule": rule}
        return TemplateResponse(request, template, {**known, **context})


def _defaults(rule: Rule, now: datetime) -> dict[str, Any]:
    since = (now - timedelta(days=DEFAULT_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    # The field has no seconds: the next minute holds what happened in this one.
    until = now + timedelta(minutes=1)
    is_new = rule.active_version not in (None, rule.version)
    return {
        "version": rule.version,
        "compare_to": rule.active_version if is_new else "",
        "since": f"{since:%Y-%m-%d %H:%M}",
        "until": f"{until:%Y-%m-%d %H:%M}",
        "start": "empty",
    }


def _version_name(rule: Rule, number: int) -> str:
    return f"Version {number}{', in force' if number == rule.active_version else ''}"


def _is_applicable(rule: Rule, version: int) -> bool:
    is_published = rule.versions.filter(number=version, published_at__isnull=False).exists()
    return rule.status != Rule.Status.ARCHIVED and is_published


# --- What is shown -------------------------------------------------------------------------------


def _line(job: Job, rule: Rule) -> dict[str, Any]:
    line = selectors.backtest_line(job)
    return {
        **line,
        "is_backtest": job.kind == selectors.BACKTEST,
        "status_text": job.get_status_display(),
        "tone": TONES.get(job.status, "info"),
        "url": reverse("admin:rewards_rule_backtest", args=[rule.pk, line["backtest_id"]])
        if job.kind == selectors.BACKTEST
        else reverse("admin:rewards_job_change", args=[job.pk]),
        "found": _found(line["result"]),
    }


def _found(result: Mapping[str, Any] | None) -> str:
    if not result:
        return "-"
    count = result.get("firings", result.get("granted", 0))
    return f"{count:,} {'firing' if count == 1 else 'firings'}, cost {plain(_number(result))}"


def _number(result: Mapping[str, Any]) -> Decimal:
    return Decimal(str(result.get("cost", 0)))


def _shown(report: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Return the report in words; numbers as people write them."""
    return {
        "tiles": _tiles(report, names),
        "chart": _chart(report),
        "credited": [
            (names.currencies.get(each["currency_id"], each["currency_id"]), plain(each["amount"]))
            for each in report["credited"]
        ],
        "items": [
            (names.items.get(each["item_id"], each["item_id"]), each["count"], plain(each["cost"]))
            for each in report["items"]
        ],
        "refused": [
            (REASON_WORDS.get(reason, reason), count) for reason, count in report["refused"].items()
        ],
        "top": [
            (each["user_id"], each["firings"], plain(each["cost"]))
            for each in report["top_recipients"]
        ],
        "diff": _diff(report),
        "notes": [f"{note[:1].upper()}{note[1:]}." for note in report["notes"]],
        "budget_reached_at": report["budget_reached_at"],
        "result_hash": report["result_hash"],
    }


def _tiles(report: Mapping[str, Any], names: Names) -> list[dict[str, str]]:
    read, matched = report["events_read"], report["events_matched"]
    return [
        {"label": "Firings", "value": f"{report['firings']:,}", "hint": f"of {matched:,} matches"},
        {"label": "Players", "value": f"{report['players']:,}", "hint": "who would have got it"},
        {"label": "Cost", "value": plain(report["cost"]), "hint": names.base_currency},
        {"label": "Events", "value": f"{read:,}", "hint": "looked at"},
    ]


def _chart(report: Mapping[str, Any]) -> DayChart | None:
    counts = {date.fromisoformat(row["day"]): row["firings"] for row in report["per_day"]}
    first = min([*counts, datetime.fromisoformat(report["from"]).date()])
    end = datetime.fromisoformat(report["to"]) - timedelta(microseconds=1)
    return day_chart(Counter(counts), first, max([*counts, end.date()]), unit="firings")


def _diff(report: Mapping[str, Any]) -> dict[str, Any] | None:
    diff = report["diff"]
    if diff is None:
        return None
    firings, cost = diff["firings"], [Decimal(str(each)) for each in diff["cost"]]
    return {
        "compare_to": report["compare_to"],
        "version": report["version"],
        "rows": [
            ("Firings", f"{firings[0]:,}", f"{firings[1]:,}", _signed(firings[1] - firings[0])),
            ("Cost", plain(cost[0]), plain(cost[1]), _signed(cost[1] - cost[0])),
        ],
        "gaining": diff["players_gaining"],
        "losing": diff["players_losing"],
        "changes": [
            (
                each["user_id"],
                each["before"],
                each["after"],
                _signed(each["after"] - each["before"]),
            )
            for each in diff["top_changes"]
        ],
    }


def _signed(change: int | Decimal) -> str:
    return "no change" if not change else f"{'+' if change > 0 else ''}{plain(change)}"


def _confirmation(rule: Rule, job: Job) -> Confirmation:
    report, names = job.result, library_of(rule.tenant_id).names
    credited = ", ".join(
        f"{plain(each['amount'])} {names.currencies.get(each['currency_id'], each['currency_id'])}"
        for each in report["credited"]
    )
    return Confirmation(
        title=f"Give what version {report['version']} of {rule.name} would have given",
        lead="Players for whom a version of this rule fired for the same event already get nothing "
        "again. The backtest runs once more first: if its result is no longer the one below, "
        "nothing is given.",
        submit=f"Give to {report['players']:,} players",
        facts=[
            ("Period (UTC)", f"{report['from']} to {report['to']}"),
            ("Firings at most", f"{report['firings']:,}"),
            ("Cost at most", f"{plain(report['cost'])} {names.base_currency}"),
            ("Credits", credited or "none"),
            ("Result", report["result_hash"][:16]),
        ],
        heads=["Player", "Firings", "Cost"],
        rows=[
            [each["user_id"], each["firings"], plain(each["cost"])]
            for each in report["top_recipients"]
        ],
        empty="Nobody would get anything.",
        is_dangerous=True,
    )
