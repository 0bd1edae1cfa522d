"""Pages of rewards, one module per subject; Django finds them by this import."""

from rewards.admin import jobs, ladders

__all__ = ["jobs", "ladders"]
