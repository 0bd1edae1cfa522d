"""Authentication, permissions, throttles and idempotency keys as views use them."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from phoenix_site.common.exceptions import InvalidInputError
from tenants.exceptions import IdempotencyInProgressError
from tenants.models import IdempotencyRecord, Tenant
from tenants.services import idempotency, snapshots, upkeep
from tenants.types import IdempotencyScope, NewSecret, StoredAnswer
from tests.tenants import cast
from tests.tenants.cast import admin_token, signed, tenant_token, utc_now
from tests.tenants.urls import ProbeView

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.tenants.urls")]

PROBE = "/v1/tenants/tenant-a/probe"


@pytest.fixture(autouse=True)
def _fresh_probe() -> Iterator[None]:
    ProbeView.done, ProbeView.gate = 0, None
    ProbeView.entered.clear()
    yield
    ProbeView.gate = None


@pytest.fixture
def key(tenant_a: Tenant) -> NewSecret:
    return cast.new_key(tenant_a)


def post(
    client: Client, key: NewSecret, path: str = PROBE, body: Any = None, **headers: str
) -> Any:
    return client.post(
        path,
        {} if body is None else body,
        content_type="application/json",
        headers={"x-api-key": key.value} | {k.replace("_", "-"): v for k, v in headers.items()},
    )


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


# --- Who and what --------------------------------------------------------------------------------


def test_an_api_key_and_its_token_open_the_admin_gateway(client: Client, key: NewSecret) -> None:
    token = admin_token(key.credential_id, key.value)

    by_key = client.get(PROBE, headers={"x-api-key": key.value})
    by_token = client.get(PROBE, headers={"authorization": f"Bearer {token}"})

    assert by_key.json() == {"kind": "api_key", "user": "Back office", "tenant": "tenant-a"}
    assert by_token.json()["kind"] == "admin_jwt"


def test_refusals_have_their_codes_and_one_shape(
    client: Client, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    reader = cast.new_key(tenant_a, scopes=("leaderboards:read",))
    headers = {"x-api-key": reader.value}

    nothing = client.get(PROBE)

    assert code(nothing) == (401, "AUTH_002")
    assert set(nothing.json()) == {"error", "code", "request_id"}
    assert nothing.headers["WWW-Authenticate"] == "Bearer"
    assert code(client.get(PROBE, headers={"x-api-key": "pk_wrong"})) == (401, "AUTH_003")
    assert code(post(client, reader)) == (403, "AUTH_005")
    assert code(client.get("/v1/tenants/tenant-b/probe", headers=headers)) == (403, "AUTH_005")
    assert code(client.get("/v1/tenants/nobody/probe", headers=headers)) == (403, "AUTH_005")
    alias = client.get("/v1/probe", {"tenant_id": "tenant-b"}, headers=headers)
    assert code(alias) == (403, "AUTH_005")
    assert client.get("/v1/probe", headers=headers).status_code == 200
    assert code(client.put(PROBE, headers={})) == (401, "AUTH_002"), "before the method"


def test_a_signed_request_is_verified_over_its_very_body(client: Client, tenant_a: Tenant) -> None:
    secret = cast.new_secret(tenant_a)
    body = b'{"a" :  1}'
    request = signed("tenant-a", secret.value, path="/v1/ingest", body=body)

    good = client.post(
        "/v1/ingest", body, content_type="application/json", headers=dict(request.headers)
    )
    changed = client.post(
        "/v1/ingest", b'{"a":1}', content_type="application/json", headers=dict(request.headers)
    )

    assert good.json() == {"kind": "tenant_hmac", "size": 1}
    assert code(changed) == (401, "AUTH_001")


def test_a_players_token_opens_the_query_gateway(client: Client, tenant_a: Tenant) -> None:
    secret = cast.new_secret(tenant_a)
    token = tenant_token("tenant-a", secret.value)

    answer = client.get("/v1/query", headers={"authorization": f"Bearer {token}"})

    assert answer.json() == {"user_id": "ana"}
    assert answer.headers["X-RateLimit-Limit"] == "600"
    assert answer.headers["X-RateLimit-Remaining"] == "599"


def test_every_limited_answer_carries_the_limit(
    client: Client, key: NewSecret, tenant_a: Tenant
) -> None:
    Tenant.objects.update(limits={"admin": 2})
    snapshots.forget_now()

    answers = [client.get(PROBE, headers={"x-api-key": key.value}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert code(answers[2]) == (429, "RATE_001")
    assert int(answers[2].headers["Retry-After"]) >= 1


# --- Idempotency keys ----------------------------------------------------------------------------


def test_the_same_key_and_body_get_the_first_answer(client: Client, key: NewSecret) -> None:
    first = post(client, key, idempotency_key="k1")
    again = post(client, key, idempotency_key="k1")

    assert (first.status_code, again.status_code, ProbeView.done) == (201, 201, 1)
    assert again.content == first.content
    assert again.headers["Location"] == "/x"
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Content-Type"] == first.headers["Content-Type"]


def test_without_a_key_the_work_is_done_each_time(client: Client, key: NewSecret) -> None:
    post(client, key)
    post(client, key)

    assert ProbeView.done == 2


def test_another_body_or_query_with_the_same_key_is_a_conflict(
    client: Client, key: NewSecret
) -> None:
    post(client, key, idempotency_key="k1")

    other = post(client, key, body={"a": 1}, idempotency_key="k1")
    query = post(client, key, path=PROBE + "?a=1", idempotency_key="k1")

    assert code(other) == (409, "IDEMPOTENCY_CONFLICT")
    assert code(query) == (409, "IDEMPOTENCY_CONFLICT")
    assert ProbeView.done == 1


def test_a_key_belongs_to_its_credential_path_and_method(
    client: Client, key: NewSecret, tenant_a: Tenant
) -> None:
    other = cast.new_key(tenant_a)

    post(client, key, idempotency_key="k1")
    post(client, other, idempotency_key="k1")
    post(client, key, path="/v1/probe?tenant_id=tenant-a", idempotency_key="k1")
    deleted = client.delete(PROBE, headers={"x-api-key": key.value, "idempotency-key": "k1"})
    again = client.delete(PROBE, headers={"x-api-key": key.value, "idempotency-key": "k1"})

    assert ProbeView.done == 4
    assert (deleted.status_code, again.status_code, again.content) == (204, 204, b"")


def test_players_who_share_a_secret_do_not_share_keys(client: Client, tenant_a: Tenant) -> None:
    secret = cast.new_secret(tenant_a)

    def ask(player: str) -> Any:
        token = tenant_token("tenant-a", secret.value, sub=player)
        headers = {"authorization": f"Bearer {token}", "idempotency-key": "k1"}
        return client.post("/v1/query", {}, content_type="application/json", headers=headers)

    answers = [ask(player) for player in ("ana", "ben", "ana")]

    assert [answer.json()["user_id"] for answer in answers] == ["ana", "ben", "ana"]
    assert answers[2].headers["Idempotent-Replayed"] == "true"


def test_an_error_of_the_caller_is_kept_and_a_fault_of_ours_is_not(
    client: Client, key: NewSecret
) -> None:
    first = post(client, key, body={"fail": "conflict"}, idempotency_key="k1")
    again = post(client, key, body={"fail": "conflict"}, idempotency_key="k1")
    client.raise_request_exception = False
    for _ in range(2):
        assert post(client, key, body={"fail": "fault"}, idempotency_key="k2").status_code == 500

    assert (first.status_code, first.content) == (409, again.content)
    assert ProbeView.done == 3


@pytest.mark.parametrize("bad", ["", "a b", "é", "x" * 256])
def test_a_key_that_is_not_visible_ascii_is_400(client: Client, key: NewSecret, bad: str) -> None:
    assert code(post(client, key, idempotency_key=bad)) == (400, "VAL_001")


def test_a_key_is_kept_for_a_day(client: Client, key: NewSecret) -> None:
    post(client, key, idempotency_key="k1")

    with time_machine.travel(utc_now() + timedelta(hours=23), tick=False):
        post(client, key, idempotency_key="k1")
    with time_machine.travel(utc_now() + timedelta(hours=25), tick=False):
        post(client, key, body={"other": 1}, idempotency_key="k1")

    assert ProbeView.done == 2


def test_a_request_that_was_lost_lets_its_key_go_after_a_while(tenant_a: Tenant) -> None:
    scope = IdempotencyScope("tenant-a", "c", "POST", "/x", "k")
    now = utc_now()
    lost = idempotency.begin_request(scope, b"h" * 32, now=now)
    assert isinstance(lost, IdempotencyRecord)

    taken = idempotency.begin_request(scope, b"h" * 32, now=now + timedelta(minutes=6))
    idempotency.finish_request(lost, status=201, headers={}, body=b"late")

    assert isinstance(taken, IdempotencyRecord)
    assert IdempotencyRecord.objects.get().status is None, "the lost one has no say any more"
    idempotency.finish_request(taken, status=201, headers={}, body=b"answer")
    replay = idempotency.begin_request(scope, b"h" * 32, now=now + timedelta(minutes=7))
    assert isinstance(replay, StoredAnswer)
    assert (replay.status, replay.body) == (201, b"answer")


def test_a_long_path_fits_the_index(tenant_a: Tenant) -> None:
    scope = IdempotencyScope(None, "c", "POST", "/" + "x" * 20_000, "k")

    assert isinstance(idempotency.begin_request(scope, b"h" * 32, now=utc_now()), IdempotencyRecord)


def test_ended_records_are_purged(tenant_a: Tenant) -> None:
    for number in range(3):
        scope = IdempotencyScope("tenant-a", "c", "POST", "/x", f"k{number}")
        idempotency.begin_request(scope, b"h" * 32, now=utc_now() - timedelta(hours=12 * number))

    upkeep.purge_leftovers(now=utc_now())

    assert IdempotencyRecord.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_with_one_key_do_the_work_once(tenant_a: Tenant) -> None:
    key = cast.new_key(tenant_a)
    ProbeView.gate = threading.Event()
    answers: list[Any] = []

    def send() -> None:
        try:
            answers.append(post(Client(), key, idempotency_key="k1"))
        finally:
            connection.close()

    first = threading.Thread(target=send)
    first.start()
    assert ProbeView.entered.wait(10)
    meanwhile = post(Client(), key, idempotency_key="k1")
    other = post(Client(), key, body={"a": 1}, idempotency_key="k1")
    ProbeView.gate.set()
    first.join()
    after = post(Client(), key, idempotency_key="k1")

    assert code(meanwhile) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert code(other) == (409, "IDEMPOTENCY_CONFLICT")
    assert answers[0].status_code == 201
    assert after.content == answers[0].content
    assert ProbeView.done == 1


@pytest.mark.django_db(transaction=True)
def test_many_requests_at_once_with_one_key_claim_it_once(tenant_a: Tenant) -> None:
    scope = IdempotencyScope("tenant-a", "c", "POST", "/x", "k")
    barrier, won = threading.Barrier(8), []

    def claim() -> None:
        try:
            barrier.wait()
            found = idempotency.begin_request(scope, b"h" * 32, now=utc_now())
            won.append(isinstance(found, IdempotencyRecord))
        except IdempotencyInProgressError:
            won.append(False)
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(won) == [False] * 7 + [True]


def test_check_key_names_the_header() -> None:
    with pytest.raises(InvalidInputError) as caught:
        idempotency.check_key("a b")
    assert caught.value.details[0].field == "Idempotency-Key"


def test_an_address_behind_a_trusted_proxy_counts(
    client: Client, tenant_a: Tenant, settings: Settings
) -> None:
    key = cast.new_key(tenant_a, allowed_cidrs=["203.0.113.9"])
    headers = {"x-api-key": key.value, "x-forwarded-for": "203.0.113.9"}

    assert code(client.get(PROBE, headers=headers)) == (403, "AUTH_005")
    settings.PHOENIX_TRUSTED_PROXIES = ["127.0.0.1"]
    assert client.get(PROBE, headers=headers).status_code == 200
