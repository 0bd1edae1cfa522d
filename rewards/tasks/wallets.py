from celery import shared_task
from django.utils import timezone

from rewards.services import proofs, wallet_sweeps


@shared_task(name="rewards.tasks.expire_lots", ignore_result=True)
def expire_lots() -> None:
    wallet_sweeps.expire_lots(now=timezone.now())


@shared_task(name="rewards.tasks.release_expired_holds", ignore_result=True)
def release_expired_holds() -> None:
    wallet_sweeps.release_expired_holds(now=timezone.now())


@shared_task(name="rewards.tasks.enqueue_due_proofs", ignore_result=True)
def enqueue_due_proofs() -> None:
    proofs.enqueue_due_proofs_across_tenants(timezone.now())
