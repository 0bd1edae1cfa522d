"""Achievements as they are configured."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from phoenix_site.common.exceptions import NotFoundError
from rewards.models import Achievement, DocumentVersion
from rewards.rules.achievement_documents import stored_criteria
from rewards.rules.achievements import AchievementBook, AchievementView
from rewards.types.book import Book
from rewards.types.listing import Listing, ListQuestion

__all__ = [
    "KIND",
    "STATE_COLUMNS",
    "achievement_document",
    "achievement_view",
    "achievements_of_tenant",
    "achievements_page",
    "documents",
    "get_achievement",
    "load",
    "of",
    "versions",
]

KIND: Final = "achievement"
STATE_COLUMNS: Final = (
    *("epoch", "current", "base", "earlier_base", "added"),
    *("run", "times", "last_number", "unlocked_at", "owed"),
)


# --- What is configured --------------------------------------------------------------------------


def load(tenant_id: str) -> AchievementBook:
    """Return the tenant's achievements for the book, archived ones too. Queries: 1.

    What was received before an achievement was archived may still have to be counted.
    """
    return AchievementBook(map(achievement_view, achievements_of_tenant(tenant_id)))


def of(book: Book) -> AchievementBook:
    """Return the achievements of a book."""
    achievements: AchievementBook = book.part("achievements")
    return achievements


def achievements_of_tenant(tenant_id: str) -> QuerySet[Achievement]:
    """Return the tenant's achievements in the order in which players see them."""
    return Achievement.objects.filter(tenant=tenant_id).order_by("sort", "created_at", "pk")


def achievement_view(row: Achievement) -> AchievementView:
    """Return an achievement as the consumer has it."""
    return AchievementView(
        pk=row.pk,
        name=row.name,
        description=row.description,
        badge_url=row.badge_url,
        compiled=stored_criteria(row.measure),
        threshold=row.threshold,
        reward_config_id=row.reward_config_id,
        reward_item_ids=tuple(map(UUID, row.reward_item_ids)),
        is_active=row.is_active,
        is_repeatable=row.is_repeatable,
        is_hidden=row.is_hidden,
        requires=tuple(map(UUID, row.requires)),
        epoch=row.epoch,
        counts_from=row.counts_from,
        counts_until=row.counts_until,
    )


def get_achievement(tenant_id: str, achievement_id: UUID) -> Achievement:
    """Return an achievement of the tenant. Raises: ``NotFoundError``. Queries: 1."""
    row = Achievement.objects.filter(tenant=tenant_id, pk=achievement_id).first()
    if row is None:
        raise NotFoundError("There is no such achievement.")
    return row


def achievements_page(tenant_id: str, asked: ListQuestion) -> Listing[Achievement]:
    """Return a page of the library. Queries: 2."""
    found = achievements_of_tenant(tenant_id)
    if asked.status is not None:
        found = found.filter(is_active=asked.status == "active")
    if asked.search:
        found = found.filter(name__icontains=asked.search)
    return Listing(list(found[asked.offset : asked.offset + asked.limit]), found.count())


def versions(tenant_id: str, achievement_id: UUID) -> Sequence[DocumentVersion]:
    """Return the versions of an achievement, newest first. Raises: ``NotFoundError``."""
    row = get_achievement(tenant_id, achievement_id)
    return list(DocumentVersion.objects.filter(kind=KIND, object_id=row.pk).order_by("-version"))


def achievement_document(row: Achievement) -> dict[str, Any]:
    """Return an achievement as the admin gateway answers it (ACH-1)."""
    return {
        "id": str(row.pk),
        "tenant_id": row.tenant_id,
        "name": row.name,
        "description": row.description,
        "badge_url": row.badge_url,
        "criteria": row.criteria,
        "measure": row.measure,
        "reward_config_id": None if row.reward_config_id is None else str(row.reward_config_id),
        "reward_item_ids": row.reward_item_ids,
        "active": row.is_active,
        "repeatable": row.is_repeatable,
        "hidden": row.is_hidden,
        "requires": row.requires,
        "sort": row.sort,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def documents(rows: Sequence[Achievement]) -> list[dict[str, Any]]:
    """Return achievements as the admin gateway answers them, in order."""
    return [achievement_document(row) for row in rows]
