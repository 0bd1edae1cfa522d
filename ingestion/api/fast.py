"""The hot paths of the ingestion gateway as native async views on the slim handler."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from django.http import HttpRequest, HttpResponse
from django.urls import path

from ingestion.api import entrance
from ingestion.api.entrance import Submission
from ingestion.services import group_commit, intake
from ingestion.types import ItemVerdict
from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.http import error_response
from phoenix_site.common.nudges import anudge_consumers
from phoenix_site.common.requests import current_request_id
from tenants.services import limits, snapshots
from tenants.services.authentication import aauthenticate_tenant

LIMIT_CLASS = "ingestion"
Read = Callable[[HttpRequest], Submission]
Answer = Callable[[Sequence[ItemVerdict], str, dict[str, str]], HttpResponse]


async def store_event(request: HttpRequest) -> HttpResponse:
    return await _serve(request, entrance.read_single, entrance.single_answer)


async def store_events(request: HttpRequest) -> HttpResponse:
    return await _serve(request, entrance.read_bulk, entrance.bulk_answer)


async def _serve(request: HttpRequest, read: Read, answer: Answer) -> HttpResponse:
    now = datetime.now(UTC)
    caller = await aauthenticate_tenant(
        entrance.request_facts(request), gateway="ingestion", now=now
    )
    entrance.check_method(request)
    submission = read(request)
    tenant = await snapshots.atenant_settings(caller.tenant_id or "")
    verdict = await limits.atake(LIMIT_CLASS, tenant.id, tenant.id, cost=len(submission.items))
    headers = limits.enforce(verdict)
    request_id = current_request_id()
    try:
        checked = intake.check_events(
            submission.items,
            tenant=tenant,
            caller=caller,
            request_id=request_id,
            now=now,
            has_escapes=submission.has_escapes,
        )
        outcomes = await group_commit.store_events(checked.rows) if checked.rows else []
        anudge_consumers(intake.accepted_shards(checked, outcomes))
        verdicts = intake.item_verdicts(checked, outcomes)
        intake.count_verdicts(tenant.id, verdicts)
        return answer(verdicts, request_id, headers)
    except DomainError as exc:
        return error_response(exc, request_id, headers=headers)


urlpatterns = [
    path("v1/events", store_event),
    path("v1/events/bulk", store_events),
]
