"""Ladders and where players stand on them."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet

from phoenix_site.common.exceptions import NotFoundError
from players import selectors as players
from rewards.models import Account, DocumentVersion, Ladder, PlayerLevel
from rewards.rules.ladders import parse_curve
from rewards.selectors.documents import versions_of
from rewards.types.book import Book
from rewards.types.ladders import Curve, LadderBook, LadderView, PlayerStep
from rewards.types.listing import Listing, ListQuestion

DEFAULT_LADDER_ID = "levels"


def load(tenant_id: str) -> LadderBook:
    """Return the active ladders of a tenant, for the book. Queries: 1."""
    views = [ladder_view(ladder) for ladder in ladders_of(tenant_id).filter(is_active=True)]
    by_currency: dict[UUID, list[LadderView]] = defaultdict(list)
    for view in views:
        by_currency[view.currency_pk].append(view)
    return LadderBook(
        by_id={view.ladder_id: view for view in views},
        by_currency={pk: tuple(found) for pk, found in by_currency.items()},
    )


def of(book: Book) -> LadderBook:
    """Return the ladders of a book."""
    ladders: LadderBook = book.part("ladders")
    return ladders


def ladders_of(tenant_id: str) -> QuerySet[Ladder]:
    """Return a tenant's ladders with their currencies, by id."""
    found = Ladder.objects.filter(tenant_id=tenant_id)
    return found.select_related("currency").order_by("ladder_id")


def get_ladder(tenant_id: str, ladder_id: str) -> Ladder:
    """Return a ladder of the tenant. Raises: ``NotFoundError``."""
    ladder = ladders_of(tenant_id).filter(ladder_id=ladder_id).first()
    if ladder is None:
        raise NotFoundError("Ladder not found.")
    return ladder


def ladder_page(tenant_id: str, asked: ListQuestion) -> Listing[Ladder]:
    """Return a page of a tenant's ladders, by id. Queries: 2."""
    rows = ladders_of(tenant_id)
    if asked.status is not None:
        rows = rows.filter(is_active=asked.status == "active")
    if asked.search:
        rows = rows.filter(name__icontains=asked.search)
    return Listing(list(rows[asked.offset : asked.offset + asked.limit]), rows.count())


def ladder_versions(tenant_id: str, ladder_id: str) -> list[DocumentVersion]:
    """Return a ladder's versions, newest first. Raises: ``NotFoundError``. Queries: 2."""
    return versions_of("ladder", get_ladder(tenant_id, ladder_id).pk)


def curve_of(ladder: Ladder) -> Curve:
    """Return the curve that a ladder stores."""
    return parse_curve(ladder.levels, ladder.ranks)


def ladder_view(ladder: Ladder) -> LadderView:
    """Return a ladder as the book has it."""
    return LadderView(
        pk=ladder.pk,
        ladder_id=ladder.ladder_id,
        name=ladder.name,
        currency_pk=ladder.currency_id,
        currency_id=ladder.currency.currency_id,
        curve=curve_of(ladder),
    )


def ladder_document(ladder: Ladder) -> dict[str, Any]:
    """Return a ladder as the admin gateway answers it."""
    return {
        "ladder_id": ladder.ladder_id,
        "tenant_id": ladder.tenant_id,
        "name": ladder.name,
        "currency_id": ladder.currency.currency_id,
        "levels": ladder.levels,
        "ranks": ladder.ranks,
        "downgrade": None,
        "active": ladder.is_active,
        "version": ladder.version,
        "created_at": ladder.created_at,
        "updated_at": ladder.updated_at,
    }


def editable_document(ladder: Ladder) -> dict[str, Any]:
    """Return what a change of the ladder may change, as it is."""
    document = ladder_document(ladder)
    editable = ("ladder_id", "name", "currency_id", "levels", "ranks", "active")
    return {key: document[key] for key in editable}


def shape_of(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what decides a player's level and rank; names, items and benefits do not."""
    return (
        document["currency_id"],
        [level["xp_required"] for level in document["levels"]],
        [(rank["rank_id"], rank["levels"]) for rank in document["ranks"]],
    )


def public_document(ladder: Ladder) -> dict[str, Any]:
    """Return a ladder as players may see it: without who changed it and what its items cost."""
    document = ladder_document(ladder)
    return {key: document[key] for key in ("ladder_id", "name", "currency_id", "levels", "ranks")}


def player_step(tenant_id: str, external_id: str, ladder_id: str) -> PlayerStep:
    """Return where a player stands; one without XP stands at the beginning.

    Raises: ``NotFoundError`` for a ladder that is not there or not active. Queries: 4.
    """
    ladder = get_ladder(tenant_id, ladder_id)
    if not ladder.is_active:
        raise NotFoundError("Ladder not found.")
    player = players.find_player(tenant_id, external_id)
    if player is None:
        return _step(ladder, external_id, level=1, total=Decimal(0))
    state = PlayerLevel.objects.filter(player_id=player.pk, ladder_id=ladder.pk).first()
    total = lifetime_totals([player.pk], ladder.currency_id).get(player.pk, Decimal(0))
    return _step(ladder, external_id, level=state.level if state else 1, total=total)


def _step(ladder: Ladder, user_id: str, *, level: int, total: Decimal) -> PlayerStep:
    curve = curve_of(ladder)
    step, above = curve.step(level), curve.next_step(level)
    return PlayerStep(
        user_id=user_id,
        ladder_id=ladder.ladder_id,
        level=step.level,
        rank=curve.rank_at(step.level),
        total=total,
        xp_for_level=step.xp_required,
        xp_for_next=above.xp_required if above else None,
        benefits=step.benefits,
    )


def lifetime_totals(player_ids: Collection[UUID], currency_pk: UUID) -> dict[UUID, Decimal]:
    """Return what each of the players ever earned of a currency. Queries: 1."""
    wallets = Account.objects.filter(
        kind=Account.Kind.WALLET, currency_id=currency_pk, player_id__in=player_ids
    )
    rows = wallets.values_list("player_id", "lifetime_earned")
    return {player_id: total for player_id, total in rows if player_id is not None}


def players_per_level(ladder_pk: UUID) -> dict[int, int]:
    """Return how many players stand on each level above the first. Queries: 1."""
    rows = PlayerLevel.objects.filter(ladder_id=ladder_pk, level__gt=1).values("level")
    return {row["level"]: row["count"] for row in rows.annotate(count=Count("id"))}


def wallets_after(
    currency_pk: UUID, account_id: int, limit: int
) -> list[tuple[int, UUID, Decimal]]:
    """Return (account, player, lifetime total) of a currency's wallets, a page by account."""
    wallets = Account.objects.filter(
        kind=Account.Kind.WALLET, currency_id=currency_pk, pk__gt=account_id
    ).order_by("pk")
    rows = wallets.values_list("pk", "player_id", "lifetime_earned")[:limit]
    return [(pk, player_id, total) for pk, player_id, total in rows if player_id is not None]
