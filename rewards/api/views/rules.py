"""Rules on the admin gateway: life, dry runs, explanations, what fired (spec 03 section 2)."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ingestion import selectors as ingestion
from ingestion.types import StoredEvent
from phoenix_site.common.drf import read_page
from rewards.api import rule_shapes as shapes
from rewards.api.collections import DEFAULT_LIMIT, MAX_LIMIT, AdminView, page_parameters
from rewards.api.questions import bad_value, read_choice, read_text, read_time
from rewards.api.rule_bodies import check_dry_run, read_status
from rewards.rules.event_inputs import read_event
from rewards.rules.reasons import REASONS
from rewards.selectors import explanations, firings
from rewards.selectors import rules as selectors
from rewards.selectors.dry_runs import dry_run
from rewards.selectors.firings import FiringQuestion
from rewards.services import rule_changes
from rewards.types.rule_views import RuleView

_TAG = ["rewards"]
_PAGE = page_parameters(MAX_LIMIT, DEFAULT_LIMIT)
_USER = OpenApiParameter("user_id", str)
_TIMES = [
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="At or after."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="Before."),
]


class StatusView(AdminView):
    """A change of a rule's status; the subclasses say which."""

    change: ClassVar[Callable[..., RuleView]]

    @extend_schema(request=shapes.RuleStatusInput, responses={200: shapes.RuleOutput}, tags=_TAG)
    def post(self, request: Request, rule_id: str, **_kwargs: Any) -> Response:
        """Change the status, at once or at a time to come."""
        asked = read_status(self.read_body())
        changed = type(self).change(
            self.tenant_id, rule_id, **asked, actor=self.actor, now=timezone.now()
        )
        return Response(selectors.rule_documents([changed])[0])


class ActivateView(StatusView):
    """Publishing a version of a rule, or resuming it."""

    change = rule_changes.activate_rule


class PauseView(StatusView):
    """The kill switch of a rule."""

    change = rule_changes.pause_rule


class ArchiveView(StatusView):
    """Taking a rule out of use for ever."""

    change = rule_changes.archive_rule


class DryRunView(AdminView):
    """What rules would make of an event now."""

    @extend_schema(
        request=shapes.RuleDryRunInput, responses={200: shapes.RuleDryRunOutput}, tags=_TAG
    )
    def post(self, request: Request, **_kwargs: Any) -> Response:
        """Judge an event without writing anything."""
        body, now = self.read_body(), timezone.now()
        check_dry_run(body)
        event = self._event(body, now)
        rule_id = body.get("rule_id")
        rule = None if rule_id is None else selectors.get_rule(self.tenant_id, rule_id)
        found = dry_run(event, rule=rule, version=body.get("version"), now=now)
        return Response({"results": explanations.outcome_documents(found)})

    def _event(self, body: dict[str, Any], now: Any) -> StoredEvent:
        if body.get("event_id") is not None:
            return ingestion.get_event(self.tenant_id, body["event_id"])
        return read_event(body["event"], tenant_id=self.tenant_id, now=now)


class ExplainView(AdminView):
    """Why a rule gave something for an event, or did not."""

    @extend_schema(
        responses={200: shapes.ExplainOutput},
        tags=_TAG,
        parameters=[
            OpenApiParameter("event_id", str, required=True),
            OpenApiParameter("user_id", str, description="By default the event's player."),
            OpenApiParameter("rule_id", str, description="By default every rule that looked."),
        ],
    )
    def get(self, request: Request, **_kwargs: Any) -> Response:
        """Explain what became of the event."""
        event_id = read_text(request.GET, "event_id")
        if event_id is None:
            raise bad_value("event_id", "is missing in the query string")
        event = ingestion.get_event(self.tenant_id, event_id)
        rule_id = read_text(request.GET, "rule_id")
        rule = None if rule_id is None else selectors.get_rule(self.tenant_id, rule_id)
        user_id = read_text(request.GET, "user_id")
        found = explanations.explain(event, user_id=user_id, rule=rule, now=timezone.now())
        results = explanations.outcome_documents(found)
        return Response({"event": _event_body(event), "results": results})


def _event_body(event: StoredEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "type": event.type,
        "actor": {"user_id": event.user_id, "metadata": event.metadata},
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "source": event.source,
        "attrs": event.attrs,
    }


class FiringsView(AdminView):
    """What a rule gave."""

    @extend_schema(
        responses={200: shapes.FiringListOutput}, tags=_TAG, parameters=[_USER, *_TIMES, *_PAGE]
    )
    def get(self, request: Request, rule_id: str, **_kwargs: Any) -> Response:
        """List the firings, newest first."""
        rule = selectors.get_rule(self.tenant_id, rule_id)
        found = firings.list_firings(rule, _read_question(request))
        return Response({"total": found.total, "firings": firings.firing_documents(found.items)})


class RefusalsView(AdminView):
    """What a rule would have given, and what stopped it."""

    @extend_schema(
        responses={200: shapes.RefusalListOutput},
        tags=_TAG,
        parameters=[_USER, OpenApiParameter("reason", str, enum=list(REASONS)), *_TIMES, *_PAGE],
    )
    def get(self, request: Request, rule_id: str, **_kwargs: Any) -> Response:
        """List the refusals of the last 90 days, newest first."""
        rule = selectors.get_rule(self.tenant_id, rule_id)
        reason = read_choice(request.GET, "reason", REASONS)
        found = firings.list_refusals(rule, _read_question(request, reason))
        return Response({"total": found.total, "refusals": firings.refusal_documents(found.items)})


def _read_question(request: Request, reason: str | None = None) -> FiringQuestion:
    page = read_page(request, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
    return FiringQuestion(
        limit=page.limit,
        offset=page.offset,
        user_id=read_text(request.GET, "user_id"),
        since=read_time(request.GET, "from"),
        until=read_time(request.GET, "to"),
        reason=reason,
    )
