from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from leaderboards.models import Leaderboard, Snapshot, Window
from leaderboards.rules.configuration import parse_config
from leaderboards.rules.hashing import hash_standings
from leaderboards.selectors import boards as board_selectors
from leaderboards.services import closing, snapshots, windows
from leaderboards.tasks import sweep_windows, take_snapshots
from leaderboards.types import RankedEntry, Standing, StandingsHeader
from phoenix_site.common.times import parse_rfc3339
from tenants.models import Tenant
from tests.leaderboards.boards import make_board, put_entries
from tests.leaderboards.races import in_threads
from tests.tenants.cast import new_secret, tenant_token

NOON = datetime(2024, 11, 18, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)


def open_board(tenant: Tenant, **parts: Mapping[str, Any]) -> Leaderboard:
    board = make_board(tenant, leaderboard_id=None, **parts)
    start = NOON - 90 * MINUTE
    windows.open_windows(board, parse_config(board.config), until=start, now=start)
    return board


def times(board: Leaderboard) -> list[datetime]:
    return list(board.snapshots.order_by("taken_at").values_list("taken_at", flat=True))


def test_a_snapshot_has_the_first_places_at_a_multiple_of_the_interval(tenant_a: Tenant) -> None:
    board = open_board(
        tenant_a, snapshots={"every_seconds": 3600, "top": 2}, ranking={"tie_policy": "shared"}
    )
    window = board.windows.get()
    scores = {"ana": 5, "ben": 5, "cleo": 9, "dan": 1}
    put_entries(window, [RankedEntry(name, score, NOON - DAY) for name, score in scores.items()])

    taken = snapshots.take_snapshots(now=NOON + 17 * SECOND)

    snapshot = Snapshot.objects.get()
    assert (taken, snapshot.taken_at, snapshot.is_final) == (1, NOON, False)
    assert (snapshot.entry_count, snapshot.total_players) == (2, 4)
    reached_at = "2024-11-17T12:00:00Z"
    assert snapshot.rows == [[1, "cleo", 9, reached_at], [2, "ana", 5, reached_at]]
    header = StandingsHeader(
        tenant_id="tenant-a",
        leaderboard_id=board.leaderboard_id,
        window_key=window.key,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        config_version=1,
        decimals=0,
        revision=0,
    )
    kept = [Standing(row[0], row[1], row[2], parse_rfc3339(row[3])) for row in snapshot.rows]
    assert snapshot.hash == hash_standings(header, kept)


def test_repeating_takes_nothing_twice(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)

    counts = [snapshots.take_snapshots(now=NOON + second * SECOND) for second in (0, 30, 59)]
    counts.append(snapshots.take_snapshots(now=NOON + HOUR))

    assert counts == [1, 0, 0, 1]
    assert times(board) == [NOON, NOON + HOUR]


def test_an_instant_that_nobody_looked_at_in_time_has_no_snapshot(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)

    assert snapshots.take_snapshots(now=NOON + 61 * SECOND) == 0
    assert times(board) == []


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ({"snapshots": {"every_seconds": 0}}, "active"),
        ({}, "inactive"),
        ({"timeframe": {"type": "hourly", "reset_day": None, "reset_time": None}}, "active"),
    ],
)
def test_none_is_taken_where_none_belongs(
    tenant_a: Tenant, parts: dict[str, Any], status: str
) -> None:
    """Switched off; not active; at the start of a window, which is the end of another."""
    board = open_board(tenant_a, **parts)
    Leaderboard.objects.filter(pk=board.pk).update(status=status)
    windows.sweep_windows(now=NOON)

    assert snapshots.take_snapshots(now=NOON) == 0


def test_a_board_over_all_time_has_snapshots_too(tenant_a: Tenant) -> None:
    board = open_board(
        tenant_a, timeframe={"type": "all_time", "reset_day": None, "reset_time": None}
    )

    snapshots.take_snapshots(now=NOON)

    assert times(board) == [NOON]
    assert len(Snapshot.objects.get().hash) == 64


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_keeps_its_snapshot(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)

    counts = in_threads(6, lambda: snapshots.take_snapshots(now=NOON))

    assert sum(counts) == 1
    assert times(board) == [NOON]


