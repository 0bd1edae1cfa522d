from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from ingestion.models import Event
from ingestion.rules.sharding import shard_of
from ingestion.services.log import append_events
from ingestion.services.store import store_rows
from ingestion.types import EventInput
from tests.ingestion.factories import log_row

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


def placed(**changes: Any) -> EventInput:
    values: dict[str, Any] = {
        "tenant_id": "tenant-a",
        "event_id": "leaderboard.placed:xp:2026-W47:ana:1",
        "type": "leaderboard.placed",
        "user_id": "ana",
        "attrs": {"rank": 1, "score": Decimal("9.50")},
        "occurred_at": NOON,
        "cause": "leaderboard.window.closed:xp:2026-W47:1",
        "depth": 1,
    }
    return EventInput(**values | changes)


@pytest.fixture
def nudged(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    calls: list[set[int]] = []
    monkeypatch.setattr("ingestion.services.log.nudge_consumers", calls.append)
    return calls


def test_an_internal_event_is_stored_with_its_cause(nudged: list[set[int]]) -> None:
    (verdict,) = append_events([placed()])

    event = Event.objects.get()
    assert (verdict.status, verdict.event_id) == ("accepted", event.event_id)
    assert (event.source, event.depth) == ("internal", 1)
    assert event.cause == "leaderboard.window.closed:xp:2026-W47:1"
    assert event.attrs == {"rank": 1, "score": Decimal("9.5")}
    assert nudged == [{shard_of("tenant-a", "ana")}]


def test_a_repeated_job_adds_nothing(nudged: list[set[int]]) -> None:
    append_events([placed()])

    (verdict,) = append_events([placed()])

    assert verdict.status == "duplicate"
    assert Event.objects.count() == 1
    assert nudged[1] == set()


def test_an_event_about_a_board_has_no_player() -> None:
    append_events([placed(user_id=None, type="leaderboard.window.closed")])

    assert Event.objects.get().user_id is None


def test_an_id_that_a_sender_took_does_not_stop_phoenix() -> None:
    store_rows([log_row(placed().event_id)])

    first = append_events([placed()])
    again = append_events([placed()])

    assert [verdict.status for verdict in first + again] == ["accepted", "duplicate"]
    assert set(Event.objects.values_list("event_id", "source")) == {
        (placed().event_id, "api"),
        (placed().event_id + " internal", "internal"),
    }


def test_other_content_under_an_internal_id_is_reported_as_conflict() -> None:
    append_events([placed()])

    (verdict,) = append_events([placed(attrs={"rank": 2})])

    assert verdict.status == "conflict"
    assert Event.objects.get().attrs["rank"] == 1


def test_a_chain_of_causes_is_cut_below_eight() -> None:
    assert len(append_events([placed(depth=8)])) == 1
    assert append_events([placed(event_id="deeper", depth=9)]) == []
    assert Event.objects.count() == 1


def test_events_belong_to_the_callers_transaction() -> None:
    with transaction.atomic():
        append_events([placed()])
        transaction.set_rollback(True)

    assert not Event.objects.exists()


def test_more_events_than_one_statement_takes_are_all_stored() -> None:
    events = [placed(event_id=f"e{number}") for number in range(1500)]

    assert len(append_events(events)) == 1500
    assert Event.objects.count() == 1500


def test_nothing_to_append_is_fine() -> None:
    assert append_events([]) == []
