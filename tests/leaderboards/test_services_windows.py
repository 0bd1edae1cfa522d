from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from pytest_django.fixtures import DjangoAssertNumQueries

from leaderboards.models import Leaderboard, Window
from leaderboards.rules.configuration import parse_config
from leaderboards.selectors import history
from leaderboards.selectors import windows as selectors
from leaderboards.services import windows
from tenants.models import Tenant
from tests.leaderboards.boards import make_board
from tests.leaderboards.races import in_threads

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)
HOURLY = {"type": "hourly", "reset_day": None, "reset_time": None}
DAILY = {"type": "daily", "reset_day": None}


def open_board(
    tenant: Tenant, timeframe: Mapping[str, Any], *, now: datetime = NOON
) -> Leaderboard:
    board = make_board(tenant, timeframe=timeframe)
    windows.open_windows(board, parse_config(board.config), until=now, now=now)
    return board


def keys(board: Leaderboard) -> list[str]:
    return list(board.windows.order_by("starts_at").values_list("key", flat=True))


def test_a_new_board_gets_the_window_of_now(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)

    window = board.windows.get()

    assert (window.key, window.state, window.version_number) == ("2026-11-18T12", "open", 1)
    assert (window.starts_at, window.ends_at) == (NOON, NOON + HOUR)
    assert window.due_at == NOON + HOUR + timedelta(seconds=300)
    assert board.next_window_at == NOON + HOUR


def test_the_sweep_opens_the_next_window_a_moment_early(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)

    windows.sweep_windows(now=NOON + HOUR - 11 * SECOND)
    before = keys(board)
    windows.sweep_windows(now=NOON + HOUR - 10 * SECOND)

    assert before == ["2026-11-18T12"]
    assert keys(board) == ["2026-11-18T12", "2026-11-18T13"]
    assert set(board.windows.values_list("state", flat=True)) == {"open"}


def test_an_ended_window_is_marked_as_closing(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)

    windows.sweep_windows(now=NOON + HOUR)

    states = list(board.windows.order_by("starts_at").values_list("state", flat=True))
    assert states == ["closing", "open"]


def test_after_days_without_a_sweep_every_window_is_made(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)

    due = windows.sweep_windows(now=NOON + 3 * DAY)

    assert board.windows.count() == 73
    chain = list(board.windows.order_by("starts_at"))
    assert all(one.ends_at == two.starts_at for one, two in pairwise(chain))
    assert due == [chain[0].pk], "one at a time, the oldest first"


def test_one_board_that_cannot_go_on_does_not_hold_up_the_others(tenant_a: Tenant) -> None:
    broken, sound = open_board(tenant_a, HOURLY), open_board(tenant_a, HOURLY)
    Leaderboard.objects.filter(pk=broken.pk).update(version=99)

    windows.sweep_windows(now=NOON + HOUR)

    assert len(keys(sound)) == 2
    assert len(keys(broken)) == 1


def test_an_archived_board_gets_no_more_windows(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)
    Leaderboard.objects.filter(pk=board.pk).update(status="archived")

    windows.sweep_windows(now=NOON + DAY)

    assert len(keys(board)) == 1
    assert windows.ensure_windows(board, [NOON + DAY], now=NOON + DAY) == []


def test_an_inactive_board_goes_on_by_the_clock(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)
    Leaderboard.objects.filter(pk=board.pk).update(status="inactive")

    windows.sweep_windows(now=NOON + HOUR)

    assert len(keys(board)) == 2


# --- Windows that events need --------------------------------------------------------------------


def test_an_event_ahead_of_its_time_makes_its_window(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)

    found = windows.ensure_windows(board, [NOON + 61 * 60 * SECOND, NOON], now=NOON)

    assert [window.key for window in found] == ["2026-11-18T12", "2026-11-18T13"]


def test_an_event_further_ahead_than_any_may_be_makes_none(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)

    assert windows.ensure_windows(board, [NOON + 100 * DAY], now=NOON) == []
    assert board.windows.count() == 25


def test_an_event_from_before_the_first_window_that_may_be_in_time_makes_its_window(
    tenant_a: Tenant,
) -> None:
    board = make_board(tenant_a, timeframe=HOURLY | {"grace_seconds": 7200})
    board.status_changes.all()
    windows.open_windows(board, parse_config(board.config), until=NOON, now=NOON)

    found = windows.ensure_windows(board, [NOON - 90 * 60 * SECOND], now=NOON)

    assert [window.key for window in found] == ["2026-11-18T10"]
    assert keys(board) == ["2026-11-18T10", "2026-11-18T11", "2026-11-18T12"]
    assert set(board.windows.values_list("state", flat=True)) == {"closing", "open"}


def test_nothing_is_made_before_a_window_that_is_closed(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)
    board.windows.update(state="closed", closed_at=NOON, revision=1)

    assert windows.ensure_windows(board, [NOON - HOUR], now=NOON) == []


