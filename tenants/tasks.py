from celery import shared_task
from django.conf import settings
from django.utils import timezone

from phoenix_site.common.nudges import nudge_taken
from tenants.constants import DELIVERY_TASK_SECONDS
from tenants.services import deliveries, upkeep


@shared_task(ignore_result=True)
def purge_leftovers() -> None:
    upkeep.purge_leftovers(now=timezone.now())


@shared_task(ignore_result=True)
def deliver_due() -> None:
    nudge_taken(settings.PHOENIX_DELIVERY_TASK, 0)
    deliveries.deliver_due(clock=timezone.now, seconds=DELIVERY_TASK_SECONDS)
