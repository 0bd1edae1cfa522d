"""Writing what players have of streaks, as sets: a statement for each kind of row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from phoenix_site.common.arrays import IntegerArray, TextArray, TimeArray, UuidArray
from rewards.rules.streaks import WindowRow
from rewards.services.statements import run
from rewards.types.streaks import Span

__all__ = [
    "NewMilestone",
    "StreakState",
    "write_milestones",
    "write_notices",
    "write_states",
    "write_windows",
]

# Columns of arrays have no nulls: these stand for none, and are turned into it.
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY: Final = UUID(int=0)

_WRITE_STATES: Final = """
INSERT INTO rewards_playerstreak
  (id, player_id, streak_id, current_count, longest_count, run_starts_at, last_event_at,
   settled_until, due_at, noticed_window_at)
SELECT id, player_id, streak_id, current_count, longest_count, nullif(run_starts_at, %(never)s),
       nullif(last_event_at, %(never)s), nullif(settled_until, %(never)s),
       nullif(due_at, %(never)s), nullif(noticed_window_at, %(never)s)
FROM unnest(%(ids)b, %(players)b, %(streaks)b, %(current)b, %(longest)b, %(run_starts)b,
            %(last_events)b, %(settled)b, %(due)b, %(noticed)b)
  AS new (id, player_id, streak_id, current_count, longest_count, run_starts_at, last_event_at,
          settled_until, due_at, noticed_window_at)
ORDER BY player_id, streak_id
ON CONFLICT (player_id, streak_id) DO UPDATE SET
  current_count = excluded.current_count, longest_count = excluded.longest_count,
  run_starts_at = excluded.run_starts_at, last_event_at = excluded.last_event_at,
  settled_until = excluded.settled_until, due_at = excluded.due_at,
  noticed_window_at = excluded.noticed_window_at
"""
_WRITE_WINDOWS: Final = """
INSERT INTO rewards_streakwindow
  (player_streak_id, starts_at, ends_at, key, timezone, progress, known, satisfied_at, repair_id,
   state, count, run_starts_at, lost)
SELECT player_streak_id, starts_at, ends_at, key, timezone, progress::numeric,
       decode(known, 'hex'), nullif(satisfied_at, %(never)s), nullif(repair_id, %(nobody)s),
       state, count, nullif(run_starts_at, %(never)s), lost
FROM unnest(%(ids)b, %(starts)b, %(ends)b, %(keys)b, %(zones)b, %(progress)b, %(known)b,
            %(satisfied)b, %(repairs)b, %(states)b, %(counts)b, %(run_starts)b, %(lost)b)
  AS new (player_streak_id, starts_at, ends_at, key, timezone, progress, known, satisfied_at,
          repair_id, state, count, run_starts_at, lost)
ORDER BY player_streak_id, starts_at
ON CONFLICT (player_streak_id, starts_at) DO UPDATE SET
  progress = excluded.progress, known = excluded.known, satisfied_at = excluded.satisfied_at,
  repair_id = excluded.repair_id, state = excluded.state, count = excluded.count,
  run_starts_at = excluded.run_starts_at, lost = excluded.lost
"""
_WRITE_MILESTONES: Final = """
INSERT INTO rewards_streakmilestone
  (player_streak_id, threshold, number, window_starts_at, reached_at, cause_event_id)
SELECT player_streak_id, threshold, number, window_starts_at, %(now)s, cause_event_id
FROM unnest(%(ids)b, %(thresholds)b, %(numbers)b, %(windows)b, %(events)b)
  AS new (player_streak_id, threshold, number, window_starts_at, cause_event_id)
"""
_WRITE_NOTICES: Final = """
INSERT INTO rewards_streaknotice
  (player_streak_id, window_starts_at, window_ends_at, count, created_at)
SELECT player_streak_id, window_starts_at, window_ends_at, count, %(now)s
FROM unnest(%(ids)b, %(starts)b, %(ends)b, %(counts)b)
  AS new (player_streak_id, window_starts_at, window_ends_at, count)
