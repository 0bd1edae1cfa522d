"""Holds: amounts set aside for a payment that comes later, or does not (LED-4)."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar, Final
from uuid import UUID

from phoenix_site.common.arrays import BigintArray, TextArray, TimeArray, UuidArray
from phoenix_site.common.exceptions import InvalidInputError, NotFoundError
from rewards.constants import DEFAULT_HOLD_HOURS
from rewards.exceptions import HoldClosedError, HoldExceededError, NotSpendableError
from rewards.rules.lots import Draw, is_due
from rewards.services.settlement import Settlement
from rewards.services.statements import run
from rewards.types.book import CurrencyView
from rewards.types.causes import Cause
from rewards.types.money import EXACT, ZERO, AccountState, Movement, WalletState

__all__ = ["HoldDesk", "HoldState"]

_READ: Final = """
SELECT id, player_id, currency_id, reference, expires_at, amount, captured, released
FROM rewards_hold WHERE id = ANY (%(ids)b) ORDER BY id FOR NO KEY UPDATE
"""
_READ_DRAWS: Final = """
SELECT draw.hold_id, draw.lot_id, draw.amount
FROM rewards_lotdraw AS draw JOIN rewards_lot AS lot ON lot.id = draw.lot_id
WHERE draw.hold_id = ANY (%(ids)b) AND draw.amount > 0
ORDER BY lot.expires_at NULLS LAST, lot.id
"""
_WRITE: Final = """
INSERT INTO rewards_hold AS hold (
    id, tenant_id, player_id, currency_id, amount, captured, released, reference, status,
    expires_at, created_at, updated_at
)
SELECT id, tenant_id, player_id, currency_id, amount::numeric, captured::numeric,
    released::numeric, reference,
    CASE WHEN amount::numeric = captured::numeric + released::numeric
        THEN 'closed' ELSE 'open' END,
    expires_at, %(now)s, %(now)s
FROM unnest(
    %(ids)b, %(tenants)b, %(players)b, %(currencies)b, %(amounts)b, %(captured)b, %(released)b,
    %(references)b, %(expiries)b
) AS new (
    id, tenant_id, player_id, currency_id, amount, captured, released, reference, expires_at
)
ON CONFLICT (id) DO UPDATE SET
    captured = excluded.captured, released = excluded.released, status = excluded.status,
    updated_at = excluded.updated_at
