"""Write transactions as sets: one statement for all of them and their postings.

What is posted, by whom and in what order is decided in memory under the players' locks
(``settlement``); this module turns the outcome into rows. Triggers check every statement.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import IntegrityError

from phoenix_site.common.arrays import BigintArray, BooleanArray, TextArray, TimeArray, UuidArray
from rewards.exceptions import LedgerDriftError, PostingConflictError
from rewards.services.statements import run
from rewards.types.money import (
    ZERO,
    AccountState,
    Draft,
    PostedKey,
    WalletState,
)

__all__ = [
    "content_hash",
    "find_house_accounts",
    "make_accounts",
    "post",
    "posted_keys",
    "write_balances",
]

_NOBODY: Final = UUID(int=0)

_POST: Final = """
WITH entry AS (
    INSERT INTO rewards_ledgertransaction (
        id, tenant_id, kind, idempotency_key, content_hash, player_id, source_type, source_ref,
        cause_kind, cause_id, event_id, actor, reason, reverses_id, created_at
    )
    SELECT id, tenant_id, kind, key, decode(content_hash, 'hex'), nullif(player_id, %(nobody)s),
        source_type, source_ref, cause_kind, cause_id, nullif(event_id, ''), actor, reason,
        nullif(reverses_id, %(nobody)s), created_at
    FROM unnest(
        %(ids)b, %(tenants)b, %(kinds)b, %(keys)b, %(hashes)b, %(players)b, %(source_types)b,
        %(source_refs)b, %(cause_kinds)b, %(cause_ids)b, %(events)b, %(actors)b, %(reasons)b,
        %(reverses)b, %(times)b
    ) AS new (
        id, tenant_id, kind, key, content_hash, player_id, source_type, source_ref, cause_kind,
        cause_id, event_id, actor, reason, reverses_id, created_at
    )
)
INSERT INTO rewards_posting (transaction_id, account_id, amount, balance_after, created_at)
SELECT (%(ids)b)[slot], account_id, amount::numeric, nullif(balance_after, '')::numeric,
    (%(times)b)[slot]
FROM unnest(%(slots)b, %(accounts)b, %(amounts)b, %(balances)b)
    AS line (slot, account_id, amount, balance_after)
"""
_MAKE_ACCOUNTS: Final = """
INSERT INTO rewards_account (
    tenant_id, currency_id, kind, player_id, reference, balance, lifetime_earned, has_lots
)
SELECT tenant_id, currency_id, kind, nullif(player_id, %(nobody)s), reference, 0, 0, false
FROM unnest(%(tenants)b, %(currencies)b, %(kinds)b, %(players)b, %(references)b)
    AS new (tenant_id, currency_id, kind, player_id, reference)
ON CONFLICT DO NOTHING
RETURNING currency_id, kind, player_id, reference, id
"""
_FIND_HOUSE: Final = """
SELECT account.currency_id, account.kind, account.reference, account.id
FROM unnest(%(currencies)b, %(kinds)b, %(references)b) AS wanted (currency_id, kind, reference)
JOIN rewards_account AS account USING (currency_id, kind, reference)
WHERE account.player_id IS NULL
"""
# What was read under the lock must still be there: else somebody went past it.
_WRITE_BALANCES: Final = """
UPDATE rewards_account AS account
SET balance = new.balance::numeric, lifetime_earned = new.lifetime::numeric,
    has_lots = new.has_lots
FROM unnest(
    %(ids)b, %(stored)b, %(balances)b, %(stored_lifetimes)b, %(lifetimes)b, %(have_lots)b
) AS new (id, stored, balance, stored_lifetime, lifetime, has_lots)
WHERE account.id = new.id AND account.balance = new.stored::numeric
    AND account.lifetime_earned = new.stored_lifetime::numeric
RETURNING account.id
"""
_KEYS: Final = """
SELECT wanted.tenant_id, wanted.key, entry.id, encode(entry.content_hash, 'hex'),
    account.currency_id, account.kind, account.player_id, account.reference, posting.balance_after
