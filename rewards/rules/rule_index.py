"""Which rules an event can possibly fire: by its type, then by equalities in their conditions.

A tenant may have hundreds of rules on one type that differ in ``attrs.game`` alone. Each rule is
filed under the values of one path that its conditions demand, so an event asks only those of its
own value. The index leaves out what cannot match and nothing else: conditions are asked afterwards.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from phoenix_site.common.paths import Reader, as_number, compile_reader, parse_path
from rewards.constants import MAX_INDEXED_TYPES
from rewards.types.rules import CompiledRule

__all__ = ["RuleIndex", "TypeIndex", "demands_of", "is_triggered"]

_GROUPS_OF_ALL: Final = frozenset({"and", "all"})
_NOTHING: Final = object()
# What a path must read: one of these keys.
Demand = tuple[str, frozenset[Hashable]]


class TypeIndex:
    """The rules that events of one type may fire, in the order in which they are judged."""

    __slots__ = ("_always", "_filed", "rules")

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self.rules = tuple(sorted(rules, key=_order))
        demands = [demands_of(rule) for rule in self.rules]
        uses = Counter(path for demanded in demands for path in demanded)
        self._always: list[int] = []
        filed: dict[str, dict[Hashable, list[int]]] = {}
        for place, demanded in enumerate(demands):
            if not demanded:
                self._always.append(place)
                continue
            # The path that most rules share: one look-up serves them all.
            path = max(demanded, key=lambda each: (uses[each], each))
            by_key = filed.setdefault(path, {})
            for key in demanded[path]:
                by_key.setdefault(key, []).append(place)
        self._filed: list[tuple[Reader, dict[Hashable, list[int]]]] = [
            (compile_reader(parse_path(path)), by_key) for path, by_key in filed.items()
        ]

    def candidates(self, root: Mapping[str, Any]) -> Sequence[CompiledRule]:
        """Return the rules whose conditions an event of this ``root`` may meet, in order."""
        if not self._filed:
            return self.rules
        places = list(self._always)
        for read, by_key in self._filed:
            found = by_key.get(_key(read(root)))
            if found is not None:
                places += found
        places.sort()
        return [self.rules[place] for place in places]


class RuleIndex:
    """The rules in force at one moment, by event type."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self.rules = tuple(sorted(rules, key=_order))
        self._exact: dict[str, list[CompiledRule]] = {}
        self._prefixed: list[tuple[str, CompiledRule]] = []
        for rule in self.rules:
            for name in rule.trigger.names:
                if name.endswith("*"):
                    self._prefixed.append((name[:-1], rule))
                else:
                    self._exact.setdefault(name, []).append(rule)
        self._types: dict[tuple[str, bool], TypeIndex | None] = {}

    def of(self, event_type: str, *, is_internal: bool) -> TypeIndex | None:
        """Return the rules that events of this type may fire, ``None`` without any."""
        key = (event_type, is_internal)
        found = self._types.get(key, _NOTHING)
        if found is _NOTHING:
            if len(self._types) >= MAX_INDEXED_TYPES:
                self._types.clear()
            rules = set(self._matching(event_type, is_internal=is_internal))
            found = self._types[key] = TypeIndex(rules) if rules else None
        return found  # type: ignore[return-value]  # the marker is gone by now

    def _matching(self, event_type: str, *, is_internal: bool) -> Iterator[CompiledRule]:
        yield from self._exact.get(event_type, ())
        # What Phoenix itself emits is asked for by name: "*" means the events of the game.
        if not is_internal:
            for prefix, rule in self._prefixed:
                if event_type.startswith(prefix):
                    yield rule


def is_triggered(rule: CompiledRule, event_type: str, *, is_internal: bool) -> bool:
    """Whether the rule looks at events of this type; ``is_internal``: Phoenix emitted it."""
    for name in rule.trigger.names:
        if name == event_type:
            return True
        if name.endswith("*") and not is_internal and event_type.startswith(name[:-1]):
            return True
    return False


def _order(rule: CompiledRule) -> tuple[int, str]:
    return rule.order


def demands_of(rule: CompiledRule) -> dict[str, frozenset[Hashable]]:
    """Return the paths of the event that must have one of some plain values, or nothing fires."""
    found: dict[str, frozenset[Hashable]] = {}
    for leaf in _demanded_leaves(rule.condition.document):
        demand = _demand(*leaf)
        if demand is not None:
            path, keys = demand
            found[path] = found[path] & keys if path in found else keys
    return found


_Leaf = tuple[Any, Any, Any]


def _demanded_leaves(document: Any) -> Iterator[_Leaf]:
    """Yield (field, operator, value) of the comparisons that must all hold, in any dialect."""
    if not isinstance(document, Mapping) or not document:
        return
    if "op" in document:
        if document["op"] in _GROUPS_OF_ALL:
            for member in document["conditions"]:
                yield from _demanded_leaves(member)
        elif "value" in document:
            yield document["field"], document["op"], document["value"]
    elif "condition" in document:
        leaf = document["condition"]
        if "value" in leaf:
            yield leaf["field"], leaf["operator"], leaf["value"]
    else:
        yield from _demanded_by_dialect_a_or_b(document)


def _demanded_by_dialect_a_or_b(document: Mapping[str, Any]) -> Iterator[_Leaf]:
    if document.keys() & {"or", "any", "not"}:
        return
    group = next((document[key] for key in ("and", "all") if key in document), None)
    if group is not None:
        for member in group:
            yield from _demanded_leaves(member)
        return
    for field, operators in document.items():
        for op, value in operators.items():
            yield field, op, value


def _demand(field: Any, op: Any, value: Any) -> Demand | None:
    if op not in ("eq", "in"):
        return None
    steps = parse_path(field)
    steps = steps[1:] if steps[0] == "event" else steps
    # Only what JSON holds: elsewhere a text may also mean an instant.
    if steps[0] != "attrs" and steps[:2] != ("actor", "metadata"):
        return None
    keys = [_key(each) for each in (value if op == "in" else [value])]
    return None if None in keys else (_path(steps), frozenset(keys))


def _path(steps: tuple[str, ...]) -> str:
    first, *others = steps
    return first + "".join(f'["{step}"]' for step in others)


def _key(value: Any) -> Hashable:
    """Return equal keys for values that conditions take for equal; ``None`` for what has none."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return (bool, value)
    number = as_number(value)
    return None if number is None else (Decimal, number)
