"""The whole document of a rule: read, checked, with every default filled in, and compiled."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, cast, get_args
from uuid import UUID

from phoenix_site.common.conditions import Condition, ConditionError, compile_condition
from phoenix_site.common.documents import Section, plain_json, plain_number
from phoenix_site.common.faults import Fault
from phoenix_site.common.times import format_utc
from phoenix_site.common.zones import UnknownZoneError, load_zone
from rewards.constants import (
    MAX_EFFECTS,
    MAX_TRIGGER_NAMES,
    PLATFORM_EVENTS,
    RESERVED_RULE_IDS,
    UNBUILT_EVENTS,
)
from rewards.exceptions import DocumentError
from rewards.rules.event_types import is_type_pattern
from rewards.rules.identifiers import is_slug
from rewards.rules.rule_conditions import compile_rule_condition, needs_of, wallets_of
from rewards.rules.rule_effects import Effects, open_effect
from rewards.types.book import Book
from rewards.types.rules import (
    Budget,
    CompiledRule,
    Effect,
    Group,
    GroupMode,
    Move,
    PeriodCaps,
    References,
    RuleKind,
    Trigger,
)

__all__ = ["READ_ONLY", "ParsedRule", "compile_rule", "parse_rule"]

_KEYS: Final = (
    *("rule_id", "name", "kind", "trigger", "segment_id", "conditions", "timezone"),
    *("starts_at", "ends_at", "effects", "limits", "priority", "group"),
)
# What answers have beside the document; a caller may send it back.
READ_ONLY: Final = frozenset(
    {
        *("tenant_id", "status", "version", "active_version", "draft_version", "planned"),
        *("warnings", "created_at", "updated_at"),
    }
)
_NO_RULE: Final = UUID(int=0)
_NO_REFERENCES: Final = References()
_LOWEST, _HIGHEST = -1_000_000, 1_000_000
_MOST: Final = 2**53 - 1
_MAX_NAME_LENGTH: Final = 255
_is_group_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ -]{0,63}").fullmatch


@dataclass(frozen=True, slots=True)
class ParsedRule:
    """A valid document with every default filled in, and the rule it makes."""

    document: dict[str, Any]
    compiled: CompiledRule

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the event's own paths that conditions and amounts read, without ``event.``."""
        amounts = [
            path
            for effect in self.compiled.effects
            if isinstance(effect, Move)
            for path in effect.amount.fields
        ]
        paths = (
            path.removeprefix("event.") for path in (*self.compiled.condition.fields, *amounts)
        )
        return tuple(dict.fromkeys(path for path in paths if path.startswith(("attrs.", "actor."))))


def parse_rule(
    document: Mapping[str, Any],
    *,
    book: Book | None = None,
    references: References = _NO_REFERENCES,
    pk: UUID = _NO_RULE,
    version: int = 0,
) -> ParsedRule:
    """Return the rule that ``document`` describes.

    With a ``book`` everything it names must exist there or in ``references``; without one it is
    the document of a stored version. Raises: ``DocumentError`` with every fault.
    """
    known = {key: value for key, value in document.items() if key not in READ_ONLY}
    reader = _Reader(known, book, references)
    compiled = reader.read(pk, version)
    if reader.faults:
        raise DocumentError(reader.faults)
    return ParsedRule(reader.document(compiled), compiled)


def compile_rule(
    pk: UUID, version: int, document: Mapping[str, Any], *, also_tracked: Iterable[str] = ()
) -> CompiledRule:
    """Return the rule of a stored version, whose document was checked when it was saved."""
    compiled = parse_rule(document, pk=pk, version=version).compiled
    return replace(compiled, also_tracked=tuple(also_tracked))


