from uuid import UUID

from celery import shared_task
from django.utils import timezone

from leaderboards.services import closing, snapshots, windows

# A message that waited longer is useless: the sweep has sent another one by then.
_MESSAGE_SECONDS = 10


@shared_task(name="leaderboards.tasks.sweep_windows", ignore_result=True)
def sweep_windows() -> None:
    for window_id in windows.sweep_windows(now=timezone.now()):
        close_window.apply_async(args=(str(window_id),), expires=_MESSAGE_SECONDS)


@shared_task(name="leaderboards.tasks.close_window", ignore_result=True)
def close_window(window_id: str) -> None:
    closing.close_due_windows(UUID(window_id), now=timezone.now())


@shared_task(name="leaderboards.tasks.take_snapshots", ignore_result=True)
def take_snapshots() -> None:
    snapshots.take_snapshots(now=timezone.now())


@shared_task(name="leaderboards.tasks.purge_snapshots", ignore_result=True)
def purge_snapshots() -> None:
    snapshots.purge_snapshots(now=timezone.now())
