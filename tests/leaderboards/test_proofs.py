from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from ingestion.selectors import get_event
from leaderboards.exceptions import EventsPurgedError, WindowNotScoredError
from leaderboards.models import Entry, FrozenStanding, StatusChange, Window
from leaderboards.rules import scoring as scoring_rules
from leaderboards.selectors import rank_index, replays
from leaderboards.selectors.explanations import event_effects, explain_entry
from leaderboards.services import closing, index, proofs, rebuilds, scoring
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.ids import uuid7
from phoenix_site.common.redis import get_redis
from tenants.models import AuditEntry, Tenant
from tenants.services import audit
from tests.ingestion.factories import append
from tests.leaderboards.boards import make_board, make_window
from tests.leaderboards.scorers import SECOND, ranks, score_all, scored_event, send

pytestmark = pytest.mark.django_db(transaction=True)

START = timezone.now().replace(microsecond=0) - timedelta(hours=1)


def window_of(tenant: Tenant, **parts: Any) -> Window:
    return make_window(make_board(tenant, **parts), START)


def verify(window: Window) -> proofs.Proof:
    return proofs.verify_window(window.pk, now=timezone.now())


def play(count: int = 60) -> None:
    send(
        scored_event(f"p{n % 7}", (n * 37) % 50 - 10, at=START + (n * 53) % 997 * SECOND)
        for n in range(count)
    )


@pytest.mark.parametrize("aggregation", ["sum", "max", "min", "last", "count", "avg"])
def test_scored_standings_are_as_the_log_says(tenant_a: Tenant, aggregation: str) -> None:
    window = window_of(tenant_a, scoring={"aggregation": aggregation, "decimals": 2})
    play()
    score_all(limit=7)

    proof = verify(window)

    assert proof.differences == []
    assert (proof.event_counts, proof.entry_count, proof.has_index) == ({"scored": 60}, 7, True)


