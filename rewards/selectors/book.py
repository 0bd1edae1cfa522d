"""The books of tenants, kept in this process until a stamp says that something changed."""

from collections.abc import Callable, Collection
from typing import Any, Final

from django.db.models import OuterRef, Subquery

from rewards.models import BookStamp
from rewards.selectors import achievements, coupons, currencies, items, ladders, rules, streaks
from rewards.types.book import Book
from tenants.models import Tenant

__all__ = ["BOOK_PARTS", "book_of", "books", "forget_books"]

# (name, loader): a subject that the consumer reads adds its own; see ``Book.part``.
BOOK_PARTS: Final[tuple[tuple[str, Callable[[str], Any]], ...]] = (
    ("achievements", achievements.load),
    ("coupons", coupons.load),
    ("ladders", ladders.load),
    ("rules", rules.load),
    ("streaks", streaks.load),
)

_MAX_BOOKS: Final = 1000
# A change that was committed while a book was loaded could be in one part and not in another.
_MAX_TRIES: Final = 5
_kept: Final[dict[str, Book]] = {}

# (stamp, time zone) of a tenant.
_Edition = tuple[int, str]


def books(tenant_ids: Collection[str]) -> dict[str, Book]:
    """Return the tenants' books, each as new as the caller's snapshot; unknown tenants have none.

    Queries: 1, and for each book that changed one per kind of thing in it.
    """
    editions = _editions(tenant_ids)
    return {tenant_id: _book(tenant_id, edition) for tenant_id, edition in editions.items()}


def book_of(tenant_id: str) -> Book:
    """Return one tenant's book. Raises: ``KeyError`` without the tenant. Queries: as ``books``."""
    return books({tenant_id})[tenant_id]


def forget_books() -> None:
    """Forget every book, as a new process has none."""
    _kept.clear()


def _editions(tenant_ids: Collection[str]) -> dict[str, _Edition]:
    stamp = BookStamp.objects.filter(tenant=OuterRef("pk")).values("number")
    rows = Tenant.objects.filter(pk__in=sorted(set(tenant_ids)))
    found = rows.values_list("pk", "timezone", Subquery(stamp))
    return {tenant_id: (number or 0, timezone) for tenant_id, timezone, number in found}


def _book(tenant_id: str, edition: _Edition) -> Book:
    kept = _kept.get(tenant_id)
    if kept is not None and (kept.stamp, kept.timezone) == edition:
        return kept
    book = _load(tenant_id, edition)
    for _attempt in range(_MAX_TRIES):
        newest = _editions({tenant_id})[tenant_id]
        if newest == (book.stamp, book.timezone):
            break
        book = _load(tenant_id, newest)
    _keep(book)
    return book


def _load(tenant_id: str, edition: _Edition) -> Book:
    stamp, timezone = edition
    by_pk = currencies.load(tenant_id)
    return Book(
        tenant_id=tenant_id,
        stamp=stamp,
        timezone=timezone,
        currencies={each.currency_id: each for each in by_pk.values()},
        currencies_by_pk=by_pk,
        items=items.load_items(tenant_id),
        configs=items.load_configs(tenant_id),
        parts={name: loader(tenant_id) for name, loader in BOOK_PARTS},
    )


def _keep(book: Book) -> None:
    _kept[book.tenant_id] = book
    while len(_kept) > _MAX_BOOKS:
        # The one that was loaded longest ago.
        _kept.pop(next(iter(_kept)), None)
