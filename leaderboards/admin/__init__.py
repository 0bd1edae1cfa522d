from leaderboards.admin import boards, late_events, snapshots, windows

__all__ = ["boards", "late_events", "snapshots", "windows"]
