"""Which board and window a reader is shown, with all that reading its standings needs.

One statement, the same from threads and event loops. The fast entrance keeps its answers for a
moment, so that a popular board costs one statement per moment and process, not one per reader.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection

from leaderboards.constants import BOARD_ID_PATTERN
from leaderboards.models import Leaderboard
from leaderboards.rules.ranking import score_bounds
from leaderboards.types import BoardView, Ranking, ShownWindow
from phoenix_site.common import postgres
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.json import decode
from phoenix_site.common.shared_reads import SharedReads

CURRENT: Final = "current"
# A board that was switched off, or a window that closed, may be shown for so long afterwards.
KEPT_SECONDS: Final = 0.25
_MAX_KEPT: Final = 10_000

_COLUMNS: Final = """
    w.id, w.key, w.starts_at, w.ends_at, w.state, w.version_number, w.revision, w.closed_at,
    w.hash, w.previous_hash
"""
CURRENT_WINDOW: Final = """
    w.board_id = b.id AND b.status = 'active' AND w.state <> 'void'
        AND w.starts_at <= %(now)s AND (w.ends_at IS NULL OR w.ends_at > %(now)s)
"""
_CHOICE_CURRENT: Final = f"SELECT w.* FROM leaderboards_window w WHERE {CURRENT_WINDOW}"  # noqa: S608 - constants
_CHOICE_BY_KEY: Final = """
    SELECT w.* FROM leaderboards_window w WHERE w.board_id = b.id AND w.key = %(key)s
"""
# Left out: the current window; while it has no entry, the last closed one; else the empty one.
_CHOICE_LEFT_OUT: Final = f"""
    SELECT * FROM (
        SELECT w.*, CASE WHEN EXISTS (
            SELECT 1 FROM leaderboards_entry e WHERE e.window_id = w.id) THEN 1 ELSE 3 END AS choice
        FROM leaderboards_window w WHERE {CURRENT_WINDOW}
        UNION ALL (
            SELECT w.*, 2 AS choice FROM leaderboards_window w
            WHERE w.board_id = b.id AND b.status = 'active' AND w.state = 'closed'
            ORDER BY w.starts_at DESC LIMIT 1)
    ) choices ORDER BY choice LIMIT 1
"""  # noqa: S608 - the parts are constants of this module
SHOWN_COLUMNS: Final = f"""
    b.id, b.name, coalesce(b.config -> 'ranking', '{{}}')::text,
    coalesce(v.document -> 'config' -> 'ranking', '{{}}')::text,
    coalesce(v.document -> 'config' -> 'scoring' ->> 'decimals', '0'), {_COLUMNS}
"""


def _statement(choice: str) -> str:
    return f"""
