"""The ingestion gateway as senders see it, through both entrances (spec 01 section 3)."""

import json
import time
from typing import Any

import pytest
from django.db import connection
from django.db.utils import OperationalError
from pytest_django.fixtures import Settings

from ingestion.exceptions import EventNotStoredError
from ingestion.models import Event
from ingestion.rules.sharding import shard_of
from ingestion.services import group_commit, store
from ingestion.types import LogRow, StoreOutcome
from phoenix_site.common import tallies
from phoenix_site.common.exceptions import UnavailableError
from tenants.models import Tenant
from tenants.services import snapshots
from tests.doors import Door
from tests.ingestion import gateway_cast as cast
from tests.ingestion.gateway_cast import event, send, send_bulk


def change_tenant(**settings: Any) -> None:
    Tenant.objects.filter(pk=cast.TENANT).update(**settings)
    snapshots.forget_now()


def test_what_is_stored_is_the_normalized_event_and_who_sent_it(door: Door) -> None:
    sent = event(attrs={"b": 1.50, "a": {"x": [1, 2.0]}}, unknown="ignored")

    answer = send(door, sent, headers={"X-Request-Id": "request-7"})

    row = Event.objects.get()
    assert answer.status_code == 202
    assert answer.headers["X-Request-Id"] == "request-7"
    assert (row.tenant_id, row.event_id, row.type) == (cast.TENANT, sent["event_id"], sent["type"])
    assert (row.user_id, row.metadata) == ("user-123", {"region": "na-east"})
    assert row.attrs == {"a": {"x": [1, 2]}, "b": 1.5}
    assert (row.source, row.request_id, row.depth, row.cause) == ("api", "request-7", 0, None)
    assert row.credential_id is not None
    assert row.shard == shard_of(cast.TENANT, "user-123")


def test_a_request_without_an_id_gets_one(door: Door) -> None:
    answer = send(door, event())

    assert Event.objects.get().request_id == answer.headers["X-Request-Id"]


def test_answers_carry_the_limit(door: Door) -> None:
    answer = send(door, event())

    assert answer.headers["X-RateLimit-Limit"] == "60000"
    assert int(answer.headers["X-RateLimit-Remaining"]) < 60_000
    assert answer.headers["X-RateLimit-Reset"].isdigit()


def test_refusals_after_the_limit_carry_it_too(door: Door) -> None:
    assert "X-RateLimit-Limit" in send(door, {}).headers
    assert "X-RateLimit-Limit" not in send(door, b"not json").headers


def test_a_used_up_limit_is_429_and_stores_nothing(door: Door) -> None:
    change_tenant(limits={"ingestion": 3})

    first = send_bulk(door, [event(), event(), event()])
    second = send(door, event())

    assert first.status_code == 202
    assert (second.status_code, second.json()["code"]) == (429, "RATE_001")
    assert int(second.headers["Retry-After"]) >= 1
    assert Event.objects.count() == 3


def test_a_list_that_does_not_fit_the_limit_is_refused_whole(door: Door) -> None:
    change_tenant(limits={"ingestion": 3})

    answer = send_bulk(door, [event() for _ in range(4)])

    assert answer.status_code == 429
    assert Event.objects.count() == 0
    assert send_bulk(door, [event() for _ in range(3)]).status_code == 202


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'Application/JSON; charset="UTF-8"'],
)
def test_json_in_utf_8_is_taken_however_it_is_announced(door: Door, content_type: str) -> None:
    assert send(door, event(), headers={"Content-Type": content_type}).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Encoding": "gzip"},
    ],
)
def test_another_media_type_or_encoding_is_415(door: Door, headers: dict[str, str]) -> None:
    answer = send(door, event(), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "MEDIA_TYPE")


def test_an_absent_content_type_counts_as_json(door: Door) -> None:
    answer = send(door, event(), headers={"Content-Type": ""})

    assert answer.status_code == 202


def test_identity_is_no_encoding(door: Door) -> None:
    assert send(door, event(), headers={"Content-Encoding": "identity"}).status_code == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_only_post_is_taken_and_the_answer_says_so(door: Door, method: str) -> None:
    answer = door.ask(method, "/v1/events", token=cast.tenant_token())

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


def test_an_empty_body_is_not_json(door: Door) -> None:
    answer = send(door, b"")

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_003")


def test_the_credential_is_checked_before_anything_of_the_request(door: Door) -> None:
    answer = send(door, b"not json", anonymous=True, headers={"Content-Type": "text/plain"})

    assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_002")


def test_the_size_is_checked_before_the_credential(door: Door) -> None:
    answer = send(door, b"x" * (1024 * 1024 + 1), anonymous=True)

    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


