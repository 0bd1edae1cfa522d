"""Which window a reader is shown: one statement, and on the event loop mostly none."""

import asyncio
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from leaderboards.api import contents
from leaderboards.api.answers import Content
from leaderboards.models import Leaderboard, Window
from leaderboards.selectors import shown, standings
from leaderboards.types import ShownWindow
from phoenix_site.common import postgres
from phoenix_site.common.exceptions import NotFoundError
from tenants.models import Tenant
from tests.leaderboards import query_cast as cast

TENANT, BOARD = "tenant-a", "xp"


def find(window_key: str | None = None) -> ShownWindow:
    return shown.get_shown(TENANT, BOARD, window_key, now=cast.NOW)


@pytest.mark.django_db
@pytest.mark.parametrize("window_key", [None, "current", "2026-W47"])
def test_a_window_is_found_by_one_statement(tenant_a: Tenant, window_key: str | None) -> None:
    window = cast.new_window(cast.new_board(tenant_a, size=7, min_score=10, method="score_asc"))

    with CaptureQueriesContext(connection) as queries:
        found = find(window_key)

    assert len(queries) == 1
    assert (found.id, found.key, found.state, found.decimals) == (window.pk, "2026-W47", "open", 0)
    assert (found.view.size, found.view.lowest, found.view.method) == (7, 10, "score_asc")


@pytest.mark.django_db
def test_bounds_are_those_of_the_newest_version_in_the_window_s_decimals(
    tenant_a: Tenant,
) -> None:
    board = cast.new_board(tenant_a, decimals=2)
    cast.new_window(board)
    board.config["ranking"]["max_score"] = 9.5
    board.save()

    assert find().view.highest == 950


@pytest.mark.django_db
@pytest.mark.parametrize("board", ["", "-xp", "x\x00p", "x/p", "x" * 65])
def test_what_cannot_be_a_board_asks_no_database(board: str) -> None:
    with CaptureQueriesContext(connection) as queries, pytest.raises(NotFoundError):
        shown.get_shown(TENANT, board, None, now=cast.NOW)

    assert len(queries) == 0


@pytest.mark.django_db
def test_an_empty_window_yields_only_to_a_closed_one(tenant_a: Tenant) -> None:
    board = cast.new_board(tenant_a)
    cast.new_window(board)
    cast.new_window(
        board, "2026-W46", starts_at=cast.MONDAY - cast.WEEK, ends_at=cast.MONDAY, state="void"
    )

    assert find().key == "2026-W47"


async def ask(window_key: str | None = None) -> ShownWindow:
    return await shown.aget_shown(TENANT, BOARD, window_key, now=cast.NOW)


@pytest.fixture
def window(async_database: None, tenant_a: Tenant) -> Window:
    return cast.new_window(cast.new_board(tenant_a))


@pytest.fixture
def reads(window: Window, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return one item per connection that was taken."""
    taken: list[Any] = []
    connect = postgres.connection

    def count() -> Any:
        taken.append(None)
        return connect()

    monkeypatch.setattr(postgres, "connection", count)
    return taken


async def test_readers_of_a_moment_share_one_statement(reads: list[Any]) -> None:
    found = await asyncio.gather(*(ask() for _ in range(20)))
    again = await ask()

    assert len(reads) == 1
    assert all(each is again for each in found)


async def test_after_a_moment_it_is_read_again(
    reads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "KEPT_SECONDS", 0.0)

    first, second = await ask(), await ask()

    assert len(reads) == 2
    assert first == second


async def test_what_was_changed_here_is_read_again(reads: list[Any]) -> None:
    await ask()

    shown.forget_shown()
    await ask()

    assert len(reads) == 2


async def test_what_is_not_there_is_looked_for_each_time(reads: list[Any]) -> None:
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await ask("2026-W46")

    assert len(reads) == 2


async def test_a_window_is_not_kept_beyond_its_end(reads: list[Any]) -> None:
    await ask("2026-W47")

    over = await shown.aget_shown(TENANT, BOARD, "2026-W47", now=cast.MONDAY + cast.WEEK)

    assert (len(reads), over.state) == (2, "closing")


async def test_only_so_many_are_kept(reads: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "_MAX_KEPT", 1)

    for window_key in (None, "current", None):
        await ask(window_key)

    assert len(reads) == 3


@pytest.mark.django_db
def test_the_top_is_encoded_once_per_change(tenant_a: Tenant) -> None:
    window = cast.new_window(cast.new_board(tenant_a))
    cast.fill(window, {"ana": 50})
    place = find()

    def encode() -> Content:
        page = standings.top(place, place.view, limit=100)
        return contents.top_content(place, page, limit=100)

    first, same = encode(), encode()
    cast.fill(window, {"ben": 60})
    changed = encode()

    assert same is first
    assert (b'"ben"' in first.body, b'"ben"' in changed.body) == (False, True)


@pytest.mark.django_db
def test_a_new_name_is_encoded_though_the_standings_are_the_same(tenant_a: Tenant) -> None:
    window = cast.new_window(cast.new_board(tenant_a))
    cast.fill(window, {"ana": 50})
    page = standings.top(find(), find().view, limit=100)
    before = contents.top_content(find(), page, limit=100)

    Leaderboard.objects.update(name="Another name")
    after = contents.top_content(find(), page, limit=100)

    assert b"Another name" not in before.body
    assert b"Another name" in after.body


@pytest.mark.django_db
def test_only_so_many_encoded_pages_are_kept(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_MAX_KEPT", 2)
    cast.fill(cast.new_window(cast.new_board(tenant_a)), {"ana": 50})

    for limit in (1, 2, 3):
        page = standings.top(find(), find().view, limit=limit)
        contents.top_content(find(), page, limit=limit)

    assert len(contents._kept) <= 2
