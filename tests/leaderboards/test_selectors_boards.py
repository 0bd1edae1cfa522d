from datetime import UTC, datetime, timedelta

import pytest
from pytest_django.fixtures import DjangoAssertNumQueries

from leaderboards.models import BoardVersion, Leaderboard, StatusChange
from leaderboards.rules.configuration import parse_config
from leaderboards.selectors import boards as selectors
from leaderboards.services import windows
from phoenix_site.common.exceptions import NotFoundError
from tenants.models import Tenant
from tests.leaderboards.boards import make_board

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = {"type": "hourly", "reset_day": None, "reset_time": None}


def open_board(tenant: Tenant, *, now: datetime = NOON) -> Leaderboard:
    board = make_board(tenant, leaderboard_id=None, timeframe=HOURLY)
    windows.open_windows(board, parse_config(board.config), until=now, now=now)
    return board


def test_a_scoring_board_knows_its_windows_by_instant(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    windows.sweep_windows(now=NOON + HOUR)

    scored = selectors.boards_for_scoring([tenant_a.pk])[tenant_a.pk][0]

    first, second = board.windows.order_by("starts_at")
    assert scored.window_at(NOON - timedelta(microseconds=1)) is None
    assert scored.window_at(NOON) == first
    assert scored.window_at(NOON + HOUR - timedelta(microseconds=1)) == first
    assert scored.window_at(NOON + HOUR) == second
    assert scored.window_at(NOON + 2 * HOUR) is None


def test_a_scoring_board_knows_when_it_was_active(tenant_a: Tenant) -> None:
    board = make_board(tenant_a, leaderboard_id=None)
    StatusChange.objects.create(board=board, status="inactive", at=NOON)
    StatusChange.objects.create(board=board, status="active", at=NOON + HOUR)

    scored = selectors.boards_for_scoring([tenant_a.pk])[tenant_a.pk][0]

    tick = timedelta(microseconds=1)
    asked = [NOON - tick, NOON, NOON + HOUR - tick, NOON + HOUR, datetime(1999, 1, 1, tzinfo=UTC)]
    assert [scored.was_active(at) for at in asked] == [True, False, False, True, False]


def test_a_scoring_board_has_the_configs_of_its_windows_and_the_newest(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    config = board.config | {"scoring": board.config["scoring"] | {"aggregation": "max"}}
    BoardVersion.objects.create(
        board=board, version=2, document={"config": config}, created_at=NOON
    )
    Leaderboard.objects.filter(pk=board.pk).update(version=2)

    scored = selectors.boards_for_scoring([tenant_a.pk])[tenant_a.pk][0]

    assert {number: each.aggregation for number, each in scored.compiled.items()} == {
        1: "sum",
        2: "max",
    }


def test_archived_boards_are_left_out_unless_a_window_is_still_being_closed(
    tenant_a: Tenant,
) -> None:
    ended, gone = open_board(tenant_a), open_board(tenant_a)
    gone.windows.update(state="void")
    Leaderboard.objects.update(status="archived")

    found = selectors.boards_for_scoring([tenant_a.pk])[tenant_a.pk]

    assert [board.id for board in found] == [ended.pk]


def test_boards_of_other_tenants_are_not_among_them(tenant_a: Tenant, tenant_b: Tenant) -> None:
    open_board(tenant_b)

    assert selectors.boards_for_scoring([tenant_a.pk]) == {tenant_a.pk: ()}


def test_two_queries_bring_one_board_and_twenty(
    tenant_a: Tenant, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    open_board(tenant_a)
    with django_assert_num_queries(3):
        selectors.boards_for_scoring([tenant_a.pk])
    with django_assert_num_queries(2):
        selectors.boards_for_scoring([tenant_a.pk])

    for _ in range(19):
        open_board(tenant_a)
    selectors.boards_for_scoring([tenant_a.pk])
    with django_assert_num_queries(2):
        assert len(selectors.boards_for_scoring([tenant_a.pk])[tenant_a.pk]) == 20


@pytest.mark.parametrize("leaderboard_id", ["unknown", "a\x00b", "", "é"])
def test_a_board_that_is_not_there_is_not_found(tenant_a: Tenant, leaderboard_id: str) -> None:
    with pytest.raises(NotFoundError):
        selectors.get_board(tenant_a.pk, leaderboard_id)
