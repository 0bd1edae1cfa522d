"""Reward items: which documents are taken, and in which form they are kept (GRT-1)."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from rewards.exceptions import DocumentError
from rewards.rules.items import Links, item_cost, read_inline, read_item
from rewards.types.book import Book, CurrencyView

COUPON, STREAK = uuid4(), uuid4()
LINKS = Links(coupon_ids={COUPON}, streak_ids={STREAK})


def currency(name: str, **changes: Any) -> CurrencyView:
    values: dict[str, Any] = {
        "pk": uuid4(),
        "tenant_id": "tenant-a",
        "currency_id": name,
        "name": name,
        "symbol": None,
        "kind": "points",
        "role": None,
        "is_spendable": True,
        "decimal_places": 0,
        "unit_cost": Decimal(0),
        "expiry_days": None,
        "is_active": True,
    }
    return CurrencyView(**(values | changes))


def book_of(*currencies: CurrencyView) -> Book:
    by_id = {each.currency_id: each for each in currencies}
    by_pk = {each.pk: each for each in currencies}
    return Book("tenant-a", 1, "UTC", by_id, {}, {}, by_pk)


BOOK = book_of(
    currency("gold", unit_cost=Decimal("0.01")),
    currency("cents", decimal_places=2),
    currency("old", is_active=False),
    currency("EUR", kind="cash", has_wallets=False),
    currency("tokens", role="token"),
)


def document(reward_type: str = "currency", /, **payload: Any) -> dict[str, Any]:
    return {"name": "A gift", "reward_type": reward_type, "payload": payload}


def faults_of(sent: Any, book: Book = BOOK) -> dict[str, str]:
    with pytest.raises(DocumentError) as refused:
        read_item(sent, book, LINKS)
    return {fault.path: fault.message for fault in refused.value.faults}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (document(currency_id="gold", amount=500), {"currency_id": "gold", "amount": 500}),
        (document(currency="gold", amount=500), {"currency_id": "gold", "amount": 500}),
        (
            document(currency_id="cents", amount=Decimal("0.25")),
            {"currency_id": "cents", "amount": 0.25},
        ),
        (document("points", amount=100), {"amount": 100}),
        (document("badge", badge_id="star"), {"badge_id": "star", "tier": None}),
        (document("badge", badge_id="star", tier="1"), {"badge_id": "star", "tier": "1"}),
        (document("item", item_id="sword"), {"item_id": "sword", "quantity": 1}),
        (document("physical_item", size="XL", shipping_required=True), None),
        (
            document("bonus_offer", bonus_offer_id="b-1", amount=5, currency="EUR"),
            {"bonus_offer_id": "b-1", "amount": 5, "currency": "EUR"},
        ),
        (document("coupon", coupon_id=str(COUPON)), {"coupon_id": str(COUPON)}),
        (document("streak_freeze"), {"streak_id": None, "count": 1}),
        (
            document("streak_freeze", streak_id=str(STREAK), count=2),
            {"streak_id": str(STREAK), "count": 2},
        ),
    ],
)
def test_a_payload_is_kept_in_the_one_form_of_its_type(
    sent: dict[str, Any], kept: dict[str, Any] | None
) -> None:
    fields = read_item(sent, BOOK, LINKS)

    assert fields.payload == (sent["payload"] if kept is None else kept)
    # What is kept reads back as itself.
    assert read_item(fields.document, BOOK, LINKS) == fields


@pytest.mark.parametrize(
    ("sent", "path", "message"),
    [
        (document(amount=1), "payload.currency_id", "is required"),
        (document(currency_id="gold"), "payload.amount", "is required"),
        (
            document(currency_id="silver", amount=1),
            "payload.currency_id",
            "is not a currency of the tenant",
        ),
        (
            document(currency_id="old", amount=1),
            "payload.currency_id",
            "is not a currency of the tenant",
        ),
        (
            document(currency_id="EUR", amount=1),
            "payload.currency_id",
            "is a currency that no player holds",
        ),
        (
            document(currency_id="cents", currency="gold", amount=1),
            "payload.currency",
            "is not the same as currency_id",
        ),
        (
            document(currency_id="gold", amount=Decimal("0.5")),
            "payload.amount",
            "has more than 0 decimals",
        ),
        (
            document(currency_id="gold", amount=0),
            "payload.amount",
            "must be greater than 0 and less than 10^18",
        ),
        (document(currency_id="gold", amount="5"), "payload.amount", "must be a number"),
        (
            document(currency_id="gold", amount=1, Amount=2),
            "payload.Amount",
            "is not a known key; did you mean amount?",
        ),
        (document("badge"), "payload.badge_id", "is required"),
        (
            document("item", item_id="x", quantity=0),
            "payload.quantity",
            "must be a whole number from 1 to 1000000000",
        ),
        (
            document("physical_item", shipping_required="yes"),
            "payload.shipping_required",
            "must be true or false",
        ),
        (document("bonus_offer"), "payload.bonus_offer_id", "is required"),
        (
            document("bonus_offer", bonus_offer_id="b", currency="€"),
            "payload.currency",
            "must be the code of a currency, such as EUR",
        ),
        (
            document("coupon", coupon_id=str(uuid4())),
            "payload.coupon_id",
            "is not a coupon of the tenant",
        ),
        (
            document("streak_freeze", streak_id=str(COUPON)),
            "payload.streak_id",
            "is not a streak of the tenant",
        ),
        (document("booster", kind="level"), "reward_type", "not supported yet"),
        (document("spin", wheel_id="w"), "reward_type", "not supported yet"),
        (document("api", endpoint_id="e"), "reward_type", "not supported yet"),
        ({"name": "X", "reward_type": "badge", "payload": []}, "payload", "must be an object"),
        (
            {**document("badge", badge_id="b"), "name": ""},
            "name",
            "must be a text of 1 to 255 characters",
        ),
        (
            {**document("badge", badge_id="b"), "activation": "player"},
            "activation",
            "not supported yet",
        ),
        (
            {**document("badge", badge_id="b"), "unit_cost": -1},
            "unit_cost",
            "must be a number from 0 with at most 8 decimals",
        ),
        (
            {**document("badge", badge_id="b"), "claim_within_s": 0},
            "claim_within_s",
            "must be a whole number from 1 to 2147483647",
        ),
        (
            {**document("badge", badge_id="b"), "image_url": "javascript:alert(1)"},
            "image_url",
            "must be an address that begins with http:// or https://",
        ),
        ({**document("badge", badge_id="b"), "active": 1}, "active", "must be true or false"),
        (
            {**document("badge", badge_id="b"), "klaim": "x"},
            "klaim",
            "is not a known key; did you mean claim?",
        ),
    ],
)
def test_what_is_wrong_is_named(sent: dict[str, Any], path: str, message: str) -> None:
    assert faults_of(sent) == {path: message}


def test_every_fault_is_found_at_once() -> None:
    sent = {"reward_type": "currency", "payload": {"currency_id": "silver"}, "claim": "maybe"}

    assert set(faults_of(sent)) == {"name", "payload.currency_id", "payload.amount", "claim"}


def test_points_need_a_currency_with_the_role_token() -> None:
    faults = faults_of(document("points", amount=1), book_of(currency("gold")))

    assert faults == {"payload.amount": "the tenant has no currency with the role token"}


def test_what_an_answer_adds_may_be_sent_back() -> None:
    sent = document("badge", badge_id="star") | {"id": "x", "item_id": "x", "version": 3}

    assert read_item(sent, BOOK, LINKS).payload["badge_id"] == "star"


def test_an_item_of_money_without_a_cost_of_its_own_costs_what_its_currency_costs() -> None:
    own = read_inline(document(currency_id="gold", amount=500) | {"unit_cost": 7}, BOOK, LINKS)
    money = read_inline(document(currency_id="gold", amount=500), BOOK, LINKS)
    thing = read_inline(document("badge", badge_id="star"), BOOK, LINKS)

    assert item_cost(own, BOOK) == 7
    assert item_cost(money, BOOK) == 5
    assert item_cost(thing, BOOK) == 0
    assert own.pk is None


def test_ids_are_read_in_their_usual_form_only() -> None:
    sent = document("coupon", coupon_id=UUID(str(COUPON)).hex)

    assert faults_of(sent) == {"payload.coupon_id": "is not a coupon of the tenant"}
