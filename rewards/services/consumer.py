"""The consumer of rewards: events in, firings, grants, postings and progress out.

A batch is one transaction: everything that its events bring about and the cursor commit together.
Whatever fails rolls all of it back; the event that failed goes to quarantine alone.
"""

import gc
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, transaction

from ingestion import selectors as ingestion
from ingestion.services import cursors
from ingestion.types import Batch, Refusal, StoredEvent
from phoenix_site.common.exceptions import DomainError, UnavailableError
from phoenix_site.common.logging import get_logger
from players.services.registration import ensure_players
from rewards.constants import RULES, RULES_BATCH_SIZE
from rewards.exceptions import AmountRangeError, EventRefusedError
from rewards.rules.engine import was_in_dates
from rewards.rules.rule_conditions import root_of
from rewards.selectors import achievements, streaks
from rewards.selectors import rules as rule_selectors
from rewards.selectors.book import books
from rewards.services import bonus, firing_store, rule_uses
from rewards.services.achievement_desk import AchievementDesk
from rewards.services.pipe import settling
from rewards.services.placements import PlacementDesk, is_placement
from rewards.services.rule_desk import RuleDesk
from rewards.services.settlement import Settlement
from rewards.services.streaks import StreakDesk
from rewards.types.book import Book
from rewards.types.causes import Cause
from rewards.types.rules import CompiledRule

__all__ = ["apply_rules", "drain_shard", "replay_event"]

log = get_logger(__name__)

# A shard with a backlog gives the others a turn after so long.
_TURN_SECONDS: Final = 2.0
# Events behind a transaction that still runs come into sight when it ends.
_HIDDEN_SECONDS: Final = 0.005
# What passes by itself: tried again by the task, never quarantined.
_PASSING: Final = (OperationalError, InterfaceError, UnavailableError)
FAILED: Final = "failed"
OUT_OF_RANGE: Final = "out_of_range"

PlayerKey = tuple[str, str]


class _Work(NamedTuple):
    """An event that something here waits for, and the rules that may fire for it."""

    event: StoredEvent
    root: Mapping[str, Any]
    rules: list[CompiledRule]

    @property
    def key(self) -> PlayerKey:
        return (self.event.tenant_id, str(self.event.user_id))


class _EventFailedError(Exception):
    """An event of a batch cannot be processed; the batch is rolled back."""

    def __init__(self, event: StoredEvent, reason: Exception) -> None:
        super().__init__(event.event_id)
        self.event = event
        self.reason = reason


def drain_shard(shard: int, *, clock: Callable[[], datetime]) -> bool:
    """Process what waits in ``shard`` and return whether something is left for another turn.

    Events that come in meanwhile send a nudge of their own; those that a running transaction
    hides do not, so they are looked for. A shard that another worker has is left to it.
    """
    ends_at = time.monotonic() + _TURN_SECONDS
    batch = _process_next(shard, RULES_BATCH_SIZE, now=clock())
    while batch.is_full:
        if time.monotonic() > ends_at:
            return True
        batch = _process_next(shard, RULES_BATCH_SIZE, now=clock())
    if not batch.has_cursor:
        return False
    is_waiting = any(
        lag.events
        for lag in ingestion.consumer_lag(bound=1)
        if (lag.consumer, lag.shard) == (RULES, shard)
    )
    if is_waiting and not batch.events:
        time.sleep(_HIDDEN_SECONDS)
    return is_waiting


def apply_rules(shard: int, *, now: datetime, limit: int = RULES_BATCH_SIZE) -> int:
    """Process one batch of ``shard`` and return how many events it held.

    An event that cannot be processed goes to quarantine, and those after it go on. What may pass
    by itself (a deadlock, a lost connection) is raised, to be tried again.

    Repeats: safe, effects and cursor commit together. Locks: the cursor (an empty batch when
    another worker has it), budgets in the order of rules, then the players.
    """
    return len(_process_next(shard, limit, now=now).events)