SELECT {SHOWN_COLUMNS}
FROM leaderboards_leaderboard b
CROSS JOIN LATERAL ({choice}) w
JOIN leaderboards_boardversion v ON v.board_id = b.id AND v.version = w.version_number
WHERE b.tenant_id = %(tenant_id)s AND b.leaderboard_id = %(leaderboard_id)s
"""  # noqa: S608 - as above


SHOWN_CURRENT: Final = _statement(_CHOICE_CURRENT)
SHOWN_BY_KEY: Final = _statement(_CHOICE_BY_KEY)
SHOWN_LEFT_OUT: Final = _statement(_CHOICE_LEFT_OUT)

_is_board_id = re.compile(BOARD_ID_PATTERN.removesuffix("$")).fullmatch

Place = tuple[str, str, str | None]


class _Kept:
    """Windows resolved a moment ago, oldest first; what was not found is never kept."""

    def __init__(self) -> None:
        self._windows: OrderedDict[Place, tuple[float, ShownWindow]] = OrderedDict()

    def find(self, place: Place, now: datetime) -> ShownWindow | None:
        kept = self._windows.get(place)
        if kept is None or time.monotonic() - kept[0] >= KEPT_SECONDS:
            return None
        ends_at = kept[1].ends_at
        # What was read before its window ended says that the window is open, or the current one.
        if kept[1].state == "open" and ends_at is not None and ends_at <= now:
            return None
        return kept[1]

    def keep(self, place: Place, window: ShownWindow) -> None:
        self._windows[place] = (time.monotonic(), window)
        self._windows.move_to_end(place)
        if len(self._windows) > _MAX_KEPT:
            self._windows.popitem(last=False)

    def clear(self) -> None:
        self._windows.clear()


_kept = _Kept()
_reads: SharedReads[Place, ShownWindow] = SharedReads()


def get_shown(
    tenant_id: str, leaderboard_id: str, window_key: str | None, *, now: datetime
) -> ShownWindow:
    """Return the window to show; ``window_key`` is a key, ``current``, or ``None`` if left out.

    Raises: ``NotFoundError``, whether the board or its window is missing. Queries: 1.
    """
    statement, parameters = _question(tenant_id, leaderboard_id, window_key, now)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return _one(tenant_id, leaderboard_id, cursor.fetchone(), now)


async def aget_shown(
    tenant_id: str, leaderboard_id: str, window_key: str | None, *, now: datetime
) -> ShownWindow:
    """Return what ``get_shown`` does, at most ``KEPT_SECONDS`` old. Queries: 1, mostly 0."""
    place = (tenant_id, leaderboard_id, window_key)
    kept = _kept.find(place, now)
    if kept is not None:
        return kept
    statement, parameters = _question(tenant_id, leaderboard_id, window_key, now)

    async def read() -> ShownWindow:
        async with postgres.connection() as conn:
            cursor = await conn.execute(statement, parameters)
            window = _one(tenant_id, leaderboard_id, await cursor.fetchone(), now)
        _kept.keep(place, window)
        return window

    return await _reads.share(place, read)


def find_board_due(tenant_id: str, leaderboard_id: str, *, now: datetime) -> UUID | None:
    """Return the active board if its next window should exist by now. Queries: 0 or 1."""
    if not _is_board_id(leaderboard_id):
        return None
    due = Leaderboard.objects.filter(
        tenant_id=tenant_id,
        leaderboard_id=leaderboard_id,
        status=Leaderboard.Status.ACTIVE,
        next_window_at__lte=now,
    )
    return due.values_list("pk", flat=True).first()


def forget_shown() -> None:
    """Drop what this process kept; for whoever changed a board and wants it seen at once."""
    _kept.clear()


def _question(
    tenant_id: str, leaderboard_id: str, window_key: str | None, now: datetime
) -> tuple[str, dict[str, Any]]:
    check_board_id(leaderboard_id)
    names: dict[str, Any] = {"tenant_id": tenant_id, "leaderboard_id": leaderboard_id, "now": now}
    if window_key is None:
        return SHOWN_LEFT_OUT, names
    if window_key == CURRENT:
        return SHOWN_CURRENT, names
    return SHOWN_BY_KEY, names | {"key": window_key}


def _one(
    tenant_id: str, leaderboard_id: str, row: Sequence[Any] | None, now: datetime
) -> ShownWindow:
    if row is None:
        raise nothing_here()
    return shown_window(tenant_id, leaderboard_id, row, now=now)


def shown_window(
    tenant_id: str, leaderboard_id: str, row: Sequence[Any], *, now: datetime
) -> ShownWindow:
    """Return the window of a row of ``SHOWN_COLUMNS``."""
    board_id, name, newest_ranking, ranking, decimals, window_id, key, *facts = row
    starts_at, ends_at, state, version_number, revision, *closing = facts
    has_ended = ends_at is not None and ends_at <= now
    return ShownWindow(
        id=window_id,
        board_id=board_id,
        tenant_id=tenant_id,
        leaderboard_id=leaderboard_id,
        name=name,
        key=key,
        starts_at=starts_at,
        ends_at=ends_at,
        state="closing" if state == "open" and has_ended else state,
        version_number=version_number,
        revision=revision,
        closed_at=closing[0],
        hash=closing[1],
        previous_hash=closing[2],
        decimals=int(decimals),
        view=_view(decode(ranking), decode(newest_ranking), int(decimals)),
    )


def _view(of_window: dict[str, Any], newest: dict[str, Any], decimals: int) -> BoardView:
    bounds = score_bounds(
        Ranking(
            min_score=_as_decimal(newest.get("min_score")),
            max_score=_as_decimal(newest.get("max_score")),
        ),
        decimals,
    )
    defaults = Ranking()
    return BoardView(
        method=of_window.get("method", defaults.method),
        tie_policy=of_window.get("tie_policy", defaults.tie_policy),
        size=newest.get("size", defaults.size),
        lowest=bounds.lowest,
        highest=bounds.highest,
    )


def _as_decimal(number: int | Decimal | None) -> Decimal | None:
    return None if number is None else Decimal(number)


def check_board_id(leaderboard_id: str) -> None:
    """Refuse whatever text a path holds that cannot be an id, before a database sees it.

    Raises: ``NotFoundError``.
    """
    if not _is_board_id(leaderboard_id):
        raise nothing_here()


def nothing_here() -> NotFoundError:
    """Return the one refusal for whatever is not there, so that it tells nobody what is."""
    return NotFoundError("There is nothing here.")