FROM unnest(%(tenants)b, %(keys)b) AS wanted (tenant_id, key)
JOIN rewards_ledgertransaction AS entry
    ON entry.tenant_id = wanted.tenant_id AND entry.idempotency_key = wanted.key
JOIN rewards_posting AS posting ON posting.transaction_id = entry.id
JOIN rewards_account AS account ON account.id = posting.account_id
"""


def content_hash(
    kind: str, lines: Iterable[tuple[AccountState, Decimal]], reverses: UUID | None
) -> str:
    """Return what tells one content of an idempotency key from another: 64 hex digits."""
    parts = [
        f"{account.kind}|{account.currency_pk}|{account.player_id}|{account.reference}|"
        f"{amount.normalize()}"
        for account, amount in lines
    ]
    text = "\n".join([kind, str(reverses), *parts])
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def post(drafts: Sequence[Draft]) -> None:
    """Write transactions and their postings; the accounts have their rows. Queries: 1.

    Raises: ``PostingConflictError`` for a key that was posted before, by somebody else at this
    moment or unknown to who used it again; the caller's transaction is then over.
    """
    try:
        _post(drafts)
    except IntegrityError as exc:
        if "transaction_once_per_key" in str(exc):
            raise PostingConflictError("The key was used for another transaction.") from exc
        raise


def _post(drafts: Sequence[Draft]) -> None:
    if not drafts:
        return
    causes = [draft.cause for draft in drafts]
    lines = [(slot, line) for slot, draft in enumerate(drafts, start=1) for line in draft.lines]
    run(
        _POST,
        {
            "nobody": _NOBODY,
            "ids": UuidArray(draft.id for draft in drafts),
            "tenants": TextArray(cause.tenant_id for cause in causes),
            "kinds": TextArray(draft.kind for draft in drafts),
            "keys": TextArray(draft.key for draft in drafts),
            "hashes": TextArray(draft.content_hash for draft in drafts),
            "players": UuidArray(draft.player_id or _NOBODY for draft in drafts),
            "source_types": TextArray(cause.source_type for cause in causes),
            "source_refs": TextArray(cause.source_id for cause in causes),
            "cause_kinds": TextArray(cause.kind for cause in causes),
            "cause_ids": TextArray(cause.id for cause in causes),
            "events": TextArray(cause.event_id or "" for cause in causes),
            "actors": TextArray(cause.actor for cause in causes),
            "reasons": TextArray(cause.reason for cause in causes),
            "reverses": UuidArray(draft.reverses or _NOBODY for draft in drafts),
            "times": TimeArray(draft.created_at for draft in drafts),
            "slots": BigintArray(slot for slot, _ in lines),
            "accounts": BigintArray(_row_of(line.account) for _, line in lines),
            "amounts": TextArray(str(line.amount) for _, line in lines),
            "balances": TextArray(
                "" if line.balance_after is None else str(line.balance_after) for _, line in lines
            ),
        },
    )


def _row_of(account: AccountState) -> int:
    assert account.id is not None  # noqa: S101 - made before anything is posted
    return account.id


def make_accounts(accounts: Sequence[AccountState]) -> list[AccountState]:
    """Give every account its row and return those that were made now.

    One that somebody else makes at the same time is found. Locks: new accounts in the order of
    their names. Queries: 0 to 3.
    """
    missing = {account.name: account for account in accounts if account.id is None}
    house = [account for account in missing.values() if account.player_id is None]
    find_house_accounts(house)
    unmade = [account for account in missing.values() if account.id is None]
    made: list[AccountState] = []
    if unmade:
        made = _insert(
            sorted(unmade, key=lambda account: (str(account.player_id), str(account.name)))
        )
        find_house_accounts([account for account in house if account.id is None])
    for account in accounts:
        account.id = missing[account.name].id if account.id is None else account.id
    return made


def _order(account: AccountState) -> tuple[str, str]:
    return (str(account.player_id), str(account.name))


def find_house_accounts(accounts: Collection[AccountState]) -> None:
    """Look up the rows of accounts that belong to no player. Queries: 1, or 0 for none."""
    if not accounts:
        return
    parameters = {
        "currencies": UuidArray(account.currency_pk for account in accounts),
        "kinds": TextArray(account.kind for account in accounts),
        "references": TextArray(account.reference for account in accounts),
    }
    found = {(row[0], row[1], row[2]): row[3] for row in run(_FIND_HOUSE, parameters)}
    for account in accounts:
        account.id = found.get((account.currency_pk, account.kind, account.reference))


def _insert(accounts: Sequence[AccountState]) -> list[AccountState]:
    parameters = {
        "nobody": _NOBODY,
        "tenants": TextArray(account.tenant_id for account in accounts),
        "currencies": UuidArray(account.currency_pk for account in accounts),
        "kinds": TextArray(account.kind for account in accounts),
        "players": UuidArray(account.player_id or _NOBODY for account in accounts),
        "references": TextArray(account.reference for account in accounts),
    }
    made = {
        (currency, kind, player, reference): row
        for currency, kind, player, reference, row in run(_MAKE_ACCOUNTS, parameters)
    }
    for account in accounts:
        account.id = made.get(account.name)
    return [account for account in accounts if account.id is not None]


def write_balances(wallets: Iterable[WalletState], pools: Iterable[AccountState]) -> None:
    """Store what changed, each by a condition on what it was.

    Raises: ``LedgerDriftError`` when a row is not as it was read under the lock. Queries: 1.
    """
    rows = [*_wallet_rows(wallets), *_pool_rows(pools)]
    if not rows:
        return
    ids, stored, balances, stored_lifetimes, lifetimes, have_lots = zip(
        *sorted(rows, key=lambda row: row[0]), strict=True
    )
    written = run(
        _WRITE_BALANCES,
        {
            "ids": BigintArray(ids),
            "stored": TextArray(map(str, stored)),
            "balances": TextArray(map(str, balances)),
            "stored_lifetimes": TextArray(map(str, stored_lifetimes)),
            "lifetimes": TextArray(map(str, lifetimes)),
            "have_lots": BooleanArray(have_lots),
        },
    )
    if len(written) != len(rows):
        raise LedgerDriftError("A balance changed without the lock of its player.")


# Account, balance before and after, lifetime before and after, whether it has lots.
_Row = tuple[int, object, object, object, object, bool]


def _wallet_rows(wallets: Iterable[WalletState]) -> Iterable[_Row]:
    for wallet in wallets:
        own, escrow = wallet.wallet, wallet.escrow
        is_changed = (
            own.balance != own.stored
            or wallet.lifetime_earned != wallet.stored_lifetime
            or wallet.has_lots != wallet.stored_has_lots
        )
        if is_changed and own.id is not None:
            yield (
                own.id,
                own.stored,
                own.balance,
                wallet.stored_lifetime,
                wallet.lifetime_earned,
                wallet.has_lots,
            )
        if escrow.balance != escrow.stored and escrow.id is not None:
            yield (escrow.id, escrow.stored, escrow.balance, ZERO, ZERO, False)


def _pool_rows(pools: Iterable[AccountState]) -> Iterable[_Row]:
    for pool in pools:
        if pool.id is not None and pool.balance not in (None, pool.stored):
            yield (pool.id, pool.stored, pool.balance, ZERO, ZERO, False)


def posted_keys(keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], PostedKey]:
    """Return what the ledger has under keys (tenant id, key). Queries: 1, or 0 for none."""
    if not keys:
        return {}
    parameters = {
        "tenants": TextArray(tenant_id for tenant_id, _ in keys),
        "keys": TextArray(key for _, key in keys),
    }
    found: dict[tuple[str, str], PostedKey] = {}
    for tenant_id, key, transaction_id, digest, *account, balance in run(_KEYS, parameters):
        posted = found.setdefault((tenant_id, key), PostedKey(transaction_id, digest))
        posted.balances[tuple(account)] = balance
    return found
