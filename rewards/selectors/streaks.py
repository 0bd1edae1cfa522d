"""Streaks as they are configured, and what a run needs to be counted."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from phoenix_site.common.exceptions import NotFoundError
from players.types import PlayerFacts
from rewards.models import DocumentVersion, Streak, StreakEdition
from rewards.rules.streak_documents import stored_config
from rewards.rules.streak_views import Edition, StreakBook, StreakView
from rewards.rules.streaks import StreakRun
from rewards.selectors.documents import versions_of
from rewards.selectors.streak_states import StoredStreak
from rewards.types.book import Book, ConfigView
from rewards.types.listing import Listing, ListQuestion
from rewards.types.streaks import Span

__all__ = [
    "KIND",
    "config_of",
    "definition_document",
    "documents",
    "get_streak",
    "load",
    "of",
    "risk_begins_at",
    "run_of",
    "streak_document",
    "streak_ids",
    "streak_view",
    "streaks_page",
    "streaks_page_across_tenants",
    "thresholds_of",
    "versions",
]

KIND: Final = "streak"


# --- What is configured --------------------------------------------------------------------------


def load(tenant_id: str) -> StreakBook:
    """Return the tenant's streaks for the book, archived ones too. Queries: 2.

    What was received before a streak was paused or archived may still have to be counted.
    """
    editions = Prefetch("editions", StreakEdition.objects.order_by("at"))
    rows = Streak.objects.filter(tenant_id=tenant_id).order_by("name").prefetch_related(editions)
    return StreakBook(map(streak_view, rows))


def of(book: Book) -> StreakBook:
    """Return the streaks of a book."""
    streaks: StreakBook = book.part("streaks")
    return streaks


def streak_view(row: Streak) -> StreakView:
    """Return a streak, whose editions are prefetched in order, as the consumer has it."""
    return StreakView(
        pk=row.pk,
        tenant_id=row.tenant_id,
        name=row.name,
        description=row.description,
        status=row.status,  # type: ignore[arg-type]
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        editions=tuple(
            Edition(edition.at, edition.status, *stored_config(edition.config))  # type: ignore[arg-type]
            for edition in row.editions.all()
        ),
    )


def get_streak(tenant_id: str, streak_id: UUID) -> Streak:
    """Return a streak of the tenant. Raises: ``NotFoundError``. Queries: 1."""
    row = Streak.objects.filter(tenant_id=tenant_id, pk=streak_id).first()
    if row is None:
        raise NotFoundError("There is no such streak.")
    return row


def streak_ids(tenant_id: str) -> frozenset[UUID]:
    """Return the tenant's streaks that are not archived. Queries: 1."""
    rows = Streak.objects.filter(tenant_id=tenant_id).exclude(status=Streak.Status.ARCHIVED)
    return frozenset(rows.values_list("pk", flat=True))


def streaks_page(tenant_id: str, asked: ListQuestion) -> Listing[Streak]:
    """Return a page of the tenant's library. Queries: 2."""
    return _page(Streak.objects.filter(tenant_id=tenant_id), asked)


def streaks_page_across_tenants(
    tenant_ids: Collection[str] | None, asked: ListQuestion
) -> Listing[Streak]:
    """Return a page of the libraries of several tenants; ``None``: of every one. Queries: 2."""
    rows = Streak.objects.all()
    return _page(rows if tenant_ids is None else rows.filter(tenant_id__in=tenant_ids), asked)


def _page(rows: QuerySet[Streak], asked: ListQuestion) -> Listing[Streak]:
    if asked.status is not None:
        rows = rows.filter(status=asked.status)
    if asked.search:
        rows = rows.filter(name__icontains=asked.search)
    ordered = rows.order_by("tenant_id", "name")
    return Listing(list(ordered[asked.offset : asked.offset + asked.limit]), rows.count())


def versions(tenant_id: str, streak_id: UUID) -> Sequence[DocumentVersion]:
    """Return the versions of a streak, newest first. Raises: ``NotFoundError``."""
    return versions_of(KIND, get_streak(tenant_id, streak_id).pk)


def streak_document(row: Streak) -> dict[str, Any]:
    """Return a streak as the admin gateway answers it."""
    return {
        "id": str(row.pk),
        "tenant_id": row.tenant_id,
        "name": row.name,
        "description": row.description,
        "status": row.status,
        "config": row.config,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def documents(rows: Sequence[Streak]) -> list[dict[str, Any]]:
    """Return streaks as the admin gateway answers them, in order."""
    return [streak_document(row) for row in rows]


def definition_document(view: StreakView) -> dict[str, Any]:
    """Return a streak as players see it."""
    return {
        "id": str(view.pk),
        "tenant_id": view.tenant_id,
        "name": view.name,
        "description": view.description,
        "status": view.status,
        "config": view.config.document,
        "created_at": view.created_at,
        "updated_at": view.updated_at,
    }


def config_of(book: Book, view: StreakView) -> ConfigView | None:
    """Return the streak's reward config if it gives anything."""
    config = (
        book.configs.get(view.config.reward_config_id) if view.config.reward_config_id else None
    )
    return config if config and config.is_active and config.config_type == "streak" else None


def thresholds_of(book: Book, view: StreakView) -> dict[int, bool]:
    """Return the milestones of a streak and whether each is repeatable.

    Those of its reward config count too; they are given once ever.
    """
    config = config_of(book, view)
    tiers = config.tiers if config is not None else ()
    found = {int(tier.value): False for tier in tiers if tier.value is not None}
    return found | {each.threshold: each.is_repeatable for each in view.config.milestones}


def risk_begins_at(view: StreakView, span: Span) -> datetime:
    """Return from when on a run is at risk that this window may end (STR-8)."""
    return max(span.starts_at, span.ends_at - timedelta(seconds=view.config.at_risk_seconds))


def run_of(stored: StoredStreak, view: StreakView, facts: PlayerFacts | None) -> StreakRun:
    """Return a player's run, ready to be settled; its purse is empty."""
    last = stored.rows[-1] if stored.rows else None
    return StreakRun(
        view.pk,
        view.plan_for(facts),
        stored.rows,
        has_earlier=stored.has_earlier,
        settled_until=stored.settled_until,
        freeze=view.config.freeze,
        count=last.count if last else 0,
        run_starts_at=last.run_starts_at if last else None,
    )
