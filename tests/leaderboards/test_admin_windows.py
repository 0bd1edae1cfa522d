"""The pages of windows, standings, snapshots and late events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leaderboards.admin import window_actions
from leaderboards.admin.windows import timing_of
from leaderboards.models import LateEvent, Snapshot, Window
from leaderboards.selectors import activity, rank_index
from leaderboards.services import boards, index
from phoenix_site.common.redis import RedisError, get_redis
from tenants.models import AuditEntry, Tenant
from tenants.services import audit
from tests.leaderboards import log, query_cast
from tests.leaderboards.admin_cast import config
from tests.staff import allow, allow_everything, messages_of, signed_in, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/leaderboards/window/"
NOW = query_cast.NOW
MONDAY = query_cast.MONDAY


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


@pytest.fixture
def own_window(tenant_a: Tenant) -> Window:
    return query_cast.new_window(query_cast.new_board(tenant_a))


def page_of(window: Window, page: str = "change") -> str:
    return f"{LIST}{window.pk}/{page}/"


# --- The list and the facts ----------------------------------------------------------------------


def test_the_list_shows_how_windows_stand_to_the_clock(client: Client, own_window: Window) -> None:
    query_cast.fill(own_window, {"ana": 3, "ben": 2})

    with time_machine.travel(NOW, tick=False):
        shown = text_of(client.get(LIST))

    assert (
        "2026-W47 Weekly XP Open tenant-a 16 Nov 2026, 00:00 23 Nov 2026, 00:00 "
        "Due in 4 d 12 h 5 min 2"
    ) in shown


def test_windows_are_found_by_what_the_clock_asks(client: Client, tenant_a: Tenant) -> None:
    board = query_cast.new_board(tenant_a)
    for number, days in enumerate((-14, -7, 0)):
        starts_at = MONDAY + timedelta(days=days)
        query_cast.new_window(
            board, f"2026-W4{5 + number}", starts_at=starts_at, ends_at=starts_at + query_cast.WEEK
        )
    Window.objects.filter(key="2026-W46").update(due_at=NOW - timedelta(seconds=5))

    def keys(when: str) -> list[str]:
        with time_machine.travel(NOW, tick=False):
            listed = client.get(LIST, {"when": when}).context["cl"].result_list
        return [window.key for window in listed]

    assert keys("current") == ["2026-W47"]
    assert keys("due") == ["2026-W46", "2026-W45"]
    assert keys("late") == ["2026-W45"]
    assert len(keys("")) == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "Due in 4 d 12 h 5 min"),
        ({"due_at": NOW - timedelta(seconds=30)}, "Due: waits for scoring to pass its end"),
        ({"due_at": NOW - timedelta(hours=3)}, "Late by 3 h"),
        ({"due_at": None}, "Never closes"),
        ({"state": "void"}, "Void: the board was archived"),
        ({"state": "closed", "closed_at": MONDAY + timedelta(days=7, minutes=6)}, "Closed 1 min"),
    ],
)
def test_the_clock_is_read_in_words(own_window: Window, changed: dict[str, Any], said: str) -> None:
    for name, value in changed.items():
        setattr(own_window, name, value)

    assert timing_of(own_window, NOW).startswith(said)


def test_the_list_asks_as_much_for_many_windows_as_for_one(
    client: Client, tenant_a: Tenant
) -> None:
    query_cast.new_window(query_cast.new_board(tenant_a, "board-0"))
    client.get(LIST)
    with CaptureQueriesContext(connection) as one:
        client.get(LIST)
    for number in range(1, 30):
        query_cast.new_window(query_cast.new_board(tenant_a, f"board-{number}"))

    with CaptureQueriesContext(connection) as many:
        answer = client.get(LIST)

    assert len(answer.context["cl"].result_list) == 30
    assert len(many) == len(one)


def test_a_window_is_read_only(client: Client, own_window: Window) -> None:
    shown = client.get(page_of(own_window))

    assert "2026-W47" in text_of(shown)
    assert 'name="_save"' not in shown.content.decode()
    assert client.post(page_of(own_window), {"state": "void"}).status_code == 403
    assert client.post(page_of(own_window, "delete"), {"post": "yes"}).status_code == 403
    assert client.get(f"{LIST}add/").status_code == 403


def test_a_closed_window_shows_its_result(client: Client, own_window: Window) -> None:
    query_cast.fill(own_window, {"ana": 3})
    query_cast.close(own_window)

    shown = text_of(client.get(page_of(own_window)))

    assert own_window.hash in shown
    assert page_of(own_window, "rebuild_index") not in shown


# --- Standings -----------------------------------------------------------------------------------


def test_standings_are_shown_page_by_page(client: Client, own_window: Window) -> None:
    query_cast.fill(own_window, {f"player-{number:03}": 10_000 - number for number in range(120)})

    first = client.get(page_of(own_window, "standings"))
    last = client.get(page_of(own_window, "standings"), {"page": "3"})

    assert "1 player-000 10,000" in text_of(first)
    assert "120 players" in text_of(first)
    assert len(first.context["rows"]) == 50
    assert (last.context["last"], last.context["next_number"]) == (3, None)
    assert [row["rank"] for row in last.context["rows"]] == list(range(101, 121))


def test_ranks_are_those_of_the_board(client: Client, tenant_a: Tenant) -> None:
    board = query_cast.new_board(tenant_a, decimals=2, tie_policy="shared")
    window = query_cast.new_window(board)
    query_cast.fill(window, {"ana": 500_000, "ben": 123_450, "cleo": 123_450, "dan": 1})

    shown = text_of(client.get(page_of(window, "standings")))

    assert "1 ana 5,000.00" in shown
    assert "2 ben 1,234.50" in shown
    assert "2 cleo 1,234.50" in shown
    assert "4 dan 0.01" in shown


@pytest.mark.parametrize("page", ["0", "-1", "x", "9999999999", "", "\uff12"])
def test_an_odd_page_number_is_answered(client: Client, own_window: Window, page: str) -> None:
    answer = client.get(page_of(own_window, "standings"), {"page": page})

    assert answer.status_code == 200


def test_only_the_rows_are_sent_again_while_a_page_is_open(
    client: Client, own_window: Window
) -> None:
    query_cast.fill(own_window, {"ana": 3})

    part = client.get(page_of(own_window, "standings"), {"part": "rows"}).content.decode()

    assert 'data-player="ana"' in part
    assert "<html" not in part


def test_a_closed_window_shows_its_frozen_standings(client: Client, own_window: Window) -> None:
    query_cast.fill(own_window, {"ana": 3, "ben": 9})
    query_cast.close(own_window)
    own_window.entries.all().delete()

    shown = text_of(client.get(page_of(own_window, "standings")))

    assert "1 ben 9" in shown
    assert "final" in shown


def test_a_player_s_name_is_never_markup(client: Client, own_window: Window) -> None:
    query_cast.fill(own_window, {'<img src=x onerror="alert(1)">': 3})

    page = client.get(page_of(own_window, "standings")).content.decode()

    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_a_player_without_an_entry_is_said_to_have_none(client: Client, own_window: Window) -> None:
    query_cast.fill(own_window, {"ana": 3})

    answer = client.get(page_of(own_window, "standings"), {"player": "nobody"})

    assert "nobody has no entry in this window." in text_of(answer)


@pytest.fixture
def scored(transactional_db: None, tenant_a: Tenant) -> Window:
    """Return an open window in which events were scored."""
    document = {"leaderboard_id": "xp", "name": "Weekly XP", "config": config()}
    now = timezone.now()
    board = boards.create_board("tenant-a", document, actor=audit.SYSTEM, now=now)
    sent = [log.Sent(f"player-{number}", number, now) for number in range(1, 21)]
    log.send("tenant-a", [*sent, log.Sent("player-7", 0.5, now), log.Sent("player-7", "x", now)])
    log.score_all(now=now)
    return board.windows.get()


def test_a_player_is_found_among_neighbors_with_reasons(client: Client, scored: Window) -> None:
    answer = client.get(page_of(scored, "standings"), {"player": "player-7"})

    shown = text_of(answer)
    assert "Rank 14, above 31.57 % of the others, with 7 points." in shown
    assert len(answer.context["rows"]) == 11
    assert "Why this score 3 events" in shown
    assert "does not count: points_not_a_number" in shown
    assert "attrs.points" in shown


# --- Actions -------------------------------------------------------------------------------------


def test_a_window_is_proven(client: Client, scored: Window) -> None:
    proven = text_of(client.get(page_of(scored, "verify")))
    scored.entries.filter(user_id="player-3").update(score=99)
    refuted = text_of(client.get(page_of(scored, "verify")))

    assert "Proven" in proven
    assert "the rank index is equal to them" in proven
    assert "player-3" in refuted
    assert "The standings are not what the log says." in refuted


def test_entries_are_rebuilt_after_a_preview_and_with_a_reason(
    client: Client, scored: Window
) -> None:
    scored.entries.filter(user_id="player-3").update(score=99)

    asked = text_of(client.get(page_of(scored, "rebuild_entries")))
    without_reason = client.post(page_of(scored, "rebuild_entries"), {"confirmed": "1"})
    untouched = scored.entries.get(user_id="player-3").score
    sent = {"confirmed": "1", "reason": "A mistake"}
    done = client.post(page_of(scored, "rebuild_entries"), sent, follow=True)

    assert "Scores that change 1" in asked
    assert "player-3 99 3" in asked
    assert "required" in text_of(without_reason)
    assert untouched == 99
    assert messages_of(done) == [f"{scored.key} is scored anew: 1 scores changed."]
    assert scored.entries.get(user_id="player-3").score == 3
    entry = AuditEntry.objects.get(action="window.rebuilt")
    assert (entry.actor_label, entry.reason, entry.tenant_id) == ("ops", "A mistake", "tenant-a")


def test_the_index_is_rebuilt_after_a_look(client: Client, scored: Window) -> None:
    get_redis().flushdb()

    asked = text_of(client.get(page_of(scored, "rebuild_index")))
    missing = get_redis().exists(rank_index.index_key(scored.pk, "meta"))
    done = client.post(page_of(scored, "rebuild_index"), {"confirmed": "1"}, follow=True)

    assert "Players now 20" in asked
    assert missing == 0
    assert messages_of(done) == [f"The index of {scored.key} is rebuilt."]
    assert activity.player_counts([scored])[scored.pk].count == 20
    assert get_redis().exists(rank_index.index_key(scored.pk, "meta")) == 1


def test_an_index_that_cannot_be_reached_is_said(
    client: Client, own_window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_window_id: object) -> bool:
        raise RedisError("away")

    monkeypatch.setattr(index, "rebuild_index", fail)

    done = client.post(page_of(own_window, "rebuild_index"), {"confirmed": "1"}, follow=True)

    assert messages_of(done) == ["Redis cannot be reached (RedisError)."]


def test_what_a_browser_would_wait_long_for_is_left_to_commands(
    client: Client, scored: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_actions, "MAX_EVENTS", 10)

    for page in ("verify", "rebuild_entries"):
        answer = client.get(page_of(scored, page), follow=True)
        assert "verify_standings" in messages_of(answer)[0]


@pytest.mark.django_db(transaction=True)
def test_a_closed_window_is_not_rebuilt(client: Client, own_window: Window) -> None:
    query_cast.fill(own_window, {"ana": 3})
    query_cast.close(own_window)

    answer = client.get(page_of(own_window, "rebuild_entries"), follow=True)

    assert "Only an open window" in messages_of(answer)[0]


def test_who_may_only_look_changes_nothing(ops: AbstractUser, own_window: Window) -> None:
    allow(ops, "view_window")
    client = signed_in(ops)

    assert client.get(page_of(own_window, "standings")).status_code == 200
    for page in ("rebuild_index", "rebuild_entries"):
        assert client.get(page_of(own_window, page)).status_code == 403
        sent = {"confirmed": "1", "reason": "x"}
        assert client.post(page_of(own_window, page), sent).status_code == 403


def test_without_the_permission_there_is_no_page(ops: AbstractUser, own_window: Window) -> None:
    client = signed_in(ops)

    assert client.get(LIST).status_code == 403
    for page in ("change", "standings", "verify", "rebuild_index"):
        assert client.get(page_of(own_window, page)).status_code in (403, 404), page


# --- Snapshots and late events -------------------------------------------------------------------


def test_a_snapshot_shows_the_rows_it_kept(client: Client, own_window: Window) -> None:
    snapshot = Snapshot.objects.create(
        board=own_window.board,
        window=own_window,
        taken_at=NOW,
        entry_count=1,
        total_players=7,
        hash="ab" * 32,
        rows=[[1, "<ana>", 1234, "2026-11-18T09:15:42Z"]],
    )

    listed = text_of(client.get("/admin/leaderboards/snapshot/"))
    page = client.get(f"/admin/leaderboards/snapshot/{snapshot.pk}/change/").content.decode()

    assert "18 Nov 2026, 12:00:00 Interim Weekly XP 2026-W47 1 7" in listed
    assert "&lt;ana&gt;" in page
    assert "1234" in page


def test_a_final_snapshot_leads_to_the_frozen_standings(client: Client, own_window: Window) -> None:
    snapshot = Snapshot.objects.create(
        board=own_window.board,
        window=own_window,
        taken_at=MONDAY + query_cast.WEEK,
        is_final=True,
        entry_count=1,
        total_players=1,
        hash="ab" * 32,
    )

    page = client.get(f"/admin/leaderboards/snapshot/{snapshot.pk}/change/").content.decode()

    assert page_of(own_window, "standings") in page


def test_a_list_of_snapshots_reads_no_rows(client: Client, own_window: Window) -> None:
    with CaptureQueriesContext(connection) as asked:
        client.get("/admin/leaderboards/snapshot/")

    lists = [each["sql"] for each in asked if 'FROM "leaderboards_snapshot"' in each["sql"]]
    assert lists
    assert not any('"leaderboards_snapshot"."rows"' in sql for sql in lists)


def test_late_events_say_how_late(client: Client, own_window: Window) -> None:
    assert own_window.due_at is not None
    LateEvent.objects.create(
        window=own_window,
        tenant=own_window.tenant,
        event_id="e-1",
        user_id="ana",
        occurred_at=datetime(2026, 11, 22, 23, 59, tzinfo=UTC),
        received_at=own_window.due_at + timedelta(minutes=61),
    )

    shown = text_of(client.get(page_of(own_window, "late_events_of"), follow=True))

    assert (
        "e-1 2026-W47 Weekly XP tenant-a ana 22 Nov 2026, 23:59:00 23 Nov 2026, 01:06:00 61 min"
        in shown
    )


def test_no_machine_made_row_is_added_or_deleted(client: Client, own_window: Window) -> None:
    for page in ("window", "snapshot", "lateevent"):
        assert client.get(f"/admin/leaderboards/{page}/add/").status_code == 403


def test_ways_between_pages(client: Client, own_window: Window) -> None:
    goals = {
        "standings_of": page_of(own_window, "standings"),
        "board_of": f"/admin/leaderboards/leaderboard/{own_window.board_id}/change/",
        "snapshots_of": f"/admin/leaderboards/snapshot/?window__id__exact={own_window.pk}",
    }

    for page, goal in goals.items():
        assert client.get(page_of(own_window, page)).headers["Location"] == goal


@pytest.mark.parametrize("page", ["snapshot", "lateevent"])
def test_lists_of_rows_ask_as_much_for_many_as_for_one(
    client: Client, tenant_a: Tenant, page: str
) -> None:
    def add(number: int) -> None:
        window = query_cast.new_window(query_cast.new_board(tenant_a, f"board-{number}"))
        Snapshot.objects.create(
            board=window.board,
            window=window,
            taken_at=NOW,
            entry_count=0,
            total_players=0,
            hash="ab" * 32,
        )
        LateEvent.objects.create(
            window=window,
            tenant=tenant_a,
            event_id="e-1",
            user_id="ana",
            occurred_at=NOW,
            received_at=NOW,
        )

    add(0)
    client.get(f"/admin/leaderboards/{page}/")
    with CaptureQueriesContext(connection) as one:
        client.get(f"/admin/leaderboards/{page}/")
    for number in range(1, 30):
        add(number)

    with CaptureQueriesContext(connection) as many:
        answer = client.get(f"/admin/leaderboards/{page}/")

    assert len(answer.context["cl"].result_list) == 30
    assert len(many) == len(one)
