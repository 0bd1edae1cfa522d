from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from phoenix_site.common.exceptions import NotFoundError
from rewards.exceptions import (
    AlreadyExistsError,
    DocumentError,
    InUseError,
    VersionConflictError,
)
from rewards.models import Currency, DocumentVersion, Lot
from rewards.selectors import currencies as selectors
from rewards.selectors.book import book_of
from rewards.services import currencies, payments, wallet_sweeps
from rewards.services.payments import Payment
from rewards.services.proofs import prove
from rewards.types.wallets import PaySource
from tenants.models import AuditEntry, Tenant
from tenants.services.audit import SYSTEM
from tests.rewards.ledger_cast import (
    NOON,
    balance_of,
    credit,
    debit,
    make_currency,
    player_of,
)

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
GOLD = {"id": "gold", "name": "Gold"}


def create(document: dict[str, Any], tenant: str = "tenant-a") -> Currency:
    return currencies.create_currency(tenant, document, actor=SYSTEM, now=NOON)


def patch(change: dict[str, Any], currency_id: str = "gold") -> Currency:
    return currencies.patch_currency("tenant-a", currency_id, change, actor=SYSTEM, now=NOON)


def faults_of(document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(DocumentError) as caught:
        create(document)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_a_currency_is_made_with_every_default(tenant_a: Tenant) -> None:
    row = create(GOLD)

    assert selectors.currency_document(row) == {
        "id": "gold",
        "name": "Gold",
        "symbol": None,
        "kind": "points",
        "role": None,
        "is_spendable": True,
        "decimal_places": 0,
        "unit_cost": 0,
        "expiry": None,
        "player_wallets": True,
        "active": True,
    }
    assert book_of("tenant-a").currencies["gold"].name == "Gold"
    assert DocumentVersion.objects.get(object_id=row.pk).version == 1
    assert AuditEntry.objects.get().action == "currency.created"


def test_every_fault_of_a_document_is_named(tenant_a: Tenant) -> None:
    faults = faults_of(
        {
            "id": "Bad Id",
            "name": " ",
            "symbol": "x" * 17,
            "role": "gold",
            "is_spendable": "yes",
            "decimal_places": 9,
            "unit_cost": -1,
            "expiry": {"days": 0},
            "colour": "yellow",
        }
    )

    assert set(faults) == {
        *("id", "name", "symbol", "role", "is_spendable", "decimal_places", "unit_cost"),
        *("expiry.days", "colour"),
    }


@pytest.mark.parametrize(
    ("currency_id", "kind", "is_valid"),
    [
        ("gold_coins", "points", True),
        ("EUR", "cash", True),
        ("EUR", "points", False),
        ("euro", "cash", False),
        ("catalog", "points", False),
        ("a" * 41, "points", False),
    ],
)
def test_cash_has_its_iso_code_and_points_a_slug(
    tenant_a: Tenant, currency_id: str, kind: str, is_valid: bool
) -> None:
    document = {"id": currency_id, "name": "N", "kind": kind}

    if is_valid:
        assert create(document).has_wallets is (kind == "points")
    else:
        assert "id" in faults_of(document)


def test_ids_and_roles_stand_once_in_a_tenant(tenant_a: Tenant, tenant_b: Tenant) -> None:
    create({**GOLD, "role": "token"})

    with pytest.raises(AlreadyExistsError):
        create(GOLD)
    with pytest.raises(AlreadyExistsError):
        create({"id": "gems", "name": "Gems", "role": "token"})
    create({**GOLD, "role": "token"}, tenant_b.pk)


def test_before_the_first_posting_everything_may_change(tenant_a: Tenant) -> None:
    create(GOLD)

    row = patch({"decimal_places": 2, "role": "xp", "is_spendable": False, "id": "points"})

    assert (row.currency_id, row.decimal_places, row.role, row.version) == ("points", 2, "xp", 2)


@pytest.mark.parametrize(
    "change",
    [{"id": "coins"}, {"decimal_places": 2}, {"role": "xp"}, {"is_spendable": False}],
)
def test_after_the_first_posting_what_amounts_mean_is_fixed(
    tenant_a: Tenant, change: dict[str, Any]
) -> None:
    gold = make_currency(tenant_a)
    credit(player_of(tenant_a), gold, 1)

    with pytest.raises(InUseError):
        patch(change)
    row = patch({"name": "Gulden", "unit_cost": 0.5, "symbol": "G"})

    assert (row.name, row.symbol, row.decimal_places) == ("Gulden", "G", 0)


def test_an_outdated_change_is_refused(tenant_a: Tenant) -> None:
    create(GOLD)
    patch({"name": "Gulden", "version": 1})

    with pytest.raises(VersionConflictError):
        patch({"name": "Taler", "version": 1})
    assert patch({"name": "Gulden"}).version == 2


def test_a_copy_has_another_id_and_no_role(tenant_a: Tenant) -> None:
    create({**GOLD, "role": "token", "decimal_places": 2})

    copy = currencies.duplicate_currency("tenant-a", "gold", {"id": "gems"}, actor=SYSTEM, now=NOON)

    assert (copy.currency_id, copy.role, copy.decimal_places) == ("gems", None, 2)


def test_an_archived_currency_stays_and_another_tenants_is_not_there(
    tenant_a: Tenant, tenant_b: Tenant
) -> None:
    create(GOLD)

    assert not currencies.archive_currency("tenant-a", "gold", actor=SYSTEM, now=NOON).is_active
    with pytest.raises(NotFoundError):
        currencies.archive_currency(tenant_b.pk, "gold", actor=SYSTEM, now=NOON)


# --- Expiry switched on (LED-5) ------------------------------------------------------------------


def test_switching_expiry_on_gives_each_player_one_opening_lot(tenant_a: Tenant) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    ben = player_of(tenant_a, "ben")
    for player, amount in ((ana, 10), (ana, 20), (ben, 5)):
        credit(player, gold, amount)

    patch({"expiry": {"days": 30}, "opening_lots_expire_at": "2026-03-07T12:00:00Z"})

    lots = Lot.objects.order_by("remaining")
    assert [lot.remaining for lot in lots] == [5, 30]
    assert {lot.expires_at for lot in lots} == {NOON + 2 * DAY}
    later = book_of("tenant-a").currencies["gold"]
    credit(ana, later, 7, now=NOON + DAY)
    debit(ana, later, 12, now=NOON + DAY)
    wallet_sweeps.expire_lots(now=NOON + 2 * DAY)
    assert [balance_of(ana, gold), balance_of(ben, gold)] == [7, 0]
    assert not prove("tenant-a", NOON).difference_count


def test_what_is_held_when_expiry_is_switched_on_comes_back_with_the_chosen_end(
    tenant_a: Tenant,
) -> None:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 30)
    source = PaySource("tournament", "t-1")
    entry = Payment(player_id=ana, currency_id="gold", amount=Decimal(20), idempotency_key="h")
    hold = payments.hold(
        "tenant-a", entry, source=source, reference="entry", now=NOON, expires_at=NOON + 9 * DAY
    )

    patch({"expiry": {"days": 2}})
    payments.release("tenant-a", hold.id, None, source=source, idempotency_key="r", now=NOON + DAY)
    assert balance_of(ana, gold) == 30
    wallet_sweeps.expire_lots(now=NOON + 2 * DAY)

    assert balance_of(ana, gold) == 0
    assert not prove("tenant-a", NOON).difference_count


