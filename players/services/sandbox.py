"""Emptying a sandbox tenant of its players."""

from phoenix_site.common.emptying import empty_app


def empty_tenant(tenant_id: str) -> None:
    """Delete the players of a sandbox tenant; what other apps keep of them goes before.

    Raises: ``NotAllowedError`` in production and without the rights.
    """
    empty_app("players", tenant_id)
