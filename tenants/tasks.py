from celery import shared_task
from django.utils import timezone

from tenants.services import upkeep


@shared_task(ignore_result=True)
def purge_leftovers() -> None:
    upkeep.purge_leftovers(now=timezone.now())
