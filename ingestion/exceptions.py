"""What can go wrong in the event log, said so that a caller can act on it."""

from phoenix_site.common.exceptions import ConflictError, DomainError, UnavailableError


class EventConflictError(ConflictError):
    """The event id is stored with other content; the stored event is unchanged."""

    code = "EVENT_CONFLICT"


class EventNotStoredError(DomainError):
    """The database refused this one event, which passed every check: a fault of ours."""

    code = "SRV_001"


class LogBusyError(UnavailableError):
    """More events wait for their commit than the process may hold."""


class CursorMovedError(ConflictError):
    """The cursor is no longer where the batch began: another worker was there."""


class QuarantineClosedError(ConflictError):
    """The entry was replayed or discarded before."""

    code = "STATE_CONFLICT"


class ReplayFailedError(ConflictError):
    """The consumer refused the event again."""

    code = "REPLAY_FAILED"
