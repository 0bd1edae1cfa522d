"""Tasks of this app; Celery finds them here."""

from leaderboards.tasks.scoring import score_events, sweep_indexes
from leaderboards.tasks.windows import (
    close_window,
    purge_snapshots,
    sweep_windows,
    take_snapshots,
)

__all__ = [
    "close_window",
    "purge_snapshots",
    "score_events",
    "sweep_indexes",
    "sweep_windows",
    "take_snapshots",
]
