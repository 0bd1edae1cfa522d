"""The document of a ladder: read, checked and brought into one form.

Levels are 1 to n without a gap, the first at 0, thresholds strictly rising; instead of
``xp_required`` a level may give ``xp_range``, and then ranges must touch. Ranks hold levels that
lie together, no level twice.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from phoenix_site.common.documents import Section, plain_number
from phoenix_site.common.faults import Fault
from rewards.exceptions import DocumentError
from rewards.rules.identifiers import is_slug
from rewards.types.ladders import Curve, LevelStep, RankGroup

MAX_LEVELS: Final = 1000
MAX_RANKS: Final = 100
MAX_ITEMS: Final = 20
_MAX_THRESHOLD: Final = Decimal(10) ** 18

_LEVEL_KEYS: Final = ("level", "xp_required", "xp_range", "item_ids", "benefits")
_RANK_KEYS: Final = ("rank_id", "name", "image_url", "weight", "levels", "item_ids")


def parse_curve(levels: Any, ranks: Any) -> Curve:
    """Return the curve that the two lists of a document describe. Raises: ``DocumentError``."""
    faults: list[Fault] = []
    steps = _read_levels(levels, faults)
    groups = _read_ranks(ranks if ranks is not None else [], len(steps), faults)
    if faults:
        raise DocumentError(faults)
    return make_curve(steps, groups)


def make_curve(steps: Sequence[LevelStep], ranks: Sequence[RankGroup]) -> Curve:
    """Return the curve of checked levels and ranks."""
    ordered = tuple(sorted(ranks, key=lambda rank: rank.first_level))
    return Curve(tuple(steps), ordered, tuple(step.xp_required for step in steps))


def levels_document(curve: Curve) -> list[dict[str, Any]]:
    """Return the levels in the one form that is stored and answered."""
    return [
        {
            "level": step.level,
            "xp_required": plain_number(step.xp_required),
            "item_ids": [str(item_id) for item_id in step.item_ids],
            "by_category": {},
            "benefits": dict(step.benefits),
        }
        for step in curve.steps
    ]


def ranks_document(curve: Curve) -> list[dict[str, Any]]:
    """Return the ranks in the one form that is stored and answered."""
    return [
        {
            "rank_id": rank.rank_id,
            "name": rank.name,
            "image_url": rank.image_url,
            "weight": rank.weight,
            "levels": list(range(rank.first_level, rank.last_level + 1)),
            "item_ids": [str(item_id) for item_id in rank.item_ids],
        }
        for rank in curve.ranks
    ]


def levels_gained(before: int, after: int) -> range:
    """Return the levels that a climb passes, in order, without the one it began on."""
    return range(before + 1, after + 1)


def ranks_gained(curve: Curve, before: int, after: int) -> list[RankGroup]:
    """Return the ranks that a climb enters, lowest first."""
    held = curve.rank_at(before)
    return [
        rank
        for rank in curve.ranks
        if rank != held and rank.first_level <= after and rank.last_level > before
    ]


# --- Levels --------------------------------------------------------------------------------------


def _read_levels(levels: Any, faults: list[Fault]) -> list[LevelStep]:
    if not isinstance(levels, list) or not 1 <= len(levels) <= MAX_LEVELS:
        faults.append(Fault("levels", f"must be a list of 1 to {MAX_LEVELS} levels"))
        return []
    steps = [_read_level(item, number, faults) for number, item in enumerate(levels, start=1)]
    _check_rising(steps, faults)
    _check_ranges(levels, faults)
    return steps


def _read_level(document: Any, number: int, faults: list[Fault]) -> LevelStep:
    path = f"levels.{number - 1}"
    section = Section(document, path, faults, keys=(*_LEVEL_KEYS, "by_category"))
    if section.is_object and section.raw("level") != number:
        section.refuse("level", f"must be {number}: levels are 1, 2, 3… without a gap")
    if section.has("by_category") and section.raw("by_category") != {}:
        section.refuse("by_category", "not supported yet")
    benefits = section.raw("benefits")
    if benefits is not None and not isinstance(benefits, Mapping):
        section.refuse("benefits", "must be an object")
    return LevelStep(
        level=number,
        xp_required=_read_threshold(section, faults),
        item_ids=read_item_ids(section, faults),
        benefits=benefits if isinstance(benefits, Mapping) else {},
    )


def _read_threshold(section: Section, faults: list[Fault]) -> Decimal:
    if section.has("xp_range"):
        if section.has("xp_required"):
            section.refuse("xp_range", "stands instead of xp_required, not beside it")
        part = section.section("xp_range", keys=("start", "end"))
        value, key = part.number("start"), "xp_range.start"
    else:
        value, key = section.number("xp_required"), "xp_required"
    if value is None or not 0 <= value <= _MAX_THRESHOLD:
        if not any(fault.path == f"{section.path}.{key}" for fault in faults):
            section.refuse(key, "must be a number from 0 on")
        return Decimal(0)
    return value


def _check_rising(steps: Sequence[LevelStep], faults: list[Fault]) -> None:
    if steps and steps[0].xp_required != 0:
        faults.append(Fault("levels.0.xp_required", "must be 0: everybody has the first level"))
    for index, (lower, upper) in enumerate(pairwise(steps), start=1):
        if upper.xp_required <= lower.xp_required:
            faults.append(Fault(f"levels.{index}.xp_required", "must be more than the level below"))


def _check_ranges(levels: Sequence[Any], faults: list[Fault]) -> None:
    ranges = [item.get("xp_range") if isinstance(item, Mapping) else None for item in levels]
    for index, (lower, upper) in enumerate(pairwise(ranges), start=1):
        if not isinstance(lower, Mapping) or not isinstance(upper, Mapping):
            continue
        if lower.get("end") != upper.get("start"):
            faults.append(
                Fault(f"levels.{index}.xp_range.start", "must be where the level below ends")
            )


def read_item_ids(section: Section, faults: list[Fault]) -> tuple[UUID, ...]:
    """Return the list of reward items at ``item_ids``."""
    value = section.raw("item_ids")
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        section.refuse("item_ids", f"must be a list of at most {MAX_ITEMS} items")
        return ()
    found: list[UUID] = []
    for index, text in enumerate(value):
        try:
            found.append(UUID(str(text)))
        except ValueError:
            faults.append(Fault(f"{section.path}.item_ids.{index}", "must be the id of an item"))
    return tuple(found)


# --- Ranks ---------------------------------------------------------------------------------------


def _read_ranks(ranks: Any, level_count: int, faults: list[Fault]) -> list[RankGroup]:
    if not isinstance(ranks, list) or len(ranks) > MAX_RANKS:
        faults.append(Fault("ranks", f"must be a list of at most {MAX_RANKS} ranks"))
        return []
    groups = [_read_rank(item, index, level_count, faults) for index, item in enumerate(ranks)]
    for key in ("rank_id", "weight"):
        values = [getattr(group, key) for group in groups]
        for index, value in enumerate(values):
            if value in values[:index]:
                faults.append(Fault(f"ranks.{index}.{key}", "is another rank's already"))
    _check_apart(groups, faults)
    return groups


def _read_rank(document: Any, index: int, level_count: int, faults: list[Fault]) -> RankGroup:
    section = Section(document, f"ranks.{index}", faults, keys=_RANK_KEYS)
    rank_id, name = section.raw("rank_id"), section.raw("name")
    image_url = section.raw("image_url")
    if not is_slug(rank_id):
        section.refuse("rank_id", "must be a slug: small letters, digits, - and _, at most 64")
    if not isinstance(name, str) or not 1 <= len(name) <= 255:
        section.refuse("name", "must be a text of 1 to 255 characters")
    if image_url is not None and not isinstance(image_url, str):
        section.refuse("image_url", "must be a text")
    first, last = _read_rank_levels(section, level_count)
    return RankGroup(
        rank_id=str(rank_id),
        name=str(name),
        image_url=image_url,
        weight=section.integer("weight", index + 1, low=0, high=1_000_000),
        first_level=first,
        last_level=last,
        item_ids=read_item_ids(section, faults),
    )


def _read_rank_levels(section: Section, level_count: int) -> tuple[int, int]:
    levels = section.raw("levels")
    if not isinstance(levels, list) or not levels or any(type(n) is not int for n in levels):
        section.refuse("levels", "must be a list of levels")
        return 1, 0
    first, last = min(levels), max(levels)
    if sorted(levels) != list(range(first, last + 1)):
        section.refuse("levels", "must lie together, each once")
    elif first < 1 or last > level_count:
        section.refuse("levels", f"must be levels from 1 to {level_count}")
    return first, last


def _check_apart(groups: Sequence[RankGroup], faults: list[Fault]) -> None:
    ordered = sorted(groups, key=lambda group: group.first_level)
    for lower, upper in pairwise(ordered):
        if upper.first_level <= lower.last_level:
            faults.append(
                Fault(
                    "ranks", f"{lower.rank_id} and {upper.rank_id} share level {upper.first_level}"
                )
            )
        elif upper.weight < lower.weight:
            faults.append(
                Fault("ranks", f"{upper.rank_id} is higher than {lower.rank_id} but weighs less")
            )
