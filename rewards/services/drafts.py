"""The transactions that one settlement has decided on, and the keys that were used before."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import cast
from uuid import UUID

from phoenix_site.common.ids import uuid7
from rewards.exceptions import InsufficientBalanceError, PostingConflictError
from rewards.services import ledger
from rewards.types.causes import Cause
from rewards.types.money import EXACT, ZERO, AccountState, Draft, Line, Movement, PostedKey

__all__ = ["DraftBook"]


class DraftBook:
    """Transactions in the order in which they happened; ``all`` of them are written at the end.

    ``posted`` is what the ledger has under keys that may be repeats.
    """

    def __init__(self, now: datetime, posted: Mapping[tuple[str, str], PostedKey]) -> None:
        self.all: list[Draft] = []
        self._now = now
        self._posted = posted
        self._keys: dict[tuple[str, str], Draft] = {}
        # Counted up from one that is random, so that ids have the order of what happened.
        self._ids = count(uuid7().int)

    def repeated(
        self,
        key: str,
        kind: str,
        lines: Sequence[tuple[AccountState, Decimal]],
        account: AccountState,
        *,
        tenant_id: str,
        reverses: UUID | None = None,
    ) -> Movement | None:
        """Return what was posted under ``key`` before, if anything.

        Raises: ``PostingConflictError`` when that has other content.
        """
        before, posted = self._keys.get((tenant_id, key)), self._posted.get((tenant_id, key))
        if before is None and posted is None:
            return None
        digest = ledger.content_hash(kind, lines, reverses)
        if before is not None:
            found, transaction_id = before.content_hash, before.id
            balances = {line.account.name: line.balance_after for line in before.lines}
        else:
            posted = cast("PostedKey", posted)
            found, transaction_id, balances = (
                posted.content_hash,
                posted.transaction_id,
                posted.balances,
            )
        if found != digest:
            raise PostingConflictError("The key was used for another transaction.")
        return Movement(transaction_id, balances.get(account.name) or ZERO, is_repeat=True)

    def posted_under(self, tenant_id: str, key: str) -> UUID | None:
        """Return the transaction under a key that was named to ``settling``, if there is one."""
        posted = self._posted.get((tenant_id, key))
        return None if posted is None else posted.transaction_id

    def post(
        self,
        kind: str,
        lines: Sequence[tuple[AccountState, Decimal]],
        *,
        cause: Cause,
        key: str,
        player_id: UUID | None = None,
        reverses: UUID | None = None,
        created_at: datetime | None = None,
    ) -> Draft:
        """Add one transaction as it is; its amounts sum to zero per currency.

        For the services of the ledger: lots, holds and what was earned are theirs to keep.

        Raises: ``InsufficientBalanceError`` when an account with a balance would fall below 0.
        """
        digest = ledger.content_hash(kind, lines, reverses)
        for account, amount in lines:
            if account.balance is not None and EXACT.add(account.balance, amount) < 0:
                raise InsufficientBalanceError("The balance is too small.")
        draft = Draft(
            id=UUID(int=next(self._ids)),
            kind=kind,
            key=key,
            content_hash=digest,
            player_id=player_id,
            cause=cause,
            lines=[_move(account, amount) for account, amount in lines],
            created_at=created_at or self._now,
            reverses=reverses,
        )
        self.all.append(draft)
        self._keys[(cause.tenant_id, key)] = draft
        return draft


def _move(account: AccountState, amount: Decimal) -> Line:
    if account.balance is not None:
        account.balance = EXACT.add(account.balance, amount)
    return Line(account, amount, account.balance)
