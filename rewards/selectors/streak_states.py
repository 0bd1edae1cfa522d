"""What is stored of players' streaks, read as sets: a statement each, however many there are."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import connection

from phoenix_site.common.arrays import BigintArray, TimeArray, UuidArray, register
from rewards.rules.streaks import PastReaches, WindowRow

__all__ = ["EARLIEST", "Pair", "StoredStreak", "read_freezes", "read_streaks"]

# Player and streak.
Pair = tuple[UUID, UUID]
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
# Beside the freezes of one break: the window that an instant lies in and two before it.
_SPARE_ROWS: Final = 3

_STREAKS: Final = """
SELECT of_player.id, of_player.player_id, of_player.streak_id, longest_count, last_event_at,
       settled_until, noticed_window_at, current_count
FROM unnest(%(players)b, %(streaks)b) AS wanted (player_id, streak_id)
JOIN rewards_playerstreak AS of_player USING (player_id, streak_id)
"""
_COLUMNS: Final = """
player_streak_id, starts_at, ends_at, key, timezone, progress, known, satisfied_at, repair_id,
state, count, run_starts_at, lost
"""
_WINDOWS: Final = f"""
SELECT near.* FROM unnest(%(ids)b, %(since)b, %(kept)b) AS wanted (id, since, kept)
CROSS JOIN LATERAL (
  SELECT * FROM (
    SELECT {_COLUMNS}, true AS is_before FROM rewards_streakwindow
    WHERE player_streak_id = wanted.id AND starts_at <= wanted.since
    ORDER BY starts_at DESC LIMIT wanted.kept
  ) AS before
  UNION ALL
  SELECT {_COLUMNS}, false FROM rewards_streakwindow
  WHERE player_streak_id = wanted.id AND starts_at > wanted.since
) AS near
ORDER BY player_streak_id, starts_at
"""  # noqa: S608 - only constants are put into the text
_PAST: Final = """
SELECT reach.player_streak_id, reach.threshold, count(*), max(reach.reached_at),
       max(reach.window_starts_at) FILTER (WHERE reach.window_starts_at < wanted.since),
       array_agg(reach.window_starts_at) FILTER (WHERE reach.window_starts_at >= wanted.since)
FROM unnest(%(ids)b, %(since)b) AS wanted (id, since)
JOIN rewards_streakmilestone AS reach ON reach.player_streak_id = wanted.id
GROUP BY reach.player_streak_id, reach.threshold
"""
_FREEZES: Final = """
SELECT player_id, streak_id, held FROM rewards_streakfreeze WHERE player_id = ANY (%(players)b)
"""


@dataclass(slots=True)
class StoredStreak:
    """A player's streak as its rows say; ``rows`` may lack old windows: see ``has_earlier``."""

    id: UUID
    player_id: UUID
    streak_id: UUID
    longest_count: int = 0
    last_event_at: datetime | None = None
    settled_until: datetime | None = None
    noticed_window_at: datetime | None = None
    current_count: int = 0
    rows: list[WindowRow] = field(default_factory=list)
    has_earlier: bool = False
    past: dict[int, PastReaches] = field(default_factory=dict)
    reached_at: dict[int, datetime] = field(default_factory=dict)


def read_streaks(
    wanted: Mapping[Pair, datetime], *, frozen_in_row: Mapping[UUID, int]
) -> dict[Pair, StoredStreak]:
    """Return what is stored for these pairs, with the windows from those instants on.

    Some windows before are read too, so that a run can be followed: ``frozen_in_row`` says of
    each streak how many frozen ones may stand in a row. Queries: 3, or 1 where nothing is stored.
    """
    if not wanted:
        return {}
    found = _read_pairs(wanted)
    if found:
        _read_windows(found, wanted, frozen_in_row)
        _read_past(list(found.values()))
    return found


def read_freezes(player_ids: Collection[UUID]) -> dict[UUID, dict[UUID | None, int]]:
    """Return how many freezes the players hold, by streak; ``None``: for any. Queries: 1."""
    held: dict[UUID, dict[UUID | None, int]] = defaultdict(dict)
    for player_id, streak_id, count in _rows(_FREEZES, {"players": UuidArray(player_ids)}):
        held[player_id][streak_id] = count
    return held


def _read_pairs(wanted: Mapping[Pair, datetime]) -> dict[Pair, StoredStreak]:
    parameters = {
        "players": UuidArray(player_id for player_id, _ in wanted),
        "streaks": UuidArray(streak_id for _, streak_id in wanted),
    }
    stored = [StoredStreak(*row) for row in _rows(_STREAKS, parameters)]
    return {(each.player_id, each.streak_id): each for each in stored}


def _read_windows(
    found: Mapping[Pair, StoredStreak],
    wanted: Mapping[Pair, datetime],
    frozen_in_row: Mapping[UUID, int],
) -> None:
    kept = {pair: _SPARE_ROWS + frozen_in_row.get(pair[1], 0) for pair in found}
    parameters = {
        "ids": UuidArray(each.id for each in found.values()),
        "since": TimeArray(wanted[pair] for pair in found),
        "kept": BigintArray(kept[pair] for pair in found),
    }
    by_id = {each.id: (each, kept[pair]) for pair, each in found.items()}
    before: dict[UUID, int] = defaultdict(int)
    for player_streak_id, *columns, is_before in _rows(_WINDOWS, parameters):
        stored, limit = by_id[player_streak_id]
        stored.rows.append(WindowRow(*columns))
        before[player_streak_id] += is_before
        stored.has_earlier = before[player_streak_id] >= limit


def _read_past(stored: Sequence[StoredStreak]) -> None:
    parameters = {
        "ids": UuidArray(each.id for each in stored),
        "since": TimeArray(each.rows[0].starts_at if each.rows else EARLIEST for each in stored),
    }
    by_id = {each.id: each for each in stored}
    for id_, threshold, times, reached_at, newest, later in _rows(_PAST, parameters):
        windows = (*(later or ()), *(() if newest is None else (newest,)))
        by_id[id_].past[threshold] = PastReaches(times, windows)
        by_id[id_].reached_at[threshold] = reached_at


def _rows(statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement past Django's slower conversions."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        register(cursor)
        return cursor.execute(statement, parameters, binary=True).fetchall()
