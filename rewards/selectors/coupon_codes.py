"""Reads of codes of coupons and of their redemptions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

import psycopg
from django.db import connection
from django.db.models import QuerySet

from phoenix_site.common.arrays import IntegerArray, TextArray, UuidArray, register
from rewards.models import CouponRedemption
from rewards.rules.coupons import is_code
from rewards.selectors.book import book_of
from rewards.selectors.coupons import shown_item
from rewards.types.coupons import (
    CodeState,
    FoundCode,
    Redemption,
    ShownCode,
    TypedCode,
    UsageLimits,
)
from rewards.types.listing import Listing

_NOBODY: Final = UUID(int=0)

# A code that is written just so goes before one that only reads alike.
_FIND: Final = """
SELECT DISTINCT ON (asked.place) asked.place,
       code.id, code.code, coupon.id, coupon.name, coupon.item_id, code.player_id,
       code.status, coupon.status, code.is_shared, coupon.starts_at, coupon.expires_at,
       coupon.per_user_limit, coupon.total_limit, coalesce(use.count, 0), tally.redeemed
FROM unnest(%(places)b, %(tenants)b, %(typed)b, %(players)b)
    AS asked (place, tenant_id, typed, player_id)
JOIN rewards_couponcode AS code
    ON code.tenant_id = asked.tenant_id AND code.code IN (asked.typed, upper(asked.typed))
    AND (code.code = asked.typed OR NOT code.is_case_sensitive)
JOIN rewards_coupon AS coupon ON coupon.id = code.coupon_id
JOIN rewards_coupontally AS tally ON tally.coupon_id = coupon.id
LEFT JOIN rewards_couponuse AS use
    ON use.coupon_id = coupon.id AND use.player_id = asked.player_id
ORDER BY asked.place, code.code = asked.typed DESC
"""
# A player sees of a shared code what the player made of it, staff what everybody did. A random code
# has one redemption at most that holds, so that nothing has to be counted.
_SHOWN: Final = """
SELECT code.id, code.code, coupon.id, coupon.name, code.tenant_id, owner.external_id,
       CASE WHEN code.status <> 'active' THEN code.status
            WHEN code.is_shared AND %(player)s IS NOT NULL AND coupon.per_user_limit <= many.count
            THEN 'redeemed'
            WHEN coupon.expires_at <= %(now)s THEN 'expired'
            ELSE 'active' END,
       code.created_at, coupon.expires_at, coalesce(one.redeemed_at, many.redeemed_at),
       coalesce(many.count, (one.id IS NOT NULL)::int), redeemer.external_id, coupon.item_id
FROM rewards_couponcode AS code
JOIN rewards_coupon AS coupon ON coupon.id = code.coupon_id
LEFT JOIN players_player AS owner ON owner.id = code.player_id
LEFT JOIN rewards_couponredemption AS one
    ON one.code_id = code.id AND one.reversed_at IS NULL AND one.uses_up_code
LEFT JOIN players_player AS redeemer ON redeemer.id = one.player_id
LEFT JOIN LATERAL (
    SELECT count(*) AS count, max(each.redeemed_at) AS redeemed_at
    FROM rewards_couponredemption AS each
    WHERE each.code_id = code.id AND each.reversed_at IS NULL
      AND (%(player)s IS NULL OR each.player_id = %(player)s)
) AS many ON code.is_shared
"""
_OF_IDS: Final = f"{_SHOWN} WHERE code.id = ANY (%(ids)s) ORDER BY code.id"
_OF_COUPON: Final = f"""
{_SHOWN} WHERE code.coupon_id = %(coupon)s AND code.tenant_id = %(tenant)s AND code.id > %(after)s
ORDER BY code.id LIMIT %(limit)s
"""
_OF_PLAYER: Final = """
SELECT id FROM rewards_couponcode WHERE player_id = %(player)s
UNION
SELECT code_id FROM rewards_couponredemption
WHERE player_id = %(player)s AND reversed_at IS NULL
"""


# --- Codes ---------------------------------------------------------------------------------------


def find_code(tenant_id: str, typed: str, player_id: UUID | None) -> FoundCode | None:
    """Return the tenant's code that somebody typed, in any case where it has none. Queries: 1.

    Its state is that for the player; ``None`` is one who has never redeemed anything.
    """
    return find_codes([TypedCode(tenant_id, typed, player_id)])[0]


def find_codes(typed: Sequence[TypedCode]) -> list[FoundCode | None]:
    """Return, in order, what ``find_code`` returns of each. Queries: 1."""
    asked = {place: each for place, each in enumerate(typed) if is_code(each.typed.strip())}
    if not asked:
        return [None] * len(typed)
    values = {
        "places": IntegerArray(asked),
        "tenants": TextArray(each.tenant_id for each in asked.values()),
        "typed": TextArray(each.typed.strip() for each in asked.values()),
        "players": UuidArray(each.player_id or _NOBODY for each in asked.values()),
    }
    rows = {row[0]: _found(row[1:], typed[row[0]].player_id) for row in _packed(_FIND, values)}
    return [rows.get(place) for place in range(len(typed))]


def _found(row: Sequence[Any], player_id: UUID | None) -> FoundCode:
    code_id, code, coupon_id, name, item_id, owner_id, *rest = row
    code_status, coupon_status, is_shared, starts_at, expires_at, *counts = rest
    per_user, total, used, redeemed = counts
    state = CodeState(
        code_status=code_status,
        coupon_status=coupon_status,
        is_shared=is_shared,
        is_others=owner_id is not None and owner_id != player_id,
        starts_at=starts_at,
        expires_at=expires_at,
        limits=UsageLimits(per_user, total),
        used_count=used,
        redeemed_count=redeemed,
    )
    return FoundCode(code_id, code, coupon_id, name, item_id, owner_id, state)


def codes_of_player(
    tenant_id: str, player_id: UUID, *, limit: int, offset: int, now: datetime
) -> Listing[ShownCode]:
    """Return the codes that belong to the player or were redeemed by the player, newest first.

    Queries: 4.
    """
    values = {"player": player_id, "limit": limit, "offset": offset}
    total = _rows(f"SELECT count(*) FROM ({_OF_PLAYER}) AS mine", values)[0][0]  # noqa: S608
    page = f"{_OF_PLAYER} ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s"
    ids = [row[0] for row in _rows(page, values)]
    found = shown_codes(tenant_id, ids, now=now, player_id=player_id)
    return Listing(found[::-1], total)


def code_of_player(
    tenant_id: str, player_id: UUID, code_id: UUID, *, now: datetime
) -> ShownCode | None:
    """Return one of the player's codes, or ``None`` where it is not. Queries: 3."""
    mine = f"SELECT id FROM ({_OF_PLAYER}) AS mine WHERE id = %(id)s"  # noqa: S608
    if not _rows(mine, {"player": player_id, "id": code_id}):
        return None
    found = shown_codes(tenant_id, [code_id], now=now, player_id=player_id)
    return found[0] if found else None


