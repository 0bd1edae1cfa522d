from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.models import Event
from phoenix_site.common.exceptions import DomainError
from rewards.models import Account, Grant, Hold, Job, LedgerTransaction, Lot, Proof
from rewards.services import payments, proofs, reversals, wallet_sweeps
from rewards.services.jobs import run_job
from rewards.services.payments import Payment
from rewards.services.proofs import hash_proof, prove
from rewards.types.book import CurrencyView
from rewards.types.wallets import PaySource, Target
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.rewards.ledger_cast import NOON, credit, debit, make_currency, player_of

pytestmark = pytest.mark.django_db
SOURCE = PaySource("tournament", "t-1")
HOUR = timedelta(hours=1)


def test_a_ledger_without_anything_is_proven(tenant_a: Tenant) -> None:
    proof = prove("tenant-a", NOON)

    assert (proof.number, proof.differences, proof.counts) == (1, [], {})


def test_a_proof_counts_and_is_chained_by_its_hash(tenant_a: Tenant, tenant_b: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    debit(ana, gold, 30)
    credit(player_of(tenant_b, "cleo"), make_currency(tenant_b), 1)

    first, second = prove("tenant-a", NOON), prove("tenant-a", NOON + HOUR)

    assert first.counts == {
        "gold": {"transactions": 2, "postings": 4, "wallets": 1, "circulating": "70"}
    }
    assert (first.previous_hash, second.previous_hash) == ("", first.hash)
    stored = Proof.objects.get(pk=second.pk)
    assert stored.hash == hash_proof(stored)
    stored.difference_count = 1
    assert stored.hash != hash_proof(stored)
    assert prove("tenant-b", NOON).number == 1


def tampered(statement: str) -> None:
    """Change what no service changes, as only somebody with the rights of the server can."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.parametrize(
    ("statement", "checks"),
    [
        ("UPDATE rewards_account SET balance = 71 WHERE kind = 'wallet'", {"balance", "lots"}),
        ("UPDATE rewards_account SET balance = 9 WHERE kind = 'held'", {"balance", "held"}),
        ("UPDATE rewards_account SET lifetime_earned = 1 WHERE kind = 'wallet'", {"lifetime"}),
        ("UPDATE rewards_lot SET remaining = 0", {"lots"}),
        ("UPDATE rewards_hold SET amount = 30", {"held"}),
        ("UPDATE rewards_hold SET captured = 20, status = 'closed'", {"held"}),
        (
            "UPDATE rewards_posting SET amount = amount + 1 WHERE amount > 0",
            {"sum", "transaction", "balance", "lifetime", "held"},
        ),
        (
            "DELETE FROM rewards_posting WHERE balance_after IS NULL",
            {"sum", "transaction"},
        ),
        (
            "INSERT INTO rewards_ledgertransaction (id, tenant_id, kind, idempotency_key, "
            "content_hash, source_type, source_ref, cause_kind, cause_id, actor, reason, "
            "created_at) VALUES (gen_random_uuid(), 'tenant-a', 'credit', 'x', '', '', '', '', '', "
            "'', '', now())",
            {"postings"},
        ),
    ],
)
def test_whatever_is_changed_behind_the_ledgers_back_is_found(
    tenant_a: Tenant, statement: str, checks: set[str]
) -> None:
    gold, ana = make_currency(tenant_a, expiry_days=9), player_of(tenant_a)
    credit(ana, gold, 100)
    entry = Payment(player_id=ana, currency_id="gold", amount=Decimal(20), idempotency_key="h")
    payments.hold("tenant-a", entry, source=SOURCE, reference="entry", now=NOON)
    assert not prove("tenant-a", NOON).difference_count

    tampered(statement)
    proof = prove("tenant-a", NOON)

    found = {difference["check"] for difference in proof.differences}
    assert found
    assert found <= checks
    assert {difference["currency_id"] for difference in proof.differences} <= {"gold", ""}
    # Nothing is repaired.
    assert prove("tenant-a", NOON).differences == proof.differences


def test_a_grant_of_money_without_its_transaction_is_found(tenant_a: Tenant) -> None:
    grant = Grant.objects.create(
        tenant=tenant_a,
        player_id=player_of(tenant_a),
        source_type="manual",
        source_id="1",
        snapshot={"reward_type": "points", "payload": {"amount": 5}},
        status="granted",
        group_id=UUID(int=1),
    )

    [difference] = prove("tenant-a", NOON).differences

    assert (difference["check"], difference["subject"]) == ("grant", str(grant.pk))


def test_at_most_a_hundred_differences_are_shown_and_all_are_counted(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a)
    for number in range(103):
        credit(player_of(tenant_a, f"p{number}"), gold, 1)
    tampered("UPDATE rewards_account SET balance = 2 WHERE kind = 'wallet'")

    proof = prove("tenant-a", NOON)

    assert (len(proof.differences), proof.difference_count) == (100, 103)
    alert = Event.objects.get(type="ledger.proof.failed")
    assert (alert.tenant_id, alert.user_id) == ("tenant-a", None)
    assert alert.attrs["differences"] == 103


# --- Jobs ----------------------------------------------------------------------------------------


def test_every_tenant_is_due_once_a_night(tenant_a: Tenant, tenant_b: Tenant) -> None:
    night = NOON.replace(hour=proofs.NIGHT_HOUR)

    assert proofs.enqueue_due_proofs_across_tenants(night) == 2
    assert proofs.enqueue_due_proofs_across_tenants(night) == 0
    for job in Job.objects.all():
        run_job(job.pk, clock=lambda: night)

    assert Proof.objects.count() == 2
    job = Job.objects.filter(tenant=tenant_a).get()
    assert job.status == "done"
    assert job.result["difference_count"] == 0
    assert proofs.enqueue_due_proofs_across_tenants(night + 20 * HOUR) == 0


# --- Whatever happens, the proof stays clean -----------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("credit", "expiring", "debit", "hold", "capture", "release", "reverse"),
                *("wait", "sweep", "repeat", "prize", "entry"),
            ]
        ),
        st.integers(0, 1),
        st.integers(1, 40),
    ),
    max_size=25,
)


class Story:
    """Two players who do things in an order that somebody else chose."""

    def __init__(self, tenant: Tenant, gold: CurrencyView, players: list[UUID]) -> None:
        self.tenant_id, self.gold, self.players = tenant.pk, gold, players
        self.now, self.count = NOON, 0
        self.last: tuple[UUID, int, str] | None = None

    def take(self, step: str, who: int, amount: int) -> None:
        self.count += 1
        with suppress(DomainError), transaction.atomic():
            getattr(self, f"_{step}")(self.players[who], amount)

    def _credit(self, player: UUID, amount: int) -> None:
        key = f"credit:{self.count}"
        credit(player, self.gold, amount, now=self.now, key=key)
        self.last = (player, amount, key)

    def _expiring(self, player: UUID, amount: int) -> None:
        end = self.now + timedelta(hours=amount)
        credit(player, self.gold, amount, now=self.now, expires_at=end)

    def _repeat(self, player: UUID, amount: int) -> None:
        if self.last is not None:
            credit(self.last[0], self.gold, self.last[1], now=self.now, key=self.last[2])

    def _debit(self, player: UUID, amount: int) -> None:
        debit(player, self.gold, amount, now=self.now)

    def _payment(self, player: UUID, amount: int) -> Payment:
        return Payment(
            player_id=player,
            currency_id="gold",
            amount=Decimal(amount),
            idempotency_key=str(self.count),
            account=Target("prize_pool", "t"),
        )

    def _prize(self, player: UUID, amount: int) -> None:
        payment = self._payment(player, amount)
        payments.pay_prize(self.tenant_id, payment, source=SOURCE, now=self.now)

    def _entry(self, player: UUID, amount: int) -> None:
        payment = self._payment(player, amount)
        payments.pay(self.tenant_id, payment, source=SOURCE, now=self.now)

    def _hold(self, player: UUID, amount: int) -> None:
        payments.hold(
            self.tenant_id,
            self._payment(player, amount),
            source=SOURCE,
            reference="entry",
            now=self.now,
        )

    def _open(self, player: UUID) -> UUID | None:
        found = Hold.objects.filter(player=player, status="open").order_by("pk")
        return found.values_list("pk", flat=True).first()

    def _capture(self, player: UUID, amount: int) -> None:
        if hold_id := self._open(player):
            payments.capture(
                self.tenant_id,
                hold_id,
                Decimal(amount),
                to=Target("prize_pool", "t"),
                source=SOURCE,
                idempotency_key=str(self.count),
                now=self.now,
            )

    def _release(self, player: UUID, amount: int) -> None:
        if hold_id := self._open(player):
            payments.release(
                self.tenant_id,
                hold_id,
                Decimal(amount),
                source=SOURCE,
                idempotency_key=str(self.count),
                now=self.now,
            )

    def _reverse(self, player: UUID, amount: int) -> None:
        rows = LedgerTransaction.objects.filter(player=player).order_by("created_at", "pk")
        if found := list(rows):
            row = found[amount % len(found)]
            reversals.reverse(
                self.tenant_id, row.pk, clip=True, reason="r", actor=SYSTEM, now=self.now
            )

    def _wait(self, player: UUID, amount: int) -> None:
        self.now += timedelta(hours=amount)

    def _sweep(self, player: UUID, amount: int) -> None:
        wallet_sweeps.expire_lots(now=self.now)
        wallet_sweeps.release_expired_holds(now=self.now)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS, expires=st.booleans())
def test_whatever_happens_in_whatever_order_the_proof_stays_clean(
    tenant_a: Tenant, steps: list[tuple[str, int, int]], *, expires: bool
) -> None:
    with _undone():
        gold = make_currency(tenant_a, expiry_days=2 if expires else None)
        story = Story(tenant_a, gold, [player_of(tenant_a, name) for name in ("ana", "ben")])

        for step in steps:
            story.take(*step)

        assert prove("tenant-a", story.now).differences == []
        assert not Account.objects.filter(balance__lt=0).exists()
        story.take("sweep", 0, 1)
        assert not Lot.objects.filter(expires_at__lte=story.now, remaining__gt=0).exists()
        assert prove("tenant-a", story.now).differences == []


def _undone() -> Any:
    """Return a block whose changes are rolled back, so that each example begins anew."""

    class Undone:
        def __enter__(self) -> None:
            self._block = transaction.atomic()
            self._block.__enter__()

        def __exit__(self, *error: Any) -> None:
            transaction.set_rollback(True)
            self._block.__exit__(*error)

    return Undone()
