from celery import shared_task
from django.utils import timezone

from ingestion.services import readiness, retention, sweep


@shared_task(ignore_result=True)
def sweep_consumers() -> None:
    sweep.nudge_lagging_consumers()


@shared_task(ignore_result=True)
def beat_heartbeat() -> None:
    readiness.beat_heartbeat(now=timezone.now())


@shared_task(ignore_result=True)
def purge_events() -> None:
    retention.purge_all_tenants(now=timezone.now())