def test_a_list_is_no_single_event(door: Door) -> None:
    answer = send(door, [event()])

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")


def test_a_fault_is_said_in_words_with_its_field_and_reason(door: Door) -> None:
    body = send(door, event(occurred_at="yesterday"), headers={"X-Request-Id": "r1"}).json()

    assert body == {
        "error": "occurred_at is not an RFC 3339 time",
        "code": "VAL_001",
        "request_id": "r1",
        "details": [
            {
                "field": "occurred_at",
                "message": "is not an RFC 3339 time",
                "reason": "bad_value",
            }
        ],
    }


def test_lone_surrogates_and_nuls_are_faults_of_their_event_only(door: Door) -> None:
    bad = json.dumps(event()).replace("smoke-test", "\\u0000").encode()
    worse = json.dumps(event()).replace("smoke-test", "\\ud800").encode()
    good = json.dumps(event()).encode()

    body = send_bulk(door, b"[" + b",".join([bad, good, worse]) + b"]").json()

    assert [result["status"] for result in body["results"]] == ["rejected", "accepted", "rejected"]
    assert body["results"][0]["details"][0]["field"] == "attrs.source"
    assert body["results"][2]["details"][0]["reason"] == "bad_value"


@pytest.mark.parametrize("number", ["1e400", "9" * 5000, "1e99999999999999999999"])
def test_a_number_that_nothing_can_hold_is_a_fault_with_its_place(door: Door, number: str) -> None:
    body = json.dumps(event(attrs={"score_delta": "?"})).replace('"?"', number).encode()

    answer = send(door, body)

    assert answer.status_code == 400
    assert answer.json()["details"][0]["field"] == "attrs.score_delta"


