"""What a changed config or status does to the windows of a board.

The caller holds the board; here its windows are locked before anything is decided, so that no
batch adds an entry between the look and the change. ``plan`` grows with every change: a batch
that was planned with another number is planned anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import F

from leaderboards import broadcasts
from leaderboards.models import Entry, Leaderboard, Window
from leaderboards.rules.changes import ConfigChange
from leaderboards.rules.scoring import find_due_at
from leaderboards.rules.windows import free_key, next_window, window_at
from leaderboards.selectors import windows as selectors
from leaderboards.services import index, locks, windows
from leaderboards.types import BoardConfig, Timeframe, WindowSpan
from phoenix_site.common.commits import after_commit

END_PATH: Final = "timeframe.end_at"
_SCORED = (Window.State.OPEN, Window.State.CLOSING)


@dataclass(frozen=True, slots=True)
class HeldWindows:
    """The windows of a board that have not ended, locked: the one of now and later ones."""

    current: Window | None
    later: tuple[Window, ...]

    @property
    def has_entries(self) -> bool:
        """Return whether the open window has an entry."""
        return self.current is not None and selectors.has_entries(self.current.pk)


def hold_unended_windows(board: Leaderboard, *, now: datetime) -> HeldWindows:
    """Lock the windows that a change may touch. Locks: these windows, alone. Queries: 3."""
    ids = selectors.unended_windows(board.pk, now).values_list("pk", flat=True)
    held = sorted(locks.lock_windows_for_change(ids).values(), key=lambda window: window.starts_at)
    current = next((window for window in held if window.starts_at <= now), None)
    return HeldWindows(current, tuple(window for window in held if window.starts_at > now))


@dataclass(frozen=True, slots=True)
class Transition:
    """A new config of a board, seen from the newest before it and from the open window's.

    The two differ while an earlier change waits for the next window. ``waits`` says that what
    decides how a window scores holds from the next one on.
    """

    config: BoardConfig
    from_newest: ConfigChange
    from_current: ConfigChange
    waits: bool

    @property
    def includes_current(self) -> bool:
        """Return whether the open window is scored by the new config from its start."""
        return bool(self.from_current.next_window) and not self.waits

    @property
    def is_reframed(self) -> bool:
        """Return whether windows get other boundaries."""
        paths = (*self.from_newest.next_window, *self.from_current.next_window)
        return any(path.startswith("timeframe.") for path in paths)

    @property
    def moves_end(self) -> bool:
        """Return whether the end of a custom window moves, and nothing else of its dates."""
        return not self.is_reframed and END_PATH in self.from_newest.at_once


def change_windows(
    board: Leaderboard, transition: Transition, held: HeldWindows, *, now: datetime
) -> list[Window]:
    """Let a config, which is the board's newest by now, take effect on its windows.

    Returns the windows that must be computed anew.
    """
    if transition.is_reframed:
        return _reframe_windows(board, transition, held, now=now)
    stale = _renumber_windows(board, transition, held)
    if transition.moves_end:
        stale += _move_end(transition.config, held)
    windows.open_windows(board, transition.config, until=now, now=now)
    return stale


def _renumber_windows(
    board: Leaderboard, transition: Transition, held: HeldWindows
) -> list[Window]:
    """Let the board's newest version score the windows; return those to be computed anew.

    The current one is among them even without entries: events that the older version refused
    may count now, and a window is scored by one version from its start to its end.
    """
    current = [held.current] if held.current is not None and transition.includes_current else []
    for window in (*current, *held.later):
        window.version_number = board.version
        _save(window)
    is_scoring = bool(transition.from_newest.next_window)
    later = held.later if is_scoring else ()
    return [*current, *(window for window in later if selectors.has_entries(window.pk))]


def _reframe_windows(
    board: Leaderboard, transition: Transition, held: HeldWindows, *, now: datetime
) -> list[Window]:
    """Give the windows the boundaries of a new timeframe; return those to be computed anew.

    A current window that is included begins where it began, unless it is the board's first, and
    ends at the new timeframe's next boundary. Later windows exist only because an event was ahead
    of its time, or the next one is near; they are made again.
    """
    config, includes_current = transition.config, transition.includes_current
    had_entries = any(selectors.has_entries(window.pk) for window in held.later)
    until = max((now, *(window.starts_at for window in held.later)))
    _delete(held.later)
    current = held.current
    if current is not None and includes_current:
        current = _reframe_current(board, config.timeframe, current, now=now)
    elif current is None:
        current = _begin_afresh(board, config, now=now)
    made = windows.open_windows(board, config, until=until if had_entries else now, now=now)
    changed = [current] if current is not None and includes_current else []
    return [*changed, *(made if had_entries else ())]


def _move_end(config: BoardConfig, held: HeldWindows) -> list[Window]:
    """Move the end of a custom board's window; return it if it must be computed anew.

    It must if it gets shorter than its latest event.
    """
    window = held.current or next(iter(held.later), None)
    windows_to_compute: list[Window] = []
    if window is not None and window.ends_at is not None and window.due_at is not None:
        span = next_window(config.timeframe, window.starts_at)
        assert span is not None, "the new end lies ahead"  # noqa: S101
        assert span.ends_at is not None, "a custom window ends"  # noqa: S101
        grace = window.due_at - window.ends_at
        is_cut = Entry.objects.filter(window=window, last_occurred_at__gte=span.ends_at).exists()
        _place(window, span, due_at=span.ends_at + grace)
        windows_to_compute = [window] if is_cut else []
    return windows_to_compute


def note_status_change(board: Leaderboard) -> None:
    """Let batches look at the board's status again before they write. Locks: the windows, alone."""
    scored = Window.objects.filter(board=board, state__in=_SCORED)
    locks.lock_windows_for_change(scored.values_list("pk", flat=True))
    scored.update(plan=F("plan") + 1)
    _tell(scored.values_list("pk", flat=True))


