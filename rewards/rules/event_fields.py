"""What may stand in the conditions and amounts of a rule: fields that events really had."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ingestion.types import StoredEvent
from phoenix_site.common.paths import as_number, format_path
from phoenix_site.common.times import format_utc
from rewards.rules.event_types import compile_patterns
from rewards.types.event_fields import EventCatalog, FieldKind, FieldSeen, TypeSeen

__all__ = ["COMMON_FIELDS", "PLATFORM_FIELDS", "fields_for", "fields_in", "types_of", "types_under"]

_MAX_DEPTH: Final = 4
_MAX_FIELDS: Final = 200
_MAX_EXAMPLE: Final = 40

# The attributes of platform events (RUL-3).
PLATFORM_FIELDS: Final[Mapping[str, tuple[tuple[str, FieldKind], ...]]] = {
    "leaderboard.placed": (
        *(("leaderboard_id", "text"), ("window_key", "text"), ("rank", "number")),
        *(("score", "number"), ("total_players", "number"), ("revision", "number")),
        ("reward_config_id", "text"),
    ),
    "achievement.unlocked": (("achievement_id", "text"), ("times", "number")),
    "streak.milestone": (("streak_id", "text"), ("threshold", "number"), ("count", "number")),
    "streak.broken": (("streak_id", "text"), ("count", "number"), ("window_key", "text")),
    **dict.fromkeys(
        ("level.reached", "rank.reached", "level.lost", "rank.lost"),
        (
            *(("ladder_id", "text"), ("level", "number"), ("previous_level", "number")),
            *(("rank_id", "text"), ("total", "number")),
        ),
    ),
    **dict.fromkeys(
        ("reward.granted", "reward.claimed", "reward.activated", "reward.expired"),
        (
            *(("grant_id", "text"), ("group_id", "text"), ("item_id", "text")),
            *(("reward_type", "text"), ("source_type", "text"), ("source_id", "text")),
        ),
    ),
    "coupon.redeemed": (("coupon_id", "text"), ("code", "text"), ("grant_id", "text")),
    "gamification.opted_in": (),
    "gamification.opted_out": (),
}
# What conditions read beside the event's own attributes, with what it means.
COMMON_FIELDS: Final[Sequence[tuple[str, FieldKind, str]]] = (
    ("player.country", "text", "two letters, such as SE"),
    ("player.language", "text", "the player's language"),
    ("player.currency", "text", "the player's currency"),
    ("player.status", "text", "active, inactive…"),
    ("player.kyc_status", "text", "state of verification"),
    ("player.registered_at", "time", "when the account was made"),
    ("player.timezone", "text", "the player's time zone"),
    ("player.level", "number", "on the ladder of levels, from 1"),
    ("player.rank", "text", "the id of the rank"),
    ("player.tags.vip", "text", "a tag, here vip: its value, or yes"),
    ("now.hour", "number", "0 to 23, on the rule's clock"),
    ("now.weekday", "text", "monday to sunday"),
    ("now.date", "text", "such as 2026-03-05"),
    ("type", "text", "the event's type"),
    ("occurred_at", "time", "when it happened"),
    ("actor.user_id", "text", "the player's id"),
)


def fields_in(events: Iterable[StoredEvent]) -> dict[str, FieldSeen]:
    """Return the fields of these events, newest first, by path; of each the first value seen."""
    found: dict[str, FieldSeen] = {}
    for event in events:
        roots = ((("attrs",), event.attrs), (("actor", "metadata"), event.metadata))
        for steps, values in roots:
            for path, value in _leaves(steps, values):
                if path not in found and len(found) < _MAX_FIELDS:
                    found[path] = FieldSeen(path, _kind(value), _example(value))
    return found


def types_of(sample: Iterable[tuple[StoredEvent, int]]) -> tuple[TypeSeen, ...]:
    """Return the types of a sample that has each type's events together, the newest first."""
    events: dict[str, list[StoredEvent]] = {}
    counts: dict[str, int] = {}
    for event, count in sample:
        events.setdefault(event.type, []).append(event)
        counts[event.type] = count
    return tuple(
        TypeSeen(name, counts[name], found[0].received_at, fields_in(found))
        for name, found in events.items()
    )


def types_under(catalog: EventCatalog, patterns: Collection[str]) -> list[TypeSeen]:
    """Return the known types that the patterns of a trigger mean."""
    wanted = compile_patterns([each for each in patterns if isinstance(each, str)])
    return [each for each in catalog.types if wanted.hold(each.name)]


def fields_for(catalog: EventCatalog, patterns: Collection[str]) -> list[FieldSeen]:
    """Return the fields to offer for a trigger: of sent events, and of platform events by name."""
    found: dict[str, FieldSeen] = {}
    for name in patterns:
        for attribute, kind in PLATFORM_FIELDS.get(name, ()):
            path = f"attrs.{attribute}"
            found[path] = FieldSeen(path, kind, "")
    for seen in types_under(catalog, patterns):
        for path, each in seen.fields.items():
            if path not in found or not found[path].example:
                found[path] = each
    return list(found.values())


def _leaves(steps: tuple[str, ...], value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and len(steps) <= _MAX_DEPTH:
        for key, inner in value.items():
            # A quote cannot be written in a path.
            if key and '"' not in key:
                yield from _leaves((*steps, key), inner)
    elif len(steps) > 1 and steps != ("actor", "metadata"):
        yield format_path(steps), value


def _kind(value: Any) -> FieldKind:
    if isinstance(value, bool):
        return "yes_no"
    if isinstance(value, datetime):
        return "time"
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, Mapping):
        return "object"
    return "text" if as_number(value) is None else "number"


def _example(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return "an object"
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _MAX_EXAMPLE else f"{text[:_MAX_EXAMPLE]}…"
