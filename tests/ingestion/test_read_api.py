"""The admin gateway's view of the log (spec 01 ADM-101)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from ingestion.types import StoredEvent
from tenants.models import Credential, Tenant
from tenants.services import limits, snapshots
from tests.ingestion import gateway_cast as cast
from tests.ingestion.factories import append

pytestmark = pytest.mark.django_db

PATH = f"/v1/tenants/{cast.TENANT}/events"
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


def event_effects(tenant_id: str, event: StoredEvent) -> list[dict[str, Any]]:
    return [{"leaderboard_id": "xp-weekly", "points": Decimal("2.5"), "tenant_id": tenant_id}]


@pytest.fixture(autouse=True)
def _fresh(sandbox: Tenant, settings: Settings) -> None:
    settings.PHOENIX_EVENT_CONSUMERS = {
        "leaderboards.scoring": {"task": "x", "effects": f"{__name__}.event_effects"},
        "rewards.rules": {"task": "y"},
    }
    snapshots.forget_now()
    limits.forget_leases()


def get(path: str = PATH, *, key: str = cast.KEY, **query: Any) -> Any:
    return Client().get(path, query, headers={"X-API-Key": key})


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [event["event_id"] for event in answer.json()["events"]]


def stored(event_id: str, *, minutes: int = 0, **fields: Any) -> None:
    moment = NOON + timedelta(minutes=minutes)
    fields.setdefault("occurred_at", moment)
    append(event_id, tenant_id=cast.TENANT, received_at=moment, **fields)


def test_events_come_newest_first_in_the_shape_of_the_contract() -> None:
    stored("e1", attrs={"score_delta": 50})
    stored("e2", minutes=1)

    body = get().json()

    assert [event["event_id"] for event in body["events"]] == ["e2", "e1"]
    assert body["events"][1] == {
        "event_id": "e1",
        "type": "game.completed",
        "actor": {"user_id": "ana", "metadata": {}},
        "occurred_at": "2026-11-18T12:00:00Z",
        "received_at": "2026-11-18T12:00:00Z",
        "source": "api",
        "attrs": {"score_delta": 50},
    }
    assert body["next"] is None


def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    for number in range(7):
        # Some share the time at which they were received.
        stored(f"e{number}", minutes=number // 3)

    seen, after = [], None
    for _page in range(4):
        answer = get(limit=2, **({"after": after} if after else {}))
        seen += ids(answer)
        after = answer.json()["next"]

    assert seen == [f"e{number}" for number in range(6, -1, -1)]
    assert after is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"user_id": "ben"}, ["ben"]),
        ({"type": "match.won"}, ["won"]),
        ({"source": "internal"}, []),
        ({"received_from": "2026-11-18T12:01:00Z"}, ["won", "ben"]),
        ({"received_to": "2026-11-18T12:01:00Z"}, ["ana"]),
        ({"occurred_from": "2026-11-18T13:02:00+01:00"}, ["won"]),
        ({"occurred_to": "2026-11-18T12:02:00Z", "user_id": "ana"}, ["ana"]),
        ({"user_id": "nobody"}, []),
    ],
)
def test_filters_include_the_start_and_not_the_end(
    query: dict[str, str], expected: list[str]
) -> None:
    stored("ana")
    stored("ben", minutes=1, user_id="ben")
    stored("won", minutes=2, type="match.won")

    assert ids(get(**query)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "x"),
        ("source", "elsewhere"),
        ("received_from", "2026-11-18T12:00:00"),
        ("occurred_to", "yesterday"),
        ("after", "nonsense"),
        ("after", "MTI"),
        ("after", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OS4x"),
        ("user_id", "a\0b"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    answer = get(**{name: value})

    assert answer.status_code == 400
    assert answer.json()["code"] == "VAL_001"
    assert answer.json()["details"][0]["field"] == name


def test_one_event_has_its_effects() -> None:
    stored("e/1 %", user_id=None, type="leaderboard.window.closed")

    answer = get(f"{PATH}/e%2F1%20%25")

    body = answer.json()
    assert (body["event_id"], body["actor"]["user_id"], body["cause"]) == ("e/1 %", None, None)
    assert body["effects"] == [
        {
            "consumer": "leaderboards.scoring",
            "leaderboard_id": "xp-weekly",
            "points": 2.5,
            "tenant_id": cast.TENANT,
        }
    ]


@pytest.mark.parametrize("event_id", ["nothing", "a%00b", "%EF%BF%BF"])
def test_an_unknown_event_is_not_found(event_id: str) -> None:
    answer = get(f"{PATH}/{event_id}")

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_another_tenants_event_of_the_same_id_is_not_shown(tenant_b: Tenant) -> None:
    append("e1", tenant_id="tenant-b")

    assert get(f"{PATH}/e1").status_code == 404
    assert ids(get()) == []


def test_a_key_without_the_scope_is_refused() -> None:
    Credential.objects.filter(kind="api_key").update(scopes=["leaderboards:read"])
    snapshots.forget_now()

    answer = get()

    assert (answer.status_code, answer.json()["code"]) == (403, "AUTH_005")


def test_tenant_tokens_do_not_open_the_admin_gateway() -> None:
    answer = Client().get(PATH, headers={"Authorization": f"Bearer {cast.tenant_token()}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_003")


def test_a_page_costs_the_same_for_1_event_and_for_100() -> None:
    stored("first")
    snapshots.forget_now()
    get()
    with CaptureQueriesContext(connection) as one:
        get()
    for number in range(99):
        stored(f"e{number}")
    # What the process remembers of the key must not run out while it is counted.
    snapshots.forget_now()
    get()

    with CaptureQueriesContext(connection) as many:
        assert len(ids(get())) == 100

    assert len(many) == len(one)


def test_a_tenants_newest_events_come_from_an_index() -> None:
    from ingestion import selectors
    from ingestion.models import Event
    from ingestion.types import EventFilter

    for number in range(200):
        stored(f"e{number}", minutes=number)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE ingestion_event")
        # With so few rows other plans are as good; what counts is that the index can serve.
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("SET enable_bitmapscan = off")
    after = selectors.newest_events(cast.TENANT, EventFilter(), limit=50).next
    assert after is not None
    events = Event.objects.for_tenant(cast.TENANT).filter(selectors._older_than(after))

    plan = events.order_by("-received_at", "-id")[:50].explain()
    with connection.cursor() as cursor:
        cursor.execute("RESET enable_seqscan")
        cursor.execute("RESET enable_bitmapscan")

    assert "event_newest" in plan
    assert "Sort" not in plan
