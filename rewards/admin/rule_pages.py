"""The page of a rule: what it does now, what it spends, what it refused, and its versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from phoenix_site.common.admin import action
from phoenix_site.common.differences import differences
from rewards.admin.rule_words import REASON_WORDS, plain
from rewards.models import Rule, RuleBudget, RuleVersion
from rewards.rules.meaning import meaning_of
from rewards.selectors import firings
from rewards.selectors import rules as selectors
from rewards.selectors.firings import FiringQuestion
from rewards.selectors.rule_library import library_of
from rewards.types.rule_views import RuleView

__all__ = ["Bar", "RulePages", "budget_bars", "version_rows"]

SHOWN_ROWS: Final = 8
REFUSAL_DAYS: Final = 7
SHOWN_VERSIONS: Final = 3
STATUS_TONES: Final = {"active": "good", "paused": "warn", "draft": "info", "archived": "bad"}
STATUS_WORDS: Final = {
    "active": "Judges the events that come in",
    "paused": "Judges nothing until it is activated again",
    "draft": "Judges nothing yet",
    "archived": "Out of use for ever",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A share of something in percent, from 0 to 100, with what it says."""

    label: str
    text: str
    share: float
    tone: str = ""


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version for people; ``changes`` are (path, before, after), none for the first one."""

    number: int
    author: str
    reason: str
    created_at: datetime
    published_at: datetime | None
    is_in_force: bool
    changes: list[tuple[str, str, str]]


class RulePages:
    """The pages about a rule that only show, mixed into its admin page."""

    # What the page that this is mixed into has.
    admin_site: Any
    opts: Any
    get_object: Any
    has_view_permission: Any
    has_change_permission: Any
    has_publish_permission: Any

    def get_rule(self, request: HttpRequest, object_id: Any) -> Rule:
        """Return the rule if the person may see it. Raises: ``Http404``."""
        rule: Rule | None = self.get_object(request, str(object_id))
        if rule is None or not self.has_view_permission(request, rule):
            raise Http404
        return rule

    def rule_page(self, request: HttpRequest, rule: Rule) -> HttpResponse:
        """Show what the rule does now."""
        now = timezone.now()
        view = selectors.view_of(rule)
        context = {
            **self.admin_site.each_context(request),
            "title": rule.name,
            "opts": self.opts,
            "rule": rule,
            "view": view,
            "status_tone": STATUS_TONES[rule.status],
            "status_words": STATUS_WORDS[rule.status],
            "parts": meaning_of(view.document, library_of(rule.tenant_id).names),
            "tiles": _tiles(rule, view, now),
            "budget": budget_bars(RuleBudget.objects.filter(rule=rule).first(), view.document),
            "refusals": _refusal_bars(rule, now),
            "firings": _firing_rows(rule),
            "refused": _refused_rows(rule),
            "versions": version_rows(rule)[:SHOWN_VERSIONS],
            "notices": rule.notices.order_by("-at")[:SHOWN_VERSIONS],
            "may_change": self.has_change_permission(request, rule),
            "may_publish": self.has_publish_permission(request),
            "can": _fitting(rule, view),
        }
        return TemplateResponse(request, "phoenix/admin/rule.html", context)

    @action(description="Versions", permissions=["view"], icon="history")
    def versions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        rule = self.get_rule(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Versions of {rule.name}",
            "opts": self.opts,
            "rule": rule,
            "back_url": reverse("admin:rewards_rule_change", args=[rule.pk]),
            "versions": version_rows(rule),
            "changes": rule.changes.order_by("-at")[:50],
        }
        return TemplateResponse(request, "phoenix/admin/rule_versions.html", context)


def _fitting(rule: Rule, view: RuleView) -> Mapping[str, bool]:
    """Return which buttons make sense for the rule as it is."""
    is_final = rule.status == Rule.Status.ARCHIVED
    has_new = view.draft_version is not None
    return {
        "edit": not is_final,
        "activate": not is_final and (has_new or rule.status != Rule.Status.ACTIVE),
        "pause": rule.status == Rule.Status.ACTIVE,
        "archive": not is_final,
    }


# --- Numbers -------------------------------------------------------------------------------------


def _tiles(rule: Rule, view: RuleView, now: datetime) -> list[dict[str, str]]:
    zone = ZoneInfo(str(view.document["timezone"]))
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    spans = (
        (midnight, "today", f"Since midnight in {zone.key}"),
        (now - timedelta(days=7), "in 7 days", "Seven times 24 hours"),
    )
    tiles = []
    for since, word, hint in spans:
        count, cost = firings.today([rule.pk], since=since).get(rule.pk, (0, Decimal(0)))
        tiles += [
            (f"{count:,}", f"Firings {word}", hint),
            (plain(cost or 0), f"Cost {word}", hint),
        ]
    return [{"value": value, "label": label, "hint": hint} for value, label, hint in tiles]


def budget_bars(row: RuleBudget | None, document: Mapping[str, Any]) -> list[Bar]:
    """Return how much of each part of a rule's budget is used; ``row`` has what was spent."""
    budget = (document.get("limits") or {}).get("budget") or {}
    sizes = {key: budget.get(key) for key in ("firings", "cost") if budget.get(key)}
    if not sizes:
        return []
    bars = []
    for key, size in sizes.items():
        used = Decimal(getattr(row, key, 0) or 0)
        share = float(min(Decimal(100), 100 * used / Decimal(str(size))))
        tone = "bad" if share >= 100 else "warn" if share >= 80 else "good"
        label = "Firings" if key == "firings" else "Cost"
        bars.append(Bar(label, f"{plain(used)} of {plain(size)}", share, tone))
    return bars


def _refusal_bars(rule: Rule, now: datetime) -> list[Bar]:
    counts = firings.refusal_counts(rule, since=now - timedelta(days=REFUSAL_DAYS))
    most = max(counts.values(), default=1)
    return [
        Bar(REASON_WORDS.get(reason, reason), f"{count:,}", 100 * count / most, reason)
        for reason, count in counts.items()
    ]


def _firing_rows(rule: Rule) -> list[dict[str, Any]]:
    found = firings.list_firings(rule, FiringQuestion(limit=SHOWN_ROWS))
    return firings.firing_documents(found.items)


def _refused_rows(rule: Rule) -> list[dict[str, Any]]:
    found = firings.list_refusals(rule, FiringQuestion(limit=SHOWN_ROWS))
    return [
        row | {"words": REASON_WORDS.get(row["reason"], row["reason"])}
        for row in firings.refusal_documents(found.items)
    ]


# --- Versions ------------------------------------------------------------------------------------


def version_rows(rule: Rule) -> list[VersionRow]:
    """Return the versions of a rule, newest first, each with what it changed. Queries: 1."""
    versions = list(rule.versions.order_by("-number"))
    earlier: Sequence[RuleVersion | None] = [*versions[1:], None]
    return [
        VersionRow(
            each.number,
            each.author or "Phoenix",
            each.reason,
            each.created_at,
            each.published_at,
            each.number == rule.active_version,
            [] if before is None else _changes(before.document, each.document),
        )
        for each, before in zip(versions, earlier, strict=True)
    ]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (each.path, _text(each.before), _text(each.after)) for each in differences(before, after)
    ]


def _text(value: Any) -> str:
    return "-" if value is None else plain(value)
