"""Grants on both gateways: given by hand, claimed, revoked, retried, fulfilled, explained."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from ingestion.models import Event
from phoenix_site.common.json import decode
from players.models import Player
from players.services import bans, profiles
from rewards.models import Badge, Grant, InventoryItem, LedgerTransaction
from rewards.services import grants
from rewards.types.book import CurrencyView
from tenants.models import AuditEntry, Tenant
from tenants.services import deliveries
from tenants.services.audit import SYSTEM
from tests.leaderboards.races import in_threads
from tests.operators import Operator, running_operator
from tests.rewards.api_cast import Api, admin_api, player_api
from tests.rewards.grant_cast import badge, item_document, new_currency, new_item, statuses
from tests.rewards.ledger_cast import balance_of, debit
from tests.tenants.delivery_cast import Clock

pytestmark = pytest.mark.django_db

REASON = {"reason": "Asked for by support."}


@pytest.fixture
def gold(tenant_a: Tenant) -> CurrencyView:
    return new_currency(tenant_a)


@pytest.fixture
def office(tenant_a: Tenant, gold: CurrencyView) -> Api:
    return admin_api(tenant_a)


@pytest.fixture
def ana(tenant_a: Tenant) -> Api:
    return player_api(tenant_a, "ana")


def give(office: Api, tenant: Tenant, document: dict[str, Any], **body: Any) -> dict[str, Any]:
    item = new_item(tenant, document)
    answer = office.post("grants", {"user_id": "ana", "item_id": item.id_text, **REASON, **body})
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def gold_of(gold: CurrencyView) -> int:
    return int(balance_of(Player.objects.get(external_id="ana").pk, gold))


def told(kind: str) -> list[dict[str, Any]]:
    return [event.attrs for event in Event.objects.filter(type=kind).order_by("pk")]


# --- Giving --------------------------------------------------------------------------------------


def test_money_is_given_at_once(
    office: Api, ana: Api, tenant_a: Tenant, gold: CurrencyView
) -> None:
    made = give(office, tenant_a, item_document())

    assert made["status"] == "granted"
    assert (made["user_id"], made["source_type"], made["group_total"]) == ("ana", "api", 1)
    assert made["item"]["payload"] == {"currency_id": "gold", "amount": 500}
    assert gold_of(gold) == 500
    assert statuses(made["id"]) == ["processing", "granted"]
    posted = LedgerTransaction.objects.get()
    assert (posted.cause_kind, posted.cause_id) == ("grant", made["id"])
    assert told("reward.granted")[0]["grant_id"] == made["id"]
    assert ana.get("rewards/grants").json()["grants"] == [made]
    entry = AuditEntry.objects.get(action="grant.given")
    assert (entry.tenant_id, entry.reason) == ("tenant-a", REASON["reason"])


def test_points_are_given_in_the_currency_with_the_role_token(
    office: Api, tenant_a: Tenant
) -> None:
    tokens = new_currency(tenant_a, "tokens", role="token")

    give(office, tenant_a, item_document(reward_type="points", payload={"amount": 30}))

    assert gold_of(tokens) == 30


def test_badges_and_things_are_rows_of_the_player(office: Api, tenant_a: Tenant) -> None:
    give(office, tenant_a, badge("Star"))
    thing = give(
        office,
        tenant_a,
        item_document(reward_type="item", payload={"item_id": "sword", "quantity": 2}),
    )

    assert Badge.objects.get().badge_id == "star"
    row = InventoryItem.objects.get()
    assert (str(row.grant_id), row.item_key, row.quantity) == (thing["id"], "sword", 2)


def test_a_grant_keeps_the_item_as_it_was(office: Api, tenant_a: Tenant) -> None:
    made = give(office, tenant_a, badge("Star"))

    office.patch(f"reward-items/{made['item']['item_id']}", {"name": "Moon"})

    assert office.get(f"grants/{made['id']}").json()["item"]["name"] == "Star"


def test_one_source_gives_an_item_once(office: Api, tenant_a: Tenant, gold: CurrencyView) -> None:
    item = new_item(tenant_a)
    body = {"user_id": "ana", "item_id": item.id_text, "source_id": "case-1", **REASON}

    first, again = office.post("grants", body), office.post("grants", body)
    other = office.post("grants", body | {"source_id": "case-2"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert again.json() == first.json()
    assert gold_of(gold) == 1000


def test_one_idempotency_key_gives_once(office: Api, tenant_a: Tenant, gold: CurrencyView) -> None:
    body = {"user_id": "ana", "item_id": new_item(tenant_a).id_text, **REASON}

    first = office.post("grants", body, **{"Idempotency-Key": "k"})
    again = office.post("grants", body, **{"Idempotency-Key": "k"})

    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json()["id"] == again.json()["id"]
    assert gold_of(gold) == 500


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"reason": ""}, 400, "reason"),
        ({"user_id": "a/b"}, 400, None),
        ({"user_id": 5}, 400, "user_id"),
        ({"item_id": "x"}, 400, "item_id"),
        ({"item_id": str(uuid4())}, 404, None),
        ({"source_id": "x" * 201}, 400, "source_id"),
    ],
)
def test_what_cannot_be_given_is_refused(
    office: Api, tenant_a: Tenant, changes: dict[str, Any], status: int, field: str | None
) -> None:
    body = {"user_id": "ana", "item_id": new_item(tenant_a).id_text, **REASON}

    answer = office.post("grants", body | changes)

    assert answer.status_code == status
    if field is not None:
        assert answer.json()["details"][0]["field"] == field
    assert not Grant.objects.exists()


def test_an_archived_item_is_not_given_by_hand(office: Api, tenant_a: Tenant) -> None:
    item = new_item(tenant_a)
    office.delete(f"reward-items/{item.pk}")

    answer = office.post("grants", {"user_id": "ana", "item_id": item.id_text, **REASON})

    assert (answer.status_code, answer.json()["code"]) == (409, "STATE_CONFLICT")


def test_the_lists_are_filtered(office: Api, ana: Api, tenant_a: Tenant) -> None:
    star = give(office, tenant_a, badge("Star"))
    waiting = give(office, tenant_a, badge("Moon", claim="player"), source_id="case-1")
    give(office, tenant_a, badge("Sun"), user_id="ben")

    def found(**query: Any) -> list[str]:
        return [each["item"]["name"] for each in office.get("grants", **query).json()["grants"]]

    assert found() == ["Sun", "Moon", "Star"]
    assert found(user_id="ana") == ["Moon", "Star"]
    assert found(user_id="ana", status="unclaimed") == ["Moon"]
    assert found(source_type="rule") == []
    assert found(**{"from": "2000-01-01T00:00:00Z", "to": "2001-01-01T00:00:00Z"}) == []
    assert office.get("grants", status="lost").json()["details"][0]["field"] == "status"
    orders = ana.get("orders/user/ana").json()
    assert (orders["total"], [each["id"] for each in orders["orders"]]) == (
        2,
        [waiting["id"], star["id"]],
    )
    by_source = ana.get("orders/user/ana", source_id="case-1", limit=1).json()
    assert [each["id"] for each in by_source["orders"]] == [waiting["id"]]
    assert ana.get(f"orders/user/ana/{star['id']}").json()["id"] == star["id"]
    assert ana.get(f"orders/user/ana/{uuid4()}").status_code == 404
    assert ana.get("rewards/grants", status="granted").json()["total"] == 1


def test_an_unknown_player_has_nothing(tenant_a: Tenant) -> None:
    nobody = player_api(tenant_a, "nobody")

    assert nobody.get("orders/user/nobody").json() == {"orders": [], "total": 0}
    assert nobody.get("rewards/grants").json() == {"grants": [], "total": 0}
    assert not Player.objects.exists()


# --- Claiming ------------------------------------------------------------------------------------


def test_claiming_delivers_and_is_repeatable(
    office: Api, ana: Api, tenant_a: Tenant, gold: CurrencyView
) -> None:
    made = give(office, tenant_a, item_document(claim="player", claim_within_s=3600))
    assert (made["status"], gold_of(gold)) == ("unclaimed", 0)
    assert made["claim_by"] is not None

    fields = {"fields": {"size": "XL", "count": 2}}
    first = ana.post(f"rewards/grants/{made['id']}/claim", fields)
    again = ana.post(f"rewards/grants/{made['id']}/claim")

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["status"] == again.json()["status"] == "granted"
    assert first.json()["context"]["fields"] == fields["fields"]
    assert gold_of(gold) == 500
    assert statuses(made["id"]) == ["unclaimed", "processing", "granted"]
    assert len(told("reward.claimed")) == len(told("reward.granted")) == 1


def test_acceptance_20_a_claim_after_expiry_is_409(
    office: Api, ana: Api, tenant_a: Tenant, gold: CurrencyView
) -> None:
    made = give(office, tenant_a, item_document(claim="player", claim_within_s=60))
    assert gold_of(gold) == 0
    Grant.objects.update(claim_by=datetime.now(UTC) - timedelta(seconds=1))

    late = ana.post(f"rewards/grants/{made['id']}/claim")

    assert (late.status_code, late.json()["code"]) == (409, "STATE_CONFLICT")
    assert ana.get("rewards/grants").json()["grants"][0]["status"] == "expired"
    assert gold_of(gold) == 0
    assert len(told("reward.expired")) == 1


@pytest.mark.django_db(transaction=True)
def test_acceptance_20_two_parallel_claims_credit_once(
    office: Api, ana: Api, tenant_a: Tenant, gold: CurrencyView
) -> None:
    made = give(office, tenant_a, item_document(claim="player"))

    answers = in_threads(2, lambda: ana.post(f"rewards/grants/{made['id']}/claim"))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert {answer.json()["status"] for answer in answers} == {"granted"}
    assert gold_of(gold) == 500
    assert LedgerTransaction.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_source_given_by_several_at_once_gives_once(
    office: Api, tenant_a: Tenant, gold: CurrencyView
) -> None:
    item = new_item(tenant_a)
    body = {"user_id": "ana", "item_id": item.id_text, "source_id": "case-1", **REASON}

    answers = in_threads(4, lambda: office.post("grants", body))

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert Grant.objects.count() == 1
    assert gold_of(gold) == 500


def test_the_sweep_expires_what_nobody_claimed(office: Api, tenant_a: Tenant) -> None:
    late = give(office, tenant_a, badge("Star", claim="player", claim_within_s=60))
    early = give(office, tenant_a, badge("Moon", claim="player", claim_within_s=6000))
    now = datetime.now(UTC) + timedelta(seconds=61)

    assert (grants.expire_due(now=now), grants.expire_due(now=now)) == (1, 0)

    assert statuses(late["id"]) == ["unclaimed", "expired"]
    assert statuses(early["id"]) == ["unclaimed"]
    assert [each["grant_id"] for each in told("reward.expired")] == [late["id"]]


@pytest.mark.parametrize(
    "fields", [[], {"a": {"b": 1}}, {"a": "x" * 1001}, {str(n): n for n in range(51)}]
)
def test_fields_that_are_no_simple_values_are_refused(
    office: Api, ana: Api, tenant_a: Tenant, fields: Any
) -> None:
    made = give(office, tenant_a, badge("Star", claim="player"))

    answer = ana.post(f"rewards/grants/{made['id']}/claim", {"fields": fields})

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")
    assert statuses(made["id"]) == ["unclaimed"]


@pytest.mark.parametrize("blocked", ["ban", "opted out"])
def test_a_player_who_is_kept_out_claims_nothing(
    office: Api, ana: Api, tenant_a: Tenant, blocked: str
) -> None:
    made = give(office, tenant_a, badge("Star", claim="player"))
    player, now = Player.objects.get(), datetime.now(UTC)
    if blocked == "ban":
        bans.ban(player.pk, scopes=["rewards"], reason="x", until=None, actor=SYSTEM, now=now)
    else:
        profiles.set_gamification(player.pk, enabled=False, reasons=["x"], actor=SYSTEM, now=now)

    answer = ana.post(f"rewards/grants/{made['id']}/claim")

    assert (answer.status_code, answer.json()["code"]) == (403, "AUTH_005")
    assert ana.get("rewards/grants").json()["grants"][0]["status"] == "unclaimed"


# --- What staff do -------------------------------------------------------------------------------


def act(office: Api, made: dict[str, Any], word: str, **more: Any) -> Any:
    return office.post(f"grants/{made['id']}/{word}", REASON | more)


def test_staff_claim_in_the_place_of_the_player(
    office: Api, tenant_a: Tenant, gold: CurrencyView
) -> None:
    made = give(office, tenant_a, item_document(claim="player"))

    assert act(office, made, "claim").json()["status"] == "granted"

    assert gold_of(gold) == 500
    move = Grant.objects.get().moves.get(to_status="processing")
    assert (move.actor, move.reason) == ("Back office", REASON["reason"])


def test_revoking_reverses_the_money_once(
    office: Api, ana: Api, tenant_a: Tenant, gold: CurrencyView
) -> None:
    made = give(office, tenant_a, item_document())

    first, again = act(office, made, "revoke"), act(office, made, "revoke")

    assert (first.status_code, first.json()["status"]) == (200, "revoked")
    assert (again.status_code, again.json()["code"]) == (409, "STATE_CONFLICT")
    assert gold_of(gold) == 0
    reversal = LedgerTransaction.objects.get(kind="reversal")
    assert reversal.reverses == LedgerTransaction.objects.get(kind="credit")
    claim = ana.post(f"rewards/grants/{made['id']}/claim")
    assert (claim.status_code, claim.json()["code"]) == (409, "STATE_CONFLICT")


def test_what_was_spent_is_not_taken_back_unless_clipped(
    office: Api, tenant_a: Tenant, gold: CurrencyView
) -> None:
    made = give(office, tenant_a, item_document())
    debit(Player.objects.get().pk, gold, 400, now=datetime.now(UTC))

    refused = act(office, made, "revoke")
    clipped = act(office, made, "revoke", clip=True)

    assert (refused.status_code, refused.json()["code"]) == (400, "INSUFFICIENT_BALANCE")
    assert (clipped.status_code, clipped.json()["context"]["shortfall"]) == (200, 400)
    assert gold_of(gold) == 0


def test_revoking_takes_badges_and_what_was_not_claimed(office: Api, tenant_a: Tenant) -> None:
    star = give(office, tenant_a, badge("Star"))
    waiting = give(office, tenant_a, badge("Moon", claim="player"))

    assert act(office, star, "revoke").json()["status"] == "revoked"
    assert act(office, waiting, "revoke").json()["status"] == "revoked"

    assert Badge.objects.get().revoked_at is not None


def test_a_physical_item_waits_for_staff(office: Api, tenant_a: Tenant) -> None:
    made = give(
        office, tenant_a, item_document(reward_type="physical_item", payload={"size": "XL"})
    )
    assert made["status"] == "processing"

    done, again = act(office, made, "fulfill"), act(office, made, "fulfill")

    assert done.json()["status"] == "granted"
    assert (again.status_code, again.json()["code"]) == (409, "STATE_CONFLICT")
    assert len(told("reward.granted")) == 1


def test_what_failed_can_be_tried_again(office: Api, tenant_a: Tenant, gold: CurrencyView) -> None:
    item = new_item(tenant_a, item_document(reward_type="badge", payload={"badge_id": "x"}))
    # Points, and no currency any more in which to give them.
    item.reward_type, item.payload = "points", {"amount": 5}
    item.save()
    made = office.post("grants", {"user_id": "ana", "item_id": item.id_text, **REASON}).json()
    assert made["status"] == "failed"
    tokens = new_currency(tenant_a, "tokens", role="token")

    done = act(office, made, "retry")

    assert done.json()["status"] == "granted"
    assert gold_of(tokens) == 5
    assert act(office, made, "retry").json()["code"] == "STATE_CONFLICT"
    assert statuses(made["id"]) == ["processing", "failed", "processing", "granted"]


@pytest.mark.parametrize("word", ["claim", "revoke", "retry", "fulfill"])
def test_every_action_needs_a_reason_and_the_right_to_write(
    office: Api, tenant_a: Tenant, word: str
) -> None:
    made = give(office, tenant_a, badge("Star", claim="player"))
    reader = admin_api(tenant_a, "rewards:read")

    silent = office.post(f"grants/{made['id']}/{word}", {})

    assert (silent.status_code, silent.json()["details"][0]["field"]) == (400, "reason")
    assert reader.post(f"grants/{made['id']}/{word}", REASON).status_code == 403


def test_a_grant_is_explained(office: Api, tenant_a: Tenant) -> None:
    made = give(office, tenant_a, item_document(unit_cost=5))

    body = office.get(f"grants/{made['id']}/explain").json()

    assert set(body) == {"grant", "firing", "trace", "transactions", "deliveries"}
    assert (body["firing"], body["trace"], body["deliveries"]) == (None, [], [])
    assert body["grant"]["cost"] == 5
    assert [each["to_status"] for each in body["grant"]["moves"]] == ["processing", "granted"]
    postings = body["transactions"][0]["postings"]
    assert {(each["account"], each["amount"]) for each in postings} == {
        ("issuer", -500),
        ("wallet", 500),
    }


# --- The operator's bonuses ----------------------------------------------------------------------


@pytest.fixture
def operator(tenant_a: Tenant, settings: Settings) -> Iterator[Operator]:
    settings.PHOENIX_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    settings.PHOENIX_RETRY_SCHEDULE = [0, 10]
    with running_operator() as made:
        Tenant.objects.filter(pk=tenant_a.pk).update(operator_base_url=made.url)
        yield made


def bonus(**changes: Any) -> dict[str, Any]:
    payload = {"bonus_offer_id": "offer-1", "amount": 10, "currency": "EUR"}
    return item_document(name="Ten euros", reward_type="bonus_offer", payload=payload, **changes)


def deliver(clock: Clock) -> int:
    return deliveries.deliver_due(clock=clock, seconds=5)


@pytest.fixture
def clock() -> Clock:
    made = Clock()
    made.now = datetime.now(UTC) + timedelta(seconds=1)
    return made


def test_acceptance_21_a_bonus_is_called_for_until_the_operator_takes_it(
    office: Api, ana: Api, tenant_a: Tenant, operator: Operator, clock: Clock
) -> None:
    operator.answers(500, 200)
    made = give(office, tenant_a, bonus())
    assert made["status"] == "processing"

    assert deliver(clock) == 1
    assert office.get(f"grants/{made['id']}").json()["status"] == "processing"
    clock.forward(seconds=12)
    assert deliver(clock) == 1

    assert ana.get(f"orders/user/ana/{made['id']}").json()["status"] == "granted"
    assert [call.path for call in operator.calls] == ["/api/bonuses/v1/credit"] * 2
    assert {call.headers["idempotency-key"] for call in operator.calls} == {made["id"]}
    first, second = operator.calls
    assert first.body == second.body
    explained = office.get(f"grants/{made['id']}/explain").json()
    attempts = explained["deliveries"][0]["attempts"]
    assert [each["status"] for each in attempts] == [500, 200]
    assert len(told("reward.granted")) == 1


def test_the_operator_is_told_what_to_credit(
    office: Api, tenant_a: Tenant, operator: Operator, clock: Clock
) -> None:
    made = give(office, tenant_a, bonus(), source_id="case-1")

    deliver(clock)

    body = decode(operator.calls[0].body)
    assert body.pop("grantedAt").endswith("Z")
    assert body == {
        "rewardId": made["id"],
        "playerId": "ana",
        "bonusOfferId": "offer-1",
        "amount": 10,
        "currency": "EUR",
        "source": "api",
        "sourceId": "case-1",
    }


def test_acceptance_21_a_refusal_fails_the_grant_and_staff_may_retry(
    office: Api, tenant_a: Tenant, operator: Operator, clock: Clock
) -> None:
    operator.answers(400, 200)
    made = give(office, tenant_a, bonus())

    deliver(clock)
    failed = office.get(f"grants/{made['id']}/explain").json()["grant"]
    retried = act(office, made, "retry")
    clock.forward(seconds=5)
    deliver(clock)

    assert (failed["status"], failed["note"]) == ("failed", "The operator's system answered 400.")
    assert retried.json()["status"] == "processing"
    assert office.get(f"grants/{made['id']}").json()["status"] == "granted"
    assert statuses(made["id"]) == ["processing", "failed", "processing", "granted"]
    assert len(operator.calls) == 2


def test_an_operator_who_has_it_already_has_it(
    office: Api, tenant_a: Tenant, operator: Operator, clock: Clock
) -> None:
    operator.answers(409)
    made = give(office, tenant_a, bonus())

    deliver(clock)

    assert office.get(f"grants/{made['id']}").json()["status"] == "granted"


def test_a_bonus_that_is_revoked_before_the_call_is_not_called_for(
    office: Api, tenant_a: Tenant, operator: Operator, clock: Clock
) -> None:
    made = give(office, tenant_a, bonus())

    act(office, made, "revoke")
    deliver(clock)

    assert operator.calls == []
    assert office.get(f"grants/{made['id']}").json()["status"] == "revoked"


# --- Tenants and players -------------------------------------------------------------------------


def test_acceptance_38_players_see_their_own_and_tenants_theirs(
    office: Api, ana: Api, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    made = give(office, tenant_a, badge("Star", claim="player"))
    ben, cleo = player_api(tenant_a, "ben"), player_api(tenant_b, "ana")
    stranger = admin_api(tenant_b)

    assert ben.get("orders/user/ana").json()["code"] == "AUTH_005"
    assert ben.get(f"orders/user/ana/{made['id']}").status_code == 403
    assert ben.get(f"orders/user/ben/{made['id']}").status_code == 404
    for other in (ben, cleo):
        assert other.post(f"rewards/grants/{made['id']}/claim").status_code == 404
        assert other.post(f"rewards/groups/{made['group_id']}/claim").status_code == 404
    assert cleo.get("orders/user/ana").json()["total"] == 0
    assert Api(stranger.headers, "/v1/tenants/tenant-a/").get("grants").status_code == 403
    for word in ("claim", "revoke", "retry", "fulfill"):
        assert stranger.post(f"grants/{made['id']}/{word}", REASON).status_code == 404
    assert stranger.get(f"grants/{made['id']}/explain").status_code == 404
    foreign = {"user_id": "ana", "item_id": made["item"]["item_id"], **REASON}
    assert stranger.post("grants", foreign).status_code == 404
    assert statuses(made["id"]) == ["unclaimed"]
