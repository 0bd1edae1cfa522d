from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from phoenix_site.common.exceptions import InvalidInputError
from rewards.exceptions import (
    CurrencyChangedError,
    InsufficientBalanceError,
    LedgerDriftError,
    NotSpendableError,
    PostingConflictError,
)
from rewards.models import Account, Currency, LedgerTransaction, Lot, Participant, Posting
from rewards.services import accounts, ledger, lots, participants, statements
from rewards.services.pipe import settling
from tenants.models import Tenant
from tests.rewards.ledger_cast import (
    NOON,
    balance_of,
    credit,
    debit,
    kinds_of,
    lifetime_of,
    make_currency,
    player_of,
    posted_on,
    staff_cause,
)

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def test_a_credit_comes_from_the_issuer_and_counts_as_earned(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)

    movement = credit(ana, gold, 100)

    assert movement.balance_after == 100
    assert balance_of(ana, gold) == 100
    assert lifetime_of(ana, gold) == 100
    assert posted_on(gold, "issuer") == -100
    row = LedgerTransaction.objects.get(pk=movement.transaction_id)
    assert (row.kind, row.source_type, row.cause_kind) == ("credit", "manual", "staff")
    balances = {posting.balance_after for posting in row.postings.all()}
    assert balances == {None, Decimal(100)}


def test_what_is_spent_returns_to_the_issuer_and_stays_earned(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)

    movement = debit(ana, gold, 30)

    assert movement.balance_after == 70
    assert posted_on(gold, "issuer") == -70
    assert lifetime_of(ana, gold) == 100


def test_more_than_the_wallet_holds_is_refused_and_nothing_is_written(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)

    with pytest.raises(InsufficientBalanceError):
        debit(ana, gold, 101)

    assert balance_of(ana, gold) == 100
    assert kinds_of(ana) == ["credit"]


def test_a_currency_that_is_not_spendable_is_not_debited(tenant_a: Tenant) -> None:
    xp, ana = make_currency(tenant_a, "xp", is_spendable=False), player_of(tenant_a)
    credit(ana, xp, 100)

    with pytest.raises(NotSpendableError):
        debit(ana, xp, 1)


@pytest.mark.parametrize("amount", ["0", "-1", "0.5", "NaN", "Infinity", "1e18"])
def test_amounts_that_no_wallet_takes_are_refused(tenant_a: Tenant, amount: str) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)

    with pytest.raises(InvalidInputError):
        credit(ana, gold, amount)


def test_players_hold_no_money_of_tournaments_unless_that_is_switched_on(
    tenant_a: Tenant,
) -> None:
    euro, ana = make_currency(tenant_a, "EUR", kind="cash", has_wallets=False), player_of(tenant_a)

    with pytest.raises(InvalidInputError):
        credit(ana, euro, 1)


def test_eight_decimals_and_very_large_balances_stay_exact(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a, decimal_places=8)
    ana = player_of(tenant_a)
    huge, tiny = Decimal(10**18 - 1), Decimal("0.00000001")

    for _ in range(12):
        credit(ana, gold, huge)
    credit(ana, gold, tiny)

    assert balance_of(ana, gold) == Decimal("11999999999999999988.00000001")
    assert posted_on(gold, "issuer") == -Decimal("11999999999999999988.00000001")


# --- Keys (LED-2) --------------------------------------------------------------------------------


def test_the_same_key_and_content_give_the_first_movement_again(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    first = credit(ana, gold, 100, key="grant:1")
    debit(ana, gold, 30)

    again = credit(ana, gold, 100, key="grant:1")

    assert again == first._replace(is_repeat=True)
    assert balance_of(ana, gold) == 70


@pytest.mark.parametrize("change", ["amount", "player", "currency", "direction"])
def test_the_same_key_with_other_content_is_a_conflict(tenant_a: Tenant, change: str) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100, key="grant:1")
    do = debit if change == "direction" else credit
    player = player_of(tenant_a, "ben") if change == "player" else ana
    currency = make_currency(tenant_a, "gems") if change == "currency" else gold

    with pytest.raises(PostingConflictError):
        do(player, currency, 200 if change == "amount" else 100, key="grant:1")


