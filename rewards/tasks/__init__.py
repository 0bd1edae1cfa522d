"""Tasks of this app; Celery finds them here."""

from rewards.tasks.grants import expire_grants
from rewards.tasks.jobs import run_job, sweep_jobs
from rewards.tasks.rules import apply_rules, purge_refusals, sweep_rules
from rewards.tasks.streaks import sweep_streaks
from rewards.tasks.wallets import enqueue_due_proofs, expire_lots, release_expired_holds

__all__ = [
    "apply_rules",
    "enqueue_due_proofs",
    "expire_grants",
    "expire_lots",
    "purge_refusals",
    "release_expired_holds",
    "run_job",
    "sweep_jobs",
    "sweep_rules",
    "sweep_streaks",
]
