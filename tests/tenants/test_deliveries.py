"""The outbox: what is owed is sent, again if need be, and somebody hears how it ended."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.db import IntegrityError, transaction
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from phoenix_site.common import nudges
from phoenix_site.common.exceptions import ConflictError, InvalidInputError, NotFoundError
from phoenix_site.common.ids import uuid7
from phoenix_site.common.nudges import waiting_key
from phoenix_site.common.redis import RedisError, get_redis
from tenants.constants import DELIVERIES_KEPT, DELIVERY_LEASE
from tenants.exceptions import IdempotencyConflictError
from tenants.models import AuditEntry, Delivery, SigningKey, Tenant
from tenants.services import deliveries, signing_keys, upkeep
from tests.operators import Operator, Reply, running_operator
from tests.tenants.cast import ACTOR
from tests.tenants.delivery_cast import NOW, Clock, attempts, faults, fresh, owe, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _listening(settings: Settings) -> None:
    settings.PHOENIX_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    settings.PHOENIX_RETRY_SCHEDULE = [0, 10, 100]
    settings.PHOENIX_DELIVERY_HANDLERS = {"bonus_credit": "tests.tenants.delivery_cast.hear"}
    told.clear()
    faults.clear()


@pytest.fixture
def operator(tenant_a: Tenant) -> Iterator[Operator]:
    with running_operator() as made:
        Tenant.objects.filter(pk="tenant-a").update(operator_base_url=f"{made.url}/base/")
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


def send(clock: Clock) -> int:
    return deliveries.deliver_due(clock=clock, seconds=5)


# --- Owing ---------------------------------------------------------------------------------------


def test_a_call_is_owed_once_for_a_key(tenant_a: Tenant, tenant_b: Tenant) -> None:
    first = owe()
    again = owe(body={"other": 1}, reference="other")
    theirs = owe(tenant_id="tenant-b")

    assert again == first
    assert json.loads(again.body) == {"rewardId": "grant-1", "amount": 5}
    assert theirs != first
    with pytest.raises(IdempotencyConflictError):
        owe(kind="other")


def test_the_body_is_written_once_with_exact_numbers_and_times(tenant_a: Tenant) -> None:
    body = {"amount": Decimal("10.50"), "grantedAt": NOW, "id": UUID(int=7), "items": [{"at": NOW}]}

    made = fresh(owe(body=body))

    assert made.body == (
        '{"amount":10.50,"grantedAt":"2026-11-20T10:00:00Z",'
        '"id":"00000000-0000-0000-0000-000000000007","items":[{"at":"2026-11-20T10:00:00Z"}]}'
    )


@pytest.mark.parametrize(
    "headers", [{"Host": "x"}, {"Signature": "x"}, {"x-request-id": "x"}, {"a": "b\r\nc: d"}]
)
def test_headers_that_every_delivery_sets_are_refused(
    tenant_a: Tenant, headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidInputError):
        owe(headers=headers)


def test_senders_are_woken_after_the_commit_and_not_before(
    tenant_a: Tenant, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    waiting = waiting_key("tenants.tasks.deliver_due", 0)

    with django_capture_on_commit_callbacks(execute=True):
        owe()
        assert not get_redis().exists(waiting)

    assert get_redis().exists(waiting)


def test_without_redis_the_call_is_owed_all_the_same(
    operator: Operator,
    clock: Clock,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise RedisError

    monkeypatch.setattr(nudges, "get_redis", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        made = owe()

    send(clock)

    assert fresh(made).state == "delivered"


def test_what_was_rolled_back_is_not_owed(operator: Operator, clock: Clock) -> None:
    with transaction.atomic():
        owe()
        transaction.set_rollback(True)

    assert send(clock) == 0
    assert operator.calls == []


@pytest.mark.parametrize(
    "broken", [{"state": "lost"}, {"state": "delivered"}, {"state": "pending", "closed_at": NOW}]
)
def test_the_database_refuses_states_that_cannot_be(
    tenant_a: Tenant, broken: dict[str, Any]
) -> None:
    made = owe()

    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.filter(pk=made.pk).update(**broken)


# --- Sending -------------------------------------------------------------------------------------


def test_a_delivery_arrives_signed_with_the_platform_key(operator: Operator, clock: Clock) -> None:
    made = owe()

    assert send(clock) == 1

    (call,) = operator.calls
    assert (call.method, call.path) == ("POST", "/base/api/bonuses/v1/credit")
    assert call.body == made.body.encode()
    assert call.headers["idempotency-key"] == "grant-1"
    assert call.headers["content-type"] == "application/json"
    key = SigningKey.objects.get(purpose="outbound")
    assert call.headers["signature-key-id"] == key.kid
    public = load_pem_public_key(key.public_key.encode())
    assert isinstance(public, Ed25519PublicKey)
    signature = call.headers["signature"]
    assert not signature.endswith("=")
    public.verify(base64.urlsafe_b64decode(signature + "=="), call.body)
    (attempt,) = attempts(made)
    assert call.headers["x-request-id"] == attempt.request_id
    assert (attempt.status, attempt.answer, attempt.ended_at) == (200, "{}", NOW)
    assert attempt.milliseconds is not None
    assert fresh(made).state == "delivered"
    assert told == [
        {"delivery_id": made.pk, "outcome": "delivered", "status": 200, "now": clock.now}
    ]
    assert send(clock) == 0


def test_acceptance_21_500_then_200_are_two_calls_with_one_idempotency_key(
    operator: Operator, clock: Clock
) -> None:
    operator.answers(500, 200)
    made = owe()

    assert send(clock) == 1
    waiting = fresh(made)
    assert (waiting.state, waiting.last_status, told) == ("pending", 500, [])
    assert timedelta(seconds=9) <= waiting.due_at - NOW <= timedelta(seconds=11)
    assert send(clock) == 0
    clock.forward(seconds=11)
    assert send(clock) == 1

    assert [call.headers["idempotency-key"] for call in operator.calls] == ["grant-1"] * 2
    assert operator.calls[0].body == operator.calls[1].body
    ids = [call.headers["x-request-id"] for call in operator.calls]
    assert len(set(ids)) == 2
    done = fresh(made)
    assert (done.state, done.attempt_count, done.last_status) == ("delivered", 2, 200)
    assert [each["outcome"] for each in told] == ["delivered"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 409])
def test_any_2xx_and_409_are_delivered(operator: Operator, clock: Clock, status: int) -> None:
    operator.answers(status)
    made = owe()

    send(clock)

    assert (fresh(made).state, fresh(made).last_status) == ("delivered", status)


def test_409_is_success_for_a_bonus_only(operator: Operator, clock: Clock) -> None:
    operator.answers(409)
    made = owe(kind="something_else")

    send(clock)

    assert fresh(made).state == "failed"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_acceptance_21_other_4xx_fail_at_once_and_staff_retry_works(
    operator: Operator, clock: Clock, status: int
) -> None:
    operator.answers(status, 200)
    made = owe()
    send(clock)
    assert (fresh(made).state, fresh(made).closed_at) == ("failed", NOW)
    assert [each["outcome"] for each in told] == ["failed"]
    clock.forward(days=2)
    assert send(clock) == 0

    deliveries.retry_delivery(made.pk, actor=ACTOR, now=clock.now, reason="Mended")
    send(clock)

    assert fresh(made).state == "delivered"
    assert [(each["outcome"], each["status"]) for each in told] == [
        ("failed", status),
        ("delivered", 200),
    ]
    assert [call.headers["idempotency-key"] for call in operator.calls] == ["grant-1"] * 2
    entry = AuditEntry.objects.get(action="delivery.retried")
    assert (entry.tenant_id, entry.object_id, entry.reason) == ("tenant-a", str(made.pk), "Mended")


@pytest.mark.parametrize("status", [301, 302, 408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_to_the_end_of_the_schedule(
    operator: Operator, clock: Clock, status: int
) -> None:
    operator.answers(Reply(status, headers={"Location": f"{operator.url}/elsewhere"}))
    made = owe()

    for _ in range(5):
        send(clock)
        clock.forward(seconds=200)

    done = fresh(made)
    assert (done.state, done.attempt_count, done.last_status) == ("failed", 3, status)
    assert {call.path for call in operator.calls} == {"/base/api/bonuses/v1/credit"}
    assert [(each["outcome"], each["status"]) for each in told] == [("failed", status)]


def test_a_timeout_is_retried(
    operator: Operator, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "DELIVERY_TIMEOUT_SECONDS", 0.2)
    operator.answers(Reply(drip_seconds=0.05), Reply())
    made = owe()

    send(clock)
    assert (fresh(made).state, fresh(made).last_error) == ("pending", "timeout")
    clock.forward(seconds=11)
    send(clock)

    assert fresh(made).state == "delivered"
    assert [each.error for each in attempts(made)] == ["timeout", ""]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honored_up_to_an_hour(
    operator: Operator, clock: Clock, status: int
) -> None:
    operator.answers(Reply(status, headers={"Retry-After": "50"}))
    soon = owe("soon")
    send(clock)
    operator.answers(Reply(status, headers={"Retry-After": "86400"}))
    late = owe("late")
    send(clock)
    operator.answers(Reply(status, headers={"Retry-After": "1"}))
    early = owe("early")
    send(clock)
    operator.answers(Reply(status, headers={"Retry-After": "Fri, 20 Nov 2026 10:05:00 GMT"}))
    dated = owe("dated")
    send(clock)

    pauses = [(fresh(each).due_at - NOW).total_seconds() for each in (soon, late, dated)]
    assert pauses == [50, 3600, 300]
    assert fresh(early).due_at - NOW >= timedelta(seconds=9), "never sooner than the schedule"


def test_an_address_that_may_not_be_called_is_not_called(
    operator: Operator, clock: Clock, settings: Settings
) -> None:
    settings.PHOENIX_OUTBOUND_ALLOW = []
    made = owe()
    full = owe("full", path_or_url="https://169.254.169.254/latest")

    send(clock)

    assert operator.calls == []
    for each in (made, full):
        assert (fresh(each).state, fresh(each).last_error) == ("pending", "blocked_address")


def test_a_path_waits_until_the_operator_has_an_address(operator: Operator, clock: Clock) -> None:
    Tenant.objects.filter(pk="tenant-a").update(operator_base_url="")
    made = owe()
    send(clock)
    assert fresh(made).last_error == "no_address"
    Tenant.objects.filter(pk="tenant-a").update(operator_base_url=operator.url)
    clock.forward(seconds=11)

    send(clock)

    assert operator.calls[0].path == "/api/bonuses/v1/credit"
    assert fresh(made).state == "delivered"


def test_four_kib_of_an_answer_are_kept_and_any_bytes_are_legible(
    operator: Operator, clock: Clock
) -> None:
    operator.answers(Reply(400, b"\x00\xff" + b"x" * 10_000))
    made = owe()

    send(clock)

    assert attempts(made)[0].answer == "\ufffd\ufffd" + "x" * 4094


def test_a_handler_that_fails_loses_nothing_and_stops_nobody(
    operator: Operator, clock: Clock
) -> None:
    faults.append(ValueError("a bug"))
    made, other = owe("one"), owe("two")

    assert send(clock) == 2
    waiting = fresh(made)
    assert (waiting.state, waiting.last_error) == ("pending", "handler_failed")
    assert fresh(other).state == "delivered"
    clock.forward(seconds=11)
    send(clock)

    assert fresh(made).state == "delivered"
    assert [each["delivery_id"] for each in told] == [other.pk, made.pk]
    assert [each.status for each in attempts(made)] == [200, 200]


def test_a_handler_that_never_takes_it_leaves_a_failed_row(
    operator: Operator, clock: Clock
) -> None:
    faults.extend(ValueError("a bug") for _ in range(3))
    made = owe()

    for _ in range(4):
        send(clock)
        clock.forward(seconds=200)

    assert (fresh(made).state, fresh(made).last_error) == ("failed", "handler_failed")
    assert told == []


# --- Order and shares ----------------------------------------------------------------------------


def test_deliveries_of_one_order_key_go_one_after_the_other(
    operator: Operator, clock: Clock
) -> None:
    operator.answers(500, 200)
    for number in (1, 2):
        owe(f"ana-{number}", order_key="ana")
    owe("ben-1", order_key="ben")
    owe("free")

    assert send(clock) == 3, "ana-2 waits for ana-1, which is tried again"
    clock.forward(seconds=11)
    assert send(clock) == 2

    sent = [call.headers["idempotency-key"] for call in operator.calls]
    assert sent.index("ana-2") == 4
    assert sent[0] == sent[3] == "ana-1"


def test_order_keys_of_two_tenants_do_not_meet(
    operator: Operator, clock: Clock, tenant_b: Tenant
) -> None:
    operator.answers(500)
    owe("theirs", tenant_id="tenant-b", order_key="ana", path_or_url=f"{operator.url}/b")
    owe("mine", order_key="ana")

    assert send(clock) == 2


def test_one_that_failed_for_good_holds_up_nobody(operator: Operator, clock: Clock) -> None:
    operator.answers(400, 200)
    owe("ana-1", order_key="ana")
    last = owe("ana-2", order_key="ana")

    assert send(clock) == 2
    assert fresh(last).state == "delivered"


def test_waiting_for_earlier_ones_ends_where_the_kind_says_so(
    operator: Operator, clock: Clock
) -> None:
    operator.answers(Reply(503, headers={"Retry-After": "3600"}), Reply(200))
    owe("ana-1", order_key="ana")
    later = owe("ana-2", order_key="ana")
    Delivery.objects.filter(pk=later.pk).update(ordered_until=NOW + timedelta(minutes=10))
    send(clock)
    clock.forward(minutes=9)
    assert send(clock) == 0
    clock.forward(minutes=1)

    assert send(clock) == 1
    assert fresh(later).state == "delivered"


def test_a_tenant_whose_calls_hang_leaves_senders_to_others(
    operator: Operator, clock: Clock, tenant_b: Tenant
) -> None:
    for number in range(4):
        held = owe(f"held-{number}")
        Delivery.objects.filter(pk=held.pk).update(claim=uuid7(), due_at=NOW + DELIVERY_LEASE)
    fifth = owe("fifth")
    theirs = owe("theirs", tenant_id="tenant-b", path_or_url=f"{operator.url}/b")

    assert send(clock) == 1
    assert (fresh(fifth).state, fresh(theirs).state) == ("pending", "delivered")


def test_a_dead_senders_delivery_is_sent_again_after_its_lease(
    operator: Operator, clock: Clock
) -> None:
    made = owe()
    deliveries._claim_next(now=clock.now)  # the sender dies here

    clock.forward(seconds=59)
    assert send(clock) == 0
    clock.forward(seconds=1)
    assert send(clock) == 1

    lost, sent = attempts(made)
    assert (lost.error, lost.status, lost.ended_at) == ("lost", None, clock.now)
    assert (sent.number, sent.status) == (2, 200)
    assert fresh(made).step == 0, "a sender's death uses up nothing of the schedule"


def test_a_sender_that_was_frozen_changes_nothing_when_it_wakes(
    operator: Operator, clock: Clock
) -> None:
    made = owe()
    frozen = deliveries._claim_next(now=clock.now)
    assert frozen is not None
    clock.forward(seconds=61)
    operator.answers(500)
    send(clock)
    before = fresh(made)

    deliveries._record(frozen, deliveries._Result(None, "timeout"), now=clock.now)

    after = fresh(made)
    assert (after.due_at, after.step, after.state) == (before.due_at, 1, "pending")
    assert told == []


# --- Staff and upkeep ----------------------------------------------------------------------------


def test_retrying_begins_a_new_round_of_the_schedule(operator: Operator, clock: Clock) -> None:
    operator.answers(500)
    made = owe()
    for _ in range(3):
        send(clock)
        clock.forward(seconds=200)
    assert fresh(made).state == "failed"

    deliveries.retry_delivery(made.pk, actor=ACTOR, now=clock.now)
    for _ in range(4):
        send(clock)
        clock.forward(seconds=200)

    assert (fresh(made).state, fresh(made).attempt_count) == ("failed", 6)


def test_a_waiting_delivery_is_sent_at_once_on_retry(operator: Operator, clock: Clock) -> None:
    operator.answers(500, 200)
    made = owe()
    send(clock)

    deliveries.retry_delivery(made.pk, actor=ACTOR, now=clock.now)

    assert send(clock) == 1
    assert fresh(made).state == "delivered"


def test_what_arrived_or_is_being_sent_is_not_sent_again(operator: Operator, clock: Clock) -> None:
    done, held = owe("done"), owe("held")
    deliveries.deliver_one(done.pk, clock=clock)
    deliveries._claim_next(now=clock.now, delivery_id=held.pk)

    with pytest.raises(ConflictError):
        deliveries.retry_delivery(done.pk, actor=ACTOR, now=clock.now)
    with pytest.raises(NotFoundError):
        deliveries.retry_delivery(uuid7(), actor=ACTOR, now=clock.now)
    before = fresh(held)
    deliveries.retry_delivery(held.pk, actor=ACTOR, now=clock.now)
    assert fresh(held).due_at == before.due_at
    assert not deliveries.deliver_one(held.pk, clock=clock)


def test_closed_deliveries_are_kept_for_ninety_days(operator: Operator, clock: Clock) -> None:
    owe("old")
    send(clock)
    open_one = owe("open")
    clock.now = NOW + DELIVERIES_KEPT - timedelta(seconds=1)
    upkeep.purge_leftovers(now=clock.now)
    assert Delivery.objects.count() == 2

    clock.forward(seconds=1)
    upkeep.purge_leftovers(now=clock.now)

    assert list(Delivery.objects.all()) == [open_one]


def test_keys_of_calls_are_not_replaced_behind_operators_backs(
    operator: Operator, clock: Clock
) -> None:
    owe()
    send(clock)
    kid = operator.calls[0].headers["signature-key-id"]
    upkeep.purge_leftovers(now=NOW + timedelta(days=365))
    assert SigningKey.objects.get(purpose="outbound", retired_at__isnull=True).kid == kid

    new = signing_keys.rotate_signing_key("outbound", now=NOW)
    owe("two")
    send(clock)

    assert operator.calls[1].headers["signature-key-id"] == new.kid != kid