class _Reader:
    """Reads one document; a class because faults, book and document go everywhere."""

    def __init__(
        self, document: Mapping[str, Any], book: Book | None, references: References
    ) -> None:
        self.faults: list[Fault] = []
        self._book = book
        self._references = references
        self._rule = Section(document, "", self.faults, keys=_KEYS)

    def read(self, pk: UUID, version: int) -> CompiledRule:
        rule = self._rule
        if rule.has("segment_id"):
            rule.refuse("segment_id", "not supported yet")
        rule_id, name = self._read_names()
        trigger = self._read_trigger()
        condition = self._read_conditions()
        kind = cast(RuleKind, rule.choice("kind", get_args(RuleKind), "reward"))
        limits = rule.section("limits", keys=("per_player", "amount", "budget"))
        timezone = self._read_timezone()
        starts_at, ends_at = self._read_dates()
        return CompiledRule(
            pk=pk,
            version=version,
            rule_id=rule_id,
            name=name,
            kind=kind,
            trigger=trigger,
            condition=condition,
            needs=needs_of(condition),
            wallets=wallets_of(condition),
            timezone=timezone,
            zone=load_zone(timezone),
            starts_at=starts_at,
            ends_at=ends_at,
            effects=self._read_effects(trigger, kind),
            per_player=_read_firing_caps(limits),
            amount_caps=_read_amount_caps(limits),
            budget=_read_budget(limits),
            priority=rule.integer("priority", 0, low=_LOWEST, high=_HIGHEST),
            group=self._read_group(),
        )

    def document(self, compiled: CompiledRule) -> dict[str, Any]:
        """Return the document with every default; conditions and effects as they were sent."""
        return {
            "rule_id": compiled.rule_id,
            "name": compiled.name,
            "kind": compiled.kind,
            "trigger": {"type": compiled.trigger.type, "names": list(compiled.trigger.names)},
            "segment_id": None,
            "conditions": plain_json(self._rule.raw("conditions") or {}),
            "timezone": compiled.timezone,
            "starts_at": _time(compiled.starts_at),
            "ends_at": _time(compiled.ends_at),
            "effects": [_without_none(plain_json(each)) for each in self._rule.raw("effects")],
            "limits": _limits_document(compiled),
            "priority": compiled.priority,
            "group": None
            if compiled.group is None
            else {"name": compiled.group.name, "mode": compiled.group.mode},
        }

    def _read_names(self) -> tuple[str, str]:
        rule_id, name = self._rule.raw("rule_id"), self._rule.raw("name")
        is_free = is_slug(rule_id) and rule_id not in RESERVED_RULE_IDS
        if self._rule.require("rule_id") and not is_free:
            self._rule.refuse(
                "rule_id", "must be 1 to 64 of a-z, 0-9, - and _, and no reserved word"
            )
        is_name = isinstance(name, str) and 0 < len(name.strip()) <= _MAX_NAME_LENGTH
        if self._rule.require("name") and not (is_name and "\0" not in name):
            self._rule.refuse("name", f"must be a text of 1 to {_MAX_NAME_LENGTH} characters")
        return str(rule_id), str(name)

    # --- Trigger ---------------------------------------------------------------------------------

    def _read_trigger(self) -> Trigger:
        self._rule.require("trigger")
        section = self._rule.section("trigger", keys=("type", "names", "name", "cron"))
        if section.raw("type") == "schedule":
            section.refuse("type", "not supported yet")
            return Trigger("event", ())
        if section.has("cron"):
            section.refuse("cron", "is only for schedules")
        names = self._read_trigger_names(section)
        if section.choice("type", ("event", "platform"), "event") == "platform":
            self._check_platform_names(section, names)
            return Trigger("platform", names)
        self._check_event_names(section, names)
        return Trigger("event", names)

    def _read_trigger_names(self, section: Section) -> tuple[str, ...]:
        names = section.raw("names")
        if names is None and section.has("name"):
            names = [section.raw("name")]
        if not self._rule.has("trigger"):
            return ()
        is_list = isinstance(names, list | tuple) and 1 <= len(names) <= MAX_TRIGGER_NAMES
        if not is_list or not all(isinstance(name, str) for name in names):
            section.refuse("names", f"must be a list of 1 to {MAX_TRIGGER_NAMES} event types")
            return ()
        return tuple(dict.fromkeys(names))

    def _check_platform_names(self, section: Section, names: tuple[str, ...]) -> None:
        for index, name in enumerate(names):
            if name in UNBUILT_EVENTS:
                section.refuse(f"names.{index}", "not supported yet")
            elif name not in PLATFORM_EVENTS:
                section.refuse(f"names.{index}", "is not an event of the platform")
            elif not PLATFORM_EVENTS[name]:
                section.refuse(
                    f"names.{index}", "is about no player, so that no effect is possible"
                )

    def _check_event_names(self, section: Section, names: tuple[str, ...]) -> None:
        for index, name in enumerate(names):
            if not is_type_pattern(name):
                section.refuse(f"names.{index}", "must be an event type; * may be its last segment")
            elif name in PLATFORM_EVENTS or name in UNBUILT_EVENTS:
                section.refuse(f"names.{index}", "is for triggers of type platform")

    # --- Conditions and dates --------------------------------------------------------------------

    def _read_conditions(self) -> Condition:
        document = self._rule.raw("conditions")
        ids = None if self._book is None else self._book.currencies.keys()
        try:
            plain_json(document)
            return compile_rule_condition(document, currency_ids=ids)
        except ConditionError as exc:
            self.faults.extend(fault.under("conditions") for fault in exc.faults)
        except ValueError as exc:
            self._rule.refuse("conditions", str(exc))
        return compile_condition(None)

    def _read_timezone(self) -> str:
        default = "UTC" if self._book is None else self._book.timezone
        name = self._rule.raw("timezone")
        if name is None:
            return default
        try:
            load_zone(name)
        except (UnknownZoneError, TypeError):
            self._rule.refuse("timezone", "must be an IANA time zone, such as Europe/Berlin")
            return default
        return str(name)

    def _read_dates(self) -> tuple[datetime | None, datetime | None]:
        starts_at, ends_at = self._rule.instant("starts_at"), self._rule.instant("ends_at")
        if starts_at is not None and ends_at is not None and ends_at <= starts_at:
            self._rule.refuse("ends_at", "must be later than starts_at")
        return starts_at, ends_at

    # --- Effects and group -----------------------------------------------------------------------

    def _read_effects(self, trigger: Trigger, kind: RuleKind) -> tuple[Effect, ...]:
        documents = self._rule.raw("effects")
        if not isinstance(documents, list | tuple) or not 1 <= len(documents) <= MAX_EFFECTS:
            self._rule.refuse("effects", f"must be a list of 1 to {MAX_EFFECTS} effects")
            return ()
        reader = Effects(self._book, self._references, trigger)
        sections = [
            open_effect(document, f"effects.{index}", self.faults)
            for index, document in enumerate(documents)
        ]
        effects = tuple(reader.read(section) for section in sections if section is not None)
        is_credit = [isinstance(each, Move) and each.type == "credit" for each in effects]
        if kind == "earning" and is_credit != [True]:
            self._rule.refuse("effects", "an earning rule has exactly one effect, a credit")
        return effects

    def _read_group(self) -> Group | None:
        if not self._rule.has("group"):
            return None
        section = self._rule.section("group", keys=("name", "mode"))
        name = section.raw("name")
        if section.require("name") and not (isinstance(name, str) and _is_group_name(name)):
            section.refuse("name", "must be 1 to 64 letters, digits, blanks, - and _")
        mode = cast(GroupMode, section.choice("mode", get_args(GroupMode), "all"))
        other = self._references.group_modes.get(str(name))
        if other is not None and other != mode:
            section.refuse("mode", f"is {other} in the other rules of the group")
        return Group(str(name), mode)


