"""What the document of a rule means, in the words of the person who writes it.

A document that is still being written is read as far as it goes: what is missing is an ellipsis,
what is no rule at all says nothing. Whether it is valid is told elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from phoenix_site.common.paths import as_number
from phoenix_site.common.times import parse_rfc3339
from rewards.rules.condition_trees import is_group, tree_of
from rewards.types.meanings import Line, Names, Part

__all__ = [
    "EVENT_WORDS",
    "OPERATOR_WORDS",
    "field_words",
    "meaning_of",
    "summary_of",
    "times_words",
]

_GAP: Final = "…"
# A number with more would fill the page.
_MOST_DIGITS: Final = 40
EVENT_WORDS: Final[Mapping[str, str]] = {
    "leaderboard.placed": "a place on a closed leaderboard",
    "achievement.unlocked": "an achievement unlocked",
    "streak.milestone": "a milestone of a streak",
    "streak.broken": "a streak broken",
    "level.reached": "a level reached",
    "rank.reached": "a rank reached",
    "level.lost": "a level lost",
    "rank.lost": "a rank lost",
    "reward.granted": "a reward granted",
    "reward.claimed": "a reward claimed",
    "reward.activated": "a reward activated",
    "reward.expired": "a reward expired",
    "coupon.redeemed": "a coupon redeemed",
    "gamification.opted_in": "a player opted in",
    "gamification.opted_out": "a player opted out",
}
OPERATOR_WORDS: Final[Mapping[str, str]] = {
    "eq": "is",
    "ne": "is not",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "in": "is one of",
    "nin": "is none of",
    "contains": "contains",
    "starts_with": "starts with",
    "exists": "is there",
}
_GROUP_WORDS: Final = {
    "and": "all of these hold",
    "or": "at least one of these holds",
    "not": "this does not hold",
}
_CLOCK_WORDS: Final = {"hour": "the hour", "weekday": "the weekday", "date": "the date"}
_GROUP_MODES: Final = {
    "all": "all rules that pass fire",
    "first": "only the rule with the highest priority that passes fires",
    "best": "only the rule that passes and costs most fires",
}


def meaning_of(document: Mapping[str, Any], names: Names) -> list[Part]:
    """Return what the rule does, part by part; parts about which nothing is said are left out."""
    zone = _text(document.get("timezone")) or names.timezone
    parts = [
        Part("When", tuple(_when(_mapping(document.get("trigger"))))),
        Part("If", tuple(_if(document.get("conditions"), zone, names))),
        Part("Then", tuple(_then(document.get("effects"), names))),
        Part("At most", tuple(_at_most(_mapping(document.get("limits")), zone, names))),
        Part("Only", tuple(_only(document))),
        Part("Among other rules", tuple(_among(document))),
    ]
    return [part for part in parts if part.lines]


def summary_of(document: Mapping[str, Any], names: Names) -> str:
    """Return what the rule gives in one line, for lists."""
    first, *others = _then(document.get("effects"), names)
    return f"{first.text.rstrip('.')}, and {len(others)} more" if others else first.text.rstrip(".")


# --- When ----------------------------------------------------------------------------------------


def _when(trigger: Mapping[str, Any]) -> Iterable[Line]:
    names = [name for name in _list(trigger.get("names")) if isinstance(name, str) and name]
    if trigger.get("type") == "platform":
        said = [f"{name} ({EVENT_WORDS[name]})" if name in EVENT_WORDS else name for name in names]
        yield Line(f"Phoenix itself reports {_joined(said, 'or')} of a player.")
    else:
        said = [_event_words(name) for name in names]
        yield Line(f"A player's event {_joined(said, 'or')} comes in.")


def _event_words(name: str) -> str:
    if name == "*":
        return "of any type"
    return f"of any type below {name[:-2]}" if name.endswith(".*") else name


# --- If ------------------------------------------------------------------------------------------


def _if(document: Any, zone: str, names: Names) -> Iterable[Line]:
    tree = tree_of(document)
    if tree is None:
        return [Line("The conditions cannot be read.")]
    if not tree["conditions"]:
        return [Line("Always: there are no conditions.")]
    return _node_lines(tree, 0, lambda path: field_words(path, zone=zone, names=names))


def _node_lines(node: Mapping[str, Any], depth: int, say: Callable[[str], str]) -> Iterable[Line]:
    if not is_group(node):
        yield Line(_comparison_words(node, say), depth)
        return
    members = node["conditions"]
    kind = node["op"]
    if kind == "not" and members and is_group(members[0]) and members[0]["op"] == "or":
        lead, members = "none of these holds", members[0]["conditions"]
    elif kind != "not" and len(members) == 1:
        yield from _node_lines(members[0], depth, say)
        return
    else:
        lead = _GROUP_WORDS[kind]
    yield Line(f"{lead}:" if depth else f"{lead.capitalize()}:", depth)
    for member in members:
        yield from _node_lines(member, depth + 1, say)


def _comparison_words(node: Mapping[str, Any], say: Callable[[str], str]) -> str:
    subject = say(node["field"]) if node["field"] else _GAP
    op = node["op"]
    if op == "exists":
        return f"{subject} {'is there' if node.get('value') is not False else 'is not there'}"
    verb = OPERATOR_WORDS.get(op, op)
    if "value_expression" in node:
        return f"{subject} {verb} {node['value_expression'] or _GAP}"
    return f"{subject} {verb} {_value_words(node.get('value', _GAP))}"


def _value_words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return _joined([_value_words(each) for each in value], "or")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "nothing"
    number = as_number(value)
    return str(value) if number is None else _number(number)


def field_words(path: str, *, zone: str, names: Names) -> str:
    """Return what a path of a condition is called: ``the player's country``."""
    path = path.removeprefix("event.")
    root, _, rest = path.partition(".")
    if root == "player":
        return f"the player's {rest.replace('_', ' ')}"
    if root == "wallet":
        currency_id, _, part = rest.rpartition(".")
        currency = names.currencies.get(currency_id, currency_id)
        return f"the player's {currency}{' ever earned' if part == 'lifetime' else ' to spend'}"
    if root == "now":
        return f"{_CLOCK_WORDS.get(rest, rest)} in {zone}"
    return {"type": "the event's type", "occurred_at": "the time it occurred"}.get(path, path)


