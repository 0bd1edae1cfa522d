"""Tasks of this app; Celery finds them here."""

from rewards.tasks.jobs import run_job, sweep_jobs
from rewards.tasks.rules import apply_rules, purge_refusals, sweep_rules

__all__ = [
    "apply_rules",
    "purge_refusals",
    "sweep_rules",
    "run_job",
    "sweep_jobs",
]
