from celery import shared_task
from django.utils import timezone

from rewards.services import grants


@shared_task(name="rewards.tasks.expire_grants", ignore_result=True)
def expire_grants() -> None:
    """Expire what nobody claimed in time, until nothing is left that is due."""
    while grants.expire_due(now=timezone.now()) == grants.EXPIRY_BATCH:
        pass
