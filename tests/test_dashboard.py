"""The admin's front page: right, cheap, and silent about other tenants."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ingestion.models import Cursor, QuarantineEntry
from ingestion.services import readiness
from leaderboards.models import Leaderboard, Window
from phoenix_site import admin as dashboard
from phoenix_site.common import tallies
from phoenix_site.common.redis import RedisError, get_redis, key
from phoenix_site.common.times import parse_rfc3339
from rewards.models import Account
from rewards.services.proofs import prove
from tenants.models import Tenant
from tenants.services import audit
from tests.ingestion import factories
from tests.leaderboards import query_cast
from tests.rewards.ledger_cast import credit, make_currency, player_of
from tests.staff import allow_everything, signed_in, text_of

pytestmark = pytest.mark.django_db

URL = "/admin/dashboard.json"


@pytest.fixture(autouse=True)
def _fresh_cache() -> None:
    cache.clear()


@pytest.fixture
def boss(django_user_model: Any) -> Client:
    return signed_in(django_user_model.objects.create_superuser("boss", password="boss-pass-1"))


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


def look(client: Client) -> dict[str, Any]:
    cache.clear()
    answer = client.get(URL)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def tile(data: dict[str, Any], label: str) -> dict[str, str]:
    return next(each for each in data["tiles"] if each["label"] == label)


def fact(data: dict[str, Any], label: str) -> dict[str, str]:
    return next(each for each in data["health"] if each["label"] == label)


def count(tenant_id: str, name: str, number: int, *, seconds_ago: int) -> None:
    step = int(time.time() - seconds_ago) // tallies.STEP_SECONDS * tallies.STEP_SECONDS
    get_redis().hincrby(key("tally", step), f"{tenant_id}|{name}", number)


def current_window(tenant: Tenant, leaderboard_id: str = "xp", **more: Any) -> Window:
    now = timezone.now()
    board = query_cast.new_board(tenant, leaderboard_id)
    return query_cast.new_window(
        board, starts_at=now - timedelta(days=1), ends_at=now + timedelta(days=1, hours=1), **more
    )


# --- Numbers -------------------------------------------------------------------------------------


def test_events_are_counted_per_second_over_the_last_minute(boss: Client, tenant_a: Tenant) -> None:
    for seconds_ago in (0, 10, 20, 30, 40, 50, 60, 300):
        count("tenant-a", "events.accepted", 600, seconds_ago=seconds_ago)

    data = look(boss)

    assert 54 <= float(tile(data, "Events")["value"]) <= 71
    assert tile(data, "Events")["unit"] == "per second"
    chart = data["chart"]
    assert (len(chart["accepted"]), chart["step_seconds"]) == (180, 10)
    assert chart["accepted"][-6:] == [600] * 6
    assert chart["accepted"][-30] == 600
    assert chart["began_at"] % 10 == 0


def test_refusals_are_grouped_by_cause_with_their_time(boss: Client, tenant_a: Tenant) -> None:
    count("tenant-a", "events.accepted", 90, seconds_ago=100)
    count("tenant-a", "error.VAL_001", 7, seconds_ago=400)
    count("tenant-a", "error.VAL_001", 2, seconds_ago=200)
    count("tenant-a", "error.EVENT_CONFLICT", 1, seconds_ago=100)

    data = look(boss)

    assert tile(data, "Refused")["value"] == "10"
    assert "10.0 %" in tile(data, "Refused")["hint"]
    assert [[row[0], row[1], row[2]["text"]] for row in data["errors"]] == [
        ["Refused: VAL_001", "tenant-a", "9"],
        ["Refused: EVENT_CONFLICT", "tenant-a", "1"],
    ]
    age = timezone.now() - parse_rfc3339(data["errors"][0][3]["at"])
    assert timedelta(seconds=195) <= age <= timedelta(seconds=215)


def test_quarantine_is_told_by_cause(boss: Client, tenant_a: Tenant) -> None:
    for number in range(3):
        event = factories.append(f"bad-{number}", tenant_id="tenant-a", user_id="ana")
        QuarantineEntry.objects.create(
            tenant=tenant_a,
            event_id=event.pk,
            consumer="leaderboards.scoring",
            code="out_of_range",
            message="too large",
        )

    data = look(boss)

    assert (tile(data, "In quarantine")["value"], tile(data, "In quarantine")["tone"]) == (
        "3",
        "bad",
    )
    cause, tenant, number, _last = data["errors"][0]
    assert cause["text"] == "leaderboards.scoring: out_of_range"
    assert (tenant, number["text"]) == ("tenant-a", "3")


def test_boards_are_listed_late_ones_first_then_the_busiest(boss: Client, tenant_a: Tenant) -> None:
    query_cast.fill(current_window(tenant_a, "quiet"), {"ana": 1})
    query_cast.fill(current_window(tenant_a, "busy"), {"ana": 1, "ben": 2})
    late = current_window(tenant_a, "late")
    Window.objects.filter(pk=late.pk).update(due_at=timezone.now() - timedelta(hours=1))

    data = look(boss)

    rows = [[row[3]["text"], row[3]["tone"], row[5]["text"]] for row in data["boards"]]
    assert rows == [["Late", "bad", "0"], ["Open", "good", "2"], ["Open", "good", "1"]]
    assert data["boards"][1][4] == "in 1 d 0 h"
    assert fact(data, "Windows") == {"label": "Windows", "text": "1 late", "tone": "bad"}
    assert tile(data, "Active boards")["value"] == "3"


def test_inactive_boards_are_told_apart(boss: Client, tenant_a: Tenant) -> None:
    query_cast.new_board(tenant_a, "one")
    query_cast.new_board(tenant_a, "two")
    Leaderboard.objects.filter(leaderboard_id="two").update(status="inactive")

    data = look(boss)

    assert (tile(data, "Active boards")["value"], tile(data, "Active boards")["hint"]) == (
        "1",
        "1 inactive",
    )


@pytest.mark.django_db(transaction=True)
def test_events_that_wait_are_told_with_how_long(boss: Client, tenant_a: Tenant) -> None:
    since = timezone.now() - timedelta(seconds=90)
    factories.append("e-1", tenant_id="tenant-a", user_id="ana", received_at=since)
    Cursor.objects.create(consumer="leaderboards.scoring", shard=0, processed_count=1234)

    data = look(boss)

    assert 89 <= float(tile(data, "Processing delay")["value"].split()[0]) <= 100
    assert (tile(data, "Processing delay")["tone"], tile(data, "Processing delay")["hint"]) == (
        "bad",
        "1 events wait for leaderboards.scoring",
    )
    consumer = data["consumers"][0]
    assert consumer["name"] == "leaderboards.scoring"
    assert dict(consumer["facts"])["Processed in all"] == "1,234"


@pytest.mark.django_db(transaction=True)
def test_a_lag_that_is_not_counted_to_its_end_says_so(
    boss: Client, tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        factories.append(f"e-{number}", tenant_id="tenant-a", user_id="ana")
    monkeypatch.setattr(dashboard, "LAG_BOUND", 3)

    hint = tile(look(boss), "Processing delay")["hint"]
    assert hint == "3+ events wait for leaderboards.scoring"


# --- Health --------------------------------------------------------------------------------------


def test_workers_are_known_by_their_heartbeat(boss: Client) -> None:
    without = fact(look(boss), "Workers")
    readiness.beat_heartbeat(now=timezone.now() - timedelta(seconds=3))
    fresh = fact(look(boss), "Workers")
    readiness.beat_heartbeat(now=timezone.now() - timedelta(seconds=300))
    old = fact(look(boss), "Workers")

    assert (without["text"], without["tone"]) == ("no sign of life", "bad")
    assert fresh["tone"] == "good"
    assert fresh["text"] in {"seen 3 s ago", "seen 4 s ago"}
    assert old["tone"] == "bad"


def test_without_redis_the_page_says_what_it_does_not_know(
    boss: Client, tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    query_cast.fill(current_window(tenant_a), {"ana": 1})

    def fail() -> object:
        raise RedisError("away")

    monkeypatch.setattr(dashboard, "get_redis", fail)
    monkeypatch.setattr("leaderboards.selectors.activity.get_redis", fail)

    data = look(boss)

    assert fact(data, "Redis") == {"label": "Redis", "text": "away", "tone": "bad"}
    assert fact(data, "Workers")["text"] == "unknown"
    assert data["chart"] is None
    assert tile(data, "Events")["value"] == "-"
    assert tile(data, "Refused")["value"] == "-"
    assert data["boards"][0][5]["text"] == "1"


# --- Whose numbers -------------------------------------------------------------------------------


@pytest.fixture
def two_worlds(tenant_a: Tenant, tenant_b: Tenant) -> None:
    for tenant in (tenant_a, tenant_b):
        window = current_window(tenant, f"board-of-{tenant.pk}")
        query_cast.fill(window, {f"player-of-{tenant.pk}": 5})
        count(tenant.pk, "events.accepted", 600, seconds_ago=20)
        count(tenant.pk, "error.VAL_001", 3, seconds_ago=20)
        event = factories.append("bad", tenant_id=tenant.pk, user_id="x")
        QuarantineEntry.objects.create(
            tenant=tenant, event_id=event.pk, consumer="c", code=f"code-{tenant.pk}", message="m"
        )
        audit.record(
            f"thing.of_{tenant.pk}", actor=audit.SYSTEM, now=timezone.now(), tenant_id=tenant.pk
        )
    Leaderboard.objects.filter(tenant=tenant_b).update(name="Cleo's league")


@pytest.mark.usefixtures("two_worlds")
def test_staff_see_their_tenants_only(client: Client, boss: Client) -> None:
    own, everything = look(client), look(boss)
    page = client.get("/admin/").content.decode()

    for text in (str(own), page):
        assert "tenant-b" not in text
        assert "Cleo" not in text
    assert "tenant-b" in str(everything)
    assert tile(own, "Refused")["value"] == "3"
    assert tile(everything, "Refused")["value"] == "6"
    assert tile(own, "Active boards")["value"] == "1"
    assert tile(own, "In quarantine")["value"] == "1"
    assert sum(own["chart"]["accepted"]) == 600
    assert [row[1] for row in own["boards"]] == ["tenant-a"]
    assert [change["what"] for change in own["changes"]] == ["thing of tenant-a"]


@pytest.mark.usefixtures("two_worlds")
def test_figures_of_all_tenants_together_are_for_superusers(client: Client, boss: Client) -> None:
    Cursor.objects.create(consumer="leaderboards.scoring", shard=0, processed_count=987_654)

    own = look(client)

    assert [label for label, _ in own["consumers"][0]["facts"]] == ["Oldest event waits"]
    assert "987,654" not in str(own)
    assert "987,654" in str(look(boss))


@pytest.mark.usefixtures("two_worlds")
def test_what_one_person_saw_is_not_shown_to_another(client: Client, boss: Client) -> None:
    cache.clear()
    first = boss.get(URL).json()
    second = client.get(URL).json()

    assert "tenant-b" in str(first)
    assert "tenant-b" not in str(second)


@pytest.mark.usefixtures("two_worlds")
def test_a_member_of_nothing_sees_nothing(django_user_model: Any) -> None:
    nobody = django_user_model.objects.create_user("nobody", is_staff=True)

    data = look(signed_in(nobody))

    assert (data["boards"], data["errors"], data["changes"]) == ([], [], None)
    assert tile(data, "Active boards")["value"] == "0"
    assert sum(data["chart"]["accepted"]) == 0


def test_the_audit_log_is_shown_to_those_who_may_see_it(ops: AbstractUser) -> None:
    audit.record("thing.done", actor=audit.SYSTEM, now=timezone.now(), tenant_id="tenant-a")

    assert look(signed_in(ops))["changes"] is None


def test_strangers_are_sent_to_the_login_page(client: Client, django_user_model: Any) -> None:
    player = django_user_model.objects.create_user("player")

    for visitor in (Client(), signed_in(player)):
        answer = visitor.get(URL)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/admin/login/")


# --- The ledger ----------------------------------------------------------------------------------


def test_a_ledger_with_differences_stands_out_until_a_proof_has_none(
    boss: Client, ops: AbstractUser, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    assert fact(look(boss), "Ledger")["text"] == "not proven yet"
    credit(player_of(tenant_b, "cleo"), make_currency(tenant_b), 5)
    Account.objects.filter(kind="wallet").update(balance=6)
    prove("tenant-b", timezone.now())
    prove("tenant-a", timezone.now() - timedelta(hours=3))

    assert fact(look(boss), "Ledger")["text"] == "differences at tenant-b"
    assert fact(look(boss), "Ledger")["tone"] == "bad"
    # Staff of A hear of A only.
    assert fact(look(signed_in(ops)), "Ledger")["text"] == "proven 3 h ago"
    Account.objects.filter(kind="wallet").update(balance=5)
    prove("tenant-b", timezone.now())
    assert fact(look(boss), "Ledger")["tone"] == "good"


# --- Cost ----------------------------------------------------------------------------------------


def test_looking_costs_the_same_for_one_board_and_for_many(
    boss: Client, tenant_a: Tenant, ops: AbstractUser
) -> None:
    current_window(tenant_a, "board-0")
    look(boss)
    with CaptureQueriesContext(connection) as one:
        look(boss)
    for number in range(1, 40):
        current_window(tenant_a, f"board-{number}")

    with CaptureQueriesContext(connection) as many:
        data = look(boss)

    assert len(data["boards"]) == dashboard.LISTED_ROWS
    assert len(many) == len(one)
    # Beside session and person.
    assert len(many) <= 2 + 20


def test_many_browsers_share_one_look(boss: Client, tenant_a: Tenant) -> None:
    look(boss)

    with CaptureQueriesContext(connection) as asked:
        answer = boss.get(URL)

    assert len(asked) == 2
    assert answer.json()["as_of"] <= answer.json()["sent_at"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_page_shows_the_numbers_without_a_second_request(boss: Client) -> None:
    page = boss.get("/admin/")

    assert 'id="phoenix-dashboard-data"' in page.content.decode()
    assert "Events per second" in text_of(page)