def test_interim_snapshots_are_kept_as_long_as_the_tenant_says(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    window = board.windows.get()
    Tenant.objects.filter(pk=tenant_a.pk).update(snapshot_retention_days=2)
    for days, is_final in ((1, False), (2, False), (3, False), (4, True)):
        Snapshot.objects.create(
            board=board,
            window=window,
            taken_at=NOON - days * DAY,
            is_final=is_final,
            entry_count=0,
            total_players=0,
            hash="",
        )

    deleted = snapshots.purge_snapshots(now=NOON + SECOND)

    assert deleted == 2
    assert times(board) == [NOON - 4 * DAY, NOON - DAY]


def test_a_snapshot_costs_the_same_for_one_entry_and_for_a_hundred(
    tenant_a: Tenant, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    small, large = open_board(tenant_a), open_board(tenant_a)
    put_entries(small.windows.get(), [RankedEntry("ana", 1, NOON)])
    put_entries(large.windows.get(), [RankedEntry(f"p{n}", n, NOON) for n in range(100)])
    for board in (small, large):
        board_selectors.config_of_version(board.pk, 1)

    for window in (small.windows.get(), large.windows.get()):
        with django_assert_num_queries(6):
            snapshots.take_snapshot(window.pk, NOON)


@pytest.mark.django_db(transaction=True)
def test_acceptance_16_the_hash_of_a_final_snapshot_follows_from_its_answer(
    tenant_a: Tenant,
) -> None:
    board = open_board(tenant_a, scoring={"decimals": 1})
    put_entries(
        board.windows.get(),
        [RankedEntry("user-123", 9500, NOON), RankedEntry("Zoë", 9500, NOON + HOUR / 7)],
    )
    due = windows.sweep_windows(now=NOON + 8 * DAY)
    assert closing.close_due_windows(due[0], now=NOON + 8 * DAY) == 1
    token = tenant_token(tenant_a.pk, new_secret(tenant_a).value)

    def get(path: str) -> Any:
        return Client().get(path, headers={"Authorization": f"Bearer {token}"}).json()

    listed = get(f"/v1/leaderboards/{board.leaderboard_id}/windows")["windows"]
    snapshot = get(f"/v1/snapshots/{board.leaderboard_id}/2024-11-25T00:00:00Z?limit=1000")

    header = StandingsHeader(
        tenant_id="tenant-a",
        leaderboard_id=snapshot["leaderboard_id"],
        window_key=snapshot["window_key"],
        starts_at=parse_rfc3339(snapshot["window_start"]),
        ends_at=parse_rfc3339(snapshot["window_end"]),
        config_version=snapshot["config_version"],
        decimals=snapshot["decimals"],
        revision=snapshot["revision"],
        previous_hash=snapshot["previous_hash"],
    )
    standings = [
        Standing(
            entry["rank"],
            entry["user_id"],
            round(entry["score"] * 10 ** snapshot["decimals"]),
            parse_rfc3339(entry["reached_at"]),
        )
        for entry in snapshot["entries"]
    ]
    closed = next(window for window in listed if window["window_key"] == snapshot["window_key"])
    assert hash_standings(header, standings) == snapshot["hash"] == closed["hash"]


@pytest.mark.django_db(transaction=True)
def test_the_clocks_tasks_open_close_and_take(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = open_board(tenant_a, timeframe={"type": "daily", "reset_day": None})
    closed: list[str] = []
    monkeypatch.setattr(
        "leaderboards.tasks.windows.close_window.apply_async",
        lambda args, expires: closed.extend(args),
    )

    sweep_windows()
    take_snapshots()

    oldest = Window.objects.filter(board=board).earliest("starts_at")
    assert closed == [str(oldest.pk)]
    assert Window.objects.filter(board=board).latest("starts_at").ends_at > datetime.now(UTC)  # type: ignore[operator]
