"""What staff and back offices do with wallets: grant, deduct, hold, capture, release."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import Detail, DomainError, InvalidInputError, NotFoundError
from phoenix_site.common.ids import uuid7
from players.services.registration import ensure_player, ensure_players
from rewards.models import Hold
from rewards.services.holds import HoldDesk, HoldState
from rewards.services.pipe import settling
from rewards.services.settlement import Settlement
from rewards.types.book import Book, CurrencyView
from rewards.types.causes import Cause
from rewards.types.money import AccountState, Movement
from rewards.types.wallets import BulkResult, HoldInput, MoveInput, Target
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = [
    "capture_hold",
    "deduct",
    "grant",
    "grant_bulk",
    "house_account",
    "open_hold",
    "release_hold",
    "request_key",
    "staff_cause",
]

_MAX_KEY: Final = 300
_MAX_ACTOR: Final = 255


def request_key(operation: str, actor: Actor, key: str | None) -> str:
    """Return the ledger's key for a request; without a key of its own every request is new."""
    text = f"api:{operation}:{actor.id}:{key or uuid7()}"
    if len(text) <= _MAX_KEY:
        return text
    return f"api:{operation}:{hashlib.sha256(text.encode()).hexdigest()}"


def staff_cause(tenant_id: str, actor: Actor, *, reference: str = "", reason: str = "") -> Cause:
    """Return a person or a key of the tenant as the cause of a movement."""
    is_person = actor.kind == "staff"
    return Cause(
        tenant_id=tenant_id,
        source_type="manual" if is_person else "api",
        source_id=reference,
        kind="staff" if is_person else "api_key",
        id=actor.id,
        actor=actor.label[:_MAX_ACTOR],
        reason=reason,
    )


@transaction.atomic
def grant(tenant_id: str, move: MoveInput, *, key: str, actor: Actor, now: datetime) -> Movement:
    """Credit a player, who is made if unknown.

    Raises: ``InvalidInputError``, ``PostingConflictError``. Repeats: the same key and content give
    the first movement. Locks: the player.
    """
    _check_expiry(move.expires_at, now)
    player_id = ensure_player(tenant_id, move.user_id, now=now)
    cause = staff_cause(tenant_id, actor, reference=move.reference, reason=move.reason)
    with settling([player_id], now=now, keys=[(tenant_id, key)]) as at:
        currency = _currency(at.book(tenant_id), move.currency_id)
        movement = at.credit(
            player_id, currency, move.amount, cause=cause, key=key, expires_at=move.expires_at
        )
    _note("wallet.granted", tenant_id, move, movement, actor=actor, now=now)
    return movement


@transaction.atomic
def deduct(tenant_id: str, move: MoveInput, *, key: str, actor: Actor, now: datetime) -> Movement:
    """Debit a player.

    Raises: ``InsufficientBalanceError``, ``NotSpendableError``, ``InvalidInputError``,
    ``PostingConflictError``. Repeats, locks: as ``grant``.
    """
    player_id = ensure_player(tenant_id, move.user_id, now=now)
    cause = staff_cause(tenant_id, actor, reference=move.reference, reason=move.reason)
    with settling([player_id], now=now, keys=[(tenant_id, key)]) as at:
        currency = _currency(at.book(tenant_id), move.currency_id)
        movement = at.debit(player_id, currency, move.amount, cause=cause, key=key)
    _note("wallet.deducted", tenant_id, move, movement, actor=actor, now=now)
    return movement


@transaction.atomic
def grant_bulk(
    tenant_id: str,
    moves: Sequence[MoveInput | DomainError],
    *,
    key: str | None,
    actor: Actor,
    now: datetime,
) -> list[BulkResult]:
    """Credit many players in one transaction; what is wrong with one item stops no other.

    Where an item could not be read, what is wrong with it stands in its place.
    An item with a ``reference`` is posted once per (player, currency, reference) for ever; one
    without is as new as the request (``key``).

    Repeats: items posted before are ``duplicate``. Locks: the players in id order.
    """
    valid = [move for move in moves if isinstance(move, MoveInput)]
    players = _ensure({(tenant_id, move.user_id) for move in valid}, now=now)
    request = key or str(uuid7())
    keys = [
        request_key("bulk", actor, _item_key(request, index, move))
        for index, move in enumerate(moves)
    ]
    results: list[BulkResult] = []
    posted = [(tenant_id, each) for each in keys]
    with settling(list(players.values()), now=now, keys=posted) as at:
        book = at.book(tenant_id)
        for index, (move, item_key) in enumerate(zip(moves, keys, strict=True)):
            try:
                movement = _grant_one(at, book, players, move, key=item_key, actor=actor)
            except DomainError as exc:
                results.append(BulkResult(index, "rejected", error=exc.message))
            else:
                results.append(
                    BulkResult(
                        index,
                        "duplicate" if movement.is_repeat else "posted",
                        movement.transaction_id,
                    )
                )
    posted_count = sum(result.status == "posted" for result in results)
    _audit("wallet.granted_in_bulk", tenant_id, {"posted": posted_count}, actor=actor, now=now)
    return results


def _ensure(keys: set[tuple[str, str]], *, now: datetime) -> dict[tuple[str, str], UUID]:
    """Return the players; those that cannot be are left out."""
    try:
        return ensure_players(keys, now=now)
    except InvalidInputError:
        # Nothing was made: the bad ones are found one by one.
        found: dict[tuple[str, str], UUID] = {}
        for each in sorted(keys):
            with contextlib.suppress(InvalidInputError):
                found |= ensure_players([each], now=now)
        return found


