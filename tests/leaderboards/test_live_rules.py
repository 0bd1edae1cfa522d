from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from leaderboards.rules import live, ranking
from leaderboards.rules.live import (
    DEFAULT_VIEW,
    OwnRank,
    ResumePoint,
    Row,
    StreamFrame,
    Update,
    ViewFilter,
    ViewSpec,
    ViewState,
    WindowFacts,
)
from leaderboards.types import RankedEntry, TiePolicy
from phoenix_site.common.json import decode, encode

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
FACTS = WindowFacts("xp", "2026-W47", "open", datetime(2026, 11, 23, tzinfo=UTC))

SCORES = st.dictionaries(
    st.sampled_from([*"abcdefghij", "é", "Z"]), st.tuples(st.integers(-2, 5), st.integers(0, 3))
)


def state_of(
    scores: dict[str, tuple[int, int]], *, sequence: int, policy: TiePolicy, size: int = 5
) -> ViewState:
    """Return the first ``size`` entries of a list, ranked by the pure rules."""
    entries = [
        RankedEntry(user_id, score, NOON + timedelta(microseconds=tick))
        for user_id, (score, tick) in scores.items()
    ]
    listed = ranking.rank(entries, "score_desc", policy)
    return ViewState(
        epoch="k3f9",
        sequence=sequence,
        rows=tuple(Row(s.rank, s.external_id, s.score, s.reached_at) for s in listed[:size]),
        total_entries=len(listed),
        total_players=len(listed),
    )


@given(before=SCORES, after=SCORES, policy=st.sampled_from(get_args(TiePolicy)))
def test_applying_an_update_gives_exactly_the_new_view(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], policy: TiePolicy
) -> None:
    old = state_of(before, sequence=41, policy=policy)
    new = state_of(after, sequence=44, policy=policy)

    update = live.find_update(old, new)

    if update is None:
        changed = set(old.rows) ^ set(new.rows)
        assert 2 * len({row.user_id for row in changed}) > max(len(old.rows), len(new.rows))
    else:
        assert live.apply_update(old, update) == new


@given(before=SCORES, changed=SCORES, policy=st.sampled_from(get_args(TiePolicy)))
def test_a_message_carries_its_update_unchanged(
    before: dict[str, tuple[int, int]], changed: dict[str, tuple[int, int]], policy: TiePolicy
) -> None:
    old = state_of(before, sequence=1, policy=policy, size=12)
    new = state_of(before | changed, sequence=2, policy=policy, size=12)
    update = live.find_update(old, new)
    if update is None:
        return

    text = encode(live.update_fields(FACTS, DEFAULT_VIEW, update, now=NOON))
    read = live.read_update(decode(text), total_players=new.total_players)

    assert read == update
    assert live.apply_update(old, read) == new


@given(scores=SCORES)
def test_a_kept_state_is_read_back(scores: dict[str, tuple[int, int]]) -> None:
    state = state_of(scores, sequence=7, policy="dense")

    assert live.read_state(decode(encode(live.state_fields(state)))) == state


def test_update_names_what_changed_and_who_left() -> None:
    rows = [Row(n, f"p{n}", 100 - n, NOON) for n in range(1, 9)]
    old = ViewState("k3f9", 41, tuple(rows), 8, 8)
    moved = [rows[1]._replace(rank=1, score=200), rows[0]._replace(rank=2), *rows[2:7]]
    new = ViewState("k3f9", 44, (*moved, Row(8, "new", 92, NOON)), 9, 9)

    update = live.find_update(old, new)

    assert update is not None
    assert [(c.row.user_id, c.row.rank, c.previous_rank) for c in update.changes] == [
        ("p2", 1, 2),
        ("p1", 2, 1),
        ("new", 8, None),
    ]
    assert update.left == ("p8",)
    message = live.update_fields(FACTS, DEFAULT_VIEW, update, now=NOON)
    assert message == {
        "type": "update",
        "leaderboard_id": "xp",
        "window_key": "2026-W47",
        "epoch": "k3f9",
        "previous_sequence": 41,
        "sequence": 44,
        "changes": [
            {**live.row_fields(new.rows[0]), "previous_rank": 2},
            {**live.row_fields(new.rows[1]), "previous_rank": 1},
            {**live.row_fields(new.rows[7]), "previous_rank": None},
        ],
        "left": ["p8"],
        "total_entries": 9,
        "total_pages": 1,
        "timestamp": "2026-11-18T12:00:00Z",
    }