def test_switched_off_again_old_lots_keep_their_end_and_new_ones_have_none(
    tenant_a: Tenant,
) -> None:
    gold, ana = make_currency(tenant_a, expiry_days=1), player_of(tenant_a)
    credit(ana, gold, 10)
    patch({"expiry": None})
    credit(ana, book_of("tenant-a").currencies["gold"], 5)

    wallet_sweeps.expire_lots(now=NOON + 99 * DAY)

    assert balance_of(ana, gold) == 5


def test_an_opening_lot_never_ends_in_the_past(tenant_a: Tenant) -> None:
    make_currency(tenant_a)

    with pytest.raises(DocumentError):
        patch({"expiry": {"days": 1}, "opening_lots_expire_at": "2026-03-05T12:00:00Z"})


# --- Sums (ADM-21) -------------------------------------------------------------------------------


def test_circulation_says_where_everything_is_and_what_it_costs(tenant_a: Tenant) -> None:
    gold = make_currency(tenant_a, unit_cost=Decimal("0.01"), expiry_days=1)
    ana, ben = player_of(tenant_a), player_of(tenant_a, "ben")
    credit(ana, gold, 100)
    credit(ben, gold, 50, expires_at=NOON + 3 * DAY)
    debit(ana, gold, 30)

    found = selectors.circulation(gold)

    assert [found.wallets, found.issued, found.circulating] == [120, 120, 120]
    assert found.liability == Decimal("1.2")
    assert found.wallet_count == 2
    forecast = selectors.expiry_forecast(gold, now=NOON)
    assert [amount for _day, amount in forecast] == [70, 50]
