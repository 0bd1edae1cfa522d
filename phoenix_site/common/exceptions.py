"""The error family of Phoenix: a fact, a stable code and optional details.

Services raise these and know nothing of HTTP; ``common.http`` holds the one table that turns
them into statuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detail:
    """One fault inside a request: the path of the field, a sentence and a stable reason."""

    field: str
    message: str
    reason: str | None = None

    def as_dict(self) -> dict[str, str]:
        """Return the JSON form of spec 00 section 3."""
        shape = {"field": self.field, "message": self.message}
        if self.reason is not None:
            shape["reason"] = self.reason
        return shape


class DomainError(Exception):
    """A request that Phoenix refuses, said so that a person and a program both understand it."""

    code = "SRV_001"

    def __init__(
        self, message: str, *, details: Sequence[Detail] = (), code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        if code is not None:
            self.code = code


class InvalidInputError(DomainError):
    """The input does not have the promised shape."""

    code = "VAL_001"


class BulkSizeError(InvalidInputError):
    """A list is empty or longer than its maximum."""

    code = "VAL_002"


class InvalidJsonError(InvalidInputError):
    """The body is not JSON."""

    code = "VAL_003"


class NotAuthenticatedError(DomainError):
    """Nobody known sent this; ``code`` is one of AUTH_001 to AUTH_004."""

    code = "AUTH_003"


class NotAllowedError(DomainError):
    """The sender is known and may not do this."""

    code = "AUTH_005"


class NotFoundError(DomainError):
    """There is no such thing, or it belongs to somebody else: the two are not told apart."""

    code = "NOT_FOUND"


class ConflictError(DomainError):
    """The present state forbids it."""

    code = "CONFLICT"


class MethodError(DomainError):
    """The path does not take this method; ``allowed`` are those that it takes."""

    code = "METHOD"

    def __init__(self, message: str, *, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.headers = {"Allow": ", ".join(allowed)} if allowed else {}


class NotAcceptableError(DomainError):
    """No representation that the client accepts."""

    code = "ACCEPT"


class TooLargeError(DomainError):
    """The body is over the gateway's limit."""

    code = "TOO_LARGE"


class MediaTypeError(DomainError):
    """The body's media type or encoding is not taken here."""

    code = "MEDIA_TYPE"


class RateLimitedError(DomainError):
    """Too many requests; ``retry_after`` is in whole seconds."""

    code = "RATE_001"

    def __init__(self, message: str, *, retry_after: int, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.retry_after = retry_after
        self.headers = headers or {}


class UnavailableError(DomainError):
    """A dependency is down; ``retry_after`` is in whole seconds."""

    code = "SRV_002"

    def __init__(self, message: str, *, retry_after: int = 2):
        super().__init__(message)
        self.retry_after = retry_after
