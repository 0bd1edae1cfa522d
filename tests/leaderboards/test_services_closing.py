"""Closing of windows. Its times lie in the past of any real clock: the log's is the database's."""

import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django.fixtures import DjangoAssertNumQueries

from ingestion.constants import FREEZE_MARGIN_MILLISECONDS
from ingestion.models import Event as LoggedEvent
from leaderboards.models import Entry, FrozenStanding, LateEvent, Leaderboard, Snapshot, Window
from leaderboards.rules.configuration import parse_config
from leaderboards.selectors import boards as board_selectors
from leaderboards.services import closing, windows
from leaderboards.types import RankedEntry
from tenants.models import Tenant
from tests.leaderboards.boards import make_board, put_entries
from tests.leaderboards.log import Sent, score_all, send
from tests.leaderboards.races import in_threads

DAY_1 = datetime(2024, 11, 18, tzinfo=UTC)
HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
# How long the two sides of a race wait for each other.
PATIENCE = 30
GRACE = timedelta(seconds=300)
DAILY = {"type": "daily", "reset_day": None}


def open_board(tenant: Tenant, **parts: Mapping[str, Any]) -> Leaderboard:
    parts.setdefault("timeframe", DAILY)
    board = make_board(tenant, leaderboard_id=None, **parts)
    windows.open_windows(board, parse_config(board.config), until=DAY_1, now=DAY_1)
    return board


def first_window(board: Leaderboard) -> Window:
    return board.windows.earliest("starts_at")


def events_of(kind: str) -> list[LoggedEvent]:
    return list(LoggedEvent.objects.filter(type=kind).order_by("id"))


def close_all(*, now: datetime) -> int:
    return sum(closing.close_due_windows(pk, now=now) for pk in windows.sweep_windows(now=now))