# --- Then ----------------------------------------------------------------------------------------


def _then(effects: Any, names: Names) -> Iterable[Line]:
    found = [effect for effect in _list(effects) if isinstance(effect, Mapping)]
    if not found:
        return [Line(f"Nothing yet {_GAP}")]
    return [Line(_EFFECTS.get(str(each.get("type")), _unknown)(each, names)) for each in found]


def _grant_words(effect: Mapping[str, Any], names: Names) -> str:
    if effect.get("reward_config_id"):
        name = _name(effect["reward_config_id"], names.configs)
        return f"Give what the reward config “{name}” has for it."
    return f"Give the item “{_name(effect.get('item_id'), names.items)}”."


def _move_words(effect: Mapping[str, Any], names: Names) -> str:
    currency_id = _text(effect.get("currency_id"))
    currency = _name(currency_id, names.currencies)
    amount = _amount_words(effect.get("amount"), currency)
    decimals = names.decimals.get(currency_id)
    if _is_computed(effect.get("amount")) and decimals is not None:
        unit = "whole numbers" if decimals == 0 else f"{decimals} decimals"
        amount += f", rounded down to {unit}"
    if effect["type"] == "credit":
        return f"Credit {amount}."
    return f"Debit {amount}; without enough of it, nothing happens at all."


def _progress_words(effect: Mapping[str, Any], names: Names) -> str:
    goal = _name(effect.get("goal"), names.goals)
    amount = effect.get("amount")
    number = as_number(amount)
    steps = _number(number) if number is not None else _amount_words(amount, "")
    return f"Add {steps} to the progress of “{goal}”."


def _coupon_words(effect: Mapping[str, Any], names: Names) -> str:
    return f"Give a code of the coupon “{_name(effect.get('coupon_id'), names.coupons)}”."


def _unknown(effect: Mapping[str, Any], _names: Names) -> str:
    return f"{_text(effect.get('type')) or _GAP}: no effect that Phoenix knows."


_EFFECTS: Final[dict[str, Callable[[Mapping[str, Any], Names], str]]] = {
    "grant": _grant_words,
    "credit": _move_words,
    "debit": _move_words,
    "progress": _progress_words,
    "coupon": _coupon_words,
}


def _is_computed(amount: Any) -> bool:
    return isinstance(amount, Mapping) and amount.get("type") in ("multiplier", "expression")


