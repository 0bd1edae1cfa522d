"""Races on real connections: who comes first is left to the database, the outcome is not."""

from collections import Counter
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection, transaction

from phoenix_site.common.exceptions import DomainError
from phoenix_site.common.ids import uuid7
from rewards.exceptions import (
    AlreadyReversedError,
    HoldExceededError,
    InsufficientBalanceError,
    PostingConflictError,
)
from rewards.models import LedgerTransaction, Lot, Participant, Posting
from rewards.services import payments, wallet_sweeps
from rewards.services.payments import Payment
from rewards.services.pipe import settling
from rewards.services.proofs import prove
from rewards.services.reversals import reverse
from rewards.types.wallets import PaySource, Target
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.leaderboards.races import in_threads
from tests.rewards.api_cast import admin_api
from tests.rewards.ledger_cast import (
    NOON,
    balance_of,
    credit,
    debit,
    make_currency,
    player_of,
    posted_on,
    staff_cause,
)

pytestmark = pytest.mark.django_db(transaction=True)
SOURCE = PaySource("tournament", "t-1")


def test_acceptance_4_fifty_deducts_at_once_take_no_more_than_there_is(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    api = admin_api(tenant_a)
    body = {"user_id": "ana", "currency_id": "gold", "amount": 10, "reason": "race"}

    def deduct() -> int:
        key = str(uuid7())
        status: int = api.post("wallet/deduct", body, **{"Idempotency-Key": key}).status_code
        return status

    answers = Counter(in_threads(50, deduct))

    assert answers == {201: 10, 400: 40}
    assert balance_of(ana, gold) == 0
    assert not prove("tenant-a", NOON).difference_count


def test_one_key_at_once_posts_once(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)

    ids = in_threads(8, lambda: credit(ana, gold, 10, key="same").transaction_id)

    assert len(set(ids)) == 1
    assert balance_of(ana, gold) == 10


def test_one_key_for_two_players_at_once_is_a_conflict_for_one_of_them(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a)
    players = [player_of(tenant_a, name) for name in ("ana", "ben")]

    def post() -> str:
        player = players.pop()
        try:
            credit(player, gold, 10, key="same")
        except PostingConflictError:
            return "conflict"
        return "posted"

    assert sorted(in_threads(2, post)) == ["conflict", "posted"]
    assert LedgerTransaction.objects.count() == 1


def test_players_settled_together_in_any_order_wait_and_never_lock_each_other_out(
    tenant_a: Tenant,
) -> None:
    gold = make_currency(tenant_a)
    players = [player_of(tenant_a, f"p{number}") for number in range(20)]
    orders = [players, players[::-1]] * 4

    def post() -> None:
        chosen, run = orders.pop(), uuid7()
        for turn in range(3):
            with transaction.atomic(), settling(chosen, now=NOON) as at:
                for player in chosen:
                    cause = staff_cause(tenant_a.pk)
                    at.credit(player, gold, Decimal(1), cause=cause, key=f"{run}:{turn}:{player}")

    in_threads(8, post)

    assert Participant.objects.count() == 20
    assert {balance_of(player, gold) for player in players} == {Decimal(24)}
    assert not prove("tenant-a", NOON).difference_count


def test_captures_at_once_never_exceed_the_hold(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    wanted = Payment(player_id=ana, currency_id="gold", amount=Decimal(40), idempotency_key="h")
    hold_id = payments.hold("tenant-a", wanted, source=SOURCE, reference="e", now=NOON).id

    def capture() -> str:
        try:
            payments.capture(
                "tenant-a",
                hold_id,
                Decimal(15),
                to=Target("prize_pool", "t-1"),
                source=SOURCE,
                idempotency_key=str(uuid7()),
                now=NOON,
            )
        except HoldExceededError:
            return "exceeded"
        return "captured"

    assert Counter(in_threads(6, capture)) == {"captured": 2, "exceeded": 4}
    assert posted_on(gold, "prize_pool", "t-1") == 30
    assert not prove("tenant-a", NOON).difference_count


def test_a_pool_pays_no_more_than_it_holds_however_many_ask(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a)
    pool = Target("prize_pool", "t-1")
    payments.transfer(
        "tenant-a",
        "gold",
        Decimal(50),
        origin=Target("issuer"),
        to=pool,
        source=SOURCE,
        idempotency_key="fill",
        now=NOON,
    )
    players = [player_of(tenant_a, f"p{number}") for number in range(8)]

    def win() -> str:
        prize = Payment(
            player_id=players.pop(),
            currency_id="gold",
            amount=Decimal(20),
            idempotency_key=str(uuid7()),
            account=pool,
        )
        try:
            payments.pay_prize("tenant-a", prize, source=SOURCE, now=NOON)
        except InsufficientBalanceError:
            return "empty"
        return "paid"

    assert Counter(in_threads(8, win)) == {"paid": 2, "empty": 6}
    assert posted_on(gold, "prize_pool", "t-1") == 10


def test_two_reversals_at_once_take_back_once(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    given = credit(ana, gold, 10).transaction_id
    credit(ana, gold, 90)

    def undo() -> str:
        try:
            reverse("tenant-a", given, clip=False, reason="r", actor=SYSTEM, now=NOON)
        except AlreadyReversedError:
            return "already"
        return "reversed"

    assert Counter(in_threads(4, undo)) == {"reversed": 1, "already": 3}
    assert balance_of(ana, gold) == 90


def test_sweeps_and_spending_at_once_expire_each_lot_once(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a, expiry_days=1)
    players = [player_of(tenant_a, f"p{number}") for number in range(10)]
    for player in players:
        credit(player, gold, 10)
    later = NOON.replace(day=6)
    work = [*([None] * 3), *players[:3]]

    def run() -> None:
        chosen: UUID | None = work.pop()
        if chosen is None:
            wallet_sweeps.expire_lots(now=later)
            return
        try:
            debit(chosen, gold, 1, now=later)
        except DomainError:
            wallet_sweeps.expire_lots(now=later)

    in_threads(6, run)

    assert posted_on(gold, "expired") == 100
    assert not Lot.objects.filter(remaining__gt=0).exists()
    assert LedgerTransaction.objects.filter(kind="expire").count() == 10
    assert not prove("tenant-a", NOON).difference_count


def test_the_proof_sees_one_state_beside_traffic(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a)
    players = [player_of(tenant_a, f"p{number}") for number in range(4)]
    work = ["prove", *players]

    def run() -> int:
        chosen = work.pop()
        if chosen == "prove":
            return sum(prove("tenant-a", NOON).difference_count for _ in range(10))
        for _ in range(15):
            credit(chosen, gold, 3)  # type: ignore[arg-type]
            debit(chosen, gold, 2)  # type: ignore[arg-type]
        return 0

    assert sum(in_threads(5, run)) == 0
    assert Posting.objects.count() == 4 * 15 * 4
    assert connection.is_usable()
