"""Reading and writing how far players are, as sets: a statement each, however many there are."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from phoenix_site.common.arrays import IntegerArray, TextArray, UuidArray
from rewards.selectors.achievements import STATE_COLUMNS
from rewards.services.statements import run
from rewards.types.achievements import ProgressState

__all__ = ["Key", "NewUnlock", "Value", "read_states", "read_values", "write_states"]

# Player and achievement.
Key = tuple[UUID, UUID]
# Player, achievement, run and the fingerprint of a value.
Value = tuple[UUID, UUID, int, bytes]

_READ: Final = f"""
SELECT player_id, achievement_id, {", ".join(STATE_COLUMNS)}
FROM rewards_achievementprogress
WHERE player_id = ANY (%(players)b) AND achievement_id = ANY (%(achievements)b)
"""  # noqa: S608 - only constants are put into the text
_READ_VALUES: Final = """
SELECT known.player_id, known.achievement_id, known.run, known.fingerprint
FROM unnest(%(players)b, %(achievements)b, %(runs)b, %(fingerprints)b)
  AS asked (player_id, achievement_id, run, fingerprint)
JOIN rewards_achievementvalue AS known
  ON known.player_id = asked.player_id AND known.achievement_id = asked.achievement_id
  AND known.run = asked.run AND known.fingerprint = decode(asked.fingerprint, 'hex')
"""
_WRITE: Final = """
INSERT INTO rewards_achievementprogress
  (player_id, achievement_id, epoch, current, base, earlier_base, added, run, times, last_number,
   unlocked_at, owed, updated_at)
SELECT player_id, achievement_id, epoch, current::numeric, base::numeric, earlier_base::numeric,
       added::numeric, run, times, last_number, nullif(unlocked_at, '')::timestamptz, owed,
       %(now)s
FROM unnest(%(players)b, %(achievements)b, %(epoch)b, %(current)b, %(base)b, %(earlier_base)b,
            %(added)b, %(run)b, %(times)b, %(last_number)b, %(unlocked_at)b, %(owed)b)
  AS new (player_id, achievement_id, epoch, current, base, earlier_base, added, run, times,
          last_number, unlocked_at, owed)
ORDER BY player_id, achievement_id
ON CONFLICT (player_id, achievement_id) DO UPDATE SET
  epoch = excluded.epoch, current = excluded.current, base = excluded.base,
  earlier_base = excluded.earlier_base, added = excluded.added, run = excluded.run,
  times = excluded.times, last_number = excluded.last_number,
  unlocked_at = excluded.unlocked_at, owed = excluded.owed, updated_at = excluded.updated_at
"""
_WRITE_VALUES: Final = """
INSERT INTO rewards_achievementvalue (player_id, achievement_id, run, fingerprint)
SELECT player_id, achievement_id, run, decode(fingerprint, 'hex')
FROM unnest(%(players)b, %(achievements)b, %(runs)b, %(fingerprints)b)
  AS new (player_id, achievement_id, run, fingerprint)
ON CONFLICT DO NOTHING
"""
_FORGET_VALUES: Final = """
DELETE FROM rewards_achievementvalue AS known
USING unnest(%(players)b, %(achievements)b, %(runs)b) AS kept (player_id, achievement_id, run)
WHERE known.player_id = kept.player_id AND known.achievement_id = kept.achievement_id
  AND known.run < kept.run
"""
_WRITE_UNLOCKS: Final = """
INSERT INTO rewards_achievementunlock
  (id, tenant_id, achievement_id, player_id, number, unlocked_at, source, cause_event_id, actor,
   reason, revoked_by, revoke_reason, is_revoked_by_staff)
SELECT id, tenant_id, achievement_id, player_id, number, %(now)s, source,
       nullif(cause_event_id, ''), actor, reason, '', '', false
FROM unnest(%(ids)b, %(tenants)b, %(achievements)b, %(players)b, %(numbers)b, %(sources)b,
            %(events)b, %(actors)b, %(reasons)b)
  AS new (id, tenant_id, achievement_id, player_id, number, source, cause_event_id, actor, reason)