"""
_WRITE_DRAWS: Final = """
INSERT INTO rewards_lotdraw AS draw (hold_id, lot_id, amount)
SELECT hold_id, lot_id, amount::numeric
FROM unnest(%(holds)b, %(lots)b, %(amounts)b) AS new (hold_id, lot_id, amount)
ON CONFLICT (hold_id, lot_id) DO UPDATE SET amount = excluded.amount
"""


@dataclass(slots=True)
class HoldState:
    """A hold after everything so far; its id is that of the transaction that made it.

    ``draws`` are what of each lot it still holds, what expires first in front.
    """

    id: UUID
    player_id: UUID
    currency: CurrencyView
    reference: str
    expires_at: datetime
    amount: Decimal
    captured: Decimal = ZERO
    released: Decimal = ZERO
    draws: list[Draw] = field(default_factory=list)

    @property
    def remaining(self) -> Decimal:
        """Return what is neither captured nor released."""
        return EXACT.subtract(self.amount, EXACT.add(self.captured, self.released))


class HoldDesk:
    """The part of a settlement that opens, captures and releases holds."""

    order: ClassVar[int] = 10

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._holds: dict[UUID, HoldState] = {}
        self._changed: dict[UUID, HoldState] = {}
        # Draws that have a row, so that one used up is written as nothing.
        self._stored: dict[UUID, list[Draw]] = defaultdict(list)

    def open(
        self,
        player_id: UUID,
        currency: CurrencyView,
        amount: Decimal,
        *,
        reference: str,
        cause: Cause,
        key: str,
        expires_at: datetime | None = None,
    ) -> HoldState:
        """Move ``amount`` from a wallet into its escrow.

        Raises: ``NotSpendableError``, ``InsufficientBalanceError``, ``InvalidInputError``,
        ``PostingConflictError``. Repeats: as ``Settlement.credit``; the first hold is returned.
        """
        at = self._settlement
        at.check_amount(currency, amount)
        if not currency.is_spendable:
            raise NotSpendableError(f"{currency.currency_id} cannot be held.")
        expires_at = expires_at or at.now + timedelta(hours=DEFAULT_HOLD_HOURS)
        if expires_at <= at.now:
            raise InvalidInputError("A hold must end in the future.")
        wallet = at.wallet(player_id, currency)
        lines = [(wallet.wallet, -amount), (wallet.escrow, amount)]
        first = at.drafts.repeated(key, "hold", lines, wallet.wallet, tenant_id=cause.tenant_id)
        if first is not None:
            return self.get(first.transaction_id)
        at.lots.check(wallet, amount)
        draft = at.drafts.post("hold", lines, cause=cause, key=key, player_id=player_id)
        hold = HoldState(draft.id, player_id, currency, reference, expires_at, amount)
        hold.draws = at.lots.draw(wallet, amount)
        self._holds[hold.id] = self._changed[hold.id] = hold
        return hold

    def get(self, hold_id: UUID) -> HoldState:
        """Return a hold of the settlement's players. Raises: ``NotFoundError``. Queries: 0 to 3."""
        if hold_id not in self._holds:
            self.load([hold_id])
        return self._holds[hold_id]

    def load(self, hold_ids: Collection[UUID]) -> None:
        """Read holds of the settlement's players, set-wise.

        Raises: ``NotFoundError`` unless all of them are there. Locks: the holds. Queries: 2 or 3.
        """
        at, ids = self._settlement, UuidArray(hold_ids)
        for hold_id, player_id, currency_pk, *rest in run(_READ, {"ids": ids}):
            if player_id in at.tenants:
                book = at.book(at.tenants[player_id])
                currency = book.currencies_by_pk[currency_pk]
                self._holds[hold_id] = HoldState(hold_id, player_id, currency, *rest)
        if not set(hold_ids) <= self._holds.keys():
            raise NotFoundError("There is no such hold.")
        drawn = run(_READ_DRAWS, {"ids": ids})
        lots = at.lots.by_ids([lot_id for _, lot_id, _ in drawn])
        for hold_id, lot_id, amount in drawn:
            self._holds[hold_id].draws.append(Draw(lots[lot_id], amount))
            self._stored[hold_id].append(Draw(lots[lot_id], amount))

    def capture(
        self, hold_id: UUID, amount: Decimal | None, target: AccountState, *, cause: Cause, key: str
    ) -> Movement:
        """Pay ``amount`` of a hold (``None``: the rest) to an account of the house.

        Raises: ``HoldClosedError``, ``HoldExceededError``, ``NotFoundError``,
        ``InvalidInputError``, ``PostingConflictError``. Repeats: as ``Settlement.credit``.
        """
        hold, wallet = self._find(hold_id)
        first = self._repeat(hold, wallet, amount, target, kind="capture", key=key)
        if first is not None:
            return first
        amount = self._check(hold, amount)
        lines = [(wallet.escrow, -amount), (target, amount)]
        draft = self._settlement.drafts.post(
            "capture", lines, cause=cause, key=key, player_id=hold.player_id
        )
        # What is paid is what would have expired first.
        hold.draws, _taken = _split(hold.draws, amount)
        hold.captured = EXACT.add(hold.captured, amount)
        self._changed[hold.id] = hold
        return Movement(draft.id, wallet.available)

    def release(self, hold_id: UUID, amount: Decimal | None, *, cause: Cause, key: str) -> Movement:
        """Give ``amount`` of a hold (``None``: the rest) back, into the lots it came from.

        Raises, repeats: as ``capture``. What expired meanwhile is posted as expired.
        """
        hold, wallet = self._find(hold_id)
        first = self._repeat(hold, wallet, amount, wallet.wallet, kind="release", key=key)
        if first is not None:
            return first
        amount = self._check(hold, amount)
        lines = [(wallet.escrow, -amount), (wallet.wallet, amount)]
        draft = self._settlement.drafts.post(
            "release", lines, cause=cause, key=key, player_id=hold.player_id
        )
        # What comes back is what lasts longest; what was drawn from no lot lasts for ever.
        lasting = EXACT.subtract(hold.remaining, _total(hold.draws))
        drawn = max(ZERO, EXACT.subtract(amount, lasting))
        rest, returned = _split(hold.draws[::-1], drawn)
        hold.draws = rest[::-1]
        hold.released = EXACT.add(hold.released, amount)
        self._changed[hold.id] = hold
        self._return(wallet, amount, returned, draft.id)
        return Movement(draft.id, wallet.available)

    def write(self) -> None:
        """Store holds and what they hold of lots. Queries: 0 to 2."""
        if not self._changed:
            return
        holds = list(self._changed.values())
        run(
            _WRITE,
            {
                "now": self._settlement.now,
                "ids": UuidArray(hold.id for hold in holds),
                "tenants": TextArray(hold.currency.tenant_id for hold in holds),
                "players": UuidArray(hold.player_id for hold in holds),
                "currencies": UuidArray(hold.currency.pk for hold in holds),
                "amounts": TextArray(str(hold.amount) for hold in holds),
                "captured": TextArray(str(hold.captured) for hold in holds),
                "released": TextArray(str(hold.released) for hold in holds),
                "references": TextArray(hold.reference for hold in holds),
                "expiries": TimeArray(hold.expires_at for hold in holds),
            },
        )
        self._write_draws(holds)

    # --- Own -------------------------------------------------------------------------------------

    def _find(self, hold_id: UUID) -> tuple[HoldState, WalletState]:
        hold = self.get(hold_id)
        return hold, self._settlement.wallet(hold.player_id, hold.currency)

    def _repeat(
        self,
        hold: HoldState,
        wallet: WalletState,
        amount: Decimal | None,
        target: AccountState,
        *,
        kind: str,
        key: str,
    ) -> Movement | None:
        tenant_id = hold.currency.tenant_id
        if amount is None:
            # What "the rest" was then, nobody knows now: the key alone tells a repeat.
            posted = self._settlement.drafts.posted_under(tenant_id, key)
            return None if posted is None else Movement(posted, wallet.available, is_repeat=True)
        lines = [(wallet.escrow, -amount), (target, amount)]
        return self._settlement.drafts.repeated(
            key, kind, lines, wallet.wallet, tenant_id=tenant_id
        )

    def _check(self, hold: HoldState, amount: Decimal | None) -> Decimal:
        remaining = hold.remaining
        if remaining == 0:
            raise HoldClosedError("Nothing of the hold is left.")
        if amount is None:
            return remaining
        self._settlement.check_amount(hold.currency, amount)
        if amount > remaining:
            raise HoldExceededError(f"Only {remaining.normalize():f} of the hold are left.")
        return amount

    def _return(
        self, wallet: WalletState, amount: Decimal, returned: Sequence[Draw], draft_id: UUID
    ) -> None:
        at = self._settlement
        at.lots.give_back(returned)
        undrawn = amount
        for lot, taken in returned:
            undrawn = EXACT.subtract(undrawn, taken)
            if is_due(lot, at.now):
                at.expire(lot, key=f"expire:{lot.id}:{draft_id}", at=at.now)
        if undrawn > 0 and wallet.has_lots:
            # Held before the wallet had its first lot: it does not expire.
            at.lots.add(wallet, undrawn, expires_at=None, transaction_id=draft_id, now=at.now)

    def _write_draws(self, holds: Sequence[HoldState]) -> None:
        rows: dict[tuple[UUID, int], Decimal] = {}
        for hold in holds:
            for lot, _amount in self._stored[hold.id]:
                rows[(hold.id, lot.id or 0)] = ZERO
            for lot, amount in hold.draws:
                rows[(hold.id, lot.id or 0)] = amount
        if rows:
            run(
                _WRITE_DRAWS,
                {
                    "holds": UuidArray(hold_id for hold_id, _ in rows),
                    "lots": BigintArray(lot_id for _, lot_id in rows),
                    "amounts": TextArray(str(amount) for amount in rows.values()),
                },
            )


def _split(draws: Sequence[Draw], amount: Decimal) -> tuple[list[Draw], list[Draw]]:
    """Return what stays of draws when ``amount`` goes, first things first, and what goes."""
    stays: list[Draw] = []
    goes: list[Draw] = []
    for lot, held in draws:
        part = min(held, amount)
        amount = EXACT.subtract(amount, part)
        if part > 0:
            goes.append(Draw(lot, part))
        if held > part:
            stays.append(Draw(lot, EXACT.subtract(held, part)))
    return stays, goes


def _total(draws: Sequence[Draw]) -> Decimal:
    total = ZERO
    for _lot, amount in draws:
        total = EXACT.add(total, amount)
    return total