def test_a_key_used_twice_in_one_settlement_counts_once(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    cause = staff_cause(tenant_a.pk)

    with settling([ana], now=NOON) as settlement:
        first = settlement.credit(ana, gold, Decimal(5), cause=cause, key="k")
        again = settlement.credit(ana, gold, Decimal(5), cause=cause, key="k")
        with pytest.raises(PostingConflictError):
            settlement.credit(ana, gold, Decimal(6), cause=cause, key="k")

    assert again.transaction_id == first.transaction_id
    assert again.is_repeat
    assert balance_of(ana, gold) == 5


def test_two_tenants_may_use_the_same_key(tenant_a: Tenant, tenant_b: Tenant) -> None:
    for tenant in (tenant_a, tenant_b):
        credit(player_of(tenant), make_currency(tenant), 1, key="same")

    assert LedgerTransaction.objects.filter(idempotency_key="same").count() == 2


def test_a_repeated_key_that_nobody_announced_fails_at_the_constraint(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 1, key="k")

    @transaction.atomic
    def repeat() -> None:
        with settling([ana], now=NOON) as settlement:
            settlement.credit(ana, gold, Decimal(1), cause=staff_cause(tenant_a.pk), key="k")

    with pytest.raises(PostingConflictError):
        repeat()
    assert balance_of(ana, gold) == 1


# --- One settlement ------------------------------------------------------------------------------


def test_movements_of_one_settlement_build_on_each_other(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    cause = staff_cause(tenant_a.pk)

    with settling([ana], now=NOON) as settlement:
        settlement.credit(ana, gold, Decimal(10), cause=cause, key="1")
        after = settlement.debit(ana, gold, Decimal(4), cause=cause, key="2")
        with pytest.raises(InsufficientBalanceError):
            settlement.debit(ana, gold, Decimal(7), cause=cause, key="3")
        wallet = settlement.wallet(ana, gold)
        assert [wallet.available, wallet.held, wallet.lifetime_earned] == [6, 0, 10]

    assert after.balance_after == 6
    assert balance_of(ana, gold) == 6
    assert LedgerTransaction.objects.count() == 2


def test_an_exception_in_the_block_writes_nothing(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)

    def fail() -> None:
        with settling([ana], now=NOON) as settlement:
            settlement.credit(ana, gold, Decimal(10), cause=staff_cause(tenant_a.pk), key="1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert not LedgerTransaction.objects.exists()


def test_the_number_of_queries_does_not_grow_with_the_players(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold = make_currency(tenant_a, expiry_days=1)
    credit(player_of(tenant_a, "first"), gold, 1)
    seen = _count_statements(monkeypatch)

    counts = []
    for size in (1, 50):
        players = [player_of(tenant_a, f"p{size}-{number}") for number in range(size)]
        seen.clear()
        with settling(players, now=NOON) as settlement:
            for number, player in enumerate(players):
                cause, key = staff_cause(tenant_a.pk), f"{size}-{number}"
                settlement.credit(player, gold, Decimal(10), cause=cause, key=key)
        counts.append(len(seen))

    assert counts[0] == counts[1]
    assert Participant.objects.count() == 52
    assert Account.objects.filter(kind="wallet", balance=10).count() == 51
    assert Posting.objects.count() == 104


def test_a_balance_that_was_changed_past_the_lock_is_not_built_upon(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 10)

    @transaction.atomic
    def interfere() -> None:
        with settling([ana], now=NOON) as settlement:
            settlement.credit(ana, gold, Decimal(1), cause=staff_cause(tenant_a.pk), key="k")
            Account.objects.filter(player=ana, kind="wallet").update(balance=11)

    with pytest.raises(LedgerDriftError):
        interfere()

    assert LedgerTransaction.objects.count() == 1


def test_a_first_posting_in_a_currency_that_was_just_changed_asks_to_try_again(
    tenant_a: Tenant,
) -> None:
    gold, ana = make_currency(tenant_a, decimal_places=2), player_of(tenant_a)
    Currency.objects.update(decimal_places=0)

    with pytest.raises(CurrencyChangedError):
        credit(ana, gold, "0.5")


# --- Lots (LED-5) --------------------------------------------------------------------------------


def test_acceptance_7_debits_draw_what_expires_first(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 10, expires_at=NOON + DAY)
    credit(ana, gold, 20, expires_at=NOON + 2 * DAY)

    assert debit(ana, gold, 15, now=NOON + DAY / 2).balance_after == 15
    _settle(ana, now=NOON + DAY)
    assert balance_of(ana, gold) == 15
    _settle(ana, now=NOON + 2 * DAY)

    assert balance_of(ana, gold) == 0
    assert posted_on(gold, "expired") == 15
    assert posted_on(gold, "issuer") == -15
    assert not Lot.objects.filter(remaining__gt=0).exists()


def test_a_due_lot_is_over_before_anything_is_spent(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a, expiry_days=1), player_of(tenant_a)
    credit(ana, gold, 10)

    with pytest.raises(InsufficientBalanceError):
        debit(ana, gold, 1, now=NOON + DAY)
    credit(ana, gold, 7, now=NOON + DAY)

    assert balance_of(ana, gold) == 7
    expiry = LedgerTransaction.objects.get(kind="expire")
    assert expiry.created_at == NOON + DAY
    assert kinds_of(ana) == ["credit", "expire", "credit"]


def test_what_a_wallet_held_before_its_first_lot_does_not_expire(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 5)
    credit(ana, gold, 10, expires_at=NOON + DAY)
    debit(ana, gold, 3)

    _settle(ana, now=NOON + 9 * DAY)

    assert balance_of(ana, gold) == 5
    assert posted_on(gold, "expired") == 7
    [lot] = Lot.objects.filter(remaining__gt=0)
    assert (lot.remaining, lot.expires_at, lot.transaction_id) == (5, None, None)


def test_many_lots_of_many_players_are_drawn_in_one_settlement(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a, expiry_days=30)
    players = [player_of(tenant_a, f"p{number}") for number in range(5)]
    for player in players:
        for day in range(3):
            credit(player, gold, 10, now=NOON + day * DAY)

    with settling(players, now=NOON + 3 * DAY) as settlement:
        for number, player in enumerate(players):
            settlement.debit(
                player, gold, Decimal(15), cause=staff_cause(tenant_a.pk), key=str(number)
            )

    left = Lot.objects.filter(account__player=players[0]).order_by("expires_at")
    assert [lot.remaining for lot in left] == [0, 5, 10]


def _settle(player: Any, now: Any) -> None:
    with transaction.atomic(), settling([player], now=now):
        pass


def _count_statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the statements that go past Django's cursor."""
    seen: list[str] = []
    for module in (accounts, ledger, lots, participants):

        def counting(statement: str, parameters: Any) -> Any:
            seen.append(statement)
            return statements.run(statement, parameters)

        monkeypatch.setattr(module, "run", counting)
    return seen
