from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.utils import timezone

from ingestion.models import QuarantineEntry
from ingestion.rules.sharding import shard_of
from leaderboards.constants import MAX_SCALED_SCORE
from leaderboards.exceptions import EventRefusedError
from leaderboards.models import Entry, LateEvent, Leaderboard, RefusedEvent, StatusChange, Window
from leaderboards.rules import scoring as scoring_rules
from leaderboards.selectors import standings
from leaderboards.services import entries, planning, scoring
from leaderboards.types import TiePolicy
from phoenix_site.common.arrays import BigintArray
from phoenix_site.common.redis import get_redis
from tenants.models import Tenant
from tests.ingestion.factories import append
from tests.leaderboards.boards import make_board, make_window
from tests.leaderboards.scorers import (
    SECOND,
    ranks,
    score_all,
    scored_event,
    send,
    shown,
    view_of,
)

pytestmark = pytest.mark.django_db(transaction=True)

START = timezone.now().replace(microsecond=0) - timedelta(hours=1)


def window_of(tenant: Tenant, **parts: Any) -> Window:
    return make_window(make_board(tenant, **parts), START)


def check_3_events() -> list[Any]:
    players = [("a", 50), ("b", 40), ("c", 40), ("d", 30)]
    return [
        scored_event(player, points, at=START + number * SECOND)
        for number, (player, points) in enumerate(players)
    ]


TIES = {"first_to_reach": [1, 2, 3, 4], "shared": [1, 2, 2, 4], "dense": [1, 2, 2, 3]}


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("tie_policy", TIES)
def test_acceptance_3_and_4_ties_are_ranked_by_policy_whatever_the_order_of_arrival(
    tenant_a: Tenant, tie_policy: TiePolicy, is_reversed: bool
) -> None:
    window = window_of(tenant_a, ranking={"tie_policy": tie_policy})
    rows = check_3_events()
    send(reversed(rows) if is_reversed else rows)

    score_all()

    expected = list(zip(TIES[tie_policy], "abcd", (50, 40, 40, 30), strict=True))
    assert ranks(window) == expected
    get_redis().flushdb()
    assert ranks(window) == expected