"""
_TEXT_COLUMNS: Final = ("current", "base", "earlier_base", "added")
_NUMBER_COLUMNS: Final = ("epoch", "run", "times", "last_number", "owed")


@dataclass(frozen=True, slots=True)
class NewUnlock:
    """An unlock to be written; ``source`` as in ``AchievementUnlock``."""

    id: UUID
    tenant_id: str
    achievement_id: UUID
    player_id: UUID
    number: int
    source: str
    cause_event_id: str | None
    actor: str
    reason: str


def read_states(
    player_ids: Collection[UUID], achievement_ids: Collection[UUID]
) -> dict[Key, ProgressState]:
    """Return how far these players are with these achievements, as stored. Queries: 1."""
    if not player_ids or not achievement_ids:
        return {}
    rows = run(
        _READ, {"players": UuidArray(player_ids), "achievements": UuidArray(achievement_ids)}
    )
    return {
        (player_id, achievement_id): ProgressState(*columns)
        for player_id, achievement_id, *columns in rows
    }


def read_values(asked: Collection[Value]) -> set[Value]:
    """Return those of the values that counted already. Queries: 1, or 0 without values."""
    if not asked:
        return set()
    return {(*key, bytes(print_)) for *key, print_ in run(_READ_VALUES, _value_columns(asked))}


def write_states(
    states: Mapping[Key, ProgressState],
    *,
    values: Collection[Value] = (),
    forget_runs: Collection[Key] = (),
    unlocks: Sequence[NewUnlock] = (),
    now: datetime,
) -> None:
    """Store states, values and unlocks. Queries: 1 for each kind of thing that there is.

    ``forget_runs`` are those of ``states`` whose values of earlier runs count no more.
    """
    if states:
        run(_WRITE, {**_state_columns(states), "now": now})
    if forget_runs:
        runs = [states[key].run for key in forget_runs]
        run(_FORGET_VALUES, {**_key_columns(forget_runs), "runs": IntegerArray(runs)})
    if values:
        run(_WRITE_VALUES, _value_columns(values))
    if unlocks:
        run(_WRITE_UNLOCKS, {**_unlock_columns(unlocks), "now": now})


def _key_columns(keys: Iterable[Key]) -> dict[str, Any]:
    listed = list(keys)
    return {
        "players": UuidArray(player_id for player_id, _ in listed),
        "achievements": UuidArray(achievement_id for _, achievement_id in listed),
    }


def _state_columns(states: Mapping[Key, ProgressState]) -> dict[str, Any]:
    rows = list(states.values())
    times = (row.unlocked_at for row in rows)
    return {
        **_key_columns(states),
        **{name: TextArray(str(getattr(row, name)) for row in rows) for name in _TEXT_COLUMNS},
        **{name: IntegerArray(getattr(row, name) for row in rows) for name in _NUMBER_COLUMNS},
        "unlocked_at": TextArray("" if at is None else at.isoformat() for at in times),
    }


def _value_columns(values: Collection[Value]) -> dict[str, Any]:
    return {
        **_key_columns((player_id, achievement_id) for player_id, achievement_id, _, _ in values),
        "runs": IntegerArray(run_ for _, _, run_, _ in values),
        "fingerprints": TextArray(fingerprint.hex() for *_, fingerprint in values),
    }


def _unlock_columns(unlocks: Sequence[NewUnlock]) -> dict[str, Any]:
    return {
        "ids": UuidArray(unlock.id for unlock in unlocks),
        "tenants": TextArray(unlock.tenant_id for unlock in unlocks),
        "achievements": UuidArray(unlock.achievement_id for unlock in unlocks),
        "players": UuidArray(unlock.player_id for unlock in unlocks),
        "numbers": IntegerArray(unlock.number for unlock in unlocks),
        "sources": TextArray(unlock.source for unlock in unlocks),
        "events": TextArray(unlock.cause_event_id or "" for unlock in unlocks),
        "actors": TextArray(unlock.actor[:255] for unlock in unlocks),
        "reasons": TextArray(unlock.reason[:500] for unlock in unlocks),
    }