def _process_next(shard: int, limit: int, *, now: datetime) -> Batch:
    try:
        with _collecting_later():
            return _process_batch(shard, limit, now)
    except _EventFailedError as exc:
        return _go_around(shard, exc, now)
    except (DataError, IntegrityError) as exc:
        # Smaller batches leave the event alone that the database will never take.
        log.warning("batch.refused", shard=shard, limit=limit, error=type(exc).__name__)
        if limit > 1:
            return _process_next(shard, limit // 2, now=now)
        return _set_aside(shard, exc)


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Keep the garbage collector out of a batch: it makes much that all lives to its end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@transaction.atomic
def _process_batch(shard: int, limit: int, now: datetime) -> Batch:
    batch = cursors.lock_batch(consumer=RULES, shard=shard, limit=limit)
    if batch.events:
        _process(batch.events, now)
        cursors.advance_cursor(batch)
    return batch


def _go_around(shard: int, failed: _EventFailedError, now: datetime) -> Batch:
    """Commit what lies before the event that failed, or else set that one aside."""
    with transaction.atomic():
        batch = cursors.lock_batch(consumer=RULES, shard=shard)
        places = [place for place, each in enumerate(batch.events) if each.id == failed.event.id]
    if not places:
        return batch
    if places[0]:
        return _process_next(shard, places[0], now=now)
    return _set_aside(shard, failed.reason)


@transaction.atomic
def _set_aside(shard: int, error: Exception) -> Batch:
    batch = cursors.lock_batch(consumer=RULES, shard=shard, limit=1)
    code, message = _words(error)
    for event in batch.events:
        log.error("event.not_processed", event_id=event.event_id, exc_info=error)
    cursors.advance_cursor(
        batch, quarantine=[Refusal(event, code, message) for event in batch.events]
    )
    return batch


@transaction.atomic
def replay_event(event: StoredEvent, *, now: datetime) -> None:
    """Process an event that was quarantined, by the rules in force when it was received.

    In the transaction that closes its entry, which has the cursor of its shard locked.

    Raises: ``EventRefusedError`` when it fails again; then nothing changes.
    Repeats: a rule that fired or was refused for it is not asked again.
    """
    try:
        _process([event], now)
    except _EventFailedError as exc:
        code, message = _words(exc.reason)
        raise EventRefusedError(message, code=code) from exc.reason


def _words(error: Exception) -> tuple[str, str]:
    """Return code and sentence of what made an event fail."""
    if isinstance(error, AmountRangeError):
        return OUT_OF_RANGE, error.message
    if isinstance(error, DomainError):
        return error.code, error.message
    return FAILED, f"Processing failed: {type(error).__name__}."


# --- One batch -----------------------------------------------------------------------------------


def _process(events: Sequence[StoredEvent], now: datetime) -> None:
    """Work through events of one shard in their order, in the caller's transaction."""
    # History is searched and counted elsewhere; here nothing comes of it.
    live = [event for event in events if event.user_id is not None and event.source != "import"]
    shelf = books({event.tenant_id for event in live})
    found = [_work_of(event, shelf[event.tenant_id]) for event in live]
    work = [each for each in found if each is not None]
    if not work:
        return
    causes = {each.key: each.event for each in reversed(work)}
    ids = ensure_players(causes, now=now, causes=causes)
    budgets = rule_uses.lock_budgets(rule for each in work for rule in each.rules)
    with settling(set(ids.values()), now=now) as settlement:
        _prepare(settlement, work, ids, budgets)
        for each in work:
            try:
                _process_one(settlement, each, ids[each.key], now)
            except _PASSING:
                raise
            # One bad event must not stop its shard, whatever is wrong with it.
            except Exception as exc:
                raise _EventFailedError(each.event, exc) from exc


def _work_of(event: StoredEvent, book: Book) -> _Work | None:
    """Return the event with the rules that it may fire, ``None`` when nothing waits for it."""
    is_internal = event.source == "internal"
    index = rule_selectors.of(book).at(event.received_at)
    of_type = index.of(event.type, is_internal=is_internal)
    if of_type is None:
        return _Work(event, {}, []) if _moves_goals(event, book) else None
    root = event.root
    rules = [rule for rule in of_type.candidates(root) if _may_fire(rule, event, root)]
    if not rules and not _moves_goals(event, book):
        return None
    return _Work(event, root, rules)


def _may_fire(rule: CompiledRule, event: StoredEvent, root: Mapping[str, Any]) -> bool:
    """Whether dates and, where they read the event alone, conditions hold."""
    if not was_in_dates(rule, event):
        return False
    if not rule.is_static:
        return True
    if rule.needs:
        root = root_of(root, rule.needs, occurred_at=event.occurred_at, zone=rule.zone, state={})
    return rule.condition.matches(root)


def _moves_goals(event: StoredEvent, book: Book) -> bool:
    if event.type == bonus.CONFIRMATION or is_placement(event):
        return True
    return bool(streaks.of(book).of_type(event.type) or achievements.of(book).of_type(event.type))


def _prepare(
    settlement: Settlement,
    work: Collection[_Work],
    ids: Mapping[PlayerKey, UUID],
    budgets: Mapping[UUID, Any],
) -> None:
    """Read set-wise what the events will ask for, and leave out what was judged before."""
    judged = firing_store.judged_pairs([each.event.id for each in work if each.rules])
    if judged:
        for each in work:
            each.rules[:] = [rule for rule in each.rules if (each.event.id, rule.pk) not in judged]
    candidates = [(each.event, ids[each.key], each.rules) for each in work]
    settlement.part(RuleDesk).prepare(candidates, budgets)
    pairs = [(event, player_id) for event, player_id, _ in candidates]
    settlement.part(PlacementDesk).prepare(pairs)
    settlement.part(StreakDesk).prepare(pairs)
    settlement.part(AchievementDesk).prepare(pairs)


def _process_one(settlement: Settlement, work: _Work, player_id: UUID, now: datetime) -> None:
    """Rules, then goals, then ladders: the order of work for one event of one player."""
    event = work.event
    if work.rules:
        settlement.part(RuleDesk).judge(event, work.root, work.rules, player_id)
    cause = _cause_of(event)
    settlement.part(PlacementDesk).feed(event, player_id, cause)
    settlement.part(StreakDesk).feed(event, player_id, cause)
    settlement.part(AchievementDesk).feed(event, player_id, cause)
    if event.type == bonus.CONFIRMATION:
        bonus.confirm(event, now=now)
    settlement.follow()


def _cause_of(event: StoredEvent) -> Cause:
    return Cause(
        tenant_id=event.tenant_id,
        source_type="event",
        source_id=event.event_id,
        kind="event",
        id=event.event_id,
        event_id=event.event_id,
        event_row=event.id,
        depth=event.depth,
        occurred_at=event.occurred_at,
    )