def test_outside_the_dates_of_a_custom_board_there_is_no_window(tenant_a: Tenant) -> None:
    dates = {"start_at": "2026-11-20T00:00:00Z", "end_at": "2026-11-22T00:00:00Z"}
    board = open_board(tenant_a, {"type": "custom", "reset_day": None, "reset_time": None} | dates)
    inside = datetime(2026, 11, 20, tzinfo=UTC)

    assert board.next_window_at == inside
    assert windows.ensure_windows(board, [NOON, inside + 2 * DAY], now=NOON) == []
    made = windows.ensure_windows(board, [inside], now=inside)
    assert [window.key for window in made] == ["custom_20261120T000000Z_20261122T000000Z"]
    windows.sweep_windows(now=inside + 30 * DAY)
    assert len(keys(board)) == 1
    assert Leaderboard.objects.get(pk=board.pk).next_window_at is None


def test_a_board_over_all_time_has_one_window_for_ever(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, {"type": "all_time", "reset_day": None, "reset_time": None})

    window = board.windows.get()
    windows.sweep_windows(now=NOON + 5000 * DAY)

    assert (window.key, window.ends_at, window.due_at) == ("all_time", None, None)
    assert len(keys(board)) == 1


def test_existing_windows_are_found_with_one_query(
    tenant_a: Tenant, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    board = open_board(tenant_a, HOURLY)
    windows.sweep_windows(now=NOON + DAY)
    instants = [NOON + number * HOUR / 4 for number in range(97)]

    with django_assert_num_queries(1):
        found = windows.ensure_windows(board, instants, now=NOON + DAY)

    assert len(found) == 25


def test_the_number_of_queries_does_not_grow_with_the_windows_that_are_made(
    tenant_a: Tenant, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    board = open_board(tenant_a, HOURLY)
    other = open_board(tenant_a, HOURLY)

    with django_assert_num_queries(8):
        windows.open_due_windows(board.pk, now=NOON + HOUR)
    with django_assert_num_queries(8):
        windows.open_due_windows(other.pk, now=NOON + 4 * DAY)


# --- Keys ----------------------------------------------------------------------------------------


def test_a_key_that_the_board_has_used_gets_the_next_number(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, DAILY)
    board.windows.update(ends_at=NOON, due_at=NOON)
    Leaderboard.objects.filter(pk=board.pk).update(next_window_at=NOON)

    windows.sweep_windows(now=NOON)

    assert keys(board) == ["2026-11-18", "2026-11-18~2"]


def test_boundaries_once_fixed_stay_when_zone_data_changes(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, DAILY | {"timezone": "Europe/Berlin"})
    window = board.windows.get()
    moved = window.starts_at + HOUR
    board.windows.update(starts_at=moved)

    found = windows.ensure_windows(board, [NOON], now=NOON)

    assert found[0].starts_at == moved


# --- Races ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_many_workers_make_exactly_one_window_per_key(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)
    later = NOON + 5 * HOUR

    found = in_threads(8, lambda: windows.ensure_windows(board, [later], now=later))

    assert len(found) == 8
    assert len({window.pk for windows_found in found for window in windows_found}) == 1
    assert len(keys(board)) == len(set(keys(board))) == 6


@pytest.mark.django_db(transaction=True)
def test_sweeps_and_events_at_once_leave_one_chain(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)
    later = NOON + 50 * HOUR

    in_threads(
        6,
        lambda: (
            windows.sweep_windows(now=later),
            windows.ensure_windows(board, [later], now=later),
        ),
    )

    chain = list(board.windows.order_by("starts_at"))
    assert len(chain) == 51
    assert all(one.ends_at == two.starts_at for one, two in pairwise(chain))


# --- What retention asks -------------------------------------------------------------------------


def test_events_of_scored_windows_are_held_and_others_are_not(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)

    held = selectors.retention_hold(tenant_a.pk)
    board.windows.update(state="closed", closed_at=NOON, revision=1)

    assert held == NOON - DAY
    assert selectors.retention_hold(tenant_a.pk) is None
    assert selectors.retention_hold("nobody") is None


def test_a_window_over_all_time_holds_what_came_since_its_board_began(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, {"type": "all_time", "reset_day": None, "reset_time": None})
    other = make_board(tenant_a, timeframe=HOURLY)
    assert other.windows.count() == 0

    began_at = board.status_changes.get().at

    assert selectors.retention_hold(tenant_a.pk) == began_at - DAY


def test_windows_that_have_not_begun_are_not_listed(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, HOURLY)
    windows.sweep_windows(now=NOON + HOUR - SECOND)

    listed = history.windows_of(
        tenant_a.pk, board.leaderboard_id, limit=10, offset=0, now=NOON + HOUR - SECOND
    )

    assert [each.window.key for each in listed.items] == ["2026-11-18T12"]
    assert listed.total == 1
    assert Window.objects.count() == 2
