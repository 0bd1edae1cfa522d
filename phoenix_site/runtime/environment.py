"""Where Phoenix finds its servers: the two URLs of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from phoenix_site.runtime import places, servers
from phoenix_site.runtime.exceptions import UsageError

URLS = ("DATABASE_URL", "REDIS_URL")


def given_urls(environment: Mapping[str, str]) -> dict[str, str]:
    """Return both URLs, or nothing when neither is set.

    Raises: ``UsageError`` when one is set alone: half a Phoenix would run on private data.
    """
    given = {name: environment[name] for name in URLS if environment.get(name)}
    if len(given) == 1:
        [name] = given
        [missing] = set(URLS) - set(given)
        raise UsageError(
            f"{name} is set but {missing} is not: set both to use your own servers, "
            "or neither to use private ones."
        )
    return given


def find_servers(command: str) -> None:
    """Lead ``command`` to the private servers of a running Phoenix, unless it is told others.

    Called before Django reads its settings. Raises: ``UsageError`` as ``given_urls`` does.
    """
    is_starting = command == "phoenix"  # Servers that answer now would be a killed one's last.
    if not given_urls(os.environ) and not is_starting:
        os.environ.update(servers.running_environment(places.data_dir()) or {})
