"""Redeeming codes (CPN-3 to CPN-5), and taking a redemption back (CPN-8).

Redemptions that come at the same time share one transaction, in which nothing costs more for many
of them than for one. It holds all of them or none: when a slot is gone, each is tried by itself.

Locks are taken in one order everywhere: the players, the codes, the players' counts, and last the
coupons' counts, which all who redeem their codes share. So those are held for the commit only.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction

from phoenix_site.common.arrays import BooleanArray, UuidArray
from phoenix_site.common.exceptions import (
    DomainError,
    NotAllowedError,
    NotFoundError,
)
from phoenix_site.common.ids import uuid7
from phoenix_site.common.logging import get_logger
from players.selectors import facts_for
from players.services.registration import ensure_players
from players.types import PlayerFacts, PlayerKey
from rewards.exceptions import (
    CouponAlreadyRedeemedError,
    CouponExpiredError,
    CouponInactiveError,
    CouponLimitReachedError,
    CouponNotStartedError,
    CouponVoidError,
    PlayerBlockedError,
)
from rewards.rules.coupons import find_refusal
from rewards.selectors import coupon_codes as selectors
from rewards.selectors.coupons import shown_item
from rewards.services import coupon_failures
from rewards.services.granting import GrantDesk, GrantLine
from rewards.services.pipe import settling
from rewards.services.settlement import Settlement
from rewards.services.statements import run
from rewards.types.causes import Cause, child_event
from rewards.types.coupons import FoundCode, RedeemAsk, Redemption, Refusal, TypedCode

__all__ = ["Validation", "redeem", "redeem_together", "validate"]

log = get_logger(__name__)

# What came of one ask; an exception that is no refusal is a fault of ours.
Outcome = Redemption | Exception

_REFUSALS: Final[Mapping[Refusal, tuple[type[DomainError], str]]] = {
    "not_found": (NotFoundError, "There is no such code."),
    "other_player": (NotAllowedError, "The code belongs to another player."),
    "void": (CouponVoidError, "The code is void."),
    "inactive": (CouponInactiveError, "The coupon is not active."),
    "not_started": (CouponNotStartedError, "The coupon cannot be redeemed yet."),
    "expired": (CouponExpiredError, "The coupon has expired."),
    "already_redeemed": (CouponAlreadyRedeemedError, "The code is redeemed already."),
    "usage_limit_reached": (
        CouponLimitReachedError,
        "The coupon was redeemed as often as it may be.",
    ),
}

_CLAIM_CODES: Final = """
UPDATE rewards_couponcode AS code SET status = 'redeemed', redeemed_at = %(now)s
FROM unnest(%(codes)b) AS claimed (id)
WHERE code.id = claimed.id AND code.status = 'active'
RETURNING code.id
"""
_CLAIM_USES: Final = """
INSERT INTO rewards_couponuse AS use (coupon_id, player_id, count)
SELECT coupon_id, player_id, 1 FROM unnest(%(coupons)b, %(players)b) AS new (coupon_id, player_id)
ON CONFLICT (coupon_id, player_id) DO UPDATE SET count = use.count + 1
WHERE use.count < coalesce(
    (SELECT per_user_limit FROM rewards_coupon WHERE id = excluded.coupon_id), 2147483647
)
RETURNING id
"""
_WRITE: Final = """
INSERT INTO rewards_couponredemption
    (id, tenant_id, coupon_id, code_id, player_id, grant_id, uses_up_code, is_once_per_player,
     redeemed_at, reversed_by, reversal_reason)
SELECT new.id, coupon.tenant_id, coupon.id, new.code_id, new.player_id, new.grant_id,
       NOT new.is_shared, new.is_shared AND coalesce(coupon.per_user_limit = 1, false),
       %(now)s, '', ''
FROM unnest(%(ids)b, %(coupons)b, %(codes)b, %(players)b, %(grants)b, %(is_shared)b)
    AS new (id, coupon_id, code_id, player_id, grant_id, is_shared)
JOIN rewards_coupon AS coupon ON coupon.id = new.coupon_id
"""
_COUNT: Final = """
UPDATE rewards_coupontally AS tally SET redeemed = redeemed + %(count)s
FROM rewards_coupon AS coupon
WHERE tally.coupon_id = %(coupon)s AND coupon.id = tally.coupon_id
  AND (coupon.total_limit IS NULL OR tally.redeemed + %(count)s <= coupon.total_limit)
RETURNING tally.coupon_id
"""


class _SlotsGoneError(Exception):
    """A code, or a slot of a limit, was taken by somebody else meanwhile."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What redeeming a code would come to; ``reason`` is ``None`` where it would work."""

    reason: Refusal | None
    coupon: Mapping[str, Any] | None = None
    reward_item: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Claim:
    """A redemption on its way: who redeems what, and what it will be called."""

    ask: RedeemAsk
    found: FoundCode
    facts: PlayerFacts
    redemption_id: UUID


# --- Validating ----------------------------------------------------------------------------------