def void_windows(board: Leaderboard, *, now: datetime) -> None:
    """End the windows of an archived board: no standings are frozen, no more are made.

    A window that had ended before is closed in its time: its competition was over.
    """
    held = hold_unended_windows(board, now=now)
    _delete(held.later)
    if held.current is not None:
        held.current.state = Window.State.VOID
        _save(held.current)
        after_commit(index.drop_index, held.current.pk)
    Leaderboard.objects.filter(pk=board.pk).update(next_window_at=None)
    board.next_window_at = None


def _reframe_current(
    board: Leaderboard, timeframe: Timeframe, window: Window, *, now: datetime
) -> Window | None:
    before = selectors.window_before(window)
    span = _span_of_now(timeframe, before, window, now=now)
    if span is None or span.starts_at > now:
        _delete([window])
        return None
    window.version_number = board.version
    _place(window, span, due_at=find_due_at(span.ends_at, timeframe))
    return window


def _span_of_now(
    timeframe: Timeframe, before: Window | None, window: Window, *, now: datetime
) -> WindowSpan | None:
    if timeframe.start_at is not None:
        return windows.span_after(timeframe, before, instant=now)
    if before is None:
        return window_at(timeframe, now)
    # The key is that of the start, the end the first boundary that lies ahead.
    first, rest = next_window(timeframe, window.starts_at), next_window(timeframe, now)
    assert first is not None, "only custom windows come to an end"  # noqa: S101
    assert rest is not None, "as above"  # noqa: S101
    return replace(first, ends_at=rest.ends_at)


def _begin_afresh(board: Leaderboard, config: BoardConfig, *, now: datetime) -> Window | None:
    """Make the window of now where a custom board had none, without filling the gap before it."""
    timeframe = config.timeframe
    span = None if timeframe.start_at is not None else window_at(timeframe, now)
    if span is None:
        return None
    last = selectors.last_window(board.pk)
    if last is not None and last.ends_at is not None and last.ends_at > span.starts_at:
        span = next_window(timeframe, last.ends_at)
        assert span is not None, "only custom windows come to an end"  # noqa: S101
    made = windows.create_windows(board, timeframe, [span], version=board.version, now=now)
    return made[0]


def _place(window: Window, span: WindowSpan, *, due_at: datetime | None) -> None:
    taken = windows.taken_keys(window.board_id, [span.key]) - {window.key}
    window.key = free_key(span.key, taken)
    window.starts_at, window.ends_at, window.due_at = span.starts_at, span.ends_at, due_at
    window.freeze_barrier = None
    _save(window)


def _save(window: Window) -> None:
    window.plan += 1
    window.save()
    _tell([window.pk])


def _delete(chosen: Iterable[Window]) -> None:
    for window in chosen:
        after_commit(index.drop_index, window.pk)
        _tell([window.pk])
        window.delete()


def _tell(window_ids: Iterable[UUID]) -> None:
    after_commit(broadcasts.mark_dirty, list(window_ids))
