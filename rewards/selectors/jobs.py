"""Reads of jobs."""

from typing import Any
from uuid import UUID

from phoenix_site.common.exceptions import NotFoundError
from rewards.models.jobs import Job


def get_job(tenant_id: str, job_id: UUID) -> Job:
    """Return the tenant's job. Raises: ``NotFoundError``. Queries: 1."""
    job = Job.objects.filter(tenant=tenant_id, pk=job_id).first()
    if job is None:
        raise NotFoundError("There is no such job.")
    return job


def job_document(job: Job) -> dict[str, Any]:
    """Return the job as contracts show it (ADM-7)."""
    return {
        "job_id": job.id_text,
        "kind": job.kind,
        "status": job.status,
        "progress": float(job.progress),
        "result": job.result,
        "error": job.error,
    }
