"""Tasks of this app; Celery finds them here."""

from rewards.tasks.jobs import run_job, sweep_jobs
from rewards.tasks.rules import apply_rules, purge_refusals, sweep_rules
from rewards.tasks.wallets import enqueue_due_proofs, expire_lots, release_expired_holds

__all__ = [
    "enqueue_due_proofs",
    "expire_lots",
    "release_expired_holds",
    "apply_rules",
    "purge_refusals",
    "sweep_rules",
    "run_job",
    "sweep_jobs",
]
