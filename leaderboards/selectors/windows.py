"""Windows by instant, by key and by what the clock asks of them."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet, Subquery

from leaderboards.constants import EARLY_EVENTS, OPEN_AHEAD_SECONDS
from leaderboards.models import Entry, Leaderboard, StatusChange, Window
from leaderboards.selectors.shown import CURRENT, nothing_here

_SCORED = (Window.State.OPEN, Window.State.CLOSING)

# Planned as one short descent of an index per instant.
_HOLDING = """
SELECT DISTINCT found.* FROM unnest(%s::timestamptz[]) AS instant
CROSS JOIN LATERAL (
    SELECT * FROM leaderboards_window
    WHERE board_id = %s AND starts_at <= instant ORDER BY starts_at DESC LIMIT 1
) AS found
WHERE found.ends_at IS NULL OR instant < found.ends_at
ORDER BY found.starts_at
"""


def windows_holding(board_id: UUID, instants: Collection[datetime]) -> list[Window]:
    """Return the windows, in whatever state, that hold one of ``instants``; oldest first.

    Queries: 1.
    """
    if not instants:
        return []
    return list(Window.objects.raw(_HOLDING, [list(instants), board_id]))


def uncovered(instants: Sequence[datetime], windows: Sequence[Window]) -> list[datetime]:
    """Return those of ``instants`` that none of ``windows`` holds."""
    return [
        instant
        for instant in instants
        if not any(
            window.starts_at <= instant and (window.ends_at is None or instant < window.ends_at)
            for window in windows
        )
    ]


def first_window(board_id: UUID) -> Window | None:
    """Return the board's oldest window. Queries: 1."""
    return Window.objects.filter(board_id=board_id).order_by("starts_at").first()


def last_window(board_id: UUID) -> Window | None:
    """Return the board's latest window, perhaps one that has not begun. Queries: 1."""
    return Window.objects.filter(board_id=board_id).order_by("-starts_at").first()


def window_before(window: Window) -> Window | None:
    """Return the window of the same board that begins last before ``window``. Queries: 1."""
    earlier = Window.objects.filter(board_id=window.board_id, starts_at__lt=window.starts_at)
    return earlier.order_by("-starts_at").first()


def unended_windows(board_id: UUID, now: datetime) -> QuerySet[Window]:
    """Return the windows that are scored and have not ended: the current one and later ones."""
    return Window.objects.filter(board_id=board_id, state__in=_SCORED).filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=now)
    )


def has_entries(window_id: UUID) -> bool:
    """Return whether somebody has an entry in the window. Queries: 1."""
    return Entry.objects.filter(window_id=window_id).exists()


def get_window(board_id: UUID, key: str) -> Window:
    """Return the board's window of this key. Raises: ``NotFoundError``. Queries: 1."""
    window = Window.objects.filter(board_id=board_id, key=key).first()
    if window is None:
        raise nothing_here()
    return window


def get_window_to_show(board: Leaderboard, key: str, *, now: datetime) -> Window:
    """Return the window of this key, or the one of now for ``current``.

    Raises: ``NotFoundError``. Queries: 1.
    """
    if key != CURRENT:
        return get_window(board.pk, key)
    window = unended_windows(board.pk, now).filter(starts_at__lte=now).first()
    if window is None:
        raise nothing_here()
    return window


def soon_after(now: datetime) -> datetime:
    """Return until when the clock opens windows: a moment ahead, so that readers find them."""
    return now + timedelta(seconds=OPEN_AHEAD_SECONDS)


def boards_due_across_tenants(now: datetime) -> list[UUID]:
    """Return the boards whose next window is to be opened, the longest due first. Queries: 1."""
    due = Leaderboard.objects.filter(next_window_at__lte=soon_after(now))
    boards = due.order_by("next_window_at")
    return list(boards.values_list("pk", flat=True))


def due_window_ids_across_tenants(now: datetime, *, limit: int) -> list[UUID]:
    """Return windows that may be closed, the longest due first; of each board only the oldest.

    Queries: 1.
    """
    earlier = Window.objects.filter(
        board=OuterRef("board"), state__in=_SCORED, starts_at__lt=OuterRef("starts_at")
    )
    due = Window.objects.filter(~Exists(earlier), state__in=_SCORED, due_at__lte=now)
    return list(due.order_by("due_at").values_list("pk", flat=True)[:limit])


def next_due_window(board_id: UUID, now: datetime) -> Window | None:
    """Return the board's oldest window that is not closed, if it is due. Queries: 1."""
    window = (
        Window.objects.filter(board_id=board_id, state__in=_SCORED).order_by("starts_at").first()
    )
    is_due = window is not None and window.due_at is not None and window.due_at <= now
    return window if is_due else None


def latest_deadline(board_id: UUID, now: datetime) -> datetime | None:
    """Return when the last of the board's windows that are due and not closed became due.

    Queries: 1.
    """
    due = Window.objects.filter(board_id=board_id, state__in=_SCORED, due_at__lte=now)
    return due.order_by("-due_at").values_list("due_at", flat=True).first()


def previous_hash(window: Window) -> str:
    """Return the hash of the last closed window before ``window``, or an empty text. Queries: 1."""
    earlier = Window.objects.filter(
        board_id=window.board_id, starts_at__lt=window.starts_at, state=Window.State.CLOSED
    )
    return earlier.order_by("-starts_at").values_list("hash", flat=True).first() or ""


def retention_hold(tenant_id: str) -> datetime | None:
    """Return from when on (by ``received_at``) the tenant's events may still be needed.

    An event is received at most a day before the instant it says it occurred at, and counts only
    if its board was there. Queries: 1.
    """
    began = StatusChange.objects.filter(board=OuterRef("board")).order_by("at").values("at")[:1]
    scored = Window.objects.filter(tenant_id=tenant_id, state__in=_SCORED).annotate(
        began_at=Subquery(began)
    )
    from_start = scored.aggregate(
        backfilled=Min("starts_at", filter=Q(backfilled_at__isnull=False)),
        live=Min("starts_at", filter=Q(backfilled_at__isnull=True, starts_at__gte=F("began_at"))),
        founded=Min("began_at", filter=Q(backfilled_at__isnull=True, starts_at__lt=F("began_at"))),
    )
    instants = [instant for instant in from_start.values() if instant is not None]
    return min(instants) - EARLY_EVENTS if instants else None
