"""The scoring consumer: events in, entries and their rank index out.

A batch is one transaction: its entries, versions, late and refused events and the cursor commit
together. The index follows after the commit and heals itself; see ``services.index``.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import DataError, IntegrityError, transaction

from ingestion import selectors as ingestion
from ingestion.services import cursors
from ingestion.types import Batch, StoredEvent
from leaderboards import broadcasts
from leaderboards.constants import SCORING, SCORING_BATCH_SIZE
from leaderboards.exceptions import (
    EventRefusedError,
    NearLimitError,
    PlanChangedError,
    WindowNotScoredError,
)
from leaderboards.models import RefusedEvent
from leaderboards.services import entries, index, locks
from leaderboards.services.entries import WindowStates
from leaderboards.services.planning import (
    Merge,
    Plan,
    WindowPlan,
    failed,
    fold_plan,
    plan_batch,
)
from leaderboards.types import Aggregation, IndexedWindow, ShardChanges
from phoenix_site.common.commits import after_commit
from phoenix_site.common.logging import get_logger

log = get_logger(__name__)

# Windows change rarely; whoever meets two changes in a row has bad luck, not a reason to stop.
_MAX_PLANS: Final = 5
# A shard with a backlog gives the others a turn after so long.
_TURN_SECONDS: Final = 2.0
# Events behind a transaction that still runs come into sight when it ends.
_HIDDEN_SECONDS: Final = 0.005


def drain_shard(shard: int, *, clock: Callable[[], datetime]) -> bool:
    """Score what waits in ``shard`` and return whether something is left for another turn.

    Events that come in meanwhile send a nudge of their own; those that a running transaction
    hides do not, so they are looked for. A shard that another worker has is left to it.
    """
    ends_at = time.monotonic() + _TURN_SECONDS
    batch = _score_next(shard, SCORING_BATCH_SIZE, now=clock())
    while batch.is_full:
        if time.monotonic() > ends_at:
            return True
        batch = _score_next(shard, SCORING_BATCH_SIZE, now=clock())
    if not batch.has_cursor:
        return False
    is_waiting = any(
        lag.events
        for lag in ingestion.consumer_lag(bound=1)
        if (lag.consumer, lag.shard) == (SCORING, shard)
    )
    if is_waiting and not batch.events:
        time.sleep(_HIDDEN_SECONDS)
    return is_waiting


def score_events(shard: int, *, now: datetime, limit: int = SCORING_BATCH_SIZE) -> int:
    """Apply one batch of ``shard`` to the entries and return how many events it held.

    An event that cannot be counted goes to quarantine, and those after it go on. What may pass
    by itself (a deadlock, a lost connection) is raised, to be tried again.

    Repeats: safe, effects and cursor commit together. Locks: the cursor (an empty batch when
    another worker has it), boards that need a window, then the windows, shared.
    Queries: 13 at most, more only where a window or a config is new.
    """
    return len(_score_next(shard, limit, now=now).events)


def _score_next(shard: int, limit: int, *, now: datetime) -> Batch:
    merges = True
    for _ in range(_MAX_PLANS):
        try:
            with _collecting_later():
                return _score_batch(shard, limit, now, merges=merges)
        except PlanChangedError:
            log.info("batch.planned_anew", shard=shard)
        except NearLimitError:
            merges = False
        except (DataError, IntegrityError) as exc:
            return _score_around(shard, limit, exc, now=now)
    raise PlanChangedError(f"The windows of shard {shard} do not come to rest.")


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Keep the garbage collector out of a batch: it makes much and leaves no cycles behind."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@transaction.atomic
def _score_batch(shard: int, limit: int, now: datetime, *, merges: bool) -> Batch:
    batch = cursors.lock_batch(consumer=SCORING, shard=shard, limit=limit)
    if batch.events:
        plan = plan_batch(batch.events, now=now)
        _commit(batch, plan, _write(plan, shard, merges=merges))
    return batch


def _commit(batch: Batch, plan: Plan, changes: list[ShardChanges]) -> None:
    entries.write_late(plan.late)
    entries.write_refused(plan.refused)
    cursors.advance_cursor(batch, quarantine=plan.refusals)
    after_commit(_announce, changes)


def _write(plan: Plan, shard: int, *, merges: bool) -> list[ShardChanges]:
    """Lock the windows of a plan and write what it does to them.

    With ``merges`` entries are not read where the database can add to them. Raises:
    ``NearLimitError`` when a score comes so near to the limit that the order of events counts.
    """
    _lock_as_planned(plan.windows)
    if not plan.windows:
        return []
    found = {pk: scored.find_merge() if merges else None for pk, scored in plan.windows.items()}
    wanted = {
        pk: {str(event.user_id) for event, _ in scored.hits}
        for pk, scored in plan.windows.items()
        if found[pk] is None
    }
    states = fold_plan(plan, entries.read_states(wanted))
    chosen = [
        WindowStates(_indexed(scored), scored.window.tenant_id, states[pk], _aggregation(found[pk]))
        for pk, scored in plan.windows.items()
    ]
    changes = entries.write_states(chosen, shard=shard)
    for change in changes:
        _check_range(change, found[change.window.id])
    return changes


def _aggregation(merge: Merge | None) -> Aggregation | None:
    return None if merge is None else merge.aggregation


def _check_range(change: ShardChanges, merge: Merge | None) -> None:
    if merge is not None and any(abs(entry.score) > merge.largest for entry in change.entries):
        raise NearLimitError("A score is near its limit: add event by event.")


def _lock_as_planned(planned: Mapping[UUID, WindowPlan]) -> None:
    """Keep changes away from the windows. Raises: ``PlanChangedError`` if one came first."""
    present = locks.lock_windows_for_scoring(planned)
    for window_id, scored in planned.items():
        window = present.get(window_id)
        if window is None or not window.is_scored or window.plan != scored.window.plan:
            raise PlanChangedError(f"Window {window_id} has changed.")


def _indexed(scored: WindowPlan) -> IndexedWindow:
    ranking = scored.compiled.config.ranking
    window = scored.window
    return IndexedWindow(window.pk, window.generation, ranking.method, ranking.tie_policy)


def _announce(changes: Sequence[ShardChanges]) -> None:
    if index.apply_changes(changes):
        broadcasts.mark_dirty(change.window.id for change in changes)


# --- What the database refuses -------------------------------------------------------------------


def _score_around(shard: int, limit: int, error: Exception, *, now: datetime) -> Batch:
    """Go on after a statement that the database will never take: find the event it is about.

    Smaller batches leave it alone in the end; then it goes to quarantine without an effect.
    """
    log.warning("batch.refused", shard=shard, limit=limit, error=type(error).__name__)
    if limit > 1:
        return _score_next(shard, limit // 2, now=now)
    return _set_aside(shard, error, now)


@transaction.atomic
def _set_aside(shard: int, error: Exception, now: datetime) -> Batch:
    batch = cursors.lock_batch(consumer=SCORING, shard=shard, limit=1)
    if batch.events:
        plan = plan_batch(batch.events, now=now)
        for scored in plan.windows.values():
            plan.refused += (failed(scored, event, error) for event, _ in scored.hits)
        _commit(batch, plan, [])
    return batch


# --- Replaying -----------------------------------------------------------------------------------


@transaction.atomic
def replay_event(event: StoredEvent, *, now: datetime) -> None:
    """Count an event in the windows where it was refused; all others have it already.

    In the transaction that closes its quarantine entry, which has the cursor of its shard locked.

    Raises: ``EventRefusedError`` when it cannot be counted this time either,
    ``WindowNotScoredError`` when its windows are over; then nothing changes.
    Repeats: an event that counts is not counted again. Locks: the windows, shared.
    """
    open_refusals = RefusedEvent.objects.filter(event_row=event.id, counted_at=None)
    missed = set(open_refusals.select_for_update().values_list("window_id", flat=True))
    if not missed:
        return
    plan = plan_batch([event], now=now)
    plan.windows = {pk: scored for pk, scored in plan.windows.items() if pk in missed}
    changes = _write(plan, event.shard, merges=False)
    for refused in plan.refused:
        if refused.window.pk in missed:
            raise EventRefusedError(refused.message, code=refused.code)
    if not changes and any(window.pk in missed for window, _ in plan.late):
        raise WindowNotScoredError("The windows that this event belongs to are closed.")
    open_refusals.filter(window_id__in=plan.windows).update(counted_at=now)
    after_commit(_announce, changes)
