"""What leaderboards refuse."""

from collections.abc import Sequence

from phoenix_site.common.exceptions import (
    ConflictError,
    Detail,
    InvalidInputError,
    UnavailableError,
)
from phoenix_site.common.faults import Fault


class ConfigError(InvalidInputError):
    """A board's config has faults; ``faults`` and ``details`` have every one of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        first, more = self.faults[0], len(self.faults) - 1
        super().__init__(
            f"{first.path}: {first.message}" + (f" (and {more} more)" if more else ""),
            details=[Detail(fault.path, fault.message) for fault in self.faults],
        )


class PlanChangedError(UnavailableError):
    """A window changed between planning a batch and locking the window: plan anew."""


class NearLimitError(UnavailableError):
    """A batch was added up too coarsely for a score near its limit: add event by event."""


class EventRefusedError(ConflictError):
    """An event cannot be counted, again; ``code`` says why, as its quarantine entry does."""

    code = "EVENT_REFUSED"


class WindowNotScoredError(ConflictError):
    """The window is closed or void: nothing is counted in it any more."""

    code = "WINDOW_NOT_SCORED"


class BoardExistsError(ConflictError):
    """The tenant has, or had, a board of this id."""


class BoardArchivedError(ConflictError):
    """The board is archived, which is final."""


class VersionConflictError(ConflictError):
    """Somebody else changed the board since the caller read it."""

    code = "VERSION_CONFLICT"


class NeedsRecomputeError(ConflictError):
    """The change decides how a window scores that has entries and no successor."""

    code = "NEEDS_RECOMPUTE"


class EventsPurgedError(ConflictError):
    """Computing the window anew needs events that the retention has deleted."""

    code = "EVENTS_PURGED"
