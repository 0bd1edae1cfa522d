"""Tasks of this app; Celery finds them here."""

from rewards.tasks.jobs import run_job, sweep_jobs

__all__ = [
    "run_job",
    "sweep_jobs",
]
