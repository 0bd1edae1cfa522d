from uuid import UUID

from celery import shared_task
from django.utils import timezone

from rewards.services import jobs

# Jobs of minutes are what this queue is for; one of hours is held up by something.
_SOFT_LIMIT_SECONDS = 7000
_LIMIT_SECONDS = 7200


@shared_task(
    name="rewards.tasks.run_job",
    ignore_result=True,
    soft_time_limit=_SOFT_LIMIT_SECONDS,
    time_limit=_LIMIT_SECONDS,
)
def run_job(job_id: str) -> None:
    jobs.run_job(UUID(job_id), clock=timezone.now)


@shared_task(name="rewards.tasks.sweep_jobs", ignore_result=True)
def sweep_jobs() -> None:
    for job_id in jobs.sweep_jobs(now=timezone.now()):
        run_job.apply_async(args=(str(job_id),), expires=jobs.MESSAGE_SECONDS)
