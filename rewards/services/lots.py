"""The lots of the wallets that one settlement works on (LED-5).

A wallet has lots from the first credit on that expires. From then on they add up to its balance,
and what its open holds took from them is kept beside each hold.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from phoenix_site.common.arrays import BigintArray, TextArray, TimeArray, UuidArray
from rewards.exceptions import LedgerDriftError
from rewards.rules.lots import Draw, draw, total
from rewards.services.statements import run
from rewards.types.money import EXACT, LotState, WalletState

__all__ = ["LotBook"]

_NOBODY: Final = UUID(int=0)
_NEVER: Final = datetime.fromisoformat("9999-01-01T00:00:00+00:00")

_COLUMNS: Final = """
SELECT account.player_id, account.currency_id, lot.amount, lot.remaining, lot.expires_at,
    lot.created_at, lot.transaction_id, lot.id, lot.remaining
FROM rewards_account AS account
JOIN rewards_lot AS lot ON lot.account_id = account.id
"""
_OPEN: Final = _COLUMNS + "WHERE account.id = ANY (%(accounts)b) AND lot.remaining > 0"
_DUE: Final = _OPEN + " AND lot.expires_at <= %(now)s ORDER BY lot.expires_at, lot.id"
_BY_ID: Final = _COLUMNS + "WHERE lot.id = ANY (%(lots)b)"
_INSERT: Final = """
INSERT INTO rewards_lot (account_id, transaction_id, amount, remaining, expires_at, created_at)
SELECT account_id, nullif(transaction_id, %(nobody)s), amount::numeric, remaining::numeric,
    nullif(expires_at, %(never)s), created_at
FROM unnest(%(accounts)b, %(transactions)b, %(amounts)b, %(remaining)b, %(expiries)b, %(times)b)
    AS new (account_id, transaction_id, amount, remaining, expires_at, created_at)
RETURNING id
"""
_UPDATE: Final = """
UPDATE rewards_lot AS lot SET remaining = new.remaining::numeric
FROM unnest(%(ids)b, %(remaining)b) AS new (id, remaining) WHERE lot.id = new.id
"""

_Name = tuple[UUID, UUID]


class LotBook:
    """Lots by wallet, read set-wise when the first of them is needed, written at the end."""

    def __init__(self, wallets: Mapping[_Name, WalletState]) -> None:
        self._wallets = wallets
        self._lots: dict[_Name, list[LotState]] = defaultdict(list)
        self._by_id: dict[int, LotState] = {}
        self._read: set[_Name] = set()

    def due(self, now: datetime) -> list[LotState]:
        """Return the lots that are over, first the one that ended first. Queries: 1 or 0."""
        accounts = self._accounts_with_lots()
        if not accounts:
            return []
        rows = run(_DUE, {"accounts": BigintArray(accounts), "now": now})
        return [self._know(LotState(*row)) for row in rows]

    def add(
        self,
        wallet: WalletState,
        amount: Decimal,
        *,
        expires_at: datetime | None,
        transaction_id: UUID | None,
        now: datetime,
    ) -> LotState:
        """Give a wallet that has lots one more."""
        name = _name(wallet)
        lot = LotState(
            *name, amount, amount, expires_at, created_at=now, transaction_id=transaction_id
        )
        self._lots[name].append(lot)
        return lot

    def check(self, wallet: WalletState, amount: Decimal) -> None:
        """Refuse what a wallet's lots do not cover, ahead of everything else. Queries: 1 or 0.

        Raises: ``LedgerDriftError``: they add up to the balance unless somebody changed a row.
        """
        if wallet.has_lots and wallet.available >= amount and total(self._open(wallet)) < amount:
            raise LedgerDriftError("The lots of the wallet do not add up to its balance.")

    def draw(
        self, wallet: WalletState, amount: Decimal, *, credit_id: UUID | None = None
    ) -> list[Draw]:
        """Take an amount out of a wallet's lots, of ``credit_id`` first. Queries: 1 or 0."""
        if not wallet.has_lots:
            return []
        lots = self._open(wallet)
        own = [lot for lot in lots if credit_id is not None and lot.transaction_id == credit_id]
        return draw(lots, amount, first=own)

    def give_back(self, draws: Iterable[Draw]) -> None:
        """Put drawn amounts back into the lots they came from."""
        for lot, amount in draws:
            lot.remaining = EXACT.add(lot.remaining, amount)

    def by_ids(self, ids: Sequence[int]) -> dict[int, LotState]:
        """Return lots by their rows, as they are after everything so far. Queries: 1 or 0."""
        missing = [lot_id for lot_id in ids if lot_id not in self._by_id]
        if missing:
            for row in run(_BY_ID, {"lots": BigintArray(missing)}):
                self._know(LotState(*row))
        return {lot_id: self._by_id[lot_id] for lot_id in ids}

    def write(self) -> None:
        """Store new lots, which get their ids, and what is left of old ones. Queries: 0 to 2."""
        new = [lot for lots in self._lots.values() for lot in lots if lot.id is None]
        self._insert(new)
        changed = [lot for lot in self._by_id.values() if lot.remaining != lot.stored]
        if changed:
            changed.sort(key=lambda lot: lot.id or 0)
            run(
                _UPDATE,
                {
                    "ids": BigintArray(lot.id or 0 for lot in changed),
                    "remaining": TextArray(str(lot.remaining) for lot in changed),
                },
            )
        for lot in changed:
            lot.stored = lot.remaining

    def _insert(self, new: Sequence[LotState]) -> None:
        if not new:
            return
        wallets = [self._wallets[(lot.player_id, lot.currency_pk)] for lot in new]
        ids = run(
            _INSERT,
            {
                "nobody": _NOBODY,
                "never": _NEVER,
                "accounts": BigintArray(wallet.wallet.id or 0 for wallet in wallets),
                "transactions": UuidArray(lot.transaction_id or _NOBODY for lot in new),
                "amounts": TextArray(str(lot.amount) for lot in new),
                "remaining": TextArray(str(lot.remaining) for lot in new),
                "expiries": TimeArray(lot.expires_at or _NEVER for lot in new),
                "times": TimeArray(lot.created_at for lot in new),
            },
        )
        # Rows come back in the order in which they were inserted.
        for lot, (lot_id,) in zip(new, ids, strict=True):
            lot.id, lot.stored = lot_id, lot.remaining
            self._by_id[lot_id] = lot

    def _open(self, wallet: WalletState) -> list[LotState]:
        """Return the wallet's lots; those of all wallets at hand are read together."""
        name = _name(wallet)
        if name not in self._read:
            names = {
                _name(each): each.wallet.id
                for each in self._wallets.values()
                if each.stored_has_lots and each.wallet.id is not None
            }
            wanted = [row for key, row in names.items() if key not in self._read if row is not None]
            self._read |= {name, *names}
            for row in run(_OPEN, {"accounts": BigintArray(wanted)}) if wanted else ():
                self._know(LotState(*row))
        return self._lots[name]

    def _know(self, lot: LotState) -> LotState:
        """Keep one object per row: what was changed already is not read over."""
        assert lot.id is not None  # noqa: S101 - it was read from its row
        known = self._by_id.get(lot.id)
        if known is not None:
            return known
        self._by_id[lot.id] = lot
        self._lots[(lot.player_id, lot.currency_pk)].append(lot)
        return lot

    def _accounts_with_lots(self) -> list[int]:
        return [
            wallet.wallet.id
            for wallet in self._wallets.values()
            if wallet.stored_has_lots and wallet.wallet.id is not None
        ]


def _name(wallet: WalletState) -> _Name:
    return (wallet.player_id, wallet.currency.pk)
