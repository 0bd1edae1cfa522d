import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from leaderboards.models import Window
from leaderboards.selectors import standings, standings_source
from leaderboards.services import index
from leaderboards.types import BoardView, RankedEntry, StandingsPage
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.redis import get_redis
from tenants.models import Tenant
from tests.leaderboards.boards import NOON, make_board, make_window, put_entries

VIEW = BoardView()
ENTRIES = [RankedEntry(f"p{number}", number, NOON) for number in range(7)]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    standings_source.forget_versions()
    yield
    standings_source.forget_versions()


@pytest.fixture
def window(transactional_db: None, tenant_a: Tenant) -> Window:
    return make_window(make_board(tenant_a))


def put(window: Window, entries: list[RankedEntry]) -> None:
    index.apply_changes([put_entries(window, entries)])


@pytest.mark.parametrize("has_index", [True, False])
async def test_the_async_twins_give_the_same_answers(
    async_database: None, window: Window, has_index: bool
) -> None:
    await sync_to_async(put)(window, ENTRIES)
    if not has_index:
        get_redis().flushdb()
    twins: list[tuple[Any, Any, tuple[Any, ...], dict[str, Any]]] = [
        (standings.top, standings.atop, (), {"limit": 3, "offset": 2}),
        (standings.standing_of, standings.astanding_of, ("p3",), {}),
        (standings.standing_of, standings.astanding_of, ("?",), {}),
        (standings.neighborhood, standings.aneighborhood, ("p3",), {"limit": 3}),
        (standings.rank_for_score, standings.arank_for_score, (4,), {"user_id": "p3"}),
        (standings.standings_of_users, standings.astandings_of_users, (["p1", "?"],), {}),
        (standings.totals, standings.atotals, (), {}),
    ]

    for function, twin, args, options in twins:
        answer = await sync_to_async(function)(window, VIEW, *args, **options)
        assert await twin(window, VIEW, *args, **options) == answer
    totals = await standings.atotals(window, VIEW)
    assert bool(re.fullmatch(r"db\d{1,5}", totals.moment.epoch)) is not has_index


def test_a_batch_that_commits_just_now_is_waited_for(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(window, ENTRIES)
    changes = put_entries(window, [RankedEntry("p0", 99, NOON)])
    sleep, slept = time.sleep, []

    def apply_meanwhile(seconds: float) -> None:
        slept.append(seconds)
        index.apply_changes([changes])
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", apply_meanwhile)
    page = standings.top(window, VIEW, limit=1)

    assert len(slept) == 1
    assert page.standings[0].external_id == "p0"
    assert not page.moment.epoch.startswith("db")


def test_an_index_that_stays_behind_is_not_waited_for_twice(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(window, ENTRIES)
    put_entries(window, [RankedEntry("p0", 99, NOON)])
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    first = standings.top(window, VIEW, limit=1)
    waited = len(slept)
    known = standings_source._known.find(window.pk)
    assert known is not None
    standings_source._known.keep(window.pk, known.versions, known.read_at - 0.1)
    second = standings.top(window, VIEW, limit=1)

    assert first == second
    assert first.standings[0].external_id == "p0"
    assert (waited, len(slept)) == (2, 2)


def test_the_database_is_asked_for_versions_once_in_half_a_second(
    window: Window, django_assert_num_queries: Any
) -> None:
    put(window, ENTRIES)

    with django_assert_num_queries(1):
        for _ in range(5):
            standings.top(window, VIEW, limit=3)
    known = standings_source._known.find(window.pk)
    assert known is not None
    standings_source._known.keep(window.pk, known.versions, known.read_at - 0.6)
    with django_assert_num_queries(1):
        standings.totals(window, VIEW)


def test_a_window_that_is_gone_is_not_found(window: Window) -> None:
    window_id = window.pk
    window.delete()
    window.pk = window_id

    with pytest.raises(NotFoundError):
        standings.totals(window, VIEW)


async def test_many_readers_at_once_agree(async_database: None, window: Window) -> None:
    await sync_to_async(put)(window, ENTRIES)

    pages: list[StandingsPage] = await asyncio.gather(
        *(standings.atop(window, VIEW, limit=5) for _ in range(50))
    )

    assert all(page == pages[0] for page in pages)
