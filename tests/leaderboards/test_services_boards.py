"""Boards and their windows over time: the tables of LB-5 and LB-6, row by row.

The times lie in the past of any real clock, because the log asks the database for the present.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from leaderboards.exceptions import (
    BoardArchivedError,
    BoardExistsError,
    ConfigError,
    NeedsRecomputeError,
    VersionConflictError,
)
from leaderboards.models import BoardVersion, Entry, Leaderboard, StatusChange, Window
from leaderboards.selectors import boards as selectors
from leaderboards.services import boards, closing, locks, windows
from phoenix_site.common.exceptions import DomainError, NotFoundError
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.leaderboards.log import Sent, score_all, send
from tests.leaderboards.races import in_threads

pytestmark = pytest.mark.django_db(transaction=True)

MONDAY = datetime(2024, 11, 18, tzinfo=UTC)
NOON = MONDAY + timedelta(days=2, hours=12)
SECOND, HOUR, DAY, WEEK = (
    timedelta(seconds=1),
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(weeks=1),
)
WEEKLY = {"type": "weekly"}


def create(
    tenant: Tenant, board: str = "xp", *, now: datetime = NOON, **parts: Mapping[str, Any]
) -> Leaderboard:
    config: dict[str, Any] = {
        "timeframe": WEEKLY,
        "scoring": {
            "rules": [{"event_type": "game.completed", "points_expression": "attrs.points"}]
        },
    }
    document = {"leaderboard_id": board, "name": "Experience", "config": config | parts}
    return boards.create_board(tenant.pk, document, actor=SYSTEM, now=now)


def patch(board: Leaderboard, *, now: datetime = NOON, **changes: Any) -> Leaderboard:
    return boards.patch_board(board.tenant_id, board.leaderboard_id, changes, actor=SYSTEM, now=now)


def patch_scoring(board: Leaderboard, *, now: datetime = NOON, **changes: Any) -> Leaderboard:
    more = {name: changes.pop(name) for name in ("effective",) if name in changes}
    return patch(board, now=now, config={"scoring": changes}, **more)


def play(board: Leaderboard, *events: Sent, now: datetime = NOON) -> None:
    send(board.tenant_id, events)
    score_all(now=now)


def chain(board: Leaderboard) -> list[Window]:
    return list(board.windows.order_by("starts_at"))


def scores(window: Window) -> dict[str, int]:
    return dict(Entry.objects.filter(window=window).values_list("user_id", "score"))


def sweep(*, now: datetime) -> None:
    for window_id in windows.sweep_windows(now=now):
        closing.close_due_windows(window_id, now=now)


# --- Making --------------------------------------------------------------------------------------


def test_a_board_is_made_with_its_version_status_and_window(tenant_a: Tenant) -> None:
    board = create(tenant_a)

    assert BoardVersion.objects.get().document["config"] == board.config
    assert StatusChange.objects.get().at == NOON
    assert chain(board)[0].key == "2024-W47"


def test_of_many_requests_for_one_id_one_makes_the_board(tenant_a: Tenant) -> None:
    def work() -> str:
        try:
            create(tenant_a)
        except BoardExistsError:
            return "refused"
        return "made"

    assert sorted(in_threads(6, work)) == ["made", *["refused"] * 5]
    assert Window.objects.count() == BoardVersion.objects.count() == 1


def test_a_board_of_no_tenant_is_refused() -> None:
    with pytest.raises(NotFoundError):
        create(Tenant(id="nobody"))


def test_a_config_that_was_not_committed_is_forgotten(tenant_a: Tenant) -> None:
    board = create(tenant_a)

    def interrupt() -> None:
        with transaction.atomic():
            patch_scoring(board, aggregation="max")
            selectors.config_of_version(board.pk, 2)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupt()
    patch_scoring(board, aggregation="min")

    assert selectors.config_of_version(board.pk, 2).scoring.aggregation == "min"


# --- Status (LB-5) -------------------------------------------------------------------------------


def test_acceptance_17_only_what_came_while_the_board_was_active_counts(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    patch(board, now=NOON + HOUR, status="inactive")
    send(tenant_a.pk, [Sent("ana", 1, NOON + 2 * HOUR)])
    patch(board, now=NOON + 3 * HOUR, status="active")
    send(tenant_a.pk, [Sent("ana", 10, NOON + 4 * HOUR), Sent("ben", 5, NOON + 30 * 60 * SECOND)])

    score_all(now=NOON + 5 * HOUR)

    assert scores(chain(board)[0]) == {"ana": 10, "ben": 5}


def test_an_event_that_came_while_the_board_was_inactive_never_counts(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    patch(board, now=NOON + HOUR, status="inactive")
    patch(board, now=NOON + 2 * HOUR, status="active")

    play(board, Sent("ana", 1, NOON, delay=90 * 60 * SECOND), now=NOON + 3 * HOUR)

    assert scores(chain(board)[0]) == {}


def test_windows_of_an_inactive_board_open_and_close_by_the_clock(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    patch(board, status="inactive")

    sweep(now=MONDAY + WEEK + HOUR)

    assert [window.state for window in chain(board)] == ["closed", "open"]


def test_archiving_voids_the_open_window_and_no_more_are_made(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    play(board, Sent("ana", 1, NOON))

    patch(board, now=NOON + HOUR, status="archived")
    play(board, Sent("ana", 5, NOON + 2 * HOUR), now=NOON + 2 * HOUR)
    sweep(now=MONDAY + 3 * WEEK)

    window = chain(board)[0]
    assert (len(chain(board)), window.state, window.hash) == (1, "void", "")
    assert scores(window) == {"ana": 1}
    assert not board.snapshots.exists()
    with pytest.raises(BoardArchivedError):
        patch(board, status="active")


def test_a_window_that_ended_before_its_board_was_archived_is_still_closed(
    tenant_a: Tenant,
) -> None:
    board = create(tenant_a)
    send(tenant_a.pk, [Sent("ana", 1, NOON)])
    windows.sweep_windows(now=MONDAY + WEEK)

    patch(board, now=MONDAY + WEEK + SECOND, status="archived")
    score_all(now=MONDAY + WEEK + HOUR)
    sweep(now=MONDAY + WEEK + HOUR)

    assert [window.state for window in chain(board)] == ["closed", "void"]
    assert chain(board)[0].total_players == 1


def test_status_changes_never_share_an_instant(tenant_a: Tenant) -> None:
    board = create(tenant_a)

    for status in ("inactive", "active", "inactive"):
        patch(board, status=status)

    times = list(board.status_changes.order_by("id").values_list("at", flat=True))
    assert times == sorted(set(times))


# --- What takes effect when (LB-6) ---------------------------------------------------------------


def test_what_only_shows_standings_holds_at_once(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    play(board, Sent("ana", 5, NOON), Sent("ben", 7, NOON))

    changed = patch(board, name="New", config={"ranking": {"size": 1, "min_score": 6}})

    window = chain(board)[0]
    view = selectors.view_of(window, changed)
    assert (changed.version, window.version_number) == (2, 1)
    assert (view.size, view.lowest) == (1, 6)
    assert board.versions.get(version=2).effect == "at_once"


def test_acceptance_18_a_change_of_scoring_waits_for_the_next_window(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    play(board, Sent("ana", 5, NOON), Sent("ana", 7, NOON))

    patch_scoring(board, aggregation="max")
    play(board, Sent("ana", 1, NOON))
    play(board, Sent("ana", 5, MONDAY + WEEK), Sent("ana", 7, MONDAY + WEEK), now=MONDAY + WEEK)

    first, second = chain(board)
    assert (first.version_number, second.version_number) == (1, 2)
    assert (scores(first), scores(second)) == ({"ana": 13}, {"ana": 7})
    assert board.versions.get(version=2).effect == "next_window"


def test_acceptance_18_with_recompute_it_holds_at_once_as_if_computed_afresh(
    tenant_a: Tenant,
) -> None:
    board = create(tenant_a)
    fresh = create(tenant_a, "fresh", scoring=board.config["scoring"] | {"aggregation": "max"})
    events = [Sent("ana", 5, NOON), Sent("ben", 3, NOON + SECOND), Sent("ana", 7, NOON + SECOND)]
    play(board, *events)

    patch_scoring(board, aggregation="max", effective="recompute")
    play(board, Sent("ben", 4, NOON + HOUR), now=NOON + HOUR)

    window = chain(board)[0]
    expected = Entry.objects.filter(window=chain(fresh)[0]).order_by("user_id")
    computed = Entry.objects.filter(window=window).order_by("user_id")
    columns = ("user_id", "score", "reached_at", "event_count", "total", "last_occurred_at")
    assert list(computed.values_list(*columns)) == list(expected.values_list(*columns))
    assert scores(window) == {"ana": 7, "ben": 4}
    assert window.version_number == 2
    assert board.versions.get(version=2).effect == "recompute"


def test_acceptance_18_a_stale_expected_version_is_refused(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    patch(board, name="Newer")

    with pytest.raises(VersionConflictError):
        patch(board, name="Mine", expected_version=1)


def test_without_entries_a_change_of_scoring_holds_at_once_also_for_earlier_events(
    tenant_a: Tenant,
) -> None:
    board = create(tenant_a, scope={"filters": {"attrs.points": {"gt": 100}}})
    play(board, Sent("ana", 5, NOON))

    patch(board, now=NOON + HOUR, config={"scope": {"filters": None}})

    window = chain(board)[0]
    assert window.version_number == 2
    assert scores(window) == {"ana": 5}
    assert board.versions.get(version=2).effect == "at_once"


@pytest.mark.parametrize(
    "timeframe",
    [
        {"type": "all_time"},
        {"type": "custom", "start_at": "2024-11-18T00:00:00Z", "end_at": "2024-12-01T00:00:00Z"},
    ],
)
def test_a_window_without_a_successor_needs_a_recompute(
    tenant_a: Tenant, timeframe: dict[str, Any]
) -> None:
    board = create(tenant_a, timeframe=timeframe)
    play(board, Sent("ana", 5, NOON), Sent("ana", 7, NOON))

    with pytest.raises(NeedsRecomputeError):
        patch_scoring(board, aggregation="max")
    unchanged = Leaderboard.objects.get(pk=board.pk)
    recomputed = patch_scoring(board, aggregation="max", effective="recompute")

    assert (unchanged.version, recomputed.version) == (1, 2)
    assert scores(chain(board)[0]) == {"ana": 7}


def test_a_recompute_alone_brings_a_change_that_waits(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    play(board, Sent("ana", 5, NOON), Sent("ana", 7, NOON))
    patch_scoring(board, aggregation="max")

    same = patch(board, effective="recompute")

    assert same.version == 2
    assert chain(board)[0].version_number == 2
    assert scores(chain(board)[0]) == {"ana": 7}


def test_a_change_of_nothing_makes_no_version(tenant_a: Tenant) -> None:
    board = create(tenant_a)

    same = patch(board, name="Experience", config={"scoring": {"decimals": 0}})

    assert (same.version, BoardVersion.objects.count()) == (1, 1)


def test_a_faulty_change_changes_nothing(tenant_a: Tenant) -> None:
    board = create(tenant_a)

    with pytest.raises(ConfigError):
        patch_scoring(board, decimals=7)

    assert Leaderboard.objects.get(pk=board.pk).version == 1


def test_a_window_opened_ahead_of_its_time_is_scored_by_the_newest_version(
    tenant_a: Tenant,
) -> None:
    board = create(tenant_a)
    ahead = MONDAY + WEEK + SECOND
    play(board, Sent("ana", 5, NOON), Sent("ana", 5, ahead, -2 * SECOND), now=ahead - 2 * SECOND)

    patch_scoring(board, now=ahead - 2 * SECOND, aggregation="count")

    first, second = chain(board)
    assert (first.version_number, second.version_number) == (1, 2)
    assert (scores(first), scores(second)) == ({"ana": 5}, {"ana": 1})


# --- Timeframes ----------------------------------------------------------------------------------


def test_with_entries_the_old_window_ends_as_planned_and_the_next_begins_there(
    tenant_a: Tenant,
) -> None:
    board = create(tenant_a)
    play(board, Sent("ana", 5, NOON))

    patch(board, config={"timeframe": {"reset_day": "wednesday"}})
    windows.sweep_windows(now=MONDAY + 2 * WEEK)

    spans = [(window.key, window.starts_at, window.ends_at) for window in chain(board)]
    wednesday = MONDAY + WEEK + 2 * DAY
    assert spans == [
        ("2024-W47", MONDAY, MONDAY + WEEK),
        ("2024-W48", MONDAY + WEEK, wednesday),
        ("2024-W48~2", wednesday, wednesday + WEEK),
    ]


def test_without_entries_the_first_window_becomes_that_of_the_new_timeframe(
    tenant_a: Tenant,
) -> None:
    board = create(tenant_a)
    play(board, Sent("ana", 5, NOON - 40 * HOUR, delay=40 * HOUR))
    assert scores(chain(board)[0]) == {"ana": 5}
    Entry.objects.all().delete()

    patch(board, config={"timeframe": {"type": "daily", "grace_seconds": 60}})

    window = chain(board)[0]
    assert (len(chain(board)), window.key) == (1, "2024-11-20")
    assert window.due_at == window.starts_at + DAY + 60 * SECOND
    assert Leaderboard.objects.get().next_window_at == window.ends_at


def test_without_entries_a_later_window_keeps_its_start(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    windows.sweep_windows(now=MONDAY + WEEK)
    now = MONDAY + WEEK + 2 * DAY + HOUR

    patch(board, now=now, config={"timeframe": {"type": "daily"}})
    windows.sweep_windows(now=MONDAY + WEEK + 3 * DAY)

    first, second, third = chain(board)
    assert (first.ends_at, second.starts_at) == (MONDAY + WEEK, MONDAY + WEEK)
    assert (second.key, second.ends_at) == ("2024-11-25", MONDAY + WEEK + 3 * DAY)
    assert (third.key, third.starts_at) == ("2024-11-28", second.ends_at)


def test_a_recompute_fills_the_new_window_with_what_belongs_there(tenant_a: Tenant) -> None:
    board = create(tenant_a, now=MONDAY)
    play(board, Sent("ana", 5, MONDAY + HOUR), Sent("ana", 7, NOON))

    patch(board, config={"timeframe": {"type": "daily"}}, effective="recompute")

    window = chain(board)[0]
    assert (window.key, scores(window)) == ("2024-11-20", {"ana": 7})


def test_days_that_nobody_swept_belong_to_the_version_of_their_time(tenant_a: Tenant) -> None:
    board = create(tenant_a, timeframe={"type": "daily"})

    patch(board, now=NOON + 3 * DAY, config={"timeframe": {"type": "weekly"}})

    spans = [(window.key, window.version_number) for window in chain(board)]
    assert spans == [("2024-11-20", 1), ("2024-11-21", 1), ("2024-11-22", 1), ("2024-W47", 2)]


def test_a_change_that_is_taken_back_leaves_the_old_rhythm(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    play(board, Sent("ana", 5, NOON))
    dates = {"start_at": "2025-03-01T00:00:00Z", "end_at": "2025-04-01T00:00:00Z"}

    waiting = patch(board, config={"timeframe": {"type": "custom"} | dates})
    waiting_for = Leaderboard.objects.get().next_window_at
    patch(board, config={"timeframe": WEEKLY})

    assert waiting.version == 2
    assert waiting_for == datetime(2025, 3, 1, tzinfo=UTC)
    assert Leaderboard.objects.get().next_window_at == MONDAY + WEEK


CUSTOM = {"type": "custom", "start_at": "2024-11-18T00:00:00Z", "end_at": "2024-11-22T00:00:00Z"}


def test_the_end_of_a_custom_window_moves_at_once(tenant_a: Tenant) -> None:
    board = create(tenant_a, timeframe=CUSTOM)
    play(board, Sent("ana", 5, NOON))

    patch(board, config={"timeframe": {"end_at": "2024-11-25T00:00:00Z"}})

    window = chain(board)[0]
    assert (window.ends_at, window.key) == (
        MONDAY + WEEK,
        "custom_20241118T000000Z_20241125T000000Z",
    )
    assert window.due_at == MONDAY + WEEK + 300 * SECOND
    assert (window.version_number, scores(window)) == (1, {"ana": 5})


def test_a_custom_window_that_gets_shorter_loses_what_lies_behind_its_end(
    tenant_a: Tenant,
) -> None:
    board = create(tenant_a, timeframe=CUSTOM)
    play(
        board,
        Sent("ana", 5, NOON),
        Sent("ana", 7, NOON + 4 * SECOND, delay=-3 * SECOND),
        now=NOON + SECOND,
    )

    patch(board, now=NOON + SECOND, config={"timeframe": {"end_at": "2024-11-20T12:00:03Z"}})

    assert scores(chain(board)[0]) == {"ana": 5}


def test_the_end_of_a_custom_window_cannot_move_into_the_past(tenant_a: Tenant) -> None:
    board = create(tenant_a, timeframe=CUSTOM)
    play(board, Sent("ana", 5, NOON))

    with pytest.raises(NeedsRecomputeError):
        patch(board, config={"timeframe": {"end_at": "2024-11-20T00:00:00Z"}})


def test_a_custom_board_can_be_opened_again_behind_its_last_window(tenant_a: Tenant) -> None:
    board = create(tenant_a, timeframe=CUSTOM)
    play(board, Sent("ana", 5, NOON))
    sweep(now=MONDAY + WEEK)

    patch(board, now=MONDAY + WEEK, config={"timeframe": {"end_at": "2024-11-30T00:00:00Z"}})

    first, second = chain(board)
    assert (first.state, scores(first)) == ("closed", {"ana": 5})
    assert second.key == "custom_20241122T000000Z_20241130T000000Z"
    assert second.starts_at == first.ends_at


def test_a_custom_board_that_is_over_can_become_weekly_without_filling_the_gap(
    tenant_a: Tenant,
) -> None:
    board = create(tenant_a, timeframe=CUSTOM)
    sweep(now=MONDAY + 5 * WEEK)

    patch(board, now=MONDAY + 5 * WEEK + HOUR, config={"timeframe": WEEKLY})

    keys = [window.key for window in chain(board)]
    assert keys == ["custom_20241118T000000Z_20241122T000000Z", "2024-W52"]


# --- Races ---------------------------------------------------------------------------------------


def test_changes_at_once_are_numbered_without_gap(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    names = [f"Name {number}" for number in range(6)]

    in_threads(6, lambda: patch(board, name=names.pop()))

    versions = list(board.versions.order_by("version").values_list("version", flat=True))
    assert versions == [1, 2, 3, 4, 5, 6, 7]


def test_scoring_and_changes_at_once_leave_what_the_log_says(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    send(tenant_a.pk, [Sent(f"p{number % 40}", number, NOON) for number in range(400)])

    def score() -> None:
        for _ in range(10):
            score_all(now=NOON)

    def change() -> None:
        for aggregation in ("max", "count", "sum", "last", "max"):
            try:
                patch_scoring(board, aggregation=aggregation, effective="recompute")
            except DomainError as exc:
                raise AssertionError(str(exc)) from exc

    works = [score, score, score, change]
    in_threads(len(works), lambda: works.pop()())
    score_all(now=NOON)

    expected = {f"p{number}": 360 + number for number in range(40)}
    assert chain(board)[0].version_number == Leaderboard.objects.get().version
    assert scores(chain(board)[0]) == expected


def test_batches_without_pause_do_not_keep_a_change_waiting(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    window = chain(board)[0]
    ends_at = time.monotonic() + 8
    waited: list[float] = []

    def batches() -> None:
        while time.monotonic() < ends_at and not waited:
            with transaction.atomic():
                locks.lock_windows_for_scoring([window.pk])
                time.sleep(0.05)

    def change() -> None:
        time.sleep(0.3)
        started = time.monotonic()
        with transaction.atomic():
            locks.lock_windows_for_change([window.pk])
        waited.append(time.monotonic() - started)

    works = [change, batches, batches, batches, batches]
    in_threads(len(works), lambda: works.pop()())

    assert waited[0] < 2


def test_a_version_number_is_not_taken_from_a_lock_that_was_waited_for(tenant_a: Tenant) -> None:
    board = create(tenant_a)
    outcomes: list[str] = []

    def work() -> None:
        try:
            patch(board, name=f"Name {len(outcomes)} {time.monotonic_ns()}", expected_version=1)
            outcomes.append("changed")
        except VersionConflictError:
            outcomes.append("refused")

    in_threads(5, work)

    assert sorted(outcomes) == ["changed", *["refused"] * 4]
    assert connection.connection is None or not connection.in_atomic_block