def _amount_words(amount: Any, unit: str) -> str:
    form = _mapping(amount)
    field = _text(form.get("field")) or _GAP
    unit = f" {unit}" if unit else ""
    if form.get("type") == "multiplier":
        return f"{_given(form, 'factor')} times {field}{unit}"
    if form.get("type") == "step":
        return f"{_given(form, 'amount')}{unit} for each full {_given(form, 'per')} of {field}"
    if form.get("type") == "expression":
        return f"{_text(form.get('expression')) or _GAP}{unit}"
    return f"{_given(form, 'amount')}{unit}"


# --- Limits, dates, other rules ------------------------------------------------------------------


def _at_most(limits: Mapping[str, Any], zone: str, names: Names) -> Iterable[Line]:
    per_player = _mapping(limits.get("per_player"))
    firings = [
        f"{times_words(per_player[key])}{word}"
        for key, word in (("day", " a day"), ("week", " a week"), ("total", " ever"))
        if _has(per_player, key)
    ]
    amount = _mapping(limits.get("amount"))
    caps = [
        f"{_given(amount, key)}{word}"
        for key, word in (("event", " for one event"), ("day", " a day"), ("week", " a week"))
        if _has(amount, key)
    ]
    if firings:
        yield Line(f"{_joined(firings, 'and').capitalize()} for each player.")
    if caps:
        yield Line(f"Credits of {_joined(caps, 'and')} for each player; more is cut.")
    if any(_has(each, key) for each in (per_player, amount) for key in ("day", "week")):
        yield Line(f"Days and weeks (from Monday) are those of {zone}.")
    budget = _budget_words(_mapping(limits.get("budget")), names)
    if budget:
        yield Line(f"{budget} for all players together; then it stops.")


def _budget_words(budget: Mapping[str, Any], names: Names) -> str:
    said = []
    if _has(budget, "firings"):
        said.append(f"{_given(budget, 'firings')} firings")
    if _has(budget, "cost"):
        said.append(f"a cost of {_given(budget, 'cost')} {names.base_currency}".rstrip())
    text = _joined(said, "and") if said else ""
    return text[:1].upper() + text[1:]


def times_words(count: Any) -> str:
    """Return how often: ``once``, ``twice``, ``3 times``."""
    number = as_number(count)
    if number is None:
        return f"{_GAP} times"
    return {1: "once", 2: "twice"}.get(int(number), f"{_number(number)} times")


def _only(document: Mapping[str, Any]) -> Iterable[Line]:
    starts_at, ends_at = (_moment(document.get(key)) for key in ("starts_at", "ends_at"))
    if starts_at and ends_at:
        yield Line(f"What occurs from {starts_at} until {ends_at} (UTC).")
    elif starts_at:
        yield Line(f"What occurs from {starts_at} (UTC) on.")
    elif ends_at:
        yield Line(f"What occurs before {ends_at} (UTC).")


def _among(document: Mapping[str, Any]) -> Iterable[Line]:
    priority = as_number(document.get("priority"))
    group = _mapping(document.get("group"))
    if group:
        name = _text(group.get("name")) or _GAP
        mode = _GROUP_MODES.get(str(group.get("mode") or "all"), _GAP)
        yield Line(f"Of the group “{name}”, {mode}.")
    if priority:
        yield Line(f"Priority {_number(priority)}; higher ones are asked first.")


# --- Words ---------------------------------------------------------------------------------------


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%d %b %Y, %H:%M}"
    try:
        return f"{parse_rfc3339(value):%d %b %Y, %H:%M}" if value else ""
    except ValueError:
        return _GAP


def _has(mapping: Mapping[str, Any], key: str) -> bool:
    return mapping.get(key) is not None


def _given(mapping: Mapping[str, Any], key: str) -> str:
    number = as_number(mapping.get(key))
    return _GAP if number is None else _number(number)


def _number(number: Decimal | int) -> str:
    if abs(Decimal(number).adjusted()) > _MOST_DIGITS:
        return str(number)
    text = f"{Decimal(number):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _name(value: Any, known: Mapping[str, str]) -> str:
    text = _text(value)
    return known.get(text, text) or _GAP


def _joined(words: Sequence[str], last: str) -> str:
    if not words:
        return _GAP
    head, tail = words[:-1], words[-1]
    return f"{', '.join(head)} {last} {tail}" if head else tail


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else []