def test_acceptance_5_scores_of_fifteen_digits_are_exact(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    send(
        [
            scored_event("b", MAX_SCALED_SCORE - 1, at=START),
            scored_event("a", MAX_SCALED_SCORE, at=START + timedelta(microseconds=1)),
        ]
    )

    score_all()

    assert ranks(window) == [(1, "a", 999_999_999_999_999), (2, "b", 999_999_999_999_998)]


@pytest.mark.parametrize(
    ("aggregation", "decimals", "points", "score"),
    [
        ("sum", 0, [10, -4], 6),
        ("max", 0, [5, 9, 7], 9),
        ("min", 0, [5, 9, 7], 5),
        ("count", 0, [5, 9, 7], 3),
        ("avg", 2, [1, 2, 2], 167),
    ],
)
@pytest.mark.parametrize("limit", [1, 100])
def test_acceptance_6_scores_are_aggregated(
    tenant_a: Tenant, aggregation: str, decimals: int, points: list[int], score: int, limit: int
) -> None:
    window = window_of(tenant_a, scoring={"aggregation": aggregation, "decimals": decimals})
    send(scored_event("ana", each, at=START + n * SECOND) for n, each in enumerate(points))

    score_all(limit=limit)

    assert ranks(window) == [(1, "ana", score)]


def test_acceptance_6_last_means_the_latest_occurrence_not_the_latest_arrival(
    tenant_a: Tenant,
) -> None:
    window = window_of(tenant_a, scoring={"aggregation": "last"})
    send([scored_event("ana", 7, at=START + SECOND)])
    score_all()

    send([scored_event("ana", 3, at=START)])
    score_all()

    (standing,) = shown(window)
    assert (standing.score, standing.reached_at) == (7, START + SECOND)


def test_acceptance_7_the_three_dialects_give_identical_standings(tenant_a: Tenant) -> None:
    dialects = [
        {"attrs.victory": {"eq": True}, "attrs.points": {"gte": 3, "lt": 9}},
        {
            "and": [
                {"condition": {"field": "attrs.victory", "operator": "eq", "value": True}},
                {"condition": {"field": "attrs.points", "operator": "gte", "value": 3}},
                {"condition": {"field": "attrs.points", "operator": "lt", "value": 9}},
            ]
        },
        {
            "op": "and",
            "conditions": [
                {"op": "eq", "field": "attrs.victory", "value": True},
                {"op": "gte", "field": "attrs.points", "value": 3},
                {"op": "lt", "field": "attrs.points", "value": 9},
            ],
        },
    ]
    rule = {"event_type": "game.completed", "points_expression": "attrs.points"}
    windows = [
        window_of(tenant_a, scoring={"rules": [rule | {"conditions": conditions}]})
        for conditions in dialects
    ]
    send(
        scored_event(f"p{n % 4}", n, at=START + n * SECOND, attrs={"victory": n % 3 > 0})
        for n in range(10)
    )

    score_all()

    first = ranks(windows[0])
    assert first == [(1, "p0", 12), (2, "p3", 7), (3, "p1", 5)]
    assert [ranks(window) for window in windows] == [first] * 3


def test_acceptance_10_a_player_without_entry_has_no_standing(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    send([scored_event("ana", 1)])
    score_all()

    assert standings.standing_of(window, view_of(window), "ben") is None
    assert standings.standing_of(window, view_of(window), "ana") is not None


def test_01_acceptance_23_an_event_that_fails_goes_to_quarantine_and_the_others_go_on(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = window_of(tenant_a)

    def fail_on_13(board: Any, event: Any) -> Any:
        if event["attrs"]["points"] == 13:
            raise ZeroDivisionError("a mistake of ours")
        return scoring_rules.score_event(board, event)

    monkeypatch.setattr(planning, "score_event", fail_on_13)
    send([scored_event("ana", 13, event_id="bad"), *(scored_event("ana", 1) for _ in range(10))])

    assert score_all() == 11

    assert ranks(window) == [(1, "ana", 10)]
    entry = QuarantineEntry.objects.select_related("event").get()
    assert (entry.event.event_id, entry.code, entry.state) == ("bad", "failed", "open")
    assert "ZeroDivisionError" in entry.message


def test_what_the_database_refuses_is_found_and_the_others_go_on(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = window_of(tenant_a)
    write_rows = entries._write_rows

    def overflow(group: Any, rows: Any, shard: int) -> Any:
        broken = [
            (*row[:3], row[3]._replace(event_count=2**40)) if row[1] == "bad" else row
            for row in rows
        ]
        return write_rows(group, broken, shard)

    monkeypatch.setattr(entries, "IntegerArray", BigintArray)
    monkeypatch.setattr(entries, "_write_rows", overflow)
    shard = shard_of("tenant-a", "bad")
    others = [name for name in map(str, range(100)) if shard_of("tenant-a", name) == shard][:5]
    send(scored_event(name, 1) for name in [*others[:2], "bad", *others[2:]])

    assert score_all() == 6

    assert sorted(standing.external_id for standing in shown(window)) == sorted(others)
    assert QuarantineEntry.objects.get().code == "failed"


def test_a_passing_failure_is_raised_and_nothing_is_done(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = window_of(tenant_a)
    send([scored_event("ana", 1)])

    def deadlock(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError("deadlock detected")

    with monkeypatch.context() as patched:
        patched.setattr(entries, "_write_rows", deadlock)
        with pytest.raises(OperationalError):
            score_all()
    assert not Entry.objects.exists()
    assert not QuarantineEntry.objects.exists()

    score_all()

    assert ranks(window) == [(1, "ana", 1)]


def test_a_score_out_of_range_goes_to_quarantine_and_the_entry_keeps_its_score(
    tenant_a: Tenant,
) -> None:
    full, other = window_of(tenant_a), window_of(tenant_a, scoring={"aggregation": "max"})
    send([scored_event("ana", MAX_SCALED_SCORE), scored_event("ana", 1, event_id="over")])

    score_all()

    assert ranks(full) == ranks(other) == [(1, "ana", MAX_SCALED_SCORE)]
    assert QuarantineEntry.objects.get().code == "out_of_range"
    assert RefusedEvent.objects.get().window == full
    assert Entry.objects.get(window=other).event_count == 2


def test_near_the_limit_events_are_added_one_by_one(tenant_a: Tenant) -> None:
    """Up over the limit and down again in one batch: the first of the two must not count."""
    window = window_of(tenant_a)
    send([scored_event("ana", MAX_SCALED_SCORE - 5)])
    score_all()
    send([scored_event("ana", 10, event_id="over"), scored_event("ana", -10)])

    score_all()

    assert ranks(window) == [(1, "ana", MAX_SCALED_SCORE - 15)]
    assert QuarantineEntry.objects.get().event.event_id == "over"


def test_a_replayed_event_counts_where_it_was_refused_and_only_once(tenant_a: Tenant) -> None:
    full, other = window_of(tenant_a), window_of(tenant_a, scoring={"aggregation": "count"})
    send([scored_event("ana", MAX_SCALED_SCORE), scored_event("ana", 2, event_id="over")])
    score_all()
    (event,) = stored_events("over")
    with pytest.raises(EventRefusedError):
        scoring.replay_event(event, now=timezone.now())
    send([scored_event("ana", -5)])
    score_all()

    scoring.replay_event(event, now=timezone.now())
    scoring.replay_event(event, now=timezone.now())

    assert ranks(full) == [(1, "ana", MAX_SCALED_SCORE - 3)]
    assert ranks(other) == [(1, "ana", 3)]
    assert RefusedEvent.objects.get().counted_at is not None


def stored_events(*event_ids: str) -> list[Any]:
    from ingestion.selectors import events_by_row_id_across_tenants

    rows = QuarantineEntry.objects.filter(event__event_id__in=event_ids).values_list("event_id")
    return list(events_by_row_id_across_tenants([row for (row,) in rows]).values())


def test_an_event_counts_by_what_the_board_was_when_it_came_in(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    now = timezone.now()
    StatusChange.objects.create(board=window.board, status="inactive", at=now - 3 * SECOND)
    StatusChange.objects.create(board=window.board, status="active", at=now - SECOND)
    for number, seconds in enumerate((4, 2, 0.5)):
        received_at = now - timedelta(seconds=seconds)
        append(f"e{number}", received_at=received_at, attrs={"points": 10**number}, user_id="ana")

    score_all()

    assert ranks(window) == [(1, "ana", 101)]


def test_a_late_event_is_listed_and_not_scored(tenant_a: Tenant) -> None:
    board = make_board(tenant_a)
    window = make_window(board, START, timedelta(minutes=10))
    due_at = START + timedelta(minutes=15)
    attrs = {"points": 5}
    occurred_at = START + SECOND
    append("in-time", received_at=due_at - SECOND, occurred_at=occurred_at, attrs=attrs)
    append("late", received_at=due_at, occurred_at=occurred_at, attrs=attrs)
    append("other-type", type="x.y", received_at=due_at, occurred_at=occurred_at, attrs=attrs)

    score_all()

    assert ranks(window) == [(1, "ana", 5)]
    late = LateEvent.objects.get()
    assert (late.event_id, late.user_id, late.window) == ("late", "ana", window)


def test_an_event_of_a_closed_window_is_late(tenant_a: Tenant) -> None:
    board = make_board(tenant_a)
    window = make_window(board, START, timedelta(minutes=10))
    Window.objects.filter(pk=window.pk).update(
        state="closed", closed_at=START + timedelta(minutes=16), revision=1
    )
    append("late", occurred_at=START, attrs={"points": 5})

    score_all()

    assert not Entry.objects.exists()
    assert LateEvent.objects.get().event_id == "late"


def test_nothing_is_scored_on_an_archived_board(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    Leaderboard.objects.update(status="archived")
    Window.objects.update(state="void")
    send([scored_event("ana", 1)])

    assert score_all() == 1

    assert not Entry.objects.filter(window=window).exists()
    assert not LateEvent.objects.exists()


def test_a_board_sees_only_events_of_its_tenant_and_types(
    tenant_a: Tenant, tenant_b: Tenant
) -> None:
    window = window_of(tenant_a)
    send(
        [
            scored_event("ana", 1),
            scored_event("ana", 2, tenant_id="tenant-b"),
            scored_event("ana", 4, type="game.started"),
        ]
    )

    score_all()

    assert ranks(window) == [(1, "ana", 1)]


def test_limits_apply_in_the_order_of_the_log(tenant_a: Tenant) -> None:
    limits = {"max_points_per_event": 10, "max_points_per_window": 25, "max_events_per_window": 4}
    window = window_of(tenant_a, scoring={"limits": limits})
    send(scored_event("ana", points) for points in (50, 3, 10, 9, 100))

    score_all(limit=2)

    assert ranks(window) == [(1, "ana", 25)]
    assert Entry.objects.get().event_count == 4


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what every cursor executes: some statements go past Django's."""
    executed: list[str] = []
    execute = psycopg.Cursor.execute

    def watch(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        executed.append(str(query))
        return execute(self, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", watch)
    return executed


@pytest.mark.parametrize("aggregation", ["sum", "avg"])
def test_a_batch_takes_the_same_queries_for_one_event_and_for_a_hundred(
    tenant_a: Tenant, statements: list[str], aggregation: str
) -> None:
    windows = [window_of(tenant_a, scoring={"aggregation": aggregation}) for _ in range(3)]
    shard = shard_of("tenant-a", "ana")
    players = [name for name in map(str, range(2000)) if shard_of("tenant-a", name) == shard]
    send([scored_event("ana", 1)])
    scoring.score_events(shard, now=timezone.now())
    counts = []
    for number in (1, 100):
        send(scored_event(player, 1) for player in players[:number])
        statements.clear()
        scoring.score_events(shard, now=timezone.now())
        counts.append(len(statements))

    # Two of them are the savepoint in which the cursor is moved.
    assert counts[0] == counts[1] <= 13
    assert [len(shown(window)) for window in windows] == [101] * 3