def validate(tenant_id: str, user_id: str, typed: str, *, now: datetime) -> Validation:
    """Say whether the player could redeem the code now, without changing anything (CPN-5).

    Raises: ``RateLimitedError`` after too many failures.
    """
    with coupon_failures.attempting(tenant_id, user_id) as attempt:
        facts = facts_for([(tenant_id, user_id)], now=now).get((tenant_id, user_id))
        player_id = None if facts is None else facts.player_id
        found = selectors.find_code(tenant_id, typed, player_id)
        reason = "not_found" if found is None else find_refusal(found.state, now)
        if found is None or reason is not None:
            attempt.fail()
            return Validation(reason)
    coupon = selectors.shown_codes(tenant_id, [found.code_id], now=now, player_id=player_id)[0]
    return Validation(None, selectors.code_document(coupon), coupon.reward_item)


# --- Redeeming -----------------------------------------------------------------------------------


def redeem(tenant_id: str, user_id: str, typed: str, *, now: datetime) -> Redemption:
    """Redeem a code for the player, who is made if missing, and give what it is worth.

    Raises: ``PlayerBlockedError`` (RUL-7), ``NotFoundError`` and the refusals of CPN-4, in its
    order; ``RateLimitedError`` after too many of them. Nothing is left behind then.
    Locks: the player, the code, the player's count, and last the coupon's.
    """
    (outcome,) = redeem_together([RedeemAsk(tenant_id, user_id, typed)], now=now)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def redeem_together(asks: Sequence[RedeemAsk], *, now: datetime) -> list[Outcome]:
    """Do what ``redeem`` does for each of the asks; return what it returns or raises, in order.

    Queries: the same number for one as for many, unless they get into each other's way.
    Locks: as ``redeem``, each kind in the order of keys.
    """
    players = [(ask.tenant_id, ask.user_id) for ask in asks]
    outcomes: dict[int, Outcome] = {
        place: refused
        for place, refused in enumerate(coupon_failures.begin(players))
        if refused is not None
    }
    waiting = {place: ask for place, ask in enumerate(asks) if place not in outcomes}
    outcomes |= _redeem_all(waiting, now)
    # Who has to wait has failed often enough; further attempts do not prolong it.
    has_failed = [place for place in waiting if coupon_failures.is_failure(outcomes[place])]
    coupon_failures.take_off([players[place] for place in waiting if place not in has_failed])
    return [outcomes[place] for place in range(len(asks))]


def _redeem_all(asks: Mapping[int, RedeemAsk], now: datetime) -> dict[int, Outcome]:
    """Redeem in one transaction whatever can share it, and the rest one by one."""
    first: dict[PlayerKey, int] = {}
    for place, ask in asks.items():
        first.setdefault((ask.tenant_id, ask.user_id), place)
    together = {place: asks[place] for place in first.values()}
    outcomes: dict[int, Outcome] = {}
    if len(together) > 1:
        try:
            outcomes |= _settle(together, now)
        except _SlotsGoneError:
            log.debug("redemptions.apart", count=len(together))
        except Exception as exc:  # noqa: BLE001
            # Whatever it is, it may be the fault of one of them: each gets its own answer.
            log.warning("redemptions.apart", count=len(together), error=type(exc).__name__)
            outcomes |= dict.fromkeys(together, exc) if _is_lost(exc) else {}
    for place, ask in asks.items():
        if place not in outcomes:
            outcomes[place] = _redeem_alone(ask, now)
    return outcomes


def _is_lost(error: Exception) -> bool:
    """Return whether nobody knows what was committed: then nothing may be done again."""
    return isinstance(error, OperationalError | InterfaceError) and not connection.is_usable()


def _redeem_alone(ask: RedeemAsk, now: datetime) -> Outcome:
    try:
        return _settle({0: ask}, now)[0]
    except _SlotsGoneError:
        return _why_not(ask, now)
    except Exception as exc:  # noqa: BLE001 - raised where it was asked for
        return exc


def _why_not(ask: RedeemAsk, now: datetime) -> DomainError:
    """Return what somebody else's redemption, committed meanwhile, left for this one."""
    key = (ask.tenant_id, ask.user_id)
    facts = facts_for([key], now=now).get(key)
    player_id = None if facts is None else facts.player_id
    found = selectors.find_code(ask.tenant_id, ask.typed, player_id)
    reason = "not_found" if found is None else find_refusal(found.state, now)
    return _refused(reason or "already_redeemed")


def _refused(reason: Refusal) -> DomainError:
    kind, message = _REFUSALS[reason]
    return kind(message)


@transaction.atomic
def _settle(asks: Mapping[int, RedeemAsk], now: datetime) -> dict[int, Outcome]:
    """Redeem for different players at once; refuse what cannot be redeemed, before any write.

    Raises: ``_SlotsGoneError``; then nothing was done for anybody.
    """
    outcomes, found, facts = _judge(asks, now)
    missing = {key for place in found if (key := _key(asks[place])) not in facts}
    if missing:
        ensure_players(missing, now=now)
        facts |= facts_for(missing, now=now)
    claims = {
        place: _Claim(asks[place], each, facts[_key(asks[place])], uuid7())
        for place, each in found.items()
    }
    if claims:
        outcomes |= _give(claims, now)
    return outcomes


