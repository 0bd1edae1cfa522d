"""Wallets over HTTP, in the order of the acceptance list."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from phoenix_site.common.ids import new_id
from rewards.models import Job
from rewards.services import wallet_sweeps
from rewards.services.jobs import run_job
from tenants.models import Tenant
from tests.rewards import rule_log
from tests.rewards.api_cast import Api, admin_api, player_api
from tests.rewards.ledger_cast import make_currency

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def api(tenant_a: Tenant) -> Api:
    return admin_api(tenant_a)


@pytest.fixture
def gold(api: Api) -> None:
    assert api.post("wallet/currencies", {"id": "gold", "name": "Gold"}).status_code == 201


def move(amount: object, user_id: str = "user-1", **changes: Any) -> dict[str, Any]:
    values = {"user_id": user_id, "currency_id": "gold", "amount": amount, "reason": "Test."}
    return values | changes


def balance(api: Api, user_id: str = "user-1", currency_id: str = "gold", **query: str) -> Any:
    body = api.get("wallet/balances", user_id=user_id, **query).json()
    return next(each for each in body["balances"] if each["currency_id"] == currency_id)


def test_acceptance_1_a_currency_is_made_once(api: Api) -> None:
    body = {"id": "xp", "name": "XP", "is_spendable": False, "decimal_places": 0, "role": "xp"}

    made = api.post("wallet/currencies", body)

    assert made.status_code == 201
    answer = made.json()
    assert answer["active"] is True
    assert answer["tenant_id"] == "tenant-a"
    assert answer["expiry"] is None
    assert set(answer) > {"created_at", "updated_at", "version"}
    assert api.post("wallet/currencies", body).status_code == 409
    bad = api.post("wallet/currencies", {**body, "id": "Bad Id"})
    assert (bad.status_code, bad.json()["code"]) == (400, "VAL_001")
    assert [detail["field"] for detail in bad.json()["details"]] == ["id"]
    listed = api.get("wallet/currencies").json()
    assert (listed["total"], listed["currencies"]) == (1, [answer])


def test_currencies_answer_on_every_address(tenant_a: Tenant, api: Api, gold: None) -> None:
    short = Api(api.headers)

    for path in ("wallet/currencies", "tenants/wallet/currencies"):
        listed = short.get(path, tenant_id="tenant-a")
        assert [each["id"] for each in listed.json()["currencies"]] == ["gold"]
        assert short.get(f"{path}/gold", tenant_id="tenant-a").json()["name"] == "Gold"
        assert short.get(path).status_code == 400
    changed = api.patch("wallet/currencies/gold", {"name": "Gulden", "version": 1})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert api.patch("wallet/currencies/gold", {"version": 1, "name": "x"}).status_code == 409
    assert api.get("wallet/currencies/gold/versions").json()["total"] == 2
    copy = api.post("wallet/currencies/gold/duplicate", {"id": "gems"})
    assert (copy.status_code, copy.json()["id"]) == (201, "gems")
    assert api.delete("wallet/currencies/gems").status_code == 204
    assert api.get("wallet/currencies", status="inactive").json()["total"] == 1


def test_acceptance_2_a_grant_is_posted_once_per_key(api: Api, gold: None) -> None:
    key = {"Idempotency-Key": "welcome"}

    first = api.post("wallet/grant", move(100), **key)
    again = api.post("wallet/grant", move(100), **key)
    other = api.post("wallet/grant", move(200), **key)

    assert first.status_code == again.status_code == 201
    assert again.json() == first.json()
    assert first.json()["balance_after"] == 100
    assert again["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert balance(api)["available"] == 100


def test_a_key_holds_in_the_ledger_after_its_answer_is_forgotten(api: Api, gold: None) -> None:
    key = {"Idempotency-Key": "welcome"}
    first = api.post("wallet/grant", move(100), **key)

    with time_machine.travel(timezone.now() + 3 * DAY):
        again = api.post("wallet/grant", move(100), **key)
        other = api.post("wallet/grant", move(200), **key)

    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in again
    assert other.json()["code"] == "IDEMPOTENCY_CONFLICT"
    assert balance(api)["available"] == 100


def test_acceptance_3_a_deduct_takes_no_more_than_there_is(api: Api, gold: None) -> None:
    api.post("wallet/currencies", {"id": "xp", "name": "XP", "is_spendable": False})
    api.post("wallet/grant", move(100))
    api.post("wallet/grant", move(100, currency_id="xp"))

    over = api.post("wallet/deduct", move(101))
    xp = api.post("wallet/deduct", move(1, currency_id="xp"))

    assert (over.status_code, over.json()["code"]) == (400, "INSUFFICIENT_BALANCE")
    assert (xp.status_code, xp.json()["code"]) == (400, "NOT_SPENDABLE")
    assert balance(api)["available"] == 100
    assert api.post("wallet/deduct", move(100)).json()["balance_after"] == 0


def test_every_fault_of_a_request_is_named(api: Api, gold: None) -> None:
    faults = {
        "user_id": 7,
        "currency_id": None,
        "amount": "100",
        "reason": " ",
        "expires_at": "tomorrow",
    }

    answer = api.post("wallet/grant", faults)

    assert answer.status_code == 400
    assert {detail["field"] for detail in answer.json()["details"]} == set(faults)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": 0.5}, "amount"),
        ({"currency_id": "gems"}, "currency_id"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"reason": ""}, "reason"),
    ],
)
def test_a_wrong_value_is_named(api: Api, gold: None, changes: Any, field: str) -> None:
    answer = api.post("wallet/grant", move(**{"amount": 1} | changes))

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")
    assert [detail["field"] for detail in answer.json()["details"]] == [field]


def test_acceptance_6_hold_capture_release(api: Api, gold: None) -> None:
    api.post("wallet/grant", move(100))
    wanted = move(40, reference="tournament:t-1:entry")
    held = api.post("wallet/holds", wanted)
    assert held.status_code == 201
    hold_id = held.json()["hold_id"]
    assert held.json() == {"hold_id": hold_id, "status": "open", "remaining": 40}
    path = f"wallet/holds/{hold_id}"

    captured = api.post(f"{path}/capture", {"amount": 30, "to": "prize_pool:t-1"})
    released = api.post(f"{path}/release", {"amount": 10})
    closed = api.post(f"{path}/capture", {"amount": 1, "to": "issuer"})

    assert captured.json()["remaining"] == 10
    assert released.json() == {"hold_id": hold_id, "status": "closed", "remaining": 0}
    now = balance(api)
    assert (now["available"], now["held"]) == (70, 0)
    assert (closed.status_code, closed.json()["code"]) == (409, "HOLD_CLOSED")
    second = api.post("wallet/holds", wanted).json()["hold_id"]
    over = api.post(f"wallet/holds/{second}/capture", {"amount": 50, "to": "issuer"})
    assert (over.status_code, over.json()["code"]) == (409, "HOLD_EXCEEDED")
    assert api.post(f"wallet/holds/{new_id()}/release", {}).status_code == 404
    for to in ("wallet", "prize_pool", "issuer:x", 7):
        bad = api.post(f"wallet/holds/{second}/capture", {"to": to})
        assert [detail["field"] for detail in bad.json()["details"]] == ["to"]


def test_acceptance_7_lots_end_one_after_the_other(api: Api, gold: None) -> None:
    start = datetime.now(UTC)
    with time_machine.travel(start, tick=False) as clock:
        api.post("wallet/grant", move(10, expires_at=(start + DAY).isoformat()))
        api.post("wallet/grant", move(20, expires_at=(start + 2 * DAY).isoformat()))
        expiring = balance(api)["expiring"]
        assert [each["amount"] for each in expiring] == [10, 20]
        clock.shift(timedelta(hours=1))
        before = clock_text(timezone.now() - timedelta(seconds=1))
        api.post("wallet/deduct", move(15))

        clock.move_to(start + DAY)
        assert balance(api)["available"] == 15
        clock.move_to(start + 2 * DAY)
        # Due is gone, before any sweep has posted it.
        assert balance(api)["available"] == 0
        wallet_sweeps.expire_lots(now=timezone.now())

        assert balance(api)["available"] == 0
        listed = api.get("wallet/transactions", kind="expire").json()
        lines = [line for each in listed["transactions"] for line in each["postings"]]
        assert sum(line["amount"] for line in lines if line["account"] == "expired") == 15
        assert sum(line["amount"] for line in lines) == 0
        assert balance(api, as_of=before)["available"] == 30
        assert balance(api, as_of=clock_text(start + DAY))["available"] == 15


def clock_text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def test_acceptance_8_reverse_with_clip(api: Api, gold: None) -> None:
    given = api.post("wallet/grant", move(100)).json()["transaction_id"]
    api.post("wallet/deduct", move(60))
    path = f"wallet/transactions/{given}/reverse"

    refused = api.post(path, {"reason": "Mistake."})
    clipped = api.post(path, {"reason": "Mistake.", "clip": True})
    again = api.post(path, {"reason": "Mistake.", "clip": True})

    assert (refused.status_code, refused.json()["code"]) == (400, "INSUFFICIENT_BALANCE")
    assert clipped.status_code == 201
    assert (clipped.json()["shortfall"], clipped.json()["reverses"]) == (60, given)
    assert balance(api)["available"] == 0
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_REVERSED")
    assert api.post(path, {}).status_code == 400
    shown = api.get(f"wallet/transactions/{given}").json()
    assert shown["reversed_by"] == clipped.json()["transaction_id"]


def test_acceptance_38_a_player_sees_only_the_own_wallet(
    tenant_a: Tenant, api: Api, gold: None
) -> None:
    api.post("wallet/grant", move(100))
    own, other = player_api(tenant_a, "user-1"), player_api(tenant_a, "user-2")

    for path in ("wallet/balances", "wallet/balances/gold", "wallet/transactions"):
        assert own.get(path).status_code == 200
        assert own.get(path, user_id="user-1").status_code == 200
        foreign = other.get(path, user_id="user-1")
        assert (foreign.status_code, foreign.json()["code"]) == (403, "AUTH_005")
    assert own.get("wallet/balances").json()["balances"][0]["available"] == 100
    assert other.get("wallet/balances").json()["balances"][0]["available"] == 0
    assert other.get("wallet/transactions").json() == []


def test_acceptance_38_no_key_reaches_another_tenants_wallets(
    tenant_a: Tenant, tenant_b: Tenant, api: Api, gold: None
) -> None:
    given = api.post("wallet/grant", move(100)).json()["transaction_id"]
    theirs = admin_api(tenant_b)

    foreign = Api(theirs.headers, "/v1/tenants/tenant-a/")
    for path in ("wallet/balances", "wallet/transactions", f"wallet/transactions/{given}"):
        assert foreign.get(path, user_id="user-1").status_code == 403
    assert foreign.post("wallet/grant", move(1)).status_code == 403
    assert theirs.get(f"wallet/transactions/{given}").status_code == 404
    reverse = theirs.post(f"wallet/transactions/{given}/reverse", {"reason": "x"})
    assert reverse.status_code == 404
    assert theirs.get("wallet/currencies/gold").status_code == 404
    assert theirs.post("wallet/grant", move(1)).status_code == 400


def test_scopes_of_a_key_are_asked_for(tenant_a: Tenant, gold: None) -> None:
    reader = admin_api(tenant_a, "wallet:read")
    elsewhere = admin_api(tenant_a, "rewards:read", "rewards:write")

    assert reader.get("wallet/currencies").status_code == 200
    assert reader.post("wallet/grant", move(1)).status_code == 403
    assert elsewhere.get("wallet/currencies").status_code == 403


# --- What players read ---------------------------------------------------------------------------


def test_balances_have_every_active_currency_zeros_too(tenant_a: Tenant, api: Api) -> None:
    make_currency(tenant_a, "gold", symbol="G", decimal_places=2)
    make_currency(tenant_a, "old", is_active=False)
    make_currency(tenant_a, "EUR", kind="cash", has_wallets=False)
    api.post("wallet/grant", move(1.25))

    body = player_api(tenant_a, "user-1").get("wallet/balances").json()

    assert body == {
        "tenant_id": "tenant-a",
        "user_id": "user-1",
        "balances": [
            {
                "currency_id": "gold",
                "currency_name": "gold",
                "currency_symbol": "G",
                "available": 1.25,
                "held": 0,
                "lifetime_earned": 1.25,
                "expiring": [],
            }
        ],
    }
    newcomer = player_api(tenant_a, "new").get("wallet/balances/gold").json()
    assert [each["available"] for each in newcomer["balances"]] == [0]
    unknown = player_api(tenant_a, "new").get("wallet/balances/EUR")
    assert unknown.status_code == 404


def test_transactions_are_a_bare_array_newest_first(tenant_a: Tenant, api: Api, gold: None) -> None:
    api.post("wallet/grant", move(120, reference="order-1"))
    api.post("wallet/deduct", move(50))
    player = player_api(tenant_a, "user-1")

    answer = player.get("wallet/transactions", limit=1)

    assert answer["X-Total-Count"] == "2"
    [newest] = answer.json()
    assert (newest["amount"], newest["balance_after"]) == (-50, 70)
    assert set(newest) == {
        *("id", "currency_id", "amount", "balance_after", "source_type", "source_ref"),
        *("description", "created_at"),
    }
    [oldest] = player.get("wallet/transactions", limit=1, offset=1).json()
    assert (oldest["source_ref"], oldest["description"]) == ("order-1", "Test.")
    assert player.get("wallet/transactions", limit=1001).status_code == 400
    assert player.get("wallet/transactions", currency_id="gems").status_code == 404


# --- What back offices do ------------------------------------------------------------------------


def test_a_list_of_grants_has_a_verdict_for_each(api: Api, gold: None) -> None:
    items = [
        move(10, "u1", reference="season-1"),
        move(10, "u1", reference="season-1"),
        move(11, "u1", reference="season-1"),
        move(5, "u2"),
        move(5, "no/slash"),
        move(5, "u3", currency_id="gems"),
        move(0.5, "u3"),
        {"user_id": "u3"},
        7,
    ]

    results = api.post("wallet/grant/bulk", {"items": items}).json()["results"]

    statuses = [each["status"] for each in results]
    assert statuses == ["posted", "duplicate", "rejected", "posted", *["rejected"] * 5]
    assert results[1]["transaction_id"] == results[0]["transaction_id"]
    assert all(each["error"] for each in results if each["status"] == "rejected")
    assert balance(api, "u1")["available"] == 10
    again = api.post("wallet/grant/bulk", {"items": items[:1]}).json()["results"]
    assert again[0]["status"] == "duplicate"


@pytest.mark.parametrize("count", [0, 1001])
def test_a_list_has_1_to_1000_items(api: Api, gold: None, count: int) -> None:
    answer = api.post("wallet/grant/bulk", {"items": [move(1)] * count})

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_002")


def test_a_transaction_is_shown_with_postings_cause_and_reason(api: Api, gold: None) -> None:
    given = api.post("wallet/grant", move(100, reference="case-1")).json()["transaction_id"]

    listed = api.get("wallet/transactions", user_id="user-1", currency_id="gold").json()

    assert listed["total"] == 1
    [shown] = listed["transactions"]
    assert shown == api.get(f"wallet/transactions/{given}").json()
    assert (shown["kind"], shown["source_ref"], shown["reason"]) == ("credit", "case-1", "Test.")
    assert shown["cause"]["kind"] == "api_key"
    assert [line["amount"] for line in shown["postings"]] == [-100, 100]
    assert shown["explain"]["text"].endswith("Test.")
    cause = f"api_key:{shown['cause']['id']}"
    assert api.get("wallet/transactions", cause=cause).json()["total"] == 1
    for query in (
        {"kind": "debit"},
        {"cause": "nobody"},
        {"user_id": "user-2"},
        {"currency_id": "gems"},
        {"to": "2020-01-01T00:00:00Z"},
        {"from": clock_text(timezone.now() + DAY)},
    ):
        assert api.get("wallet/transactions", **query).json()["total"] == 0
    assert api.get("wallet/transactions", kind="gift").status_code == 400


def test_balances_of_the_past_name_their_last_transaction(api: Api, gold: None) -> None:
    before = timezone.now()
    given = api.post("wallet/grant", move(100)).json()["transaction_id"]
    query = {"user_id": "user-1"}

    now = api.get("wallet/balances", **query).json()
    past = api.get("wallet/balances", **query, as_of=clock_text(before)).json()

    assert (now["last_transaction_id"], past["last_transaction_id"]) == (given, None)
    assert past["balances"][0]["available"] == 0
    assert now["as_of"] is not None
    future = api.get("wallet/balances", **query, as_of=clock_text(timezone.now() + DAY))
    assert future.status_code == 400
    assert api.get("wallet/balances").status_code == 400


def test_a_proof_is_a_job_and_then_a_row(api: Api, gold: None) -> None:
    api.post("wallet/grant", move(100))

    queued = api.post("wallet/proofs")
    run_job(Job.objects.get().pk, clock=timezone.now)

    assert (queued.status_code, queued.json()["status"]) == (202, "queued")
    job = api.get(f"jobs/{queued.json()['job_id']}").json()
    assert (job["kind"], job["status"]) == ("proof", "done")
    listed = api.get("wallet/proofs").json()
    assert listed["total"] == 1
    [proof] = listed["proofs"]
    assert (proof["difference_count"], proof["hash"]) == (0, job["result"]["hash"])
    assert proof["counts"]["gold"]["circulating"] == "100"


# What the consumer reads has to be committed.
@pytest.mark.django_db(transaction=True)
def test_acceptance_9_a_credit_that_a_cap_clipped_says_from_what(
    tenant_a: Tenant, api: Api
) -> None:
    api.post("wallet/currencies", {"id": "xp", "name": "XP", "is_spendable": False})
    rule = {
        "name": "Play",
        "currency_id": "xp",
        "event_type": "game.completed",
        "calculation": {"type": "fixed", "amount": 50},
        "max_per_day": 120,
    }
    assert api.post("wallet/earning-rules", rule).status_code == 201
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) + DAY
    for minute in range(3):
        rule_log.send(tenant_a, "user-1", at=noon + timedelta(minutes=minute))

    rule_log.process(now=noon + timedelta(hours=1))

    listed = api.get("wallet/transactions", user_id="user-1").json()["transactions"]
    given = [(each["postings"][1]["amount"], each["explain"]["clipped_from"]) for each in listed]
    assert given[::-1] == [(50, None), (50, None), (20, 50)]
    assert "clipped from 50" in listed[0]["explain"]["text"]
    assert balance(api, currency_id="xp")["available"] == 120
