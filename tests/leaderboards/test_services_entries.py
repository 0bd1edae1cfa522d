from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderboards.models import Entry, Window, WindowShard
from leaderboards.rules.configuration import parse_config
from leaderboards.rules.scoring import CompiledBoard, apply, compile_board
from leaderboards.services import entries
from leaderboards.services.entries import WindowStates
from leaderboards.types import EntryState, IndexEntry, LogPosition
from tenants.models import Tenant
from tests.leaderboards.boards import NOON, board_config, indexed_window, make_board, make_window

pytestmark = pytest.mark.django_db

TICK = timedelta(microseconds=1)
EVENTS = st.lists(
    st.tuples(st.integers(-2, 2), st.integers(0, 3).map(lambda ticks: NOON + ticks * TICK)),
    min_size=1,
    max_size=6,
)


def fold(
    compiled: CompiledBoard, state: EntryState | None, events: list[Any], *, first: int
) -> EntryState:
    for number, (points, occurred_at) in enumerate(events, start=first):
        position = LogPosition(7, number)
        new = apply(compiled, state, points, occurred_at=occurred_at, position=position)
        assert isinstance(new, EntryState)
        state = new
    assert state is not None
    return state


def stored(window: Window) -> EntryState:
    found = entries.read_states({UUID(str(window.pk)): ["ana", "nobody"]})
    return found[window.pk]["ana"]


@pytest.mark.parametrize("aggregation", ["sum", "count", "max", "min", "last"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=st.lists(EVENTS, min_size=2, max_size=3))
def test_merging_batches_is_adding_their_events_one_by_one(
    tenant_a: Tenant, aggregation: Any, batches: list[list[Any]]
) -> None:
    compiled = compile_board(parse_config(board_config(scoring={"aggregation": aggregation})))
    window = make_window(make_board(tenant_a, scoring={"aggregation": aggregation}))
    state: EntryState | None = None
    number = 0
    for batch in batches:
        new = fold(compiled, None, batch, first=number)
        chosen = WindowStates(indexed_window(window), window.tenant_id, {"ana": new}, aggregation)
        (changes,) = entries.write_states([chosen], shard=3)
        state = fold(compiled, state, batch, first=number)
        number += len(batch)

        assert stored(window) == state
        assert changes.entries == [IndexEntry("ana", state.reached_at, state.score)]
    row = Entry.objects.get(window=window)
    version = WindowShard.objects.get(window=window, shard=3).version
    assert (row.change, row.shard, row.tenant_id, version) == (
        *(len(batches), 3, "tenant-a", len(batches)),
    )


def test_sums_beyond_a_bigint_are_kept_exactly(tenant_a: Tenant) -> None:
    window = make_window(make_board(tenant_a))
    state = EntryState(1, NOON, 10**25 + 1, 10**9, True, NOON, LogPosition(1, 2))
    chosen = WindowStates(indexed_window(window), window.tenant_id, {"ana": state})

    entries.write_states([chosen], shard=0)

    assert stored(window) == state


def test_windows_of_all_kinds_are_written_together(tenant_a: Tenant) -> None:
    state = EntryState(5, NOON, 5, 1, True, NOON, LogPosition(1, 2))
    ways: list[Any] = [None, "sum", None, "max", "sum"]
    chosen = [
        WindowStates(
            indexed_window(make_window(make_board(tenant_a))),
            tenant_a.pk,
            {f"p{number}": state for number in range(size)},
            way,
        )
        for size, way in enumerate(ways, start=1)
    ]

    changes = entries.write_states(chosen, shard=0)

    sizes = {change.window.id: len(change.entries) for change in changes}
    assert sizes == {each.window.id: size for size, each in enumerate(chosen, start=1)}
    assert entries.write_states([], shard=0) == []
