"""A whole board as callers write it: its fields beside the config, and patches."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from leaderboards.constants import (
    BOARD_ID_PATTERN,
    MAX_DESCRIPTION_LENGTH,
    MAX_NAME_LENGTH,
    RESERVED_BOARD_IDS,
)
from leaderboards.exceptions import ConfigError
from leaderboards.rules.configuration import normalized_document, parse_config
from leaderboards.types import BoardConfig
from phoenix_site.common.faults import Fault

__all__ = [
    "BoardFields",
    "find_id_faults",
    "find_value_faults",
    "merge_board",
    "read_board",
]

_is_board_id = re.compile(BOARD_ID_PATTERN.rstrip("$") + r"\Z").match
_is_uuid = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# What each type of timeframe has besides its type, zone and grace.
_TIMEFRAME_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "hourly": frozenset(),
    "daily": frozenset({"reset_time"}),
    "weekly": frozenset({"reset_day", "reset_time"}),
    "monthly": frozenset({"reset_day", "reset_time"}),
    "custom": frozenset({"start_at", "end_at"}),
    "all_time": frozenset(),
}
_FIELDS: Final = ("leaderboard_id", "name", "description", "reward_config_id", "config")
# Conditions nest 8 deep, each with a few levels of objects and lists.
_MAX_NESTING: Final = 48
_is_unstorable = re.compile("[\x00\ud800-\udfff]").search
_OWN_KEYS: Final = frozenset({"reset_day", "reset_time", "start_at", "end_at"})


@dataclass(frozen=True, slots=True)
class BoardFields:
    """A valid board but for its id and status."""

    name: str
    description: str
    reward_config_id: str | None
    config: BoardConfig

    @property
    def document(self) -> dict[str, Any]:
        """Return the fields as a version keeps them, every default filled in."""
        return {
            "name": self.name,
            "description": self.description,
            "reward_config_id": self.reward_config_id,
            "config": normalized_document(self.config),
        }


def read_board(document: Mapping[str, Any], *, known: list[Fault] | None = None) -> BoardFields:
    """Return the board that ``document`` describes; other keys than its fields are not looked at.

    ``known`` are faults found before. Raises: ``ConfigError`` with all of them.
    """
    faults = list(known or ())
    name = _read_text(document, "name", None, faults, low=1, high=MAX_NAME_LENGTH)
    description = _read_text(document, "description", "", faults, high=MAX_DESCRIPTION_LENGTH)
    reward_config_id = _read_reward_config(document, faults)
    config = _read_config(document, faults)
    if faults or config is None:
        raise ConfigError(faults)
    return BoardFields(name, description, reward_config_id, config)


def find_id_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return what is wrong with the id of a new board."""
    board_id = document.get("leaderboard_id")
    if board_id is None:
        return [Fault("leaderboard_id", "is required")]
    if not isinstance(board_id, str) or not _is_board_id(board_id):
        rule = "must be 1 to 64 letters, digits, - and _, the first a letter or digit"
        return [Fault("leaderboard_id", rule)]
    if board_id in RESERVED_BOARD_IDS:
        return [Fault("leaderboard_id", "is a reserved word")]
    return []


def find_value_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Return what nobody could store or read: texts with NUL, and nesting without end.

    Ask this first: everything else here takes a document apart by recursion.
    """
    faults: list[Fault] = []
    waiting: list[tuple[str, Any, int]] = [
        (key, document[key], 1) for key in _FIELDS if key in document
    ]
    while waiting:
        path, value, depth = waiting.pop()
        if isinstance(value, str) and _is_unstorable(value):
            faults.append(Fault(path, "must not hold NUL or half of a surrogate pair"))
        elif isinstance(value, Mapping | list) and depth > _MAX_NESTING:
            return [Fault(path.split(".", 1)[0], "is nested too deeply")]
        elif isinstance(value, Mapping):
            waiting += [(f"{path}.{key}", item, depth + 1) for key, item in value.items()]
            waiting += [(path, key, depth + 1) for key in value if _is_unstorable(key)]
        elif isinstance(value, list):
            waiting += [(f"{path}.{index}", item, depth + 1) for index, item in enumerate(value)]
    return faults


def merge_board(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``document`` with ``patch`` merged into it (RFC 7396): lists are replaced.

    A patch that changes the type of the timeframe drops what the new type does not have, so that
    nobody needs to name the reset day that a daily board no longer has.
    """
    merged: dict[str, Any] = _merge(document, patch)
    old, new = _timeframe(document), _timeframe(merged)
    if old.get("type") != new.get("type") and isinstance(new.get("type"), str):
        sent = _timeframe(patch)
        unused = _OWN_KEYS - _TIMEFRAME_KEYS.get(new["type"], _OWN_KEYS)
        if {old.get("type"), new["type"]} == {"weekly", "monthly"}:
            unused |= {"reset_day"}
        merged["config"]["timeframe"] = {
            key: value for key, value in new.items() if key not in unused or key in sent
        }
    return merged


def _read_text(
    document: Mapping[str, Any],
    key: str,
    default: str | None,
    faults: list[Fault],
    *,
    high: int,
    low: int = 0,
) -> str:
    value = document.get(key)
    if value is None:
        value = default
    if value is None:
        faults.append(Fault(key, "is required"))
        return ""
    if not isinstance(value, str) or not low <= len(value) <= high or _CONTROL.search(value):
        length = f"at most {high}" if low == 0 else f"{low} to {high}"
        faults.append(Fault(key, f"must be a text of {length} characters"))
        return ""
    return value


def _read_reward_config(document: Mapping[str, Any], faults: list[Fault]) -> str | None:
    """Return the id as it is stored; whether there is such a config is for who has the database."""
    value = document.get("reward_config_id")
    if value is None:
        return None
    if not isinstance(value, str) or not _is_uuid(value.lower()):
        faults.append(Fault("reward_config_id", "must be the id of a reward config"))
        return None
    return value.lower()


def _read_config(document: Mapping[str, Any], faults: list[Fault]) -> BoardConfig | None:
    if document.get("config") is None:
        faults.append(Fault("config", "is required"))
        return None
    try:
        return parse_config(document["config"])
    except ConfigError as exc:
        faults.extend(exc.faults)
        return None


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _timeframe(document: Mapping[str, Any]) -> Mapping[str, Any]:
    config = document.get("config")
    timeframe = config.get("timeframe") if isinstance(config, Mapping) else None
    return timeframe if isinstance(timeframe, Mapping) else {}
