"""The pages of the ledger: what they show, who may act, and what their actions do."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client
from django.utils import timezone

from rewards.models import Account, Currency, Hold, Job, LedgerTransaction
from rewards.services import payments
from rewards.services.payments import Payment
from rewards.services.proofs import prove
from rewards.types.book import CurrencyView
from rewards.types.wallets import PaySource
from tenants.models import Tenant
from tests.rewards.ledger_cast import (
    balance_of,
    credit,
    debit,
    make_currency,
    player_of,
    posted_on,
)
from tests.staff import allow, allow_everything, messages_of, signed_in, text_of

pytestmark = pytest.mark.django_db

BASE = "/admin/rewards/"
AGREED = {"confirmed": "1", "reason": "Support case 4711."}


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


@pytest.fixture
def gold(tenant_a: Tenant) -> CurrencyView:
    return make_currency(tenant_a, "gold", name="Gold")


@pytest.fixture
def ana(tenant_a: Tenant) -> UUID:
    return player_of(tenant_a)


def act(client: Client, model: str, pk: object, action: str, **sent: Any) -> Any:
    url = f"{BASE}{model}/{pk}/{action}"
    found = client.get(url)
    url = url if found.status_code != 404 else f"{url}/"
    return client.post(url, {**AGREED, **sent}, follow=True)


def action_url(client: Client, page: str, text: str) -> str:
    """Return the address behind the button of a page that says ``text``."""
    body = client.get(page).content.decode()
    link = next(
        part for part in body.split("<a ")[1:] if text in part.split("</a>")[0] and "href" in part
    )
    return link.split('href="')[1].split('"')[0]


# --- Currencies ----------------------------------------------------------------------------------


def currency_form(**changed: Any) -> dict[str, Any]:
    values = {
        "tenant": "tenant-a",
        "currency_id": "gold",
        "name": "Gold",
        "symbol": "",
        "kind": "points",
        "role": "",
        "is_spendable": "on",
        "decimal_places": "0",
        "unit_cost": "0.01",
        "expiry_days": "",
        "has_wallets": "on",
        "is_active": "on",
    }
    return {**values, **changed}


def test_a_currency_is_made_and_changed_by_its_form(client: Client, tenant_a: Tenant) -> None:
    made = client.post(f"{BASE}currency/add/", currency_form())
    assert made.status_code == 302, made.context["adminform"].form.errors
    row = Currency.objects.get()

    changed = client.post(
        f"{BASE}currency/{row.pk}/change/",
        currency_form(name="Gulden", expected_version="1", reason="A better name."),
    )

    assert changed.status_code == 302, changed.context["adminform"].form.errors
    row.refresh_from_db()
    assert (row.name, row.version, row.unit_cost) == ("Gulden", 2, Decimal("0.01"))
    assert "A better name." in text_of(client.get(f"{BASE}currency/{row.pk}/change/"))


def test_a_fault_stands_at_its_field(client: Client, tenant_a: Tenant) -> None:
    answer = client.post(f"{BASE}currency/add/", currency_form(currency_id="Bad Id"))

    assert list(answer.context["adminform"].form.errors) == ["currency_id"]


def test_what_is_fixed_after_the_first_posting_is_not_offered(
    client: Client, gold: CurrencyView, ana: UUID
) -> None:
    credit(ana, gold, 100)
    page = client.get(f"{BASE}currency/{gold.pk}/change/")
    assert "decimal_places" not in page.context["adminform"].form.fields

    sent = currency_form(name="Gulden", decimal_places="2", expected_version="1")
    client.post(f"{BASE}currency/{gold.pk}/change/", sent)

    row = Currency.objects.get()
    assert (row.name, row.decimal_places) == ("Gulden", 0)


def test_an_outdated_form_is_refused(client: Client, gold: CurrencyView) -> None:
    Currency.objects.update(version=2)

    sent = currency_form(name="Gulden", expected_version="1")
    answer = client.post(f"{BASE}currency/{gold.pk}/change/", sent, follow=True)

    assert "version 2" in messages_of(answer)[0]
    assert Currency.objects.get().name == "Gold"


def test_a_currencys_page_says_how_much_there_is_and_what_will_expire(
    client: Client, tenant_a: Tenant, ana: UUID
) -> None:
    gold = make_currency(tenant_a, "gold", unit_cost=Decimal("0.5"), expiry_days=10)
    credit(ana, gold, 1200, now=timezone.now())
    debit(ana, gold, 200, now=timezone.now())

    text = text_of(client.get(f"{BASE}currency/{gold.pk}/change/"))

    assert "1,000 of 1 players" in text
    assert "500" in text
    ends = timezone.now() + timedelta(days=10)
    assert f"{ends:%d %b %Y} 1,000 1,000" in text
    assert "after 10 days" in text_of(client.get(f"{BASE}currency/"))


# --- Accounts ------------------------------------------------------------------------------------


def test_a_wallets_page_shows_its_lots_and_postings(
    client: Client, gold: CurrencyView, ana: UUID
) -> None:
    credit(ana, gold, 70, expires_at=timezone.now() + timedelta(days=1))
    wallet = Account.objects.get(kind="wallet")

    text = text_of(client.get(f"{BASE}account/{wallet.pk}/change/"))

    assert "ana" in text
    assert "70" in text
    assert "Credit" in text
    assert "ana" in text_of(client.get(f"{BASE}account/", {"q": "ana"}))


def test_staff_adjust_a_wallet_with_a_reason(client: Client, gold: CurrencyView, ana: UUID) -> None:
    credit(ana, gold, 70)
    wallet = Account.objects.get(kind="wallet")
    url = action_url(client, f"{BASE}account/{wallet.pk}/change/", "Adjust")

    without = client.post(url, {"confirmed": "1", "direction": "credit", "amount": "5"})
    assert list(without.context["form"].errors) == ["reason"]
    client.post(url, {**AGREED, "direction": "credit", "amount": "5"})
    client.post(url, {**AGREED, "direction": "debit", "amount": "15"})
    over = client.post(url, {**AGREED, "direction": "debit", "amount": "500"}, follow=True)

    assert balance_of(ana, gold) == 60
    assert "too small" in messages_of(over)[-1]
    row = LedgerTransaction.objects.get(kind="debit")
    assert (row.source_type, row.cause_kind, row.reason) == (
        "manual",
        "staff",
        "Support case 4711.",
    )
    assert row.actor == "ops"


def test_a_wallet_that_does_not_exist_yet_is_adjusted_too(
    client: Client, gold: CurrencyView
) -> None:
    url = action_url(client, f"{BASE}account/", "Adjust a wallet")

    sent = {**AGREED, "currency": str(gold.pk), "user_id": "new", "direction": "credit"}
    answer = client.post(url, {**sent, "amount": "5"}, follow=True)

    assert messages_of(answer) == ["new has 5 gold now."]
    assert Account.objects.get(player__external_id="new", kind="wallet").balance == 5


def test_without_the_permission_nobody_moves_money(
    ops: AbstractUser, gold: CurrencyView, ana: UUID
) -> None:
    given = credit(ana, gold, 70).transaction_id
    wallet = Account.objects.get(kind="wallet")
    allow(ops, "view_account", "view_ledgertransaction")
    viewer = signed_in(ops)

    body = viewer.get(f"{BASE}account/{wallet.pk}/change/").content.decode()
    assert "Adjust" not in body
    page = viewer.get(f"{BASE}ledgertransaction/{given}/change/").content.decode()
    assert "Reverse" not in page.replace("Reversal", "")
    assert act(viewer, "account", wallet.pk, "adjust", direction="credit", amount="5")
    assert balance_of(ana, gold) == 70


# --- Transactions --------------------------------------------------------------------------------


def test_a_transaction_is_shown_with_its_postings_and_reversed_once(
    client: Client, gold: CurrencyView, ana: UUID
) -> None:
    given = credit(ana, gold, 100).transaction_id
    debit(ana, gold, 60)
    page = f"{BASE}ledgertransaction/{given}/change/"
    assert "Wallet ana gold 100 100" in text_of(client.get(page))
    assert "100 gold to wallet" in text_of(client.get(f"{BASE}ledgertransaction/"))
    url = action_url(client, page, "Reverse")

    refused = client.post(url, AGREED, follow=True)
    clipped = client.post(url, {**AGREED, "clip": "on"}, follow=True)
    again = client.post(url, {**AGREED, "clip": "on"}, follow=True)

    assert "Too little" in messages_of(refused)[0]
    assert "60 could not be taken" in messages_of(clipped)[0]
    assert "already" in messages_of(again)[0]
    assert balance_of(ana, gold) == 0
    reversal = LedgerTransaction.objects.get(kind="reversal")
    assert str(reversal.pk) in text_of(client.get(page))
    assert str(given) in text_of(client.get(f"{BASE}ledgertransaction/{reversal.pk}/change/"))


def test_nobody_adds_edits_or_deletes_what_the_ledger_makes(
    client: Client, gold: CurrencyView, ana: UUID
) -> None:
    credit(ana, gold, 100)
    prove("tenant-a", timezone.now())

    for model in ("account", "ledgertransaction", "hold", "proof"):
        assert client.get(f"{BASE}{model}/add/").status_code == 403
        assert client.get(f"{BASE}{model}/").status_code == 200
    row = LedgerTransaction.objects.get()
    assert client.post(f"{BASE}ledgertransaction/{row.pk}/delete/").status_code == 403


# --- Holds ---------------------------------------------------------------------------------------


def test_holds_are_captured_and_released_with_a_reason(
    client: Client, gold: CurrencyView, ana: UUID
) -> None:
    credit(ana, gold, 100, now=timezone.now())
    wanted = Payment(player_id=ana, currency_id="gold", amount=Decimal(40), idempotency_key="h")
    source = PaySource("tournament", "t-1")
    hold = payments.hold("tenant-a", wanted, source=source, reference="e", now=timezone.now())
    page = f"{BASE}hold/{hold.id}/change/"
    capture, release = (action_url(client, page, verb) for verb in ("Capture", "Release"))

    wrong = client.post(capture, {**AGREED, "to": "wallet"})
    assert list(wrong.context["form"].errors) == ["to"]
    captured = client.post(capture, {**AGREED, "to": "prize_pool:t-1", "amount": "30"}, follow=True)
    over = client.post(release, {**AGREED, "amount": "11"}, follow=True)
    client.post(release, AGREED, follow=True)

    assert messages_of(captured) == ["10 of the hold are left."]
    assert "Only 10" in messages_of(over)[0]
    assert posted_on(gold, "prize_pool", "t-1") == 30
    assert Hold.objects.get().status == "closed"
    assert balance_of(ana, gold) == 70
    assert LedgerTransaction.objects.get(kind="release").reason == "Support case 4711."


# --- Proofs --------------------------------------------------------------------------------------


def test_a_proof_is_asked_for_and_shown(
    client: Client, gold: CurrencyView, ana: UUID, tenant_b: Tenant
) -> None:
    credit(ana, gold, 100)
    Account.objects.filter(kind="wallet").update(balance=99)
    proof = prove("tenant-a", timezone.now())
    url = action_url(client, f"{BASE}proof/", "Prove now")
    assert "tenant-b" not in client.get(url).content.decode()

    foreign = client.post(url, {"confirmed": "1", "tenant": "tenant-b"})
    client.post(url, {"confirmed": "1", "tenant": "tenant-a"})

    assert list(foreign.context["form"].errors) == ["tenant"]
    assert [job.kind for job in Job.objects.all()] == ["proof"]
    assert "1 differences" in text_of(client.get(f"{BASE}proof/"))
    text = text_of(client.get(f"{BASE}proof/{proof.pk}/change/"))
    assert "What an account holds is the sum of its postings" in text
    assert "Holds: this hash is that of the row" in text