def _key(ask: RedeemAsk) -> PlayerKey:
    return ask.tenant_id, ask.user_id


def _judge(
    asks: Mapping[int, RedeemAsk], now: datetime
) -> tuple[dict[int, Outcome], dict[int, FoundCode], dict[PlayerKey, PlayerFacts]]:
    """Return the refusals, the codes of the others, and the players who are known already."""
    facts = facts_for({_key(ask) for ask in asks.values()}, now=now)
    typed = [
        TypedCode(ask.tenant_id, ask.typed, known.player_id if known else None)
        for ask in asks.values()
        for known in [facts.get(_key(ask))]
    ]
    outcomes: dict[int, Outcome] = {}
    passed: dict[int, FoundCode] = {}
    for place, code in zip(asks, selectors.find_codes(typed), strict=True):
        known = facts.get(_key(asks[place]))
        if known is not None and (known.is_opted_out or known.is_blocked("rewards")):
            outcomes[place] = PlayerBlockedError("The player may not redeem codes.")
            continue
        reason = "not_found" if code is None else find_refusal(code.state, now)
        if code is None or reason is not None:
            outcomes[place] = _refused(reason or "not_found")
        else:
            passed[place] = code
    return outcomes, passed, facts


def _give(claims: Mapping[int, _Claim], now: datetime) -> dict[int, Outcome]:
    facts = {claim.facts.player_id: claim.facts for claim in claims.values()}
    grants: dict[int, UUID] = {}
    done: dict[int, Outcome] = {}
    with settling(facts.keys(), now=now, facts=facts) as settlement:
        for place, claim in claims.items():
            items = settlement.book(claim.ask.tenant_id).items
            grants[place] = _grant(settlement, claim)
            done[place] = Redemption(
                redemption_id=claim.redemption_id,
                coupon_id=claim.found.coupon_id,
                code_id=claim.found.code_id,
                code=claim.found.code,
                user_id=claim.ask.user_id,
                reward_item=shown_item(items[claim.found.item_id]),
                order_id=grants[place],
                redeemed_at=now,
                status="redeemed",
            )
    _take_slots(list(claims.values()), [grants[place] for place in claims], now)
    return done


def _grant(settlement: Settlement, claim: _Claim) -> UUID:
    """Give what the code is worth, and tell the log; return the grant."""
    found, ask, redemption_id = claim.found, claim.ask, str(claim.redemption_id)
    cause = Cause(
        tenant_id=ask.tenant_id,
        source_type="coupon",
        source_id=redemption_id,
        kind="redemption",
        id=redemption_id,
        occurred_at=settlement.now,
        actor=ask.user_id,
    )
    (grant,) = settlement.part(GrantDesk).give(
        claim.facts.player_id,
        items=[GrantLine(settlement.book(ask.tenant_id).items[found.item_id])],
        cause=cause,
        context={"coupon_code": found.code, "coupon_id": str(found.coupon_id)},
        is_new=True,
    )
    attrs = {
        "coupon_id": str(found.coupon_id),
        "code_id": str(found.code_id),
        "code": found.code,
        "redemption_id": redemption_id,
        "grant_id": str(grant.pk),
    }
    event_id = f"coupon.redeemed:{redemption_id}"
    settlement.emit(
        child_event(
            cause,
            "coupon.redeemed",
            event_id=event_id,
            user_id=ask.user_id,
            attrs=attrs,
            occurred_at=settlement.now,
        )
    )
    return grant.pk


def _take_slots(claims: Sequence[_Claim], grants: Sequence[UUID], now: datetime) -> None:
    """Use up codes and counts, each only if it is still there. Raises: ``_SlotsGoneError``."""
    own = [claim.found.code_id for claim in claims if not claim.found.state.is_shared]
    if own and len(run(_CLAIM_CODES, {"codes": UuidArray(sorted(own)), "now": now})) < len(own):
        raise _SlotsGoneError
    columns = {
        "now": now,
        "ids": UuidArray(claim.redemption_id for claim in claims),
        "coupons": UuidArray(claim.found.coupon_id for claim in claims),
        "codes": UuidArray(claim.found.code_id for claim in claims),
        "players": UuidArray(claim.facts.player_id for claim in claims),
        "grants": UuidArray(grants),
        "is_shared": BooleanArray(claim.found.state.is_shared for claim in claims),
    }
    if len(run(_CLAIM_USES, columns)) < len(claims):
        raise _SlotsGoneError
    run(_WRITE, columns)
    for coupon_id, count in sorted(Counter(claim.found.coupon_id for claim in claims).items()):
        if not run(_COUNT, {"coupon": coupon_id, "count": count}):
            raise _SlotsGoneError
