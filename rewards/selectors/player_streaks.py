"""What players have of streaks at a moment."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from phoenix_site.common.documents import plain_number
from phoenix_site.common.exceptions import NotFoundError
from players.selectors import facts_for
from players.types import PlayerFacts
from rewards.rules.streak_views import StreakView
from rewards.rules.streaks import FreezePurse
from rewards.selectors.book import book_of
from rewards.selectors.streak_states import StoredStreak, read_freezes, read_streaks
from rewards.selectors.streaks import of, risk_begins_at, run_of, thresholds_of
from rewards.types.book import Book
from rewards.types.streaks import ReachedMilestone, UserStreak

__all__ = ["user_document", "user_streak", "user_streaks"]


def user_streaks(tenant_id: str, user_id: str, *, now: datetime) -> list[UserStreak]:
    """Return what a player has of every active streak, zeros too. Queries: 9.

    Windows that ended by now count as ended, whether or not they have been closed yet.
    """
    book = book_of(tenant_id)
    return _user_streaks(book, of(book).active, user_id, now)


def user_streak(
    tenant_id: str, user_id: str, streak_id: UUID, *, now: datetime, any_status: bool = False
) -> UserStreak:
    """Return what a player has of one streak. Raises: ``NotFoundError``. Queries: 9."""
    book = book_of(tenant_id)
    view = of(book).by_id.get(streak_id)
    if view is None or (view.status != "active" and not any_status):
        raise NotFoundError("There is no such streak.")
    return _user_streaks(book, [view], user_id, now)[0]


def _user_streaks(
    book: Book, views: Sequence[StreakView], user_id: str, now: datetime
) -> list[UserStreak]:
    key = (book.tenant_id, user_id)
    facts = facts_for([key], now=now).get(key)
    stored: Mapping[Any, StoredStreak] = {}
    purse = FreezePurse()
    if facts is not None and views:
        wanted = {(facts.player_id, view.pk): now for view in views}
        policies = {view.pk: view.config.freeze for view in views}
        in_row = {pk: policy.per_break for pk, policy in policies.items() if policy}
        stored = read_streaks(wanted, frozen_in_row=in_row)
        purse.held = read_freezes([facts.player_id]).get(facts.player_id, {})
    found = []
    for view in views:
        mine = stored.get((facts.player_id, view.pk)) if facts else None
        found.append(_present(book, view, user_id, facts, mine, purse, now))
    return found


def _present(
    book: Book,
    view: StreakView,
    user_id: str,
    facts: PlayerFacts | None,
    stored: StoredStreak | None,
    purse: FreezePurse,
    now: datetime,
) -> UserStreak:
    known = stored or StoredStreak(view.pk, view.pk, view.pk)
    run = run_of(known, view, facts)
    run.purse = purse
    run.settle(now)
    window, span = run.window_at(now), run.next_unsatisfied(now)
    return UserStreak(
        id=stored.id if stored else None,
        definition_id=view.pk,
        definition_name=view.name,
        user_id=user_id,
        current_count=run.count,
        longest_count=max(known.longest_count, run.count),
        window_progress=window.progress if window else view.config.target * 0,
        window_target=view.config.target,
        window_satisfied=window.is_satisfied if window else False,
        current_window_start=window.starts_at if window else None,
        current_window_end=window.ends_at if window else None,
        at_risk=span is not None and risk_begins_at(view, span) <= now < span.ends_at,
        freezes_held=purse.count(view.pk),
        milestones=tuple(
            ReachedMilestone(threshold, known.reached_at.get(threshold))
            for threshold in sorted(thresholds_of(book, view))
        ),
        last_event_at=known.last_event_at,
    )


def user_document(found: UserStreak) -> dict[str, Any]:
    """Return a player's streak as the gateways answer it."""
    return {
        "id": None if found.id is None else str(found.id),
        "definition_id": str(found.definition_id),
        "definition_name": found.definition_name,
        "user_id": found.user_id,
        "current_count": found.current_count,
        "longest_count": found.longest_count,
        "window_progress": plain_number(found.window_progress),
        "window_target": plain_number(found.window_target),
        "window_satisfied": found.window_satisfied,
        "current_window_start": found.current_window_start,
        "current_window_end": found.current_window_end,
        "at_risk": found.at_risk,
        "freezes_held": found.freezes_held,
        "milestones": [
            {"threshold": each.threshold, "reached_at": each.reached_at}
            for each in found.milestones
        ],
        "last_event_at": found.last_event_at,
    }
