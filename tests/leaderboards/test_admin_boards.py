"""The pages of boards: the form, what it refuses and why, actions, versions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leaderboards.admin.forms import config_of, initial_of
from leaderboards.models import Leaderboard, Window
from leaderboards.rules.configuration import normalized_document, parse_config
from leaderboards.services import boards
from leaderboards.services.boards import BoardChange
from leaderboards.types import RankedEntry
from tenants.models import AuditEntry, Tenant
from tenants.services import audit
from tests.leaderboards import log
from tests.leaderboards.admin_cast import config
from tests.leaderboards.boards import put_entries
from tests.staff import allow, allow_everything, board_form, messages_of, signed_in, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/leaderboards/leaderboard/"
ADD = f"{LIST}add/"


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


@pytest.fixture
def xp(tenant_a: Tenant) -> Leaderboard:
    return new_board()


def new_board(leaderboard_id: str = "xp", **timeframe: Any) -> Leaderboard:
    document = {
        "leaderboard_id": leaderboard_id,
        "name": "Weekly XP",
        "config": config(**timeframe),
    }
    return boards.create_board("tenant-a", document, actor=audit.SYSTEM, now=timezone.now())


def page_of(board: Leaderboard, page: str = "change") -> str:
    return f"{LIST}{board.pk}/{page}/"


def change_form(board: Leaderboard, **changed: Any) -> dict[str, Any]:
    return board_form(expected_version=str(board.version), **changed)


def put_scores(board: Leaderboard, **scores: int) -> None:
    now = timezone.now()
    entries = [RankedEntry(user_id, points, now) for user_id, points in scores.items()]
    put_entries(board.windows.get(), entries)


# --- The form ------------------------------------------------------------------------------------


def test_a_board_is_made_of_the_fields_of_the_form(client: Client, ops: AbstractUser) -> None:
    sent = board_form(
        rules='[{"event_type": "match.completed", "points_expression": "attrs.score * 0.5", '
        '"conditions": {"attrs.victory": {"eq": true}}}]',
        scope='{"actor.metadata.region": {"eq": "eu"}}',
        timeframe_type="monthly",
        timezone="Europe/Stockholm",
        reset_monthday="15",
        reset_time="09:00",
        decimals="2",
        max_points_per_event="12.5",
        tie_policy="shared",
        min_score="1",
    )

    answer = client.post(ADD, sent)

    assert answer.status_code == 302
    board = Leaderboard.objects.get()
    assert (board.tenant_id, board.leaderboard_id, board.version) == ("tenant-a", "xp", 1)
    assert board.status == "active"
    assert board.config["timeframe"] == {
        "type": "monthly",
        "timezone": "Europe/Stockholm",
        "reset_day": 15,
        "reset_time": "09:00",
        "grace_seconds": 300,
    }
    assert board.config["scoring"]["limits"] == {"max_points_per_event": 12.5}
    assert board.config["scope"] == {"filters": {"actor.metadata.region": {"eq": "eu"}}}
    assert board.config["ranking"]["tie_policy"] == "shared"
    assert board.versions.get().author == ops.get_username()
    assert Window.objects.filter(board=board, state="open").count() == 1
    entry = AuditEntry.objects.get(action="leaderboard.created")
    assert (entry.actor_label, entry.tenant_id) == ("ops", "tenant-a")


def test_each_fault_stands_at_the_field_it_is_about(client: Client, tenant_a: Tenant) -> None:
    sent = board_form(
        rules='[{"event_type": "game.completed", "points_expression": "attrs.points *"}]',
        timezone="Mars/One",
        max_score="1",
        min_score="2",
        snapshot_every_seconds="10",
    )

    answer = client.post(ADD, sent)

    assert answer.status_code == 200
    errors = answer.context["adminform"].form.errors
    assert set(errors) == {"rules", "timezone", "max_score", "snapshot_every_seconds"}
    assert errors["rules"][0].startswith("Rule 1, points: ")
    assert errors["timezone"] == ["Must be an IANA time zone, such as Europe/Berlin."]
    assert not Leaderboard.objects.exists()


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"rules": "nonsense"}, "rules"),
        ({"rules": "[]"}, "rules"),
        ({"rules": '[{"event_type": "a", "points_expression": "1", "condition": 1}]'}, "rules"),
        ({"rules": '[{"event_type": "a", "points_expression": "1", "x": "\\u0000"}]'}, "rules"),
        ({"scope": '{"attrs.mode": {"is": 1}}'}, "scope"),
        ({"scope": '{"a": {"eq": "\\u0000"}}'}, "scope"),
        ({"timeframe_type": "custom"}, "start_at"),
        ({"reset_time": "25:00"}, "reset_time"),
        ({"timeframe_type": "monthly", "reset_monthday": "31"}, "reset_monthday"),
        ({"aggregation": "max", "max_points_per_window": "5"}, "max_points_per_window"),
        ({"use_json": "on"}, "config_json"),
        ({"use_json": "on", "config_json": '{"timeframe": {"type": "cron"}}'}, "config_json"),
        ({"use_json": "on", "config_json": "[1]"}, "config_json"),
        ({"leaderboard_id": "not a slug"}, "leaderboard_id"),
        ({"leaderboard_id": "backtests"}, "leaderboard_id"),
        ({"name": ""}, "name"),
    ],
)
def test_what_is_not_a_board_is_not_saved(
    client: Client, tenant_a: Tenant, changed: dict[str, str], field: str
) -> None:
    answer = client.post(ADD, board_form(**changed))

    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert not Leaderboard.objects.exists()


def test_an_id_is_not_given_twice(client: Client, xp: Leaderboard) -> None:
    answer = client.post(ADD, board_form())

    assert "already exists" in text_of(answer)
    assert Leaderboard.objects.count() == 1


def test_the_document_itself_can_be_saved(client: Client, tenant_a: Tenant) -> None:
    document = '{"timeframe": {"type": "daily"}, "scoring": {"rules": [{"event_type": "a.b"}], '
    document += '"aggregation": "count"}}'

    client.post(ADD, board_form(use_json="on", config_json=document))

    board = Leaderboard.objects.get()
    assert board.config["timeframe"]["type"] == "daily"
    assert board.config["scoring"]["aggregation"] == "count"


def test_numbers_in_conditions_keep_every_digit(client: Client, tenant_a: Tenant) -> None:
    rule = '{"event_type": "a", "points_expression": "1", "conditions": %s}'
    exact = '{"attrs.id": {"eq": 123456789012345678}}'

    client.post(ADD, board_form(rules=f"[{rule % exact}]"))

    stored = Leaderboard.objects.get().config["scoring"]["rules"][0]["conditions"]
    assert stored == {"attrs.id": {"eq": 123456789012345678}}


TIMEFRAMES: list[dict[str, Any]] = [
    {"type": "weekly", "reset_day": "friday", "reset_time": "18:30", "timezone": "Asia/Tokyo"},
    {"type": "daily", "reset_time": "04:00"},
    {"type": "hourly", "timezone": "Asia/Kolkata"},
    {"type": "monthly", "reset_day": 28},
    {"type": "custom", "start_at": "2026-12-01T00:00:00Z", "end_at": "2026-12-31T12:30:00Z"},
    {"type": "all_time", "grace_seconds": 0},
]


@pytest.mark.parametrize("timeframe", TIMEFRAMES, ids=[each["type"] for each in TIMEFRAMES])
def test_the_form_of_a_board_describes_the_very_board(timeframe: dict[str, Any]) -> None:
    stored = normalized_document(
        parse_config(
            {
                "scope": {"filters": {"attrs.mode": {"in": ["ranked"]}}},
                "timeframe": timeframe,
                "scoring": {
                    "rules": [{"event_type": "a", "points_expression": "attrs.n"}],
                    "match": "first",
                    "decimals": 2,
                    "limits": {"max_points_per_event": 2.5, "max_events_per_window": 7},
                },
                "ranking": {"method": "score_asc", "tie_policy": "dense", "max_score": 9.25},
                "snapshots": {"every_seconds": 0, "top": 5},
            }
        )
    )

    again = normalized_document(parse_config(config_of(initial_of(stored))))

    assert again == stored


# --- Changing ------------------------------------------------------------------------------------


def test_a_change_is_a_version_with_its_author_and_reason(client: Client, xp: Leaderboard) -> None:
    answer = client.post(page_of(xp), change_form(xp, size="50", reason="Fewer prizes"))

    assert answer.status_code == 302
    xp.refresh_from_db()
    assert (xp.version, xp.config["ranking"]["size"]) == (2, 50)
    assert xp.versions.get(version=2).author == "ops"
    entry = AuditEntry.objects.get(action="leaderboard.changed")
    assert (entry.actor_label, entry.reason) == ("ops", "Fewer prizes")


def test_saving_what_is_there_makes_no_version(client: Client, xp: Leaderboard) -> None:
    client.post(page_of(xp), change_form(xp))

    xp.refresh_from_db()
    assert xp.version == 1


def test_nobody_overwrites_what_they_have_not_seen(client: Client, xp: Leaderboard) -> None:
    rename = BoardChange(lambda present: {**present, "name": "Renamed"})
    boards.change_board("tenant-a", "xp", rename, actor=audit.SYSTEM, now=timezone.now())

    answer = client.post(page_of(xp), change_form(xp, size="50"))

    assert answer.status_code == 200
    assert "version 2" in " ".join(answer.context["adminform"].form.non_field_errors())
    xp.refresh_from_db()
    assert (xp.name, xp.version, xp.config["ranking"]["size"]) == ("Renamed", 2, 1000)


@pytest.mark.django_db(transaction=True)
def test_an_endless_window_with_entries_needs_to_be_recomputed(
    client: Client, tenant_a: Tenant
) -> None:
    board = new_board(type="all_time")
    now = timezone.now()
    log.send("tenant-a", [log.Sent("ana", 50, now)])
    log.score_all(now=now)
    sent = change_form(board, timeframe_type="all_time", aggregation="count")

    refused = client.post(page_of(board), sent)
    done = client.post(page_of(board), sent | {"recompute": "on"})

    assert refused.status_code == 200
    assert refused.context["adminform"].form.non_field_errors()
    assert done.status_code == 302
    assert Window.objects.get(board=board).entries.get().score == 1


def test_an_id_and_a_tenant_stay_what_they_are(
    client: Client, xp: Leaderboard, tenant_b: Tenant
) -> None:
    client.post(page_of(xp), change_form(xp, leaderboard_id="other", tenant="tenant-b", name="New"))

    xp.refresh_from_db()
    assert (xp.leaderboard_id, xp.tenant_id, xp.name) == ("xp", "tenant-a", "New")


def test_an_archived_board_can_be_read_only(client: Client, xp: Leaderboard) -> None:
    boards.archive_board("tenant-a", "xp", actor=audit.SYSTEM, now=timezone.now())

    shown = client.get(page_of(xp))
    refused = client.post(page_of(xp), change_form(xp, name="New"))

    assert '"timeframe"' in text_of(shown)
    assert 'name="name"' not in shown.content.decode()
    assert refused.status_code == 403


def test_who_may_only_look_is_shown_the_document(ops: AbstractUser, xp: Leaderboard) -> None:
    allow(ops, "view_leaderboard")
    client = signed_in(ops)

    shown = client.get(page_of(xp))

    assert "attrs.points" in text_of(shown)
    assert 'name="rules"' not in shown.content.decode()
    assert client.post(page_of(xp), change_form(xp, name="New")).status_code == 403
    assert client.get(ADD).status_code == 403
    assert client.post(f"{LIST}meaning/", board_form()).status_code == 403
    for page in ("activate", "deactivate", "archive", "rebuild_index", "rebuild_entries"):
        assert client.get(page_of(xp, page)).status_code == 403, page
        assert client.post(page_of(xp, page), {"confirmed": "1"}).status_code == 403, page


def test_no_board_is_deleted(client: Client, xp: Leaderboard) -> None:
    assert client.post(page_of(xp, "delete"), {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": [str(xp.pk)]})

    assert Leaderboard.objects.filter(pk=xp.pk).exists()


# --- Status --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "status"), [("deactivate", "inactive"), ("archive", "archived")])
def test_a_status_is_set_after_a_look_at_what_it_means(
    client: Client, xp: Leaderboard, page: str, status: str
) -> None:
    put_scores(xp, ana=1, ben=2)

    asked = client.get(page_of(xp, page))
    without_reason = client.post(page_of(xp, page), {"confirmed": "1"})
    xp.refresh_from_db()
    before = xp.status
    done = client.post(page_of(xp, page), {"confirmed": "1", "reason": "Over"}, follow=True)

    assert "Weekly XP tenant-a Active" in text_of(asked)
    assert asked.context["confirmation"].rows[0][-1].count == 2
    assert "required" in text_of(without_reason)
    assert before == "active"
    xp.refresh_from_db()
    assert xp.status == status
    assert messages_of(done) == [f"{page.capitalize()}d Weekly XP."]
    entry = AuditEntry.objects.get(action="leaderboard.status_changed")
    assert (entry.actor_label, entry.reason) == ("ops", "Over")
    assert entry.after == {"status": status}


def test_a_click_alone_changes_nothing(client: Client, xp: Leaderboard) -> None:
    client.get(page_of(xp, "archive"), {"confirmed": "1", "reason": "Over"})
    client.post(page_of(xp, "archive"), {"reason": "Over"})

    xp.refresh_from_db()
    assert xp.status == "active"


def test_several_boards_are_set_at_once(client: Client, tenant_a: Tenant) -> None:
    chosen = [new_board("one"), new_board("two")]
    boards.archive_board("tenant-a", "two", actor=audit.SYSTEM, now=timezone.now())
    sent = {
        "action": "deactivate_selected",
        "_selected_action": [str(board.pk) for board in chosen],
    }

    asked = client.post(LIST, sent)
    done = client.post(LIST, sent | {"confirmed": "1", "reason": "Pause"}, follow=True)

    assert "Deactivate 2 boards" in text_of(asked)
    assert asked.content.decode().count('name="_selected_action"') == 2
    said = messages_of(done)
    assert "Deactivated Weekly XP." in said
    assert any("archived" in message for message in said)
    assert set(Leaderboard.objects.values_list("leaderboard_id", "status")) == {
        ("one", "inactive"),
        ("two", "archived"),
    }


def test_only_what_fits_the_status_is_offered(client: Client, xp: Leaderboard) -> None:
    active = client.get(page_of(xp)).content.decode()
    boards.archive_board("tenant-a", "xp", actor=audit.SYSTEM, now=timezone.now())
    archived = client.get(page_of(xp)).content.decode()

    assert page_of(xp, "deactivate") in active
    assert page_of(xp, "activate") not in active
    for page in ("activate", "deactivate", "archive", "rebuild_index"):
        assert page_of(xp, page) not in archived


# --- Other pages ---------------------------------------------------------------------------------


def test_versions_say_what_changed(client: Client, xp: Leaderboard) -> None:
    client.post(page_of(xp), change_form(xp, size="50"))

    shown = text_of(client.get(page_of(xp, "versions")))

    assert "Version 2" in shown
    assert "ranking.size 1000 50" in shown
    assert "Version 1" in shown


@pytest.mark.parametrize(
    ("page", "goal"),
    [
        ("live_standings", "standings"),
        ("verify", "verify"),
        ("rebuild_index", "rebuild_index"),
        ("rebuild_entries", "rebuild_entries"),
    ],
)
def test_a_board_leads_to_its_open_window(
    client: Client, xp: Leaderboard, page: str, goal: str
) -> None:
    answer = client.get(page_of(xp, page))

    assert answer.headers["Location"] == f"/admin/leaderboards/window/{xp.windows.get().pk}/{goal}/"


def test_a_board_without_a_window_says_so(client: Client, tenant_a: Tenant) -> None:
    start = timezone.now() + timedelta(days=9)
    dates = {"start_at": start.isoformat(), "end_at": (start + timedelta(days=1)).isoformat()}
    board = new_board(type="custom", **dates)

    answer = client.get(page_of(board, "live_standings"), follow=True)

    assert messages_of(answer) == ["The board has no window yet."]


def test_all_windows_of_a_board(client: Client, xp: Leaderboard) -> None:
    new_board("other")

    answer = client.get(page_of(xp, "all_windows"), follow=True)

    assert [window.board_id for window in answer.context["cl"].result_list] == [xp.pk]


# --- The list ------------------------------------------------------------------------------------


def test_the_list_shows_window_and_players(client: Client, xp: Leaderboard) -> None:
    with time_machine.travel(datetime(2026, 11, 18, 12, tzinfo=UTC), tick=False):
        board = new_board("week")
        put_scores(board, ana=1, ben=2, cleo=3)

        shown = text_of(client.get(LIST, {"q": "week"}))

    assert "Weekly XP week tenant-a Active 2026-W47 to 23 Nov, 00:00 UTC 3 1" in shown


def test_the_list_asks_as_much_for_a_hundred_boards_as_for_one(
    client: Client, tenant_a: Tenant
) -> None:
    new_board("board-0")
    client.get(LIST)
    with CaptureQueriesContext(
        connection,
    ) as one:
        client.get(LIST)
    for number in range(1, 40):
        new_board(f"board-{number}")

    with CaptureQueriesContext(connection) as many:
        answer = client.get(LIST)

    assert len(answer.context["cl"].result_list) == 40
    assert len(many) == len(one)


def test_the_form_of_a_board_asks_little(client: Client, xp: Leaderboard) -> None:
    client.get(page_of(xp))

    with CaptureQueriesContext(connection) as asked:
        client.get(page_of(xp))

    assert len(asked) <= 14


def test_pages_need_a_login(xp: Leaderboard) -> None:
    for url in (LIST, page_of(xp), page_of(xp, "meaning"), reverse("dashboard-data")):
        assert Client().get(url).status_code == 302
