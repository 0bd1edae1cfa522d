from celery import shared_task
from django.utils import timezone

from rewards.services import streak_sweep


@shared_task(name="rewards.tasks.sweep_streaks", ignore_result=True)
def sweep_streaks() -> None:
    """Close the windows of streaks that have ended, and note runs at risk."""
    streak_sweep.sweep_streaks(now=timezone.now())
