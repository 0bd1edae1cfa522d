"""Counting players and late events for people: cheap, and honest about where it stopped."""

from datetime import timedelta

import pytest

from leaderboards.models import LateEvent, Window
from leaderboards.selectors import activity
from leaderboards.selectors.activity import BoundedCount
from phoenix_site.common.redis import RedisError, get_redis
from tenants.models import Tenant
from tests.leaderboards import query_cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def own_window(tenant_a: Tenant) -> Window:
    return query_cast.new_window(query_cast.new_board(tenant_a))


def test_an_index_is_asked_and_no_row_counted(
    own_window: Window, django_assert_num_queries: object
) -> None:
    query_cast.fill(own_window, {"ana": 1, "ben": 2})

    with django_assert_num_queries(0):  # type: ignore[operator]
        counts = activity.player_counts([own_window])

    assert counts == {own_window.pk: BoundedCount(2)}


def test_without_an_index_rows_are_counted_up_to_a_bound(
    own_window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    query_cast.fill(own_window, {"ana": 1, "ben": 2, "cleo": 3})
    get_redis().flushdb()

    exact = activity.player_counts([own_window])[own_window.pk]
    monkeypatch.setattr(activity, "COUNTED_ROWS", 2)
    bounded = activity.player_counts([own_window])[own_window.pk]

    assert (exact, str(exact)) == (BoundedCount(3), "3")
    assert (bounded, str(bounded)) == (BoundedCount(2, is_exact=False), "2+")


def test_rows_are_counted_while_redis_is_away(
    own_window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    query_cast.fill(own_window, {"ana": 1})

    def fail() -> object:
        raise RedisError("away")

    monkeypatch.setattr(activity, "get_redis", fail)

    assert activity.player_counts([own_window])[own_window.pk].count == 1


def test_a_closed_window_knows_its_players(own_window: Window) -> None:
    query_cast.fill(own_window, {"ana": 1, "ben": 2})
    query_cast.close(own_window)
    own_window.entries.all().delete()

    assert activity.player_counts([own_window])[own_window.pk] == BoundedCount(2)


def test_nothing_is_asked_about_nothing(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert activity.player_counts([]) == {}
        assert activity.late_counts([]) == {}


def test_late_events_are_counted_by_window(own_window: Window) -> None:
    other = query_cast.new_window(
        own_window.board,
        "2026-W48",
        starts_at=query_cast.MONDAY + query_cast.WEEK,
        ends_at=query_cast.MONDAY + 2 * query_cast.WEEK,
    )
    LateEvent.objects.create(
        window=own_window,
        tenant=own_window.tenant,
        event_id="e-1",
        user_id="ana",
        occurred_at=query_cast.NOW,
        received_at=query_cast.NOW,
    )

    counts = activity.late_counts([own_window.pk, other.pk])

    assert counts == {own_window.pk: BoundedCount(1), other.pk: BoundedCount(0)}


def test_the_current_window_is_the_one_that_holds_now(own_window: Window) -> None:
    board = own_window.board
    for weeks in (-1, 1):
        starts_at = query_cast.MONDAY + weeks * query_cast.WEEK
        ends_at = starts_at + query_cast.WEEK
        query_cast.new_window(board, f"w{weeks}", starts_at=starts_at, ends_at=ends_at)

    now = activity.current_windows([board.pk], now=query_cast.NOW)
    later = activity.current_windows([board.pk], now=query_cast.NOW + timedelta(days=60))

    assert now[board.pk] == own_window
    assert later == {}
