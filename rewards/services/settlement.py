"""What one transaction changes of what players have, in memory until it is written as sets."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar, Final, Protocol, TypeVar, cast
from uuid import UUID

from ingestion.services.log import append_events
from ingestion.types import EventInput
from phoenix_site.common.exceptions import Detail, InvalidInputError
from phoenix_site.common.logging import get_logger
from players.selectors import facts_of_players
from players.types import PlayerFacts
from rewards.constants import MAX_FOLLOW_ROUNDS
from rewards.exceptions import (
    InsufficientBalanceError,
    NotSpendableError,
)
from rewards.selectors.book import books
from rewards.services import accounts, ledger
from rewards.services.drafts import DraftBook
from rewards.services.lots import LotBook
from rewards.types.book import Book, CurrencyView
from rewards.types.causes import Cause
from rewards.types.money import (
    EXACT,
    MAX_AMOUNT,
    ZERO,
    AccountName,
    AccountState,
    Draft,
    LotState,
    Movement,
    PostedKey,
    WalletChange,
    WalletState,
)

__all__ = ["Follower", "Part", "Settlement"]

log = get_logger(__name__)

# Transactions of these kinds are what a player earned (LED-7).
EARNING: Final = frozenset({"credit", "prize"})


class Part(Protocol):
    """What a subject does within one settlement; written after the ledger, lowest order first."""

    order: ClassVar[int]

    def __init__(self, settlement: "Settlement") -> None: ...

    def write(self) -> None:
        """Store what changed, set-wise; called once, at the end."""


P = TypeVar("P", bound=Part)
Follower = Callable[["Settlement", WalletChange], None]


class Settlement:
    """Credits, debits and what follows from them, of players whose rows are locked.

    Made by ``pipe.settling``. Nothing reaches the database before the end, so a movement may
    build on any movement before it. ``tenants`` are those of the players.
    """

    def __init__(
        self,
        *,
        now: datetime,
        tenants: Mapping[UUID, str],
        facts: Mapping[UUID, PlayerFacts] | None,
        rows: Mapping[tuple[UUID, UUID], accounts.WalletRows],
        posted: Mapping[tuple[str, str], PostedKey],
        followers: Sequence[Follower],
    ) -> None:
        self.now = now
        self.tenants = tenants
        self._facts = facts
        self._rows = rows
        self._followers = followers
        self._books: dict[str, Book] = {}
        self._wallets: dict[tuple[UUID, UUID], WalletState] = {}
        self._house: dict[AccountName, AccountState] = {}
        self._used: dict[UUID, CurrencyView] = {}
        self._parts: dict[type[Part], Part] = {}
        self._events: list[EventInput] = []
        self._changes: list[WalletChange] = []
        self.lots = LotBook(self._wallets)
        self.drafts = DraftBook(now, posted)

    # --- What there is ---------------------------------------------------------------------------

    @property
    def facts(self) -> Mapping[UUID, PlayerFacts]:
        """Return what rules have to know of the players; read at once when first asked for.

        Queries: 0, or those of ``facts_of_players``, once.
        """
        if self._facts is None:
            self._facts = facts_of_players(self.tenants.keys(), now=self.now)
        return self._facts

    def book(self, tenant_id: str) -> Book:
        """Return what the tenant has configured. Queries: as ``selectors.book.books``, once."""
        if tenant_id not in self._books:
            wanted = {tenant_id, *self.tenants.values()}
            self._books.update(books(wanted - self._books.keys()))
        return self._books[tenant_id]

    def wallet(self, player_id: UUID, currency: CurrencyView) -> WalletState:
        """Return a player's wallet after everything so far; one that has no row is empty."""
        name = (player_id, currency.pk)
        wallet = self._wallets.get(name)
        if wallet is None:
            wallet = accounts.wallet_state(player_id, currency, self._rows.get(name))
            self._wallets[name] = wallet
            self._used[currency.pk] = currency
        return wallet

    def house(self, currency: CurrencyView, kind: str, reference: str = "") -> AccountState:
        """Return an account that belongs to no player; a prize pool is locked.

        Locks: a pool's row, until the transaction ends; take several in the order of their names.
        Queries: 0, of a pool 2 to 4.
        """
        account = AccountState(currency.tenant_id, currency.pk, kind, reference=reference)
        known = self._house.setdefault(account.name, account)
        if known is account:
            self._used[currency.pk] = currency
            if kind == "prize_pool":
                accounts.lock_pool(account)
        return known

    # --- Movements -------------------------------------------------------------------------------

    def credit(
        self,
        player_id: UUID,
        currency: CurrencyView,
        amount: Decimal,
        *,
        cause: Cause,
        key: str,
        kind: str = "credit",
        expires_at: datetime | None = None,
        raises_lifetime: bool = True,
        source: AccountState | None = None,
    ) -> Movement:
        """Put ``amount`` into a wallet, by default from the issuer.

        Kinds ``credit`` and ``prize`` are earned and raise ``lifetime_earned``; ``refund`` and
        others never do. ``key`` follows from the cause (``grant:{id}``).

        Raises: ``InvalidInputError`` for an amount or currency that no wallet takes,
        ``PostingConflictError`` for a known key with other content, ``InsufficientBalanceError``
        when ``source`` is a pool that holds less.
        Repeats: a key that was named to ``settling``, or used before in this settlement, gives
        the first movement again; any other repeated key fails when it is written.
        """
        if kind in EARNING and not raises_lifetime:
            raise ValueError("what is credited or won counts as earned; a refund has its own kind")
        self.check_amount(currency, amount)
        if not currency.has_wallets:
            raise InvalidInputError(f"Players hold no {currency.currency_id}.")
        wallet = self.wallet(player_id, currency)
        source = source or self.house(currency, "issuer")
        lines = [(source, -amount), (wallet.wallet, amount)]
        first = self.drafts.repeated(key, kind, lines, wallet.wallet, tenant_id=cause.tenant_id)
        if first is not None:
            return first
        draft = self.drafts.post(kind, lines, cause=cause, key=key, player_id=player_id)
        self.receive(wallet, amount, draft.id, expires_at=expires_at)
        if kind in EARNING:
            self._change_lifetime(wallet, amount, cause)
        return Movement(draft.id, wallet.available)

    def debit(
        self,
        player_id: UUID,
        currency: CurrencyView,
        amount: Decimal,
        *,
        cause: Cause,
        key: str,
        kind: str = "debit",
        target: AccountState | None = None,
    ) -> Movement:
        """Take ``amount`` out of a wallet, by default to the issuer.

        Raises: ``NotSpendableError``, ``InsufficientBalanceError``, and as ``credit``.
        Repeats: as ``credit``.
        """
        self.check_amount(currency, amount)
        if not currency.is_spendable:
            raise NotSpendableError(f"{currency.currency_id} cannot be spent.")
        wallet = self.wallet(player_id, currency)
        lines = [(wallet.wallet, -amount), (target or self.house(currency, "issuer"), amount)]
        first = self.drafts.repeated(key, kind, lines, wallet.wallet, tenant_id=cause.tenant_id)
        if first is not None:
            return first
        self.lots.check(wallet, amount)
        draft = self.drafts.post(kind, lines, cause=cause, key=key, player_id=player_id)
        self.lots.draw(wallet, amount)
        return Movement(draft.id, wallet.available)

    def take(
        self,
        player_id: UUID,
        currency: CurrencyView,
        amount: Decimal,
        *,
        cause: Cause,
        key: str,
        reverses: UUID,
        target: AccountState | None = None,
        lowers_lifetime: bool = True,
    ) -> Movement:
        """Take back a credit, of a currency that cannot be spent too: its reversal.

        ``reverses`` is the transaction of the credit, ``target`` the account it came from (the
        issuer by default). What is left of its own lot is taken first.

        Raises: ``InsufficientBalanceError``; ``PostingConflictError`` and repeats as ``credit``.
        """
        self.check_amount(currency, amount)
        wallet = self.wallet(player_id, currency)
        lines = [(wallet.wallet, -amount), (target or self.house(currency, "issuer"), amount)]
        tenant_id = cause.tenant_id
        first = self.drafts.repeated(
            key, "reversal", lines, wallet.wallet, tenant_id=tenant_id, reverses=reverses
        )
        if first is not None:
            return first
        self.lots.check(wallet, amount)
        draft = self.drafts.post(
            "reversal", lines, cause=cause, key=key, player_id=player_id, reverses=reverses
        )
        self.unwind(wallet.wallet, -amount, draft, was_earned=lowers_lifetime)
        return Movement(draft.id, wallet.available)

    def check_lots(self, account: AccountState, amount: Decimal) -> None:
        """Refuse a movement that a wallet's lots do not cover. Raises: ``LedgerDriftError``."""
        self.lots.check(self._wallets[_owner(account)], amount)

    def unwind(
        self, account: AccountState, amount: Decimal, draft: Draft, *, was_earned: bool
    ) -> None:
        """Keep lots and what was earned in step with what a reversal moved on a wallet."""
        wallet = self._wallets[_owner(account)]
        if amount > 0:
            self.receive(wallet, amount, draft.id)
            return
        self.lots.draw(wallet, -amount, credit_id=draft.reverses)
        if was_earned:
            self._change_lifetime(wallet, amount, draft.cause)

    def receive(
        self,
        wallet: WalletState,
        amount: Decimal,
        transaction_id: UUID,
        *,
        expires_at: datetime | None = None,
    ) -> None:
        """Make the lot of what a wallet was just given, where there have to be lots."""
        days = wallet.currency.expiry_days
        if expires_at is None and days is not None:
            expires_at = self.now + timedelta(days=days)
        if not wallet.has_lots:
            if expires_at is None:
                return
            self._begin_lots(wallet, EXACT.subtract(wallet.available, amount))
        self.lots.add(
            wallet, amount, expires_at=expires_at, transaction_id=transaction_id, now=self.now
        )

    def expire(self, lot: LotState, *, key: str, at: datetime) -> None:
        """Move what is left of a lot to ``expired``, as of ``at``."""
        currency = self.book(self.tenants[lot.player_id]).currencies_by_pk[lot.currency_pk]
        wallet = self.wallet(lot.player_id, currency)
        cause = Cause(
            tenant_id=currency.tenant_id,
            source_type="expiry",
            source_id=str(lot.id),
            kind="lot",
            id=str(lot.id),
        )
        lines = [
            (wallet.wallet, -lot.remaining),
            (self.house(currency, "expired"), lot.remaining),
        ]
        self.drafts.post(
            "expire", lines, cause=cause, key=key, player_id=lot.player_id, created_at=at
        )
        lot.remaining = ZERO

    def expire_due(self) -> None:
        """Post the lots that are over, each at the instant at which it was. Queries: 1 or 0."""
        for (player_id, currency_pk), rows in self._rows.items():
            if rows.has_lots:
                book = self.book(self.tenants[player_id])
                self.wallet(player_id, book.currencies_by_pk[currency_pk])
        for lot in self.lots.due(self.now):
            # Nothing has moved the wallet since: whoever settles it comes through here first.
            at = max(lot.expires_at or self.now, lot.created_at)
            try:
                self.expire(lot, key=f"expire:{lot.id}", at=at)
            except InsufficientBalanceError:
                # Somebody went past the ledger: a proof says so, and nobody else waits for it.
                log.error("ledger.lot_not_covered", lot_id=lot.id, player_id=str(lot.player_id))  # noqa: TRY400

    # --- What follows ----------------------------------------------------------------------------

    def part(self, kind: type[P]) -> P:
        """Return the one instance of ``kind`` of this settlement."""
        if kind not in self._parts:
            self._parts[kind] = kind(self)
        return cast("P", self._parts[kind])

    def emit(self, event: EventInput) -> None:
        """Append a platform event at the end."""
        self._events.append(event)

    def follow(self) -> None:
        """Hand what players earned since the last call to the followers, until nothing more.

        What they give in turn is handed on too. Causes that feed themselves without end are cut
        after ``MAX_FOLLOW_ROUNDS`` and logged; the next change of the wallet takes them up.
        """
        for _round in range(MAX_FOLLOW_ROUNDS):
            if not self._changes:
                return
            changes, self._changes = self._changes, []
            for change in changes:
                for follower in self._followers:
                    follower(self, change)
        for change in self._changes:
            log.warning("settlement.chain_too_deep", player_id=str(change.player_id))
        self._changes = []

    def write(self) -> None:
        """Store everything set-wise: the ledger, then the parts, then the events."""
        self.follow()
        named = [line.account for draft in self.drafts.all for line in draft.lines]
        new = [account for account in named if account.id is None]
        if new:
            made = ledger.make_accounts(new)
            # The first posting in a currency makes its first account of the house.
            accounts.confirm_currencies(
                self._used[account.currency_pk] for account in made if account.player_id is None
            )
        ledger.post(self.drafts.all)
        ledger.write_balances(self._wallets.values(), self._house.values())
        self.lots.write()
        self._write_parts()
        if self._events:
            append_events(self._events)

    def _write_parts(self) -> None:
        """Write each part once, also one that another part asked for first while it was written."""
        written: set[type[Part]] = set()
        while waiting := self._parts.keys() - written:
            kind = min(waiting, key=lambda each: (each.order, each.__name__))
            written.add(kind)
            self._parts[kind].write()

    # --- Own -------------------------------------------------------------------------------------

    def _begin_lots(self, wallet: WalletState, balance: Decimal) -> None:
        """Make the lots of a wallet add up from now on: what it held before never expires."""
        wallet.has_lots = True
        if balance > 0:
            self.lots.add(wallet, balance, expires_at=None, transaction_id=None, now=self.now)

    def _change_lifetime(self, wallet: WalletState, amount: Decimal, cause: Cause) -> None:
        before = wallet.lifetime_earned
        wallet.lifetime_earned = EXACT.add(before, amount)
        self._changes.append(
            WalletChange(wallet.player_id, wallet.currency, before, wallet.lifetime_earned, cause)
        )

    def check_amount(self, currency: CurrencyView, amount: Decimal) -> None:
        """Refuse what no posting may be. Raises: ``InvalidInputError``."""
        if not (amount.is_finite() and 0 < amount < MAX_AMOUNT):
            fault = "must be greater than 0 and less than 10^18"
        elif not currency.fits(amount):
            fault = f"has more than the {currency.decimal_places} decimals of the currency"
        else:
            return
        raise InvalidInputError(f"amount {fault}.", details=[Detail("amount", fault)])


def _owner(account: AccountState) -> tuple[UUID, UUID]:
    assert account.player_id is not None  # noqa: S101 - only wallets are asked for
    return (account.player_id, account.currency_pk)
