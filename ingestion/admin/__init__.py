"""Pages of the event log; Django finds them here."""

from ingestion.admin.cursors import CursorAdmin
from ingestion.admin.events import EventAdmin
from ingestion.admin.quarantine import QuarantineEntryAdmin

__all__ = ["CursorAdmin", "EventAdmin", "QuarantineEntryAdmin"]