def test_more_than_half_changed_asks_for_a_snapshot() -> None:
    rows = tuple(Row(n, f"p{n}", 100 - n, NOON) for n in range(1, 5))
    old = ViewState("k3f9", 1, rows, 4, 4)
    half = replace(old, sequence=2, rows=(*(r._replace(score=5) for r in rows[:2]), *rows[2:]))
    more = replace(old, sequence=2, rows=(*(r._replace(score=5) for r in rows[:3]), *rows[3:]))

    assert live.find_update(old, half) is not None
    assert live.find_update(old, more) is None
    assert live.find_update(old, replace(half, epoch="other")) is None


def test_news_are_content_and_epochs_but_nothing_older() -> None:
    old = ViewState("k3f9", 5, (Row(1, "a", 3, NOON),), 1, 1)

    assert not live.is_news(old, replace(old, sequence=9, total_players=2))
    assert live.is_news(old, replace(old, sequence=9, total_entries=2))
    assert live.is_news(old, replace(old, sequence=5, rows=()))
    assert not live.is_news(old, replace(old, sequence=4, rows=()))
    assert live.is_news(old, replace(old, sequence=4, epoch="new"))


def frame(previous: int | None, sequence: int, *, epoch: str = "k3f9") -> StreamFrame:
    return StreamFrame(epoch, previous, sequence, 1, b"%d" % sequence)


def test_missed_frames_are_an_unbroken_chain() -> None:
    log = [frame(None, 40), frame(40, 41), frame(41, 44), frame(44, 50)]

    assert live.missed_frames(log, ResumePoint("k3f9", 41), until=50) == log[2:]
    assert live.missed_frames(log, ResumePoint("k3f9", 41), until=44) == log[2:3]
    assert live.missed_frames(log, ResumePoint("k3f9", 50), until=50) == []
    assert live.missed_frames([], ResumePoint("k3f9", 50), until=50) == []


def test_missed_frames_are_unknown_where_the_chain_is_broken() -> None:
    log = [frame(None, 40), frame(40, 41), frame(None, 44), frame(44, 50)]

    assert live.missed_frames(log, ResumePoint("k3f9", 41), until=50) is None
    assert live.missed_frames(log, ResumePoint("k3f9", 42), until=50) is None
    assert live.missed_frames(log, ResumePoint("other", 44), until=50) is None
    assert live.missed_frames(log[3:], ResumePoint("k3f9", 41), until=50) is None


def test_missed_frames_are_unknown_where_a_sequence_looked_two_ways() -> None:
    """The board's bounds changed at 44: whether the client saw it before or after is not known."""
    log = [frame(41, 44), frame(None, 44)]

    assert live.missed_frames(log, ResumePoint("k3f9", 44), until=44) is None


def test_snapshot_says_what_the_view_is() -> None:
    spec = ViewSpec(ViewFilter("top_n", n=150), page=2, page_size=100)
    row = Row(101, "u", Decimal("9.50"), NOON + timedelta(microseconds=500_000))
    state = ViewState("k3f9", 41, (row,), 101, 1234)

    assert live.view_fields("snapshot", FACTS, spec, state) == {
        "type": "snapshot",
        "leaderboard_id": "xp",
        "window_key": "2026-W47",
        "window_status": "open",
        "window_end": "2026-11-23T00:00:00Z",
        "epoch": "k3f9",
        "sequence": 41,
        "page": 2,
        "page_size": 100,
        "filter": {"type": "top_n", "n": 150},
        "total_entries": 101,
        "total_pages": 2,
        "entries": [
            {
                "rank": 101,
                "user_id": "u",
                "score": Decimal("9.50"),
                "reached_at": "2026-11-18T12:00:00.500Z",
                "display_name": None,
                "metadata": {},
            }
        ],
    }


def test_pages_of_a_view() -> None:
    around = ViewSpec(ViewFilter("around_user", user_id="u", range=100), page_size=1)

    assert live.page_count(0, DEFAULT_VIEW) == 1
    assert live.page_count(100, DEFAULT_VIEW) == 1
    assert live.page_count(101, DEFAULT_VIEW) == 2
    assert live.page_count(201, around) == 1
    assert ViewSpec(page=3, page_size=20).offset == 40


def test_own_rank_of_who_has_none() -> None:
    message = live.my_rank_fields(OwnRank(None, None), OwnRank(3, 5), 10, now=NOON)

    assert message == {
        "type": "my_rank",
        "ranked": False,
        "rank": None,
        "previous_rank": 3,
        "score": None,
        "total_players": 10,
        "timestamp": "2026-11-18T12:00:00Z",
    }
    assert OwnRank(7, 4).as_dict(1234) == {
        "ranked": True,
        "rank": 7,
        "score": 4,
        "total_players": 1234,
    }


def test_update_of_totals_alone() -> None:
    old = ViewState("k3f9", 1, (Row(1, "a", 3, NOON),), 1, 1)

    update = live.find_update(old, replace(old, sequence=2, total_entries=2))

    assert update == Update("k3f9", 1, 2, (), (), 2, 1)
