"""Tasks of this app; Celery finds them here."""

from leaderboards.tasks.windows import (
    close_window,
    purge_snapshots,
    sweep_windows,
    take_snapshots,
)

__all__ = ["close_window", "purge_snapshots", "sweep_windows", "take_snapshots"]
