"""The acceptance table of spec 01, row by row, through both entrances."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from ingestion.models import Event, QuarantineEntry
from ingestion.rules.sharding import shard_of
from ingestion.services import cursors, readiness
from ingestion.types import Refusal
from phoenix_site.common.redis import RedisError
from tenants.models import Tenant
from tests.doors import Door
from tests.ingestion import gateway_cast as cast
from tests.ingestion.gateway_cast import event, send, send_bulk


def stored(door: Door, event_id: str) -> httpx.Response:
    path = f"/v1/tenants/{cast.TENANT}/events/{event_id}"
    return door.get(path, headers={"X-API-Key": cast.KEY})


def outcome(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, body.get("code") or body["status"]


def test_01_health_without_a_credential(door: Door) -> None:
    answer = door.get("/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})
    assert answer.headers["X-Phoenix-Version"]


def test_02_health_with_a_key(door: Door) -> None:
    good = door.get("/health", headers={"X-API-Key": cast.KEY})
    bad = door.get("/health", headers={"X-API-Key": "pk_wrong"})

    assert good.json() == {
        "status": "healthy",
        "credential": "api_key",
        "tenant_ids": [cast.TENANT],
    }
    assert outcome(bad) == (401, "AUTH_003")


def test_03_health_with_a_signature(door: Door) -> None:
    signed = cast.signature("GET", "/health", b"")
    without_feed = cast.signature("GET", "/health", b"", last_feed=False)

    good = door.get("/health", headers=signed)

    assert (good.status_code, good.json()["credential"]) == (200, "tenant_hmac")
    assert outcome(door.get("/health", headers=without_feed)) == (401, "AUTH_001")


def test_04_readiness(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    readiness.beat_heartbeat(now=timezone.now())
    ready = door.get("/ready")

    def no_queue() -> None:
        raise RedisError("gone")

    def no_database() -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(readiness, "_probe_queue", no_queue)
    degraded = door.get("/ready")
    monkeypatch.setattr(readiness, "_probe_database", no_database)
    not_ready = door.get("/ready")

    assert ready.status_code == 200
    assert (
        ready.json().items()
        >= {
            "status": "ready",
            "database": "connected",
            "message_queue": "connected",
        }.items()
    )
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert degraded.json()["message_queue"] == "unavailable"
    assert (not_ready.status_code, not_ready.json()["code"]) == (503, "SRV_002")
    assert not_ready.json()["status"] == "not_ready"
    assert not_ready.json()["request_id"]
    assert int(not_ready.headers["Retry-After"]) > 0


def test_05_an_event_is_accepted(door: Door) -> None:
    sent = event()

    answer = send(door, sent)

    assert answer.status_code == 202
    assert answer.json() == {
        "status": "accepted",
        "event_id": sent["event_id"],
        "duplicate": False,
    }


def test_06_the_same_event_again_is_a_duplicate(door: Door) -> None:
    moment = datetime.now(UTC).replace(microsecond=0)
    body = json.dumps(event(occurred_at=moment.isoformat())).encode()
    reordered = dict(reversed(json.loads(body).items()))
    reordered["occurred_at"] = moment.astimezone(
        timezone.get_fixed_timezone(timedelta(hours=5, minutes=30))
    ).isoformat()
    reordered["attrs"] = dict(reversed(reordered["attrs"].items())) | {"score_delta": 50.0}
    send(door, body)

    again = [send(door, body), send(door, reordered)]

    assert [answer.status_code for answer in again] == [200, 200]
    assert [answer.json()["duplicate"] for answer in again] == [True, True]
    assert {answer.json()["status"] for answer in again} == {"accepted"}


def test_07_other_content_under_a_known_id_is_a_conflict(door: Door) -> None:
    sent = event()
    send(door, sent)

    answer = send(door, sent | {"attrs": {"score_delta": 51}})

    assert outcome(answer) == (409, "EVENT_CONFLICT")
    assert stored(door, sent["event_id"]).json()["attrs"] == sent["attrs"]


def test_08_credentials_of_the_wrong_kind(door: Door) -> None:
    key = {"Authorization": f"Bearer {cast.KEY}"}
    admin = {"Authorization": f"Bearer {cast.admin_token()}"}

    assert outcome(send(door, event(), anonymous=True)) == (401, "AUTH_002")
    assert outcome(send(door, event(), headers=key)) == (401, "AUTH_003")
    assert outcome(send(door, event(), headers=admin)) == (401, "AUTH_003")


def test_09_tokens_that_are_wrong(door: Door) -> None:
    head, payload, signature = cast.tenant_token().split(".")
    # The last character holds two bits of padding; the first always changes the bytes.
    forged = f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    hour_ago = int(datetime.now(UTC).timestamp()) - 3600
    unsigned = "eyJhbGciOiJub25lIn0." + payload + "."

    def with_token(token: str) -> tuple[int, str]:
        return outcome(send(door, event(), headers={"Authorization": f"Bearer {token}"}))

    assert with_token(forged) == (401, "AUTH_001")
    assert with_token(cast.tenant_token(exp=hour_ago)) == (401, "AUTH_003")
    assert with_token(unsigned) == (401, "AUTH_003")


def test_10_signatures(door: Door) -> None:
    def signed(age: int = 0, *, wrong_digit: bool = False) -> httpx.Response:
        body = json.dumps(event()).encode()
        stamp = int(datetime.now(UTC).timestamp()) - age
        headers = cast.signature("POST", "/v1/events", body, timestamp=stamp)
        if wrong_digit:
            digit = headers["X-Signature"][-1]
            headers["X-Signature"] = headers["X-Signature"][:-1] + ("0" if digit != "0" else "1")
        return send(door, body, anonymous=True, headers=headers)

    assert signed().status_code == 202
    assert outcome(signed(wrong_digit=True)) == (401, "AUTH_001")
    assert outcome(signed(302)) == (401, "AUTH_004")
    assert signed(298).status_code == 202
    assert Event.objects.count() == 2


def test_11_an_empty_object_names_every_field(door: Door) -> None:
    answer = send(door, {})

    assert outcome(answer) == (400, "VAL_001")
    assert {fault["field"] for fault in answer.json()["details"]} == {
        *("event_id", "type", "actor", "occurred_at", "attrs")
    }


def test_12_times_that_cannot_be(door: Door) -> None:
    def reason(occurred_at: str) -> str:
        answer = send(door, event(occurred_at=occurred_at))
        assert answer.status_code == 400
        return str(answer.json()["details"][0]["reason"])

    assert reason("2026-11-18T09:00:00") == "naive_time"
    assert reason(cast.ago(hours=-1)) == "in_future"
    assert reason(cast.ago(days=500)) == "too_old"


def test_13_a_foreign_tenant_id_is_replaced(door: Door) -> None:
    sent = event(tenant_id="other")

    answer = send(door, sent)

    assert answer.status_code == 202
    assert answer.json()["warnings"] == ["tenant_id_replaced"]
    assert stored(door, sent["event_id"]).status_code == 200
    assert Event.objects.get().tenant_id == cast.TENANT


def test_14_a_list_has_1_to_100_events(door: Door) -> None:
    assert outcome(send_bulk(door, {"events": []})) == (400, "VAL_002")
    assert outcome(send_bulk(door, [event() for _ in range(101)])) == (400, "VAL_002")
    assert Event.objects.count() == 0
    assert send_bulk(door, [event() for _ in range(100)]).json()["accepted"] == 100


def test_15_a_list_with_every_verdict(door: Door) -> None:
    known, other = event(), event()
    send_bulk(door, [known, other])
    new = event()

    answer = send_bulk(door, [new, known, other | {"attrs": {}}, event(event_id=...)])

    body = answer.json()
    assert (answer.status_code, body["status"]) == (202, "partial")
    assert [body[name] for name in ("accepted", "duplicates", "conflicts", "rejected")] == [1] * 4
    assert body["results"] == [
        {"index": 0, "event_id": new["event_id"], "status": "accepted"},
        {"index": 1, "event_id": known["event_id"], "status": "duplicate"},
        {
            "index": 2,
            "event_id": other["event_id"],
            "status": "conflict",
            "code": "EVENT_CONFLICT",
            "error": "event_id is stored with other content",
        },
        {
            "index": 3,
            "event_id": None,
            "status": "rejected",
            "code": "VAL_001",
            "error": "event_id is missing",
            "details": [{"field": "event_id", "message": "is missing", "reason": "missing"}],
        },
    ]
    assert Event.objects.count() == 3


def test_16_a_list_of_invalid_events_only(door: Door) -> None:
    answer = send_bulk(door, [event(type="a b"), event(attrs=[])])

    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (400, "rejected", "VAL_001")
    assert body["error"]
    assert body["request_id"]
    assert len(body["results"]) == 2


def test_17_the_size_of_a_body(door: Door) -> None:
    def sized(size: int) -> bytes:
        body = json.dumps(event(attrs={"text": "?"})).encode()
        return body.replace(b"?", b"x" * (size - len(body) + 1))

    assert outcome(send(door, sized(1024 * 1024 + 1))) == (413, "TOO_LARGE")
    assert send(door, sized(1024 * 1024 - 100)).status_code == 202


def test_18_bodies_and_methods_that_are_not_taken(door: Door) -> None:
    text = {"Content-Type": "text/plain"}

    assert outcome(send(door, b"not json")) == (400, "VAL_003")
    assert outcome(send(door, event(), headers=text)) == (415, "MEDIA_TYPE")
    assert outcome(door.get("/v1/events", token=cast.tenant_token())) == (405, "METHOD")


def test_19_fifty_sends_at_once_are_one_event(door: Door) -> None:
    body = json.dumps(event()).encode()
    headers = {"Authorization": f"Bearer {cast.tenant_token()}"}
    request = {"method": "POST", "url": "/v1/events", "content": body, "headers": headers}

    answers = door.ask_at_once([request] * 50)

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 49
    assert Event.objects.count() == 1


def test_21_the_flat_shape(door: Door) -> None:
    sent = {
        "event_id": "flat-1",
        "event_type": "game.completed",
        "tenant_id": cast.TENANT,
        "user_id": "user-123",
        "timestamp": int(datetime.now(UTC).timestamp()),
        "attributes": {"score_delta": 50},
    }

    answer = send(door, sent)

    assert (answer.status_code, answer.json()["warnings"]) == (202, ["older_shape"])
    body = stored(door, "flat-1").json()
    assert body["type"] == "game.completed"
    assert body["actor"] == {"user_id": "user-123", "metadata": {}}
    assert body["attrs"] == {"score_delta": 50}
    assert not body.keys() & {"event_type", "user_id", "timestamp", "attributes"}


def test_23_a_bad_event_does_not_hold_up_the_next_ones(door: Door) -> None:
    sent = [event(attrs={"score": "bad" if number == 0 else number}) for number in range(11)]
    send_bulk(door, sent)
    effects: list[Any] = []

    @transaction.atomic
    def consume() -> None:
        batch = cursors.lock_batch(consumer="test.scoring", shard=shard_of(cast.TENANT, "user-123"))
        refused = []
        for each in batch.events:
            if each.attrs["score"] == "bad":
                refused.append(Refusal(each, "NOT_A_NUMBER", "score is not a number"))
            else:
                effects.append(each.attrs["score"])
        cursors.advance_cursor(batch, quarantine=refused)

    consume()
    consume()

    assert effects == list(range(1, 11))
    entry = QuarantineEntry.objects.get()
    assert (entry.event.event_id, entry.code) == (sent[0]["event_id"], "NOT_A_NUMBER")


def test_24_a_key_reads_only_its_own_tenants(door: Door, tenant_b: Tenant) -> None:
    path = f"/v1/tenants/{tenant_b.pk}/events"

    foreign = door.get(path, headers={"X-API-Key": cast.KEY})
    foreign_event = door.get(f"{path}/evt_1", headers={"X-API-Key": cast.KEY})

    assert outcome(foreign) == (403, "AUTH_005")
    assert outcome(foreign_event) == (403, "AUTH_005")
