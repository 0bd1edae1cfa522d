"""Emptying a sandbox tenant: everything that came of its events, and its boards."""

from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model

from leaderboards.models import (
    BoardVersion,
    Entry,
    FrozenStanding,
    LateEvent,
    Leaderboard,
    RefusedEvent,
    Snapshot,
    StatusChange,
    Window,
    WindowShard,
)
from leaderboards.services import index, rebuilds
from phoenix_site.common.commits import after_commit
from phoenix_site.common.exceptions import NotAllowedError

_NAME_THE_PURPOSE = "SELECT set_config('phoenix.purge', 'leaderboards', true)"
_OF_WINDOWS: tuple[type[Model], ...] = (
    RefusedEvent,
    LateEvent,
    Snapshot,
    FrozenStanding,
    Entry,
    WindowShard,
)
_OF_BOARDS: tuple[type[Model], ...] = (StatusChange, BoardVersion)


@transaction.atomic
def empty_tenant(tenant_id: str) -> None:
    """Delete the boards of a sandbox tenant with all their windows and standings.

    Raises: ``NotAllowedError`` in production. Repeats: safe. Locks: all cursors of the scorer.
    """
    if settings.PHOENIX_ENV == "prod":
        raise NotAllowedError("Nothing is emptied in production.")
    rebuilds.hold_scoring()
    with connection.cursor() as cursor:
        cursor.execute(_NAME_THE_PURPOSE)
    boards = list(Leaderboard.objects.filter(tenant_id=tenant_id).values_list("pk", flat=True))
    windows = list(Window.objects.filter(board__in=boards).values_list("pk", flat=True))
    for model in _OF_WINDOWS:
        model._default_manager.filter(window__in=windows).delete()
    Window.objects.filter(pk__in=windows).delete()
    for owned in _OF_BOARDS:
        owned._default_manager.filter(board__in=boards).delete()
    Leaderboard.objects.filter(pk__in=boards).delete()
    after_commit(_drop_indexes, windows)


def _drop_indexes(windows: list[UUID]) -> None:
    for window_id in windows:
        index.drop_index(window_id)