ON CONFLICT (player_streak_id, window_starts_at) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class StreakState:
    """The row of a player's streak as it is to be."""

    id: UUID
    player_id: UUID
    streak_id: UUID
    current_count: int
    longest_count: int
    run_starts_at: datetime | None
    last_event_at: datetime | None
    settled_until: datetime | None
    due_at: datetime | None
    noticed_window_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewMilestone:
    """A milestone reached: see ``StreakMilestone``."""

    player_streak_id: UUID
    threshold: int
    number: int
    window_starts_at: datetime
    cause_event_id: str


def write_states(states: Sequence[StreakState]) -> None:
    """Make or replace the rows of players' streaks. Queries: 1, or 0 without any."""
    if not states:
        return
    parameters = {
        "ids": UuidArray(each.id for each in states),
        "players": UuidArray(each.player_id for each in states),
        "streaks": UuidArray(each.streak_id for each in states),
        "current": IntegerArray(each.current_count for each in states),
        "longest": IntegerArray(each.longest_count for each in states),
        "run_starts": _times(each.run_starts_at for each in states),
        "last_events": _times(each.last_event_at for each in states),
        "settled": _times(each.settled_until for each in states),
        "due": _times(each.due_at for each in states),
        "noticed": _times(each.noticed_window_at for each in states),
        "never": _NEVER,
    }
    run(_WRITE_STATES, parameters)


def write_windows(windows: Sequence[tuple[UUID, WindowRow]]) -> None:
    """Make or replace windows of players' streaks. Queries: 1, or 0 without any."""
    if not windows:
        return
    rows = [row for _, row in windows]
    parameters = {
        "ids": UuidArray(id_ for id_, _ in windows),
        "starts": TimeArray(row.starts_at for row in rows),
        "ends": TimeArray(row.ends_at for row in rows),
        "keys": TextArray(row.key for row in rows),
        "zones": TextArray(row.timezone for row in rows),
        "progress": TextArray(str(row.progress) for row in rows),
        "known": TextArray(row.known.hex() for row in rows),
        "satisfied": _times(row.satisfied_at for row in rows),
        "repairs": UuidArray(row.repair_id or _NOBODY for row in rows),
        "states": TextArray(row.state for row in rows),
        "counts": IntegerArray(row.count for row in rows),
        "run_starts": _times(row.run_starts_at for row in rows),
        "lost": IntegerArray(row.lost for row in rows),
        "never": _NEVER,
        "nobody": _NOBODY,
    }
    run(_WRITE_WINDOWS, parameters)


def write_milestones(milestones: Sequence[NewMilestone], *, now: datetime) -> None:
    """Note milestones that were reached at ``now``. Queries: 1, or 0 without any."""
    if not milestones:
        return
    parameters = {
        "ids": UuidArray(each.player_streak_id for each in milestones),
        "thresholds": IntegerArray(each.threshold for each in milestones),
        "numbers": IntegerArray(each.number for each in milestones),
        "windows": TimeArray(each.window_starts_at for each in milestones),
        "events": TextArray(each.cause_event_id for each in milestones),
        "now": now,
    }
    run(_WRITE_MILESTONES, parameters)


def write_notices(notices: Sequence[tuple[UUID, Span, int]], *, now: datetime) -> None:
    """Note (player's streak, window, count) that are at risk. Queries: 1, or 0 without any.

    Repeats: add nothing.
    """
    if not notices:
        return
    parameters = {
        "ids": UuidArray(id_ for id_, _, _ in notices),
        "starts": TimeArray(span.starts_at for _, span, _ in notices),
        "ends": TimeArray(span.ends_at for _, span, _ in notices),
        "counts": IntegerArray(count for _, _, count in notices),
        "now": now,
    }
    run(_WRITE_NOTICES, parameters)


def _times(values: Iterable[datetime | None]) -> TimeArray:
    return TimeArray(value or _NEVER for value in values)
