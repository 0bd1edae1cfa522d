"""Compute the entries of a window anew from the log.

Used where a config is to hold for an open window at once, and by staff who let a board count from
before it was there. The consumer is held meanwhile: none of its batches was planned under the old
config and writes after this.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from ingestion.services import cursors
from ingestion.types import StoredEvent
from leaderboards import broadcasts
from leaderboards.constants import SCORING
from leaderboards.exceptions import EventsPurgedError, WindowNotScoredError
from leaderboards.models import Entry, LateEvent, Leaderboard, RefusedEvent, Window, WindowShard
from leaderboards.selectors.replays import Replay, open_replay
from leaderboards.services import entries, index, locks
from leaderboards.services.entries import WindowStates
from leaderboards.services.planning import FAILED, OUT_OF_RANGE, Refused
from leaderboards.types import EntryState, IndexedWindow
from phoenix_site.common.commits import after_commit
from phoenix_site.common.exceptions import InvalidInputError, NotFoundError
from phoenix_site.common.logging import get_logger
from tenants.models import Tenant
from tenants.services import audit
from tenants.types import Actor, AuditChange

log = get_logger(__name__)

_LATE: Final = "late"


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """A player whose score a rebuild changes; ``None`` is no entry. Scores are scaled."""

    user_id: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What computing a window anew finds: events by what became of them, and who is affected."""

    window: Window
    event_counts: dict[str, int]
    entry_count: int
    changes: list[ScoreChange]


def hold_scoring() -> None:
    """Let running batches of the consumer end, and no other begin before the transaction ends.

    Whoever computes a window anew calls this before locking a board or window, as batches do.
    Locks: all cursors of the consumer, in order.
    """
    cursors.wait_for_all_shards(consumer=SCORING)


@transaction.atomic
def rebuild_window(window: Window) -> Rebuild:
    """Replace the entries of an open window by what its config version makes of the log.

    Raises: ``WindowNotScoredError``. Repeats: the same log gives the same entries.
    Locks: all cursors of the consumer, then the window, alone.
    """
    hold_scoring()
    held = locks.lock_windows_for_change([window.pk]).get(window.pk)
    if held is None or not held.is_scored:
        raise WindowNotScoredError("Only an open window can be computed anew.")
    before = _scores(held)
    replay = open_replay(held, refusals={})
    left_out = _run(replay)
    _replace_entries(held, replay)
    _replace_notes(held, left_out)
    Window.objects.filter(pk=held.pk).update(generation=F("generation") + 1, plan=F("plan") + 1)
    window.refresh_from_db(fields=["generation", "plan"])
    after_commit(_renew_index, held.pk)
    log.info("window.rebuilt", window=held.pk.hex, entries=len(replay.states))
    return _report(held, replay, before)


@transaction.atomic
def preview_rebuild(window_id: UUID, *, now: datetime) -> Rebuild:
    """Return what ``rebuild_with_history`` would change, changing nothing.

    Log and entries are read in one snapshot: otherwise what was scored between the two reads
    would look like a change. So it must not be called in a transaction.

    Raises: ``NotFoundError``, ``WindowNotScoredError``, ``EventsPurgedError``.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    window = _with_history(_get_window(window_id), now)
    replay = open_replay(window, refusals={})
    _run(replay)
    return _report(window, replay, _scores(window))


@transaction.atomic
def rebuild_with_history(window_id: UUID, *, actor: Actor, reason: str, now: datetime) -> Rebuild:
    """Compute a window anew under its board's newest config from all its events.

    Those that came before the board was active count, too. Audited, with the reason.

    Raises: as ``preview_rebuild``, and ``InvalidInputError`` without a reason. Locks: as
    ``rebuild_window``.
    """
    if not reason.strip():
        raise InvalidInputError("A reason is needed.")
    hold_scoring()
    held = locks.lock_windows_for_change([window_id])
    if not held:
        raise NotFoundError("There is no such window.")
    window = _with_history(held[window_id], now)
    window.save(update_fields=["version_number", "backfilled_at"])
    rebuild = rebuild_window(window)
    audit.record(
        "window.rebuilt",
        actor=actor,
        now=now,
        tenant_id=window.tenant_id,
        change=AuditChange(
            "window", str(window.pk), str(window), after={"version": window.version_number}
        ),
        reason=reason,
    )
    return rebuild


def _get_window(window_id: UUID) -> Window:
    window = Window.objects.filter(pk=window_id).first()
    if window is None:
        raise NotFoundError("There is no such window.")
    return window


def _with_history(window: Window, now: datetime) -> Window:
    """Let the newest config score the window, and everything count that came in so far."""
    if not window.is_scored:
        raise WindowNotScoredError("Only an open window can be computed anew.")
    _check_kept(window, now)
    window.version_number = Leaderboard.objects.get(pk=window.board_id).version
    window.backfilled_at = now
    return window


def _check_kept(window: Window, now: datetime) -> None:
    tenant = Tenant.objects.get(pk=window.tenant_id)
    kept_since = now - timedelta(days=tenant.retention_days)
    if max(window.starts_at, tenant.created_at) < kept_since:
        raise EventsPurgedError(
            f"Events before {kept_since:%Y-%m-%d} may be deleted, and the window begins earlier."
        )


def _run(replay: Replay) -> list[tuple[str, StoredEvent]]:
    """Replay the log and return the events to be noted, each with the reason."""
    noted = (_LATE, OUT_OF_RANGE, FAILED)
    return [(step.reason, step.event) for step in replay.run() if step.reason in noted]


def _scores(window: Window) -> dict[str, int]:
    rows = Entry.objects.filter(window=window).values_list("user_id", "score")
    return dict(rows.iterator(chunk_size=5000))


def _report(window: Window, replay: Replay, before: dict[str, int]) -> Rebuild:
    after = {user_id: state.score for user_id, state in replay.states.items()}
    changes = [
        ScoreChange(user_id, before.get(user_id), after.get(user_id))
        for user_id in sorted(before.keys() | after.keys())
        if before.get(user_id) != after.get(user_id)
    ]
    return Rebuild(window, dict(replay.counts), len(after), changes)


def _replace_entries(window: Window, replay: Replay) -> None:
    Entry.objects.filter(window=window).delete()
    # Also where nobody is left: a reader that knows the older version must not take it for new.
    WindowShard.objects.filter(window=window).update(version=F("version") + 1)
    by_shard: dict[int, dict[str, EntryState]] = defaultdict(dict)
    for user_id, state in replay.states.items():
        by_shard[replay.shards[user_id]][user_id] = state
    ranking = replay.compiled.config.ranking
    indexed = IndexedWindow(window.pk, window.generation, ranking.method, ranking.tie_policy)
    for shard, states in sorted(by_shard.items()):
        entries.write_states([WindowStates(indexed, window.tenant_id, states)], shard=shard)


def _replace_notes(window: Window, left_out: Iterable[tuple[str, StoredEvent]]) -> None:
    """Note which events were late or refused this time, instead of those of before."""
    LateEvent.objects.filter(window=window).delete()
    RefusedEvent.objects.filter(window=window).delete()
    chosen = list(left_out)
    entries.write_late([(window, event) for reason, event in chosen if reason == _LATE])
    entries.write_refused(
        [Refused(window, event, reason, "") for reason, event in chosen if reason != _LATE]
    )


def _renew_index(window_id: UUID) -> None:
    index.renew_index(window_id)
    broadcasts.mark_dirty([window_id])
