"""Reward configs: documents read and checked (GRT-2), and which items a result is worth."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from phoenix_site.common.documents import Section, plain_number
from phoenix_site.common.faults import Fault
from rewards.exceptions import DocumentError
from rewards.rules.items import as_uuid
from rewards.types.book import ConfigView, TierView

__all__ = [
    "CONFIG_TYPES",
    "READ_ONLY",
    "VALUE_KEYS",
    "ConfigFields",
    "items_for_level",
    "items_for_milestone",
    "items_for_rank",
    "items_for_threshold",
    "read_config",
    "tier_for_rank",
    "tier_key",
]

CONFIG_TYPES: Final = ("leaderboard", "streak", "achievement", "level")
# What a tier of each type says beside its items; a leaderboard's has a range of ranks.
VALUE_KEYS: Final[Mapping[str, str]] = {
    "streak": "milestone",
    "achievement": "threshold",
    "level": "level",
}
READ_ONLY: Final = frozenset({"id", "reward_config_id", "version", "created_at", "updated_at"})
DEFAULT_CATEGORY: Final = "default"
_KEYS: Final = ("name", "type", "tiers", "active")
_MAX_NAME, _MAX_TIER_NAME, _MAX_TIERS, _MAX_ITEMS = 255, 120, 500, 50
_MAX_RANK: Final = 1_000_000_000
_MAX_THRESHOLD: Final = Decimal(10**15)
_is_category = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search


@dataclass(frozen=True, slots=True)
class ConfigFields:
    """A valid config; its tiers are in their normal form and in order."""

    name: str
    config_type: str
    tiers: list[dict[str, Any]]
    active: bool

    @property
    def document(self) -> dict[str, Any]:
        """Return the config as a version keeps it, every default filled in."""
        return {
            "name": self.name,
            "type": self.config_type,
            "tiers": self.tiers,
            "active": self.active,
        }


def read_config(document: Any, item_ids: Collection[UUID]) -> ConfigFields:
    """Return the config that ``document`` describes; tiers may give the items ``item_ids``.

    Raises: ``DocumentError`` with every fault.
    """
    faults: list[Fault] = []
    sent = document
    if isinstance(document, Mapping):
        sent = {key: value for key, value in document.items() if key not in READ_ONLY}
    section = Section(sent, "", faults, keys=_KEYS)
    section.require("name")
    name = _read_name(section, "name", low=1, high=_MAX_NAME)
    config_type = _read_type(section)
    tiers = _read_tiers(section, config_type, item_ids)
    active = section.raw("active")
    if active is not None and not isinstance(active, bool):
        section.refuse("active", "must be true or false")
    if faults:
        raise DocumentError(faults)
    return ConfigFields(name, config_type, tiers, active is not False)


def tier_for_rank(config: ConfigView, rank: int) -> TierView | None:
    """Return the tier of a 1-based rank; players who share a rank share its tier."""
    # A tier of another type has no ranks, and is no rank's.
    return next(
        (each for each in config.tiers if (each.rank_min or 1) <= rank <= (each.rank_max or 0)),
        None,
    )


def tier_key(tier: TierView) -> str:
    """Return what tells a tier of ranks from the others of its config, whatever its name."""
    return f"{tier.rank_min}-{tier.rank_max}"


def items_for_rank(
    config: ConfigView, rank: int, category: str = DEFAULT_CATEGORY
) -> tuple[UUID, ...]:
    """Return the items of a 1-based rank, in the order of the tier; none for a rank of no tier."""
    tier = tier_for_rank(config, rank)
    return () if tier is None else tier.items_of(category)


def items_for_milestone(
    config: ConfigView, milestone: int, category: str = DEFAULT_CATEGORY
) -> tuple[UUID, ...]:
    """Return the items of exactly this milestone of a streak."""
    return _items_for(config, Decimal(milestone), category)


def items_for_threshold(
    config: ConfigView, threshold: Decimal, category: str = DEFAULT_CATEGORY
) -> tuple[UUID, ...]:
    """Return the items of exactly this threshold of an achievement."""
    return _items_for(config, threshold, category)


def items_for_level(
    config: ConfigView, level: int, category: str = DEFAULT_CATEGORY
) -> tuple[UUID, ...]:
    """Return the items of exactly this level."""
    return _items_for(config, Decimal(level), category)


def _items_for(config: ConfigView, value: Decimal, category: str) -> tuple[UUID, ...]:
    for tier in config.tiers:
        if tier.value == value:
            return tier.items_of(category)
    return ()


# --- Reading -------------------------------------------------------------------------------------


def _read_name(section: Section, key: str, *, high: int, low: int = 0) -> str:
    value = section.raw(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not low <= len(value.strip()) <= high or _CONTROL(value):
        length = f"at most {high}" if low == 0 else f"{low} to {high}"
        section.refuse(key, f"must be a text of {length} characters")
        return ""
    return value.strip()


def _read_type(section: Section) -> str:
    if not section.require("type"):
        return ""
    value = section.raw("type")
    if value == "mission":
        section.refuse("type", "not supported yet")
        return ""
    if not isinstance(value, str) or value not in CONFIG_TYPES:
        section.refuse("type", f"must be one of {', '.join(CONFIG_TYPES)}")
        return ""
    return value


def _read_tiers(
    section: Section, config_type: str, item_ids: Collection[UUID]
) -> list[dict[str, Any]]:
    documents = section.raw("tiers")
    if documents is None:
        section.require("tiers")
        return []
    if not isinstance(documents, list) or not 1 <= len(documents) <= _MAX_TIERS:
        section.refuse("tiers", f"must be a list of 1 to {_MAX_TIERS} tiers")
        return []
    if not config_type:
        return []
    tiers = [
        _read_tier(document, f"tiers.{index}", section.faults, config_type, item_ids)
        for index, document in enumerate(documents)
    ]
    if not section.faults:
        section.faults += _find_clashes(tiers, config_type)
    order = "rank_min" if config_type == "leaderboard" else VALUE_KEYS[config_type]
    return tiers if section.faults else sorted(tiers, key=lambda tier: tier[order])


def _read_tier(
    document: Any, path: str, faults: list[Fault], config_type: str, item_ids: Collection[UUID]
) -> dict[str, Any]:
    own = ("rank_min", "rank_max")
    if config_type != "leaderboard":
        own = (VALUE_KEYS[config_type], "")
    section = Section(document, path, faults, keys=("name", *filter(None, own), *_ITEM_KEYS))
    if not section.is_object:
        return {}
    tier: dict[str, Any] = {"name": _read_name(section, "name", high=_MAX_TIER_NAME)}
    tier |= _read_ranks(section) if config_type == "leaderboard" else _read_value(section, own[0])
    known = len(faults)
    tier["item_ids"] = _read_ids(section, "item_ids", section.raw("item_ids"), item_ids)
    tier["by_category"] = _read_categories(section, item_ids)
    is_empty = not tier["item_ids"] and not any(tier["by_category"].values())
    if is_empty and len(faults) == known:
        section.refuse("item_ids", "must name at least one item")
    return tier


_ITEM_KEYS: Final = ("item_ids", "by_category")


def _read_ranks(section: Section) -> dict[str, Any]:
    if not section.require("rank_min"):
        return {"rank_min": 1, "rank_max": 1}
    low = section.integer("rank_min", 1, low=1, high=_MAX_RANK)
    high = low
    if section.has("rank_max"):
        high = section.integer("rank_max", low, low=1, high=_MAX_RANK)
    if high < low:
        section.refuse("rank_max", "must not be less than rank_min")
    return {"rank_min": low, "rank_max": high}


def _read_value(section: Section, key: str) -> dict[str, Any]:
    if not section.require(key):
        return {key: 1}
    if key != "threshold":
        return {key: section.integer(key, 1, low=1, high=_MAX_RANK)}
    value = section.number(key)
    if value is None:
        return {key: 1}
    try:
        if not 0 < value < _MAX_THRESHOLD:
            section.refuse(key, "must be greater than 0")
        return {key: plain_number(value)}
    except ValueError as exc:
        section.refuse(key, str(exc))
        return {key: 1}


def _read_categories(section: Section, item_ids: Collection[UUID]) -> dict[str, list[str]]:
    document = section.raw("by_category")
    if document is None:
        return {}
    if not isinstance(document, Mapping) or not all(
        isinstance(name, str) and _is_category(name) for name in document
    ):
        section.refuse("by_category", "must be an object with a list of items for each category")
        return {}
    return {
        name: _read_ids(section, f"by_category.{name}", ids, item_ids)
        for name, ids in document.items()
    }


def _read_ids(section: Section, key: str, sent: Any, item_ids: Collection[UUID]) -> list[str]:
    if sent is None:
        return []
    if not isinstance(sent, list) or len(sent) > _MAX_ITEMS:
        section.refuse(key, f"must be a list of at most {_MAX_ITEMS} items")
        return []
    found: list[str] = []
    for index, text in enumerate(sent):
        item_id = as_uuid(text)
        if item_id is None or item_id not in item_ids:
            section.refuse(f"{key}.{index}", "is not a reward item of the tenant")
        elif str(item_id) in found:
            section.refuse(f"{key}.{index}", "is named twice")
        else:
            found.append(str(item_id))
    return found


def _find_clashes(tiers: Sequence[Mapping[str, Any]], config_type: str) -> list[Fault]:
    """Return where two tiers mean the same rank or value."""
    if config_type == "leaderboard":
        return _find_overlaps(tiers)
    key, seen, faults = VALUE_KEYS[config_type], set[Any](), []
    for index, tier in enumerate(tiers):
        if tier[key] in seen:
            faults.append(Fault(f"tiers.{index}.{key}", "stands in another tier already"))
        seen.add(tier[key])
    return faults


def _find_overlaps(tiers: Sequence[Mapping[str, Any]]) -> list[Fault]:
    faults: list[Fault] = []
    highest, places = 0, sorted(range(len(tiers)), key=lambda index: tiers[index]["rank_min"])
    for index in places:
        if tiers[index]["rank_min"] <= highest:
            faults.append(Fault(f"tiers.{index}.rank_min", "overlaps with another tier"))
        highest = max(highest, tiers[index]["rank_max"])
    return faults