def _read_firing_caps(limits: Section) -> PeriodCaps:
    section = limits.section("per_player", keys=("day", "week", "total"))
    caps = {
        key: Decimal(section.integer(key, 1, low=1, high=_MOST))
        for key in ("day", "week", "total")
        if section.has(key)
    }
    return PeriodCaps(**caps)


def _read_amount_caps(limits: Section) -> PeriodCaps:
    section = limits.section("amount", keys=("event", "day", "week"))
    found = {key: _read_positive(section, key) for key in ("event", "day", "week")}
    return PeriodCaps(**found)


def _read_budget(limits: Section) -> Budget:
    section = limits.section("budget", keys=("firings", "cost"))
    has_firings = section.has("firings")
    return Budget(
        firings=section.integer("firings", 1, low=1, high=_MOST) if has_firings else None,
        cost=_read_positive(section, "cost"),
    )


def _read_positive(section: Section, key: str) -> Decimal | None:
    value = section.number(key)
    if value is None:
        return None
    try:
        plain_number(value)
    except ValueError as exc:
        section.refuse(key, str(exc))
    if value <= 0:
        section.refuse(key, "must be greater than 0")
    return value


def _limits_document(rule: CompiledRule) -> dict[str, Any]:
    per_player, amount, budget = rule.per_player, rule.amount_caps, rule.budget
    return {
        "per_player": {key: _plain(getattr(per_player, key)) for key in ("day", "week", "total")},
        "amount": {key: _plain(getattr(amount, key)) for key in ("event", "day", "week")},
        "budget": {"firings": budget.firings, "cost": _plain(budget.cost)},
    }


def _plain(value: Decimal | None) -> int | float | None:
    return None if value is None else plain_number(value)


def _time(value: datetime | None) -> str | None:
    return None if value is None else format_utc(value)


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}
