"""What an achievement is counted anew from: the log, wallets, streaks, and what players have."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from ingestion import selectors as ingestion
from rewards.constants import MAX_RULE_DEPTH, RULES
from rewards.models import (
    Account,
    AchievementProgress,
    AchievementUnlock,
    Job,
    PlayerStreak,
)
from rewards.rules.achievements import AchievementView
from rewards.rules.measures import event_root
from rewards.selectors.achievements import STATE_COLUMNS
from rewards.types.achievements import Held, ProgressState
from rewards.types.measures import Contribution

__all__ = [
    "contributions",
    "find_apply",
    "find_preview",
    "held_by_players",
    "newest_preview",
    "numbers",
    "owed_players",
    "players_with_all",
    "players_with_progress",
]

KIND: Final = "achievement_recompute"
_BEGINNING: Final = datetime(1970, 1, 3, tzinfo=UTC)
_CHUNK: Final = 5000


def contributions(
    view: AchievementView, tenant_id: str, *, since: datetime | None
) -> Iterator[tuple[str, Contribution | None]]:
    """Yield the player and what it counts for every stored event of the measure's types.

    In the order of the log, up to where the consumer is, without history that was imported and
    without chains of causes that are too deep. Call it in a transaction. Queries: 1.
    """
    types = view.compiled.types
    events = ingestion.processed_events(
        RULES,
        tenant_id,
        types=types.names,
        prefixes=types.prefixes,
        occurred_from=since or _BEGINNING,
        occurred_to=None,
    )
    contribution = view.compiled.contribution
    for event in events:
        if event.user_id is not None and event.source != "import" and event.depth <= MAX_RULE_DEPTH:
            yield event.user_id, contribution(event_root(event))


def numbers(view: AchievementView, tenant_id: str) -> Iterator[tuple[str, Decimal, Decimal]]:
    """Yield (player, best, present) of the number that the achievement looks at. Queries: 1."""
    if view.measure.type == "cumulative":
        wallets = Account.objects.filter(
            tenant=tenant_id,
            currency__currency_id=str(view.measure.metric),
            kind=Account.Kind.WALLET,
            lifetime_earned__gt=0,
        ).values_list("player__external_id", "lifetime_earned")
        for user_id, total in wallets.iterator(chunk_size=_CHUNK):
            yield str(user_id), total, total
        return
    streaks = PlayerStreak.objects.filter(
        streak__tenant=tenant_id, streak=UUID(str(view.measure.streak_id)), longest_count__gt=0
    ).values_list("player__external_id", "longest_count", "current_count")
    for user_id, longest, present in streaks.iterator(chunk_size=_CHUNK):
        yield str(user_id), Decimal(longest), Decimal(present)


def held_by_players(achievement_id: UUID) -> dict[str, Held]:
    """Return what every player has of an achievement. Queries: 2."""
    gifts: dict[UUID, int] = defaultdict(int)
    forfeited: dict[UUID, int] = defaultdict(int)
    unlocks = AchievementUnlock.objects.filter(achievement=achievement_id)
    columns = unlocks.values_list("player_id", "source", "revoked_at", "is_revoked_by_staff")
    for player_id, source, revoked_at, is_revoked_by_staff in columns.iterator(chunk_size=_CHUNK):
        if revoked_at is None and source == AchievementUnlock.Source.STAFF:
            gifts[player_id] += 1
        forfeited[player_id] += is_revoked_by_staff
    rows = AchievementProgress.objects.filter(achievement=achievement_id)
    states = rows.values_list("player_id", "player__external_id", *STATE_COLUMNS)
    return {
        user_id: Held(ProgressState(*columns), gifts[player_id], forfeited[player_id])
        for player_id, user_id, *columns in states.iterator(chunk_size=_CHUNK)
    }


def players_with_all(
    tenant_id: str, user_ids: list[str], achievement_ids: tuple[UUID, ...]
) -> set[str]:
    """Return those of the players who have unlocked all of these achievements. Queries: 1."""
    if not achievement_ids:
        return set(user_ids)
    rows = AchievementProgress.objects.filter(
        achievement__in=achievement_ids,
        times__gt=0,
        player__tenant=tenant_id,
        player__external_id__in=user_ids,
    )
    unlocked: dict[str, int] = defaultdict(int)
    for user_id in rows.values_list("player__external_id", flat=True):
        unlocked[user_id] += 1
    return {user_id for user_id, count in unlocked.items() if count == len(achievement_ids)}


def players_with_progress(achievement_id: UUID) -> list[UUID]:
    """Return everybody who has begun an achievement. Queries: 1."""
    rows = AchievementProgress.objects.filter(achievement=achievement_id)
    return list(rows.values_list("player_id", flat=True))


def owed_players(achievement_id: UUID, *, limit: int) -> list[UUID]:
    """Return players for whom a recompute is not done yet. Queries: 1."""
    rows = AchievementProgress.objects.filter(achievement=achievement_id).exclude(owed=0)
    return list(rows.order_by("player").values_list("player_id", flat=True)[:limit])


def find_preview(achievement_id: UUID, result_hash: str) -> Job | None:
    """Return the newest finished preview with this result. Queries: 1."""
    return (
        _jobs(achievement_id, "preview")
        .filter(status=Job.Status.DONE, result__result_hash=result_hash)
        .first()
    )


def newest_preview(achievement_id: UUID, version: int) -> Job | None:
    """Return the newest finished preview of this version of the achievement. Queries: 1."""
    done = _jobs(achievement_id, "preview").filter(status=Job.Status.DONE)
    return done.filter(parameters__version=version).first()


def find_apply(achievement_id: UUID, result_hash: str, *, revoke: bool) -> Job | None:
    """Return the job that applies, or applied, this result. Queries: 1."""
    jobs = _jobs(achievement_id, "apply").filter(
        parameters__result_hash=result_hash, parameters__revoke=revoke
    )
    return jobs.exclude(status__in=[Job.Status.FAILED, Job.Status.CANCELLED]).first()


def _jobs(achievement_id: UUID, mode: str) -> QuerySet[Job]:
    jobs = Job.objects.filter(
        kind=KIND, parameters__achievement_id=str(achievement_id), parameters__mode=mode
    )
    return jobs.order_by("-created_at")
