"""The hot paths of the ingestion gateway as native async views on the slim handler."""

from datetime import UTC, datetime

from django.http import HttpRequest, HttpResponse
from django.urls import path

from ingestion.api import entrance
from ingestion.api.entrance import Operation
from ingestion.services import group_commit, intake
from ingestion.types import Sender
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.http import error_response
from phoenix_site.common.nudges import anudge_consumers
from phoenix_site.common.requests import current_request_id
from tenants.api.authentication import request_facts
from tenants.services import limits, snapshots
from tenants.services.authentication import aauthenticate_tenant


async def store_event(request: HttpRequest) -> HttpResponse:
    return await _serve(request, entrance.SINGLE)


async def store_events(request: HttpRequest) -> HttpResponse:
    return await _serve(request, entrance.BULK)


async def _serve(request: HttpRequest, operation: Operation) -> HttpResponse:
    now = datetime.now(UTC)
    facts = request_facts(request)
    caller = await aauthenticate_tenant(facts, gateway="ingestion", now=now)
    entrance.check_method(request)
    submission = operation.read(request)
    tenant = await snapshots.atenant_settings(caller.tenant_id or "")
    taken = await limits.atake(
        entrance.LIMIT_CLASS, tenant.id, tenant.id, cost=len(submission.items)
    )
    headers = limits.enforce(taken)
    sender = Sender(tenant, caller.credential_id, current_request_id())
    try:
        checked = intake.check_events(submission, sender, now=now)
        outcomes = await group_commit.store_events(checked.rows) if checked.rows else []
        anudge_consumers(intake.accepted_shards(checked, outcomes))
        return entrance.answer(operation, checked, outcomes, sender, headers)
    except DomainError as exc:
        return error_response(exc, sender.request_id, headers=headers)


urlpatterns = [
    path("v1/events", store_event),
    path("v1/events/bulk", store_events),
]