@pytest.mark.django_db(transaction=True)
def test_a_window_is_closed_with_ranks_hash_snapshot_and_events(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    send(tenant_a.pk, [Sent("ana", 5, DAY_1), Sent("ben", 9, DAY_1 + HOUR)])
    score_all(now=DAY_1 + HOUR)

    closed = close_all(now=DAY_1 + DAY + GRACE)

    window = first_window(board)
    assert closed == 1
    assert (window.state, window.revision, window.total_players) == ("closed", 1, 2)
    assert list(window.frozen.order_by("place").values_list("rank", "user_id", "score")) == [
        (1, "ben", 9),
        (2, "ana", 5),
    ]
    snapshot = Snapshot.objects.get()
    assert (snapshot.taken_at, snapshot.is_final, snapshot.entry_count) == (DAY_1 + DAY, True, 2)
    assert snapshot.hash == window.hash
    announcement = events_of("leaderboard.window.closed")[0]
    assert announcement.user_id is None
    assert announcement.attrs == {
        "leaderboard_id": board.leaderboard_id,
        "window_key": "2024-11-18",
        "entries": 2,
        "total_players": 2,
        "hash": window.hash,
        "revision": 1,
        "config_version": 1,
    }
    placed = events_of("leaderboard.placed")
    assert [event.user_id for event in placed] == ["ben", "ana"]
    assert placed[0].cause == announcement.event_id
    assert placed[0].attrs == {
        "leaderboard_id": board.leaderboard_id,
        "window_key": "2024-11-18",
        "rank": 1,
        "score": 9,
        "total_players": 2,
        "revision": 1,
        "reward_config_id": None,
    }


@pytest.mark.parametrize("early", [SECOND / 1000, DAY])
def test_a_window_that_is_not_due_stays_open(tenant_a: Tenant, early: timedelta) -> None:
    board = open_board(tenant_a)

    assert not closing.close_window(first_window(board).pk, now=DAY_1 + DAY + GRACE - early)
    assert first_window(board).is_scored


@pytest.mark.django_db(transaction=True)
def test_a_window_waits_until_scoring_has_passed_its_deadline(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    send(tenant_a.pk, [Sent("ana", 5, DAY_1)])
    now = DAY_1 + DAY + GRACE

    before = close_all(now=now)
    score_all(now=now)
    after = close_all(now=now)

    assert (before, after) == (0, 1)
    assert first_window(board).frozen.get().user_id == "ana"


def test_a_window_waits_for_its_predecessor(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    windows.sweep_windows(now=DAY_1 + 2 * DAY)
    second = board.windows.order_by("starts_at")[1]

    assert not closing.close_window(second.pk, now=DAY_1 + 3 * DAY)
    assert closing.close_window(first_window(board).pk, now=DAY_1 + 3 * DAY)
    assert closing.close_window(second.pk, now=DAY_1 + 3 * DAY)


@pytest.mark.django_db(transaction=True)
def test_repeating_a_close_changes_nothing(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    send(tenant_a.pk, [Sent("ana", 5, DAY_1)])
    score_all(now=DAY_1)
    close_all(now=DAY_1 + DAY + GRACE)
    window = first_window(board)

    assert not closing.close_window(window.pk, now=DAY_1 + 2 * DAY)
    assert close_all(now=DAY_1 + DAY + GRACE) == 0
    assert len(events_of("leaderboard.window.closed")) == len(events_of("leaderboard.placed")) == 1


def test_a_window_over_all_time_never_closes(tenant_a: Tenant) -> None:
    board = open_board(
        tenant_a, timeframe={"type": "all_time", "reset_day": None, "reset_time": None}
    )

    assert windows.sweep_windows(now=DAY_1 + 900 * DAY) == []
    assert not closing.close_window(first_window(board).pk, now=DAY_1 + 900 * DAY)


@pytest.mark.parametrize(
    ("policy", "ranks"),
    [("first_to_reach", [1, 2, 3, 4]), ("shared", [1, 2, 2, 4]), ("dense", [1, 2, 2, 3])],
)
def test_each_tie_policy_has_its_ranks(tenant_a: Tenant, policy: str, ranks: list[int]) -> None:
    board = open_board(tenant_a, ranking={"tie_policy": policy})
    put_entries(
        first_window(board),
        [
            RankedEntry("d", 30, DAY_1),
            RankedEntry("c", 40, DAY_1 + HOUR),
            RankedEntry("b", 40, DAY_1),
            RankedEntry("a", 50, DAY_1),
        ],
    )

    close_all(now=DAY_1 + DAY + GRACE)

    frozen = FrozenStanding.objects.order_by("place")
    assert list(frozen.values_list("user_id", flat=True)) == ["a", "b", "c", "d"]
    assert list(frozen.values_list("rank", flat=True)) == ranks


def test_equal_scores_and_times_are_ordered_by_the_bytes_of_the_id(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    names = ["é", "Z", "a", "_", "😀", "￿"]
    put_entries(first_window(board), [RankedEntry(name, 1, DAY_1) for name in names])

    close_all(now=DAY_1 + DAY + GRACE)

    frozen = FrozenStanding.objects.order_by("place").values_list("user_id", flat=True)
    assert list(frozen) == sorted(names, key=str.encode)


def test_entries_outside_the_bounds_are_kept_and_not_ranked(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, ranking={"min_score": 2, "max_score": 8, "method": "score_asc"})
    scores = {"a": 1, "b": 2, "c": 8, "d": 9}
    put_entries(first_window(board), [RankedEntry(*pair, DAY_1) for pair in scores.items()])

    close_all(now=DAY_1 + DAY + GRACE)

    frozen = FrozenStanding.objects.order_by("place").values_list("user_id", flat=True)
    assert list(frozen) == ["b", "c"]
    assert Entry.objects.count() == 4
    assert first_window(board).total_players == 2


def test_only_listed_players_are_announced_as_placed(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, ranking={"size": 2})
    put_entries(first_window(board), [RankedEntry(f"p{n}", n, DAY_1) for n in range(5)])

    close_all(now=DAY_1 + DAY + GRACE)

    window = first_window(board)
    assert [event.user_id for event in events_of("leaderboard.placed")] == ["p4", "p3"]
    assert (window.entry_count, window.total_players, window.frozen.count()) == (2, 5, 5)


def test_scores_with_decimals_are_announced_exactly(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, scoring={"decimals": 2})
    put_entries(first_window(board), [RankedEntry("ana", 167, DAY_1)])

    close_all(now=DAY_1 + DAY + GRACE)

    with connection.cursor() as cursor:
        cursor.execute("SELECT attrs ->> 'score' FROM ingestion_event WHERE user_id = 'ana'")
        assert cursor.fetchone() == ("1.67",)


# --- Acceptance ----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_acceptance_14_an_event_inside_the_grace_counts_and_one_after_it_is_late(
    tenant_a: Tenant,
) -> None:
    board = open_board(tenant_a)
    last_moment = DAY_1 + DAY - SECOND
    send(
        tenant_a.pk,
        [Sent("ana", 1, last_moment, GRACE), Sent("ben", 2, last_moment, GRACE + SECOND)],
    )
    score_all(now=DAY_1 + DAY + GRACE + SECOND)
    close_all(now=DAY_1 + DAY + GRACE + SECOND)
    send(tenant_a.pk, [Sent("ana", 50, last_moment, 2 * DAY)])
    score_all(now=DAY_1 + 3 * DAY)

    window = first_window(board)
    assert list(window.frozen.values_list("user_id", "score")) == [("ana", 1)]
    assert LateEvent.objects.filter(window=window).count() == 2
    assert Entry.objects.get(window=window).score == 1


@pytest.mark.django_db(transaction=True)
def test_acceptance_15_windows_missed_for_days_are_closed_in_order_each_with_its_events(
    tenant_a: Tenant,
) -> None:
    board = open_board(tenant_a)
    send(
        tenant_a.pk,
        [Sent("ana", 1, DAY_1 + DAY - SECOND), Sent("ben", 2, DAY_1 + 2 * DAY - SECOND)],
    )
    now = DAY_1 + 4 * DAY + GRACE

    first = close_all(now=now)
    score_all(now=now)
    second = close_all(now=now)

    assert (first, second) == (0, 4)
    chain = list(board.windows.filter(state="closed").order_by("starts_at"))
    assert [list(window.frozen.values_list("user_id", "score")) for window in chain] == [
        [("ana", 1)],
        [("ben", 2)],
        [],
        [],
    ]
    assert [window.previous_hash for window in chain] == [
        "",
        *(window.hash for window in chain[:-1]),
    ]
    announced = [event.attrs["window_key"] for event in events_of("leaderboard.window.closed")]
    assert announced == ["2024-11-18", "2024-11-19", "2024-11-20", "2024-11-21"]


@pytest.mark.django_db(transaction=True)
def test_acceptance_15_however_many_workers_close(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    send(
        tenant_a.pk,
        [Sent("ana", 1, DAY_1 + DAY - SECOND), Sent("ben", 2, DAY_1 + 2 * DAY - SECOND)],
    )
    now = DAY_1 + 2 * DAY + GRACE
    windows.sweep_windows(now=now)

    def work() -> int:
        score_all(now=now)
        return sum(close_all(now=now) for _ in range(20))

    closed = in_threads(6, work)

    assert sum(closed) == 2
    assert board.windows.filter(state="closed").count() == 2
    announced = events_of("leaderboard.window.closed")
    assert [event.attrs["window_key"] for event in announced] == ["2024-11-18", "2024-11-19"]
    assert [event.user_id for event in events_of("leaderboard.placed")] == ["ana", "ben"]


@pytest.mark.django_db(transaction=True)
def test_an_event_at_the_instant_of_closing_is_in_the_standings_or_late(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    now = DAY_1 + DAY + GRACE
    windows.sweep_windows(now=now)
    numbers = iter(range(1000))

    def send_in_time() -> None:
        for _ in range(10):
            send(tenant_a.pk, [Sent(f"p{next(numbers)}", 1, DAY_1)])

    def score() -> None:
        for _ in range(20):
            score_all(now=now)

    def close() -> None:
        for _ in range(30):
            close_all(now=now)

    works = [send_in_time, send_in_time, score, score, close, close]
    in_threads(len(works), lambda: works.pop()())
    score_all(now=now)
    close_all(now=now)

    window = first_window(board)
    frozen = set(window.frozen.values_list("user_id", flat=True))
    assert window.state == "closed"
    assert frozen == set(window.entries.values_list("user_id", flat=True))
    assert len(events_of("leaderboard.placed")) == len(frozen)


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_began_before_the_deadline_is_waited_for(tenant_a: Tenant) -> None:
    board = open_board(tenant_a)
    window = first_window(board)
    has_sent, has_asked = Event(), Event()
    moments: list[datetime] = []
    outcomes: list[bool] = []

    def slow_sender() -> None:
        with transaction.atomic():
            send(tenant_a.pk, [Sent("ana", 1, DAY_1)])
            has_sent.set()
            assert has_asked.wait(PATIENCE)

    def closer() -> None:
        try:
            assert has_sent.wait(PATIENCE)
            deadline = datetime.now(UTC)
            moments.append(deadline + SECOND)
            Window.objects.update(due_at=deadline)
            # Past the margin that every freeze keeps, so that only the sender is in the way.
            time.sleep(2 * FREEZE_MARGIN_MILLISECONDS / 1000)
            outcomes.append(closing.close_window(window.pk, now=moments[0]))
        finally:
            has_asked.set()

    works = [slow_sender, closer]
    in_threads(2, lambda: works.pop()())
    unscored = closing.close_window(window.pk, now=moments[0])
    score_all(now=moments[0])

    assert (outcomes, unscored) == ([False], False)
    assert closing.close_window(window.pk, now=moments[0])
    assert first_window(board).frozen.get().user_id == "ana"


def test_acceptance_16_the_hash_follows_from_what_is_shown(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, scoring={"decimals": 1})
    put_entries(
        first_window(board),
        [RankedEntry("user-123", 9500, DAY_1), RankedEntry("Zoë", 9500, DAY_1 + HOUR / 7)],
    )
    close_all(now=DAY_1 + DAY + GRACE)
    windows.ensure_windows(board, [DAY_1 + DAY], now=DAY_1 + DAY)
    close_all(now=DAY_1 + 2 * DAY + GRACE)

    first, second = board.windows.filter(state="closed").order_by("starts_at")

    head = [board.tenant_id, board.leaderboard_id, "2024-11-18", "2024-11-18T00:00:00.000000Z"]
    lines = [
        "phoenix-standings-v1",
        "\t".join([*head, "2024-11-19T00:00:00.000000Z", "1", "1", "1", "-"]),
        "1\tuser-123\t950.0\t2024-11-18T00:00:00.000000Z",
        "2\tZoë\t950.0\t2024-11-18T00:08:34.285714Z",
    ]
    text = "".join(f"{line}\n" for line in lines)
    assert first.hash == hashlib.sha256(text.encode()).hexdigest()
    assert second.previous_hash == first.hash


# --- Size ----------------------------------------------------------------------------------------


def test_the_number_of_queries_does_not_grow_with_the_entries(
    tenant_a: Tenant, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    small, large = open_board(tenant_a), open_board(tenant_a)
    put_entries(first_window(small), [RankedEntry("ana", 1, DAY_1)])
    put_entries(first_window(large), [RankedEntry(f"p{n}", n, DAY_1) for n in range(100)])
    now = DAY_1 + DAY + GRACE
    for board in (small, large):
        board_selectors.config_of_version(board.pk, 1)

    for board in (small, large):
        with django_assert_num_queries(25):
            assert closing.close_window(first_window(board).pk, now=now)


def test_a_window_of_100_000_players_is_closed_in_one_go(tenant_a: Tenant) -> None:
    board = open_board(tenant_a, ranking={"size": 100_000, "tie_policy": "shared"})
    window = first_window(board)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO leaderboards_entry (window_id, tenant_id, user_id, shard, score, reached_at,
                event_count, total, last_occurred_at, last_xid, last_event, has_points, change)
            SELECT %s, %s, 'player-' || n, 0, n %% 1000, %s, 1, 1, %s, 1, n, true, 1
            FROM generate_series(1, 100000) AS n
            """,
            [window.pk, tenant_a.pk, DAY_1, DAY_1],
        )

    started = datetime.now(UTC)
    assert closing.close_window(window.pk, now=DAY_1 + DAY + GRACE)

    assert window.frozen.count() == 100_000
    assert LoggedEvent.objects.filter(type="leaderboard.placed").count() == 100_000
    assert datetime.now(UTC) - started < timedelta(seconds=60)
