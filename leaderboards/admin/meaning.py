"""What a board's document means, in the words of the person who writes it.

The next windows in both clocks, recent events with what they would score, equal scores worked
through, and what a change does to the window that is open. Every part stands for itself: a fault in
the timeframe does not keep anybody from trying the points.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ingestion import selectors as ingestion
from ingestion.types import StoredEvent
from leaderboards.exceptions import ConfigError
from leaderboards.rules.changes import compare_configs, takes_effect
from leaderboards.rules.configuration import parse_config
from leaderboards.rules.ranking import rank
from leaderboards.rules.scores import format_scaled
from leaderboards.rules.scoring import CompiledBoard, NotScored, compile_board, score_event
from leaderboards.rules.windows import upcoming
from leaderboards.types import BoardConfig, RankedEntry, Ranking
from phoenix_site.common.conditions import compile_condition
from phoenix_site.common.paths import as_number
from phoenix_site.common.zones import load_zone

SHOWN_WINDOWS: Final = 5
SHOWN_EVENTS: Final = 5
SHOWN_PATHS: Final = 12
# Four players: two of them equal, the second of these a minute later.
TIED_SCORES: Final = (("Ana", 50), ("Ben", 40), ("Eli", 40), ("Zoe", 30))
TIED_FROM: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
REASONS: Final = {
    "scope": "the event does not meet the condition for the whole board",
    "no_rule": "no rule names its type",
    "condition": "the condition of no rule holds",
    "points_missing": "a path of the points is absent",
    "points_not_a_number": "a value in the points is not a number",
    "division_by_zero": "the points divide by zero",
    "out_of_range": "the points are out of range",
}
# Stands in for a part that is not being looked at.
_ANY_TIMEFRAME: Final = {"type": "all_time"}
_ANY_SCORING: Final = {"rules": [{"event_type": "any", "points_expression": "1"}]}


def next_windows(document: Mapping[str, Any], now: datetime) -> list[list[str]]:
    """Return up to five windows from ``now`` on: key, begin in the zone, begin in UTC, length."""
    config = _parse({"timeframe": document.get("timeframe"), "scoring": _ANY_SCORING})
    if config is None:
        return []
    zone = load_zone(config.timeframe.timezone)
    return [
        [
            span.key,
            f"{span.starts_at.astimezone(zone):%a %d %b, %H:%M}",
            f"{span.starts_at.astimezone(UTC):%d %b, %H:%M}",
            "for ever" if span.ends_at is None else length_of(span.ends_at - span.starts_at),
        ]
        for span in upcoming(config.timeframe, now, SHOWN_WINDOWS)
    ]


def length_of(span: timedelta) -> str:
    """Return a length for people, such as ``6 d 23 h`` or ``90 min``."""
    minutes = int(span.total_seconds()) // 60
    days, hours, rest = minutes // 1440, minutes % 1440 // 60, minutes % 60
    if minutes < 120 and minutes != 60:
        return f"{minutes} min"
    parts = ((days, "d"), (hours, "h"), (rest, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 min"


def worked_ties(document: Mapping[str, Any]) -> list[list[str]]:
    """Return the ranks that 50, 40, 40 and 30 take: player, score, reached at, rank."""
    config = _parse(
        {
            "timeframe": _ANY_TIMEFRAME,
            "scoring": _ANY_SCORING,
            "ranking": _known(document.get("ranking"), ("method", "tie_policy")),
        }
    )
    ranking = Ranking() if config is None else config.ranking
    entries = [
        RankedEntry(name, score, TIED_FROM + timedelta(minutes=place))
        for place, (name, score) in enumerate(TIED_SCORES)
    ]
    return [
        [each.external_id, str(each.score), f"{each.reached_at:%H:%M}", str(each.rank)]
        for each in rank(entries, ranking.method, ranking.tie_policy)
    ]


def trial_of(document: Mapping[str, Any], tenant_id: str | None) -> dict[str, Any]:
    """Return recent events of the tenant with what they would score, and what rules may name.

    Queries: 2.
    """
    if tenant_id is None:
        return {"rows": [], "types": [], "paths": [], "note": "Choose a tenant to try its events."}
    config = _parse(
        {
            "timeframe": _ANY_TIMEFRAME,
            "scoring": document.get("scoring"),
            "scope": document.get("scope") or {},
        }
    )
    types = ingestion.newest_event_types(tenant_id)
    if config is None:
        return {"rows": [], "types": types, "paths": [], "note": "The scoring is not complete yet."}
    board = compile_board(config)
    events = ingestion.newest_events_of_types(tenant_id, board.event_types, limit=SHOWN_EVENTS)
    return {
        "rows": [_trial_row(board, event) for event in events],
        "types": types,
        "paths": _paths_in(events),
        "note": "" if events else "No events of these types have arrived lately.",
    }


def effect_of(
    old: BoardConfig,
    document: Mapping[str, Any],
    *,
    now: datetime,
    has_entries: bool,
    is_recompute: bool,
    name_of: Callable[[str], str] = str,
) -> list[str]:
    """Return what saving does to the open window, sentence by sentence.

    ``name_of`` turns the path of a setting into its name for people.
    """
    new = _parse(document)
    if new is None:
        return []
    change = compare_configs(old, new, now=now)
    sentences = []
    if change.at_once:
        sentences.append(f"At once: {', '.join(map(name_of, change.at_once))}.")
    if change.next_window:
        effect = takes_effect(old, new, now=now, has_entries=has_entries, recompute=is_recompute)
        names = ", ".join(map(name_of, change.next_window))
        sentences.append(f"{_EFFECTS[effect]}: {names}.")
    return sentences or ["The rules stay as they are."]


_EFFECTS: Final = {
    "at_once": "At once, the open window has no entries yet",
    "next_window": "With the next window",
    "rebuild": "At once, and the open window is scored anew from the event log",
    "needs_recompute": "Only together with “Apply to the open window at once”",
}


def _trial_row(board: CompiledBoard, event: StoredEvent) -> dict[str, str]:
    outcome = score_event(board, event.root)
    is_refused = isinstance(outcome, NotScored)
    return {
        "event": event.type,
        "at": f"{event.occurred_at:%d %b, %H:%M:%S}",
        "player": event.user_id or "nobody",
        "result": _refusal(board, event, outcome)
        if isinstance(outcome, NotScored)
        else f"{format_scaled(outcome.points, board.decimals)} points",
        "tone": "warn" if is_refused or event.user_id is None else "good",
    }


def _refusal(board: CompiledBoard, event: StoredEvent, outcome: NotScored) -> str:
    reason = REASONS.get(outcome.reason, outcome.reason)
    failed = _first_failed(board.config, event, outcome.reason)
    return f"Does not count: {reason}{f' ({failed})' if failed else ''}."


def _first_failed(config: BoardConfig, event: StoredEvent, reason: str) -> str:
    """Return the first comparison that is false, and what it saw."""
    if reason == "scope":
        documents = [config.filters]
    elif reason == "condition":
        rules = (rule for rule in config.scoring.rules if rule.event_type == event.type)
        documents = [rule.conditions for rule in rules]
    else:
        return ""
    for document in documents:
        for line in compile_condition(document).trace(event.root):
            if not line.result:
                return f"{line.field} is {line.note or repr(line.actual)}"
    return ""


def _paths_in(events: Iterable[StoredEvent]) -> list[str]:
    """Return the paths that hold numbers in these events, as points may name them."""
    found = {
        f"attrs.{name}": None
        for event in events
        for name, value in event.attrs.items()
        if name.isidentifier() and as_number(value) is not None
    }
    return list(found)[:SHOWN_PATHS]


def _known(section: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return the chosen keys of a part, so that a fault in the others does not matter."""
    if not isinstance(section, Mapping):
        return {}
    return {name: section[name] for name in names if name in section}


def _parse(document: Mapping[str, Any]) -> BoardConfig | None:
    try:
        return parse_config(document)
    except ConfigError:
        return None
