from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from leaderboards.models import BoardVersion, FrozenStanding, Leaderboard, StatusChange, Window
from tenants.models import Tenant

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def board(tenant_a: Tenant) -> Leaderboard:
    return Leaderboard.objects.create(
        tenant=tenant_a, leaderboard_id="xp", name="XP", config={"ranking": {"min_score": 1}}
    )


def make_window(board: Leaderboard, starts_at: datetime, *, key: str) -> Window:
    return Window.objects.create(
        board=board,
        tenant_id=board.tenant_id,
        key=key,
        starts_at=starts_at,
        ends_at=starts_at + HOUR,
        due_at=starts_at + 2 * HOUR,
        version_number=1,
    )


def test_windows_that_touch_are_accepted(board: Leaderboard) -> None:
    make_window(board, NOON, key="a")

    make_window(board, NOON + HOUR, key="b")

    assert board.windows.count() == 2


def test_a_window_that_overlaps_another_of_its_board_is_refused(board: Leaderboard) -> None:
    make_window(board, NOON, key="a")

    with pytest.raises(IntegrityError, match="overlaps"), transaction.atomic():
        make_window(board, NOON + HOUR / 2, key="b")
    with pytest.raises(IntegrityError, match="overlaps"), transaction.atomic():
        make_window(board, NOON - HOUR / 2, key="c")


def test_an_endless_window_overlaps_all_that_follow(board: Leaderboard) -> None:
    endless = make_window(board, NOON, key="all_time")
    endless.ends_at = None
    endless.save()

    with pytest.raises(IntegrityError, match="overlaps"):
        make_window(board, NOON + 1000 * HOUR, key="b")


def test_a_frozen_standing_cannot_be_changed_or_deleted(board: Leaderboard) -> None:
    window = make_window(board, NOON, key="a")
    standing = FrozenStanding.objects.create(
        window=window, revision=1, place=1, rank=1, user_id="ana", score=5, reached_at=NOON
    )

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        FrozenStanding.objects.filter(pk=standing.pk).update(score=6)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        standing.delete()


def test_board_versions_and_status_changes_are_fixed(board: Leaderboard) -> None:
    version = BoardVersion.objects.create(board=board, version=1, document={}, created_at=NOON)
    change = StatusChange.objects.create(board=board, status="active", at=NOON)

    for row in (version, change):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            row.save()
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            row.delete()


def test_history_goes_when_a_purge_names_itself(board: Leaderboard) -> None:
    change = StatusChange.objects.create(board=board, status="active", at=NOON)

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL phoenix.purge = 'leaderboards'")
        change.delete()

    assert not StatusChange.objects.exists()


@pytest.mark.parametrize("board_id", ["", "-a", "a b", "a/b", "é", "a" * 65, "backtests"])
def test_a_board_id_that_is_no_slug_is_refused(tenant_a: Tenant, board_id: str) -> None:
    with pytest.raises(DatabaseError):
        Leaderboard.objects.create(tenant=tenant_a, leaderboard_id=board_id, name="x", config={})


def test_a_window_past_its_end_reads_as_closing(board: Leaderboard) -> None:
    window = make_window(board, NOON, key="a")

    assert window.state_at(NOON + HOUR - timedelta(microseconds=1)) == "open"
    assert window.state_at(NOON + HOUR) == "closing"
