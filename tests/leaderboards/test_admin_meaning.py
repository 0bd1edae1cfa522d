"""What the board form says it means, while somebody types."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leaderboards.admin import meaning
from leaderboards.models import Leaderboard
from leaderboards.services import boards
from leaderboards.types import RankedEntry
from tenants.models import Tenant
from tenants.services import audit
from tests.ingestion import factories
from tests.leaderboards.admin_cast import config
from tests.leaderboards.boards import put_entries
from tests.staff import allow_everything, board_form, signed_in

pytestmark = pytest.mark.django_db

URL = "/admin/leaderboards/leaderboard/meaning/"
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


def ask(client: Client, url: str = URL, **changed: Any) -> dict[str, Any]:
    answer = client.post(url, board_form(**changed))
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def send(event_id: str, **changed: Any) -> None:
    factories.append(
        event_id, tenant_id="tenant-a", user_id="ana", type="game.completed", **changed
    )


# --- The document and its faults -----------------------------------------------------------------


def test_the_document_follows_the_fields(client: Client, tenant_a: Tenant) -> None:
    said = ask(client, size="50", min_score="2.50", decimals="2")

    assert (said["faults"], said["missing"]) == ([], [])
    document = json.loads(said["json"])
    assert document["ranking"]["size"] == 50
    assert '"min_score": 2.50' in said["json"]
    assert not Leaderboard.objects.exists()


def test_what_is_missing_is_told_apart_from_what_is_wrong(client: Client, tenant_a: Tenant) -> None:
    said = ask(client, tenant="", leaderboard_id="", name="", reset_time="noon")

    assert said["missing"] == ["Tenant", "Leaderboard id", "Name"]
    assert said["faults"] == ["At: Must be a time of day, HH:MM."]


def test_a_fault_in_one_part_leaves_the_others_useful(client: Client, tenant_a: Tenant) -> None:
    send("e-1", attrs={"points": 7})

    without_time = ask(client, timezone="Mars/One")
    without_points = ask(client, rules='[{"event_type": "game.completed"}]')

    assert without_time["windows"] == []
    assert without_time["trial"]["rows"][0]["result"] == "7 points"
    assert len(without_points["windows"]) == 5
    assert without_points["trial"]["note"] == "The scoring is not complete yet."


@pytest.mark.parametrize(
    "changed",
    [
        {"rules": "{"},
        {"rules": "1"},
        {"rules": '[1, "x", null]'},
        {"scope": '{"a": '},
        {"scope": "[]"},
        {"use_json": "on", "config_json": "null"},
        {"use_json": "on", "config_json": '{"timeframe": []}'},
        {"decimals": "many", "size": "", "timeframe_type": "never", "method": ""},
        {"start_at": "soon", "timeframe_type": "custom"},
        {"tenant": "no-such-tenant"},
        {"grace_seconds": "9" * 400, "max_score": "1e999999"},
    ],
)
def test_whatever_is_typed_is_answered(
    client: Client, tenant_a: Tenant, changed: dict[str, str]
) -> None:
    said = ask(client, **changed)

    assert said["faults"] or said["missing"]


def test_an_empty_form_is_answered(client: Client, tenant_a: Tenant) -> None:
    answer = client.post(URL, {})

    assert answer.status_code == 200
    assert "Name" in answer.json()["missing"]


# --- Windows -------------------------------------------------------------------------------------


def test_windows_are_shown_by_both_clocks() -> None:
    timeframe = {"type": "daily", "timezone": "America/New_York", "reset_time": "01:30"}

    shown = meaning.next_windows({"timeframe": timeframe}, datetime(2026, 11, 1, 9, tzinfo=UTC))

    assert shown[0] == ["2026-11-01", "Sun 01 Nov, 01:30", "01 Nov, 05:30", "1 d 1 h"]
    assert [row[3] for row in shown[1:]] == ["1 d"] * 4


def test_the_window_that_lasts_ninety_minutes() -> None:
    timeframe = {"type": "hourly", "timezone": "Australia/Lord_Howe"}

    shown = meaning.next_windows({"timeframe": timeframe}, datetime(2026, 4, 4, 14, tzinfo=UTC))

    assert shown[0] == ["2026-04-05T01", "Sun 05 Apr, 01:00", "04 Apr, 14:00", "90 min"]


def test_all_time_is_one_window() -> None:
    shown = meaning.next_windows({"timeframe": {"type": "all_time"}}, NOON)

    assert [(row[0], row[3]) for row in shown] == [("all_time", "for ever")]


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0 min"),
        (timedelta(seconds=59), "0 min"),
        (timedelta(minutes=60), "1 h"),
        (timedelta(minutes=90), "90 min"),
        (timedelta(hours=167), "6 d 23 h"),
        (timedelta(days=7), "7 d"),
        (timedelta(days=1, minutes=5), "1 d 5 min"),
    ],
)
def test_lengths_read_like_people_say_them(span: timedelta, text: str) -> None:
    assert meaning.length_of(span) == text


# --- Equal scores --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "policy", "ranks"),
    [
        ("score_desc", "first_to_reach", "1234"),
        ("score_desc", "shared", "1224"),
        ("score_desc", "dense", "1223"),
        ("score_asc", "first_to_reach", "1234"),
        ("score_asc", "shared", "1224"),
        ("score_asc", "dense", "1223"),
    ],
)
def test_equal_scores_are_worked_through(method: str, policy: str, ranks: str) -> None:
    rows = meaning.worked_ties({"ranking": {"method": method, "tie_policy": policy, "size": "?"}})

    assert "".join(row[3] for row in rows) == ranks
    best = "Ana" if method == "score_desc" else "Zoe"
    assert [row[0] for row in rows][:1] == [best]


# --- Recent events -------------------------------------------------------------------------------


def test_recent_events_say_what_they_would_score(client: Client, tenant_a: Tenant) -> None:
    for number in range(7):
        send(f"e-{number}", attrs={"points": number, "mode": "ranked"})
    send("no-points", attrs={"mode": "ranked"})
    send("casual", attrs={"points": 9, "mode": "casual"})

    said = ask(client, scope='{"attrs.mode": {"eq": "ranked"}}')

    rows = said["trial"]["rows"]
    assert len(rows) == 5
    assert "attrs.mode is 'casual'" in rows[0]["result"]
    assert "a path of the points is absent" in rows[1]["result"]
    assert [row["result"] for row in rows[2:]] == ["6 points", "5 points", "4 points"]
    assert [row["tone"] for row in rows] == ["warn", "warn", "good", "good", "good"]
    assert said["trial"]["types"] == ["game.completed"]
    assert "attrs.points" in said["trial"]["paths"]


def test_a_condition_that_fails_says_what_it_saw(client: Client, tenant_a: Tenant) -> None:
    send("e-1", attrs={"points": 1})
    rules = (
        '[{"event_type": "game.completed", "points_expression": "1", '
        '"conditions": {"attrs.victory": {"eq": true}}}]'
    )

    said = ask(client, rules=rules)

    assert said["trial"]["rows"][0]["result"] == (
        "Does not count: the condition of no rule holds (attrs.victory is path absent)."
    )


def test_events_of_other_tenants_are_not_tried(
    client: Client, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    factories.append("theirs", tenant_id="tenant-b", user_id="cleo", type="game.completed")

    own = ask(client)
    foreign = ask(client, tenant="tenant-b")

    assert own["trial"]["rows"] == []
    assert own["trial"]["note"] == "No events of these types have arrived lately."
    assert foreign["trial"]["note"] == "Choose a tenant to try its events."
    assert foreign["faults"]


# --- What saving changes -------------------------------------------------------------------------


@pytest.fixture
def xp(tenant_a: Tenant) -> Leaderboard:
    document = {"leaderboard_id": "xp", "name": "Weekly XP", "config": config()}
    return boards.create_board("tenant-a", document, actor=audit.SYSTEM, now=timezone.now())


def test_saving_is_told_before_it_happens(client: Client, xp: Leaderboard) -> None:
    url = f"/admin/leaderboards/leaderboard/{xp.pk}/meaning/"

    same = ask(client, url)
    without_entries = ask(client, url, size="50", aggregation="max")
    put_entries(xp.windows.get(), [RankedEntry("ana", 5, timezone.now())])
    with_entries = ask(client, url, size="50", aggregation="max")
    recomputed = ask(client, url, aggregation="max", recompute="on")

    assert same["effect"] == ["The rules stay as they are."]
    assert without_entries["effect"] == [
        "At once: “Places”.",
        "At once, the open window has no entries yet: “A player's score is”.",
    ]
    assert with_entries["effect"][1] == "With the next window: “A player's score is”."
    assert recomputed["effect"] == [
        "At once, and the open window is scored anew from the event log: “A player's score is”."
    ]


def test_asking_costs_little_however_much_there_is(client: Client, xp: Leaderboard) -> None:
    url = f"/admin/leaderboards/leaderboard/{xp.pk}/meaning/"
    for number in range(30):
        send(f"e-{number}", attrs={"points": 1})
    ask(client, url)

    with CaptureQueriesContext(connection) as asked:
        ask(client, url)

    assert len(asked) <= 12


def test_the_clock_decides_which_window_comes_first(client: Client, tenant_a: Tenant) -> None:
    with time_machine.travel(NOON, tick=False):
        said = ask(client)

    assert [row[0] for row in said["windows"]] == [f"2026-W{week}" for week in range(47, 52)]