def _item_key(request: str, index: int, move: MoveInput | DomainError) -> str:
    if isinstance(move, MoveInput) and move.reference:
        return f"reference:{move.currency_id}:{move.user_id}:{move.reference}"
    return f"{request}:{index}"


def _grant_one(
    at: Settlement,
    book: Book,
    players: Mapping[tuple[str, str], UUID],
    move: MoveInput | DomainError,
    *,
    key: str,
    actor: Actor,
) -> Movement:
    if isinstance(move, DomainError):
        raise move
    player_id = players.get((book.tenant_id, move.user_id))
    if player_id is None:
        raise InvalidInputError("user_id is not the id of a player.")
    _check_expiry(move.expires_at, at.now)
    currency = _currency(book, move.currency_id)
    cause = staff_cause(book.tenant_id, actor, reference=move.reference, reason=move.reason)
    return at.credit(
        player_id, currency, move.amount, cause=cause, key=key, expires_at=move.expires_at
    )


@transaction.atomic
def open_hold(
    tenant_id: str, wanted: HoldInput, *, key: str, actor: Actor, now: datetime
) -> HoldState:
    """Set an amount of a player's wallet aside.

    Raises: as ``HoldDesk.open``. Repeats, locks: as ``grant``.
    """
    player_id = ensure_player(tenant_id, wanted.user_id, now=now)
    cause = staff_cause(tenant_id, actor, reference=wanted.reference)
    with settling([player_id], now=now, keys=[(tenant_id, key)]) as at:
        return at.part(HoldDesk).open(
            player_id,
            _currency(at.book(tenant_id), wanted.currency_id),
            wanted.amount,
            reference=wanted.reference,
            cause=cause,
            key=key,
            expires_at=wanted.expires_at,
        )


@transaction.atomic
def capture_hold(
    tenant_id: str,
    hold_id: UUID,
    amount: Decimal | None,
    target: Target,
    *,
    key: str,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> HoldState:
    """Pay what a hold has set aside, or a part of it, to an account of the house.

    Raises: as ``HoldDesk.capture``. Repeats: as ``grant``. Locks: the player, a pool.
    """
    player_id = _player_of(tenant_id, hold_id)
    cause = _hold_cause(tenant_id, hold_id, actor, reason)
    with settling([player_id], now=now, keys=[(tenant_id, key)]) as at:
        desk = at.part(HoldDesk)
        hold = desk.get(hold_id)
        account = house_account(at, hold.currency, target)
        desk.capture(hold_id, amount, account, cause=cause, key=key)
        return hold


@transaction.atomic
def release_hold(
    tenant_id: str,
    hold_id: UUID,
    amount: Decimal | None,
    *,
    key: str,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> HoldState:
    """Give what a hold has set aside, or a part of it, back to the player.

    Raises: as ``HoldDesk.release``. Repeats: as ``grant``. Locks: the player.
    """
    player_id = _player_of(tenant_id, hold_id)
    cause = _hold_cause(tenant_id, hold_id, actor, reason)
    with settling([player_id], now=now, keys=[(tenant_id, key)]) as at:
        desk = at.part(HoldDesk)
        desk.release(hold_id, amount, cause=cause, key=key)
        return desk.get(hold_id)


def house_account(at: Settlement, currency: CurrencyView, target: Target) -> AccountState:
    """Return the account that a target names. Raises: ``InvalidInputError``."""
    if target.kind not in ("prize_pool", "fees", "issuer", "clearing"):
        raise InvalidInputError(f"{target.kind} is no account that takes payments.")
    if (target.kind == "prize_pool") > bool(target.reference):
        raise InvalidInputError("A prize pool has a reference.")
    return at.house(currency, target.kind, target.reference)


# --- Own -----------------------------------------------------------------------------------------


def _currency(book: Book, currency_id: str) -> CurrencyView:
    currency = book.currencies.get(currency_id)
    if currency is None or not currency.is_active:
        message = "is not an active currency of the tenant"
        raise InvalidInputError(f"currency_id {message}.", details=[Detail("currency_id", message)])
    return currency


def _check_expiry(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        message = "must be in the future"
        raise InvalidInputError(f"expires_at {message}.", details=[Detail("expires_at", message)])


def _player_of(tenant_id: str, hold_id: UUID) -> UUID:
    found = Hold.objects.filter(tenant=tenant_id, pk=hold_id).values_list("player", flat=True)
    player_id = found.first()
    if player_id is None:
        raise NotFoundError("There is no such hold.")
    return player_id


def _hold_cause(tenant_id: str, hold_id: UUID, actor: Actor, reason: str) -> Cause:
    return Cause(
        tenant_id=tenant_id,
        source_type="manual" if actor.kind == "staff" else "api",
        source_id=str(hold_id),
        kind="hold",
        id=str(hold_id),
        actor=actor.label[:_MAX_ACTOR],
        reason=reason,
    )


def _note(
    action: str,
    tenant_id: str,
    move: MoveInput,
    movement: Movement,
    *,
    actor: Actor,
    now: datetime,
) -> None:
    if movement.is_repeat:
        return
    after = {"currency_id": move.currency_id, "amount": str(move.amount)}
    about = AuditChange(
        "ledger_transaction", str(movement.transaction_id), move.user_id, None, after
    )
    audit.record(
        action, actor=actor, now=now, tenant_id=tenant_id, change=about, reason=move.reason
    )


def _audit(
    action: str, tenant_id: str, after: dict[str, object], *, actor: Actor, now: datetime
) -> None:
    about = AuditChange("ledger_transaction", "", "", None, after)
    audit.record(action, actor=actor, now=now, tenant_id=tenant_id, change=about)