def test_hostile_nesting_is_refused(door: Door) -> None:
    answer = send(door, b'{"attrs":' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_003")


def test_numbers_are_compared_and_kept_exactly(door: Door) -> None:
    sent = json.dumps(event(attrs={"score_delta": "?"})).replace(
        '"?"', "12345678901234567890.123456789012345678"
    )
    other = sent.replace("012345678", "012345679")

    assert send(door, sent.encode()).status_code == 202
    assert send(door, sent.encode()).status_code == 200
    assert send(door, other.encode()).status_code == 409
    with connection.cursor() as cursor:
        cursor.execute("SELECT attrs ->> 'score_delta' FROM ingestion_event")
        assert cursor.fetchone() == ("12345678901234567890.123456789012345678",)


@pytest.mark.parametrize("body", [{"events": [], "x": 1}, []])
def test_an_empty_list_is_refused_in_both_shapes(door: Door, body: Any) -> None:
    assert send_bulk(door, body).json()["code"] == "VAL_002"


@pytest.mark.parametrize("body", [{}, {"events": {}}, "text", 5, None])
def test_a_bulk_body_without_a_list_is_a_schema_mismatch(door: Door, body: Any) -> None:
    answer = send_bulk(door, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")
    assert answer.json()["details"][0]["field"] == "events"


def test_a_bare_list_and_an_object_are_the_same(door: Door) -> None:
    events = [event(), event()]

    assert send_bulk(door, events).json()["accepted"] == 2
    assert send_bulk(door, {"events": events}).json()["duplicates"] == 2


def test_the_same_id_twice_in_one_list_counts_once(door: Door) -> None:
    sent = event()

    body = send_bulk(door, [sent, sent, sent | {"attrs": {}}]).json()

    assert [result["status"] for result in body["results"]] == ["accepted", "duplicate", "conflict"]
    assert (body["status"], Event.objects.count()) == ("partial", 1)


def test_a_players_events_keep_their_order_in_the_list(door: Door) -> None:
    sent = [event(event_id=name) for name in ("z", "m", "a", "q")]

    send_bulk(door, sent)

    assert list(Event.objects.order_by("id").values_list("event_id", flat=True)) == [
        *("z", "m", "a", "q")
    ]


def test_items_that_are_no_objects_are_rejected_alone(door: Door) -> None:
    body = send_bulk(door, [event(), 5, None, []]).json()

    assert body["rejected"] == 3
    assert body["results"][1] == {
        "index": 1,
        "event_id": None,
        "status": "rejected",
        "code": "VAL_001",
        "error": "The event must be an object",
        "details": [{"field": "", "message": "must be an object", "reason": "wrong_type"}],
    }


def test_warnings_stand_at_their_item(door: Door) -> None:
    body = send_bulk(door, [event(tenant_id="other"), event()]).json()

    assert body["results"][0]["warnings"] == ["tenant_id_replaced"]
    assert "warnings" not in body["results"][1]


def test_a_list_of_conflicts_only_is_rejected(door: Door) -> None:
    sent = event()
    send(door, sent)

    answer = send_bulk(door, [sent | {"attrs": {}}])

    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (400, "rejected", "EVENT_CONFLICT")
    assert body["request_id"] == answer.headers["X-Request-Id"]


def test_a_tenant_may_need_an_explicit_scope(door: Door) -> None:
    change_tenant(ingestion_needs_scope=True)
    scoped = cast.tenant_token(scope="events:write")

    assert send(door, event()).status_code == 403
    with_scope = send(door, event(), headers={"Authorization": f"Bearer {scoped}"})
    assert with_scope.status_code == 202


def test_a_suspended_tenant_is_refused(door: Door) -> None:
    from django.utils import timezone

    change_tenant(suspended_at=timezone.now())

    answer = send(door, event())

    assert (answer.status_code, answer.json()["code"]) == (403, "AUTH_005")


def test_a_signature_covers_the_path_as_it_was_sent(door: Door) -> None:
    body = json.dumps(event()).encode()
    headers = cast.signature("POST", "/v1/events", body)

    answer = send(door, body, anonymous=True, headers=headers, path="/v1/events?trace=1")

    assert answer.status_code == 202


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both entrances find nobody when they store."""
    nowhere = "host=/nonexistent dbname=x connect_timeout=1"
    monkeypatch.setattr(group_commit, "database_conninfo", lambda **_names: nowhere)

    def fail(_rows: Any) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(store, "store_rows", fail)


@pytest.mark.usefixtures("no_database")
def test_without_a_database_nothing_is_promised(door: Door) -> None:
    single, bulk = send(door, event()), send_bulk(door, [event(), event()])

    for answer in (single, bulk):
        assert (answer.status_code, answer.json()["code"]) == (503, "SRV_002")
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[StoreOutcome]:
    """Let the database say of each event what the test puts into the list."""
    outcomes: list[StoreOutcome] = []

    def store_events(rows: list[LogRow]) -> list[StoreOutcome]:
        return outcomes[: len(rows)]

    async def astore_events(rows: list[LogRow]) -> list[StoreOutcome]:
        return outcomes[: len(rows)]

    monkeypatch.setattr(store, "store_events", store_events)
    monkeypatch.setattr(group_commit, "store_events", astore_events)
    return outcomes


def test_an_event_that_the_database_refuses_is_a_fault_of_ours(
    door: Door, refused: list[StoreOutcome]
) -> None:
    refused += [EventNotStoredError("The event could not be stored."), "accepted"]

    single, bulk = send(door, event()), send_bulk(door, [event(), event()])

    assert (single.status_code, single.json()["code"]) == (500, "SRV_001")
    assert bulk.status_code == 202
    assert bulk.json()["results"][0]["status"] == "rejected"
    assert bulk.json()["results"][0]["code"] == "SRV_001"
    assert bulk.json()["results"][1]["status"] == "accepted"


def test_a_list_that_could_not_be_stored_in_time_is_503_as_a_whole(
    door: Door, refused: list[StoreOutcome]
) -> None:
    refused += [UnavailableError("too slow"), UnavailableError("too slow")]

    answer = send_bulk(door, [event(), event()])

    assert (answer.status_code, answer.json()["code"]) == (503, "SRV_002")


def test_what_happened_is_counted_for_the_dashboard(door: Door) -> None:
    sent = event()
    send_bulk(door, [sent, event(), sent, sent | {"attrs": {}}, {}])

    counted: dict[str, int] = {}
    for (tenant_id, name), count in _tallies(door).items():
        assert tenant_id == cast.TENANT
        counted[name] = count

    assert counted == {
        "events.accepted": 2,
        "events.duplicate": 1,
        "error.EVENT_CONFLICT": 1,
        "error.VAL_001": 1,
    }


def _tallies(door: Door) -> dict[tuple[str, str], int]:
    door.flush_tallies()
    found: dict[tuple[str, str], int] = {}
    for step in tallies.recent(60, now=time.time() + tallies.STEP_SECONDS):
        for key, count in step.counts.items():
            found[key] = found.get(key, 0) + count
    return found


def test_a_body_that_django_itself_finds_too_large_is_413(door: Door, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1024

    answer = send(door, event(attrs={"text": "x" * 2000}))

    # The fast entrance reads the body itself, and has only its own limit.
    expected = (202, None) if settings.PHOENIX_FAST_DOOR else (413, "TOO_LARGE")
    assert (answer.status_code, answer.json().get("code")) == expected
