from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import transaction

from phoenix_site.common.exceptions import InvalidInputError, NotFoundError
from rewards.exceptions import (
    HoldClosedError,
    HoldExceededError,
    InsufficientBalanceError,
    LedgerDriftError,
    NotSpendableError,
    PostingConflictError,
)
from rewards.models import Account, Hold, LedgerTransaction, Lot, LotDraw
from rewards.services import payments, wallet_sweeps
from rewards.services.payments import Payment
from rewards.services.proofs import prove
from rewards.types.book import CurrencyView
from rewards.types.wallets import PaySource, Target
from tenants.models import Tenant
from tests.rewards.ledger_cast import (
    NOON,
    balance_of,
    credit,
    debit,
    lifetime_of,
    make_currency,
    player_of,
    posted_on,
)

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
SOURCE = PaySource("tournament", "t-1")
POOL = Target("prize_pool", "t-1")


def hold(
    player: UUID,
    currency: CurrencyView,
    amount: int,
    *,
    key: str = "hold",
    now: datetime = NOON,
    expires_at: datetime | None = None,
) -> UUID:
    payment = Payment(
        player_id=player,
        currency_id=currency.currency_id,
        amount=Decimal(amount),
        idempotency_key=key,
    )
    return payments.hold(
        currency.tenant_id,
        payment,
        source=SOURCE,
        reference="entry",
        now=now,
        expires_at=expires_at,
    ).id


def capture(
    hold_id: UUID, amount: int | None, *, to: Target = POOL, key: str = "", now: datetime = NOON
) -> None:
    payments.capture(
        "tenant-a",
        hold_id,
        None if amount is None else Decimal(amount),
        to=to,
        source=SOURCE,
        idempotency_key=key or f"capture:{amount}",
        now=now,
    )


def release(hold_id: UUID, amount: int | None, *, key: str = "", now: datetime = NOON) -> None:
    payments.release(
        "tenant-a",
        hold_id,
        None if amount is None else Decimal(amount),
        source=SOURCE,
        idempotency_key=key or f"release:{amount}",
        now=now,
    )


def is_proven(tenant: Tenant) -> bool:
    return not prove(tenant.pk, NOON).difference_count