def test_acceptance_19_a_flush_during_traffic_changes_no_rank(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    for number in range(6):
        send(scored_event(f"p{n}", n + number) for n in range(5))
        score_all(limit=3)
        if number % 2:
            before = ranks(window)
            get_redis().flushdb()
            assert ranks(window) == before

    output = StringIO()
    call_command("verify_standings", stdout=output)
    assert "1 windows are as the log says" in output.getvalue()
    index.sweep_indexes()
    assert verify(window).has_index


def test_an_index_that_waits_for_the_sweep_is_no_difference(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "_PAUSE_SECONDS", 0)
    window = window_of(tenant_a)
    play()
    score_all()
    with monkeypatch.context() as away:
        away.setattr(index, "apply_changes", lambda changes: False)
        send(scored_event(f"p{n}", 7) for n in range(3))
        score_all()

    proof = verify(window)

    assert (proof.differences, proof.has_index) == ([], False)
    # What the index does claim to have must be right all the same.
    get_redis().zadd(rank_index.index_keys(window.pk)[1], {_member(window, "p4"): -5000})
    assert [each.subject for each in verify(window).differences] == ["p4"]
    index.sweep_indexes()
    get_redis().zadd(rank_index.index_keys(window.pk)[1], {_member(window, "p1"): -5000})
    assert {each.subject for each in verify(window).differences} == {"p1", "p4"}


def _member(window: Window, user_id: str) -> bytes:
    stamp: Any = get_redis().hget(rank_index.index_keys(window.pk)[2], user_id)
    return bytes(stamp + user_id.encode())


def test_whatever_differs_is_found(tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "_PAUSE_SECONDS", 0)
    window = window_of(tenant_a)
    play()
    score_all()
    keys = rank_index.index_keys(window.pk)
    stamp: Any = get_redis().hget(keys[2], "p1")
    member = stamp + b"p1"
    get_redis().zadd(keys[1], {member: -5000})
    Entry.objects.filter(window=window, user_id="p2").update(score=77)
    Entry.objects.filter(window=window, user_id="p3").delete()

    differences = {(each.part, each.subject) for each in verify(window).differences}

    assert differences == {
        *(("entry", "p2"), ("entry", "p3")),
        *(("index", "p1"), ("index", "p2"), ("index", "p3")),
    }
    with pytest.raises(CommandError, match="5 differences") as refused:
        call_command("verify_standings", tenant="tenant-a", stdout=StringIO())
    assert refused.value.returncode == 1


def test_refused_late_and_replayed_events_are_proven_too(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    send([scored_event("ana", 10**15 - 1), scored_event("ana", 5, event_id="over")])
    append("late", occurred_at=START, received_at=window.due_at, attrs={"points": 5})
    score_all()
    assert verify(window).differences == []
    send([scored_event("ana", -50)])
    score_all()

    scoring.replay_event(get_event("tenant-a", "over"), now=timezone.now())

    proof = verify(window)
    assert proof.differences == []
    assert proof.event_counts == {"scored": 3, "late": 1}
    assert ranks(window) == [(1, "ana", 10**15 - 46)]


def test_closed_standings_are_proven_with_their_hash(tenant_a: Tenant) -> None:
    board = make_board(tenant_a, ranking={"tie_policy": "shared", "min_score": 0})
    now = timezone.now()
    window = make_window(board, now - timedelta(minutes=20), timedelta(minutes=10))
    for number, points in enumerate((5, 3, 5, -2)):
        occurred_at = window.starts_at + SECOND
        append(
            f"e{number}",
            user_id=f"p{number}",
            occurred_at=occurred_at,
            received_at=occurred_at,
            attrs={"points": points},
        )
    score_all()
    assert closing.close_window(window.pk, now=now)

    proof = verify(window)
    assert proof.differences == []
    assert proof.window.total_players == 3

    Window.objects.filter(pk=window.pk).update(hash="0" * 64)
    assert {each.part for each in verify(window).differences} == {"hash"}


def test_a_rebuild_gives_what_scoring_gave(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    play()
    score_all()
    before, generation = ranks(window), window.generation

    rebuild = rebuilds.rebuild_window(window)

    assert ranks(window) == before
    assert (rebuild.changes, rebuild.event_counts) == ([], {"scored": 60})
    assert window.generation == generation + 1
    send([scored_event("p1", 1000)])
    score_all()
    assert ranks(window)[0][1] == "p1"
    assert verify(window).differences == []


def test_a_rebuild_reads_no_further_than_the_consumer(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    send([scored_event("ana", 1)])
    score_all()
    send([scored_event("ana", 2)])

    rebuilds.rebuild_window(window)
    assert ranks(window) == [(1, "ana", 1)]
    score_all()

    assert ranks(window) == [(1, "ana", 3)]


def test_a_closed_window_is_not_computed_anew(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    Window.objects.update(state="closed", closed_at=START, revision=1)

    with pytest.raises(WindowNotScoredError):
        rebuilds.rebuild_window(window)


def test_a_rebuild_by_staff_counts_what_came_before_the_board_was_active(
    tenant_a: Tenant,
) -> None:
    window = window_of(tenant_a)
    StatusChange.objects.create(
        board=window.board, status="inactive", at=timezone.now() - timedelta(minutes=5)
    )
    send([scored_event("ana", 4)])
    score_all()
    StatusChange.objects.create(board=window.board, status="active", at=timezone.now())
    Window.objects.update(plan=1)
    options = {"tenant": "tenant-a", "board": window.board.leaderboard_id, "window": window.key}

    output = StringIO()
    call_command("rebuild_standings", stdout=output, **options)
    assert "ana: no entry → 4" in output.getvalue()
    assert ranks(window) == []
    with pytest.raises(CommandError, match="reason"):
        call_command("rebuild_standings", apply=True, stdout=output, **options)
    call_command("rebuild_standings", apply=True, reason="Forgotten.", stdout=output, **options)

    assert ranks(window) == [(1, "ana", 4)]
    assert AuditEntry.objects.get().reason == "Forgotten."
    assert verify(window).differences == []


def test_what_is_scored_during_a_preview_is_no_change(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = window_of(tenant_a)
    play()
    score_all()
    read_scores = rebuilds._scores

    def score_meanwhile(of: Window) -> dict[str, int]:
        with ThreadPoolExecutor(1) as other:
            other.submit(_score_more).result()
        return read_scores(of)

    def _score_more() -> None:
        send([scored_event("p1", 1000)])
        score_all()
        connection.close()

    monkeypatch.setattr(rebuilds, "_scores", score_meanwhile)

    preview = rebuilds.preview_rebuild(window.pk, now=timezone.now())

    assert preview.changes == []
    assert verify(window).differences == []


def test_a_rebuild_that_needs_deleted_events_is_refused(tenant_a: Tenant) -> None:
    Tenant.objects.update(created_at=timezone.now() - timedelta(days=900))
    window = make_window(make_board(tenant_a), timezone.now() - timedelta(days=500))

    with pytest.raises(EventsPurgedError):
        rebuilds.preview_rebuild(window.pk, now=timezone.now())


def test_the_index_command_fills_the_index_again(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    send([scored_event("ana", 1)])
    score_all()
    epoch = get_redis().hget(rank_index.index_keys(window.pk)[0], "epoch")

    output = StringIO()
    call_command("rebuild_index", tenant="tenant-a", stdout=output)

    assert "rebuilt" in output.getvalue()
    assert get_redis().hget(rank_index.index_keys(window.pk)[0], "epoch") not in (None, epoch)


def test_an_entry_is_explained_by_its_events(tenant_a: Tenant) -> None:
    rule = {
        "event_type": "game.completed",
        "points_expression": "attrs.points * 2",
        "conditions": {"attrs.points": {"gte": 0}},
    }
    window = window_of(
        tenant_a,
        scoring={"rules": [rule], "decimals": 1, "limits": {"max_points_per_window": 9}},
    )
    send(scored_event("ana", points, event_id=f"e{points}") for points in (1.5, -1, 2, 4))
    score_all()

    explained = explain_entry(window, "ana")

    assert [(each.event_id, each.reason) for each in explained] == [
        *(("e1.5", None), ("e-1", "condition"), ("e2", None), ("e4", None)),
    ]
    points = [each.points for each in explained if each.points is not None]
    assert list(map(float, points)) == [3.0, 4.0, 2.0]
    assert explained[-1].score == sum(points)
    assert explained[0].rules[0].values == {"attrs.points": Decimal("1.5")}


def test_an_event_is_explained_on_every_board(tenant_a: Tenant, tenant_b: Tenant) -> None:
    boards = {
        "counts": make_board(tenant_a, leaderboard_id="counts"),
        "other-type": make_board(
            tenant_a,
            leaderboard_id="other-type",
            scoring={"rules": [{"event_type": "x.y", "points_expression": "1"}]},
        ),
        "out-of-scope": make_board(
            tenant_a, leaderboard_id="out-of-scope", scope={"filters": {"type": {"eq": "no"}}}
        ),
        "limited": make_board(
            tenant_a, leaderboard_id="limited", scoring={"limits": {"max_events_per_window": 1}}
        ),
        "no-window": make_board(tenant_a, leaderboard_id="no-window"),
        "foreign": make_board(tenant_b, leaderboard_id="foreign"),
    }
    for name, board in boards.items():
        if name != "no-window":
            make_window(board, START)
    send([scored_event("ana", 3), scored_event("ana", 4, event_id="second")])
    event = get_event("tenant-a", "second")
    waiting = event_effects("tenant-a", event)
    score_all()

    effects = {each["leaderboard_id"]: each for each in event_effects("tenant-a", event)}

    assert {each["outcome"] for each in waiting} == {"waiting"}
    assert effects["counts"] == {
        "leaderboard_id": "counts",
        "window_key": f"{START:%Y-%m-%d}",
        "outcome": "scored",
        "points": 4,
        "rules": [0],
    }
    reasons = {name: effect.get("reason") for name, effect in effects.items()}
    assert reasons == {
        "counts": None,
        "other-type": "no_rule",
        "out-of-scope": "scope",
        "limited": "limit",
        "no-window": "no_window",
    }


def test_frozen_rows_that_are_not_what_the_log_says_are_found(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    append("e1", user_id="ana", occurred_at=START, received_at=START, attrs={"points": 5})
    append("e2", user_id="ben", occurred_at=START, received_at=START, attrs={"points": 3})
    score_all()
    Window.objects.filter(pk=window.pk).update(
        state="closed", closed_at=timezone.now(), revision=1, hash="f" * 64
    )
    for place, (player, score) in enumerate([("ana", 6), ("cleo", 1)], start=1):
        FrozenStanding.objects.create(
            window=window,
            revision=1,
            place=place,
            rank=place,
            user_id=player,
            score=score,
            reached_at=START,
        )

    differences = {(each.part, each.subject): each for each in verify(window).differences}

    assert differences.keys() == {
        *(("standing", "ana"), ("standing", "ben"), ("standing", "cleo")),
        *(("hash", "of the frozen rows"), ("hash", "of the log")),
    }
    assert differences["standing", "ben"].found == "none"


def test_void_windows_and_those_with_deleted_events_are_skipped(tenant_a: Tenant) -> None:
    void = window_of(tenant_a)
    old = make_window(make_board(tenant_a), timezone.now() - timedelta(days=500))
    Window.objects.filter(pk=void.pk).update(state="void")
    Window.objects.filter(pk=old.pk).update(state="closed", closed_at=START, revision=1)

    output = StringIO()
    call_command("verify_standings", stdout=output)

    assert verify(void).skipped == "void"
    assert "retention" in verify(old).skipped
    assert "not verified, void" in output.getvalue()


def test_an_event_that_cannot_be_scored_is_left_out_of_a_rebuild(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = window_of(tenant_a)
    send([scored_event("ana", 13), scored_event("ana", 1)])
    score_all()

    def fail_on_13(board: Any, event: Any, **facts: Any) -> Any:
        if event["attrs"]["points"] == 13:
            raise ZeroDivisionError
        return scoring_rules.score_arrival(board, event, **facts)

    monkeypatch.setattr(replays, "score_arrival", fail_on_13)
    rebuild = rebuilds.rebuild_window(window)

    assert rebuild.event_counts == {"scored": 1, "failed": 1}
    assert [(each.before, each.after) for each in rebuild.changes] == [(14, 1)]
    assert ranks(window) == [(1, "ana", 1)]
    assert verify(window).differences == []


def test_what_is_not_there_is_not_rebuilt(tenant_a: Tenant) -> None:
    with pytest.raises(CommandError, match="no such window"):
        call_command("rebuild_standings", tenant="tenant-a", board="b", window="2026-W01")
    with pytest.raises(NotFoundError):
        rebuilds.preview_rebuild(uuid7(), now=timezone.now())
    with pytest.raises(NotFoundError):
        rebuilds.rebuild_with_history(
            uuid7(), actor=audit.SYSTEM, reason="Why not.", now=timezone.now()
        )


def test_refused_inactive_and_ownerless_events_are_explained(tenant_a: Tenant) -> None:
    window = window_of(tenant_a)
    send([scored_event("ana", 10**15 - 1), scored_event("ana", 5, event_id="over")])
    append("ownerless", user_id=None)
    append("early", received_at=datetime(1999, 1, 1, tzinfo=UTC), occurred_at=START - 99 * SECOND)
    score_all()

    (refused,) = event_effects("tenant-a", get_event("tenant-a", "over"))
    (early,) = event_effects("tenant-a", get_event("tenant-a", "early"))

    assert (refused["outcome"], refused["reason"]) == ("not_scored", "out_of_range")
    assert refused["window_key"] == window.key
    assert (early["outcome"], early["reason"]) == ("not_scored", "inactive")
    assert event_effects("tenant-a", get_event("tenant-a", "ownerless")) == []
