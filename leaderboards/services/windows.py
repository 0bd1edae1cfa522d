"""Windows: made one after the other by the clock or by an event, marked when they have ended.

Whoever makes windows of a board holds the board's row, so there is one chain of them. A boundary
stays where it was put; what a changed config does to windows is in ``window_changes``.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from django.db import connection, transaction

from leaderboards import broadcasts
from leaderboards.constants import EARLY_EVENTS, MAX_WINDOWS_PER_SWEEP
from leaderboards.models import Leaderboard, StatusChange, Window
from leaderboards.rules.scoring import find_due_at
from leaderboards.rules.windows import free_key, next_window, window_at
from leaderboards.selectors import boards as board_selectors
from leaderboards.selectors import windows as selectors
from leaderboards.services import locks
from leaderboards.types import BoardConfig, Timeframe, WindowSpan
from phoenix_site.common.commits import after_commit
from phoenix_site.common.logging import get_logger

log = get_logger(__name__)

# Sorts after every suffix that a key may have.
_AFTER_SUFFIXES: Final = "~~"

# The skipped ones are being changed right now; the next sweep finds them.
_MARK_ENDED: Final = """
UPDATE leaderboards_window SET state = 'closing' WHERE id IN (
    SELECT id FROM leaderboards_window WHERE state = 'open' AND ends_at <= %s
    FOR NO KEY UPDATE SKIP LOCKED
) RETURNING id
"""


class HasId(Protocol):
    """A board, as a model or as the scorer has it."""

    @property
    def id(self) -> UUID:
        """Return the primary key of the board."""


def ensure_windows(board: HasId, instants: Iterable[datetime], *, now: datetime) -> list[Window]:
    """Return the windows that hold ``instants``, oldest first, making those that are missing.

    An instant has none outside the dates of a custom board, more than ``EARLY_EVENTS`` ahead, on
    an archived board, and so far back that no event there could have been on time.

    Repeats: safe, also at the same time. Locks: the board, when something is made; so call it
    before windows are locked. Queries: 1, or 3 with instants that have no window.
    """
    wanted = sorted(set(instants))
    found = selectors.windows_holding(board.id, wanted)
    missing = selectors.uncovered(wanted, found)
    if not missing or not _can_make(board.id, missing):
        return found
    with transaction.atomic():
        _make_missing(locks.lock_board(board.id), missing, now)
    return selectors.windows_holding(board.id, wanted)


def _can_make(board_id: UUID, missing: Sequence[datetime]) -> bool:
    first = selectors.first_window(board_id)
    if first is not None and first.is_scored and missing[0] < first.starts_at:
        return True
    return Leaderboard.objects.filter(pk=board_id, next_window_at__lte=missing[-1]).exists()


def _make_missing(board: Leaderboard, missing: Sequence[datetime], now: datetime) -> None:
    if board.status == Leaderboard.Status.ARCHIVED:
        return
    config = board_selectors.config_of_version(board.pk, board.version)
    open_windows(board, config, until=min(missing[-1], now + EARLY_EVENTS), now=now)
    _open_earlier(board, missing, now)


def open_windows(
    board: Leaderboard, config: BoardConfig, *, until: datetime, now: datetime
) -> list[Window]:
    """Make the board's windows that begin by ``until`` and say when the next one is due.

    ``config`` is the board's newest: it scores them. Locks: the caller holds the board.
    """
    last = selectors.last_window(board.pk)
    spans: list[WindowSpan] = []
    span = span_after(config.timeframe, last, instant=until)
    while span is not None and span.starts_at <= until:
        spans.append(span)
        span = None if span.ends_at is None else next_window(config.timeframe, span.ends_at)
    board.next_window_at = None if span is None else span.starts_at
    Leaderboard.objects.filter(pk=board.pk).update(next_window_at=board.next_window_at)
    return create_windows(board, config.timeframe, spans, version=board.version, now=now)


def span_after(
    timeframe: Timeframe, last: Window | None, *, instant: datetime
) -> WindowSpan | None:
    """Return the span that follows ``last``; of a board without windows, that of ``instant``."""
    if last is not None:
        return None if last.ends_at is None else next_window(timeframe, last.ends_at)
    if timeframe.start_at is not None:
        return next_window(timeframe, timeframe.start_at)
    return window_at(timeframe, instant)


def create_windows(
    board: Leaderboard,
    timeframe: Timeframe,
    spans: Sequence[WindowSpan],
    *,
    version: int,
    now: datetime,
) -> list[Window]:
    """Make windows of these spans, each under a key that the board has not used."""
    taken = taken_keys(board.pk, [span.key for span in spans])
    made: list[Window] = []
    for span in spans:
        key = free_key(span.key, taken)
        taken.add(key)
        has_ended = span.ends_at is not None and span.ends_at <= now
        made.append(
            Window(
                board=board,
                tenant_id=board.tenant_id,
                key=key,
                starts_at=span.starts_at,
                ends_at=span.ends_at,
                due_at=find_due_at(span.ends_at, timeframe),
                state=Window.State.CLOSING if has_ended else Window.State.OPEN,
                version_number=version,
            )
        )
    for window in Window.objects.bulk_create(made):
        log.info("window.opened", window=window.pk.hex, board=board.pk.hex, key=window.key)
    return made


def taken_keys(board_id: UUID, keys: Sequence[str]) -> set[str]:
    """Return the keys of the board that could meet ``keys``. Queries: 1."""
    if not keys:
        return set()
    bases = [key.partition("~")[0] for key in keys]
    near = Window.objects.filter(
        board_id=board_id, key__gte=min(bases), key__lte=max(bases) + _AFTER_SUFFIXES
    )
    return set(near.values_list("key", flat=True))


def _open_earlier(board: Leaderboard, instants: Sequence[datetime], now: datetime) -> None:
    """Make the windows from the earliest instant that can still count up to the first window.

    An event from before the board's first window counts like any other if it came in time. The
    first window is not closed then: it waits until all such events have been seen.
    """
    first = selectors.first_window(board.pk)
    if first is None or not first.is_scored:
        return
    config = board_selectors.config_of_version(board.pk, first.version_number)
    began_at = StatusChange.objects.filter(board=board).earliest("at").at
    spans: list[WindowSpan] = []
    for instant in instants:
        span = window_at(config.timeframe, instant) if instant < first.starts_at else None
        if span is not None and _could_be_in_time(span, config.timeframe, began_at):
            spans = _spans_up_to(config.timeframe, span, first.starts_at)
            break
    create_windows(board, config.timeframe, spans, version=first.version_number, now=now)


def _could_be_in_time(span: WindowSpan, timeframe: Timeframe, began_at: datetime) -> bool:
    due_at = find_due_at(span.ends_at, timeframe)
    return due_at is not None and due_at > began_at


def _spans_up_to(timeframe: Timeframe, span: WindowSpan, end: datetime) -> list[WindowSpan]:
    spans: list[WindowSpan] = []
    following: WindowSpan | None = span
    while following is not None and following.ends_at is not None and following.starts_at < end:
        ends_at = min(following.ends_at, end)
        spans.append(WindowSpan(following.starts_at, ends_at, following.key))
        following = next_window(timeframe, ends_at)
    return spans


# --- By the clock --------------------------------------------------------------------------------


def sweep_windows(*, now: datetime) -> list[UUID]:
    """Open the windows that are due, mark those that have ended, and return what may be closed.

    Of each board only the oldest window is returned. Repeats: safe, however many sweep.
    """
    for board_id in selectors.boards_due_across_tenants(now):
        _open_due_windows(board_id, now=now)
    mark_ended_windows(now=now)
    return selectors.due_window_ids_across_tenants(now, limit=MAX_WINDOWS_PER_SWEEP)


def _open_due_windows(board_id: UUID, *, now: datetime) -> None:
    try:
        open_due_windows(board_id, now=now)
    # The loop over all boards: one that cannot go on must not hold up the others.
    except Exception:
        log.exception("window.not_opened", board=board_id.hex)


@transaction.atomic
def open_due_windows(board_id: UUID, *, now: datetime) -> list[Window]:
    """Make the board's windows up to the present one, or the next if it begins in a moment.

    Locks: the board; does nothing while somebody else has it. Queries: 4, mostly.
    """
    free = Leaderboard.objects.select_for_update(no_key=True, skip_locked=True)
    board = free.filter(pk=board_id).exclude(status=Leaderboard.Status.ARCHIVED).first()
    if board is None:
        return []
    config = board_selectors.config_of_version(board.pk, board.version)
    return open_windows(board, config, until=selectors.soon_after(now), now=now)


def mark_ended_windows(*, now: datetime) -> list[UUID]:
    """Turn open windows that have ended into closing ones and return them. Queries: 1."""
    with connection.cursor() as cursor:
        cursor.execute(_MARK_ENDED, [now])
        ended = [row[0] for row in cursor.fetchall()]
    after_commit(broadcasts.mark_dirty, ended)
    return ended
