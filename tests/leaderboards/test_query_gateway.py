"""The query gateway as callers see it, through both entrances (spec 02 section 6)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import time_machine
from pytest_django.fixtures import Settings

from leaderboards.models import Leaderboard, Window
from leaderboards.selectors import shown, standings_source
from phoenix_site import asgi
from phoenix_site.common.json import decode
from tenants.models import Tenant
from tenants.services import limits, snapshots
from tests.doors import Door
from tests.leaderboards import query_cast as cast

BOTH_DOORS = pytest.mark.parametrize("has_fast_door", [True, False], ids=["slim", "full"])


@pytest.fixture(params=[True, False], ids=["slim", "full"])
def door(
    request: pytest.FixtureRequest, settings: Settings, transactional_db: None
) -> Iterator[Door]:
    settings.PHOENIX_FAST_DOOR = request.param
    forget()
    with Door(asgi.build_application()) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _frozen_clock() -> Iterator[None]:
    with time_machine.travel(cast.NOW, tick=True):
        yield


def forget() -> None:
    """Drop what the process remembers of another test's rows."""
    shown.forget_shown()
    standings_source.forget_versions()
    snapshots.forget_now()
    limits.forget_leases()


@pytest.fixture
def board(transactional_db: None, tenant_a: Tenant) -> Leaderboard:
    return cast.new_board(tenant_a)


@pytest.fixture
def window(board: Leaderboard) -> Window:
    return cast.new_window(board)


@pytest.fixture
def secret(transactional_db: None, tenant_a: Tenant) -> str:
    return cast.new_tenant_secret(tenant_a)


@pytest.fixture
def token(tenant_a: Tenant, secret: str) -> str:
    return cast.player_token(tenant_a, secret)


def test_the_top_of_a_live_board(door: Door, window: Window, token: str) -> None:
    cast.fill(window, {"ana": 50, "ben": 40})

    answer = door.get("/v1/leaderboards/xp", token=token)

    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert body["entries"] == [
        {
            "rank": 1,
            "user_id": "ana",
            "score": 50,
            "reached_at": "2026-11-16T00:00:00Z",
            "display_name": None,
            "metadata": {},
        },
        {
            "rank": 2,
            "user_id": "ben",
            "score": 40,
            "reached_at": "2026-11-16T00:00:01Z",
            "display_name": None,
            "metadata": {},
        },
    ]
    assert body["as_of"].startswith("2026-11-18T12:00:0")
    assert isinstance(body["epoch"], str)
    assert isinstance(body["sequence"], int)
    facts = ("leaderboard_id", "name", "window_key", "window_start", "window_end", "window_status")
    assert [body[name] for name in facts] == [
        "xp",
        "Weekly XP",
        "2026-W47",
        "2026-11-16T00:00:00Z",
        "2026-11-23T00:00:00Z",
        "open",
    ]
    counts = ("source", "total", "total_players", "limit", "offset")
    assert [body[name] for name in counts] == ["live", 2, 2, 100, 0]
