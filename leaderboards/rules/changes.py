"""Changes of a config: which parts hold at once and which wait for the next window.

A window is scored by one version from its start to its end, so whatever decides how it scores
waits, unless nothing has been scored yet or staff ask for the window to be computed again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from leaderboards.rules.configuration import normalized_document
from leaderboards.types import BoardConfig
from phoenix_site.common.values import are_equal

__all__ = ["ConfigChange", "Effect", "compare_configs", "takes_effect"]

Effect = Literal["at_once", "next_window", "rebuild", "needs_recompute"]

_AT_ONCE: Final = frozenset(
    {
        "ranking.size",
        "ranking.min_score",
        "ranking.max_score",
        "snapshots.every_seconds",
        "snapshots.top",
    }
)


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """The paths that differ: those that never wait, and those that decide how windows score."""

    at_once: tuple[str, ...]
    next_window: tuple[str, ...]


def compare_configs(old: BoardConfig, new: BoardConfig, *, now: datetime) -> ConfigChange:
    """Return what differs. A custom board's end is free to move while both ends lie ahead."""
    before, after = _flat(normalized_document(old)), _flat(normalized_document(new))
    changed = [
        path
        for path in sorted(before.keys() | after.keys())
        if not are_equal(before.get(path), after.get(path))
    ]
    free = _AT_ONCE | ({"timeframe.end_at"} if _ends_ahead(old, new, now) else set())
    return ConfigChange(
        at_once=tuple(path for path in changed if path in free),
        next_window=tuple(path for path in changed if path not in free),
    )


def takes_effect(
    old: BoardConfig,
    new: BoardConfig,
    *,
    now: datetime,
    has_entries: bool,
    recompute: bool = False,
) -> Effect:
    """Return when ``new`` begins to score; ``has_entries`` is about the open window.

    ``rebuild`` is at once, with the open window recomputed from the log; ``needs_recompute``
    means that the change is refused unless that is asked for. What never waits is in
    ``compare_configs(…).at_once`` and holds at once whatever this answers.
    """
    if not has_entries or not compare_configs(old, new, now=now).next_window:
        return "at_once"
    if recompute:
        return "rebuild"
    return "needs_recompute" if old.timeframe.type in ("custom", "all_time") else "next_window"


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{name}.{key}": value
        for name, section in document.items()
        for key, value in section.items()
    }


def _ends_ahead(old: BoardConfig, new: BoardConfig, now: datetime) -> bool:
    ends = (old.timeframe.end_at, new.timeframe.end_at)
    return all(end is not None and end > now for end in ends)
