"""Refusals of this app; authentication errors carry the stable codes of spec 00 section 3."""

from phoenix_site.common.exceptions import (
    ConflictError,
    NotAllowedError,
    NotAuthenticatedError,
)


class BadSignatureError(NotAuthenticatedError):
    """The signature fits no live secret."""

    code = "AUTH_001"


class CredentialMissingError(NotAuthenticatedError):
    """No credential was sent, or only a part of one."""

    code = "AUTH_002"


class CredentialRefusedError(NotAuthenticatedError):
    """The credential or token is unknown, revoked, expired, malformed or of the wrong kind."""

    code = "AUTH_003"


class TimestampRefusedError(NotAuthenticatedError):
    """The signature's time is not one, or too far from the server's."""

    code = "AUTH_004"


class AccessDeniedError(NotAllowedError):
    """The sender is known; tenant, scope or address forbid the request."""


class IdempotencyConflictError(ConflictError):
    """The idempotency key was used for another request."""

    code = "IDEMPOTENCY_CONFLICT"


class IdempotencyInProgressError(ConflictError):
    """The first request with this idempotency key has not answered yet."""

    code = "IDEMPOTENCY_IN_PROGRESS"


class TenantExistsError(ConflictError):
    """There is a tenant with this id, or with this operator and environment."""


class SecondFactorNeededError(NotAuthenticatedError):
    """The password was right; a one-time code is missing or wrong."""