def shown_codes(
    tenant_id: str, ids: Collection[UUID], *, now: datetime, player_id: UUID | None = None
) -> list[ShownCode]:
    """Return the codes in the order of their ids, as ``player_id`` or else as staff see them.

    Queries: 2.
    """
    if not ids:
        return []
    return _shown(tenant_id, _rows(_OF_IDS, {"ids": list(ids), "player": player_id, "now": now}))


def export_chunk(
    tenant_id: str, coupon_id: UUID, after: UUID, *, limit: int, now: datetime
) -> list[ShownCode]:
    """Return the next codes of a coupon behind ``after``, in the order of making. Queries: 2."""
    values = {"coupon": coupon_id, "tenant": tenant_id, "after": after, "limit": limit}
    return _shown(tenant_id, _rows(_OF_COUPON, {**values, "player": None, "now": now}))


def _shown(tenant_id: str, rows: Sequence[Sequence[Any]]) -> list[ShownCode]:
    found = book_of(tenant_id).items
    items = {item_id: shown_item(found[item_id]) for item_id in {row[-1] for row in rows}}
    return [ShownCode(*row[:-1], items[row[-1]]) for row in rows]  # type: ignore[call-arg]


def code_document(code: ShownCode) -> dict[str, Any]:
    """Return a code as contracts show it."""
    return {
        "id": str(code.code_id),
        "definition_id": str(code.coupon_id),
        "definition_name": code.coupon_name,
        "tenant_id": code.tenant_id,
        "user_id": code.user_id,
        "code": code.code,
        "status": code.status,
        "generated_at": code.created_at,
        "expires_at": code.expires_at,
        "redeemed_at": code.redeemed_at,
        "redemption_count": code.redemption_count,
        "coupon_type": "reward",
        "reward_item": code.reward_item,
    }


# --- Redemptions ---------------------------------------------------------------------------------


def redemptions_of_player(player_id: UUID, *, limit: int, offset: int) -> Listing[Redemption]:
    """Return the player's redemptions, newest first. Queries: 2."""
    return _redemptions(CouponRedemption.objects.filter(player=player_id), limit, offset)


def redemptions_of_coupon(coupon_id: UUID, *, limit: int, offset: int) -> Listing[Redemption]:
    """Return the coupon's redemptions, newest first. Queries: 2."""
    return _redemptions(CouponRedemption.objects.filter(coupon=coupon_id), limit, offset)


def redemption_view(row: CouponRedemption) -> Redemption:
    """Return a redemption as it is shown; ``row`` has code, player and grant with it."""
    names = ("item_id", "name", "description", "reward_type", "payload")
    return Redemption(
        redemption_id=row.pk,
        coupon_id=row.coupon_id,
        code_id=row.code_id,
        code=row.code.code,
        user_id=row.player.external_id,
        reward_item={name: row.grant.snapshot.get(name) for name in names},
        order_id=row.grant_id,
        redeemed_at=row.redeemed_at,
        status=row.status,
    )


def _redemptions(rows: QuerySet[CouponRedemption], limit: int, offset: int) -> Listing[Redemption]:
    ordered = rows.select_related("code", "player", "grant").order_by("-pk")
    page = _page(ordered, limit=limit, offset=offset)
    return Listing([redemption_view(row) for row in page.items], page.total)


def _page(rows: QuerySet[Any], *, limit: int, offset: int) -> Listing[Any]:
    return Listing(list(rows[offset : offset + limit]), rows.count())


def _rows(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cast("list[tuple[Any, ...]]", cursor.fetchall())


def _packed(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a statement with packed arrays, past Django's slower conversions."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        register(cursor)
        return cursor.execute(statement, values, binary=True).fetchall()
