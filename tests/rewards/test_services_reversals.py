from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from phoenix_site.common.exceptions import NotFoundError
from rewards.exceptions import (
    AlreadyReversedError,
    InsufficientBalanceError,
    StateConflictError,
)
from rewards.models import LedgerTransaction, Lot
from rewards.services import payments
from rewards.services.payments import Payment
from rewards.services.proofs import prove
from rewards.services.reversals import reverse
from rewards.types.wallets import PaySource, Reversed, Target
from tenants.models import AuditEntry, Tenant
from tenants.types import Actor
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
OPS = Actor("staff", "staff:1", "ops")


def take_back(transaction_id: UUID, *, clip: bool = False, tenant: str = "tenant-a") -> Reversed:
    return reverse(tenant, transaction_id, clip=clip, reason="A mistake.", actor=OPS, now=NOON)


def test_acceptance_8_a_credit_that_is_spent_is_taken_back_as_far_as_it_goes(
    tenant_a: Tenant,
) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    given = credit(ana, gold, 100).transaction_id
    debit(ana, gold, 60)

    with pytest.raises(InsufficientBalanceError):
        take_back(given)
    outcome = take_back(given, clip=True)

    assert outcome.shortfall == 60
    assert balance_of(ana, gold) == 0
    assert lifetime_of(ana, gold) == 60
    row = LedgerTransaction.objects.get(pk=outcome.transaction_id)
    assert (row.kind, row.reverses_id, row.reason) == ("reversal", given, "A mistake.")
    with pytest.raises(AlreadyReversedError):
        take_back(given, clip=True)
    assert AuditEntry.objects.filter(action="wallet.reversed").count() == 1
    assert prove(tenant_a.pk, NOON).differences == []


def test_of_an_empty_wallet_there_is_nothing_to_clip(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    given = credit(ana, gold, 100).transaction_id
    debit(ana, gold, 100)

    with pytest.raises(InsufficientBalanceError):
        take_back(given, clip=True)

    assert not LedgerTransaction.objects.filter(kind="reversal").exists()


def test_what_cannot_be_spent_is_corrected_by_reversal(tenant_a: Tenant) -> None:
    xp, ana = make_currency(tenant_a, "xp", is_spendable=False), player_of(tenant_a)
    given = credit(ana, xp, 100).transaction_id
    credit(ana, xp, 5)

    take_back(given)

    assert [balance_of(ana, xp), lifetime_of(ana, xp)] == [5, 5]


def test_a_debit_taken_back_is_not_earned(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    taken = debit(ana, gold, 60).transaction_id

    take_back(taken)

    assert [balance_of(ana, gold), lifetime_of(ana, gold)] == [100, 100]
    assert posted_on(gold, "issuer") == -100
    assert prove(tenant_a.pk, NOON).differences == []


def test_a_reversed_credit_gives_back_its_own_lot_first(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 10, expires_at=NOON + DAY)
    late = credit(ana, gold, 20, expires_at=NOON + 2 * DAY).transaction_id

    take_back(late)

    [lot] = Lot.objects.filter(remaining__gt=0)
    assert (lot.remaining, lot.expires_at) == (10, NOON + DAY)


def test_a_prize_goes_back_into_its_pool(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    pool, source = Target("prize_pool", "t-1"), PaySource("tournament", "t-1")
    payments.transfer(
        tenant_a.pk,
        "gold",
        Decimal(50),
        origin=Target("issuer"),
        to=pool,
        source=source,
        idempotency_key="fill",
        now=NOON,
    )
    prize = Payment(
        player_id=ana,
        currency_id="gold",
        amount=Decimal(50),
        idempotency_key="prize",
        account=pool,
    )
    paid = payments.pay_prize(tenant_a.pk, prize, source=source, now=NOON).transaction_id

    take_back(paid)

    assert [balance_of(ana, gold), lifetime_of(ana, gold)] == [0, 0]
    assert posted_on(gold, "prize_pool", "t-1") == 50
    assert prove(tenant_a.pk, NOON).differences == []


def test_what_has_another_way_back_is_not_reversed(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    given = credit(ana, gold, 100).transaction_id
    reversal = take_back(given).transaction_id

    with pytest.raises(StateConflictError):
        take_back(reversal)


def test_another_tenants_transaction_is_not_there(tenant_a: Tenant, tenant_b: Tenant) -> None:
    given = credit(player_of(tenant_a), make_currency(tenant_a), 1).transaction_id

    with pytest.raises(NotFoundError):
        take_back(given, tenant=tenant_b.pk)
