from collections.abc import Iterator

import pytest
import time_machine
from pytest_django.fixtures import Settings

from leaderboards.models import Leaderboard, Window
from leaderboards.selectors import shown, standings_source
from leaderboards.services import index
from phoenix_site import asgi
from tenants.models import Tenant
from tests.doors import Door
from tests.leaderboards import query_cast as cast


@pytest.fixture(autouse=True)
def _fresh_boards() -> None:
    """Start every test without what the process remembers of boards and windows."""
    shown.forget_shown()
    standings_source.forget_versions()
    index.forget_failure()


@pytest.fixture
def frozen_clock() -> Iterator[time_machine.Traveller]:
    """Let the clock stand at noon of a Wednesday in the week of the cast's window."""
    with time_machine.travel(cast.NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture(params=[True, False], ids=["slim", "full"])
def door(
    request: pytest.FixtureRequest,
    settings: Settings,
    transactional_db: None,
    frozen_clock: time_machine.Traveller,
) -> Iterator[Door]:
    """Ask the real application through the fast entrance, then through Django's own handler."""
    settings.PHOENIX_FAST_DOOR = request.param
    with Door(asgi.build_application()) as opened:
        yield opened


@pytest.fixture
def full_door(
    settings: Settings, transactional_db: None, frozen_clock: time_machine.Traveller
) -> Iterator[Door]:
    """Ask the real application without the fast entrance."""
    settings.PHOENIX_FAST_DOOR = False
    with Door(asgi.build_application()) as opened:
        yield opened


@pytest.fixture
def secret(transactional_db: None, tenant_a: Tenant, frozen_clock: time_machine.Traveller) -> str:
    return cast.new_tenant_secret(tenant_a)


@pytest.fixture
def token(tenant_a: Tenant, secret: str) -> str:
    """Return a token of Ana."""
    return cast.player_token(tenant_a, secret)


@pytest.fixture
def board(transactional_db: None, tenant_a: Tenant) -> Leaderboard:
    return cast.new_board(tenant_a)


@pytest.fixture
def window(board: Leaderboard) -> Window:
    return cast.new_window(board)
