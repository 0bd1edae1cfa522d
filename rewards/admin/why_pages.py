"""Why a player got something, or did not: any event, rule or grant, in words and as a chain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.http import urlencode

from ingestion import selectors as ingestion
from ingestion.types import EventFilter, StoredEvent
from phoenix_site.common.json_fields import pretty
from rewards.admin.chain_words import Step, firing_steps, grant_steps
from rewards.admin.rule_words import REASON_WORDS, effect_words, trace_rows
from rewards.models import Firing, Grant, Rule
from rewards.selectors.explanations import explain
from rewards.selectors.reward_chains import chain_of_firing, chain_of_grant
from rewards.selectors.rule_library import library_of
from rewards.types.meanings import Names
from rewards.types.rule_views import Outcome
from tenants.admin.scoped import in_scope, visible_tenant_ids
from tenants.models import Tenant

__all__ = ["WhyPages", "why_url"]

LISTED_EVENTS: Final = 20
MAX_RULES: Final = 500


@dataclass
class Question:
    """What the page was asked, and what was found of it."""

    tenant_id: str = ""
    user_id: str = ""
    event_id: str = ""
    rule_id: str = ""
    event: StoredEvent | None = None
    rule: Rule | None = None
    grant: Grant | None = None
    firing: Firing | None = None
    faults: list[str] = field(default_factory=list)


class WhyPages:
    """The page that answers "why" and "why not", mixed into the admin page of rules."""

    # What the page that this is mixed into has.
    admin_site: Any
    opts: Any
    has_view_permission: Any

    def why_urls(self) -> list[Any]:
        """Return the page's address."""
        return [path("why/", self.admin_site.admin_view(self.why_view), name="rewards_rule_why")]

    def why_view(self, request: HttpRequest) -> HttpResponse:
        """Show what became of an event; ``grant`` or ``firing`` alone lead to theirs."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = _read(request)
        names = library_of(asked.tenant_id).names if asked.tenant_id else Names()
        outcomes = _outcomes(asked, names)
        context = {
            **self.admin_site.each_context(request),
            "title": "Why?",
            "opts": self.opts,
            "asked": asked,
            "tenants": in_scope(Tenant.objects.order_by("pk"), request, "pk"),
            "rules": _rules(asked.tenant_id),
            "events": _events_to_choose(asked),
            "event_rows": _event_facts(asked.event),
            "event_text": _event_text(request, asked.event),
            "outcomes": outcomes,
            "steps": _steps(asked, names),
        }
        return TemplateResponse(request, "phoenix/admin/why.html", context)


def why_url(**asked: object) -> str:
    """Return the address of the page for ``tenant``, ``event``, ``rule``, ``grant``, ``firing``…"""
    query = urlencode({name: str(value) for name, value in asked.items() if value})
    return f"{reverse('admin:rewards_rule_why')}?{query}"


# --- The question --------------------------------------------------------------------------------


def _read(request: HttpRequest) -> Question:
    """Return the question with what it names, within the tenants of the person."""
    # The database's texts cannot hold what addresses can.
    given = {name: request.GET.get(name, "").replace("\0", "?").strip() for name in _NAMES}
    asked = Question(given["tenant"], given["player"], given["event"], given["rule"])
    if given["grant"]:
        _from_grant(asked, request, given["grant"])
    elif given["firing"]:
        _from_firing(asked, request, given["firing"])
    seen = visible_tenant_ids(request)
    is_known = Tenant.objects.filter(pk=asked.tenant_id).exists() if asked.tenant_id else False
    if asked.tenant_id and (not is_known or (seen is not None and asked.tenant_id not in seen)):
        return Question(faults=["There is no such tenant."])
    _find(asked)
    return asked


_NAMES: Final = ("tenant", "player", "event", "rule", "grant", "firing")


def _from_grant(asked: Question, request: HttpRequest, text: str) -> None:
    rows = Grant.objects.select_related("player", "rule", "firing__rule")
    asked.grant = _in_scope(rows, request, text)
    if asked.grant is None:
        asked.faults.append("There is no such grant.")
        return
    grant = asked.grant
    asked.tenant_id, asked.user_id = grant.tenant_id, grant.player.external_id
    asked.firing = grant.firing
    asked.event_id = grant.cause_event_id or ""
    asked.rule_id = grant.rule.rule_id if grant.rule is not None else ""


def _from_firing(asked: Question, request: HttpRequest, text: str) -> None:
    asked.firing = _in_scope(Firing.objects.select_related("player", "rule"), request, text)
    if asked.firing is None:
        asked.faults.append("There is no such firing.")
        return
    firing = asked.firing
    asked.tenant_id, asked.user_id = firing.tenant_id, firing.player.external_id
    asked.event_id, asked.rule_id = firing.event_id, firing.rule.rule_id


def _in_scope(rows: Any, request: HttpRequest, text: str) -> Any:
    try:
        return in_scope(rows, request, "tenant").filter(pk=UUID(text)).first()
    except ValueError:
        return None


def _find(asked: Question) -> None:
    if not asked.tenant_id:
        return
    if asked.rule_id:
        asked.rule = Rule.objects.filter(tenant_id=asked.tenant_id, rule_id=asked.rule_id).first()
        if asked.rule is None:
            asked.faults.append(f"{asked.tenant_id} has no rule {asked.rule_id}.")
    if asked.event_id:
        asked.event = ingestion.find_event(asked.tenant_id, asked.event_id)
        if asked.event is None:
            asked.faults.append(
                f"{asked.tenant_id} has no event {asked.event_id}, or it is no longer kept."
            )


# --- The answer ----------------------------------------------------------------------------------


def _outcomes(asked: Question, names: Names) -> list[dict[str, Any]]:
    is_other_grant = asked.grant is not None and asked.firing is None
    if asked.event is None or is_other_grant or (asked.rule_id and asked.rule is None):
        return []
    found = explain(asked.event, user_id=asked.user_id or None, rule=asked.rule, now=timezone.now())
    rules = Rule.objects.filter(
        tenant_id=asked.tenant_id, rule_id__in=[each.rule_id for each in found]
    )
    by_id = {rule.rule_id: rule for rule in rules}
    return [_shown(each, by_id.get(each.rule_id), asked, names) for each in found]


def _shown(outcome: Outcome, rule: Rule | None, asked: Question, names: Names) -> dict[str, Any]:
    reason = outcome.reason or ""
    return {
        "rule": rule,
        "rule_id": outcome.rule_id,
        "name": rule.name if rule is not None else outcome.rule_id,
        "version": outcome.version,
        "is_granted": outcome.is_granted,
        "verdict": "Granted" if outcome.is_granted else REASON_WORDS.get(reason, "Not granted"),
        "text": outcome.text,
        "trace": trace_rows(outcome.trace),
        "effects": [effect_words(each, names) for each in outcome.effects],
        "url": why_url(tenant=asked.tenant_id, event=asked.event_id, rule=outcome.rule_id),
        "firing_id": outcome.firing_id,
    }


def _steps(asked: Question, names: Names) -> Sequence[Step]:
    """Return the chain of the grant or firing asked for, or of the one rule that fired."""
    if asked.grant is not None and asked.firing is None:
        return grant_steps(chain_of_grant(asked.grant), asked.event, names)
    firing = asked.firing
    if firing is None and asked.event is not None and asked.rule is not None:
        rows = Firing.objects.filter(event_row=asked.event.id, rule=asked.rule)
        firing = rows.select_related("player", "rule").first()
    if firing is None:
        return []
    return firing_steps(chain_of_firing(firing, only=asked.grant), asked.event, names)


def _rules(tenant_id: str) -> Sequence[Rule]:
    if not tenant_id:
        return []
    return list(Rule.objects.filter(tenant_id=tenant_id).order_by("name")[:MAX_RULES])


def _events_to_choose(asked: Question) -> list[dict[str, Any]]:
    """Return the player's newest events, where a player was named and no event."""
    if not asked.tenant_id or not asked.user_id or asked.event_id or asked.grant is not None:
        return []
    wanted = EventFilter(user_id=asked.user_id)
    events = ingestion.newest_events(asked.tenant_id, wanted, limit=LISTED_EVENTS).events
    return [
        {
            "event": event,
            "url": why_url(
                tenant=asked.tenant_id,
                player=asked.user_id,
                event=event.event_id,
                rule=asked.rule_id,
            ),
        }
        for event in events
    ]


def _event_facts(event: StoredEvent | None) -> Mapping[str, object]:
    if event is None:
        return {}
    return {
        "Event": event.event_id,
        "Type": event.type,
        "Player": event.user_id or "nobody",
        "Occurred (UTC)": f"{event.occurred_at:%d %b %Y, %H:%M:%S}",
        "Received (UTC)": f"{event.received_at:%d %b %Y, %H:%M:%S}",
        **({"Caused by": event.cause} if event.cause else {}),
    }


def _event_text(request: HttpRequest, event: StoredEvent | None) -> str:
    """Return the event's own content for those who may see events."""
    if event is None or not request.user.has_perm("ingestion.view_event"):
        return ""
    return pretty({"attrs": event.attrs, "actor": {"metadata": event.metadata}})
