"""How far players are with their achievements."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any
from uuid import UUID

from phoenix_site.common.documents import plain_number
from phoenix_site.common.exceptions import NotFoundError
from players import selectors as players
from rewards.models import Account, AchievementProgress, AchievementUnlock, Grant
from rewards.rules.achievements import AchievementView, percentage_of, shown_amount, status_of
from rewards.selectors.achievements import STATE_COLUMNS, of
from rewards.selectors.book import book_of
from rewards.types.achievements import (
    GrantedReward,
    PlayerAchievement,
    PlayerAchievements,
    ProgressState,
    ProgressStatus,
)
from rewards.types.book import Book
from rewards.types.listing import Listing

__all__ = [
    "as_number",
    "player_achievement",
    "player_achievements",
    "player_document",
    "progress_of",
    "unlock_document",
    "unlock_page",
]


def progress_of(
    player_id: UUID, achievement_ids: Iterable[UUID] | None = None
) -> dict[UUID, ProgressState]:
    """Return how far a player is, by achievement. Queries: 1."""
    rows = AchievementProgress.objects.filter(player=player_id)
    if achievement_ids is not None:
        rows = rows.filter(achievement__in=list(achievement_ids))
    columns = rows.values_list("achievement_id", *STATE_COLUMNS)
    return {achievement_id: ProgressState(*values) for achievement_id, *values in columns}


def player_achievements(
    tenant_id: str, user_id: str, *, status: str | None, limit: int, offset: int
) -> PlayerAchievements:
    """Return a page of what a player can see: hidden ones once they are unlocked (ACH-3).

    A player whom nobody knows has everything locked. Queries: 4, and 1 where achievements
    look at wallets.
    """
    book = book_of(tenant_id)
    views = [view for view in of(book).views if view.is_active]
    player = players.find_player(tenant_id, user_id)
    states = {} if player is None else _states(book, player.pk, views)
    statuses: dict[UUID, ProgressStatus] = {}
    for view in views:
        found = status_of(states.get(view.pk, ProgressState()))
        if found == "unlocked" or not view.is_hidden:
            statuses[view.pk] = found
    asked = [v for v in views if v.pk in statuses and status in (None, statuses[v.pk])]
    page = asked[offset : offset + limit]
    rewards = {} if player is None else _rewards(player.pk, page)
    counts = list(statuses.values())
    return PlayerAchievements(
        items=[_shown(v, states.get(v.pk, ProgressState()), rewards) for v in page],
        total=len(asked),
        unlocked_count=counts.count("unlocked"),
        in_progress_count=counts.count("in_progress"),
        locked_count=counts.count("locked"),
    )


def player_achievement(
    tenant_id: str, user_id: str, achievement_id: UUID, *, for_staff: bool = False
) -> PlayerAchievement:
    """Return one achievement as a player has it.

    Raises: ``NotFoundError``; unless ``for_staff`` also for one that is archived, or hidden and not
    unlocked. Queries: as the list.
    """
    book = book_of(tenant_id)
    view = of(book).by_id.get(achievement_id)
    player = players.find_player(tenant_id, user_id)
    if view is None or not (view.is_active or for_staff):
        raise NotFoundError("There is no such achievement.")
    states = {} if player is None else _states(book, player.pk, [view])
    state = states.get(view.pk, ProgressState())
    if view.is_hidden and status_of(state) != "unlocked" and not for_staff:
        raise NotFoundError("There is no such achievement.")
    rewards = {} if player is None else _rewards(player.pk, [view])
    return _shown(view, state, rewards)


def _states(
    book: Book, player_id: UUID, views: Sequence[AchievementView]
) -> dict[UUID, ProgressState]:
    """Return the player's states, as the present epoch and the present wallets have them."""
    states = progress_of(player_id, [view.pk for view in views])
    for view in views:
        state = states.get(view.pk)
        if state is not None and state.epoch != view.epoch:
            # Counted something else; only what was unlocked still holds.
            states[view.pk] = ProgressState(times=state.times, unlocked_at=state.unlocked_at)
    currencies = {
        view.pk: book.currencies[metric].pk
        for view in views
        if (metric := view.measure.metric) is not None and metric in book.currencies
    }
    totals = _lifetime_totals(player_id, set(currencies.values()))
    for view in views:
        total = totals.get(currencies[view.pk]) if view.pk in currencies else None
        if total is not None:
            states.setdefault(view.pk, ProgressState()).current = total
    return states


