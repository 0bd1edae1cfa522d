"""The admin pages of the log: what staff see, of which tenants, and what they may do."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from ingestion.models import Cursor, Event, QuarantineEntry
from ingestion.types import StoredEvent
from phoenix_site.common.exceptions import InvalidInputError
from tenants.models import AuditEntry, Tenant
from tests.ingestion.factories import append

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.tenants.admin_urls")]

EVENTS = "/admin/ingestion/event/"
CURSORS = "/admin/ingestion/cursor/"
QUARANTINE = "/admin/ingestion/quarantineentry/"
SCORING = "leaderboards.scoring"

replayed: list[str] = []


def replay_event(event: StoredEvent, *, now: datetime) -> None:
    if event.attrs.get("still") == "bad":
        raise InvalidInputError("score is not a number")
    replayed.append(event.event_id)


def event_effects(tenant_id: str, event: StoredEvent) -> list[dict[str, Any]]:
    return [{"board": "xp-weekly", "points": Decimal("12.50"), "tenant": tenant_id}]


@pytest.fixture(autouse=True)
def _consumer(settings: Settings) -> None:
    replayed.clear()
    settings.PHOENIX_EVENT_CONSUMERS = {
        SCORING: {
            "task": "x",
            "replay": f"{__name__}.replay_event",
            "effects": f"{__name__}.event_effects",
        }
    }


def log_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def boss(django_user_model: type[User]) -> Client:
    return log_in(django_user_model.objects.create_superuser("boss", password="boss-pass-1"))


@pytest.fixture
def ops_client(ops: User) -> Client:
    ops.user_permissions.add(*Permission.objects.filter(content_type__app_label="ingestion"))
    return log_in(ops)


@pytest.fixture
def viewer(ops: User) -> Client:
    views = Permission.objects.filter(
        content_type__app_label="ingestion", codename__startswith="view"
    )
    ops.user_permissions.add(*views)
    return log_in(ops)


def text(client: Client, url: str, **query: Any) -> str:
    answer = client.get(url, query, follow=True)
    assert answer.status_code == 200, answer.content[:500]
    return answer.content.decode()


def quarantined(event: Event, **fields: Any) -> QuarantineEntry:
    values = {"consumer": SCORING, "code": "NOT_A_NUMBER", "message": "score is not a number"}
    return QuarantineEntry.objects.create(tenant_id=event.tenant_id, event=event, **values | fields)


def test_staff_see_the_events_of_their_tenants_only(
    ops_client: Client, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    append("ours")
    foreign = append("theirs", tenant_id="tenant-b")

    page = text(ops_client, EVENTS)

    assert "ours" in page
    assert "theirs" not in page
    assert ">theirs<" not in text(ops_client, EVENTS, q="theirs")
    assert ops_client.get(f"{EVENTS}{foreign.pk}/change/").status_code == 302


def test_events_are_found_by_id_player_type_and_source(boss: Client, tenant_a: Tenant) -> None:
    append("one", user_id="ana", type="game.completed")
    append("two", user_id="ben", type="match.won")

    def found(**query: Any) -> set[str]:
        page = text(boss, EVENTS, **query)
        return {name for name in ("one", "two") if f">{name}<" in page}

    assert found() == {"one", "two"}
    assert found(q="one") == {"one"}
    assert found(q="ben") == {"two"}
    assert found(player="ana") == {"one"}
    assert found(type="match.won") == {"two"}
    assert found(source__exact="api") == {"one", "two"}
    assert found(source__exact="internal") == set()


def test_a_search_for_nobody_spans_31_days(boss: Client, tenant_a: Tenant) -> None:
    long_ago = timezone.now() - timedelta(days=40)
    append("recent")
    append("old", received_at=long_ago)

    assert ">old<" not in text(boss, EVENTS)
    assert ">old<" in text(boss, EVENTS, q="old")
    assert ">old<" in text(boss, EVENTS, player="ana")
    day = (long_ago - timedelta(days=1)).date()
    page = text(boss, EVENTS, received_at_from_0=day, received_at_from_1="00:00:00")
    assert ">old<" not in page
    assert "Shown are 31 days" in page
    end = (long_ago + timedelta(days=2)).date()
    page = text(
        boss,
        EVENTS,
        received_at_from_0=day,
        received_at_from_1="00:00:00",
        received_at_to_0=end,
        received_at_to_1="00:00:00",
    )
    assert ">old<" in page


def test_an_event_shows_exact_numbers_and_its_effects(boss: Client, tenant_a: Tenant) -> None:
    event = append("e1", attrs={"score": Decimal("1.25")})

    page = text(boss, f"{EVENTS}{event.pk}/change/")

    assert "1.25" in page
    assert "xp-weekly" in page
    assert "12.50" in page


def test_events_can_be_neither_added_changed_nor_deleted(boss: Client, tenant_a: Tenant) -> None:
    event = append("e1")

    assert boss.get(f"{EVENTS}add/").status_code == 403
    assert boss.post(f"{EVENTS}{event.pk}/change/", {"type": "x"}).status_code == 403
    assert boss.post(f"{EVENTS}{event.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Event.objects.get().type == event.type


def test_a_page_of_events_costs_the_same_for_1_and_for_40_and_counts_nothing(
    boss: Client, tenant_a: Tenant
) -> None:
    append("first")
    text(boss, EVENTS)
    with CaptureQueriesContext(connection) as one:
        text(boss, EVENTS)
    for number in range(39):
        append(f"e{number}")

    with CaptureQueriesContext(connection) as many:
        text(boss, EVENTS)

    assert len(many) == len(one)
    assert not any("COUNT(" in query["sql"] and "ingestion_event" in query["sql"] for query in many)


def test_cursors_show_since_when_the_next_event_waits(boss: Client, tenant_a: Tenant) -> None:
    event = append("e1", received_at=timezone.now() - timedelta(minutes=5))
    Cursor.objects.create(consumer="behind", shard=event.shard)
    Cursor.objects.create(consumer="ready", shard=event.shard, last_xid=event.xid, last_id=event.pk)

    page = text(boss, CURSORS)

    assert "5\xa0minutes" in page
    assert "none" in page


def test_an_entry_is_replayed_after_a_preview_and_a_reason(
    ops_client: Client, tenant_a: Tenant
) -> None:
    entry = quarantined(append("e1"))
    chosen = {"action": "replay_selected", "_selected_action": [str(entry.pk)]}

    asked = ops_client.post(QUARANTINE, chosen).content.decode()
    without_reason = ops_client.post(QUARANTINE, chosen | {"confirmed": "1"}).content.decode()
    assert "Replay 1 entry" in asked
    assert "Replay 1 entry" in without_reason
    assert replayed == []
    ops_client.post(QUARANTINE, chosen | {"confirmed": "1", "reason": "board mended"})

    entry.refresh_from_db()
    assert replayed == ["e1"]
    assert (entry.state, entry.reason, entry.resolved_by) == ("replayed", "board mended", "ops")
    audit = AuditEntry.objects.get()
    assert (audit.action, audit.tenant_id, audit.reason) == (
        *("quarantine.replayed", "tenant-a", "board mended"),
    )


def test_what_the_consumer_refuses_again_stays_open(ops_client: Client, tenant_a: Tenant) -> None:
    bad = quarantined(append("bad", attrs={"still": "bad"}))
    good = quarantined(append("good"))
    ids = [str(bad.pk), str(good.pk)]
    chosen = {"action": "replay_selected", "_selected_action": ids, "confirmed": "1"}

    page = ops_client.post(QUARANTINE, chosen | {"reason": "try"}, follow=True).content.decode()

    bad.refresh_from_db()
    assert (bad.state, bad.tries) == ("open", 2)
    assert replayed == ["good"]
    assert "score is not a number" in page


def test_entries_are_discarded_with_a_reason(ops_client: Client, tenant_a: Tenant) -> None:
    entry = quarantined(append("e1"))
    chosen = {"action": "discard_selected", "_selected_action": [str(entry.pk)], "confirmed": "1"}

    ops_client.post(QUARANTINE, chosen | {"reason": "a test event"})

    entry.refresh_from_db()
    assert (entry.state, entry.reason) == ("discarded", "a test event")
    assert replayed == []


def test_foreign_entries_are_out_of_reach(
    ops_client: Client, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    entry = quarantined(append("theirs", tenant_id="tenant-b"))
    chosen = {"action": "discard_selected", "_selected_action": [str(entry.pk)], "confirmed": "1"}

    assert "theirs" not in text(ops_client, QUARANTINE)
    ops_client.post(QUARANTINE, chosen | {"reason": "not ours"})

    entry.refresh_from_db()
    assert entry.state == "open"


def test_who_may_only_look_is_offered_no_action(viewer: Client, tenant_a: Tenant) -> None:
    entry = quarantined(append("e1"))
    chosen = {"action": "discard_selected", "_selected_action": [str(entry.pk)], "confirmed": "1"}

    assert "discard_selected" not in text(viewer, QUARANTINE)
    viewer.post(QUARANTINE, chosen | {"reason": "just so"})

    entry.refresh_from_db()
    assert entry.state == "open"


def test_a_page_of_entries_costs_the_same_for_1_and_for_20(boss: Client, tenant_a: Tenant) -> None:
    entry = quarantined(append("first"))
    assert "NOT_A_NUMBER" in text(boss, f"{QUARANTINE}{entry.pk}/change/")
    text(boss, QUARANTINE)
    with CaptureQueriesContext(connection) as one:
        text(boss, QUARANTINE)
    for number in range(19):
        quarantined(append(f"e{number}"))

    with CaptureQueriesContext(connection) as many:
        text(boss, QUARANTINE)

    assert len(many) == len(one)


def test_times_are_shown_in_utc(boss: Client, tenant_a: Tenant) -> None:
    append("e1", received_at=datetime.now(UTC).replace(hour=0, minute=0, second=7))

    assert "00:00:07" in text(boss, EVENTS)


def test_a_time_that_is_none_is_as_good_as_no_time(boss: Client, tenant_a: Tenant) -> None:
    append("e1")

    assert ">e1<" in text(boss, EVENTS, received_at_from_0="2026-13-45", received_at_from_1="x")


def test_more_entries_than_one_can_judge_are_not_taken(
    boss: Client, tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.admin.quarantine.MAX_CHOSEN", 1)
    entries = [quarantined(append(name)) for name in ("e1", "e2")]
    chosen = {"action": "discard_selected", "_selected_action": [str(e.pk) for e in entries]}

    page = boss.post(QUARANTINE, chosen, follow=True).content.decode()

    assert "Choose at most 1 at a time." in page
