"""Events that score, and the consumer that scores them, for tests on real transactions."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from ingestion.constants import N_SHARDS
from ingestion.services.store import store_rows
from ingestion.types import LogRow
from leaderboards.models import Window
from leaderboards.selectors import boards as board_selectors
from leaderboards.selectors import standings, standings_source
from leaderboards.services import scoring
from leaderboards.types import BoardView, Standing
from phoenix_site.common.ids import new_id
from tests.ingestion.factories import log_row

SECOND = timedelta(seconds=1)


def scored_event(user_id: str, points: Any, *, at: datetime | None = None, **fields: Any) -> LogRow:
    """Return an event that gives ``points`` on the boards of ``boards.board_config``."""
    attrs = {"points": points} | fields.pop("attrs", {})
    event_id = fields.pop("event_id", None) or new_id()
    return log_row(event_id, user_id=user_id, attrs=attrs, occurred_at=at, **fields)


def send(rows: Iterable[LogRow]) -> None:
    """Store events and commit them."""
    store_rows(list(rows))


def score_all(*, limit: int = 1000) -> int:
    """Run the consumer in every shard until nothing is left."""
    total = 0
    for shard in range(N_SHARDS):
        while count := scoring.score_events(shard, now=timezone.now(), limit=limit):
            total += count
    return total


def view_of(window: Window) -> BoardView:
    return board_selectors.view_of(window, window.board)


def shown(window: Window) -> list[Standing]:
    """Return the list as readers see it right now."""
    standings_source.forget_versions()
    return standings.top(window, view_of(window), limit=1000).standings


def ranks(window: Window) -> list[tuple[int, str, int]]:
    return [(standing.rank, standing.external_id, standing.score) for standing in shown(window)]