def _lifetime_totals(player_id: UUID, currency_pks: Collection[UUID]) -> dict[UUID, Decimal]:
    """Return what a player ever earned, by currency. Queries: 1, or 0 without currencies."""
    if not currency_pks:
        return {}
    wallets = Account.objects.filter(
        player=player_id, currency__in=currency_pks, kind=Account.Kind.WALLET
    )
    return dict(wallets.values_list("currency_id", "lifetime_earned"))


def _rewards(
    player_id: UUID, views: Sequence[AchievementView]
) -> Mapping[str, list[GrantedReward]]:
    """Return what was given for these achievements, oldest first. Queries: 1."""
    found: dict[str, list[GrantedReward]] = defaultdict(list)
    if not views:
        return found
    grants = Grant.objects.filter(
        player=player_id,
        source_type=Grant.SourceType.ACHIEVEMENT,
        source_id__in=[str(view.pk) for view in views],
    ).order_by("created_at", "pk")
    columns = ("source_id", "pk", "item_id", "snapshot", "status", "created_at")
    for source_id, pk, item_id, snapshot, status, created_at in grants.values_list(*columns):
        name, kind = snapshot.get("name", ""), snapshot.get("reward_type", "")
        reward = GrantedReward(source_id, pk, item_id, name, kind, status, created_at)
        found[source_id].append(reward)
    return found


def _shown(
    view: AchievementView, state: ProgressState, rewards: Mapping[str, list[GrantedReward]]
) -> PlayerAchievement:
    return PlayerAchievement(
        id=view.pk,
        name=view.name,
        description=view.description,
        badge_url=view.badge_url,
        status=status_of(state),
        current=shown_amount(view, state),
        threshold=view.threshold,
        percentage=percentage_of(view, state),
        unlocked_at=state.unlocked_at,
        times=state.times,
        rewards=tuple(rewards.get(str(view.pk), ())),
    )


def player_document(shown: PlayerAchievement) -> dict[str, Any]:
    """Return an achievement as the query gateway answers it."""
    return {
        "id": str(shown.id),
        "name": shown.name,
        "description": shown.description,
        "badge_url": shown.badge_url,
        "status": shown.status,
        "progress": {
            "current": as_number(shown.current),
            "threshold": as_number(shown.threshold),
            "percentage": float(shown.percentage),
        },
        "unlocked_at": shown.unlocked_at,
        "times": shown.times,
        "rewards_granted": [_reward_document(reward) for reward in shown.rewards],
    }


def as_number(value: Any) -> int | float:
    """Return an amount as a JSON number, as near as one comes to it."""
    try:
        return plain_number(value)
    except ValueError:
        return float(value)


def _reward_document(reward: GrantedReward) -> dict[str, Any]:
    document = asdict(reward)
    document.pop("achievement_id")
    return document


def unlock_page(
    tenant_id: str, user_id: str, *, limit: int, offset: int
) -> Listing[AchievementUnlock]:
    """Return what a player unlocked, newest first, without what was revoked. Queries: 3."""
    player = players.find_player(tenant_id, user_id)
    if player is None:
        return Listing([], 0)
    found = AchievementUnlock.objects.filter(player=player, revoked_at=None)
    newest_first = found.order_by("-unlocked_at", "-number")
    return Listing(list(newest_first[offset : offset + limit]), found.count())


def unlock_document(unlock: AchievementUnlock) -> dict[str, Any]:
    """Return an unlock as the query gateway answers it."""
    return {
        "achievement_id": str(unlock.achievement_id),
        "times": unlock.number,
        "unlocked_at": unlock.unlocked_at,
        "cause_event_id": unlock.cause_event_id,
    }