def test_acceptance_6_a_hold_is_captured_and_released_in_parts(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    hold_id = hold(ana, gold, 40)
    assert [balance_of(ana, gold), balance_of(ana, gold, "held")] == [60, 40]

    capture(hold_id, 30)
    release(hold_id, 10)

    assert [balance_of(ana, gold), balance_of(ana, gold, "held")] == [70, 0]
    assert posted_on(gold, "prize_pool", "t-1") == 30
    assert Hold.objects.get().status == "closed"
    with pytest.raises(HoldClosedError):
        capture(hold_id, 1)
    assert lifetime_of(ana, gold) == 100
    assert is_proven(tenant_a)


def test_acceptance_6_captures_never_exceed_the_hold(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    hold_id = hold(ana, gold, 40)

    with pytest.raises(HoldExceededError):
        capture(hold_id, 50)
    release(hold_id, 20)
    with pytest.raises(HoldExceededError):
        capture(hold_id, 21)

    assert balance_of(ana, gold, "held") == 20


def test_without_an_amount_the_rest_is_captured_and_a_repeat_does_nothing(
    tenant_a: Tenant,
) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    hold_id = hold(ana, gold, 40)

    for _ in range(2):
        capture(hold_id, 10, to=Target("fees", "t-1"), key="rake")
        capture(hold_id, None, key="rest")

    assert posted_on(gold, "fees", "t-1") == 10
    assert posted_on(gold, "prize_pool", "t-1") == 30
    assert LedgerTransaction.objects.filter(kind="capture").count() == 2


def test_the_same_key_gives_the_first_hold_again(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    first = hold(ana, gold, 40)

    assert hold(ana, gold, 40) == first
    with pytest.raises(PostingConflictError):
        hold(ana, gold, 41)
    assert balance_of(ana, gold) == 60


def test_what_cannot_be_held_is_refused(tenant_a: Tenant, tenant_b: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    xp = make_currency(tenant_a, "xp", is_spendable=False)
    credit(ana, gold, 10)
    credit(ana, xp, 10)

    with pytest.raises(InsufficientBalanceError):
        hold(ana, gold, 11)
    with pytest.raises(NotSpendableError):
        hold(ana, xp, 1)
    with pytest.raises(InvalidInputError):
        hold(ana, gold, 1, expires_at=NOON)
    hold_id = hold(ana, gold, 1)
    with pytest.raises(NotFoundError):
        payments.release(tenant_b.pk, hold_id, None, source=SOURCE, idempotency_key="x", now=NOON)


def test_what_nobody_captured_in_time_goes_back_by_itself(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    hold_id = hold(ana, gold, 40)
    capture(hold_id, 15)

    assert wallet_sweeps.release_expired_holds(now=NOON + DAY - timedelta(seconds=1)) == 0
    assert wallet_sweeps.release_expired_holds(now=NOON + DAY) == 1
    assert wallet_sweeps.release_expired_holds(now=NOON + DAY) == 0

    assert [balance_of(ana, gold), balance_of(ana, gold, "held")] == [85, 0]
    with pytest.raises(HoldClosedError):
        capture(hold_id, 1, now=NOON + DAY)
    assert is_proven(tenant_a)


# --- Holds and lots ------------------------------------------------------------------------------


def test_a_hold_draws_what_expires_first_and_a_release_gives_the_same_lots_back(
    tenant_a: Tenant,
) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 20, expires_at=NOON + 2 * DAY)
    credit(ana, gold, 10, expires_at=NOON + DAY)
    hold_id = hold(ana, gold, 15)
    assert left(ana) == [(DAY, 0), (2 * DAY, 15)]

    capture(hold_id, 4)
    release(hold_id, 8)

    # Paid is what would have expired first; what comes back lasts longest.
    assert left(ana) == [(DAY, 3), (2 * DAY, 20)]
    release(hold_id, 3)
    assert left(ana) == [(DAY, 6), (2 * DAY, 20)]
    assert not LotDraw.objects.exclude(amount=0).exists()
    assert is_proven(tenant_a)


def test_what_expired_while_it_was_held_is_gone_when_it_comes_back(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 10, expires_at=NOON + DAY)
    credit(ana, gold, 10, expires_at=NOON + 9 * DAY)
    hold_id = hold(ana, gold, 15, expires_at=NOON + 5 * DAY)

    wallet_sweeps.expire_lots(now=NOON + 2 * DAY)
    assert balance_of(ana, gold) == 5
    release(hold_id, None, now=NOON + 3 * DAY)

    assert balance_of(ana, gold) == 10
    assert posted_on(gold, "expired") == 10
    assert is_proven(tenant_a)


def test_what_was_held_before_the_first_lot_comes_back_without_an_end(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 30)
    hold_id = hold(ana, gold, 20)
    credit(ana, gold, 5, expires_at=NOON + DAY)

    release(hold_id, None)
    wallet_sweeps.expire_lots(now=NOON + 2 * DAY)

    assert balance_of(ana, gold) == 30
    assert is_proven(tenant_a)


def test_due_lots_of_many_players_are_swept(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a, expiry_days=1)
    players = [player_of(tenant_a, f"p{number}") for number in range(5)]
    for player in players:
        credit(player, gold, 10)
        credit(player, gold, 10, now=NOON + DAY / 2)

    assert wallet_sweeps.expire_lots(now=NOON + DAY) == 5
    assert wallet_sweeps.expire_lots(now=NOON + DAY) == 0

    assert [balance_of(player, gold) for player in players] == [10] * 5
    assert posted_on(gold, "expired") == 50


def test_who_was_tampered_with_holds_up_nobody_else(
    tenant_a: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    gold = make_currency(tenant_a, expiry_days=1)
    players = [player_of(tenant_a, f"p{number}") for number in range(3)]
    for player in players:
        credit(player, gold, 10)
        hold(player, gold, 4, key=f"hold:{player}", expires_at=NOON + DAY / 2)
    bad = Account.objects.filter(player=players[1])
    bad.filter(kind="wallet").update(balance=1)
    bad.filter(kind="held").update(balance=1)

    assert wallet_sweeps.release_expired_holds(now=NOON + DAY / 2) == 2
    wallet_sweeps.expire_lots(now=NOON + DAY)

    assert [balance_of(player, gold) for player in players] == [0, 1, 0]
    assert posted_on(gold, "expired") == 20
    assert "wallet.sweep_failed" in caplog.text
    assert "ledger.lot_not_covered" in caplog.text


def test_what_lots_do_not_cover_is_not_spent(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a, expiry_days=1), player_of(tenant_a)
    credit(ana, gold, 10)
    Lot.objects.update(remaining=3)

    with pytest.raises(LedgerDriftError):
        debit(ana, gold, 4)
    assert debit(ana, gold, 3).balance_after == 7


# --- Prizes, refunds, transfers ------------------------------------------------------------------


def payment(player: UUID, amount: int, key: str, account: Target = POOL) -> Payment:
    return Payment(
        player_id=player,
        currency_id="gold",
        amount=Decimal(amount),
        idempotency_key=key,
        account=account,
    )


def test_entries_fill_a_pool_that_pays_prizes_and_refunds(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    ben = player_of(tenant_a, "ben")
    for player in (ana, ben):
        credit(player, gold, 100)
        payments.pay(tenant_a.pk, payment(player, 40, f"entry:{player}"), source=SOURCE, now=NOON)

    prizes = [payment(ana, 50, "prize:1"), payment(ben, 20, "prize:2")]
    for _ in range(2):
        payments.pay_prizes(tenant_a.pk, prizes, source=SOURCE, now=NOON)
        payments.refund(tenant_a.pk, payment(ben, 10, "refund:1"), source=SOURCE, now=NOON)

    assert posted_on(gold, "prize_pool", "t-1") == 0
    assert [balance_of(ana, gold), balance_of(ben, gold)] == [110, 90]
    # Prizes are earned, refunds are not (LED-7).
    assert [lifetime_of(ana, gold), lifetime_of(ben, gold)] == [150, 120]
    assert is_proven(tenant_a)


def test_a_pool_that_holds_less_pays_nobody(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    payments.transfer(
        tenant_a.pk,
        "gold",
        Decimal(60),
        origin=Target("issuer"),
        to=POOL,
        source=SOURCE,
        idempotency_key="guaranteed",
        now=NOON,
    )

    with pytest.raises(InsufficientBalanceError), transaction.atomic():
        payments.pay_prizes(
            tenant_a.pk,
            [payment(ana, 50, "1"), payment(ana, 11, "2")],
            source=SOURCE,
            now=NOON,
        )

    assert balance_of(ana, gold) == 0
    assert posted_on(gold, "prize_pool", "t-1") == 60


def test_a_repeated_transfer_moves_nothing_more(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a)

    moved = {
        payments.transfer(
            tenant_a.pk,
            "gold",
            Decimal(60),
            origin=Target("issuer"),
            to=POOL,
            source=SOURCE,
            idempotency_key="guaranteed",
            now=NOON,
        )
        for _ in range(2)
    }

    assert len(moved) == 1
    assert posted_on(gold, "prize_pool", "t-1") == 60


def test_a_prize_may_be_spent_and_its_debit_counts_from_the_same_wallet(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    payments.pay_prize(
        tenant_a.pk, payment(ana, 30, "1", Target("issuer")), source=SOURCE, now=NOON
    )

    assert debit(ana, gold, 10).balance_after == 20
    assert posted_on(gold, "issuer") == -20


def left(player: UUID) -> list[tuple[timedelta, int]]:
    lots = Lot.objects.filter(account__player=player).order_by("expires_at")
    return [
        (lot.expires_at - NOON, int(lot.remaining)) for lot in lots if lot.expires_at is not None
    ]
