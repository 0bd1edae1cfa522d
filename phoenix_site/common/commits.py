"""Effects outside the database that follow a commit and may be lost."""

from collections.abc import Callable
from typing import Any

from django.db import transaction


def after_commit(effect: Callable[..., Any], *arguments: Any) -> None:
    """Call ``effect`` once the present transaction has committed; a failure of it is only logged.

    Not ``on_commit(partial(…), robust=True)``: Django names the function that failed, a partial
    has no name, and so the failure would reach the caller after all.
    """

    def follow() -> None:
        effect(*arguments)

    follow.__qualname__ = getattr(effect, "__qualname__", type(effect).__name__)
    transaction.on_commit(follow, robust=True)
