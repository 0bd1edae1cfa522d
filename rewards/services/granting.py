"""Giving: the one way in which anything comes to a player (spec 03 section 1).

``GrantDesk`` is the part of a settlement that makes grants, delivers what they are of, moves them
from status to status and takes them back. Everything happens in memory until the settlement
writes; the players are locked, so what was read of their grants holds.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID, uuid5

from phoenix_site.common.documents import plain_number
from phoenix_site.common.exceptions import DomainError, UnavailableError
from phoenix_site.common.ids import uuid7
from phoenix_site.common.logging import get_logger
from rewards.exceptions import StateConflictError
from rewards.models import Badge, Grant, GrantMove, InventoryItem, LedgerTransaction
from rewards.rules.grants import CLAIMED, EVENTS, check_transition
from rewards.rules.items import MONEY_TYPES, item_cost, money_of
from rewards.services import bonus_calls, grant_store
from rewards.services.coupon_desk import CouponDesk
from rewards.services.freezes import FreezeDesk
from rewards.services.settlement import Settlement
from rewards.types.book import ItemView
from rewards.types.causes import Cause
from rewards.types.grants import GrantLine

__all__ = ["GrantDesk", "GrantLine", "item_of", "snapshot_of"]

log = get_logger(__name__)

_GROUPS: Final = UUID("6b3f3e5a-2f0c-5c1e-9a53-0d6a4f1f7c11")
_NOTE_LENGTH: Final = 500
_FINAL: Final = frozenset({"expired", "revoked"})


class _Source(NamedTuple):
    """What a player can be given each item of once (GRT-4)."""

    tenant_id: str
    source_type: str
    source_id: str
    player_id: UUID


class GrantDesk:
    """Makes, delivers and takes back grants within one settlement."""

    order: ClassVar[int] = 90

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        # Counted up from one that is random, so that ids have the order of what was given.
        self._ids = count(uuid7().int)
        self._known: dict[_Source, dict[tuple[UUID | None, int], Grant]] = {}
        self._new: dict[UUID, Grant] = {}
        self._changed: dict[UUID, Grant] = {}
        self._moves: list[GrantMove] = []
        self._things: list[Badge | InventoryItem] = []
        self._lost: set[UUID] = set()

    # --- Giving ----------------------------------------------------------------------------------

    def prepare_sources(self, sources: Collection[tuple[str, str, str, UUID]]) -> None:
        """Read at once what was given before from (tenant id, type, id, player) sources.

        ``give`` asks for each source that was not named here by itself. Queries: 1.
        """
        wanted = {_Source(*source) for source in sources} - self._known.keys()
        if not wanted:
            return
        self._known |= {source: {} for source in wanted}
        rows = Grant.objects.filter(
            tenant_id__in={each.tenant_id for each in wanted},
            source_type__in={each.source_type for each in wanted},
            source_id__in={each.source_id for each in wanted},
            player_id__in={each.player_id for each in wanted},
        )
        for grant in rows.order_by("pk").select_for_update():
            source = _Source(grant.tenant_id, grant.source_type, grant.source_id, grant.player_id)
            if source in wanted:
                self._known[source][grant.item_id, grant.ordinal] = grant

    def grants_of(self, source: tuple[str, str, str, UUID]) -> list[Grant]:
        """Return everything given from a source so far, oldest first. Queries: 1 or 0."""
        self.prepare_sources([source])
        return sorted(self._known[_Source(*source)].values(), key=lambda grant: grant.pk)

    def give(
        self,
        player_id: UUID,
        *,
        items: Sequence[GrantLine],
        cause: Cause,
        context: Mapping[str, Any],
        ordinal: int = 1,
        group: bool = True,
        is_new: bool = False,
        group_name: str = "",
    ) -> list[Grant]:
        """Give each item to the player and return the grants, in order.

        All lines of one call make a group unless ``group`` is false; ``group_name`` tells it from
        other groups of the same source. An item that stands twice gets the next ordinal. An item
        that needs no claim is delivered at once; one that cannot be delivered makes a grant that
        failed and says why.

        Repeats: what the source gave before is returned as it is; nothing is delivered again.
        ``is_new`` says that the cause guarantees a new source, so nobody needs to look.
        Queries: 1 or 0, see ``prepare_sources``; the operator's bonuses some of their own.
        """
        source = _Source(cause.tenant_id, cause.source_type, cause.source_id, player_id)
        if is_new:
            self._known.setdefault(source, {})
        else:
            self.prepare_sources([source])
        known, used, given = self._known[source], Counter[UUID | None](), list[Grant]()
        for index, line in enumerate(items):
            name = (line.item.pk, ordinal + used[line.item.pk])
            used[line.item.pk] += 1
            grant = known.get(name)
            if grant is None:
                grant = self._make(source, line, cause, ordinal=name[1])
                grant.context = dict(context)
                grant.group_total = len(items) if group else 1
                own = "" if group else f"{index}"
                grant.group_id = uuid5(_GROUPS, "\n".join((*map(str, source), group_name, own)))
                known[name] = grant
                self._begin(grant, line.item, cause)
            given.append(grant)
        return given

    def is_new(self, grant: Grant) -> bool:
        """Return whether the grant was made in this settlement."""
        return grant.pk in self._new

    def _make(self, source: _Source, line: GrantLine, cause: Cause, *, ordinal: int) -> Grant:
        book = self._settlement.book(source.tenant_id)
        cost = item_cost(line.item, book) if line.cost is None else line.cost
        grant = Grant(
            id=UUID(int=next(self._ids)),
            tenant_id=source.tenant_id,
            player_id=source.player_id,
            source_type=source.source_type,
            source_id=source.source_id,
            item_id=line.item.pk,
            ordinal=ordinal,
            snapshot=snapshot_of(line.item),
            status="",
            rule_id=cause.rule.pk if cause.rule else None,
            rule_version=cause.rule.version if cause.rule else None,
            firing_id=cause.rule.firing_id if cause.rule else None,
            cause_event_id=cause.event_id,
            depth=cause.depth,
            cost=cost,
            created_at=self._settlement.now,
            updated_at=self._settlement.now,
        )
        self._new[grant.pk] = grant
        return grant

    def _begin(self, grant: Grant, item: ItemView, cause: Cause) -> None:
        if item.claim == "player":
            if item.claim_within_s is not None:
                grant.claim_by = self._settlement.now + timedelta(seconds=item.claim_within_s)
            self.move(grant, "unclaimed", actor=cause.actor, reason=cause.reason)
        else:
            self.deliver(grant, cause=cause)

    # --- Claiming and delivering -----------------------------------------------------------------

    def claim(self, grant: Grant, *, actor: str, reason: str = "") -> None:
        """Deliver what waited for its player (GRT-7).

        Raises: ``StateConflictError`` for a grant that is expired or revoked; ``is_over`` ones
        have to be expired before. Repeats: a claimed grant stays as it is.
        """
        if grant.status in CLAIMED:
            return
        if grant.status != Grant.Status.UNCLAIMED or self.is_over(grant):
            raise StateConflictError(f"The grant is {grant.status} and cannot be claimed.")
        self.deliver(grant, cause=grant_store.cause_of(grant, actor=actor, reason=reason))
        self._tell(grant, "reward.claimed", at=self._settlement.now)

    def is_over(self, grant: Grant) -> bool:
        """Return whether the time to claim the grant has passed."""
        return (
            grant.status == Grant.Status.UNCLAIMED
            and grant.claim_by is not None
            and grant.claim_by <= self._settlement.now
        )

    def deliver(self, grant: Grant, *, cause: Cause) -> None:
        """Begin to deliver a grant that is new, unclaimed or failed, and end it where possible."""
        self.move(grant, "processing", actor=cause.actor, reason=cause.reason)
        try:
            is_done = _DELIVERIES[grant.snapshot["reward_type"]](self, grant, cause)
        except UnavailableError:
            raise
        except DomainError as exc:
            # Refused for good: the grant says why, and staff may try again.
            grant.note = exc.message[:_NOTE_LENGTH]
            self.move(grant, "failed", actor=cause.actor, reason=exc.message)
            log.warning("grant.failed", grant=str(grant.pk), code=exc.code)
            return
        if is_done:
            self.move(grant, "granted", actor=cause.actor, at=cause.occurred_at)

    def _deliver_money(self, grant: Grant, cause: Cause) -> bool:
        money = money_of(item_of(grant), self._settlement.book(grant.tenant_id))
        if money is None:
            raise StateConflictError("The tenant no longer has the currency.")
        currency, amount = money
        self._settlement.credit(
            grant.player_id,
            currency,
            amount,
            cause=replace(cause, kind="grant", id=str(grant.pk)),
            key=_ledger_key(grant),
        )
        return True

    def _deliver_badge(self, grant: Grant, _cause: Cause) -> bool:
        payload = grant.snapshot["payload"]
        self._things.append(
            Badge(
                player_id=grant.player_id,
                grant_id=grant.pk,
                badge_id=payload["badge_id"],
                tier=payload.get("tier") or "",
                granted_at=self._settlement.now,
            )
        )
        return True

    def _deliver_thing(self, grant: Grant, _cause: Cause) -> bool:
        payload = grant.snapshot["payload"]
        self._things.append(
            InventoryItem(
                player_id=grant.player_id,
                grant_id=grant.pk,
                item_key=payload["item_id"],
                quantity=payload.get("quantity", 1),
                granted_at=self._settlement.now,
            )
        )
        return True

    def _deliver_freezes(self, grant: Grant, cause: Cause) -> bool:
        payload = grant.snapshot["payload"]
        streak_id = payload.get("streak_id")
        self._settlement.part(FreezeDesk).add(
            grant.player_id,
            None if streak_id is None else UUID(streak_id),
            payload.get("count", 1),
            cause=cause,
            grant_id=grant.pk,
        )
        return True

    def _deliver_coupon(self, grant: Grant, cause: Cause) -> bool:
        coupon_id = UUID(grant.snapshot["payload"]["coupon_id"])
        desk = self._settlement.part(CouponDesk)
        assigned = desk.assign(grant.player_id, coupon_id, cause, grant_id=grant.pk)
        grant.context = {
            **grant.context,
            "given_code": assigned.code,
            "given_code_id": str(assigned.code_id),
        }
        return True

    def _deliver_by_hand(self, _grant: Grant, _cause: Cause) -> bool:
        return False

    def _deliver_bonus(self, grant: Grant, _cause: Cause) -> bool:
        user_id = self._settlement.facts[grant.player_id].external_id
        bonus_calls.owe_call(grant, user_id=user_id, now=self._settlement.now)
        return False

    # --- Taking back -----------------------------------------------------------------------------

    def revoke(self, grant: Grant, *, actor: str, reason: str, clip: bool = False) -> Decimal:
        """Take back what was given; return what could not be taken back of money.

        Money is reversed (LED-6). With ``clip`` a wallet that is too small gives what it has.

        Raises: ``StateConflictError`` for a grant that is expired or revoked,
        ``InsufficientBalanceError``.
        """
        check_transition(grant.status, "revoked")
        shortfall = Decimal(0)
        if grant.status == Grant.Status.GRANTED:
            shortfall = self._take_back(grant, actor=actor, reason=reason, clip=clip)
        elif grant.snapshot["reward_type"] == "bonus_offer":
            bonus_calls.drop_call(grant, now=self._settlement.now)
        grant.note = reason[:_NOTE_LENGTH]
        if shortfall:
            grant.context = {**grant.context, "shortfall": plain_number(shortfall)}
        self.move(grant, "revoked", actor=actor, reason=reason)
        return shortfall

    def _take_back(self, grant: Grant, *, actor: str, reason: str, clip: bool) -> Decimal:
        if grant.snapshot["reward_type"] in MONEY_TYPES:
            return self._take_money(grant, actor=actor, reason=reason, clip=clip)
        if grant.snapshot["reward_type"] == "coupon":
            self._settlement.part(CouponDesk).take_back([grant.pk], reason=reason)
            return Decimal(0)
        if grant.snapshot["reward_type"] == "streak_freeze":
            cause = grant_store.cause_of(grant, actor=actor, reason=reason)
            self._settlement.part(FreezeDesk).take_back(grant.pk, cause=cause)
            return Decimal(0)
        self._lost.add(grant.pk)
        return Decimal(0)

    def _take_money(self, grant: Grant, *, actor: str, reason: str, clip: bool) -> Decimal:
        credit = LedgerTransaction.objects.filter(
            tenant_id=grant.tenant_id, idempotency_key=_ledger_key(grant)
        ).first()
        # Staff may have reversed the transaction itself before.
        if credit is None or LedgerTransaction.objects.filter(reverses=credit).exists():
            return Decimal(0)
        line = credit.postings.select_related("account__currency").get(
            account__kind="wallet", account__player_id=grant.player_id
        )
        book = self._settlement.book(grant.tenant_id)
        currency = book.currencies_by_pk[line.account.currency_id]
        available = self._settlement.wallet(grant.player_id, currency).available
        amount = min(line.amount, available) if clip else line.amount
        if amount > 0:
            self._settlement.take(
                grant.player_id,
                currency,
                amount,
                cause=grant_store.cause_of(grant, actor=actor, reason=reason),
                key=f"revoke:{grant.pk}",
                reverses=credit.pk,
            )
        return Decimal(line.amount - amount)

    # --- Moves -----------------------------------------------------------------------------------

    def move(
        self,
        grant: Grant,
        to: str,
        *,
        actor: str = "",
        reason: str = "",
        at: datetime | None = None,
    ) -> None:
        """Move the grant to a status, stamped; ``at`` is the time of the event that is appended.

        Raises: ``StateConflictError`` for a move that no grant makes.
        """
        check_transition(grant.status, to)
        self._moves.append(
            GrantMove(
                grant_id=grant.pk,
                from_status=grant.status,
                to_status=to,
                at=self._settlement.now,
                actor=actor[:255],
                reason=reason[:_NOTE_LENGTH],
            )
        )
        grant.status = to
        if grant.pk not in self._new:
            self._changed[grant.pk] = grant
        if to in EVENTS:
            self._tell(grant, EVENTS[to], at=at or self._settlement.now)

    def note_change(self, grant: Grant) -> None:
        """Store what was changed of the grant beside its status."""
        if grant.pk not in self._new:
            self._changed[grant.pk] = grant

    def _tell(self, grant: Grant, name: str, *, at: datetime) -> None:
        user_id = self._settlement.facts[grant.player_id].external_id
        event = grant_store.event_of(grant, name, user_id=user_id, at=at)
        if event is not None:
            self._settlement.emit(event)

    def write(self) -> None:
        """Store grants, moves and things. Queries: at most 7."""
        if self._new:
            grant_store.insert_grants(self._new.values())
        if self._changed:
            grant_store.update_grants(self._changed.values(), now=self._settlement.now)
        if self._moves:
            grant_store.store_moves(self._moves)
        Badge.objects.bulk_create([each for each in self._things if isinstance(each, Badge)])
        InventoryItem.objects.bulk_create(
            [each for each in self._things if isinstance(each, InventoryItem)]
        )
        if self._lost:
            grant_store.lost_things(self._lost, now=self._settlement.now)


_Delivery = Callable[[GrantDesk, Grant, Cause], bool]
# By reward type: deliver, and say whether nothing is left to be done.
_DELIVERIES: Final[Mapping[str, _Delivery]] = {
    "currency": GrantDesk._deliver_money,  # noqa: SLF001 - its own
    "points": GrantDesk._deliver_money,  # noqa: SLF001
    "badge": GrantDesk._deliver_badge,  # noqa: SLF001
    "item": GrantDesk._deliver_thing,  # noqa: SLF001
    "coupon": GrantDesk._deliver_coupon,  # noqa: SLF001
    "streak_freeze": GrantDesk._deliver_freezes,  # noqa: SLF001
    "physical_item": GrantDesk._deliver_by_hand,  # noqa: SLF001
    "bonus_offer": GrantDesk._deliver_bonus,  # noqa: SLF001
}


def snapshot_of(item: ItemView) -> dict[str, Any]:
    """Return the item as a grant keeps it: later edits change only later grants (GRT-1)."""
    return {
        "item_id": None if item.pk is None else str(item.pk),
        "name": item.name,
        "description": item.description,
        "image_url": item.image_url,
        "reward_type": item.reward_type,
        "payload": dict(item.payload),
        "unit_cost": plain_number(item.unit_cost),
    }


def item_of(grant: Grant) -> ItemView:
    """Return the item that the grant is of, as it was when it was given."""
    kept = grant.snapshot
    return ItemView(
        pk=grant.item_id,
        name=kept["name"],
        reward_type=kept["reward_type"],
        payload=kept["payload"],
        description=kept["description"],
        image_url=kept["image_url"],
        unit_cost=Decimal(str(kept["unit_cost"])),
    )


def _ledger_key(grant: Grant) -> str:
    return f"grant:{grant.pk}"
