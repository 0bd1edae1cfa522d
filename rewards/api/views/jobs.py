"""Jobs on the admin gateway (spec 03 ADM-7)."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from rewards.api.collections import AdminView
from rewards.models.jobs import Job
from rewards.selectors import jobs as selectors
from rewards.services import jobs as services
from tenants.api.authentication import caller_of
from tenants.api.permissions import ReachesTenant
from tenants.services import authentication


class JobOutput(serializers.Serializer[Any]):
    job_id = serializers.UUIDField()
    kind = serializers.CharField()
    status = serializers.ChoiceField(choices=Job.Status.choices)
    progress = serializers.FloatField(min_value=0, max_value=1)
    result = serializers.DictField(help_text="What the job found or did, by its kind.")
    error = serializers.DictField(allow_null=True, help_text="Why it failed: code and message.")


class QueuedJobOutput(serializers.Serializer[Any]):
    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=[Job.Status.QUEUED])


class _JobView(AdminView):
    # Which scope is asked for depends on the kind of job, hence on the row.
    permission_classes = [ReachesTenant]

    def find_job(self, job_id: UUID, right: str) -> Job:
        """Return the job. Raises: ``NotFoundError``, ``NotAllowedError`` without the scope."""
        job = selectors.get_job(self.tenant_id, job_id)
        scope = f"{services.scope_of(job.kind)}:{right}"
        authentication.require_scope(caller_of(self.request), scope)
        return job


class JobView(_JobView):
    """One job."""

    @extend_schema(responses={200: JobOutput}, tags=["rewards"])
    def get(self, request: Request, job_id: UUID, **_kwargs: Any) -> Response:
        """Show how far the job is, or what came of it."""
        return Response(selectors.job_document(self.find_job(job_id, "read")))


class JobCancelView(_JobView):
    """The end of a job before its time."""

    @extend_schema(request=None, responses={200: JobOutput}, tags=["rewards"])
    def post(self, request: Request, job_id: UUID, **_kwargs: Any) -> Response:
        """Cancel the job; one that runs ends within moments and keeps what it did so far."""
        self.find_job(job_id, "write")
        job = services.cancel(self.tenant_id, job_id, now=timezone.now())
        return Response(selectors.job_document(job))


def queued(job: Job) -> Response:
    """Return the answer to a request that became a job."""
    body = {"job_id": job.id_text, "status": Job.Status.QUEUED.value}
    location = f"/v1/tenants/{job.tenant_id}/jobs/{job.id_text}"
    return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": location})
