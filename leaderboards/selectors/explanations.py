"""Why a score is what it is: the events behind an entry, and what the boards made of an event.

Both score the stored events again by the rules of the window, so they cannot differ from what
counted. Points and scores are in units, as integrators send them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from ingestion import selectors as ingestion
from ingestion.types import StoredEvent
from leaderboards.constants import SCORING
from leaderboards.models import Leaderboard, Window
from leaderboards.rules.scores import from_scaled
from leaderboards.selectors import boards
from leaderboards.selectors.replays import Replay, Step, open_replay, status_history
from leaderboards.selectors.windows import windows_holding
from phoenix_site.common.documents import plain_number
from phoenix_site.common.expressions import compile_expression
from phoenix_site.common.paths import ABSENT, compile_reader, parse_path

__all__ = ["ExplainedEvent", "ExplainedRule", "event_effects", "explain_entry"]


@dataclass(frozen=True, slots=True)
class ExplainedRule:
    """A rule that gave points; ``number`` counts from 0, ``values`` are what it read."""

    number: int
    points_expression: str | None
    conditions: Any
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExplainedEvent:
    """One event of a player in a window.

    ``points`` are what it added to the sum, after limits; ``score`` is the entry's afterwards.
    Both are ``None`` with the ``reason`` when it did not count.
    """

    event_id: str
    type: str
    occurred_at: datetime
    received_at: datetime
    reason: str | None
    points: Decimal | None
    score: Decimal | None
    rules: tuple[ExplainedRule, ...]


@transaction.atomic
def explain_entry(window: Window, user_id: str) -> list[ExplainedEvent]:
    """Return a player's events in a window in the order in which they counted. Queries: 4.

    The points of those that count add up to the sum, and the last score is the entry's.
    """
    return list(_explained(open_replay(window), user_id))


def event_effects(tenant_id: str, event: StoredEvent) -> list[dict[str, Any]]:
    """Return what the tenant's boards made of an event, or why it did not count there.

    ``outcome`` is ``scored``, ``not_scored`` with the ``reason``, or ``waiting``: the consumer has
    not come to it. Queries: 2, and a few per board.
    """
    if event.user_id is None:
        return []
    is_waiting = not ingestion.has_seen(SCORING, event)
    found = Leaderboard.objects.filter(tenant_id=tenant_id).exclude(
        status=Leaderboard.Status.ARCHIVED
    )
    return [_effect(board, event, is_waiting=is_waiting) for board in found.order_by("pk")]


@transaction.atomic
def _effect(board: Leaderboard, event: StoredEvent, *, is_waiting: bool) -> dict[str, Any]:
    window = next(iter(windows_holding(board.pk, [event.occurred_at])), None)
    key = None if window is None else window.key
    effect = {"leaderboard_id": board.leaderboard_id, "window_key": key}
    if is_waiting:
        return effect | {"outcome": "waiting"}
    if window is None:
        return effect | {"outcome": "not_scored", "reason": _reason_without_window(board, event)}
    explained = _explain_event(window, event)
    if explained.points is None:
        return effect | {"outcome": "not_scored", "reason": explained.reason}
    rules = [rule.number for rule in explained.rules]
    return effect | {"outcome": "scored", "points": plain_number(explained.points), "rules": rules}


def _reason_without_window(board: Leaderboard, event: StoredEvent) -> str:
    if not status_history(board.pk).was_active(event.received_at):
        return "inactive"
    compiled = boards.compiled_board(board.pk, board.version)
    return "no_window" if event.type in compiled.event_types else "no_rule"


def _explain_event(window: Window, event: StoredEvent) -> ExplainedEvent:
    replay = open_replay(window)
    limits = replay.compiled.config.scoring.limits
    has_window_limits = (
        limits.max_points_per_window is not None or limits.max_events_per_window is not None
    )
    # Whether a limit was reached depends on the player's other events.
    if has_window_limits or event.id in replay.refusals:
        for explained in _explained(replay, str(event.user_id)):
            if explained.event_id == event.event_id:
                return explained
    return _explain(replay, replay.take(event), total_before=0)


def _explained(replay: Replay, user_id: str) -> Iterator[ExplainedEvent]:
    total = 0
    for step in replay.run(user_id):
        yield _explain(replay, step, total_before=total)
        total = total if step.state is None else step.state.total


def _explain(replay: Replay, step: Step, *, total_before: int) -> ExplainedEvent:
    event, state, decimals = step.event, step.state, replay.compiled.decimals
    return ExplainedEvent(
        event_id=event.event_id,
        type=event.type,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        reason=step.reason,
        points=None if state is None else from_scaled(state.total - total_before, decimals),
        score=None if state is None else from_scaled(state.score, decimals),
        rules=tuple(_explain_rule(replay, number, event) for number in step.rules),
    )


def _explain_rule(replay: Replay, number: int, event: StoredEvent) -> ExplainedRule:
    rule = replay.compiled.config.scoring.rules[number]
    text = rule.points_expression
    paths = () if text is None else compile_expression(text).paths
    read = {path: compile_reader(parse_path(path))(event.root) for path in paths}
    values = {path: value for path, value in read.items() if value is not ABSENT}
    return ExplainedRule(number, text, rule.conditions, values)
