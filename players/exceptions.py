"""What players refuses."""

from phoenix_site.common.exceptions import ConflictError, NotFoundError


class PlayerNotFoundError(NotFoundError):
    """The tenant has no such player."""


class BanNotInForceError(ConflictError):
    """The ban was lifted before or has ended by itself."""

    code = "STATE_CONFLICT"


class VersionMismatchError(ConflictError):
    """Somebody changed the player since the caller read it."""

    code = "VERSION_CONFLICT"
