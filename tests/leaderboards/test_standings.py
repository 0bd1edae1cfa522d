from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderboards.constants import MAX_SCALED_SCORE
from leaderboards.models import FrozenStanding, Window
from leaderboards.rules import ranking
from leaderboards.selectors import standings, standings_source
from leaderboards.services import index
from leaderboards.types import BoardView, Method, RankedEntry, Standing, TiePolicy
from tenants.models import Tenant
from tests.leaderboards.boards import NOON, make_board, make_window, put_entries

POLICIES = get_args(TiePolicy)
METHODS = get_args(Method)
TICK = timedelta(microseconds=1)

SCORES = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([MAX_SCALED_SCORE, MAX_SCALED_SCORE - 1, -MAX_SCALED_SCORE, 123456789012345]),
)
TIMES = st.integers(0, 3).map(lambda ticks: NOON + ticks * TICK)
PLAYERS = st.sampled_from([*"abcdefghijklmnop", "Z", "é", "z" * 128, "a b", "\U0001f600", "ana:1"])
ENTRIES = st.lists(
    st.builds(RankedEntry, PLAYERS, SCORES, TIMES), max_size=20, unique_by=lambda entry: entry[0]
)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    standings_source.forget_versions()
    yield
    standings_source.forget_versions()


def view_of(method: Method, tie_policy: TiePolicy, **parts: Any) -> BoardView:
    return BoardView(method=method, tie_policy=tie_policy, **parts)


def new_window(tenant: Tenant, view: BoardView) -> Window:
    ranking_part = {"method": view.method, "tie_policy": view.tie_policy}
    return make_window(make_board(tenant, ranking=ranking_part))


def expected(entries: list[RankedEntry], view: BoardView) -> list[Standing]:
    ranked = [entry for entry in entries if view.lowest <= entry.score <= view.highest]
    return ranking.rank(ranked, view.method, view.tie_policy)


def check_all(window: Window, view: BoardView, entries: list[RankedEntry]) -> None:
    """Hold every question against the pure rules."""
    everybody = expected(entries, view)
    by_id = {standing.external_id: standing for standing in everybody}
    for limit, offset in ((1000, 0), (3, 2), (1, 5)):
        page = standings.top(window, view, limit=limit, offset=offset)
        listed = everybody[: view.size]
        assert page.standings == listed[offset : offset + limit]
        assert (page.total, page.total_players) == (len(listed), len(everybody))
    for entry in entries:
        check_player(window, view, entry, everybody)
    for score in (-1, 0, 2, MAX_SCALED_SCORE):
        check_score(window, view, score, entries)
    group = standings.standings_of_users(window, view, [e.external_id for e in entries] + ["?"])
    assert group.missing == ["?"]
    assert [s.rank for s in group.standings if s.rank] == [s.rank for s in everybody]
    assert {s.external_id: s.group_rank for s in group.standings if s.rank} == {
        player: standing.rank for player, standing in by_id.items()
    }
    assert standings.standing_of(window, view, "?") is None
    assert standings.neighborhood(window, view, "?", limit=3) is None


def check_player(
    window: Window, view: BoardView, entry: RankedEntry, everybody: list[Standing]
) -> None:
    own = standings.standing_of(window, view, entry.external_id)
    near = standings.neighborhood(window, view, entry.external_id, limit=4)
    assert own is not None
    assert near is not None
    assert near.player == own
    assert (own.score, own.reached_at) == (entry.score, entry.reached_at)
    place = next((i for i, s in enumerate(everybody) if s.external_id == entry.external_id), None)
    if place is None:
        assert (own.rank, own.better, own.below_count, near.page.standings) == (None, None, 0, [])
        return
    rank = everybody[place].rank
    assert own.rank == rank
    assert own.below_count == sum(s.rank > rank for s in everybody)
    assert own.better == next((s for s in reversed(everybody) if s.rank < rank), None)
    slot = ranking.neighborhood_page(place, limit=4, total=len(everybody))
    assert near.page.offset == slot.offset
    assert near.page.standings == everybody[slot.offset : slot.offset + slot.size]


def check_score(window: Window, view: BoardView, score: int, entries: list[RankedEntry]) -> None:
    """A late comer with the score, in the place of one's own entry, must get that very rank."""
    own = entries[0].external_id if entries else "new"
    others = [entry for entry in entries if entry.external_id != own]
    late = RankedEntry(own, score, NOON + timedelta(days=1))
    found = [s.rank for s in expected([*others, late], view) if s.external_id == own]

    answer = standings.rank_for_score(window, view, score, user_id=own)

    assert answer.rank == (found[0] if found else None)
    if found:
        assert answer.tied_count == sum(entry.score == score for entry in others)


@pytest.mark.parametrize("tie_policy", POLICIES)
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    first=ENTRIES,
    second=ENTRIES,
    bounds=st.sampled_from([(-MAX_SCALED_SCORE, MAX_SCALED_SCORE), (0, 2), (-1, 10**14), (3, 1)]),
    size=st.sampled_from([1000, 2]),
)
def test_index_and_sql_agree_with_the_rules(
    tenant_a: Tenant,
    method: Method,
    tie_policy: TiePolicy,
    first: list[RankedEntry],
    second: list[RankedEntry],
    bounds: tuple[int, int],
    size: int,
) -> None:
    view = view_of(method, tie_policy, size=size, lowest=bounds[0], highest=bounds[1])
    window = new_window(tenant_a, view)
    put_entries(window, first)
    index.rebuild_index(window.pk)
    index.apply_changes([put_entries(window, second)])
    entries = list({entry.external_id: entry for entry in [*first, *second]}.values())

    assert standings.totals(window, view).moment.epoch != "db0"
    check_all(window, view, entries)
    index.drop_index(window.pk)
    assert standings.totals(window, view).moment.epoch == "db0"
    check_all(window, view, entries)


@pytest.mark.parametrize("tie_policy", POLICIES)
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(entries=ENTRIES)
def test_frozen_rows_answer_like_the_rules(
    tenant_a: Tenant, method: Method, tie_policy: TiePolicy, entries: list[RankedEntry]
) -> None:
    view = view_of(method, tie_policy, size=5)
    window = new_window(tenant_a, view)
    ranked = ranking.rank(entries, method, tie_policy)
    FrozenStanding.objects.bulk_create(
        FrozenStanding(
            window=window,
            revision=1,
            place=place,
            rank=standing.rank,
            user_id=standing.external_id,
            score=standing.score,
            reached_at=standing.reached_at,
        )
        for place, standing in enumerate(ranked, start=1)
    )
    window.state, window.revision, window.closed_at = Window.State.CLOSED, 1, NOON
    window.total_players, window.entry_count = len(entries), min(5, len(entries))
    window.save()

    check_all(window, view, entries)
    assert standings.totals(window, view).moment.epoch == "r1"
